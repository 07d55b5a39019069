// SPDX-License-Identifier: Apache-2.0
#include "cache_fixture.h"

#include "common/contract.h"

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

static const struct text_file small[] = {
	{"config.json", "{}"},
	{"a/model.bin", "weights"},
	{"a/b/deep.bin", "deeper"},
	{"a-b/side.bin", "weights"}, /* the same content as a/model.bin */
};

static void check_file(const char *path, const char *text)
{
	char got[64] = "";
	auto_fd fd = open(path, O_RDONLY);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
	assert_string_equal(got, text);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0444);
}

static void publishes_a_tree(void **state)
{
	struct cache *cache = *state;
	struct bl_store_tree tree;
	struct bl_digest name;
	char path[PATH_MAX];
	char file[PATH_MAX + 32];
	struct stat st;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	assert_int_equal(bl_store_tree_path(cache->store, &name, path), 0);
	for (size_t i = 0; i < 4; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, small[i].path);
		check_file(file, small[i].text);
	}
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	snprintf(file, sizeof(file), "%s/a/b", path);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(bl_store_tree_find(cache->store, &name, &tree), 0);
	assert_int_equal(tree.files, 4);
	assert_int_equal(tree.bytes, 2 + 7 + 6 + 7);
	/* Equal content is one blob; nothing is left on the way. */
	assert_int_equal(blobs_in(cache), 3);
	assert_int_equal(entries_in(cache, "partial"), 0);
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
	cache_reopen(cache);
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
	assert_ok(cache, bl_tree_verify(bl_store_dirs(cache->store), &name, NULL, &cache->err));
}

/* The name of a tree is the SHA-256 of its canonical manifest, byte for byte. */
static void manifest_is_canonical(void **state)
{
	static const char text[] =
		"{\"files\":[{\"path\":\"a \\\"q\\\"\",\"sha256\":"
		"\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"size\":5}]"
		",\"schema\":1}";
	struct cache *cache = *state;
	const struct text_file files[] = {{"a \"q\"", "hello"}};
	struct bl_digest wanted = digest_of(text);
	struct bl_digest name;
	char hex[BL_DIGEST_HEX];
	char path[256];
	char got[512] = "";
	auto_fd fd = -1;

	assert_ok(cache, publish_tree(cache->store, files, 1, &name, &cache->err));
	assert_true(bl_digest_equal(&name, &wanted));
	bl_digest_to_hex(&name, hex);
	snprintf(path, sizeof(path), "%s/manifests/%s.json", cache->path, hex);
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, got, sizeof(got) - 1), sizeof(text) - 1);
	assert_string_equal(got, text);
}

static void refuses_paths(void **state)
{
	static const char *const bad[] = {
		"",    "/abs", "a//b", "a/",   "../x", "a/../b",       ".",
		"a/.", "a\\b", "a\nb", "\x7f", "\xff", "\xed\xa0\x80",
	};
	struct cache *cache = *state;
	char long_part[300];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(bl_manifest_is_path(bad[i]));
	memset(long_part, 'x', sizeof(long_part));
	long_part[256] = '\0';
	assert_false(bl_manifest_is_path(long_part));
	long_part[255] = '\0';
	assert_true(bl_manifest_is_path(long_part));
	assert_true(bl_manifest_is_path("a/b c/\xc3\xa9..bin"));
	(void)cache;
}

static void refuses_collisions(void **state)
{
	struct cache *cache = *state;
	struct bl_digest digest = digest_of("x");
	auto_manifest manifest;

	bl_manifest_init(&manifest);
	assert_ok(cache, bl_manifest_add(&manifest, "a/b", 1, &digest, NULL, &cache->err));
	assert_ok(cache, bl_manifest_add(&manifest, "a-c", 1, &digest, NULL, &cache->err));
	assert_ok(cache, bl_manifest_add(&manifest, "a", 1, &digest, NULL, &cache->err));
	assert_int_equal(bl_manifest_sort(&manifest, &cache->err), -EINVAL);
	assert_string_equal(cache->err.msg, "'a' is both a file and a directory");
	bl_manifest_done(&manifest);
	assert_ok(cache, bl_manifest_add(&manifest, "a", 1, &digest, NULL, &cache->err));
	assert_ok(cache, bl_manifest_add(&manifest, "a", 2, &digest, NULL, &cache->err));
	assert_int_equal(bl_manifest_sort(&manifest, &cache->err), -EINVAL);
}

static void refuses_one_file_too_many(void **state)
{
	struct cache *cache = *state;
	auto_manifest manifest;
	char path[16];

	bl_manifest_init(&manifest);
	for (int i = 0; i < BL_MAX_FILES; i++) {
		snprintf(path, sizeof(path), "%d", i);
		assert_ok(cache, bl_manifest_add(&manifest, path, 1, NULL, NULL, &cache->err));
	}
	assert_int_equal(bl_manifest_add(&manifest, "x", 1, NULL, NULL, &cache->err), -EINVAL);
	assert_string_equal(cache->err.msg, "more than 1000000 files");
}

/* ---- Publishing ---- */

static void wrong_digest_is_not_published(void **state)
{
	struct cache *cache = *state;
	struct bl_digest promised = digest_of("something else");
	auto_partial partial = NULL;
	auto_fd writer = -1;
	struct bl_digest got;
	bool is_new;

	assert_ok(cache,
		  bl_partial_open(bl_store_dirs(cache->store), "k", 5, &partial, &cache->err));
	writer = bl_partial_writer(partial, &cache->err);
	assert_true(writer >= 0);
	assert_int_equal(pwrite(writer, "hello", 5, 0), 5);
	close(TAKE_FD(writer));
	assert_int_equal(bl_blob_publish(&partial, &promised, &got, &is_new, &cache->err),
			 -EBADMSG);
	assert_null(partial);
	assert_int_equal(blobs_in(cache), 0);
	assert_int_equal(entries_in(cache, "partial"), 0);
}

/* A part of it while the rest was still to come. */
static void what_was_digested_early_counts(void **state)
{
	struct bl_digest promised = digest_of("hello world");
	struct cache *cache = *state;
	auto_partial partial = NULL;
	auto_fd writer = -1;
	struct bl_digest got;
	bool is_new;

	assert_ok(cache,
		  bl_partial_open(bl_store_dirs(cache->store), "k", 11, &partial, &cache->err));
	writer = bl_partial_writer(partial, &cache->err);
	assert_int_equal(pwrite(writer, "hello ", 6, 0), 6);
	assert_ok(cache, bl_partial_hash(partial, 2, &cache->err));
	assert_ok(cache, bl_partial_hash(partial, 6, &cache->err));
	/* Whoever wrote there now would break the promise of bl_partial_hash(): it shows that it was read. */
	assert_int_equal(pwrite(writer, "HELLO world", 11, 0), 11);
	close(TAKE_FD(writer));
	assert_ok(cache, bl_blob_publish(&partial, &promised, &got, &is_new, &cache->err));
	assert_true(bl_digest_equal(&got, &promised));
}

