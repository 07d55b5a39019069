/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read-only mounts of published weights, and small file systems of our own, built detached on the
 * host's side; common/attach.h puts them into a container. Used by the hook, and by the agent for
 * a late attach; one code, one set of rules.
 *
 *   what                      system calls                                          file
 *   plain bind                open_tree(CLONE), mount_setattr                       mount.c
 *   read-only superblock      fsopen overlay, two lower layers, fsmount, setattr    mount.c
 *   file of such a tree       open_tree(CLONE) out of the overlay, mount_setattr    mount.c
 *   tmpfs of our own          fsopen tmpfs, fsmount; fspick, reconfigure, setattr   mount.c
 *   the container             setns, statx, /proc/PID/root or the rootfs's path     attach.c
 *   target                    openat2(IN_ROOT, ...), mkdirat on handles             attach_target.c
 *   attach                    move_mount handle to handle                           attach.c
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
	const char *path; /* the agent's answer: absolute, host's mount namespace, no link in it */
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

/* The source of every superblock that is ours, as mountinfo shows it. */
#define BL_MOUNT_NAME "ballast"

/*
 * A new, empty, detached tmpfs, writable until bl_mount_seal(): its root is 0755 and root's; files
 * are made with its descriptor as directory. `label` (or NULL) is the container's mountLabel.
 */
int bl_mount_tmpfs(size_t bytes, const char *label, struct bl_err *err);

/* Makes the tmpfs read-only, superblock and mount; nosuid, nodev, and noexec unless `exec`. */
int bl_mount_seal(int mount, bool exec, struct bl_err *err);

/*
 * The empty read-only thing that keeps a target's place while its weights are on their way: an
 * empty directory, or an empty file.
 */
int bl_mount_placeholder(enum bl_mount_kind kind, const char *label, struct bl_err *err);

/*
 * What a failed system call of this family means: a call that the kernel lacks or that is denied
 * is a refusal (never a reason for something weaker), all else an internal error.
 */
int bl_mount_err(struct bl_err *err, int errnum, const char *call);

#endif
