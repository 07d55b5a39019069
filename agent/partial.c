// SPDX-License-Identifier: Apache-2.0
#include "agent/partial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "agent/cachedir.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

#define DATA	   ".data"
#define RANGES	   ".ranges"
#define OPEN_TRIES 16

/* One record of the journal, in the machine's own byte order: a cache does not travel. */
struct record {
	int64_t from, to;
	uint64_t nonce, check;
};

static uint64_t record_check(const struct record *record)
{
	const uint8_t *bytes = (const uint8_t *)record;
	uint64_t hash = 0xcbf29ce484222325U; /* FNV-1a: against torn writes, not against people */

	for (size_t i = 0; i < offsetof(struct record, check); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3U;
	return hash;
}

uint64_t bl_partial_have(const struct bl_partial *partial)
{
	return (uint64_t)bl_ranges_total(&partial->have);
}

/* What is one too many is lost progress, nothing else. */
static int add_range(struct bl_partial *partial, int64_t from, int64_t to)
{
	int r = bl_ranges_add(&partial->have, from, to, NULL);

	return r == -E2BIG ? 0 : r;
}

/* ---- The journal ---- */

static bool is_within(const struct bl_partial *partial, int64_t from, int64_t to)
{
	return from >= 0 && from < to && (uint64_t)to <= partial->size;
}

static bool is_good(const struct bl_partial *partial, const struct record *record)
{
	return record->check == record_check(record) && record->nonce == partial->nonce &&
	       is_within(partial, record->from, record->to);
}

static int load_journal(struct bl_partial *partial)
{
	struct record records[128];

	for (;;) {
		ssize_t n = bl_sys_pread(partial->journal, records, sizeof(records),
					 (off_t)(partial->records * sizeof(*records)));

		if (n < 0)
			return (int)n;
		for (size_t i = 0; i < (size_t)n / sizeof(*records); i++) {
			int r;

			if (!is_good(partial, &records[i]))
				return 0;
			r = add_range(partial, records[i].from, records[i].to);
			if (r < 0)
				return r;
			partial->records++;
		}
		if ((size_t)n < sizeof(records))
			return 0;
	}
}

/* Writes records after those that are there; what was written in part is not counted. */
static int append_ranges(struct bl_partial *partial, const struct bl_range *ranges, size_t count)
{
	for (size_t done = 0; done < count;) {
		struct record records[128];
		size_t n = 0;
		int r;

		for (; n < 128 && done + n < count; n++) {
			records[n] = (struct record){ranges[done + n].from, ranges[done + n].to,
						     partial->nonce, 0};
			records[n].check = record_check(&records[n]);
		}
		r = bl_sys_pwrite_all(partial->journal, records, n * sizeof(*records),
				      (off_t)(partial->records * sizeof(*records)));
		if (r < 0)
			return r;
		partial->records += n;
		done += n;
	}
	return 0;
}

/* Writes the journal anew when it has grown long; a crash in between loses progress alone. */
static int shorten_journal(struct bl_partial *partial)
{
	int r;

	if (partial->records < 2 * BL_RANGES_MAX)
		return 0;
	r = bl_sys_ftruncate(partial->journal, 0);
	if (r < 0)
		return r;
	partial->records = 0;
	return append_ranges(partial, partial->have.at, partial->have.count);
}

int bl_partial_sync(struct bl_partial *partial, struct bl_err *err)
{
	int r = partial->spoilt ? -EIO : bl_sys_fsync(partial->data);

	if (r == 0)
		return 0;
	partial->spoilt = true;
	return bl_cachedir_err(err, -r, "sync of a download");
}

int bl_partial_note(struct bl_partial *partial, const struct bl_range *ranges, size_t count,
		    struct bl_err *err)
{
	int r;

	for (size_t i = 0; i < count; i++)
		if (!is_within(partial, ranges[i].from, ranges[i].to))
			return bl_err_config(err, "range [%lld,%lld) of a file of %llu bytes",
					     (long long)ranges[i].from, (long long)ranges[i].to,
					     (unsigned long long)partial->size);
	r = partial->spoilt ? -EIO : bl_sys_fdatasync(partial->data);
	if (r < 0) {
		partial->spoilt = true;
		return bl_cachedir_err(err, -r, "sync of a download");
	}
	bl_sys_point("partial-synced");
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_range(partial, ranges[i].from, ranges[i].to);
	if (r == 0)
		r = append_ranges(partial, ranges, count);
	if (r == 0)
		r = shorten_journal(partial);
	bl_sys_point("partial-noted");
	return r < 0 ? bl_cachedir_err(err, -r, "journal of a download") : 0;
}

/* ---- Opening ---- */

static void part_name(const struct bl_partial *partial, const char *suffix,
		      char name[BL_CACHEDIR_NAME])
{
	(void)snprintf(name, BL_CACHEDIR_NAME, "%s%s", partial->name, suffix);
}

static struct bl_partial *new_partial(struct bl_cachedir *dirs, uint64_t size)
{
	struct bl_partial *partial = calloc(1, sizeof(*partial));

	if (partial) {
		partial->dirs = dirs;
		partial->size = size;
		partial->data = partial->journal = -1;
	}
	return partial;
}

/* Whether its data is gone: 0, or why it is not. */
static int remove_names(const struct bl_partial *partial)
{
	char name[BL_CACHEDIR_NAME];
	int r;

	part_name(partial, DATA, name);
	r = bl_sys_unlinkat(partial->dirs->partial, name, 0);
	part_name(partial, RANGES, name);
	(void)bl_sys_unlinkat(partial->dirs->partial, name, 0);
	return r == -ENOENT ? 0 : r;
}

static void release(struct bl_partial **to_free)
{
	struct bl_partial *partial = *to_free;
	int saved = errno;

	if (partial->data >= 0)
		(void)close(partial->data);
	if (partial->journal >= 0)
		(void)close(partial->journal);
	bl_ranges_done(&partial->have);
	bl_digest_stream_free(&partial->stream);
	free(partial);
	*to_free = NULL;
	errno = saved;
}

void bl_partial_close(struct bl_partial **partial)
{
	if (!*partial)
		return;
	if ((*partial)->spoilt)
		(void)remove_names(*partial);
	release(partial);
}

void bl_partial_discard(struct bl_partial **partial)
{
	if (!*partial)
		return;
	(void)remove_names(*partial);
	release(partial);
}

/* Opens data read-only and locks it. -EBUSY where somebody has it, -ESTALE where it cannot be used:
 * another size, or already linked to a blob (a crash came before its name was removed). */
static int open_data(struct bl_partial *partial)
{
	char name[BL_CACHEDIR_NAME];
	struct stat st;
	int r;

	part_name(partial, DATA, name);
	partial->data = bl_sys_openat(partial->dirs->partial, name, O_RDONLY | O_NOFOLLOW, 0);
	if (partial->data < 0)
		return partial->data;
	if (flock(partial->data, LOCK_EX | LOCK_NB) < 0)
		return -EBUSY;
	r = bl_sys_fstat(partial->data, &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode) || st.st_uid != partial->dirs->owner || st.st_nlink != 1 ||
	    (uint64_t)st.st_size != partial->size)
		return -ESTALE;
	partial->on_disk = (uint64_t)st.st_blocks * 512;
	if (partial->on_disk > partial->size)
		partial->on_disk = partial->size;
	return bl_sys_fchmod(partial->data, 0600);
}

