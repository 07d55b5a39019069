// SPDX-License-Identifier: Apache-2.0
/*
 * What a tenant has of the cache: found by a look at all refs, since only downloads ask.
 */
#include "agent/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/ref.h"
#include "agent/store_impl.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/human.h"
#include "common/sys.h"

/* Marks the tree of a ref. A shared ref ("") is nobody's. */
static void mark(struct bl_store *store, const char *tenant, const struct bl_ref *ref)
{
	struct bl_store_entry *entry = bl_store_entry_find(store, &ref->manifest);

	if (!entry || !entry->present || !*ref->tenant)
		return;
	if (strcmp(ref->tenant, tenant) == 0)
		entry->round = store->tenant_round;
	else
		entry->others = true;
}

static int mark_all(struct bl_store *store, const char *tenant, struct bl_err *err)
{
	int copy = bl_sys_openat(store->dirs->refs, ".", O_RDONLY | O_DIRECTORY, 0);
	auto_dir dir = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *file;
	int r;

	if (!dir)
		return bl_err_sys(err, copy < 0 ? -copy : errno, "read 'refs'");
	store->tenant_round++;
	for (size_t i = 0; i < store->count; i++)
		store->list[i]->others = false;
	while ((r = bl_sys_readdir(dir, &file)) > 0) {
		auto_ref ref = {0};
		char hex[BL_DIGEST_HEX];
		struct bl_digest digest;

		(void)snprintf(hex, sizeof(hex), "%.64s", file->d_name);
		if (bl_digest_from_hex(hex, &digest) == 0 &&
		    bl_ref_load(store->dirs, hex, &ref, NULL) == 0)
			mark(store, tenant, &ref);
	}
	return r < 0 ? bl_err_sys(err, -r, "read 'refs'") : 0;
}

int bl_store_check_tenant(struct bl_store *store, const char *tenant, uint64_t quota,
			  uint64_t bytes, struct bl_err *err)
{
	auto_free struct bl_store_entry **list = calloc(store->count + 1, sizeof(*list));
	uint64_t used = bytes;
	uint64_t evictable = 0;
	size_t count = 0;
	int r = list ? mark_all(store, tenant, err) : bl_err_nomem(err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < store->count; i++) {
		struct bl_store_entry *entry = store->list[i];

		if (!entry->present || entry->round != store->tenant_round)
			continue;
		bl_store_entry_size(store, entry);
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
