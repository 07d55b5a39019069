// SPDX-License-Identifier: Apache-2.0
/*
 * What the store knows of each tree in memory: found by name, its last use, its size.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/cachedir.h"
#include "agent/gc.h"
#include "agent/store_impl.h"
#include "common/sys.h"

#define NOTE_AGAIN 1000 /* milliseconds between two notes of a tree's use on disk */

static struct bl_store_entry **bucket_of(const struct bl_store *store, const struct bl_digest *name)
{
	size_t at;

	memcpy(&at, name->bytes, sizeof(at));
	return &store->buckets[at & (store->bucket_count - 1)];
}

struct bl_store_entry *bl_store_entry_find(const struct bl_store *store,
					   const struct bl_digest *name)
{
	struct bl_store_entry *entry = *bucket_of(store, name);

	while (entry && !bl_digest_equal(&entry->name, name))
		entry = entry->next;
	return entry;
}

struct bl_store_entry *bl_store_entry_add(struct bl_store *store, const struct bl_digest *name)
{
	struct bl_store_entry *entry = bl_store_entry_find(store, name);
	struct bl_store_entry **bucket = bucket_of(store, name);

	if (entry)
		return entry;
	if (store->count == store->room) {
		size_t room = store->room ? store->room * 2 : 256;
		struct bl_store_entry **list =
			reallocarray(store->list, room, sizeof(struct bl_store_entry *));

		if (!list)
			return NULL;
		store->list = list;
		store->room = room;
	}
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->name = *name;
	entry->position = store->count;
	entry->next = *bucket;
	*bucket = entry;
	store->list[store->count++] = entry;
	return entry;
}

void bl_store_entry_tidy(struct bl_store *store, struct bl_store_entry *entry)
{
	struct bl_store_entry **link = bucket_of(store, &entry->name);

	if (entry->present || entry->pinned || entry->leases > 0 || entry->holds > 0)
		return;
	while (*link != entry)
		link = &(*link)->next;
	*link = entry->next;
	store->list[entry->position] = store->list[--store->count];
	store->list[entry->position]->position = entry->position;
	free(entry);
}

int64_t bl_store_now(const struct bl_store *store, clockid_t id)
{
	struct timespec now;

	if (store->options.clock)
		return store->options.clock(id);
	(void)clock_gettime(id, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000LL;
}

void bl_store_manifest_name(const struct bl_digest *tree, char name[BL_CACHEDIR_NAME])
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(tree, hex);
	(void)snprintf(name, BL_CACHEDIR_NAME, "%s.json", hex);
}

/*
 * Uses are told apart by their order alone: each is later than every one before it, also when the
 * clock has gone back since. So no clock that was ten years off makes a tree the newest for good.
 * On disk a tree that is used all the time has the order of its seconds.
 */
void bl_store_touch(struct bl_store *store, struct bl_store_entry *entry)
{
	int64_t now = bl_store_now(store, CLOCK_REALTIME) * 1000000LL;
	int64_t boot = bl_store_now(store, CLOCK_BOOTTIME);
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	char name[BL_CACHEDIR_NAME];

	if (now <= store->last_use)
		now = store->last_use + 1;
	store->last_use = now;
	entry->used = now;
	if (!entry->present || (entry->noted_at && boot - entry->noted_at < NOTE_AGAIN))
		return;
	entry->noted_at = boot;
	times[1] = (struct timespec){now / BL_STORE_SECOND, now % BL_STORE_SECOND};
	bl_store_manifest_name(&entry->name, name);
	/* Lost, it costs an eviction out of order. */
	(void)utimensat(store->dirs->manifests, name, times, AT_SYMLINK_NOFOLLOW);
}

int bl_store_entry_load(struct bl_store *store, struct bl_store_entry *entry)
{
	char name[BL_CACHEDIR_NAME];
	struct stat st;
	int r;

	bl_store_manifest_name(&entry->name, name);
	r = bl_sys_fstatat(store->dirs->manifests, name, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return r;
	entry->used = st.st_mtim.tv_sec * BL_STORE_SECOND + st.st_mtim.tv_nsec;
	if (entry->used > store->last_use)
		store->last_use = entry->used;
	return 0;
}

void bl_store_entry_size(struct bl_store *store, struct bl_store_entry *entry)
{
	struct bl_gc_size size = {.tree = entry->name};

	if (entry->sized || !entry->present)
		return;
	bl_gc_sizes(store->dirs, &size, 1, NULL);
	bl_store_sizes_take(store, &size, 1);
}

/* ---- The sizes of many, which a worker finds ---- */

static bool lacks_size(const struct bl_store_entry *entry)
{
	return entry->present && !entry->sized && !entry->size_tried;
}

size_t bl_store_sizes_begin(struct bl_store *store, struct bl_gc_size **ret)
{
	struct bl_gc_size *list;
	size_t missing = 0;
	size_t n = 0;

	for (size_t i = 0; i < store->count; i++)
		missing += lacks_size(store->list[i]);
	list = missing > 0 ? calloc(missing, sizeof(*list)) : NULL;
	for (size_t i = 0; i < store->count && missing > 0; i++) {
		if (!lacks_size(store->list[i]))
			continue;
		if (list)
			list[n++].tree = store->list[i]->name;
		else
			/* No memory: nobody may wait for them for ever. */
			store->list[i]->size_tried = true;
	}
	*ret = list;
	return n;
}

void bl_store_sizes_take(struct bl_store *store, const struct bl_gc_size *sizes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct bl_store_entry *entry = bl_store_entry_find(store, &sizes[i].tree);

		/* What has used it meanwhile knows better. */
		if (!entry || entry->sized)
			continue;
		entry->size_tried = true;
		entry->files = sizes[i].files;
		entry->bytes = sizes[i].bytes;
		entry->sized = sizes[i].known;
	}
}