static void a_writer_left_is_seen(void **state)
{
	struct cache *cache = *state;
	auto_partial partial = NULL;
	auto_fd writer = -1;
	struct bl_digest got;
	bool is_new;

	assert_ok(cache,
		  bl_partial_open(bl_store_dirs(cache->store), "k", 5, &partial, &cache->err));
	writer = bl_partial_writer(partial, &cache->err);
	assert_true(writer >= 0);
	assert_int_equal(pwrite(writer, "hello", 5, 0), 5);
	assert_int_equal(bl_blob_publish(&partial, NULL, &got, &is_new, &cache->err), -EBUSY);
	assert_non_null(partial);
	assert_int_equal(blobs_in(cache), 0);
	close(TAKE_FD(writer));
	assert_ok(cache, bl_blob_publish(&partial, NULL, &got, &is_new, &cache->err));
	assert_true(is_new);
	assert_int_equal(blobs_in(cache), 1);
}

struct meddler {
	char path[256];
	bool stop;
};

/* Root could open the file anew while it is hashed, and close it again before anybody looks. */
static void *meddle(void *argument)
{
	struct meddler *meddler = argument;
	unsigned char byte = 0;
	struct stat st;

	do {
		if (stat(meddler->path, &st) < 0)
			return NULL;
	} while (st.st_mode & S_IWUSR);
	while (!__atomic_load_n(&meddler->stop, __ATOMIC_RELAXED)) {
		auto_fd fd = open(meddler->path, O_WRONLY);

		byte++;
		/* Published: outside of what is promised, for root may do anything. */
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_nlink != 1)
			return NULL;
		if (pwrite(fd, &byte, 1, 0) != 1)
			return NULL;
	}
	return NULL;
}

static void what_changes_while_it_is_read_is_refused(void **state)
{
	struct cache *cache = *state;
	struct meddler meddler = {0};
	auto_partial partial = NULL;
	struct bl_digest got;
	pthread_t thread;
	bool is_new;
	int r;

	if (geteuid() != 0)
		skip();
	assert_ok(cache, bl_partial_open(bl_store_dirs(cache->store), "k", 32 * 1024 * 1024,
					 &partial, &cache->err));
	snprintf(meddler.path, sizeof(meddler.path), "%s/partial/%s.data", cache->path,
		 partial->name);
	assert_int_equal(pthread_create(&thread, NULL, meddle, &meddler), 0);
	r = bl_blob_publish(&partial, NULL, &got, &is_new, &cache->err);
	__atomic_store_n(&meddler.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	/* Where the other thread never ran meanwhile, what was published is what it says. */
	if (r == 0)
		r = bl_blob_verify(bl_store_dirs(cache->store), &got, NULL, &cache->err);
	else
		assert_true(r == -EBUSY || r == -EBADMSG);
	assert_true(r == 0 || blobs_in(cache) == 0);
	assert_int_equal(entries_in(cache, "quarantine"), 0);
}

static void a_planted_blob_is_quarantined(void **state)
{
	struct cache *cache = *state;
	struct bl_digest blob = digest_of("hello");
	struct bl_digest got;
	char path[256];
	auto_fd fd = -1;

	blob_path_of(cache, &blob, path);
	fd = open(path, O_WRONLY | O_CREAT, 0444);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "hell", 4), 4);
	assert_ok(cache,
		  publish_bytes(bl_store_dirs(cache->store), "k", "hello", 5, &got, &cache->err));
	check_file(path, "hello");
	assert_int_equal(entries_in(cache, "quarantine"), 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(bl_blob_check(bl_store_dirs(cache->store), &blob, 5, &cache->err),
			 -EBADMSG);
	assert_int_equal(entries_in(cache, "quarantine"), 2);
}

/* ---- Downloads ---- */

static void a_download_is_resumed(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	const struct bl_range ranges[] = {{0, 10}, {50, 60}, {10, 20}};
	auto_partial partial = NULL;
	auto_partial other = NULL;

	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_int_equal(bl_partial_have(partial), 0); /* though it has its full length */
	assert_ok(cache, bl_partial_note(partial, ranges, 3, &cache->err));
	assert_int_equal(partial->have.count, 2);
	/* While it is open, another gets one of its own. */
	assert_ok(cache, bl_partial_open(dirs, "k", 100, &other, &cache->err));
	assert_int_equal(bl_partial_have(other), 0);
	bl_partial_discard(&other);
	bl_partial_close(&partial);
	cache_reopen(cache);
	dirs = bl_store_dirs(cache->store);
	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_int_equal(bl_partial_have(partial), 30);
	assert_int_equal(partial->have.at[0].to, 20);
	assert_ok(cache, bl_partial_open(dirs, "another", 100, &other, &cache->err));
	assert_int_equal(bl_partial_have(other), 0);
}

static void a_spoilt_journal_counts_up_to_there(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	const struct bl_range ranges[] = {{0, 10}, {20, 30}, {40, 50}};
	auto_partial partial = NULL;
	char name[256];
	auto_fd fd = -1;

	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_ok(cache, bl_partial_note(partial, ranges, 3, &cache->err));
	snprintf(name, sizeof(name), "%s/partial/%s.ranges", cache->path, partial->name);
	bl_partial_close(&partial);
	fd = open(name, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\x15", 1, 32),
			 1); /* in the second record, which seems to begin at 21 */
	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_int_equal(bl_partial_have(partial), 10);
	/* What is noted now stands where the spoilt record stood. */
	assert_ok(cache, bl_partial_note(partial, &ranges[2], 1, &cache->err));
	bl_partial_close(&partial);
	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_int_equal(partial->have.at[1].from, 40);
}

static void copy_file(const char *from, const char *to)
{
	char bytes[4096];
	auto_fd in = open(from, O_RDONLY);
	auto_fd out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t n = read(in, bytes, sizeof(bytes));

	assert_true(n > 0 && write(out, bytes, (size_t)n) == n);
}

/* As a disk may give a new file what was another's after a loss of power. */
static void a_journal_of_another_download_counts_for_nothing(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	const struct bl_range range = {0, 10};
	auto_partial partial = NULL;
	auto_partial other = NULL;
	char from[256];
	char to[256];

	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_ok(cache, bl_partial_note(partial, &range, 1, &cache->err));
	assert_ok(cache, bl_partial_open(dirs, "k", 100, &other, &cache->err));
	snprintf(from, sizeof(from), "%s/partial/%s.ranges", cache->path, partial->name);
	snprintf(to, sizeof(to), "%s/partial/%s.ranges", cache->path, other->name);
	copy_file(from, to);
	bl_partial_discard(&partial);
	bl_partial_close(&other);
	assert_ok(cache, bl_partial_open(dirs, "k", 100, &partial, &cache->err));
	assert_false(partial->is_new);
	assert_int_equal(bl_partial_have(partial), 0);
}

