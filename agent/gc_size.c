// SPDX-License-Identifier: Apache-2.0
/*
 * What trees come to, by their manifests: a manifest of a million files takes its time, and so it is a
 * worker that reads it.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/cachedir.h"
#include "agent/gc.h"
#include "agent/manifest.h"
#include "common/sys.h"

static int add_size(void *context, const struct bl_manifest_entry *file, struct bl_err *err)
{
	struct bl_gc_size *size = context;

	(void)err;
	size->files++;
	size->bytes += file->size;
	return 0;
}

void bl_gc_sizes(struct bl_cachedir *dirs, struct bl_gc_size *sizes, size_t count, const bool *stop)
{
	if (count > 0)
		bl_sys_point("tree-sizes");
	for (size_t i = 0; i < count; i++) {
		char hex[BL_DIGEST_HEX];
		char name[BL_CACHEDIR_NAME];
		int r;

		if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
			return;
		bl_digest_to_hex(&sizes[i].tree, hex);
		(void)snprintf(name, sizeof(name), "%s.json", hex);
		sizes[i].files = sizes[i].bytes = 0;
		r = bl_manifest_walk(dirs->manifests, name, NULL, add_size, &sizes[i], NULL);
		/* A manifest that is damaged shows when the tree is used. */
		sizes[i].known = r == 0 || r == -EBADMSG || r == -ENOENT;
	}
}
