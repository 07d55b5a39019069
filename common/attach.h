/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting detached mounts (common/mount.h) into a container: find the container's root file
 * system in its mount namespace, resolve every target to a handle, attach them all or none. The
 * hook does it before the container starts, the agent over placeholders when weights come late.
 *
 * The thread that calls bl_attach_enter() must be the only one of its process (setns(2)).
 */
#ifndef BL_ATTACH_H
#define BL_ATTACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/mount.h"
#include "common/mount_table.h"

struct bl_attach_made;
struct bl_err;

/* ---- The container ---- */

/* Field 22 of /proc/PID/stat: with the pid it names one process of this boot. */
int bl_attach_start_time(pid_t pid, uint64_t *ret, struct bl_err *err);

/* The process whose mount namespace is meant. */
struct bl_attach_process {
	pid_t pid;
	int pidfd;	     /* borrowed; opened before start_time was read */
	uint64_t start_time; /* looked at again after the namespace was opened */
	const char *rootfs;  /* borrowed: the bundle's root file system as the host sees it; NULL
				where the container has started (its process's root is meant) */
};

struct bl_attach {
	int proc;	/* /proc/self of the host; -1 while nothing is open */
	int host_ns;	/* the mount namespace to return to */
	int host_table; /* the host's mountinfo, open */
	int root;	/* handle of the container's root file system */
	uint64_t root_mount;
	uid_t uid; /* who owns it, and so what is made in it */
	gid_t gid;
	char *prefix; /* the kernel's name for root, "" where it is the namespace's "/" */
	struct bl_mount_table table; /* of the container's namespace */
	int box_ns;
	int task_root;	 /* what the process has for its root */
	int host_rootfs; /* the bundle's root file system, where the host has it */
	bool entered;
	struct bl_attach_made *made; /* what bl_attach_all() has made, the last first */
};

#define BL_ATTACH_INIT                         \
	((struct bl_attach){.proc = -1,        \
			    .host_ns = -1,     \
			    .box_ns = -1,      \
			    .host_table = -1,  \
			    .task_root = -1,   \
			    .host_rootfs = -1, \
			    .root = -1,        \
			    .table = BL_MOUNT_TABLE_INIT})
#define auto_attach __attribute__((cleanup(bl_attach_leave))) struct bl_attach

/*
 * Opens what bl_attach_enter() needs and reads the container's mount table; enters nothing, and
 * believes nothing yet. Not to be kept for long: the table grows old.
 */
int bl_attach_open(const struct bl_attach_process *process, struct bl_attach *ret,
		   struct bl_err *err);

/*
 * Enters the process's mount namespace; `place` is empty, or of bl_attach_open() for the same
 * process. Refused (BL_EX_REFUSED) where the namespace is the caller's own, where the process is
 * gone or is another one, where the root file system is not in it. The place is to be left also
 * where that fails.
 */
int bl_attach_enter(const struct bl_attach_process *process, struct bl_attach *place,
		    struct bl_err *err);

/* Returns to the host's mount namespace and frees. Ends the process if there is no way back. */
void bl_attach_leave(struct bl_attach *place);

/* ---- Targets ---- */

/*
 * Whether a mount_location is one where nothing is ever mounted: /, /run, /etc and what the
 * runtime owns in it; /proc, /sys, /dev, /run/ballast, /secrets and all beneath. BL_EX_REFUSED.
 * Judged again on what was resolved.
 */
int bl_attach_check_location(const char *location, struct bl_err *err);

struct bl_attach_item {
	const char *location; /* borrowed; absolute, normalised */
	enum bl_mount_kind kind;
	int mount; /* borrowed: the detached mount; attached it stays when it is closed */
	bool ours; /* /run/ballast or /secrets: may lie on a tmpfs of the container */
	bool late; /* only over the placeholder below */
	dev_t placeholder_dev;
	ino_t placeholder_ino;
	/* Set by bl_attach_all(): */
	bool present; /* it was attached before (the hook is registered for two stages) */
	dev_t dev;    /* what lies there now, as fstat(2) gives it */
	ino_t ino;
};

/*
 * Resolves every target on handles, making what is missing, then attaches every mount. Nothing is
 * left of it when it fails. Errors begin with the location.
 */
int bl_attach_all(struct bl_attach *place, struct bl_attach_item *items, size_t count,
		  struct bl_err *err);

/* Back to the host's namespace for a while, with everything kept; into the container's again. */
int bl_attach_step_out(struct bl_attach *place, struct bl_err *err);
int bl_attach_step_in(struct bl_attach *place, struct bl_err *err);

/* Takes back what bl_attach_all() has done for these items, from within the container. */
void bl_attach_undo(struct bl_attach *place, const struct bl_attach_item *items, size_t count);

/* ---- Between attach.c, attach_target.c, attach_cross.c and the agent's child ---- */

/* A directory or file that was made, to be removed on failure. */
struct bl_attach_made {
	struct bl_attach_made *before;
	int parent;
	bool directory;
	char name[256];
};

/* Opens the handle of a target; sets item->present. What it makes is put on place->made. */
int bl_attach_resolve(struct bl_attach *place, struct bl_attach_item *item, struct bl_err *err);
/*
 * Opens a path that leads to the root of another mount of the container. The way must lie on the root file
 * system, or with on_tmpfs on a tmpfs or on what a runtime has mounted over itself; no name is ever looked up
 * on any other mount, and one of FUSE is not opened at all. Returns a handle, or -errno as openat2(2)
 * has it: -EXDEV for what is not done.
 */
int bl_attach_cross(const struct bl_attach *place, const char *location, bool on_tmpfs);
/* The kernel's name for a handle below the container's root, into to[PATH_MAX]. */
int bl_attach_name(const struct bl_attach *place, int handle, char *to, struct bl_err *err);
/* Removes (or, with keep, only forgets) what was made. */
void bl_attach_made_done(struct bl_attach *place, bool keep);

#endif
