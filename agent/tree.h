/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees: what is mounted. Built in partial/ out of blobs, made durable, renamed into place whole.
 * Any thread; the store (agent/store.h) sees to it that nobody takes apart what another builds.
 */
#ifndef BL_TREE_H
#define BL_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/digest.h"

struct bl_err;
struct bl_cachedir;
struct bl_manifest;

/*
 * Publishes manifest and tree; *ret is the tree's name. Every blob must be there and be held by the
 * caller. A tree that is there already and passes bl_tree_check() is kept. -EBADMSG or -ENOENT
 * where a blob is missing or was found damaged (it is in quarantine then), by this or meanwhile by
 * anybody: it is to be fetched again. Steps: manifest-durable, tree-begun, tree-filled, tree-synced,
 * tree-visible, tree-durable.
 */
int bl_tree_publish(struct bl_cachedir *dirs, const struct bl_manifest *manifest,
		    struct bl_digest *ret, struct bl_err *err);

struct bl_tree_size {
	uint64_t files, bytes;
};

/*
 * Compares the tree with its manifest without reading content: manifest's digest, every file there,
 * regular, ours, 0444, of its size, directories 0555, nothing else there. 0 and *ret_size;
 * -ENOENT no such tree; -EBADMSG damaged. Changes nothing.
 */
int bl_tree_check(struct bl_cachedir *dirs, const struct bl_digest *tree,
		  struct bl_tree_size *ret_size, struct bl_err *err);

/*
 * Reads every file of the tree and compares. Blobs that are wrong go to quarantine. -EBADMSG where
 * any was; the tree itself is left for bl_store_tree_condemn().
 */
int bl_tree_verify(struct bl_cachedir *dirs, const struct bl_digest *tree,
		   const struct bl_digest_pace *pace, struct bl_err *err);

/*
 * Takes the tree out of trees/ in one step, to be taken apart by bl_gc_collect(). With keep_content
 * its manifest and blobs stay, to be built of again; they are orphans until then. Where it is leased, it is taken
 * apart only when it no longer is: a container has it mounted.
 */
int bl_tree_retire(struct bl_cachedir *dirs, const struct bl_digest *tree, bool keep_content,
		   struct bl_err *err);

#endif
