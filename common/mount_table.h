/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The mounts of a namespace, read once from mountinfo (proc(5)): which filesystem a mount is of,
 * where it comes from, whether it is shared. It answers about a mount that a handle lies on; paths
 * in it are never used to reach anything.
 */
#ifndef BL_MOUNT_TABLE_H
#define BL_MOUNT_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"

struct bl_err;

#define BL_MOUNT_TABLE_MAX (16 * 1024 * 1024) /* bytes of mountinfo */

struct bl_mount_table {
	struct bl_buf text;
};

#define BL_MOUNT_TABLE_INIT ((struct bl_mount_table){.text = BL_BUF_INIT(BL_MOUNT_TABLE_MAX)})

/* One mount. Texts are cut where they do not fit, with mountinfo's octal escapes as they are. */
struct bl_mount_entry {
	uint64_t id;
	unsigned major, minor;
	char root[64]; /* the part of the filesystem that is mounted: "/" is all of it */
	char type[32]; /* "tmpfs", "overlay", ... */
	char source[64];
	bool shared;
};

/* Reads the table from an open mountinfo. */
int bl_mount_table_read(int fd, struct bl_mount_table *table, struct bl_err *err);
void bl_mount_table_done(struct bl_mount_table *table);

/* The mount with this id: 1, or 0 where the table has none. */
int bl_mount_table_find(const struct bl_mount_table *table, uint64_t id,
			struct bl_mount_entry *ret);

/* Whether some mount of the table is of the filesystem major:minor. */
bool bl_mount_table_has_device(const struct bl_mount_table *table, unsigned major, unsigned minor);

/*
 * Whether a mount lies beneath the directory `path` (not on it); then its mount point, cut where it
 * does not fit and with mountinfo's escapes, is in to[size]. `path` is what readlink(2) gives for a
 * handle in that namespace.
 */
bool bl_mount_table_beneath(const struct bl_mount_table *table, const char *path, char *to,
			    size_t size);

#endif
