// SPDX-License-Identifier: Apache-2.0
/*
 * The bytes of a job's files while they come. The intake's thread puts each where it belongs, once: so what
 * is there without a gap from a file's beginning is digested at once, by tasks of the pool, and little is left
 * to do after the last byte. Now and then what is there is synced and journalled, so that a crash costs
 * little.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/store.h"
#include "agent/work_state.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define HASH_LEAST   (8ULL << 20)   /* bytes that are worth a task ... */
#define HASH_MOST    (128ULL << 20) /* ... and that others may wait for */
#define SYNC_LEAST   (256ULL << 10) /* bytes between two syncs of a file */
#define SYNC_SHARE   8		    /* of the time so far is what may be lost, ... */
#define SYNC_SOONEST 100	    /* ... ms, but not less ... */
#define SYNC_LATEST  2000	    /* ... and not more */
#define SYNC_SPARED  400	    /* ms before a file's end: its publication comes as soon */
#define PUSH	     (64ULL << 20)  /* bytes after which writing to disk is begun */

/* A task of the file is over: what comes next, of it and of a job that is over. */
static void go_on(struct bl_flight *flight)
{
	struct bl_work *work = flight->work;

	work->tasks--;
	if (work->job_over && work->tasks == 0)
		bl_work_go_on(work);
	else if (!work->job_over)
		bl_work_file_step(flight);
}

/* ---- The digest ---- */

static void hash_run(struct bl_task *task)
{
	struct bl_flight *flight = task->data;

	/* What cannot be read is read again, and said, at its publication. */
	(void)bl_partial_hash(flight->partial, flight->hash_to, NULL);
}

static void hash_done(struct bl_task *task)
{
	struct bl_flight *flight = task->data;

	flight->hashing = false;
	flight->hashed = flight->hash_to;
	go_on(flight);
}

static void hash_front(struct bl_flight *flight)
{
	uint64_t more = flight->front - flight->hashed;

	if (flight->hashing || more < HASH_LEAST)
		return;
	flight->hash_to = flight->hashed + (more < HASH_MOST ? more : HASH_MOST);
	flight->hashing = true;
	flight->work->tasks++;
	bl_pool_run(flight->work->works->pool, &flight->hash_task, hash_run, hash_done, flight);
}

/* ---- The journal ---- */

static void note_run(struct bl_task *task)
{
	struct bl_flight *flight = task->data;

	/* A journal that cannot be written costs progress after a crash, nothing else. */
	(void)bl_partial_note(flight->partial, flight->noting.at, flight->noting.count, NULL);
}

static void push_run(struct bl_task *task)
{
	struct bl_flight *flight = task->data;

	(void)bl_sys_write_back(flight->partial->data); /* a hint: a sync says what went wrong */
}

static void note_done(struct bl_task *task)
{
	struct bl_flight *flight = task->data;

	bl_ranges_done(&flight->noting);
	flight->busy = false;
	go_on(flight);
}

/* Seldom in a long download, often at its beginning; not where the file is about to be published. */
static bool is_sync_due(const struct bl_flight *flight, uint64_t now)
{
	uint64_t time = now - flight->work->began;
	uint64_t pause = time / SYNC_SHARE;
	uint64_t came = flight->written - flight->had;

	if (pause < SYNC_SOONEST)
		pause = SYNC_SOONEST;
	if (pause > SYNC_LATEST)
		pause = SYNC_LATEST;
	return now - flight->synced_at >= pause && flight->written - flight->synced >= SYNC_LEAST &&
	       flight->file->size - flight->written >= came / (time + 1) * SYNC_SPARED;
}

static void start(struct bl_flight *flight, bl_task_fn *run)
{
	flight->pushed = flight->written;
	flight->busy = true;
	flight->work->tasks++;
	bl_pool_run(flight->work->works->pool, &flight->task, run, note_done, flight);
}

static void keep_journal(struct bl_flight *flight)
{
	uint64_t now = bl_loop_now();

	if (flight->busy)
		return;
	if (is_sync_due(flight, now) &&
	    bl_intake_arrived(flight->work->intake, &flight->intake, &flight->noting) == 0) {
		flight->synced = flight->written;
		flight->synced_at = now;
		start(flight, note_run);
	} else if (flight->written - flight->pushed >= PUSH) {
		start(flight, push_run);
	}
}

