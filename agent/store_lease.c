// SPDX-License-Identifier: Apache-2.0
/*
 * Leases in memory, where they protect trees; each is on disk before it counts (store_lease_file.c).
 */
#include "agent/store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/store_impl.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

static struct bl_store_lease *lease_copy(const struct bl_store_lease *from)
{
	auto_store_lease lease = calloc(1, sizeof(*lease));

	if (!lease)
		return NULL;
	lease->id = strdup(from->id);
	lease->tenant = strdup(from->tenant ? from->tenant : "");
	lease->container = strdup(from->container ? from->container : "");
	lease->trees = calloc(from->tree_count + 1, sizeof(*lease->trees));
	if (from->extra)
		lease->extra = bl_json_copy(from->extra);
	if (!lease->id || !lease->tenant || !lease->container || !lease->trees ||
	    (from->extra && !lease->extra))
		return NULL;
	if (from->tree_count > 0)
		memcpy(lease->trees, from->trees, from->tree_count * sizeof(*lease->trees));
	lease->tree_count = lease->own = from->tree_count;
	(void)snprintf(lease->boot_id, sizeof(lease->boot_id), "%s", from->boot_id);
	lease->pid = from->pid;
	lease->start_time = from->start_time;
	lease->ended_at = from->ended_at;
	lease->seen_at = from->seen_at;
	return TAKE_PTR(lease);
}

static bool is_same(const struct bl_store_lease *lease, const char *boot_id, pid_t pid,
		    uint64_t start_time)
{
	return lease->pid == pid && lease->start_time == start_time &&
	       strcmp(lease->boot_id, boot_id) == 0;
}

static size_t bucket_of(pid_t pid, uint64_t start_time)
{
	return ((size_t)pid * 31 + (size_t)start_time) & (BL_STORE_LEASE_BUCKETS - 1);
}

/* Its place in store->leases, or lease_count. */
static size_t place_of(const struct bl_store *store, const char *boot_id, pid_t pid,
		       uint64_t start_time)
{
	const struct bl_store_lease *lease = store->lease_buckets[bucket_of(pid, start_time)];

	while (lease && !is_same(lease, boot_id, pid, start_time))
		lease = lease->next;
	return lease ? lease->place : store->lease_count;
}

/* The lease stands at that place, in stead of what stood there (or NULL). */
static void put_at(struct bl_store *store, size_t place, struct bl_store_lease *lease)
{
	struct bl_store_lease **bucket =
		&store->lease_buckets[bucket_of(lease->pid, lease->start_time)];

	lease->place = place;
	lease->next = *bucket;
	*bucket = lease;
	store->leases[place] = lease;
}

static void take_from_bucket(struct bl_store *store, const struct bl_store_lease *lease)
{
	struct bl_store_lease **link =
		&store->lease_buckets[bucket_of(lease->pid, lease->start_time)];

	while (*link != lease)
		link = &(*link)->next;
	*link = lease->next;
}

/* ---- In memory ---- */

/* What a lease has mounted stays, also where it was found damaged and is in partial/ by now. */
static void keep(struct bl_store *store, struct bl_store_entry *entry)
{
	if (entry->leases > 0 && !entry->kept) {
		entry->kept = bl_cachedir_hold(store->dirs, &entry->name, NULL) == 0;
	} else if (entry->leases == 0 && entry->kept) {
		bl_cachedir_unhold(store->dirs, &entry->name);
		entry->kept = false;
		store->let_go = true;
		store->retired += store->remains; /* one of them may go now */
	}
}

/* Its trees are protected (by = 1), or no longer (by = -1). */
static void protect(struct bl_store *store, const struct bl_store_lease *lease, int by)
{
	for (size_t i = 0; i < lease->tree_count; i++) {
		struct bl_store_entry *entry = bl_store_entry_find(store, &lease->trees[i]);

		if (!entry || (by < 0 && entry->leases == 0))
			continue;
		entry->leases = by > 0 ? entry->leases + 1 : entry->leases - 1;
		keep(store, entry);
		bl_store_entry_tidy(store, entry);
	}
}

