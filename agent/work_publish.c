// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/cachedir.h"
#include "agent/store.h"
#include "agent/tree.h"
#include "agent/work_memo.h"
#include "agent/work_state.h"
#include "common/cleanup.h"
#include "common/err.h"

void bl_work_unhold(struct bl_work *work)
{
	struct bl_cachedir *dirs = bl_store_dirs(work->works->store);
	struct bl_manifest *manifest = work->job ? bl_job_manifest(work->job) : NULL;

	for (size_t i = 0; manifest && i < manifest->count; i++) {
		if (!manifest->files[i].has_sha256)
			continue;
		bl_cachedir_unhold(dirs, &manifest->files[i].sha256);
		manifest->files[i].has_sha256 = false;
	}
}

/* Whether only a credential opens it: the job says so, or a source of that kind is never public. */
static bool is_private(const struct bl_work *work)
{
	enum bl_scheme scheme = bl_work_item(work)->source.scheme;

	return bl_job_credential(work->job) ||
	       (scheme != BL_SCHEME_HF && scheme != BL_SCHEME_HTTPS && scheme != BL_SCHEME_FILE);
}

static int save_ref(struct bl_work *work, const char *tenant, struct bl_err *err)
{
	struct bl_manifest *manifest = bl_job_manifest(work->job);
	const char *revision = bl_job_revision(work->job);
	int64_t now = (int64_t)time(NULL);
	struct bl_ref ref = {
		.tenant = (char *)tenant,
		.source = bl_work_item(work)->source.text,
		.revision = (char *)revision,
		.manifest = work->tree,
		.credential = is_private(work),
		.resolved_at = now,
		.authorised_at = is_private(work) ? now : 0,
		.files = manifest->count,
		.bytes = manifest->bytes,
	};
	int r = bl_ref_name(tenant, bl_work_item(work), ref.name, err);

	return r < 0 ? r : bl_ref_save(bl_store_dirs(work->works->store), &ref, manifest, err);
}

static void publish_run(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct bl_err err = {0};
	struct bl_digest tree;

	work->result = bl_tree_publish(bl_store_dirs(work->works->store),
				       bl_job_manifest(work->job), &tree, &err);
	if (work->result == 0)
		work->result = save_ref(work, work->tenant, &err);
	/*
	 * Content that was brought without any credential is what anybody would have been given:
	 * nothing of the tenant went into it, so it is shared.
	 */
	if (work->result == 0 && !is_private(work) &&
	    bl_work_item(work)->auth_method == BL_AUTH_NONE &&
	    !bl_work_item(work)->auth_secret_name)
		work->result = save_ref(work, "", &err);
	if (work->result == 0)
		bl_memo_remove(bl_store_dirs(work->works->store), work->name);
	(void)snprintf(work->message, sizeof(work->message), "%.500s", err.msg);
}

static void publish_done(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct bl_store *store = work->works->store;
	struct bl_digest tree = work->tree;
	struct bl_err err = {0};
	int r = work->result;

	work->tasks--;
	if (r == 0)
		r = bl_store_tree_added(store, &tree, &err);
	else if (bl_store_tree_is_on_disk(store, &tree))
		/* What failed came after its name: the store knows of it, so that its room can be had. */
		(void)bl_store_tree_added(store, &tree, NULL);
	if (work->result < 0)
		(void)bl_err_set(&err, BL_EX_INTERNAL, EIO, "%s", work->message);
	if (r == 0)
		r = bl_work_use_tree(work->works, &tree, &err);
	bl_work_unhold(work);
	if (r == 0) {
		struct bl_collector *collector = work->works->collector;

		bl_work_settle(work, NULL);
		bl_collector_trim(collector);
	} else {
		bool full = r == -ENOSPC || r == -EDQUOT;

		/* What was there a moment ago is damaged: the next job brings it again. */
		work->stage = BL_WORK_FETCHES;
		work->end = (struct bl_job_end){.good = false};
		(void)snprintf(work->end.class, sizeof(work->end.class), "%s",
			       full ? BL_JOB_SPACE : BL_JOB_INTERNAL);
		(void)snprintf(work->end.detail, sizeof(work->end.detail),
			       "%.400s; look at the node's cache disk", err.msg);
		bl_work_go_on(work);
	}
	bl_store_tree_unhold(store, &tree);
}

void bl_work_publish(struct bl_work *work)
{
	struct bl_err err = {0};
	int r = bl_manifest_digest(bl_job_manifest(work->job), &work->tree, &err);

	if (r == 0)
		r = bl_store_tree_hold(work->works->store, &work->tree, &err);
	if (r < 0) {
		work->end = (struct bl_job_end){.good = false, .class = BL_JOB_INTERNAL};
		(void)snprintf(work->end.detail, sizeof(work->end.detail), "%.400s", err.msg);
		bl_work_go_on(work);
		return;
	}
	work->stage = BL_WORK_PUBLISHES;
	work->tasks++;
	bl_pool_run(work->works->pool, &work->task, publish_run, publish_done, work);
}
