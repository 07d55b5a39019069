// SPDX-License-Identifier: Apache-2.0
/*
 * After the listing and before the first byte: which files are on the node already and may be
 * given to this tenant, and whether there is room for the rest.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/gc.h"
#include "agent/store.h"
#include "agent/work_state.h"
#include "common/cleanup.h"
#include "common/err.h"

static void reserve(struct bl_work *work);

static void collect_run(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct bl_gc_result result = {0};

	/* What could not be removed shows in the next try to reserve. */
	(void)bl_gc_collect(bl_store_dirs(work->works->store), NULL, &result, NULL);
	work->freed = result.freed;
}

static void collect_done(struct bl_task *task)
{
	struct bl_work *work = task->data;

	work->tasks--;
	bl_store_collected(work->works->store, work->freed);
	if (work->job_over)
		bl_work_go_on(work);
	else
		reserve(work);
}

static void reserve(struct bl_work *work)
{
	const struct bl_manifest *manifest = bl_job_manifest(work->job);
	struct bl_err err = {0};
	uint64_t missing = 0;
	int r;

	for (size_t i = 0; i < manifest->count; i++)
		missing += manifest->files[i].has_sha256 ? 0 : manifest->files[i].size;
	r = bl_store_reserve(work->works->store, missing, &err);
	if (r == 0) {
		work->reserved = missing;
		work->bytes_base = manifest->bytes - missing;
		bl_job_go(work->job);
	} else if (r > 0) {
		work->tasks++;
		bl_pool_run(work->works->pool, &work->task, collect_run, collect_done, work);
	} else {
		bl_work_fail(work, r == -ENOSPC ? BL_JOB_SPACE : BL_JOB_INTERNAL, err.msg);
	}
}

void bl_work_prepare(struct bl_work *work)
{
	reserve(work);
}
