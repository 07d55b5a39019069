/* SPDX-License-Identifier: Apache-2.0 */
/* What a pull by hand has published becomes durable, all at once: a sync for each small file would take longer than
 * to bring it. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"
#include "fetch/shelf_impl.h"

#define SYNCERS	      16 /* threads that sync: each waits for the disk, which takes many at once */
#define SYNCERS_STACK (256 * 1024) /* bytes */

struct settling {
	const struct bl_shelf *shelf;
	struct bl_manifest *manifest;
	bool all;
	atomic_size_t next; /* the entry that the next free thread takes */
	pthread_mutex_t lock;
	int rc; /* the first failure, and what it was; under the lock */
	struct bl_err err;
};

static int sync_beneath(const struct bl_shelf *shelf, const char *path, struct bl_err *err)
{
	auto_fd fd = bl_fs_open_beneath(shelf->dir, path, BL_SHELF_READ, err);
	int rc = fd < 0 ? fd : bl_sys_fsync(fd);

	if (fd >= 0 && rc < 0)
		return bl_shelf_explain(rc, shelf, "sync", path, err);
	return rc < 0 ? rc : 0;
}

static void *sync_small_files(void *ctx)
{
	struct settling *settling = ctx;
	size_t i;

	while ((i = atomic_fetch_add(&settling->next, 1)) < bl_manifest_count(settling->manifest)) {
		const struct bl_entry *entry = bl_manifest_at(settling->manifest, i);
		struct bl_err err;
		int rc = (entry->unchanged && !settling->all) || entry->size >= BL_SHELF_SYNC_ALONE
				 ? 0
				 : sync_beneath(settling->shelf, entry->path, &err);

		if (rc == 0)
			continue;
		pthread_mutex_lock(&settling->lock);
		if (settling->rc == 0) {
			settling->rc = rc;
			settling->err = err;
		}
		pthread_mutex_unlock(&settling->lock);
		return NULL;
	}
	return NULL;
}

/* Fewer threads than wanted do the same work; the caller is one of them. */
static void sync_in_threads(struct settling *settling)
{
	pthread_t threads[SYNCERS];
	pthread_attr_t attributes;
	size_t n = 0;

	if (pthread_attr_init(&attributes) == 0) {
		(void)pthread_attr_setstacksize(&attributes, SYNCERS_STACK);
		while (n < SYNCERS && n < bl_manifest_count(settling->manifest) / 8 &&
		       pthread_create(&threads[n], &attributes, sync_small_files, settling) == 0)
			n++;
		pthread_attr_destroy(&attributes);
	}
	(void)sync_small_files(settling);
	while (n > 0)
		pthread_join(threads[--n], NULL);
}

/* Every directory on the way to a file, from the nearest up: each may be new. */
static int sync_above(const struct bl_shelf *shelf, const char *path, size_t len,
		      struct bl_err *err)
{
	auto_free char *above = strndup(path, len);
	int rc = 0;

	if (!above)
		return bl_err_nomem(err);
	for (char *slash = above + len; rc >= 0 && slash; slash = strrchr(above, '/')) {
		*slash = '\0';
		if (*above)
			rc = sync_beneath(shelf, above, err);
	}
	return rc;
}

static int sync_directories(const struct bl_shelf *shelf, struct bl_manifest *manifest, bool all,
			    struct bl_err *err)
{
	const char *before = "";
	size_t before_len = 0;
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < bl_manifest_count(manifest); i++) {
		const struct bl_entry *entry = bl_manifest_at(manifest, i);
		const char *slash = strrchr(entry->path, '/');
		size_t len = slash ? (size_t)(slash - entry->path) : 0;

		if (entry->unchanged && !all)
			continue;
		/* The list is sorted, so the files of a directory mostly follow each other. */
		if (len != before_len || memcmp(before, entry->path, len) != 0)
			rc = sync_above(shelf, entry->path, len, err);
		before = entry->path;
		before_len = len;
	}
	return rc;
}

/* Everything has its name: what is left of files on their way is of some that the source no longer has. */
static void sweep(const struct bl_shelf *shelf)
{
	int fd = bl_sys_openat(shelf->work, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		bl_cleanup_fd(&fd);
		return;
	}
	for (const struct dirent *file; (file = readdir(dir));) {
		const char *dot = strrchr(file->d_name, '.');

		if (dot && (strcmp(dot, ".part") == 0 || strcmp(dot, ".json") == 0))
			(void)bl_sys_unlinkat(shelf->work, file->d_name, 0);
	}
	closedir(dir);
}

int bl_shelf_settle(struct bl_shelf *shelf, struct bl_manifest *manifest, bool all,
		    struct bl_err *err)
{
	struct settling settling = {.shelf = shelf,
				    .manifest = manifest,
				    .all = all || shelf->unsettled,
				    .lock = PTHREAD_MUTEX_INITIALIZER};
	int rc;

	sync_in_threads(&settling);
	if (settling.rc < 0) {
		*err = settling.err;
		return settling.rc;
	}
	rc = sync_directories(shelf, manifest, settling.all, err);
	if (rc < 0)
		return rc;
	if ((rc = bl_sys_fsync(shelf->dir)) < 0 || (rc = bl_sys_fsync(shelf->record)) < 0)
		return bl_err_sys(err, -rc, "sync the directory");
	(void)bl_sys_unlinkat(shelf->work, BL_SHELF_UNSETTLED, 0);
	sweep(shelf);
	return 0;
}
