/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blobs: one immutable file per content. All of it may be called from any thread.
 *
 * Publishing, and what a crash after each step leaves (the names are bl_sys_point labels):
 *
 *   1 no writer is left             F_SETLEASE(F_RDLCK)   a partial              blob-quiet
 *   2 SHA-256, what is missing of it EVP over pread       a partial              blob-hashed
 *   3 0444, fsync                                         a partial              blob-synced
 *   4 held, then linked to the name linkat, or rename     blob, perhaps partial  blob-linked
 *   5 the directory                 fsync                 blob                   blob-durable
 *   6 the partial's names           unlinkat              blob                   blob-clean
 */
#ifndef BL_BLOB_H
#define BL_BLOB_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/digest.h"

struct bl_err;
struct bl_cachedir;
struct bl_partial;

/*
 * Publishes the finished partial and closes it (*partial is NULL after success). On success the
 * blob is held (bl_cachedir_hold) for the caller, who must bl_cachedir_unhold() it once a tree has
 * it; *ret is its digest and *ret_new whether it was not there before.
 *
 *   -EBUSY    somebody can still write to it; nothing has changed
 *   -EBADMSG  it is not `promised` (may be NULL); the partial is gone, fetch again
 *   -EIO      it cannot be read back: it goes when it is closed
 *   other     disk trouble (-ENOSPC, ...); the partial can be published again or closed
 */
int bl_blob_publish(struct bl_partial **partial, const struct bl_digest *promised,
		    struct bl_digest *ret, bool *ret_new, struct bl_err *err);

/*
 * Whether the blob is there and looks whole, without reading it: a regular file of ours, 0444, of
 * `size` (UINT64_MAX: any). 0; -ENOENT; -EBADMSG after what was there went to quarantine.
 */
int bl_blob_check(struct bl_cachedir *dirs, const struct bl_digest *digest, uint64_t size,
		  struct bl_err *err);

/* Reads the blob and compares. 0; -ENOENT; -EBADMSG after it went to quarantine. */
int bl_blob_verify(struct bl_cachedir *dirs, const struct bl_digest *digest,
		   const struct bl_digest_pace *pace, struct bl_err *err);

/*
 * Puts the blob at `name` in directory dirfd: a hard link, or a copy of its own (hashed on the way,
 * fsync'ed, 0444) where the filesystem has no links. Where the blob's links have run out, the copy
 * becomes the blob for those to come. -ENOENT, -EBADMSG as above.
 */
int bl_blob_place(struct bl_cachedir *dirs, const struct bl_digest *digest, uint64_t size,
		  int dirfd, const char *name, struct bl_err *err);

#endif