static int open_journal(struct bl_partial *partial, int flags)
{
	char name[BL_CACHEDIR_NAME];

	part_name(partial, RANGES, name);
	partial->journal =
		bl_sys_openat(partial->dirs->partial, name, O_RDWR | O_NOFOLLOW | flags, 0600);
	return partial->journal < 0 ? partial->journal : 0;
}

/* Takes up the partial whose data file is `file`; NULL where it cannot be. */
static struct bl_partial *take_up(struct bl_cachedir *dirs, const char *file, uint64_t size)
{
	struct bl_partial *partial = new_partial(dirs, size);
	unsigned long long nonce;
	int r;

	if (!partial)
		return NULL;
	(void)snprintf(partial->name, sizeof(partial->name), "%.*s",
		       (int)(strlen(file) - strlen(DATA)), file);
	if (sscanf(partial->name + BL_DIGEST_HEX, "%16llx", &nonce) != 1)
		nonce = 0;
	partial->nonce = nonce;
	r = open_data(partial);
	if (r == 0)
		r = open_journal(partial, O_CREAT);
	if (r == 0)
		r = load_journal(partial);
	if (r == 0)
		return partial;
	if (r == -ESTALE)
		(void)remove_names(partial);
	release(&partial);
	return NULL;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len > strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static bool is_data(const char *name)
{
	return strlen(name) == BL_DIGEST_HEX + 16 + strlen(DATA) && ends_with(name, DATA);
}

/* Of those with this key that nobody has open, the one with most in its journal; or NULL. */
static int take_up_best(struct bl_cachedir *dirs, const char *key, uint64_t size,
			struct bl_partial **ret, struct bl_err *err)
{
	const struct dirent *entry;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->partial, ".", &dir);

