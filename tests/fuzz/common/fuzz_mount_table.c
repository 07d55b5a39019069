// SPDX-License-Identifier: Apache-2.0
/* A mountinfo: names of mounts and sources are a container's to choose. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/mount_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const struct bl_mount_entry *entry, uint64_t id)
{
	assert(entry->id == id);
	assert(!memchr(entry->type, ' ', strlen(entry->type)));
	assert(strlen(entry->root) < sizeof(entry->root));
	assert(strlen(entry->type) < sizeof(entry->type));
	assert(strlen(entry->source) < sizeof(entry->source));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"/", "/run", "/models/a b", ""};
	struct bl_mount_table table = BL_MOUNT_TABLE_INIT;
	struct bl_mount_entry entry;
	char beneath[16];

	if (bl_buf_append(&table.text, data, size, NULL) < 0)
		return 0;
	for (uint64_t id = 0; id < 64; id++)
		if (bl_mount_table_find(&table, id, &entry) == 1) {
			check_entry(&entry, id);
			assert(bl_mount_table_has_device(&table, entry.major, entry.minor));
		}
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		if (bl_mount_table_beneath(&table, paths[i], beneath, sizeof(beneath)))
			assert(memchr(beneath, '\0', sizeof(beneath)) && !strchr(beneath, ' '));
	bl_mount_table_done(&table);
	return 0;
}
