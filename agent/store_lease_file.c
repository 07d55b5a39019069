// SPDX-License-Identifier: Apache-2.0
/*
 * Leases on disk: one file each, named by the SHA-256 of boot id, pid and start time, so that a label
 * that is used again never takes away what its former holder's grace protects.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/store_impl.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

#define SCHEMA	  1
#define LEASE_MAX (8U * 1024 * 1024)
/* A request's, and those of the hand-over, each of as many as one may have; and our own. */
#define LEASE_VALUES (3U * BL_MAX_JSON_VALUES)

void bl_store_lease_free(struct bl_store_lease **to_free)
{
	struct bl_store_lease *lease = *to_free;

	if (!lease)
		return;
	free(lease->id);
	free(lease->tenant);
	free(lease->container);
	free(lease->trees);
	bl_json_free(&lease->extra);
	free(lease);
	*to_free = NULL;
}

static void name_of(const struct bl_digest *digest, char name[BL_CACHEDIR_NAME])
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(digest, hex);
	(void)snprintf(name, BL_CACHEDIR_NAME, "%s.json", hex);
}

/* Its file's name without the ending. */
static int key_of(const struct bl_store_lease *lease, struct bl_digest *ret, struct bl_err *err)
{
	char text[128];
	int len = snprintf(text, sizeof(text), "%s %d %llu", lease->boot_id, (int)lease->pid,
			   (unsigned long long)lease->start_time);

	return bl_digest_bytes(text, (size_t)len, ret, err);
}

/* An array of those from `from` on and before `to`. */
static bool trees_to_json(bl_json *json, const char *key, const struct bl_store_lease *lease,
			  size_t from, size_t to)
{
	bl_json *trees = bl_json_set_array(json, key);

	for (size_t i = from; trees && i < to; i++) {
		char hex[BL_DIGEST_HEX];

		bl_digest_to_hex(&lease->trees[i], hex);
		if (!bl_json_set_string(trees, NULL, hex))
			return false;
	}
	return trees;
}

/* What the process was given before stands by itself: a version that knows nothing of it must not take it for what
 * was asked for last. */
static bl_json *to_json(const struct bl_store_lease *lease)
{
	auto_json json = bl_json_new_object();

	if (!json || !trees_to_json(json, "trees", lease, 0, lease->own) ||
	    (lease->own < lease->tree_count &&
	     !trees_to_json(json, "earlier", lease, lease->own, lease->tree_count)) ||
	    !bl_json_set_int(json, "schema", SCHEMA) ||
	    !bl_json_set_string(json, "id", lease->id) ||
	    !bl_json_set_string(json, "tenant", lease->tenant) ||
	    !bl_json_set_string(json, "container", lease->container) ||
	    !bl_json_set_string(json, "boot_id", lease->boot_id) ||
	    !bl_json_set_int(json, "pid", lease->pid) ||
	    !bl_json_set_int(json, "start_time", (int64_t)lease->start_time) ||
	    !bl_json_set_int(json, "ended_at", lease->ended_at) ||
	    (lease->extra && !bl_json_set_copy(json, "extra", lease->extra)))
		return NULL;
	return TAKE_PTR(json);
}