	if (r < 0)
		return bl_cachedir_err(err, -r, "read 'partial'");
	while ((entry = readdir(dir))) {
		struct bl_partial *found;

		if (!is_data(entry->d_name) || strncmp(entry->d_name, key, strlen(key)) != 0)
			continue;
		found = take_up(dirs, entry->d_name, size);
		if (found && *ret && bl_partial_have(found) <= bl_partial_have(*ret))
			bl_partial_close(&found);
		if (!found)
			continue;
		bl_partial_close(ret);
		*ret = found;
	}
	return 0;
}

/* Space for all of it, so that a full disk shows here and not in the middle. */
static int allocate(int fd, uint64_t size)
{
	int r = size > 0 ? bl_sys_fallocate(fd, 0, 0, (off_t)size) : 0;

	if (r == -EOPNOTSUPP || r == -ENOSYS || r == -EINVAL)
		r = bl_sys_ftruncate(fd, (off_t)size);
	return r;
}

static int make_files(struct bl_partial *partial)
{
	char name[BL_CACHEDIR_NAME];
	auto_fd fd = -1;
	int r;

	part_name(partial, DATA, name);
	fd = bl_sys_openat(partial->dirs->partial, name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return fd;
	r = allocate(fd, partial->size);
	if (r == 0)
		r = open_data(partial);
	if (r == 0)
		r = open_journal(partial, O_CREAT | O_EXCL);
	return r;
}

static int make_new(struct bl_cachedir *dirs, const char *key, uint64_t size,
		    struct bl_partial **ret, struct bl_err *err)
{
	struct bl_partial *partial = new_partial(dirs, size);
	int r;

	if (!partial)
		return bl_err_nomem(err);
	if (getrandom(&partial->nonce, sizeof(partial->nonce), 0) != sizeof(partial->nonce)) {
		release(&partial);
		return bl_err_sys(err, EIO, "random bytes");
	}
	(void)snprintf(partial->name, sizeof(partial->name), "%s.%016llx", key,
		       (unsigned long long)partial->nonce);
	r = make_files(partial);
	if (r == 0) {
		partial->is_new = true;
		bl_sys_point("partial-made");
		*ret = partial;
		return 0;
	}
	bl_partial_discard(&partial);
	return bl_cachedir_err(err, -r, "room for a file of %llu bytes", (unsigned long long)size);
}

int bl_partial_open(struct bl_cachedir *dirs, const char *key, uint64_t size,
		    struct bl_partial **ret, struct bl_err *err)
{
	struct bl_digest digest;
	int r = bl_digest_bytes(key, strlen(key), &digest, err);

	return r < 0 ? r : bl_partial_open_key(dirs, &digest, size, ret, err);
}

int bl_partial_open_key(struct bl_cachedir *dirs, const struct bl_digest *key, uint64_t size,
			struct bl_partial **ret, struct bl_err *err)
{
	struct bl_partial *partial = NULL;
	char hex[BL_DIGEST_HEX];
	int r;

	bl_digest_to_hex(key, hex);
	r = take_up_best(dirs, hex, size, &partial, err);
	/* A new one may be collected before it is locked: then another is made. */
	for (int tries = 0; r == 0 && !partial && tries < OPEN_TRIES; tries++) {
		r = make_new(dirs, hex, size, &partial, err);
		if (r == -ESTALE || r == -EBUSY || r == -ENOENT)
			r = 0;
	}
	if (r == 0 && !partial)
		return bl_err_set(err, BL_EX_RETRY, EBUSY, "a download cannot be begun");
	if (r == 0)
		*ret = partial;
	return r;
}

int bl_partial_find(struct bl_cachedir *dirs, const struct bl_digest *key, uint64_t size,
		    struct bl_partial **ret, struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(key, hex);
	*ret = NULL;
	return take_up_best(dirs, hex, size, ret, err);
}

int bl_partial_forget(struct bl_cachedir *dirs, const struct bl_digest *key, uint64_t size,
		      struct bl_err *err)
{
	struct bl_partial *partial = NULL;
	int r = bl_partial_find(dirs, key, size, &partial, err);

	while (r == 0 && partial) {
		r = remove_names(partial);
		bl_partial_close(&partial);
		r = r < 0 ? bl_cachedir_err(err, -r, "removal of an earlier download")
			  : bl_partial_find(dirs, key, size, &partial, err);
	}
	return r;
}

static int compare_keys(const void *a, const void *b)
{
	return bl_digest_compare(a, b);
}

int bl_partial_keys(const struct bl_cachedir *dirs, struct bl_digest **ret, size_t *ret_count,
		    struct bl_err *err)
{
	auto_free struct bl_digest *keys = NULL;
	const struct dirent *entry;
	auto_dir dir = NULL;
	size_t count = 0;
	size_t room = 0;
	int r = bl_fs_list(dirs->partial, ".", &dir);

	if (r < 0)
		return bl_cachedir_err(err, -r, "read 'partial'");
	while ((entry = readdir(dir))) {
		char hex[BL_DIGEST_HEX];

		(void)snprintf(hex, sizeof(hex), "%.64s", entry->d_name);
		if (count == room) {
			struct bl_digest *more;

			room = room * 2 + 64;
			more = reallocarray(keys, room, sizeof(*keys));
			if (!more)
				return bl_err_nomem(err);
			keys = more;
		}
		if (is_data(entry->d_name) && bl_digest_from_hex(hex, &keys[count]) == 0)
			count++;
	}
	if (count > 0)
		qsort(keys, count, sizeof(*keys), compare_keys);
	*ret = TAKE_PTR(keys);
	*ret_count = count;
	return 0;
}

static int open_again(const struct bl_partial *partial, int flags, struct bl_err *err)
{
	char name[BL_CACHEDIR_NAME];
	auto_fd fd = -1;
	struct stat ours;
	struct stat its;
	int r;

	part_name(partial, DATA, name);
	fd = bl_sys_openat(partial->dirs->partial, name, flags | O_NOFOLLOW, 0);
	if (fd < 0)
		return bl_cachedir_err(err, -fd, "open a download");
	r = bl_sys_fstat(fd, &its);
	if (r == 0)
		r = bl_sys_fstat(partial->data, &ours);
	if (r < 0)
		return bl_cachedir_err(err, -r, "stat a download");
	if (its.st_ino != ours.st_ino || its.st_nlink != 1)
		return bl_err_refuse(err, "a download was exchanged in the cache");
	return TAKE_FD(fd);
}

int bl_partial_writer(const struct bl_partial *partial, struct bl_err *err)
{
	return open_again(partial, O_RDWR, err);
}

/* Not a duplicate of ours, which carries the lock. */
int bl_partial_reader(const struct bl_partial *partial, struct bl_err *err)
{
	return open_again(partial, O_RDONLY, err);
}

void bl_partial_hash_drop(struct bl_partial *partial)
{
	bl_digest_stream_free(&partial->stream);
	partial->hashed = 0;
}

int bl_partial_hash(struct bl_partial *partial, uint64_t to, struct bl_err *err)
{
	int r;

	if (!partial->stream)
		partial->stream = bl_digest_stream_new();
	if (!partial->stream)
		return bl_err_nomem(err);
	r = bl_digest_stream_read(partial->stream, partial->data, partial->hashed, to, err);
	if (r < 0)
		bl_partial_hash_drop(partial);
	else
		partial->hashed = to;
	return r;
}

/* ---- Collecting ---- */

/* Removes the data file `name` and its journal, unless it is open or younger. */
static void collect_one(struct bl_cachedir *dirs, const char *name, int64_t older_than,
			struct bl_partial_collected *collected)
{
	auto_fd fd = bl_sys_openat(dirs->partial, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	char journal[BL_CACHEDIR_NAME];
	struct stat st;

	if (fd < 0 || bl_sys_fstat(fd, &st) < 0 || st.st_mtime >= older_than ||
	    flock(fd, LOCK_EX | LOCK_NB) < 0)
		return;
	if (bl_sys_unlinkat(dirs->partial, name, 0) < 0)
		return;
	(void)snprintf(journal, sizeof(journal), "%.*s" RANGES, (int)(strlen(name) - strlen(DATA)),
		       name);
	(void)bl_sys_unlinkat(dirs->partial, journal, 0);
	/* One that is a blob, too, was finished. */
	if (st.st_nlink > 1)
		return;
	collected->count++;
	collected->bytes += (uint64_t)st.st_blocks * 512;
}

/* A journal whose data is gone. */
static void collect_journal(struct bl_cachedir *dirs, const char *name)
{
	char data[BL_CACHEDIR_NAME];
	struct stat st;

	(void)snprintf(data, sizeof(data), "%.*s" DATA, (int)(strlen(name) - strlen(RANGES)), name);
	if (bl_sys_fstatat(dirs->partial, data, &st, AT_SYMLINK_NOFOLLOW) == -ENOENT)
		(void)bl_sys_unlinkat(dirs->partial, name, 0);
}

int bl_partial_collect(struct bl_cachedir *dirs, int64_t older_than,
		       struct bl_partial_collected *collected, struct bl_err *err)
{
	const struct dirent *entry;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->partial, ".", &dir);

	if (r < 0)
		return bl_cachedir_err(err, -r, "read 'partial'");
	while ((entry = readdir(dir))) {
		if (strlen(entry->d_name) >= BL_CACHEDIR_NAME - sizeof(RANGES))
			continue;
		if (ends_with(entry->d_name, DATA))
			collect_one(dirs, entry->d_name, older_than, collected);
		else if (ends_with(entry->d_name, RANGES))
			collect_journal(dirs, entry->d_name);
	}
	return 0;
}
