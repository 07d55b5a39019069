/* SPDX-License-Identifier: Apache-2.0 */
/*
 * House-keeping of the cache on the pool: collects, one at a time, for whoever wants room; the
 * trim above the high water mark; the scrub at the operator's rate; verification on demand.
 */
#ifndef BL_AGENT_COLLECTOR_H
#define BL_AGENT_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/gc.h"
#include "agent/loop.h"
#include "agent/pool.h"
#include "agent/scrub.h"
#include "agent/store.h"
#include "common/err.h"
#include "common/log.h"

struct bl_collect;
struct bl_config;

typedef void bl_collect_fn(struct bl_collect *collect, const struct bl_gc_result *result,
			   int failure, const char *message);

/* A wish that a collect begins from now on; a member of what waits for it. */
struct bl_collect {
	struct bl_collect *prev, *next;
	bl_collect_fn *done; /* on the loop's thread */
	void *data;
	bool wanted; /* it waits */
	bool all;    /* what no tree has and nobody has open goes whatever its age */
};

struct bl_collector {
	struct bl_loop *loop;
	struct bl_pool *pool;
	struct bl_store *store;
	const struct bl_config *config;

	struct bl_task task;
	bool running, stopping;
	struct bl_collect *wishes; /* for the next run */
	struct bl_collect *served; /* by the one that runs */
	struct bl_gc_options options;
	struct bl_gc_result result;
	int failure;
	char message[256];
	struct bl_collect own; /* for leftovers and the trim */

	struct bl_task scrub_task;
	struct bl_scrub scrub;
	struct bl_timer scrub_timer, tidy_timer;
	struct bl_digest scrub_bad;
	struct bl_store_trees scrub_trees; /* that have it */
	struct bl_err scrub_err;	   /* why they are not all */
	int scrub_result;
	struct bl_task sync_task;
	struct bl_timer sync_timer;
	bool syncing, sync_again;
	bool stop;	  /* read by the threads with __atomic_load_n */
	uint64_t damaged; /* blobs and trees found wrong, since the start */

	/* Tells of something worth a line in the log. */
	void (*tell)(enum bl_log_level level, const char *what);
};

/* Begins with removing what earlier runs left half made. */
void bl_collector_start(struct bl_collector *collector);
/* Stops what runs as soon as may be; nobody hears of it any more. Then bl_pool_done(). */
void bl_collector_stop(struct bl_collector *collector);

void bl_collector_want(struct bl_collector *collector, struct bl_collect *collect, bool all,
		       bl_collect_fn *done, void *data);
/* Nothing happens where it does not wait. */
void bl_collector_forget(struct bl_collector *collector, struct bl_collect *collect);

/* Something was taken out of the cache: its room is given back soon, and nobody waits for it. */
void bl_collector_sweep(struct bl_collector *collector);

/* A tree was found damaged, and is out of use: counts it, and tells of it as the scrub tells of a blob. */
void bl_collector_damaged(struct bl_collector *collector, const struct bl_digest *tree,
			  const char *why);

/* Leases were written: they are synced soon. */
void bl_collector_sync(struct bl_collector *collector);

/* Something was added to the cache: above the high mark room is made. */
void bl_collector_trim(struct bl_collector *collector);

#endif