static void a_published_inode_is_never_handed_out(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_digest blob = digest_of("hello");
	auto_partial partial = NULL;
	auto_fd writer = -1;
	char from[256];
	char to[256];

	/* A crash between link and unlink: the partial's name and the blob's are one inode. */
	assert_ok(cache, bl_partial_open(dirs, "k", 5, &partial, &cache->err));
	writer = bl_partial_writer(partial, &cache->err);
	assert_int_equal(pwrite(writer, "hello", 5, 0), 5);
	close(TAKE_FD(writer));
	snprintf(from, sizeof(from), "%s/partial/%s.data", cache->path, partial->name);
	bl_partial_close(&partial);
	blob_path_of(cache, &blob, to);
	assert_int_equal(chmod(from, 0444), 0);
	assert_int_equal(link(from, to), 0);
	assert_ok(cache, bl_partial_open(dirs, "k", 5, &partial, &cache->err));
	writer = bl_partial_writer(partial, &cache->err);
	assert_int_equal(pwrite(writer, "HELLO", 5, 0), 5);
	check_file(to, "hello");
}

/* ---- What is refused at the start ---- */

static void expect_refusal(struct cache *cache, int wanted, const char *part)
{
	struct bl_store *store = NULL;

	assert_int_equal(bl_store_open(&cache->options, &store, &cache->err), wanted);
	if (!strstr(cache->err.msg, part))
		print_error("message: %s\n", cache->err.msg);
	assert_non_null(strstr(cache->err.msg, part));
}

static void two_agents_are_refused(void **state)
{
	expect_refusal(*state, -EBUSY, "another ballastd has this cache");
}

static void foreign_things_are_refused(void **state)
{
	struct cache *cache = *state;
	char path[256];
	char other[256];

	bl_store_close(&cache->store);
	assert_int_equal(chmod(cache->path, 0755), 0);
	expect_refusal(cache, -EPERM, "chmod 0700");
	assert_int_equal(chmod(cache->path, 0700), 0);
	snprintf(path, sizeof(path), "%s/empty/x", cache->path);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refusal(cache, -EPERM, "must be empty");
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/trees/x", cache->path);
	assert_int_equal(mkdir(path, 0700), 0);
	expect_refusal(cache, -EPERM, "is no tree");
	assert_int_equal(rmdir(path), 0);
	snprintf(path, sizeof(path), "%s/refs", cache->path);
	snprintf(other, sizeof(other), "%s/elsewhere", cache->base);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	expect_refusal(cache, -EPERM, "is a link");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rename(other, path), 0);
	snprintf(path, sizeof(path), "%s/index.json", cache->path);
	{
		auto_fd fd = open(path, O_WRONLY | O_TRUNC);

		assert_int_equal(write(fd, "{\"schema\":99}", 13), 13);
	}
	expect_refusal(cache, -EPERM, "schema 99");
	assert_int_equal(unlink(path), 0);
	cache_open(cache);
}

static void another_owner_is_refused(void **state)
{
	struct cache *cache = *state;

	if (geteuid() != 0)
		skip();
	bl_store_close(&cache->store);
	assert_int_equal(chown(cache->path, 12345, 12345), 0);
	expect_refusal(cache, -EPERM, "belongs to uid 12345");
	assert_int_equal(chown(cache->path, 0, 0), 0);
	cache_open(cache);
}

static void a_directory_in_use_is_refused(void **state)
{
	struct cache *cache = *state;
	char path[256];

	bl_store_close(&cache->store);
	snprintf(path, sizeof(path), "%s/home", cache->base);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/home/letters", cache->base);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/home", cache->base);
	cache->options.path = path;
	expect_refusal(cache, -EPERM, "it is no cache");
	cache_open(cache);
}

/* ---- Damage ---- */

static void a_truncated_file_is_found_before_use(void **state)
{
	struct cache *cache = *state;
	struct bl_digest blob = digest_of("weights");
	struct bl_digest name;
	char path[256];

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	blob_path_of(cache, &blob, path);
	assert_int_equal(truncate(path, 3), 0);
	assert_int_equal(bl_store_tree_use(cache->store, &name, &cache->err), -EBADMSG);
	assert_int_equal(bl_store_tree_use(cache->store, &name, &cache->err), -ENOENT);
	assert_int_equal(bl_blob_check(bl_store_dirs(cache->store), &blob, 7, &cache->err),
			 -EBADMSG);
	/* Only what was damaged is missing. */
	assert_int_equal(blobs_in(cache), 2);
	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
}

static void a_planted_file_is_found_before_use(void **state)
{
	struct cache *cache = *state;
	struct bl_digest name;
	char path[PATH_MAX];
	char file[PATH_MAX + 16];
	auto_fd fd = -1;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	assert_int_equal(bl_store_tree_path(cache->store, &name, path), 0);
	snprintf(file, sizeof(file), "%s/a/x.py", path);
	fd = open(file, O_WRONLY | O_CREAT, 0444);
	assert_true(fd >= 0);
	assert_int_equal(bl_store_tree_use(cache->store, &name, &cache->err), -EBADMSG);
}

static void a_planted_directory_is_found_before_use(void **state)
{
	static const struct text_file deep[] = {
		{"a-b/1", "1"},	 {"a.c", "2"}, {"a/b/c/d", "3"}, {"a/b/c0/d", "4"}, {"a/b/x", "5"},
		{"a/b0/x", "6"}, {"a/z", "7"}, {"a0/b/c", "8"},	 {"b", "9"}};
	static const char *const planted[] = {"new", "a/new", "a/b/c/new", "a0/b/new"};
	struct cache *cache = *state;
	struct bl_digest name;
	char path[PATH_MAX];
	char directory[PATH_MAX + 16];

	for (size_t i = 0; i < sizeof(planted) / sizeof(*planted); i++) {
		assert_ok(cache, publish_tree(cache->store, deep, 9, &name, &cache->err));
		assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
		assert_int_equal(bl_store_tree_path(cache->store, &name, path), 0);
		snprintf(directory, sizeof(directory), "%s/%s", path, planted[i]);
		assert_int_equal(mkdir(directory, 0555), 0);
		assert_int_equal(bl_store_tree_use(cache->store, &name, &cache->err), -EBADMSG);
	}
}

