// SPDX-License-Identifier: Apache-2.0
#include "agent/cachedir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/sys.h"

#define INDEX_MAX   (4U * 1024 * 1024) /* bytes of index.json; the store keeps pins in it */
#define HOLDS_FIRST 256U	       /* a power of two */
#define LARGE	    (16 * 1024 * 1024) /* bytes of a file that takes its time to be removed */

/* ---- Holds: a table with open addressing, at most three quarters full ---- */

static size_t hold_place(const struct bl_cachedir_hold *holds, size_t room,
			 const struct bl_digest *blob)
{
	size_t at;

	/* A digest's first bytes are as good a hash as any. */
	memcpy(&at, blob->bytes, sizeof(at));
	at &= room - 1;
	while (holds[at].used && !bl_digest_equal(&holds[at].digest, blob))
		at = (at + 1) & (room - 1);
	return at;
}

/* Makes the table anew: larger where the living need it, and without what was given up. */
static int holds_grow(struct bl_cachedir *dirs)
{
	size_t room = HOLDS_FIRST;
	struct bl_cachedir_hold *holds;

	while (room / 2 < dirs->hold_count + 1)
		room *= 2;
	holds = calloc(room, sizeof(*holds));
	if (!holds)
		return -ENOMEM;
	for (size_t i = 0; i < dirs->hold_room; i++)
		if (dirs->holds[i].count > 0)
			holds[hold_place(holds, room, &dirs->holds[i].digest)] = dirs->holds[i];
	free(dirs->holds);
	dirs->holds = holds;
	dirs->hold_room = room;
	dirs->hold_used = dirs->hold_count;
	return 0;
}

static int hold(struct bl_cachedir *dirs, const struct bl_digest *blob)
{
	struct bl_cachedir_hold *to;

	if ((dirs->hold_used + 1) * 4 > dirs->hold_room * 3) {
		int r = holds_grow(dirs);

		if (r < 0)
			return r;
	}
	to = &dirs->holds[hold_place(dirs->holds, dirs->hold_room, blob)];
	if (!to->used) {
		to->digest = *blob;
		to->used = 1;
		dirs->hold_used++;
	}
	if (to->count++ == 0)
		dirs->hold_count++;
	return 0;
}

int bl_cachedir_hold(struct bl_cachedir *dirs, const struct bl_digest *blob, struct bl_err *err)
{
	int r;

	(void)pthread_mutex_lock(&dirs->lock);
	r = hold(dirs, blob);
	(void)pthread_mutex_unlock(&dirs->lock);
	return r < 0 ? bl_err_nomem(err) : 0;
}

void bl_cachedir_unhold(struct bl_cachedir *dirs, const struct bl_digest *blob)
{
	(void)pthread_mutex_lock(&dirs->lock);
	if (dirs->hold_room > 0) {
		struct bl_cachedir_hold *of =
			&dirs->holds[hold_place(dirs->holds, dirs->hold_room, blob)];

		if (of->count > 0 && --of->count == 0)
			dirs->hold_count--;
	}
	(void)pthread_mutex_unlock(&dirs->lock);
}

static bool is_held(const struct bl_cachedir *dirs, const struct bl_digest *blob)
{
	return dirs->hold_room > 0 &&
	       dirs->holds[hold_place(dirs->holds, dirs->hold_room, blob)].count > 0;
}

bool bl_cachedir_is_held(struct bl_cachedir *dirs, const struct bl_digest *digest)
{
	bool held;

	(void)pthread_mutex_lock(&dirs->lock);
	held = is_held(dirs, digest);
	(void)pthread_mutex_unlock(&dirs->lock);
	return held;
}

/*
 * Under the lock, so that nobody takes hold between the look and the removal. A large file takes a disk long, and
 * whoever asks for a lease waits for the lock: with `aside` it is put there in partial/, for the caller to remove.
 */
static int drop(struct bl_cachedir *dirs, const struct bl_digest *digest, int dirfd,
		const char *path, uint64_t *ret_freed, char aside[BL_CACHEDIR_NAME])
{
	struct stat st;
	int r;

	if (is_held(dirs, digest))
		return 0;
	r = bl_sys_fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW);
	if (r == 0 && S_ISREG(st.st_mode) && st.st_nlink > 1)
		return 0;
	if (r == 0 && aside && S_ISREG(st.st_mode) && st.st_size >= LARGE) {
		bl_cachedir_name(dirs, "file", aside);
		/* A full disk may have no room for one name more, and this is to make room. */
		if (bl_sys_renameat2(dirfd, path, dirs->partial, aside, 0) < 0)
			aside[0] = '\0';
	}
	if (r == 0 && !(aside && *aside))
		r = bl_sys_unlinkat(dirfd, path, 0);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	*ret_freed = (uint64_t)st.st_blocks * 512;
	return 1;
}

