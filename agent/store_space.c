// SPDX-License-Identifier: Apache-2.0
/*
 * Space: what the cache has, what is promised, and which trees go when there is not enough.
 */
#include "agent/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "agent/cachedir.h"
#include "agent/gc.h"
#include "agent/store_impl.h"
#include "agent/tree.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/human.h"

#define BLOCK	    4096U
#define COUNT_AGAIN (10 * 60 * 1000) /* ms: a count that was added to is trusted for so long */

/* What the filesystem has left for us. */
static int ask_filesystem(const struct bl_store *store, uint64_t *ret, struct bl_err *err)
{
	struct statvfs vfs;

	if (fstatvfs(store->dirs->root, &vfs) < 0)
		return bl_err_sys(err, errno, "statvfs");
	*ret = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	return 0;
}

/* Whether what was added and taken away since the last count makes another one worth while. */
static bool is_due(const struct bl_store *store)
{
	return store->measured && store->drifted &&
	       bl_store_now(store, CLOCK_BOOTTIME) - store->measured_at >= COUNT_AGAIN;
}

/* Only before the first collect, which counts, is over: a walk over all blobs takes its time. */
static int measure(struct bl_store *store, struct bl_err *err)
{
	int r = store->measured ? 0 : bl_gc_measure(store->dirs, &store->bytes, err);

	if (r < 0 || store->measured)
		return r;
	store->measured = true;
	store->measured_at = bl_store_now(store, CLOCK_BOOTTIME);
	store->drifted = false;
	return 0;
}

/* Before anything is evicted or refused a collect counts the bytes anew, unless one just has, and reads
 * what candidates() will ask for. */
static bool must_count(struct bl_store *store)
{
	if (!store->drifted || (store->recounted && !is_due(store)))
		return false;
	store->recount = store->sizes_wanted = true;
	return true;
}

