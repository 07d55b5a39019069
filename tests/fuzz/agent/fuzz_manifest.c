// SPDX-License-Identifier: Apache-2.0
/* A manifest on disk. What is accepted must be, byte for byte, what we would have written: so no two
 * files are one tree, and no tree has two names. */
#include <stddef.h>
#include <stdint.h>

#include "agent/digest.h"
#include "agent/manifest.h"
#include "common/err.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int take(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	return bl_manifest_add(context, entry->path, entry->size, &entry->digest, NULL, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_manifest manifest;
	struct bl_digest wanted;
	struct bl_digest got;
	struct bl_err err;

	bl_manifest_init(&manifest);
	scratch_file("manifest", data, len);
	if (bl_manifest_walk(scratch(), "manifest", NULL, take, &manifest, &err) < 0 ||
	    bl_manifest_sort(&manifest, &err) < 0)
		return 0;
	if (bl_manifest_digest(&manifest, &got, &err) < 0 ||
	    bl_digest_bytes(data, len, &wanted, &err) < 0 || !bl_digest_equal(&got, &wanted))
		abort();
	return 0;
}
