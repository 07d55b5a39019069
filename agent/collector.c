// SPDX-License-Identifier: Apache-2.0
#include "agent/collector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/store.h"
#include "agent/work_memo.h"
#include "common/err.h"

#define MEMO_AGE    (7 * 24 * 3600)  /* seconds */
#define TIDY_MOST   30		     /* seconds between two looks at leases */
#define SYNC_DELAY  1000	     /* ms from a lease to its sync, and so between two syncs */
#define SCRUB_FIRST 1000	     /* ms from the start to the first look */
#define SCRUB_PAUSE 20		     /* ms between two blobs */
#define SCRUB_ROUND (10 * 60 * 1000) /* ms between two rounds */

static void put_first(struct bl_collect **list, struct bl_collect *collect)
{
	collect->prev = NULL;
	collect->next = *list;
	if (*list)
		(*list)->prev = collect;
	*list = collect;
}

static void take_out(struct bl_collect **list, struct bl_collect *collect)
{
	*(collect->prev ? &collect->prev->next : list) = collect->next;
	if (collect->next)
		collect->next->prev = collect->prev;
	collect->prev = collect->next = NULL;
}

/* ---- Collects ---- */

static void collect_run(struct bl_task *task)
{
	struct bl_collector *collector = task->data;
	struct bl_err err = {0};

	bl_memo_collect(bl_store_dirs(collector->store), MEMO_AGE);
	collector->failure = bl_gc_collect(bl_store_dirs(collector->store), &collector->options,
					   &collector->result, &err);
	(void)snprintf(collector->message, sizeof(collector->message), "%.255s", err.msg);
}

static void begin(struct bl_collector *collector);

static void collect_done(struct bl_task *task)
{
	struct bl_collector *collector = task->data;
	struct bl_gc_result result = collector->result;

	bl_store_collected(collector->store, &result);
	while (collector->served) {
		struct bl_collect *collect = collector->served;

		take_out(&collector->served, collect);
		collect->wanted = false;
		collect->done(collect, &result, collector->failure, collector->message);
	}
	collector->running = false;
	begin(collector);
}

/* Serves all wishes there are with one run. */
static void begin(struct bl_collector *collector)
{
	struct bl_gc_options *options = &collector->options;

	if (collector->running || collector->stopping || !collector->wishes)
		return;
	bl_store_gc_options(collector->store, options);
	options->stop = &collector->stop;
	collector->served = collector->wishes;
	collector->wishes = NULL;
	for (struct bl_collect *at = collector->served; at; at = at->next)
		if (at->all) {
			options->orphans_before = options->partials_before = INT64_MAX;
			options->count = true; /* whoever asks for it looks at what is left, too */
		}
	collector->result = (struct bl_gc_result){0};
	collector->running = true;
	bl_pool_run(collector->pool, &collector->task, collect_run, collect_done, collector);
}

void bl_collector_want(struct bl_collector *collector, struct bl_collect *collect, bool all,
		       bl_collect_fn *done, void *data)
{
	if (collect->wanted)
		return;
	*collect = (struct bl_collect){.done = done, .data = data, .wanted = true, .all = all};
	put_first(&collector->wishes, collect);
	begin(collector);
}

void bl_collector_forget(struct bl_collector *collector, struct bl_collect *collect)
{
	struct bl_collect *at = collector->wishes;

	if (!collect->wanted)
		return;
	while (at && at != collect)
		at = at->next;
	take_out(at ? &collector->wishes : &collector->served, collect);
	collect->wanted = false;
}

static void swept(struct bl_collect *collect, const struct bl_gc_result *result, int failure,
		  const char *message)
{
	(void)result;
	(void)failure;
	(void)message;
	free(collect);
}

void bl_collector_sweep(struct bl_collector *collector)
{
	/* A wish of its own: a run that has begun already may have passed what was taken out. */
	struct bl_collect *collect = calloc(1, sizeof(*collect));

	/* Without memory the next collect does it. */
	if (collect)
		bl_collector_want(collector, collect, false, swept, NULL);
}

static void own_done(struct bl_collect *collect, const struct bl_gc_result *result, int failure,
		     const char *message)
{
	struct bl_collector *collector = collect->data;
	char line[160];

	if (failure < 0 && failure != -ECANCELED)
		collector->tell(BL_LOG_WARNING, message);
	else if (failure == 0)
		bl_collector_trim(collector); /* it may have waited for the count */
	if (result->freed == 0)
		return;
	(void)snprintf(line, sizeof(line), "made room: %llu bytes, %llu trees, %llu blobs",
		       (unsigned long long)result->freed, (unsigned long long)result->trees,
		       (unsigned long long)result->blobs);
	collector->tell(BL_LOG_INFO, line);
}

void bl_collector_trim(struct bl_collector *collector)
{
	struct bl_err err = {0};
	int r = bl_store_trim(collector->store, &err);

	if (r > 0)
		bl_collector_want(collector, &collector->own, false, own_done, collector);
	else if (r < 0)
		collector->tell(BL_LOG_WARNING, err.msg);
}

/* ---- Leases ---- */

static void sync_run(struct bl_task *task)
{
	struct bl_collector *collector = task->data;

	/* What fails here fails as loudly at the next write. */
	(void)bl_store_leases_sync(bl_store_dirs(collector->store), NULL);
}

static void sync_done(struct bl_task *task)
{
	struct bl_collector *collector = task->data;

	collector->syncing = false;
	if (collector->sync_again && !collector->stopping)
		bl_collector_sync(collector);
}

static void sync_now(struct bl_timer *timer)
{
	struct bl_collector *collector = timer->data;

	collector->syncing = true;
	bl_pool_run(collector->pool, &collector->sync_task, sync_run, sync_done, collector);
}