/* Of many files each is looked at only now and then, but a directory that was changed tells at once. */
static void a_file_planted_among_many_is_found_before_use(void **state)
{
	enum { MANY = 300 };
	struct cache *cache = *state;
	static char names[MANY][8];
	struct text_file many[MANY];
	char hex[BL_DIGEST_HEX];
	char path[256];
	struct bl_digest name;
	auto_fd fd = -1;

	for (size_t i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof(names[i]), "%03zu", i);
		many[i] = (struct text_file){names[i], names[i]};
	}
	assert_ok(cache, publish_tree(cache->store, many, MANY, &name, &cache->err));
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
	bl_digest_to_hex(&name, hex);
	snprintf(path, sizeof(path), "%s/trees/%s/planted", cache->path, hex);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0444);
	assert_true(fd >= 0);
	assert_int_equal(bl_store_tree_use(cache->store, &name, &cache->err), -EBADMSG);
}

/* One digit of a digest is another: still a manifest, but not the one that the tree is named by. */
static void a_spoilt_manifest_is_found_before_use(void **state)
{
	struct cache *cache = *state;
	struct bl_digest name;
	char hex[BL_DIGEST_HEX];
	char text[1024] = "";
	char path[256];
	const char *at;
	auto_fd fd = -1;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
	bl_digest_to_hex(&name, hex);
	snprintf(path, sizeof(path), "%s/manifests/%s.json", cache->path, hex);
	assert_int_equal(chmod(path, 0600), 0);
	fd = open(path, O_RDWR);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	at = strstr(text, "\"sha256\":\"");
	assert_non_null(at);
	at += strlen("\"sha256\":\"");
	assert_int_equal(pwrite(fd, *at == 'a' ? "b" : "a", 1, at - text), 1);
	assert_int_equal(bl_store_tree_use(cache->store, &name, &cache->err), -EBADMSG);
	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	assert_ok(cache, bl_store_tree_use(cache->store, &name, &cache->err));
}

static void flip_a_bit(const char *path)
{
	auto_fd fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "W", 1, 0), 1);
}

static void the_scrub_finds_a_flipped_bit(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_digest blob = digest_of("weights");
	const struct text_file two[] = {{"other", "weights"}};
	const struct text_file without[] = {{"other", "deeper"}};
	struct bl_digest third;
	struct bl_digest found;
	struct bl_digest first;
	struct bl_digest second;
	struct bl_store_trees trees = {0};
	struct bl_scrub scrub;
	char path[256];
	int bad = 0;
	int r;

	assert_ok(cache, publish_tree(cache->store, small, 4, &first, &cache->err));
	assert_ok(cache, publish_tree(cache->store, two, 1, &second, &cache->err));
	assert_ok(cache, publish_tree(cache->store, without, 1, &third, &cache->err));
	blob_path_of(cache, &blob, path);
	flip_a_bit(path);
	bl_scrub_init(&scrub);
	while ((r = bl_scrub_step(&scrub, dirs, NULL, &found, &cache->err)) != 0) {
		if (r == 1)
			continue;
		assert_int_equal(r, -EBADMSG);
		assert_true(bl_digest_equal(&found, &blob));
		assert_ok(cache, bl_store_blob_trees(dirs, &found, NULL, &trees, &cache->err));
		assert_int_equal(bl_store_trees_condemn(cache->store, &trees, &cache->err), 2);
		bad++;
	}
	bl_store_trees_done(&trees);
	assert_int_equal(bad, 1);
	assert_int_equal(scrub.blobs, 3);
	assert_int_equal(bl_store_tree_use(cache->store, &first, &cache->err), -ENOENT);
	assert_ok(cache, bl_store_tree_use(cache->store, &third, &cache->err));
	assert_int_equal(entries_in(cache, "quarantine"), 1);
	assert_ok(cache, publish_tree(cache->store, small, 4, &first, &cache->err));
	assert_ok(cache, bl_tree_verify(dirs, &first, NULL, &cache->err));
}

/* A directory of blobs that cannot be read, here since it is gone, is said once a round. */
static void the_scrub_goes_on_behind_what_it_cannot_read(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_digest blob = digest_of("weights");
	struct bl_digest found;
	struct bl_digest name;
	struct bl_scrub scrub;
	char path[256];
	int bad = 0;
	int r = 1;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	blob_path_of(cache, &blob, path);
	flip_a_bit(path);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "%s/blobs/sha256/%02x", cache->path, i);
		(void)rmdir(path);
	}
	bl_scrub_init(&scrub);
	for (int steps = 0; steps < 8 && r != 0; steps++) {
		r = bl_scrub_step(&scrub, dirs, NULL, &found, &cache->err);
		bad += r == -EBADMSG;
	}
	assert_int_equal(r, 0);
	assert_int_equal(bad, 1);
	assert_int_equal(scrub.blobs, 3);
	assert_int_equal(scrub.failed, -ENOENT);
}

static void verify_finds_a_flipped_bit(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_digest blob = digest_of("deeper");
	struct bl_digest name;
	char path[256];

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	blob_path_of(cache, &blob, path);
	flip_a_bit(path);
	assert_int_equal(bl_tree_verify(dirs, &name, NULL, &cache->err), -EBADMSG);
	assert_int_equal(blobs_in(cache), 2);
}

/* ---- Leases and space ---- */

static struct bl_store_lease lease_of(const struct cache *cache, const char *id, pid_t pid,
				      struct bl_digest *tree)
{
	struct bl_store_lease lease = {.id = (char *)id,
				       .tenant = (char *)"default",
				       .container = (char *)"c",
				       .pid = pid,
				       .start_time = 7,
				       .trees = tree,
				       .tree_count = tree ? 1 : 0};

	snprintf(lease.boot_id, sizeof(lease.boot_id), "%s", bl_store_boot_id(cache->store));
	return lease;
}

static int64_t fake_ms = 1000000000000;

static int64_t fake_clock(clockid_t id)
{
	(void)id;
	return fake_ms;
}

static void a_lease_survives_a_restart_and_its_grace(void **state)
{
	struct cache *cache = *state;
	struct bl_store_lease lease;
	struct bl_store_tree tree;
	struct bl_digest name;

	bl_store_close(&cache->store);
	cache->options.clock = fake_clock;
	cache_open(cache);
	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	lease = lease_of(cache, "web", 100, &name);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err)); /* joins */
	cache_reopen(cache);
	assert_int_equal(bl_store_tree_find(cache->store, &name, &tree), 0);
	assert_int_equal(tree.leases, 1);
	assert_int_equal(bl_store_tree_remove(cache->store, &name, &cache->err), -EBUSY);
	assert_ok(cache, bl_store_lease_end(cache->store, bl_store_boot_id(cache->store), 100, 7,
					    &cache->err));
	assert_int_equal(bl_store_lease_expire(cache->store), 900);
	fake_ms += 600 * 1000;
	cache_reopen(cache);
	assert_int_equal(bl_store_lease_expire(cache->store), 300);
	assert_int_equal(bl_store_tree_remove(cache->store, &name, &cache->err), -EBUSY);
	fake_ms += 300 * 1000;
	assert_int_equal(bl_store_lease_expire(cache->store), 0);
	assert_int_equal(entries_in(cache, "leases"), 0);
	assert_ok(cache, bl_store_tree_remove(cache->store, &name, &cache->err));
}