/* A new file in partial/, which goes with the session if it comes to nothing. */
static int new_file(struct bl_cachedir *dirs, char name[BL_CACHEDIR_NAME])
{
	bl_cachedir_name(dirs, "spare", name);
	return bl_sys_openat(dirs->partial, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
}

/* Making a file takes ext4 as long as all else that a warm start asks for; so it is made before. */
void bl_store_lease_prepare(struct bl_store *store)
{
	int fd = store->spare >= 0 ? -EEXIST : new_file(store->dirs, store->spare_name);

	if (fd >= 0)
		store->spare = fd;
}

/* The whole file under its name: by a rename, and so all or nothing. */
static int replace_file(struct bl_store *store, const char *name, const struct bl_buf *text)
{
	const struct bl_cachedir *dirs = store->dirs;
	char temporary[BL_CACHEDIR_NAME];
	auto_fd fd = TAKE_FD(store->spare);
	int r;

	if (fd >= 0)
		memcpy(temporary, store->spare_name, sizeof(temporary));
	else
		fd = new_file(store->dirs, temporary);
	if (fd < 0)
		return fd;
	r = bl_sys_write_all(fd, text->data, text->len);
	if (r == 0)
		r = bl_sys_renameat2(dirs->partial, temporary, dirs->leases, name, 0);
	if (r < 0)
		(void)bl_sys_unlinkat(dirs->partial, temporary, 0);
	return r;
}

static void want_sync(struct bl_store *store, const struct bl_digest *key)
{
	struct bl_cachedir *dirs = store->dirs;

	(void)pthread_mutex_lock(&dirs->lock);
	if (dirs->unsynced_count < BL_CACHEDIR_UNSYNCED)
		dirs->unsynced[dirs->unsynced_count++] = *key;
	(void)pthread_mutex_unlock(&dirs->lock);
	if (store->options.unsynced)
		store->options.unsynced(store->options.data);
}

int bl_store_lease_save(struct bl_store *store, const struct bl_store_lease *lease,
			struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(LEASE_MAX);
	auto_json json = to_json(lease);
	char name[BL_CACHEDIR_NAME];
	struct bl_digest key;
	int r;

	if (!json)
		return bl_err_nomem(err);
	r = bl_json_write(&text, json, err);
	if (r == 0)
		r = key_of(lease, &key, err);
	if (r < 0)
		return r;
	bl_sys_point("lease-begun");
	name_of(&key, name);
	r = replace_file(store, name, &text);
	store->lease_failed = r < 0;
	if (r < 0)
		return bl_cachedir_err(err, -r, "lease of '%s'", lease->id);
	bl_sys_point("lease-written");
	want_sync(store, &key);
	return 0;
}

int bl_store_leases_try(struct bl_store *store, struct bl_err *err)
{
	char name[BL_CACHEDIR_NAME];
	auto_fd fd = -1;
	int r;

	if (!store->lease_failed)
		return 0;
	fd = new_file(store->dirs, name);
	r = fd < 0 ? fd : bl_sys_write_all(fd, "{}", 2);
	if (fd >= 0)
		(void)bl_sys_unlinkat(store->dirs->partial, name, 0);
	store->lease_failed = r < 0;
	return r < 0 ? bl_err_set(
			       err, BL_EX_RETRY, -r,
			       "no container can have a lease, and so no weights: %s; look at the "
			       "disk of '%s'",
			       strerror(-r), store->dirs->path)
		     : 0;
}

static int sync_lease(const struct bl_cachedir *dirs, const struct bl_digest *key)
{
	char name[BL_CACHEDIR_NAME];
	auto_fd fd = -1;

	name_of(key, name);
	fd = bl_sys_openat(dirs->leases, name, O_RDONLY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd; /* it is over already */
	return bl_sys_fsync(fd);
}

int bl_store_leases_sync(struct bl_cachedir *dirs, struct bl_err *err)
{
	auto_free struct bl_digest *keys = calloc(BL_CACHEDIR_UNSYNCED, sizeof(*keys));
	size_t count;
	int r = 0;

	if (!keys)
		return bl_err_nomem(err);
	(void)pthread_mutex_lock(&dirs->lock);
	count = dirs->unsynced_count;
	memcpy(keys, dirs->unsynced, count * sizeof(*keys));
	dirs->unsynced_count = 0;
	(void)pthread_mutex_unlock(&dirs->lock);
	for (size_t i = 0; i < count; i++) {
		int synced = sync_lease(dirs, &keys[i]);

		r = r < 0 ? r : synced;
	}
	if (r == 0 && count > 0)
		r = bl_sys_fsync(dirs->leases);
	return r < 0 ? bl_cachedir_err(err, -r, "fsync of leases") : 0;
}

void bl_store_lease_forget(struct bl_store *store, const struct bl_store_lease *lease)
{
	char name[BL_CACHEDIR_NAME];
	struct bl_digest key;

	/* One that stays is found ended, or dead, the next time. */
	if (key_of(lease, &key, NULL) < 0)
		return;
	name_of(&key, name);
	(void)bl_sys_unlinkat(store->dirs->leases, name, 0);
}

static int read_list(const bl_json *list, struct bl_store_lease *lease)
{
	for (const bl_json *tree = bl_json_first(list); tree; tree = bl_json_next(tree)) {
		if (bl_digest_from_hex(bl_json_string(tree), &lease->trees[lease->tree_count]) < 0)
			return -EINVAL;
		lease->tree_count++;
	}
	return 0;
}

static int read_trees(const bl_json *json, struct bl_store_lease *lease)
{
	const bl_json *own = NULL;
	const bl_json *earlier = NULL;
	int r;

	if (bl_json_get_strings(json, "trees", &own, NULL) <= 0 ||
	    bl_json_get_strings(json, "earlier", &earlier, NULL) < 0)
		return -EINVAL;
	lease->own = bl_json_length(own);
	lease->trees = calloc(lease->own + (earlier ? bl_json_length(earlier) : 0) + 1,
			      sizeof(*lease->trees));
	if (!lease->trees)
		return -ENOMEM;
	r = read_list(own, lease);
	return r == 0 && earlier ? read_list(earlier, lease) : r;
}

static int copy_string(const bl_json *json, const char *key, char **ret)
{
	const char *text = NULL;

	if (bl_json_get_string(json, key, &text, NULL) <= 0)
		return -EINVAL;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

static int read_numbers(const bl_json *json, struct bl_store_lease *lease)
{
	const char *boot_id = NULL;
	int64_t schema;
	int64_t pid = 0;
	int64_t start_time = 0;

	if (bl_json_get_int(json, "schema", SCHEMA, SCHEMA, &schema, NULL) <= 0 ||
	    bl_json_get_string(json, "boot_id", &boot_id, NULL) <= 0 ||
	    bl_json_get_int(json, "pid", 0, INT32_MAX, &pid, NULL) <= 0 ||
	    bl_json_get_int(json, "start_time", 0, BL_JSON_INT_MAX, &start_time, NULL) <= 0 ||
	    bl_json_get_int(json, "ended_at", 0, BL_JSON_INT_MAX, &lease->ended_at, NULL) <= 0)
		return -EINVAL;
	(void)snprintf(lease->boot_id, sizeof(lease->boot_id), "%s", boot_id);
	lease->pid = (pid_t)pid;
	lease->start_time = (uint64_t)start_time;
	return 0;
}

/* -EINVAL where it is no lease of ours, -ENOMEM. */
static int from_json(const bl_json *json, struct bl_store_lease **ret)
{
	auto_store_lease lease = calloc(1, sizeof(*lease));
	const bl_json *extra = NULL;
	int r;

	if (!lease)
		return -ENOMEM;
	if (!bl_json_is_object(json))
		return -EINVAL;
	r = read_numbers(json, lease);
	if (r == 0)
		r = copy_string(json, "id", &lease->id);
	if (r == 0)
		r = copy_string(json, "tenant", &lease->tenant);
	if (r == 0)
		r = copy_string(json, "container", &lease->container);
	if (r == 0 && bl_json_get(json, "extra", &extra, NULL) < 0)
		r = -EINVAL;
	if (r == 0)
		r = read_trees(json, lease);
	if (r < 0)
		return r;
	if (extra) {
		lease->extra = bl_json_copy(extra);
		if (!lease->extra)
			return -ENOMEM;
	}
	*ret = TAKE_PTR(lease);
	return 0;
}

int bl_store_lease_read(const struct bl_store *store, const char *name, struct bl_store_lease **ret,
			struct bl_err *err)
{
	const struct bl_json_limits limits = {
		.max_bytes = LEASE_MAX, .max_values = LEASE_VALUES, .fractions = true};
	auto_buf text = BL_BUF_INIT(LEASE_MAX);
	auto_json json = NULL;
	int r = bl_fs_read_file(store->dirs->leases, name, &text, err);

	if (r == -ENOENT)
		return 0;
	/* A link, a socket, no regular file, or longer than any lease. */
	if (r == -ELOOP || r == -ENXIO || r == -EPERM || r == -EFBIG)
		return -EINVAL;
	if (r == 0)
		r = bl_json_parse(bl_buf_str(&text), text.len, &limits, &json, err);
	if (r == 0)
		r = from_json(json, ret);
	return r == -ENOMEM ? bl_err_nomem(err) : r;
}
