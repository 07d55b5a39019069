/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking apart what is no longer wanted. Any thread, but one collect at a time.
 */
#ifndef BL_GC_H
#define BL_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/digest.h"

struct bl_err;
struct bl_cachedir;

struct bl_gc_result {
	uint64_t freed; /* bytes */
	uint64_t trees, blobs, partials, leftovers;
	uint64_t kept;	/* damaged trees that stay, as they are leased */
	uint64_t bytes; /* with `counted`: what is there in the end (bl_gc_measure()) */
	bool counted;
};

/* A tree whose size somebody wants to know, as its manifest has it. */
struct bl_gc_size {
	struct bl_digest tree;
	uint64_t files, bytes;
	bool known; /* it was read, or will never say more than this */
};

/* Times are unix seconds: what was last changed before them goes; 0: nothing, INT64_MAX: all. */
struct bl_gc_options {
	int64_t orphans_before; /* blobs that no tree has, manifests without one, refs beyond a bound */
	int64_t partials_before;   /* downloads that nobody has open */
	int64_t quarantine_before; /* what was put into quarantine/ */
	const bool *stop;	   /* as in struct bl_digest_pace; may be NULL */
	bool count;		   /* what is there is to be measured */
	struct bl_gc_size
		*sizes; /* to be filled, first of all; whose options these are owns them */
	size_t size_count;
};

/*
 * Removes retired trees and those of their blobs that nothing else has, what another session left
 * half made, and what options (may be NULL) says. A step that fails does not keep it from the rest;
 * the first failure is returned at the end, *ret is filled in any case.
 */
int bl_gc_collect(struct bl_cachedir *dirs, const struct bl_gc_options *options,
		  struct bl_gc_result *ret, struct bl_err *err);

/* Fills in the sizes until `stop` (may be NULL). */
void bl_gc_sizes(struct bl_cachedir *dirs, struct bl_gc_size *sizes, size_t count,
		 const bool *stop);

/* Adds up what blobs/ and partial/ hold. */
int bl_gc_measure(struct bl_cachedir *dirs, uint64_t *ret_bytes, struct bl_err *err);

#endif
