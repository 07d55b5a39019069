// SPDX-License-Identifier: Apache-2.0
#include "agent/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/cachedir.h"
#include "agent/manifest.h"
#include "agent/ref.h"
#include "agent/store_impl.h"
#include "agent/tree.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

#define INDEX_MAX (4U * 1024 * 1024)
#define BUCKETS	  16384U /* a power of two; a chain has one or two of ten thousand trees */

/* ---- Opening ---- */

/* One without a manifest is of no use, and goes. */
static int load_tree(struct bl_store *store, const struct bl_digest *name, struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_add(store, name);
	int r;

	if (!entry)
		return bl_err_nomem(err);
	r = bl_store_entry_load(store, entry);
	entry->present = r == 0;
	if (r == 0)
		return 0;
	bl_store_entry_tidy(store, entry);
	if (r != -ENOENT)
		return bl_err_sys(err, -r, "stat a manifest");
	store->retired++;
	return bl_tree_retire(store->dirs, name, true, err);
}

static int load_trees(struct bl_store *store, struct bl_err *err)
{
	const struct dirent *file;
	auto_dir dir = NULL;
	int r = bl_fs_list(store->dirs->trees, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read 'trees'");
	while ((r = bl_sys_readdir(dir, &file)) > 0) {
		struct bl_digest name;

		if (bl_digest_from_hex(file->d_name, &name) < 0)
			return bl_err_refuse(err, "'trees' holds '%s', which is no tree: remove it",
					     file->d_name);
		r = load_tree(store, &name, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? bl_err_sys(err, -r, "read 'trees'") : 0;
}

static int load_pins(struct bl_store *store, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = INDEX_MAX};
	auto_buf text = BL_BUF_INIT(INDEX_MAX);
	auto_json index = NULL;
	const bl_json *pins = NULL;
	int r = bl_fs_read_file(store->dirs->root, "index.json", &text, err);

	if (r == 0)
		r = bl_json_parse(bl_buf_str(&text), text.len, &limits, &index, err);
	if (r == 0)
		r = bl_json_get_strings(index, "pins", &pins, err);
	if (r <= 0)
		return r;
	for (const bl_json *pin = bl_json_first(pins); pin; pin = bl_json_next(pin)) {
		struct bl_store_entry *entry;
		struct bl_digest name;

		if (bl_digest_from_hex(bl_json_string(pin), &name) < 0)
			return bl_err_refuse(err, "index.json: pins: not a tree's name");
		entry = bl_store_entry_add(store, &name);
		if (!entry)
			return bl_err_nomem(err);
		entry->pinned = true;
	}
	return 0;
}

/* A write that a crash cut short leaves ".<name>.<pid>" behind. */
static int tidy_temporaries(int dirfd, struct bl_err *err)
{
	const struct dirent *file;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirfd, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read directory");
	while ((file = readdir(dir)))
		if (file->d_name[0] == '.' && strstr(file->d_name, ".json."))
			(void)bl_sys_unlinkat(dirfd, file->d_name, 0);
	return 0;
}

static int load(struct bl_store *store, struct bl_err *err)
{
	int r = bl_cachedir_open(store->options.path, &store->dirs, err);

	if (r == 0)
		r = tidy_temporaries(store->dirs->root, err);
	if (r == 0)
		r = tidy_temporaries(store->dirs->leases, err);
	/* Leases first: a tree that is found without a manifest may be mounted. */
	if (r == 0)
		r = bl_store_leases_load(store, err);
	if (r == 0)
		r = load_trees(store, err);
	if (r == 0)
		r = load_pins(store, err);
	return r;
}

static int read_boot_id(char boot_id[40], struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(64);
	int r = bl_fs_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, err);

	if (r < 0)
		return r;
	(void)snprintf(boot_id, 40, "%.36s", bl_buf_str(&text));
	return 0;
}

int bl_store_open(const struct bl_store_options *options, struct bl_store **ret, struct bl_err *err)
{
	auto_store store = calloc(1, sizeof(*store));
	int r = 0;

	if (!store)
		return bl_err_nomem(err);
	store->options = *options;
	store->spare = -1;
	if (store->options.partial_ttl == 0)
		store->options.partial_ttl = 7 * 24 * 3600;
	store->bucket_count = BUCKETS;
	store->buckets = calloc(BUCKETS, sizeof(struct bl_store_entry *));
	if (!store->buckets)
		return bl_err_nomem(err);
	if (options->boot_id)
		(void)snprintf(store->boot_id, sizeof(store->boot_id), "%s", options->boot_id);
	else
		r = read_boot_id(store->boot_id, err);
	if (r == 0)
		r = load(store, err);
	if (r < 0)
		return r;
	store->options.path = store->dirs->path;
	store->options.boot_id = store->boot_id;
	*ret = TAKE_PTR(store);
	return 0;
}

void bl_store_close(struct bl_store **to_close)
{
	struct bl_store *store = *to_close;
	int saved = errno;

	if (!store)
		return;
	bl_store_leases_free(store);
	for (size_t i = 0; i < store->count; i++)
		free(store->list[i]);
	free(store->list);
	free(store->sizes);
	free(store->buckets);
	bl_cachedir_close(&store->dirs);
	free(store);
	*to_close = NULL;
	errno = saved;
}

struct bl_cachedir *bl_store_dirs(const struct bl_store *store)
{
	return store->dirs;
}

const char *bl_store_boot_id(const struct bl_store *store)
{
	return store->boot_id;
}

/* ---- Trees ---- */

static void describe(const struct bl_store_entry *entry, struct bl_store_tree *ret)
{
	*ret = (struct bl_store_tree){
		.name = entry->name,
		.files = entry->files,
		.bytes = entry->bytes,
		.last_used = entry->used / BL_STORE_SECOND,
		.leases = entry->leases,
		.pinned = entry->pinned,
	};
}

struct bl_store_entry *bl_store_entry_present(const struct bl_store *store,
					      const struct bl_digest *name)
{
	struct bl_store_entry *entry = bl_store_entry_find(store, name);

	return entry && entry->present ? entry : NULL;
}

int bl_store_tree_find(struct bl_store *store, const struct bl_digest *name,
		       struct bl_store_tree *ret)
{
	struct bl_store_entry *entry = bl_store_entry_present(store, name);

	if (!entry)
		return -ENOENT;
	bl_store_entry_size(store, entry);
	describe(entry, ret);
	return 0;
}

bool bl_store_tree_is_there(const struct bl_store *store, const struct bl_digest *name)
{
	return bl_store_entry_present(store, name) != NULL;
}

size_t bl_store_tree_count(const struct bl_store *store)
{
	size_t n = 0;

	for (size_t i = 0; i < store->count; i++)
		n += store->list[i]->present;
	return n;
}

int bl_store_tree_next(struct bl_store *store, size_t *position, struct bl_store_tree *ret)
{
	while (*position < store->count) {
		const struct bl_store_entry *entry = store->list[(*position)++];

		if (!entry->present)
			continue;
		describe(entry, ret);
		return 1;
	}
	return 0;
}

static int path_of(const struct bl_store *store, const char *part, const char *name,
		   char path[PATH_MAX])
{
	int len = snprintf(path, PATH_MAX, "%s/%s%s%s", store->dirs->path, part, *name ? "/" : "",
			   name);

	return len < 0 || len >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int bl_store_tree_path(const struct bl_store *store, const struct bl_digest *name,
		       char path[PATH_MAX])
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(name, hex);
	return path_of(store, "trees", hex, path);
}

int bl_store_empty_path(const struct bl_store *store, char path[PATH_MAX])
{
	return path_of(store, "empty", "", path);
}

/*
 * All is done on the directory that is open, but the paths that are handed out lead to it only as long as it lies
 * where it was: not once its disk is unmounted, or another mounted over it.
 */
static int check_place(const struct bl_cachedir *dirs, struct bl_err *err)
{
	struct stat open;
	struct stat there;
	int r = bl_sys_fstat(dirs->root, &open);

	if (r == 0)
		r = bl_sys_fstatat(AT_FDCWD, dirs->path, &there, AT_SYMLINK_NOFOLLOW);
	if (r < 0 && r != -ENOENT && r != -ENOTDIR)
		return bl_err_sys(err, -r, "stat '%s'", dirs->path);
	if (r == 0 && there.st_dev == open.st_dev && there.st_ino == open.st_ino)
		return 0;
	return bl_err_set(
		err, BL_EX_RETRY, ESTALE,
		"'%s' is no longer the cache that this ballastd has open: it was unmounted, "
		"moved, or something was mounted over it; restart ballastd once it is there",
		dirs->path);
}

int bl_store_paths_check(const struct bl_store *store, struct bl_err *err)
{
	const struct bl_cachedir *dirs = store->dirs;
	struct stat st;
	int r = check_place(dirs, err);

	if (r < 0)
		return r;
	r = bl_sys_fstatat(dirs->root, "empty", &st, AT_SYMLINK_NOFOLLOW);
	if (r == -ENOENT) {
		r = bl_sys_mkdirat(dirs->root, "empty", 0700);
		return r < 0 ? bl_err_sys(err, -r, "make '%s/empty'", dirs->path) : 0;
	}
	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s/empty'", dirs->path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != dirs->owner ||
	    (st.st_mode & (S_IRWXG | S_IRWXO)) || st.st_dev != dirs->device)
		return bl_err_refuse(err,
				     "'%s/empty' is no directory of the agent's own, 0700, any "
				     "more: remove it, it is made again",
				     dirs->path);
	return 0;
}

