/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrub: every blob is read again now and then and compared with its name. It goes through
 * blobs/ in the order of the names and remembers where it is, so that a small step after another
 * comes round to all of them. Any thread, one scrub at a time.
 */
#ifndef BL_SCRUB_H
#define BL_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/digest.h"

struct bl_err;
struct bl_cachedir;

struct bl_scrub {
	struct bl_digest last; /* the blob that was looked at last */
	bool started;
	int failed; /* a directory of this round could not be read: -errno of the last such; else 0 */
	uint64_t blobs, bytes, bad, rounds; /* since bl_scrub_init() */
};

void bl_scrub_init(struct bl_scrub *scrub);

/*
 * Looks at the next blob. 1: it is good, or was gone by the time; 0: the round is over, the next
 * step begins anew; -EBADMSG: it was not what its name says and is in quarantine now: *ret_blob is
 * to go to bl_store_blob_trees(). -ECANCELED by pace->stop.
 */
int bl_scrub_step(struct bl_scrub *scrub, struct bl_cachedir *dirs,
		  const struct bl_digest_pace *pace, struct bl_digest *ret_blob,
		  struct bl_err *err);

#endif