/* Entries for all its trees, so that protect() cannot fail. */
static int make_entries(struct bl_store *store, const struct bl_store_lease *lease)
{
	for (size_t i = 0; i < lease->tree_count; i++)
		if (!bl_store_entry_add(store, &lease->trees[i]))
			return -ENOMEM;
	return 0;
}

/* Room for one more. */
static int make_place(struct bl_store *store)
{
	size_t room = store->lease_room ? store->lease_room * 2 : 64;
	struct bl_store_lease **leases;

	if (store->lease_count < store->lease_room)
		return 0;
	leases = reallocarray(store->leases, room, sizeof(struct bl_store_lease *));
	if (!leases)
		return -ENOMEM;
	store->leases = leases;
	store->lease_room = room;
	return 0;
}

static void remove_at(struct bl_store *store, size_t place)
{
	struct bl_store_lease *lease = store->leases[place];

	protect(store, lease, -1);
	take_from_bucket(store, lease);
	store->leases[place] = store->leases[--store->lease_count];
	store->leases[place]->place = place;
	bl_store_lease_free(&lease);
}

static int64_t boot_seconds(const struct bl_store *store)
{
	return bl_store_now(store, CLOCK_BOOTTIME) / 1000;
}

static int64_t wall_seconds(const struct bl_store *store)
{
	return bl_store_now(store, CLOCK_REALTIME) / 1000;
}

/*
 * When its grace began, on this boot's own clock. What another boot left alive ended at the latest
 * now; of what had ended, the wall clock says how much of the grace is gone, as far as it makes
 * sense.
 */
static void place_end(const struct bl_store *store, struct bl_store_lease *lease)
{
	int64_t gone = wall_seconds(store) - lease->ended_at;

	lease->seen_at = boot_seconds(store);
	if (lease->ended_at == 0) {
		if (strcmp(lease->boot_id, store->boot_id) != 0)
			lease->ended_at = wall_seconds(store);
		return;
	}
	if (gone > store->options.lease_grace)
		gone = store->options.lease_grace;
	lease->seen_at -= gone > 0 ? gone : 0;
}

static int load_one(struct bl_store *store, const char *name, struct bl_err *err)
{
	auto_store_lease lease = NULL;
	int r = bl_store_lease_read(store, name, &lease, err);

	if (r == -EINVAL) {
		char to[BL_CACHEDIR_NAME];

		/* Not ours, or of a version to come: it must not keep the node from starting. */
		bl_cachedir_name(store->dirs, "lease", to);
		(void)bl_sys_renameat2(store->dirs->leases, name, store->dirs->quarantine, to, 0);
		return 0;
	}
	if (r < 0) {
		bl_err_wrap(err,
			    "lease '%s' cannot be read, and what it protects must not go; "
			    "start again, or look at the cache's disk: ",
			    name);
		return r;
	}
	if (!lease)
		return 0;
	place_end(store, lease);
	if (make_entries(store, lease) < 0 || make_place(store) < 0)
		return bl_err_nomem(err);
	protect(store, lease, 1);
	put_at(store, store->lease_count++, TAKE_PTR(lease));
	return 0;
}