int bl_cachedir_drop_blob(struct bl_cachedir *dirs, const struct bl_digest *blob,
			  uint64_t *ret_freed, struct bl_err *err)
{
	char aside[BL_CACHEDIR_NAME] = "";
	char hex[BL_DIGEST_HEX];
	char path[BL_CACHEDIR_NAME];
	int r;

	bl_digest_to_hex(blob, hex);
	(void)snprintf(path, sizeof(path), "%.2s/%s", hex, hex);
	(void)pthread_mutex_lock(&dirs->lock);
	r = drop(dirs, blob, dirs->blobs, path, ret_freed, aside);
	(void)pthread_mutex_unlock(&dirs->lock);
	if (r > 0 && *aside) {
		int removed = bl_sys_unlinkat(dirs->partial, aside, 0);

		r = removed < 0 ? removed : r;
	}
	return r < 0 ? bl_err_sys(err, -r, "remove blob %s", hex) : r;
}

int bl_cachedir_drop_manifest(struct bl_cachedir *dirs, const struct bl_digest *tree,
			      struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];
	char name[BL_CACHEDIR_NAME];
	struct stat st;
	uint64_t freed;
	int r = 0;

	bl_digest_to_hex(tree, hex);
	(void)snprintf(name, sizeof(name), "%s.json", hex);
	(void)pthread_mutex_lock(&dirs->lock);
	if (bl_sys_fstatat(dirs->trees, hex, &st, AT_SYMLINK_NOFOLLOW) == -ENOENT)
		r = drop(dirs, tree, dirs->manifests, name, &freed, NULL);
	(void)pthread_mutex_unlock(&dirs->lock);
	return r < 0 ? bl_err_sys(err, -r, "remove manifest %s", hex) : r;
}

/* ---- Names ---- */

void bl_cachedir_name(struct bl_cachedir *dirs, const char *what, char name[BL_CACHEDIR_NAME])
{
	uint32_t n = __atomic_add_fetch(&dirs->sequence, 1, __ATOMIC_RELAXED);

	(void)snprintf(name, BL_CACHEDIR_NAME, "%s.%s.%u", what, dirs->session, n);
}

int bl_cachedir_show(struct bl_cachedir *dirs, const char *temporary, int where, const char *name)
{
	int r = bl_sys_renameat2(dirs->partial, temporary, where, name, 0);
	char trash[BL_CACHEDIR_NAME];

	if (r != -EEXIST && r != -ENOTEMPTY && r != -ENOTDIR && r != -EISDIR)
		return r;
	bl_cachedir_name(dirs, "trash", trash);
	r = bl_sys_renameat2(where, name, dirs->partial, trash, 0);
	return r < 0 ? r : bl_sys_renameat2(dirs->partial, temporary, where, name, 0);
}

bool bl_cachedir_is_session_name(const struct bl_cachedir *dirs, const char *name, bool *ret_ours)
{
	static const char *const kinds[] = {"tree.", "trash.", "file.", "json.", "spare."};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (strncmp(name, kinds[i], len) != 0)
			continue;
		*ret_ours = strncmp(name + len, dirs->session, strlen(dirs->session)) == 0;
		return true;
	}
	return false;
}

/* ---- Opening ---- */

static int check_directory(const struct bl_cachedir *dirs, int fd, const char *name,
			   struct bl_err *err)
{
	struct stat st;
	int r = bl_sys_fstat(fd, &st);

	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s'", name);
	if (st.st_uid != dirs->owner)
		return bl_err_refuse(err, "'%s' belongs to uid %u: it must be uid %u's alone", name,
				     st.st_uid, dirs->owner);
	if (st.st_mode & (S_IRWXG | S_IRWXO))
		return bl_err_refuse(err, "'%s' has mode %04o and must have 0700: chmod 0700 it",
				     name, st.st_mode & 07777U);
	if (fd != dirs->root && st.st_dev != dirs->device)
		return bl_err_refuse(err,
				     "'%s' lies on another filesystem: trees are hard links, so "
				     "all of the cache must lie on one",
				     name);
	return 0;
}

/* A directory of the layout, made where it is missing. */
static int open_part(const struct bl_cachedir *dirs, int parent, const char *name, int *ret,
		     struct bl_err *err)
{
	auto_fd fd = bl_fs_open_dir(parent, name, 0700, true, err);
	int r;

