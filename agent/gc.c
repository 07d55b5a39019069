// SPDX-License-Identifier: Apache-2.0
#include "agent/gc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/manifest.h"
#include "agent/partial.h"
#include "agent/ref.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

#define REFS_MOST  4096			  /* refs without a tree that a tenant keeps, ... */
#define REFS_BYTES (256ULL * 1024 * 1024) /* ... and bytes of them */

/* What a walk through the cache needs at every step. */
struct sweep {
	struct bl_cachedir *dirs;
	const struct bl_gc_options *options;
	struct bl_gc_result *result;
	int failed; /* the first failure, 0 without */
	struct bl_err *err;
	int trash; /* the retired tree that is being emptied, -1 where it is gone already */
};

static bool is_stopped(const struct sweep *sweep)
{
	return sweep->options->stop && __atomic_load_n(sweep->options->stop, __ATOMIC_RELAXED);
}

/* Keeps the first failure; found holds its message. */
static void note(struct sweep *sweep, int r, const struct bl_err *found)
{
	if (r >= 0 || sweep->failed < 0)
		return;
	sweep->failed = r;
	if (sweep->err)
		*sweep->err = *found;
}

static DIR *list(int dirfd, const char *path)
{
	DIR *dir = NULL;

	return bl_fs_list(dirfd, path, &dir) < 0 ? NULL : dir;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool ends_with(const char *name, const char *end)
{
	size_t len = strlen(name);

	return len > strlen(end) && strcmp(name + len - strlen(end), end) == 0;
}

/* ---- Retired trees ---- */

/* A file of a retired tree, and then its blob unless something else has it. */
static int take_apart(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	struct sweep *sweep = context;
	uint64_t freed = 0;
	struct stat st;
	int r;

	if (is_stopped(sweep))
		return bl_err_set(err, BL_EX_RETRY, ECANCELED, "stopped");
	if (sweep->trash >= 0 &&
	    bl_sys_fstatat(sweep->trash, entry->path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		r = bl_sys_unlinkat(sweep->trash, entry->path, 0);
		if (r == 0 && st.st_nlink == 1)
			sweep->result->freed += (uint64_t)st.st_blocks * 512;
	}
	r = bl_cachedir_drop_blob(sweep->dirs, &entry->digest, &freed, err);
	if (r > 0) {
		sweep->result->blobs++;
		sweep->result->freed += freed;
	}
	return r < 0 ? r : 0;
}

/* "trash.<session>.<n>" and its list "....json"; either may be gone already. */
static void empty_trash(struct sweep *sweep, const char *name)
{
	char list_name[BL_CACHEDIR_NAME + 8];
	struct bl_err found = {0};
	auto_fd trash =
		bl_sys_openat(sweep->dirs->partial, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	int r;

	(void)snprintf(list_name, sizeof(list_name), "%s.json", name);
	sweep->trash = trash;
	/* Its bytes were checked when it was a manifest; where they are spoilt the blobs are
	 * orphans. */
	r = bl_manifest_walk(sweep->dirs->partial, list_name, NULL, take_apart, sweep, &found);
	if (r == -ENOENT || r == -EBADMSG)
		r = 0;
	bl_sys_point("trash-emptied");
	if (r == 0)
		r = bl_fs_remove_tree(sweep->dirs->partial, name, &found);
	if (r == 0) {
		r = bl_sys_unlinkat(sweep->dirs->partial, list_name, 0);
		r = r == -ENOENT ? 0 : r;
	}
	/* Its list may have its turn again as a name that the directory's stream had read before. */
	if (r == 0 && trash >= 0)
		sweep->result->trees++;
	note(sweep, r, &found);
}

/* "trash.<hex>.<session>.<n>": containers may have that tree mounted, and would find it empty. */
static bool is_in_use(const struct sweep *sweep, const char *trash)
{
	char hex[BL_DIGEST_HEX];
	struct bl_digest tree;

	(void)snprintf(hex, sizeof(hex), "%.64s", trash + strlen("trash."));
	return bl_digest_from_hex(hex, &tree) == 0 && bl_cachedir_is_held(sweep->dirs, &tree);
}

/* What another session left half made. Lists of retired trees have their own time. */
static void remove_leftover(struct sweep *sweep, const char *name)
{
	struct bl_err found = {0};
	int r = bl_fs_remove_tree(sweep->dirs->partial, name, &found);

	if (r == 0)
		sweep->result->leftovers++;
	note(sweep, r, &found);
}

static void sweep_partial(struct sweep *sweep)
{
	auto_dir dir = list(sweep->dirs->partial, ".");
	const struct dirent *entry;
	bool ours;

	while (dir && !is_stopped(sweep) && (entry = readdir(dir))) {
		char name[BL_CACHEDIR_NAME];

		if (!bl_cachedir_is_session_name(sweep->dirs, entry->d_name, &ours) ||
		    strlen(entry->d_name) >= sizeof(name))
			continue;
		(void)snprintf(name, sizeof(name), "%s", entry->d_name);
		if (strncmp(name, "trash.", 6) == 0) {
			struct stat st;

			if (is_in_use(sweep, name)) {
				sweep->result->kept++;
				continue;
			}
			if (ends_with(name, ".json"))
				name[strlen(name) - strlen(".json")] = '\0';
			/* A list beside its tree: the tree's own entry does both. */
			if (strlen(name) == strlen(entry->d_name) ||
			    bl_sys_fstatat(sweep->dirs->partial, name, &st, AT_SYMLINK_NOFOLLOW) <
				    0)
				empty_trash(sweep, name);
		} else if (!ours) {
			remove_leftover(sweep, name);
		}
	}
}

/* ---- Orphans ---- */

static bool is_old(int dirfd, const char *name, int64_t before)
{
	struct stat st;

	return bl_sys_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ctime < before &&
	       (!S_ISREG(st.st_mode) || st.st_nlink == 1);
}

/* What nothing of ours ever is in such a place, and what no removal of a file takes away. */
static bool is_directory(int dirfd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return bl_sys_fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISDIR(st.st_mode);
}

/* A name that no blob has, or a directory in a file's place: moved where a person can look at it. */
static void quarantine_foreign(struct sweep *sweep, int dirfd, const char *name)
{
	char to[BL_CACHEDIR_NAME];
	struct bl_err found;
	int r;

	bl_cachedir_name(sweep->dirs, "foreign", to);
	r = bl_sys_renameat2(dirfd, name, sweep->dirs->quarantine, to, 0);
	if (r < 0)
		note(sweep, bl_cachedir_err(&found, -r, "'%s'", name), &found);
}

static void sweep_blobs_in(struct sweep *sweep, DIR *dir, const char *fan)
{
	const struct dirent *entry;

	while (!is_stopped(sweep) && (entry = readdir(dir))) {
		struct bl_digest digest;
		struct bl_err found;
		uint64_t freed;
		int r;

		if (is_dot(entry->d_name))
			continue;
		if (strncmp(entry->d_name, fan, 2) != 0 ||
		    bl_digest_from_hex(entry->d_name, &digest) < 0 ||
		    is_directory(dirfd(dir), entry)) {
			quarantine_foreign(sweep, dirfd(dir), entry->d_name);
			continue;
		}
		if (!is_old(dirfd(dir), entry->d_name, sweep->options->orphans_before))
			continue;
		r = bl_cachedir_drop_blob(sweep->dirs, &digest, &freed, &found);
		note(sweep, r, &found);
		if (r > 0) {
			sweep->result->blobs++;
			sweep->result->freed += freed;
		}
	}
}

static void sweep_blobs(struct sweep *sweep)
{
	for (unsigned i = 0; i < 256 && !is_stopped(sweep); i++) {
		char fan[3];
		auto_dir dir = NULL;

		(void)snprintf(fan, sizeof(fan), "%02x", i);
		dir = list(sweep->dirs->blobs, fan);
		if (dir)
			sweep_blobs_in(sweep, dir, fan);
	}
}

static void sweep_manifests(struct sweep *sweep)
{
	auto_dir dir = list(sweep->dirs->manifests, ".");
	const struct dirent *entry;

	while (dir && !is_stopped(sweep) && (entry = readdir(dir))) {
		char hex[BL_DIGEST_HEX];
		struct bl_digest digest;
		struct bl_err found;
		int r;

		if (strlen(entry->d_name) != BL_DIGEST_HEX - 1 + strlen(".json") ||
		    !ends_with(entry->d_name, ".json"))
			continue;
		(void)snprintf(hex, sizeof(hex), "%.64s", entry->d_name);
		if (is_directory(sweep->dirs->manifests, entry)) {
			quarantine_foreign(sweep, sweep->dirs->manifests, entry->d_name);
			continue;
		}
		if (bl_digest_from_hex(hex, &digest) < 0 ||
		    !is_old(sweep->dirs->manifests, entry->d_name, sweep->options->orphans_before))
			continue;
		r = bl_cachedir_drop_manifest(sweep->dirs, &digest, &found);
		note(sweep, r, &found);
		sweep->result->leftovers += r > 0;
	}
}

static void sweep_quarantine(struct sweep *sweep)
{
	auto_dir dir = list(sweep->dirs->quarantine, ".");
	const struct dirent *entry;

	while (dir && !is_stopped(sweep) && (entry = readdir(dir))) {
		struct bl_err found;

		if (is_dot(entry->d_name) || !is_old(sweep->dirs->quarantine, entry->d_name,
						     sweep->options->quarantine_before))
			continue;
		note(sweep, bl_fs_remove_tree(sweep->dirs->quarantine, entry->d_name, &found),
		     &found);
	}
}

static void sweep_refs(struct sweep *sweep)
{
	static const struct bl_ref_bound bound = {REFS_MOST, REFS_BYTES};
	struct bl_err found;

	note(sweep,
	     bl_ref_trim(sweep->dirs, &bound, sweep->options->stop, &sweep->result->leftovers,
			 &found),
	     &found);
}

/* ---- Measuring ---- */

static int measure_in(DIR *dir, uint64_t *bytes)
{
	const struct dirent *entry;
	int r;

	while ((r = bl_sys_readdir(dir, &entry)) > 0) {
		struct stat st;

		if (bl_sys_fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			*bytes += (uint64_t)st.st_blocks * 512;
	}
	return r;
}

static int measure_at(int dirfd, const char *name, uint64_t *bytes, struct bl_err *err)
{
	auto_dir dir = NULL;
	int r = bl_fs_list(dirfd, name, &dir);

	if (r == 0)
		r = measure_in(dir, bytes);
	return r < 0 ? bl_cachedir_err(err, -r, "read '%s'", name) : 0;
}

static int measure(struct bl_cachedir *dirs, const bool *stop, uint64_t *ret, struct bl_err *err)
{
	uint64_t bytes = 0;
	int r = measure_at(dirs->partial, ".", &bytes, err);

	for (unsigned i = 0; i < 256 && r == 0; i++) {
		char fan[3];

		if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
			return bl_err_set(err, BL_EX_RETRY, ECANCELED, "stopped");
		(void)snprintf(fan, sizeof(fan), "%02x", i);
		r = measure_at(dirs->blobs, fan, &bytes, err);
	}
	if (r == 0)
		*ret = bytes;
	return r;
}

int bl_gc_measure(struct bl_cachedir *dirs, uint64_t *ret_bytes, struct bl_err *err)
{
	return measure(dirs, NULL, ret_bytes, err);
}

/* ---- All of it ---- */

int bl_gc_collect(struct bl_cachedir *dirs, const struct bl_gc_options *options,
		  struct bl_gc_result *ret, struct bl_err *err)
{
	static const struct bl_gc_options nothing_more;
	struct sweep sweep = {
		.dirs = dirs,
		.options = options ? options : &nothing_more,
		.result = ret,
		.err = err,
		.trash = -1,
	};
	struct bl_partial_collected downloads = {0};
	struct bl_err found = {0};

	*ret = (struct bl_gc_result){0};
	bl_gc_sizes(dirs, sweep.options->sizes, sweep.options->size_count, sweep.options->stop);
	sweep_partial(&sweep);
	note(&sweep, bl_partial_collect(dirs, sweep.options->partials_before, &downloads, &found),
	     &found);
	ret->partials = downloads.count;
	ret->freed += downloads.bytes;
	if (sweep.options->orphans_before > 0) {
		/* Manifests last: an orphan says which blobs a damaged tree had. */
		sweep_blobs(&sweep);
		sweep_manifests(&sweep);
		sweep_refs(&sweep);
	}
	if (sweep.options->quarantine_before > 0)
		sweep_quarantine(&sweep);
	if (sweep.options->count) {
		int r = measure(dirs, sweep.options->stop, &ret->bytes, &found);

		ret->counted = r == 0;
		note(&sweep, r, &found);
	}
	return sweep.failed;
}
