/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving trees to a user on handles. Every entry is opened as a handle that is no link and on the
 * tree's own mount; it is looked at and changed through that handle alone, so that what is swapped
 * in its place meanwhile is not touched.
 *
 * An inode that has several names is given only where all of them lie in the trees: pass one counts
 * the names, pass two gives what has not changed since the walk began. (On overlayfs each name has
 * to be given by itself.) Device nodes are never given.
 */
#ifndef BL_SHIM_WALK_H
#define BL_SHIM_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bl_err;

#define BL_WALK_ROOTS 8
#define BL_WALK_DEPTH 512   /* directories deep; what lies deeper is left as it is */
#define BL_WALK_LINKS 65536 /* inodes with several names; the others are left as they are */

struct bl_walk_root {
	int fd; /* O_PATH handle of the directory, borrowed */
	dev_t dev;
	ino_t ino;
};

struct bl_walk_result {
	size_t given;	 /* entries that changed owner */
	size_t failed;	 /* entries that could not be given */
	int first_error; /* why the first of them could not (an errno) */
	size_t linked;	 /* files that have a name elsewhere, left */
};

struct bl_walk;

/* Trees of one user; n <= BL_WALK_ROOTS, and none of them twice. One root inside another is walked
 * once. `overrides`: this process has CAP_DAC_OVERRIDE. Returns a walk that bl_walk_free() ends, or NULL with *err filled. */
struct bl_walk *bl_walk_new(const struct bl_walk_root *roots, size_t n, uid_t uid, gid_t gid,
			    bool overrides, struct bl_err *err);

/* Pass one over one root, with the root itself. Stops early where the filesystem is read-only. */
void bl_walk_give(struct bl_walk *walk, size_t root, struct bl_walk_result *ret);

/* Pass two, after pass one of every root. Adds to *ret; does nothing where there was nothing. */
void bl_walk_give_linked(struct bl_walk *walk, size_t root, struct bl_walk_result *ret);

void bl_walk_free(struct bl_walk *walk);

#endif