	if (fd == -ELOOP || fd == -ENOTDIR)
		return bl_err_refuse(err, "'%s' is a link or no directory", name);
	if (fd < 0)
		return fd;
	r = check_directory(dirs, fd, name, err);
	if (r < 0)
		return r;
	*ret = TAKE_FD(fd);
	return 0;
}

/* The 256 directories of blobs, all there from the start: publishing never has to make one. */
static int check_fan(const struct bl_cachedir *dirs, struct bl_err *err)
{
	for (unsigned i = 0; i < 256; i++) {
		char name[3];
		struct stat st;
		int r;

		(void)snprintf(name, sizeof(name), "%02x", i);
		r = bl_sys_fstatat(dirs->blobs, name, &st, AT_SYMLINK_NOFOLLOW);
		if (r == -ENOENT) {
			r = bl_sys_mkdirat(dirs->blobs, name, 0700);
			if (r < 0)
				return bl_err_sys(err, -r, "create directory 'blobs/sha256/%s'",
						  name);
			continue;
		}
		if (r < 0)
			return bl_err_sys(err, -r, "stat 'blobs/sha256/%s'", name);
		if (!S_ISDIR(st.st_mode) || st.st_uid != dirs->owner ||
		    (st.st_mode & (S_IRWXG | S_IRWXO)) || st.st_dev != dirs->device)
			return bl_err_refuse(err,
					     "'blobs/sha256/%s' is not a directory of ours, 0700, "
					     "on this filesystem",
					     name);
	}
	return 0;
}

static int open_parts(struct bl_cachedir *dirs, struct bl_err *err)
{
	const struct {
		const char *name;
		int *fd;
	} parts[] = {
		{"trees", &dirs->trees},
		{"manifests", &dirs->manifests},
		{"refs", &dirs->refs},
		{"leases", &dirs->leases},
		{"partial", &dirs->partial},
		{"empty", &dirs->empty},
		{"quarantine", &dirs->quarantine},
	};
	auto_fd blobs = -1;
	int r = open_part(dirs, dirs->root, "blobs", &blobs, err);

	if (r == 0)
		r = open_part(dirs, blobs, "sha256", &dirs->blobs, err);
	for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(*parts); i++)
		r = open_part(dirs, dirs->root, parts[i].name, parts[i].fd, err);
	if (r == 0)
		r = check_fan(dirs, err);
	if (r < 0)
		return r;
	r = bl_sys_fsync(dirs->blobs);
	if (r == 0)
		r = bl_sys_fsync(blobs);
	if (r == 0)
		r = bl_sys_fsync(dirs->root);
	return r < 0 ? bl_err_sys(err, -r, "fsync") : 0;
}

/* A lower layer that is not empty would show in containers. */
static int check_empty(const struct bl_cachedir *dirs, struct bl_err *err)
{
	const struct dirent *entry;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->empty, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read 'empty'");
	r = bl_sys_readdir(dir, &entry);
	if (r < 0)
		return bl_err_sys(err, -r, "read 'empty'");
	if (r > 0)
		return bl_err_refuse(err, "'empty' must be empty and holds '%s': remove it",
				     entry->d_name);
	return 0;
}

/* The schema; a directory without one is a new cache, or somebody's home by mistake. */
static int check_index(const struct bl_cachedir *dirs, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = INDEX_MAX};
	auto_buf text = BL_BUF_INIT(INDEX_MAX);
	auto_json index = NULL;
	int64_t schema = 0;
	int r = bl_fs_read_file(dirs->root, "index.json", &text, err);

	if (r == -ENOENT) {
		char fresh[32];
		int len = snprintf(fresh, sizeof(fresh), "{\"schema\":%d}", BL_CACHEDIR_SCHEMA);

		return bl_fs_write_file(dirs->root, "index.json", fresh, (size_t)len, 0600, err);
	}
	if (r < 0) {
		bl_err_wrap(err, "index.json: ");
		return r;
	}
	if (bl_json_parse(bl_buf_str(&text), text.len, &limits, &index, err) < 0 ||
	    bl_json_get_int(index, "schema", 1, INT32_MAX, &schema, err) <= 0)
		return bl_err_config(err, "its index.json is damaged: remove it, and nothing but "
					  "the pins is lost");
	if (schema != BL_CACHEDIR_SCHEMA)
		return bl_err_refuse(err,
				     "its index.json has schema %lld, this ballastd knows %d: use "
				     "the version that wrote it, or an empty directory",
				     (long long)schema, BL_CACHEDIR_SCHEMA);
	return 0;
}

