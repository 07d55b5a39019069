/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file on its way: which bytes of it are still to be asked for and which have arrived, where they
 * come from and go to, and what its worker thread does for it.
 */
#ifndef BL_FETCH_ARRIVAL_H
#define BL_FETCH_ARRIVAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/ranges.h"
#include "fetch/sources/source.h"
#include "fetch/worker.h"

/*
 * What the worker does for a file, one thing at a time: begins to write it to disk, so that no sync
 * has much to wait for, syncs it, computes a digest of it.
 */
enum bl_arrival_work { BL_ARRIVAL_NONE, BL_ARRIVAL_WRITE_BACK, BL_ARRIVAL_SYNC, BL_ARRIVAL_DIGEST };

struct bl_arrival {
	struct bl_task task; /* first: the worker hands this back */
	enum bl_arrival_work work;
	int work_rc;
	struct bl_err work_err;
	struct bl_ranges snapshot; /* what a sync covers */
	bool good;		   /* what a digest found */

	const struct bl_entry *entry;
	bool open;	 /* the sink has answered */
	int fd;		 /* to read it by, and to write unless it is framed; -1 for neither */
	bool framed;	 /* bytes go to whoever publishes it, in frames (fetch/outlet.h), ... */
	uint32_t number; /* ... of this number, ... */
	bool ended;	 /* ... and the last has gone: ... */
	bool in_place;	 /* ... all of them are where they belong */
	unsigned lanes;	 /* that work on it */

	struct bl_ranges unasked; /* not asked for */
	struct bl_ranges arrived; /* written */
	int64_t synced;		  /* bytes of the last snapshot */
	int64_t synced_at;	  /* ms */

	struct bl_location location; /* once located */
	bool located;
	bool by_libcurl;      /* its answers do not suit fetch/straight.h */
	char *direct;	      /* where redirects led, good until it is refused; owned */
	char *version;	      /* what an origin said first of its version, ... */
	char *version_origin; /* ... and which; owned */

	unsigned fails;	     /* times in a row that lanes failed, and none brought a byte */
	int64_t failed_at;   /* ms of the last of them */
	unsigned unanswered; /* requests in a row that ended without an answer */
	unsigned relocated;  /* times in a row that it was located again */
	unsigned way;	     /* counts them all: which way a lane went */
	int64_t not_before;  /* ms: no try before */
};

int bl_arrival_new(const struct bl_entry *entry, struct bl_arrival **ret, struct bl_err *err);
/* No work may be under way. */
void bl_arrival_free(struct bl_arrival *file);

bool bl_arrival_is_complete(const struct bl_arrival *file);

/* Has the worker begin to write back what is there. */
void bl_arrival_write_back(struct bl_arrival *file, struct bl_worker *worker);
/* Has the worker make `snapshot` (filled by the caller) durable. */
void bl_arrival_sync(struct bl_arrival *file, struct bl_worker *worker);

/*
 * Computes the one digest that nobody else checks and the origin promises. 1: *good is known (or
 * there is nothing to check); 0: the worker computes it, `good` and `work_rc` tell later.
 */
int bl_arrival_check(struct bl_arrival *file, struct bl_worker *worker, struct bl_err *err);

#endif