/* What has come of the file, into flight->noting: whether there is anything that was not noted. No byte comes
 * any more. */
static bool take_rest(struct bl_flight *flight)
{
	int r = 0;

	if (flight->arriving)
		r = bl_intake_arrived(flight->work->intake, &flight->intake, &flight->noting);
	else if (flight->partial && !flight->refused && flight->written == flight->file->size)
		r = bl_ranges_add(&flight->noting, 0, (int64_t)flight->file->size, NULL);
	if (r == 0 && (uint64_t)bl_ranges_total(&flight->noting) > flight->synced) {
		flight->synced = (uint64_t)bl_ranges_total(&flight->noting);
		return true;
	}
	bl_ranges_done(&flight->noting);
	return false;
}

bool bl_work_arrive_keep(struct bl_work *work)
{
	bool any = false;

	for (struct bl_flight *flight = work->flights; flight; flight = flight->next) {
		if (!take_rest(flight))
			continue;
		any = true;
		if (work->works->stopping)
			note_run(&(struct bl_task){.data = flight});
		else
			start(flight, note_run);
	}
	return any;
}

/* ---- Bytes ---- */

/* All of it is there: nobody has a descriptor to write by any more. */
static void written(struct bl_flight *flight)
{
	bl_intake_remove(flight->work->intake, &flight->intake);
	flight->arriving = false;
	bl_job_send_written(flight->work->job, flight->file);
}

static void look(struct bl_flight *flight)
{
	struct bl_work *work = flight->work;
	struct bl_intake_state state = bl_intake_look(work->intake, &flight->intake);
	char message[256];

	flight->written = state.arrived;
	flight->front = state.front;
	if (state.result < 0) {
		(void)snprintf(message, sizeof(message), "write '%.100s': %s", flight->file->path,
			       strerror(-state.result));
		bl_work_fail_disk(work, state.result, message);
	} else if (state.whole) {
		written(flight);
	}
}

void bl_work_file_step(struct bl_flight *flight)
{
	if (flight->arriving)
		look(flight);
	if (flight->closing && !flight->busy && !flight->hashing)
		bl_work_file_publish(flight);
	else
		hash_front(flight); /* also while a sync holds up its publication */
	if (flight->arriving)
		keep_journal(flight);
}

/* The thread has ended, as it does with the process, or because one of the two has failed. */
static void ended(struct bl_work *work, const char *breach)
{
	char detail[BL_JOB_DETAIL];

	work->intake_over = true;
	work->tasks--;
	if (!breach)
		return;
	(void)snprintf(
		detail, sizeof(detail),
		"the fetch process was stopped: it sends %s; report this, with the agent's log",
		breach);
	bl_work_fail(work, BL_JOB_INTERNAL, detail);
}

static void stirred(void *data)
{
	struct bl_work *work = data;
	const char *breach = NULL;
	bool over = bl_intake_is_over(work->intake, &breach);

	for (struct bl_flight *flight = work->flights; flight && !work->job_over;
	     flight = flight->next)
		if (flight->arriving)
			bl_work_file_step(flight);
	if (over && !work->intake_over)
		ended(work, breach);
	if (work->job_over && work->tasks == 0)
		bl_work_go_on(work);
}

static int start_intake(struct bl_work *work, struct bl_err *err)
{
	int r = bl_intake_start(work->works->loop, bl_job_take_pipe(work->job), stirred, work,
				&work->intake, err);

	if (r < 0)
		return r;
	work->intake_over = false;
	work->tasks++;
	work->began = bl_loop_now();
	return 0;
}

int bl_work_arrive(struct bl_flight *flight, struct bl_err *err)
{
	struct bl_work *work = flight->work;
	int r = work->intake ? 0 : start_intake(work, err);

	if (r == 0)
		r = bl_intake_add(work->intake, &flight->intake,
				  bl_job_number(work->job, flight->file), TAKE_FD(flight->writer),
				  flight->file->size, &flight->partial->have, err);
	if (r < 0)
		return r;
	flight->arriving = true;
	flight->had = flight->written = flight->synced = flight->pushed =
		bl_partial_have(flight->partial);
	flight->synced_at = bl_loop_now();
	return 0;
}

void bl_work_arrive_end(struct bl_work *work)
{
	if (work->intake)
		bl_intake_finish(work->intake);
}