/* Whether a directory without an index holds anything that is not ours to fill. */
static int check_fresh(const struct bl_cachedir *dirs, struct bl_err *err)
{
	static const char *const ours[] = {"blobs",   "trees", "manifests",  "refs",	  "leases",
					   "partial", "empty", "quarantine", "lost+found"};
	const struct dirent *entry;
	struct stat st;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->root, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read");
	r = bl_sys_fstatat(dirs->root, "index.json", &st, AT_SYMLINK_NOFOLLOW);
	if (r != -ENOENT)
		return r < 0 ? bl_err_sys(err, -r, "stat 'index.json'") : 0;
	while ((r = bl_sys_readdir(dir, &entry)) > 0) {
		bool known = strncmp(entry->d_name, ".index.json.", 12) == 0;

		for (size_t i = 0; !known && i < sizeof(ours) / sizeof(*ours); i++)
			known = strcmp(entry->d_name, ours[i]) == 0;
		if (!known)
			return bl_err_refuse(err,
					     "it is no cache (no index.json) and holds '%s': take "
					     "that out, or give an empty directory",
					     entry->d_name);
	}
	return r < 0 ? bl_err_sys(err, -r, "read") : 0;
}

static int open_root(struct bl_cachedir *dirs, const char *path, struct bl_err *err)
{
	struct stat st;
	int r;

	dirs->root = bl_fs_open_dir(AT_FDCWD, path, 0700, true, err);
	if (dirs->root == -ELOOP || dirs->root == -ENOTDIR)
		return bl_err_refuse(err, "it is a link or no directory: give the directory itself "
					  "as --cache-dir, or mount it there");
	if (dirs->root == -ENOENT)
		return bl_err_config(err,
				     "it is in no directory that is there: make that first, or "
				     "give another --cache-dir");
	if (dirs->root < 0)
		return dirs->root;
	/* Before anybody is told to close a directory that is not meant. */
	r = check_fresh(dirs, err);
	if (r < 0)
		return r;
	r = bl_sys_fstat(dirs->root, &st);
	if (r < 0)
		return bl_err_sys(err, -r, "stat");
	dirs->device = st.st_dev;
	r = check_directory(dirs, dirs->root, path, err);
	if (r < 0)
		return r;
	if (flock(dirs->root, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? bl_err_set(err, BL_EX_REFUSED, EBUSY,
					    "another ballastd has this cache: stop it, or give "
					    "another --cache-dir")
			       : bl_err_sys(err, errno, "lock");
	dirs->path = realpath(path, NULL);
	return dirs->path ? 0 : bl_err_sys(err, errno, "resolve");
}

static int open_all(struct bl_cachedir *dirs, const char *path, struct bl_err *err)
{
	uint64_t session;
	int r = open_root(dirs, path, err);

	if (r == 0)
		r = open_parts(dirs, err);
	if (r == 0)
		r = check_empty(dirs, err);
	if (r == 0)
		r = check_index(dirs, err);
	if (r < 0) {
		bl_err_wrap(err, "cache '%s': ", path);
		return r;
	}
	if (getrandom(&session, sizeof(session), 0) != (ssize_t)sizeof(session))
		return bl_err_sys(err, errno, "random bytes");
	(void)snprintf(dirs->session, sizeof(dirs->session), "%016llx",
		       (unsigned long long)session);
	return 0;
}

int bl_cachedir_open(const char *path, struct bl_cachedir **ret, struct bl_err *err)
{
	struct bl_cachedir *dirs = calloc(1, sizeof(*dirs));
	int r;

	if (!dirs)
		return bl_err_nomem(err);
	dirs->root = dirs->blobs = dirs->trees = dirs->manifests = dirs->refs = -1;
	dirs->leases = dirs->partial = dirs->empty = dirs->quarantine = -1;
	dirs->owner = geteuid();
	(void)pthread_mutex_init(&dirs->lock, NULL);
	r = open_all(dirs, path, err);
	if (r < 0) {
		bl_cachedir_close(&dirs);
		return r;
	}
	*ret = dirs;
	return 0;
}

void bl_cachedir_close(struct bl_cachedir **to_close)
{
	struct bl_cachedir *dirs = *to_close;
	int saved = errno;

	if (!dirs)
		return;
	{
		const int fds[] = {dirs->blobs, dirs->trees,	  dirs->manifests,
				   dirs->refs,	dirs->leases,	  dirs->partial,
				   dirs->empty, dirs->quarantine, dirs->root};

		for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
			if (fds[i] >= 0)
				(void)close(fds[i]);
	}
	(void)pthread_mutex_destroy(&dirs->lock);
	free(dirs->holds);
	free(dirs->path);
	free(dirs);
	*to_close = NULL;
	errno = saved;
}
