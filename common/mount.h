/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-only mounts of published weights: built detached on the host's side, attached by handle in
 * a container. Used by the hook, and by the agent for a late attach; one code, one set of rules.
 *
 *   what                      system calls                                          where
 *   plain bind                open_tree(CLONE), mount_setattr                       host
 *   read-only superblock      fsopen overlay, two lower layers, fsmount, setattr    host
 *   file of such a tree       open_tree(CLONE) out of the overlay, mount_setattr    host
 *   target                    openat2(IN_ROOT, ...), mkdirat on handles             container
 *   attach                    move_mount handle to handle                           container
 */
#ifndef BL_MOUNT_H
#define BL_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

struct bl_err;

enum bl_mount_kind { BL_MOUNT_DIRECTORY, BL_MOUNT_FILE };

/* What is to be mounted. Paths are borrowed. */
struct bl_mount_source {
	const char *path;  /* the agent's answer: absolute, host's mount namespace, no link in it */
	enum bl_mount_kind kind;
	bool superblock;   /* the container could undo a plain bind: a superblock of its own */
	const char *empty; /* with superblock: an empty directory, the overlay's second layer */
	bool exec;	   /* without noexec (--allow-exec) */
};

/*
 * Builds the detached mount: ro, nosuid, nodev, noexec (unless exec), private, not recursive.
 * Returns a descriptor that owns it: closing it undoes everything. `path` is opened without
 * following any link, must be root's and not writable by others: else BL_EX_REFUSED. A missing
 * system call is an error, never a weaker mount.
 */
int bl_mount_build(const struct bl_mount_source *source, struct bl_err *err);

#endif