int bl_store_leases_load(struct bl_store *store, struct bl_err *err)
{
	const struct dirent *file;
	auto_dir dir = NULL;
	int r = bl_fs_list(store->dirs->leases, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read 'leases'");
	while ((r = bl_sys_readdir(dir, &file)) > 0) {
		r = load_one(store, file->d_name, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? bl_err_sys(err, -r, "read 'leases'") : 0;
}

void bl_store_leases_free(struct bl_store *store)
{
	for (size_t i = 0; i < store->lease_count; i++)
		bl_store_lease_free(&store->leases[i]);
	free(store->leases);
	store->leases = NULL;
	store->lease_count = store->lease_room = 0;
	if (store->spare >= 0)
		(void)bl_sys_unlinkat(store->dirs->partial, store->spare_name, 0);
	bl_cleanup_fd(&store->spare);
	store->spare = -1;
}

/* ---- What callers do ---- */

static void touch_trees(struct bl_store *store, const struct bl_store_lease *lease)
{
	for (size_t i = 0; i < lease->tree_count; i++) {
		struct bl_store_entry *entry = bl_store_entry_find(store, &lease->trees[i]);

		if (entry)
			bl_store_touch(store, entry);
	}
}

/* What the process was given before stays its own until it ends. */
static int add_earlier(struct bl_store_lease *lease, const struct bl_store_lease *old)
{
	struct bl_digest *trees =
		reallocarray(lease->trees, lease->tree_count + old->tree_count + 1, sizeof(*trees));

	if (!trees)
		return -ENOMEM;
	lease->trees = trees;
	for (size_t i = 0; i < old->tree_count; i++) {
		size_t at = 0;

		/* What stands among the old ones twice may do so again: it is protected all the same. */
		while (at < lease->own && !bl_digest_equal(&trees[at], &old->trees[i]))
			at++;
		if (at == lease->own)
			trees[lease->tree_count++] = old->trees[i];
	}
	return 0;
}

int bl_store_lease_put(struct bl_store *store, const struct bl_store_lease *lease,
		       struct bl_err *err)
{
	auto_store_lease copy = lease_copy(lease);
	size_t place = place_of(store, lease->boot_id, lease->pid, lease->start_time);
	int r;

	if (!copy)
		return bl_err_nomem(err);
	for (size_t i = 0; i < copy->tree_count; i++) {
		const struct bl_store_entry *entry = bl_store_entry_find(store, &copy->trees[i]);

		if (!entry || !entry->present)
			return bl_err_set(err, BL_EX_RETRY, ENOENT,
					  "a tree of the lease is not in the cache");
	}
	copy->ended_at = 0;
	if (place < store->lease_count && store->leases[place]->ended_at == 0 &&
	    (add_earlier(copy, store->leases[place]) < 0 || make_entries(store, copy) < 0))
		return bl_err_nomem(err);
	if (make_place(store) < 0)
		return bl_err_nomem(err);
	r = bl_store_lease_save(store, copy, err);
	if (r < 0)
		return r;
	/* First the new, then the old: what both name is protected throughout. */
	protect(store, copy, 1);
	touch_trees(store, copy);
	if (place < store->lease_count) {
		struct bl_store_lease *old = store->leases[place];

		protect(store, old, -1);
		take_from_bucket(store, old);
		bl_store_lease_free(&old);
	} else {
		store->lease_count++;
	}
	put_at(store, place, TAKE_PTR(copy));
	return 0;
}

const struct bl_store_lease *bl_store_lease_next(const struct bl_store *store, size_t *position)
{
	return *position < store->lease_count ? store->leases[(*position)++] : NULL;
}

int bl_store_lease_end(struct bl_store *store, const char *boot_id, pid_t pid, uint64_t start_time,
		       struct bl_err *err)
{
	size_t place = place_of(store, boot_id, pid, start_time);
	struct bl_store_lease *lease;

	if (place == store->lease_count || store->leases[place]->ended_at != 0)
		return 0;
	lease = store->leases[place];
	lease->ended_at = wall_seconds(store);
	if (lease->ended_at <= 0)
		lease->ended_at = 1;
	lease->seen_at = boot_seconds(store);
	touch_trees(store, lease);
	/* Where this fails, the next start finds its process dead, and the grace begins anew. */
	return bl_store_lease_save(store, lease, err);
}

int64_t bl_store_lease_expire(struct bl_store *store)
{
	int64_t now = boot_seconds(store);
	int64_t next = 0;

	for (size_t i = store->lease_count; i-- > 0;) {
		const struct bl_store_lease *lease = store->leases[i];
		int64_t left = lease->seen_at + store->options.lease_grace - now;

		if (lease->ended_at == 0)
			continue;
		if (left <= 0) {
			bl_store_lease_forget(store, lease);
			remove_at(store, i);
		} else if (next == 0 || left < next) {
			next = left;
		}
	}
	return next;
}