static uint64_t less(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

/* How much more may be reserved, as things are. */
static int room(struct bl_store *store, uint64_t *ret, struct bl_err *err)
{
	uint64_t left = 0;
	int r = measure(store, err);

	if (r == 0)
		r = ask_filesystem(store, &left, err);
	if (r < 0)
		return r;
	left = less(less(left, store->options.min_free_bytes), store->reserved);
	if (store->options.max_bytes > 0) {
		uint64_t quota =
			less(less(store->options.max_bytes, store->bytes), store->reserved);

		left = quota < left ? quota : left;
	}
	*ret = left;
	return 0;
}

/* What the cache may have in all, as things are: what others put on the disk makes it smaller. */
static int limit_of(struct bl_store *store, uint64_t *ret, struct bl_err *err)
{
	uint64_t left = 0;
	uint64_t all;
	int r = measure(store, err);

	if (r == 0)
		r = ask_filesystem(store, &left, err);
	if (r < 0)
		return r;
	all = less(left + store->bytes + store->allocating, store->options.min_free_bytes);
	if (store->options.max_bytes > 0 && store->options.max_bytes < all)
		all = store->options.max_bytes;
	*ret = all;
	return 0;
}

int bl_store_usage(struct bl_store *store, struct bl_store_usage *ret, struct bl_err *err)
{
	struct bl_store_usage usage = {.reserved = store->reserved,
				       .evictions = store->evictions,
				       .evicted_bytes = store->evicted_bytes};
	int r = ask_filesystem(store, &usage.free, err);

	if (r == 0)
		r = limit_of(store, &usage.limit, err);
	if (r < 0)
		return r;
	usage.bytes = store->bytes;
	for (size_t i = 0; i < store->count; i++) {
		usage.trees += store->list[i]->present;
		usage.pinned += store->list[i]->pinned;
		usage.leased += store->list[i]->leases > 0;
	}
	*ret = usage;
	return 0;
}

/* ---- Eviction ---- */

bool bl_store_entry_may_go(const struct bl_store_entry *entry)
{
	return entry->present && entry->leases == 0 && entry->holds == 0 && !entry->pinned;
}

static int by_use(const void *a, const void *b)
{
	const struct bl_store_entry *x = *(struct bl_store_entry *const *)a;
	const struct bl_store_entry *y = *(struct bl_store_entry *const *)b;

	return (x->used > y->used) - (x->used < y->used);
}

/* Those that may go; *ret_bytes what they come to by their manifests. 1: a collect has to read some of
 * these first. */
static int candidates(struct bl_store *store, struct bl_store_entry ***ret, size_t *ret_count,
		      uint64_t *ret_bytes, struct bl_err *err)
{
	struct bl_store_entry **list = calloc(store->count + 1, sizeof(struct bl_store_entry *));
	uint64_t bytes = 0;
	bool unknown = false;
	size_t n = 0;

	if (!list)
		return bl_err_nomem(err);
	for (size_t i = 0; i < store->count; i++) {
		struct bl_store_entry *entry = store->list[i];

		if (!bl_store_entry_may_go(entry))
			continue;
		if (!entry->sized && !entry->size_tried)
			unknown = true;
		bytes += entry->bytes;
		list[n++] = entry;
	}
	*ret = list;
	*ret_count = n;
	*ret_bytes = bytes;
	store->sizes_wanted = store->sizes_wanted || unknown;
	return unknown;
}

static int evict(struct bl_store *store, struct bl_store_entry *entry, struct bl_err *err)
{
	int r = bl_tree_retire(store->dirs, &entry->name, false, err);

	if (r < 0)
		return r;
	store->evictions++;
	store->evicted_bytes += entry->bytes;
	store->retired++;
	entry->present = false;
	entry->sized = false;
	bl_store_entry_tidy(store, entry);
	return 0;
}

int bl_store_evict_oldest(struct bl_store *store, struct bl_store_entry **list, size_t count,
			  uint64_t wanted, struct bl_err *err)
{
	uint64_t gone = 0;
	size_t i;

	qsort(list, count, sizeof(*list), by_use);

	for (i = 0; i < count && gone < wanted; i++) {
		uint64_t bytes = list[i]->bytes;
		int r = evict(store, list[i], err);

		if (r < 0)
			return r;
		gone += bytes;
	}
	return (int)i;
}

static int refuse(struct bl_store *store, uint64_t bytes, uint64_t missing, struct bl_err *err)
{
	store->short_of_room = store->swept = store->recounted = false;
	return bl_err_set(
		err, BL_EX_RETRY, ENOSPC,
		"no room for %s: %s are missing after all that may be evicted; free space, "
		"raise the quota, or end containers that hold trees",
		bl_human_bytes((int64_t)bytes).text, bl_human_bytes((int64_t)missing).text);
}

/*
 * Trees go only where their going is enough. If it would not be, what is left over from downloads
 * and damage goes first (a collect with everything), and then it is looked at again.
 */
static int make_room(struct bl_store *store, uint64_t bytes, uint64_t missing, struct bl_err *err)
{
	auto_free struct bl_store_entry **list = NULL;
	uint64_t evictable;
	size_t count;
	int r;

	if (store->collected != store->retired || (store->short_of_room && !store->swept))
		return 1;
	r = candidates(store, &list, &count, &evictable, err);
	if (r != 0)
		return r;
	if (evictable < missing) {
		if (store->swept)
			return refuse(store, bytes, missing - evictable, err);
		store->short_of_room = true;
		return 1;
	}
	r = bl_store_evict_oldest(store, list, count, missing, err);
	return r < 0 ? r : 1;
}

/* How many trees, the oldest first, come to so many files; 0 where all do not. */
static size_t trees_with(struct bl_store_entry **list, size_t count, uint64_t files)
{
	uint64_t sum = 0;

	qsort(list, count, sizeof(*list), by_use);
	for (size_t i = 0; i < count; i++) {
		sum += list[i]->files;
		if (sum >= files)
			return i + 1;
	}
	return 0;
}

/*
 * A filesystem may be out of inodes where it has bytes. Trees go for those too where that is enough; where it is
 * not, none does, and the download itself finds out. 0, or 1: a collect has to come first.
 */
static int make_inodes(struct bl_store *store, uint64_t files, struct bl_err *err)
{
	auto_free struct bl_store_entry **list = NULL;
	uint64_t evictable;
	struct statvfs vfs;
	size_t count;
	int r;

	if (fstatvfs(store->dirs->root, &vfs) < 0 || vfs.f_files == 0 || vfs.f_favail >= files)
		return 0;
	if (store->collected != store->retired)
		return 1;
	r = candidates(store, &list, &count, &evictable, err);
	if (r != 0)
		return r;
	count = trees_with(list, count, files - vfs.f_favail);
	if (count == 0)
		return 0;
	r = bl_store_evict_oldest(store, list, count, UINT64_MAX, err);
	return r < 0 ? r : 1;
}

int bl_store_reserve(struct bl_store *store, uint64_t bytes, uint64_t files, struct bl_err *err)
{
	uint64_t left = 0;
	int r = room(store, &left, err);

	if (r < 0)
		return r;
	if (bytes > left && store->allocating > 0)
		return 1;
	if (bytes > left)
		return must_count(store) ? 1 : make_room(store, bytes, bytes - left, err);
	r = make_inodes(store, files, err);
	if (r != 0)
		return r;
	store->reserved += bytes;
	store->short_of_room = store->swept = store->recounted = false;
	return 0;
}

void bl_store_allocate(struct bl_store *store, uint64_t bytes)
{
	store->allocating += bytes;
}

void bl_store_allocated(struct bl_store *store, uint64_t bytes)
{
	store->allocating = less(store->allocating, bytes);
}

void bl_store_unreserve(struct bl_store *store, uint64_t bytes)
{
	store->reserved = less(store->reserved, bytes);
}

void bl_store_gc_options(struct bl_store *store, struct bl_gc_options *ret)
{
	int64_t now = bl_store_now(store, CLOCK_REALTIME) / 1000;
	int64_t grace = store->options.lease_grace;
	/* A whole file of an unfinished download has no tree yet: it is kept as a part of one is, but goes
	 * before a tree does, for which a recount is wanted first. */
	int64_t kept = store->options.partial_ttl;

	*ret = (struct bl_gc_options){
		.orphans_before = now - (grace > kept || store->recount ? grace : kept),
		.partials_before = now - kept,
		.quarantine_before = now - 30 * 24 * 3600,
	};
	store->collecting = store->retired;
	store->let_go = false;
	ret->count = store->recount || !store->measured || is_due(store);
	store->recounting = store->recount;
	store->recount = false;
	if (store->sizes_wanted && !store->sizes)
		store->size_count = bl_store_sizes_begin(store, &store->sizes);
	store->sizes_wanted = false;
	ret->sizes = store->sizes;
	ret->size_count = store->size_count;
	store->grown = 0;
	store->sweeping = store->short_of_room;
	if (store->short_of_room)
		ret->orphans_before = ret->partials_before = ret->quarantine_before = INT64_MAX;
}

void bl_store_grew(struct bl_store *store, uint64_t bytes)
{
	/* As the disk has it, in blocks: what is freed is counted so too. */
	bytes = (bytes + BLOCK - 1) / BLOCK * BLOCK;
	store->bytes += bytes;
	store->grown += bytes;
	store->drifted = true;
}

void bl_store_collected(struct bl_store *store, const struct bl_gc_result *result)
{
	/* What was opened meanwhile may be part of the count: then too much is on the books, and the
	 * next shortage counts again. */
	if (result->counted)
		store->bytes = result->bytes + store->grown;
	else
		store->bytes = less(store->bytes, result->freed);
	store->drifted = !result->counted || store->grown > 0;
	store->remains = result->kept > 0;
	/* What it passed over may be free by now. */
	store->retired += store->remains && store->let_go;
	if (result->counted || is_due(store))
		store->measured_at = bl_store_now(store, CLOCK_BOOTTIME);
	store->measured = store->measured || result->counted;
	store->recounted = store->recounted || store->recounting;
	store->recounting = false;
	bl_store_sizes_take(store, store->sizes, store->size_count);
	free(TAKE_PTR(store->sizes));
	store->size_count = 0;
	store->collected = store->collecting;
	store->swept = store->sweeping && store->short_of_room;
}

int bl_store_trim(struct bl_store *store, struct bl_err *err)
{
	auto_free struct bl_store_entry **list = NULL;
	uint64_t all;
	uint64_t evictable;
	size_t count;
	int r;

	/* Nobody waits for it: the first count is left to a collect. */
	if (store->collected != store->retired || !store->measured || is_due(store))
		return 1;
	if (store->options.high_percent == 0)
		return 0;
	r = limit_of(store, &all, err);
	if (r < 0)
		return r;
	if (store->bytes <= all / 100 * store->options.high_percent)
		return 0;
	if (must_count(store))
		return 1;
	r = candidates(store, &list, &count, &evictable, err);
	if (r != 0)
		return r;
	r = bl_store_evict_oldest(store, list, count,
				  less(store->bytes, all / 100 * store->options.low_percent), err);
	return r > 0 ? 1 : r;
}