/* Between the look at it and the lease that names it. */
static void what_is_held_is_not_removed(void **state)
{
	struct cache *cache = *state;
	struct bl_digest name;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	assert_ok(cache, bl_store_tree_hold(cache->store, &name, &cache->err));
	assert_int_equal(bl_store_tree_remove(cache->store, &name, &cache->err), -EBUSY);
	bl_store_tree_unhold(cache->store, &name);
	assert_ok(cache, bl_store_tree_remove(cache->store, &name, &cache->err));
}

static void a_label_used_again_keeps_the_former_ones_grace(void **state)
{
	struct cache *cache = *state;
	const struct text_file other[] = {{"x", "other"}};
	struct bl_store_lease lease;
	struct bl_store_tree tree;
	struct bl_digest first;
	struct bl_digest second;

	assert_ok(cache, publish_tree(cache->store, small, 4, &first, &cache->err));
	assert_ok(cache, publish_tree(cache->store, other, 1, &second, &cache->err));
	lease = lease_of(cache, "web", 100, &first);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_ok(cache, bl_store_lease_end(cache->store, lease.boot_id, 100, 7, &cache->err));
	lease = lease_of(cache, "web", 200, &second);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_int_equal(bl_store_tree_find(cache->store, &first, &tree), 0);
	assert_int_equal(tree.leases, 1);
}

/* A lease keeps what is known of its tree; another must not be given what is gone by then. */
static void a_damaged_tree_is_leased_to_nobody_else(void **state)
{
	struct cache *cache = *state;
	struct bl_store_lease lease;
	struct bl_digest name;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	lease = lease_of(cache, "web", 100, &name);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_ok(cache, bl_store_tree_condemn(cache->store, &name, &cache->err));
	lease = lease_of(cache, "other", 200, &name);
	assert_int_equal(bl_store_lease_put(cache->store, &lease, &cache->err), -ENOENT);
	assert_int_equal(cache->err.code, BL_EX_RETRY);
}

/* After a reboot nothing of it runs any more: its grace runs from then. */
static void a_reboot_ends_leases(void **state)
{
	struct cache *cache = *state;
	struct bl_store_lease lease;
	struct bl_digest name;
	size_t position = 0;

	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	lease = lease_of(cache, "web", 100, &name);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	bl_store_close(&cache->store);
	cache->options.boot_id = "another-boot";
	cache_open(cache);
	assert_true(bl_store_lease_next(cache->store, &position)->ended_at > 0);
	assert_null(bl_store_lease_next(cache->store, &position));
	assert_int_equal(bl_store_lease_expire(cache->store), 900);
}

static void collect(struct cache *cache)
{
	struct bl_gc_options options;
	struct bl_gc_result result;

	bl_store_gc_options(cache->store, &options);
	assert_ok(cache,
		  bl_gc_collect(bl_store_dirs(cache->store), &options, &result, &cache->err));
	bl_store_collected(cache->store, &result);
}

static void a_damaged_tree_stays_for_who_has_it_mounted(void **state)
{
	struct cache *cache = *state;
	struct bl_store_lease lease;
	struct bl_digest name;
	char hex[BL_DIGEST_HEX];
	struct stat st;
	int mounted;

	cache->options.lease_grace = 0;
	cache_reopen(cache);
	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	bl_digest_to_hex(&name, hex);
	mounted = openat(bl_store_dirs(cache->store)->trees, hex, O_RDONLY | O_DIRECTORY);
	assert_true(mounted >= 0);
	lease = lease_of(cache, "web", 100, &name);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_ok(cache, bl_store_tree_condemn(cache->store, &name, &cache->err));
	collect(cache);
	assert_int_equal(fstatat(mounted, small[0].path, &st, 0), 0);
	cache_reopen(cache);
	collect(cache);
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 0);
	assert_int_equal(fstatat(mounted, small[0].path, &st, 0), 0);
	/* Its end makes a collect worth while. */
	assert_ok(cache, bl_store_lease_end(cache->store, lease.boot_id, 100, 7, &cache->err));
	assert_int_equal(bl_store_lease_expire(cache->store), 0);
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 1);
	collect(cache);
	assert_int_equal(fstatat(mounted, small[0].path, &st, 0), -1);
	assert_int_equal(entries_in(cache, "partial"), 0);
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 0);
	close(mounted);
}

static void a_lease_that_ends_while_its_damaged_tree_is_passed_over(void **state)
{
	struct cache *cache = *state;
	struct bl_store_lease lease;
	struct bl_gc_options options;
	struct bl_gc_result result;
	struct bl_digest name;

	cache->options.lease_grace = 0;
	cache_reopen(cache);
	assert_ok(cache, publish_tree(cache->store, small, 4, &name, &cache->err));
	lease = lease_of(cache, "web", 100, &name);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_ok(cache, bl_store_tree_condemn(cache->store, &name, &cache->err));
	bl_store_gc_options(cache->store, &options);
	assert_ok(cache,
		  bl_gc_collect(bl_store_dirs(cache->store), &options, &result, &cache->err));
	assert_int_equal(result.kept, 1);
	assert_ok(cache, bl_store_lease_end(cache->store, lease.boot_id, 100, 7, &cache->err));
	assert_int_equal(bl_store_lease_expire(cache->store), 0);
	bl_store_collected(cache->store, &result);
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 1);
	collect(cache);
	assert_int_equal(entries_in(cache, "partial"), 0);
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 0);
}

static int reserve(struct cache *cache, uint64_t bytes)
{
	int r;

	while ((r = bl_store_reserve(cache->store, bytes, 0, &cache->err)) == 1)
		collect(cache);
	return r;
}

/* Publishes a tree of one file of `kib` KiB, all the same byte. */
static struct bl_digest publish_large(struct cache *cache, char fill, size_t kib)
{
	auto_free char *text = malloc(kib * 1024 + 1);
	struct text_file file = {"model", text};
	struct bl_digest name;

	assert_non_null(text);
	memset(text, fill, kib * 1024);
	text[kib * 1024] = '\0';
	assert_ok(cache, publish_tree(cache->store, &file, 1, &name, &cache->err));
	bl_store_grew(cache->store, kib * 1024);
	return name;
}

static bool is_there(struct cache *cache, const struct bl_digest *name)
{
	struct bl_store_tree tree;

	return bl_store_tree_find(cache->store, name, &tree) == 0;
}

/* Without a look at its size. */
static bool is_present(struct cache *cache, const struct bl_digest *name)
{
	return bl_store_tree_is_there(cache->store, name);
}

