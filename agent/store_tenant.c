// SPDX-License-Identifier: Apache-2.0
/*
 * What a tenant has of the cache: found by a look at all refs, since only downloads ask. The look is
 * a worker's, what follows from it the loop's.
 */
#include "agent/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/ref.h"
#include "agent/store_impl.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/human.h"
#include "common/sys.h"

struct bl_store_ref {
	struct bl_digest tree;
	uint64_t files, bytes;
	bool own;
};

/* ---- On a worker ---- */

struct look {
	struct bl_store_refs *refs;
	const char *tenant;
};

static int take(void *context, const struct bl_ref *ref, struct bl_err *err)
{
	const struct look *look = context;
	struct bl_store_refs *refs = look->refs;

	/* A shared one is nobody's. */
	if (!*ref->tenant)
		return 0;
	if (refs->count == refs->room) {
		size_t room = refs->room * 2 + 64;
		struct bl_store_ref *list = reallocarray(refs->list, room, sizeof(*list));

		if (!list)
			return bl_err_nomem(err);
		refs->list = list;
		refs->room = room;
	}
	refs->list[refs->count++] = (struct bl_store_ref){
		.tree = ref->manifest,
		.files = ref->files,
		.bytes = ref->bytes,
		.own = strcmp(ref->tenant, look->tenant) == 0,
	};
	return 0;
}

int bl_store_refs_read(struct bl_cachedir *dirs, const char *tenant, struct bl_store_refs *refs,
		       struct bl_err *err)
{
	struct look look = {.refs = refs, .tenant = tenant};

	bl_sys_point("tenant-refs");
	return bl_ref_each(dirs, take, &look, err);
}

/* ---- On the loop ---- */

void bl_store_refs_begin(const struct bl_store *store, struct bl_store_refs *refs)
{
	refs->count = 0;
	refs->added = store->added;
}

void bl_store_refs_done(struct bl_store_refs *refs)
{
	free(refs->list);
	*refs = (struct bl_store_refs){0};
}

static void mark(struct bl_store *store, const struct bl_store_ref *ref)
{
	struct bl_store_entry *entry = bl_store_entry_find(store, &ref->tree);

	if (!entry || !entry->present)
		return;
	if (ref->own)
		entry->round = store->tenant_round;
	else
		entry->others = true;
	if (entry->sized)
		return;
	entry->files = ref->files;
	entry->bytes = ref->bytes;
	entry->sized = true;
}

static void mark_all(struct bl_store *store, const struct bl_store_refs *refs)
{
	store->tenant_round++;
	for (size_t i = 0; i < store->count; i++)
		store->list[i]->others = false;
	for (size_t i = 0; i < refs->count; i++)
		mark(store, &refs->list[i]);
}

int bl_store_check_tenant(struct bl_store *store, const struct bl_store_refs *refs,
			  const char *tenant, const struct bl_digest *same, uint64_t quota,
			  uint64_t bytes, struct bl_err *err)
{
	auto_free struct bl_store_entry **list = calloc(store->count + 1, sizeof(*list));
	uint64_t used = bytes;
	uint64_t evictable = 0;
	size_t count = 0;
	int r;

	if (!list)
		return bl_err_nomem(err);
	if (refs->added != store->added)
		return -EAGAIN;
	mark_all(store, refs);
	for (size_t i = 0; i < store->count; i++) {
		struct bl_store_entry *entry = store->list[i];

		if (!entry->present || entry->round != store->tenant_round ||
		    (same && bl_digest_equal(same, &entry->name)))
			continue;
		used += entry->bytes;
		if (entry->others || !bl_store_entry_may_go(entry))
			continue;
		evictable += entry->bytes;
		list[count++] = entry;
	}
	if (used <= quota)
		return 0;
	if (used - quota <= evictable) {
		r = bl_store_evict_oldest(store, list, count, used - quota, err);
		return r < 0 ? r : 1;
	}
	return bl_err_set(
		err, BL_EX_RETRY, ENOSPC,
		"no room in the quota of tenant '%s' (%s): %s are missing after all that may "
		"be evicted; raise the quota, or end containers that hold trees",
		tenant, bl_human_bytes((int64_t)quota).text,
		bl_human_bytes((int64_t)(used - quota - evictable)).text);
}