int bl_store_no_tree(const struct bl_digest *name, struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(name, hex);
	return bl_err_set(err, BL_EX_RETRY, ENOENT, "tree %s is not in the cache", hex);
}

/*
 * A look at every file costs a start of a container milliseconds where there are thousands of them,
 * and nobody but root can change one: a large tree is looked at again only after a while, or where
 * its root is not as it was. Content is the scrubber's to look at.
 */
#define CHECK_ALWAYS_FILES 256
#define CHECK_AGAIN_MS	   (10 * 60 * 1000)

static int look_at_root(const struct bl_store *store, const struct bl_digest *name,
			struct bl_store_seen *ret)
{
	char hex[BL_DIGEST_HEX];
	struct stat st;
	int r;

	bl_digest_to_hex(name, hex);
	r = bl_sys_fstatat(store->dirs->trees, hex, &st, AT_SYMLINK_NOFOLLOW);
	if (r == 0)
		*ret = (struct bl_store_seen){st.st_dev, st.st_ino, st.st_ctim};
	return r;
}

static bool is_fresh(const struct bl_store *store, const struct bl_store_entry *entry)
{
	struct bl_store_seen now = {0};

	if (!entry->checked_at || !entry->sized || entry->files <= CHECK_ALWAYS_FILES ||
	    bl_store_now(store, CLOCK_BOOTTIME) - entry->checked_at > CHECK_AGAIN_MS ||
	    look_at_root(store, &entry->name, &now) < 0)
		return false;
	return now.dev == entry->seen.dev && now.ino == entry->seen.ino &&
	       now.changed.tv_sec == entry->seen.changed.tv_sec &&
	       now.changed.tv_nsec == entry->seen.changed.tv_nsec;
}