static void the_oldest_unleased_goes_first(void **state)
{
	struct cache *cache = *state;
	struct bl_digest a;
	struct bl_digest b;
	struct bl_digest c;
	struct bl_digest d;
	struct bl_store_lease lease;
	struct bl_store_usage usage;

	bl_store_close(&cache->store);
	cache->options.max_bytes = 400 * 1024;
	cache->options.lease_grace = 0;
	cache_open(cache);
	a = publish_large(cache, 'a', 100);
	b = publish_large(cache, 'b', 100);
	c = publish_large(cache, 'c', 100);
	d = publish_large(cache, 'd', 100);
	assert_ok(cache,
		  bl_store_tree_use(cache->store, &a, &cache->err)); /* now b is the oldest */
	lease = lease_of(cache, "web", 1, &b);
	assert_ok(cache, bl_store_lease_put(cache->store, &lease, &cache->err));
	assert_ok(cache, bl_store_tree_pin(cache->store, &c, true, &cache->err));
	/* d and a may go; 250 KiB are too much, and then nothing goes. */
	assert_int_equal(reserve(cache, 250 * 1024), -ENOSPC);
	assert_non_null(strstr(cache->err.msg, "50.0 KiB are missing"));
	assert_true(is_there(cache, &a) && is_there(cache, &d));
	assert_int_equal(reserve(cache, 90 * 1024), 0);
	assert_true(is_there(cache, &a));
	assert_false(is_there(cache, &d));
	assert_ok(cache, bl_store_usage(cache->store, &usage, &cache->err));
	assert_int_equal(usage.reserved, 90 * 1024);
	assert_int_equal(usage.evictions, 1);
	assert_true(usage.bytes >= 300 * 1024 && usage.bytes < 320 * 1024);
	assert_int_equal(blobs_in(cache), 3);
	/* The order of uses and the pin survive a restart. Sizes are a collect's to read. */
	cache_reopen(cache);
	assert_int_equal(bl_store_reserve(cache->store, 190 * 1024, 0, &cache->err), 1);
	assert_true(is_present(cache, &a) && is_present(cache, &b) && is_present(cache, &c));
	assert_int_equal(reserve(cache, 90 * 1024), 0);
	assert_int_equal(reserve(cache, 90 * 1024), 0);
	assert_false(is_there(cache, &a));
	assert_true(is_there(cache, &b) && is_there(cache, &c));
}

static void what_is_held_is_not_evicted(void **state)
{
	struct cache *cache = *state;
	struct bl_digest older;
	struct bl_digest newer;

	bl_store_close(&cache->store);
	cache->options.max_bytes = 200 * 1024;
	cache->options.lease_grace = 0;
	cache_open(cache);
	older = publish_large(cache, 'a', 100);
	newer = publish_large(cache, 'b', 100);
	assert_ok(cache, bl_store_tree_hold(cache->store, &older, &cache->err));
	assert_int_equal(reserve(cache, 50 * 1024), 0);
	assert_true(is_there(cache, &older));
	assert_false(is_there(cache, &newer));
	bl_store_tree_unhold(cache->store, &older);
}

static void give_ref(struct cache *cache, unsigned number, const char *tenant,
		     const struct bl_digest *tree)
{
	struct bl_ref ref = {.tenant = (char *)tenant,
			     .source = (char *)"hf://o/r",
			     .manifest = *tree,
			     .files = 1,
			     .bytes = 100 * 1024};

	snprintf(ref.name, sizeof(ref.name), "%064u", number);
	assert_ok(cache, bl_ref_save(bl_store_dirs(cache->store), &ref, NULL, &cache->err));
}

/* Whether tenant "one" may have that much more within 300 KiB. */
static int check_tenant_with(struct cache *cache, const struct bl_digest *same, uint64_t bytes)
{
	struct bl_store_refs refs = {0};
	int r;

	bl_store_refs_begin(cache->store, &refs);
	assert_ok(cache,
		  bl_store_refs_read(bl_store_dirs(cache->store), "one", &refs, &cache->err));
	r = bl_store_check_tenant(cache->store, &refs, "one", same, 300 * 1024, bytes, &cache->err);
	bl_store_refs_done(&refs);
	return r;
}

static int check_tenant(struct cache *cache, uint64_t bytes)
{
	return check_tenant_with(cache, NULL, bytes);
}

/* A process that is being started has the agent's descriptors until it executes its program. */
static void a_fork_keeps_no_blob_from_being_published(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	auto_partial partial = NULL;
	auto_fd writer = -1;
	struct bl_digest blob;
	bool is_new = false;
	int status;
	pid_t child;

	assert_ok(cache, bl_partial_open(dirs, "k", 5, &partial, &cache->err));
	writer = bl_partial_writer(partial, &cache->err);
	assert_int_equal(pwrite(writer, "hello", 5, 0), 5);
	child = fork();
	if (child == 0) {
		struct stat st;

		/* Publication has begun once nobody may write any more: only then this one goes. */
		while (fstat(writer, &st) == 0 && (st.st_mode & 0222))
			sched_yield();
		_exit(0);
	}
	close(TAKE_FD(writer));
	assert_ok(cache, bl_blob_publish(&partial, NULL, &blob, &is_new, &cache->err));
	assert_true(is_new);
	bl_cachedir_unhold(dirs, &blob);
	assert_int_equal(waitpid(child, &status, 0), child);
}

/* What an unfinished download has brought whole has no tree yet, and is kept as long as what it has of others. */
static void orphans_are_kept_as_partials_are(void **state)
{
	struct cache *cache = *state;
	struct bl_gc_result nothing = {0};
	struct bl_gc_options options;

	bl_store_gc_options(cache->store, &options);
	bl_store_collected(cache->store, &nothing);
	assert_true(options.partials_before > 0);
	assert_true(options.orphans_before == options.partials_before);
}

/* A tenant over its quota loses its own oldest, never what another has too. */
static void a_tenants_quota_is_its_own(void **state)
{
	struct cache *cache = *state;
	struct bl_digest a = publish_large(cache, 'a', 100);
	struct bl_digest b = publish_large(cache, 'b', 100);
	struct bl_digest c = publish_large(cache, 'c', 100);

	give_ref(cache, 1, "one", &a);
	give_ref(cache, 2, "two", &a);
	give_ref(cache, 3, "one", &b);
	give_ref(cache, 4, "", &b);
	give_ref(cache, 5, "two", &c);
	assert_int_equal(check_tenant(cache, 100 * 1024), 0);
	assert_int_equal(check_tenant_with(cache, &b, 200 * 1024), 0);
	assert_true(is_there(cache, &b));
	assert_int_equal(check_tenant(cache, 201 * 1024), -ENOSPC);
	assert_non_null(strstr(cache->err.msg, "tenant 'one' (300 KiB): 1.0 KiB are missing"));
	assert_true(is_there(cache, &b));
	assert_int_equal(check_tenant(cache, 150 * 1024), 1);
	assert_true(is_there(cache, &a) && is_there(cache, &c));
	assert_false(is_there(cache, &b));
	assert_int_equal(check_tenant(cache, 150 * 1024), 0);
}

