// SPDX-License-Identifier: Apache-2.0
/* A lease on disk, as a start reads it: whatever it is, the start goes on. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "agent/cachedir.h"
#include "agent/store_impl.h"
#include "common/err.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct bl_cachedir dirs;
	struct bl_store_entry *buckets[16] = {NULL};
	struct bl_store store = {
		.dirs = &dirs, .buckets = buckets, .bucket_count = 16, .boot_id = "boot"};
	struct bl_err err;

	if (dirs.leases <= 0) {
		(void)mkdirat(scratch(), "leases", 0700);
		dirs.leases = openat(scratch(), "leases", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		dirs.quarantine = dirs.manifests = scratch();
	}
	dirs.sequence = 0;
	scratch_file("leases/one.json", data, len);
	if (bl_store_leases_load(&store, &err) < 0)
		abort();
	(void)bl_store_lease_expire(&store);
	bl_store_leases_free(&store);
	for (size_t i = 0; i < store.count; i++)
		free(store.list[i]);
	free(store.list);
	return 0;
}