bool bl_store_tree_is_on_disk(const struct bl_store *store, const struct bl_digest *name)
{
	struct bl_store_seen seen;

	return look_at_root(store, name, &seen) == 0;
}

int bl_store_tree_use(struct bl_store *store, const struct bl_digest *name, struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_present(store, name);
	struct bl_tree_size size;
	int r;

	if (!entry)
		return bl_store_no_tree(name, err);
	if (is_fresh(store, entry)) {
		bl_store_touch(store, entry);
		return 0;
	}
	r = bl_tree_check(store->dirs, name, &size, err);
	if (r == -ENOENT || r == -EBADMSG) {
		int condemned = bl_store_tree_condemn(store, name, NULL);

		return condemned < 0 ? condemned : r;
	}
	if (r < 0)
		return r;
	entry->files = size.files;
	entry->bytes = size.bytes;
	entry->sized = true;
	if (look_at_root(store, name, &entry->seen) == 0)
		entry->checked_at = bl_store_now(store, CLOCK_BOOTTIME);
	bl_store_touch(store, entry);
	return 0;
}

int bl_store_tree_hold(struct bl_store *store, const struct bl_digest *name, struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_add(store, name);

	if (!entry)
		return bl_err_nomem(err);
	entry->holds++;
	return 0;
}

void bl_store_tree_unhold(struct bl_store *store, const struct bl_digest *name)
{
	struct bl_store_entry *entry = bl_store_entry_find(store, name);

	if (!entry || entry->holds == 0)
		return;
	entry->holds--;
	bl_store_entry_tidy(store, entry);
}

int bl_store_tree_added(struct bl_store *store, const struct bl_digest *name, struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_add(store, name);

	if (!entry)
		return bl_err_nomem(err);
	entry->present = true;
	entry->sized = entry->size_tried = false;
	store->added++;
	bl_store_touch(store, entry);
	return 0;
}

static int save_pins(struct bl_store *store, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(INDEX_MAX);
	auto_json index = bl_json_new_object();
	bl_json *pins = index ? bl_json_set_array(index, "pins") : NULL;
	int r;

	if (!pins || !bl_json_set_int(index, "schema", BL_CACHEDIR_SCHEMA))
		return bl_err_nomem(err);
	for (size_t i = 0; i < store->count; i++) {
		char hex[BL_DIGEST_HEX];

		if (!store->list[i]->pinned)
			continue;
		bl_digest_to_hex(&store->list[i]->name, hex);
		if (!bl_json_set_string(pins, NULL, hex))
			return bl_err_nomem(err);
	}
	r = bl_json_write(&text, index, err);
	return r < 0 ? r
		     : bl_fs_write_file(store->dirs->root, "index.json", bl_buf_str(&text),
					text.len, 0600, err);
}

int bl_store_tree_pin(struct bl_store *store, const struct bl_digest *name, bool pin,
		      struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_find(store, name);
	bool was;
	int r;

	if (!entry || (pin && !entry->present))
		return bl_store_no_tree(name, err);
	was = entry->pinned;
	if (was == pin)
		return 0;
	entry->pinned = pin;
	r = save_pins(store, err);
	if (r < 0)
		entry->pinned = was;
	bl_store_entry_tidy(store, entry);
	return r;
}