/* A tree that came while they were read counts, too. */
static void a_look_at_refs_that_is_out_of_date_is_none(void **state)
{
	struct cache *cache = *state;
	struct bl_store_refs refs = {0};
	struct bl_digest a;

	bl_store_refs_begin(cache->store, &refs);
	assert_ok(cache,
		  bl_store_refs_read(bl_store_dirs(cache->store), "one", &refs, &cache->err));
	a = publish_large(cache, 'a', 100);
	give_ref(cache, 1, "one", &a);
	assert_int_equal(bl_store_check_tenant(cache->store, &refs, "one", NULL, 150 * 1024,
					       100 * 1024, &cache->err),
			 -EAGAIN);
	bl_store_refs_begin(cache->store, &refs);
	assert_ok(cache,
		  bl_store_refs_read(bl_store_dirs(cache->store), "one", &refs, &cache->err));
	assert_int_equal(bl_store_check_tenant(cache->store, &refs, "one", NULL, 150 * 1024,
					       100 * 1024, &cache->err),
			 1);
	assert_false(is_there(cache, &a));
	bl_store_refs_done(&refs);
}

/* While a worker allocates what was reserved the filesystem may count it, too. */
static void what_is_being_allocated_evicts_nothing(void **state)
{
	struct cache *cache = *state;
	struct bl_digest a;

	bl_store_close(&cache->store);
	cache->options.max_bytes = 300 * 1024;
	cache_open(cache);
	a = publish_large(cache, 'a', 100);
	assert_int_equal(reserve(cache, 150 * 1024), 0);
	bl_store_allocate(cache->store, 150 * 1024);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(bl_store_reserve(cache->store, 100 * 1024, 0, &cache->err), 1);
		collect(cache);
	}
	assert_true(is_there(cache, &a));
	bl_store_allocated(cache->store, 150 * 1024);
	assert_int_equal(reserve(cache, 100 * 1024), 0);
	assert_false(is_there(cache, &a));
}

/* Above the high mark the oldest go, down to the low one. */
static void marks_are_kept(void **state)
{
	struct cache *cache = *state;
	struct bl_digest names[4];

	bl_store_close(&cache->store);
	cache->options.max_bytes = 450 * 1024;
	cache->options.high_percent = 80;
	cache->options.low_percent = 50;
	cache_open(cache);
	for (size_t i = 0; i < 3; i++)
		names[i] = publish_large(cache, (char)('a' + i), 100);
	/* The first count is a collect's. */
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 1);
	collect(cache);
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 0);
	names[3] = publish_large(cache, 'd', 100);
	/* Once for a count, once for what is evicted. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(bl_store_trim(cache->store, &cache->err), 1);
		collect(cache);
	}
	assert_int_equal(bl_store_trim(cache->store, &cache->err), 0);
	assert_false(is_there(cache, &names[0]) || is_there(cache, &names[1]));
	assert_true(is_there(cache, &names[2]) && is_there(cache, &names[3]));
}

static void a_clock_that_jumps_keeps_the_order(void **state)
{
	struct cache *cache = *state;
	struct bl_digest a;
	struct bl_digest b;

	bl_store_close(&cache->store);
	cache->options.max_bytes = 200 * 1024;
	cache->options.clock = fake_clock;
	cache_open(cache);
	fake_ms += 10LL * 365 * 24 * 3600 * 1000;
	a = publish_large(cache, 'a', 90);
	fake_ms -= 10LL * 365 * 24 * 3600 * 1000;
	cache_reopen(cache);
	b = publish_large(cache, 'b', 90);
	assert_int_equal(reserve(cache, 80 * 1024), 0);
	assert_false(is_there(cache, &a));
	assert_true(is_there(cache, &b));
}

static void a_shared_blob_stays_with_the_other_tree(void **state)
{
	struct cache *cache = *state;
	const struct text_file one[] = {{"x", "shared"}, {"y", "own"}};
	const struct text_file two[] = {{"z", "shared"}};
	struct bl_digest first;
	struct bl_digest second;

	assert_ok(cache, publish_tree(cache->store, one, 2, &first, &cache->err));
	assert_ok(cache, publish_tree(cache->store, two, 1, &second, &cache->err));
	assert_ok(cache, bl_store_tree_remove(cache->store, &first, &cache->err));
	collect(cache);
	assert_int_equal(blobs_in(cache), 1);
	assert_ok(cache, bl_store_tree_use(cache->store, &second, &cache->err));
	assert_ok(cache, bl_tree_verify(bl_store_dirs(cache->store), &second, NULL, &cache->err));
}

static void a_held_blob_stays(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_digest name;
	struct bl_digest blob;
	const struct text_file one[] = {{"x", "held"}};

	assert_ok(cache, publish_bytes(dirs, "k", "held", 4, &blob, &cache->err));
	assert_ok(cache, publish_tree(cache->store, one, 1, &name, &cache->err));
	assert_ok(cache, bl_store_tree_remove(cache->store, &name, &cache->err));
	collect(cache);
	assert_int_equal(blobs_in(cache), 1);
	bl_cachedir_unhold(dirs, &blob);
	bl_store_close(&cache->store);
	cache->options.lease_grace = cache->options.partial_ttl = -10;
	cache_open(cache);
	collect(cache);
	assert_int_equal(blobs_in(cache), 0);
}

/* What another run left behind goes by itself; its downloads stay to be resumed. */
static void leftovers_are_collected(void **state)
{
	struct cache *cache = *state;
	auto_partial partial = NULL;
	char path[256];

	assert_ok(cache,
		  bl_partial_open(bl_store_dirs(cache->store), "k", 9, &partial, &cache->err));
	bl_partial_close(&partial);
	snprintf(path, sizeof(path), "%s/partial/tree.0123456789abcdef.1", cache->path);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/partial/json.0123456789abcdef.1", cache->path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(path, sizeof(path), "%s/partial/spare.0123456789abcdef.1", cache->path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(path, sizeof(path), "%s/leases/.x.json.77", cache->path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	cache_reopen(cache);
	collect(cache);
	assert_int_equal(entries_in(cache, "partial"), 2);
	assert_int_equal(entries_in(cache, "leases"), 0);
}

/* A download that is open stays. */
static void each_download_that_goes_is_counted(void **state)
{
	struct cache *cache = *state;
	const struct bl_gc_options options = {.partials_before = INT64_MAX};
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	static const char *const keys[] = {"a", "b", "c"};
	auto_partial open = NULL;
	struct bl_gc_result result;

	for (size_t i = 0; i < 3; i++) {
		auto_partial partial = NULL;

		assert_ok(cache, bl_partial_open(dirs, keys[i], 9000, &partial, &cache->err));
	}
	assert_ok(cache, bl_partial_open(dirs, "d", 9000, &open, &cache->err));
	assert_ok(cache, bl_gc_collect(dirs, &options, &result, &cache->err));
	assert_int_equal(result.partials, 3);
	assert_true(result.freed >= 27000);
	assert_int_equal(entries_in(cache, "partial"), 2);
}

