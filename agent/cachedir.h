/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache directory: its layout, opened once as handles, and what all threads may share of it.
 *
 *   name                     what                                           made durable by
 *   index.json               schema of this layout, pins                    tmp, fsync, rename
 *   blobs/sha256/ab/<hex>    one file per content, 0444                     fsync, link, fsync dir
 *   trees/<hex>/             what is mounted: hard links, 0555              fsync dirs, rename
 *   manifests/<hex>.json     a tree's name is this file's SHA-256           tmp, fsync, rename
 *   refs/<hex>.json          tenant, source, patterns -> manifest           tmp, fsync, rename
 *   leases/<hex>.json        who holds which trees                          tmp, fsync, rename
 *   partial/                 what is on its way, trees that are being built or taken apart
 *   empty/                   overlay's second lower layer, always empty
 *   quarantine/              what did not have the digest it was named by, for a person to look at
 *
 * A name under blobs, trees or manifests is only ever made by one link or rename of something whole
 * and durable, so a visible name means the content. All else lives in partial/ until then.
 *
 * Names in partial/ that belong to one run of the agent carry its session, "<what>.<session>.<n>":
 * what another session left is an orphan. "trash.<tree>.<session>.<n>" is a tree that was damaged while it was
 * held: it stays for as long as it is. Downloads (agent/partial.h) outlive sessions.
 *
 * Threads: after bl_cachedir_open() the handles never change, so that worker threads use them
 * freely. The holds are guarded by a lock.
 */
#ifndef BL_CACHEDIR_H
#define BL_CACHEDIR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/digest.h"

struct bl_err;

#define BL_CACHEDIR_SCHEMA 1
#define BL_CACHEDIR_NAME   128 /* bytes of any name that bl_cachedir_name() makes */

#define BL_CACHEDIR_UNSYNCED 256 /* leases; of more at once, the kernel takes care by itself */

/* The disk failed us with errnum: the message says at what; a retry may find it better. */
#define bl_cachedir_err(err, errnum, fmt, ...) \
	bl_err_set((err), BL_EX_RETRY, (errnum), fmt ": %s", ##__VA_ARGS__, strerror(errnum))

struct bl_cachedir_hold {
	struct bl_digest digest;
	uint32_t count; /* 0: an empty or a given-up place */
	uint32_t used;	/* 1 once it was ever in use (open addressing) */
};

struct bl_cachedir {
	int root, blobs, trees, manifests, refs, leases, partial, empty, quarantine;
	char *path; /* absolute, nothing in it a link */
	dev_t device;
	uid_t owner; /* the user that all of it belongs to: ours */
	char session[17];
	uint32_t sequence;    /* atomic */
	uint32_t quarantined; /* blobs found damaged since it was opened; atomic */
	pthread_mutex_t lock;
	struct bl_cachedir_hold *holds;
	size_t hold_room, hold_count, hold_used;
	/* Files in leases/ that were written and not synced yet; also guarded by the lock. */
	struct bl_digest unsynced[BL_CACHEDIR_UNSYNCED];
	size_t unsynced_count;
};

/*
 * Opens the cache at path (made, 0700, where it is missing; its parent must exist) and locks it
 * until bl_cachedir_close(). Refused (BL_EX_REFUSED): another owner, a link, a mode that lets
 * others in, a part that lies on another filesystem, an unknown schema. -EBUSY: another agent has
 * it.
 */
int bl_cachedir_open(const char *path, struct bl_cachedir **ret, struct bl_err *err);
void bl_cachedir_close(struct bl_cachedir **dirs);

/* A name in partial/ that is new in this session: "<what>.<session>.<n>". */
void bl_cachedir_name(struct bl_cachedir *dirs, const char *what, char name[BL_CACHEDIR_NAME]);
/*
 * Gives what is `temporary` in partial/ its name in the directory `where`, in the place of a file of that name.
 * What cannot be replaced so (a directory, or in a directory's place anything) goes to be removed first: 0, or
 * -errno. Not durable by itself.
 */
int bl_cachedir_show(struct bl_cachedir *dirs, const char *temporary, int where, const char *name);
/* Whether a name in partial/ is of this form; *ret_ours whether it is of this session. */
bool bl_cachedir_is_session_name(const struct bl_cachedir *dirs, const char *name, bool *ret_ours);

/*
 * Holds: a blob that is held is not removed. Whoever is about to rely on a blob that no tree has
 * yet holds it first. Counted. Any thread.
 */
int bl_cachedir_hold(struct bl_cachedir *dirs, const struct bl_digest *blob, struct bl_err *err);
void bl_cachedir_unhold(struct bl_cachedir *dirs, const struct bl_digest *blob);
/* A tree is held by its name: while it is made, and while it is leased. */
bool bl_cachedir_is_held(struct bl_cachedir *dirs, const struct bl_digest *digest);

/*
 * Removes the blob if nobody holds it and no tree links to it (link count 1). 1 with its size in
 * *ret_freed where it was removed, 0 where it stays or was not there. Any thread.
 */
int bl_cachedir_drop_blob(struct bl_cachedir *dirs, const struct bl_digest *blob,
			  uint64_t *ret_freed, struct bl_err *err);
/* Removes the manifest of a tree that is not there and not held: 1, else 0. Any thread. */
int bl_cachedir_drop_manifest(struct bl_cachedir *dirs, const struct bl_digest *tree,
			      struct bl_err *err);

#endif
