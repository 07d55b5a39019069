// SPDX-License-Identifier: Apache-2.0
/*
 * After the listing and before the first byte: which files are on the node already and may be
 * given to this tenant, and whether there is room for the rest.
 */
#include <errno.h>
#include <stdio.h>

#include "agent/collector.h"
#include "agent/store.h"
#include "agent/work_state.h"
#include "common/cleanup.h"
#include "common/err.h"

static void reserve(struct bl_work *work);

static void room_made(struct bl_collect *collect, const struct bl_gc_result *result, int failure,
		      const char *message)
{
	(void)result;
	(void)failure;
	(void)message;
	/* What could not be removed shows now. */
	reserve(collect->data);
}

static void reserve(struct bl_work *work)
{
	const struct bl_manifest *manifest = bl_job_manifest(work->job);
	struct bl_err err = {0};
	uint64_t missing = 0;
	int r;

	if (work->job_over)
		return;
	for (size_t i = 0; i < manifest->count; i++)
		missing += manifest->files[i].has_sha256 ? 0 : manifest->files[i].size;
	r = bl_store_reserve(work->works->store, missing, &err);
	if (r == 0) {
		work->reserved = missing;
		work->bytes_base = manifest->bytes - missing;
		bl_job_go(work->job);
	} else if (r > 0) {
		bl_collector_want(work->works->collector, &work->collect, false, room_made, work);
	} else {
		bl_work_fail(work, r == -ENOSPC ? BL_JOB_SPACE : BL_JOB_INTERNAL, err.msg);
	}
}

void bl_work_prepare(struct bl_work *work)
{
	reserve(work);
}