/* ---- Refs ---- */

static void refs_are_kept_and_are_a_tenants_own(void **state)
{
	struct cache *cache = *state;
	struct bl_cachedir *dirs = bl_store_dirs(cache->store);
	struct bl_weights_item_name {
		char a[BL_DIGEST_HEX], b[BL_DIGEST_HEX];
	} names;
	struct bl_ref ref = {.tenant = (char *)"a",
			     .source = (char *)"hf://o/r,\"files\":[",
			     .revision = (char *)"abc",
			     .credential = true,
			     .resolved_at = 5,
			     .authorised_at = 6,
			     .files = 1,
			     .bytes = 2};
	auto_ref got = {0};
	auto_json promises = NULL;
	const char *text = "";
	auto_manifest manifest;

	snprintf(names.a, sizeof(names.a), "%064d", 1);
	snprintf(names.b, sizeof(names.b), "%064d", 2);
	memcpy(ref.name, names.a, sizeof(ref.name));
	ref.manifest = digest_of("m");
	bl_manifest_init(&manifest);
	assert_ok(cache, bl_manifest_add(&manifest, "x", 1, NULL, "{\"etag\":\"e\"}", &cache->err));
	assert_ok(cache, bl_ref_save(dirs, &ref, &manifest, &cache->err));
	assert_int_equal(bl_ref_load(dirs, names.b, &got, &cache->err), -ENOENT);
	assert_ok(cache, bl_ref_authorise(dirs, names.a, 99, &cache->err));
	assert_ok(cache, bl_ref_load(dirs, names.a, &got, &cache->err));
	assert_string_equal(got.tenant, "a");
	assert_string_equal(got.source, ref.source);
	assert_string_equal(got.revision, "abc");
	assert_true(got.credential);
	assert_int_equal(got.authorised_at, 99);
	assert_true(bl_digest_equal(&got.manifest, &ref.manifest));
	assert_ok(cache, bl_ref_load_promises(dirs, names.a, &promises, &cache->err));
	assert_int_equal(bl_json_length(promises), 1);
	assert_true(bl_json_get_string(bl_json_first(promises), "path", &text, NULL) > 0);
	assert_string_equal(text, "x");
	assert_true(bl_json_get_string(bl_json_first(promises), "etag", &text, NULL) > 0);
	assert_string_equal(text, "e");
	assert_int_equal(entries_in(cache, "partial"), 0);
}

static void authorisations_run_out(void **state)
{
	struct bl_ref ref = {.authorised_at = 1000};

	(void)state;
	assert_int_equal(bl_ref_authority(&ref, 1000, 60, 600), BL_REF_VALID);
	assert_int_equal(bl_ref_authority(&ref, 1059, 60, 600), BL_REF_VALID);
	assert_int_equal(bl_ref_authority(&ref, 1060, 60, 600), BL_REF_GRACE);
	assert_int_equal(bl_ref_authority(&ref, 1600, 60, 600), BL_REF_NONE);
	/* Recorded by a clock that was ten years ahead. */
	ref.authorised_at = 1000 + 10LL * 365 * 24 * 3600;
	assert_int_equal(bl_ref_authority(&ref, 1000, 60, 600), BL_REF_NONE);
	ref.authorised_at = 0;
	assert_int_equal(bl_ref_authority(&ref, 10, 60, 600), BL_REF_NONE);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, cache_setup, cache_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_CACHE(publishes_a_tree),
		WITH_CACHE(manifest_is_canonical),
		WITH_CACHE(refuses_paths),
		WITH_CACHE(refuses_collisions),
		WITH_CACHE(refuses_one_file_too_many),
		WITH_CACHE(wrong_digest_is_not_published),
		WITH_CACHE(what_was_digested_early_counts),
		WITH_CACHE(a_writer_left_is_seen),
		WITH_CACHE(what_changes_while_it_is_read_is_refused),
		WITH_CACHE(a_planted_blob_is_quarantined),
		WITH_CACHE(a_download_is_resumed),
		WITH_CACHE(a_spoilt_journal_counts_up_to_there),
		WITH_CACHE(a_journal_of_another_download_counts_for_nothing),
		WITH_CACHE(a_published_inode_is_never_handed_out),
		WITH_CACHE(two_agents_are_refused),
		WITH_CACHE(foreign_things_are_refused),
		WITH_CACHE(another_owner_is_refused),
		WITH_CACHE(a_directory_in_use_is_refused),
		WITH_CACHE(a_truncated_file_is_found_before_use),
		WITH_CACHE(a_planted_file_is_found_before_use),
		WITH_CACHE(a_planted_directory_is_found_before_use),
		WITH_CACHE(a_file_planted_among_many_is_found_before_use),
		WITH_CACHE(a_spoilt_manifest_is_found_before_use),
		WITH_CACHE(the_scrub_finds_a_flipped_bit),
		WITH_CACHE(the_scrub_goes_on_behind_what_it_cannot_read),
		WITH_CACHE(verify_finds_a_flipped_bit),
		WITH_CACHE(a_lease_survives_a_restart_and_its_grace),
		WITH_CACHE(a_damaged_tree_stays_for_who_has_it_mounted),
		WITH_CACHE(a_lease_that_ends_while_its_damaged_tree_is_passed_over),
		WITH_CACHE(what_is_held_is_not_removed),
		WITH_CACHE(a_label_used_again_keeps_the_former_ones_grace),
		WITH_CACHE(a_damaged_tree_is_leased_to_nobody_else),
		WITH_CACHE(a_reboot_ends_leases),
		WITH_CACHE(the_oldest_unleased_goes_first),
		WITH_CACHE(what_is_held_is_not_evicted),
		WITH_CACHE(a_fork_keeps_no_blob_from_being_published),
		WITH_CACHE(orphans_are_kept_as_partials_are),
		WITH_CACHE(a_tenants_quota_is_its_own),
		WITH_CACHE(a_look_at_refs_that_is_out_of_date_is_none),
		WITH_CACHE(what_is_being_allocated_evicts_nothing),
		WITH_CACHE(marks_are_kept),
		WITH_CACHE(a_clock_that_jumps_keeps_the_order),
		WITH_CACHE(a_shared_blob_stays_with_the_other_tree),
		WITH_CACHE(a_held_blob_stays),
		WITH_CACHE(leftovers_are_collected),
		WITH_CACHE(each_download_that_goes_is_counted),
		WITH_CACHE(refs_are_kept_and_are_a_tenants_own),
		cmocka_unit_test(authorisations_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