/*
 * While a filesystem commits what is synced, whoever changes the same directory waits for the disk:
 * the next container's lease would. So leases are synced together, now and then.
 */
void bl_collector_sync(struct bl_collector *collector)
{
	if (collector->stopping)
		return;
	collector->sync_again = collector->syncing;
	if (!collector->syncing && !bl_loop_is_set(&collector->sync_timer))
		bl_loop_after(collector->loop, &collector->sync_timer, SYNC_DELAY, sync_now,
			      collector);
}

/* ---- The scrub ---- */

static void scrub_run(struct bl_task *task)
{
	struct bl_collector *collector = task->data;
	const struct bl_digest_pace pace = {.bytes_per_second = collector->config->scrub_rate,
					    .stop = &collector->stop};

	struct bl_cachedir *dirs = bl_store_dirs(collector->store);

	collector->scrub_err = (struct bl_err){0};
	collector->scrub_result =
		bl_scrub_step(&collector->scrub, dirs, &pace, &collector->scrub_bad, NULL);
	if (collector->scrub_result == -EBADMSG)
		(void)bl_store_blob_trees(dirs, &collector->scrub_bad, &collector->stop,
					  &collector->scrub_trees, &collector->scrub_err);
}

void bl_collector_damaged(struct bl_collector *collector, const struct bl_digest *tree,
			  const char *why)
{
	char hex[BL_DIGEST_HEX];
	char line[768];

	collector->damaged++;
	bl_digest_to_hex(tree, hex);
	(void)snprintf(
		line, sizeof(line),
		"tree %s was damaged on disk (%.400s); it is fetched again when it is wanted", hex,
		why);
	collector->tell(BL_LOG_WARNING, line);
}

/* A damaged blob is in quarantine; so no tree that has it is handed out any more. */
static void scrub_found(struct bl_collector *collector)
{
	struct bl_err *err = &collector->scrub_err;
	char hex[BL_DIGEST_HEX];
	char line[320];

	collector->damaged++;
	bl_digest_to_hex(&collector->scrub_bad, hex);
	(void)snprintf(line, sizeof(line),
		       "blob %s was damaged on disk and is in quarantine; it is fetched "
		       "again when it is wanted",
		       hex);
	collector->tell(BL_LOG_WARNING, line);
	(void)bl_store_trees_condemn(collector->store, &collector->scrub_trees, err);
	if (*err->msg) {
		(void)snprintf(line, sizeof(line),
			       "trees that have it may be left: %.200s; run ballast verify",
			       err->msg);
		collector->tell(BL_LOG_WARNING, line);
	}
	bl_collector_want(collector, &collector->own, false, own_done, collector);
}

/* What the round could not look at: it is over, and the next one begins after a while. */
static void scrub_blind(struct bl_collector *collector)
{
	char line[160];

	(void)snprintf(
		line, sizeof(line),
		"the scrub could not read a directory of blobs: %s; look at the cache's disk",
		strerror(-collector->scrub.failed));
	collector->tell(BL_LOG_WARNING, line);
}

static void scrub_next(struct bl_timer *timer);

static void scrub_done(struct bl_task *task)
{
	struct bl_collector *collector = task->data;

	if (collector->scrub_result == -EBADMSG && !collector->stopping)
		scrub_found(collector);
	else if (collector->scrub_result == 0 && collector->scrub.failed < 0)
		scrub_blind(collector);
	bl_store_trees_done(&collector->scrub_trees);
	if (collector->stopping)
		return;
	bl_loop_after(collector->loop, &collector->scrub_timer,
		      collector->scrub_result == 0 ? SCRUB_ROUND : SCRUB_PAUSE, scrub_next,
		      collector);
}

static void scrub_next(struct bl_timer *timer)
{
	struct bl_collector *collector = timer->data;

	bl_pool_run(collector->pool, &collector->scrub_task, scrub_run, scrub_done, collector);
}

/* ---- Now and then ---- */

/* Leases whose grace is over, also those of containers that ended before this agent began. */
static void tidy(struct bl_timer *timer)
{
	struct bl_collector *collector = timer->data;
	int64_t left = bl_store_lease_expire(collector->store);

	bl_collector_trim(collector);
	bl_loop_after(collector->loop, timer,
		      left > 0 && left < TIDY_MOST ? (uint64_t)(left + 1) * 1000
						   : TIDY_MOST * 1000ULL,
		      tidy, collector);
}

/* ---- Start and end ---- */

void bl_collector_start(struct bl_collector *collector)
{
	bl_scrub_init(&collector->scrub);
	bl_collector_want(collector, &collector->own, false, own_done, collector);
	bl_loop_after(collector->loop, &collector->tidy_timer, 0, tidy, collector);
	if (collector->config->scrub_rate > 0)
		bl_loop_after(collector->loop, &collector->scrub_timer, SCRUB_FIRST, scrub_next,
			      collector);
}

static void give_up(struct bl_collector *collector, struct bl_collect *collect)
{
	bl_collector_forget(collector, collect);
	if (collect->done == swept)
		free(collect);
}

void bl_collector_stop(struct bl_collector *collector)
{
	collector->stopping = true;
	__atomic_store_n(&collector->stop, true, __ATOMIC_RELAXED);
	bl_loop_cancel(&collector->scrub_timer);
	bl_loop_cancel(&collector->tidy_timer);
	if (bl_loop_is_set(&collector->sync_timer))
		sync_now(&collector->sync_timer);
	bl_loop_cancel(&collector->sync_timer);
	while (collector->wishes)
		give_up(collector, collector->wishes);
	while (collector->served)
		give_up(collector, collector->served);
}
