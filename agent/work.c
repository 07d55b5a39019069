// SPDX-License-Identifier: Apache-2.0
#include "agent/work.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/config.h"
#include "agent/store.h"
#include "agent/work_input.h"
#include "agent/work_state.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"

#define AGAIN_MS 1000 /* from a job that failed to the next try */

/* ---- Claims ---- */

static void free_work(struct bl_work *work)
{
	struct bl_works *works = work->works;

	*(work->prev ? &work->prev->next : &works->first) = work->next;
	if (work->next)
		work->next->prev = work->prev;
	bl_loop_cancel(&work->again);
	bl_collector_forget(works->collector, &work->collect);
	bl_work_files_close(work);
	bl_job_free(work->job);
	bl_store_unreserve(works->store, work->reserved);
	if (work->counted)
		works->running--;
	bl_ref_done(&work->ref);
	bl_store_refs_done(&work->refs);
	bl_weights_done(&work->weights);
	bl_json_free(&work->list);
	free(work->revision);
	free(work->tenant);
	free(work->key);
	free(work);
}

static void start_waiting(struct bl_works *works);

static void unlink_claim(struct bl_claim *claim)
{
	struct bl_work *work = claim->work;

	*(claim->prev ? &claim->prev->next : &work->claims) = claim->next;
	if (claim->next)
		claim->next->prev = claim->prev;
	claim->work = NULL;
	claim->prev = claim->next = NULL;
}

void bl_works_give_up(struct bl_claim *claim)
{
	struct bl_work *work = claim->work;
	struct bl_works *works = work ? work->works : NULL;

	if (!work)
		return;
	unlink_claim(claim);
	if (work->claims)
		return;
	work->cancelled = true;
	if (work->stage == BL_WORK_WAITS) {
		free_work(work);
		/* It may have been its turn. */
		if (!works->stopping)
			start_waiting(works);
	} else if (work->stage == BL_WORK_FETCHES && work->job)
		bl_work_fail(work, BL_JOB_INTERNAL, "cancelled");
	/* A tree that is being made is made: it is a matter of moments. */
}

void bl_work_settle(struct bl_work *work, const struct bl_problem *problem)
{
	struct bl_works *works = work->works;
	struct bl_outcome outcome = {.tree = work->tree};

	if (problem) {
		outcome.problem = *problem;
		works->figures.failures[bl_problem_class(problem->class)]++;
	}
	while (work->claims) {
		struct bl_claim *claim = work->claims;

		unlink_claim(claim);
		claim->settled(claim, &outcome);
	}
	free_work(work);
	start_waiting(works);
}

static void settle_with(struct bl_work *work, const char *class, const char *detail)
{
	char source[BL_WORK_SHOWN + 1];
	struct bl_problem problem;

	if (strstr(detail, bl_work_shown_source(bl_work_item(work), source)))
		bl_problem_set(&problem, class, "%s", detail);
	else
		bl_problem_set(&problem, class, "%s: %s", source, detail);
	bl_work_settle(work, &problem);
}

/* ---- Jobs ---- */

static void job_listed(struct bl_job *job, void *data)
{
	struct bl_work *work = data;
	const char *revision = bl_job_revision(job);

	if (work->resolving) {
		bl_job_go(job);
		return;
	}
	if (revision && !work->revision)
		work->revision = strdup(revision);
	bl_work_prepare(work);
}

static void job_ended(struct bl_job *job, const struct bl_job_end *end, void *data)
{
	struct bl_work *work = data;

	work->works->figures.bytes_fetched += bl_job_arrived(job);
	work->job_over = true;
	work->end = *end;
	bl_work_arrive_end(work);
	if (work->tasks == 0)
		bl_work_go_on(work);
}

static const struct bl_job_events job_events = {
	.listed = job_listed,
	.open = bl_work_file_open,
	.done = bl_work_file_done,
	.ended = job_ended,
};

static int start_job(struct bl_work *work, struct bl_err *err)
{
	struct bl_works *works = work->works;
	auto_buf input = BL_BUF_INIT(BL_WORK_INPUT_MAX);
	const char *revision = work->revision;
	int r;

	if (!revision && *work->ref.name && !work->refresh)
		revision = work->ref.revision;
	r = bl_work_input(work, revision, &input, err);
	if (r == 0)
		r = bl_job_start(works->loop, works->spawn,
				 bl_work_item(work)->source.scheme == BL_SCHEME_FILE, &input,
				 &job_events, work, &work->job, err);
	if (input.data)
		explicit_bzero(input.data, input.cap);
	if (r < 0)
		return r;
	work->bytes_base = 0;
	work->counted = true;
	works->running++;
	works->figures.jobs++;
	work->tries++;
	work->job_over = false;
	work->stage = BL_WORK_FETCHES;
	return 0;
}

static void start_or_settle(struct bl_work *work)
{
	struct bl_err err = {0};

	if (start_job(work, &err) < 0)
		settle_with(work, err.code == BL_EX_CONFIG ? BL_JOB_CONFIG : BL_JOB_INTERNAL,
			    err.msg);
}

/*
 * Whether a tenant may have one more job. An eighth of them is kept for the others: whoever asks for
 * much, of an origin that is slow, must not keep everybody waiting. *ret_running (or NULL) is what
 * the tenant has.
 */
static bool may_run(const struct bl_works *works, const char *tenant, int *ret_running)
{
	const int most = works->config->max_jobs;
	int running = 0;
	int left = works->running;

	for (const struct bl_work *work = works->first; work && left > 0; work = work->next) {
		if (!work->counted)
			continue;
		left--;
		running += strcmp(work->tenant, tenant) == 0;
	}
	if (ret_running)
		*ret_running = running;
	return works->running < most && running < most - most / 8;
}

static void begin_now(struct bl_timer *timer)
{
	struct bl_work *work = timer->data;

	if (work->works->stopping)
		return;
	if (may_run(work->works, work->tenant, NULL))
		start_or_settle(work);
	/* Else it is found by start_waiting() when a job ends. */
}

/* Lets one that waits for its turn begin: of the tenant that has least, the oldest. */
static void start_waiting(struct bl_works *works)
{
	struct bl_work *next = NULL;
	int least = INT_MAX;

	if (works->running >= works->config->max_jobs)
		return;
	for (struct bl_work *work = works->first; work; work = work->next) {
		int running;

		if (work->stage != BL_WORK_WAITS || bl_loop_is_set(&work->again))
			continue;
		/* Neighbours are of one tenant as a rule. */
		if (next && strcmp(next->tenant, work->tenant) == 0) {
			next = work;
			continue;
		}
		if (may_run(works, work->tenant, &running) && running <= least) {
			next = work;
			least = running;
		}
	}
	if (next)
		bl_loop_after(works->loop, &next->again, 0, begin_now, next);
}

static void begin_later(struct bl_work *work, uint64_t ms)
{
	work->stage = BL_WORK_WAITS;
	bl_loop_after(work->works->loop, &work->again, ms, begin_now, work);
}

void bl_work_fail(struct bl_work *work, const char *class, const char *detail)
{
	if (work->job && !work->job_over)
		bl_job_fail(work->job, class, detail);
}

/* ---- What comes after a job ---- */

static bool use_old_tree(struct bl_work *work)
{
	work->tree = work->ref.manifest;
	return *work->ref.name && bl_work_use_tree(work->works, &work->tree, NULL) == 0;
}

static void clear_job(struct bl_work *work)
{
	bl_collector_forget(work->works->collector, &work->collect);
	bl_work_files_close(work);
	bl_job_free(TAKE_PTR(work->job));
	bl_store_unreserve(work->works->store, work->reserved);
	work->reserved = 0;
	work->admitted = false;
	if (work->counted)
		work->works->running--;
	work->counted = false;
	work->files_done = 0;
}

/* What the origin has said is on record. */
static void act_on_answer(struct bl_work *work)
{
	bool good = work->end.good;

	if ((good || work->authority == BL_REF_GRACE) && use_old_tree(work)) {
		bl_work_settle(work, NULL);
	} else if (good) {
		work->resolving = false;
		work->authority = BL_REF_VALID;
		work->tries = 0;
		begin_later(work, 0);
	} else {
		settle_with(work, work->end.class, work->end.detail);
	}
}

static void record_run(struct bl_task *task)
{
	struct bl_work *work = task->data;

	/* Where it cannot be written the origin is asked again the next time. */
	(void)bl_ref_authorise(bl_store_dirs(work->works->store), work->ref.name,
			       work->end.good ? (int64_t)time(NULL) : 0, NULL);
}

static void record_done(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct bl_works *works = work->works;

	work->tasks--;
	if (works->stopping)
		return;
	if (work->cancelled) {
		free_work(work);
		start_waiting(works);
	} else {
		act_on_answer(work);
	}
}

/* The origin has said whether the tenant may have what the ref names, or is away. */
static void resolved(struct bl_work *work)
{
	bool away = !work->end.good && (strcmp(work->end.class, BL_JOB_ORIGIN) == 0 ||
					strcmp(work->end.class, BL_JOB_INTERNAL) == 0);

	clear_job(work);
	if (away) {
		act_on_answer(work);
		return;
	}
	if (!work->end.good)
		work->authority = BL_REF_NONE;
	work->tasks++;
	bl_pool_run(work->works->pool, &work->task, record_run, record_done, work);
}

static void failed(struct bl_work *work)
{
	struct bl_job_end end = work->end;

	bl_work_unhold(work);
	clear_job(work);
	if (work->tries < bl_problem_tries(end.class)) {
		work->works->figures.retries++;
		begin_later(work, AGAIN_MS);
		start_waiting(work->works); /* its turn is another's meanwhile */
	} else {
		settle_with(work, end.class, end.detail);
	}
}

static bool all_there(const struct bl_manifest *manifest)
{
	for (size_t i = 0; i < manifest->count; i++)
		if (!manifest->files[i].has_sha256)
			return false;
	return manifest->count > 0;
}

void bl_work_go_on(struct bl_work *work)
{
	struct bl_works *works = work->works;

	if (!work->job_over || work->tasks > 0 || work->stage != BL_WORK_FETCHES)
		return;
	if ((work->cancelled || !work->end.good) && !works->stopping && bl_work_arrive_keep(work))
		return;
	if (works->stopping || work->cancelled) {
		bl_work_unhold(work);
		clear_job(work);
		if (!works->stopping) {
			free_work(work);
			start_waiting(works);
		}
	} else if (work->resolving) {
		resolved(work);
	} else if (!work->end.good) {
		failed(work);
	} else if (!all_there(bl_job_manifest(work->job))) {
		bl_work_unhold(work);
		clear_job(work);
		settle_with(work, BL_JOB_INTERNAL,
			    "the fetch process ended before all files were there; report this");
	} else {
		bl_work_publish(work);
	}
}

/* ---- Beginning ---- */

/*
 * A job without any credential has nothing of the tenant in it, and brings what anybody would be
 * given: so all tenants wait for the same one. A tenant whose quota has to be looked at waits for
 * its own, and so does one that has this content by a credential: that must serve nobody else.
 */
static bool is_shared(const struct bl_work *work)
{
	const struct bl_weights_item *item = bl_work_item(work);

	return item->auth_method == BL_AUTH_NONE && !item->auth_secret_name &&
	       !(*work->ref.name && work->ref.credential) &&
	       (item->source.scheme == BL_SCHEME_HF || item->source.scheme == BL_SCHEME_HTTPS) &&
	       bl_config_tenant_quota(work->works->config, work->tenant) == 0;
}

static int make_key(struct bl_work *work, struct bl_err *err)
{
	const struct bl_weights_item *item = bl_work_item(work);
	auto_buf key = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);
	int r;

	work->owner = is_shared(work) ? "" : work->tenant;
	r = bl_ref_name(work->owner, item, work->name, err);

	if (r == 0)
		r = bl_buf_putf(
			&key, err, "%s %d %d %s %s %s %s %s", work->name, work->refresh,
			(int)item->auth_method,
			item->auth_secret_name ? item->auth_secret_name : "",
			item->aws_oidc_role_arn ? item->aws_oidc_role_arn : "",
			item->aws_oidc_region ? item->aws_oidc_region : "",
			item->gcp_oidc_service_account ? item->gcp_oidc_service_account : "",
			item->gcp_oidc_workload_id_provider ? item->gcp_oidc_workload_id_provider
							    : "");
	work->key = bl_buf_take(&key);
	return r;
}

static struct bl_work *new_work(struct bl_works *works, const char *tenant,
				const struct bl_weights_item *item, bool refresh,
				struct bl_err *err)
{
	struct bl_work *work = calloc(1, sizeof(*work));
	int r;

	if (!work) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	*work = (struct bl_work){.works = works,
				 .refresh = refresh,
				 .next = works->first,
				 .tenant = strdup(tenant),
				 .list = bl_json_new_array()};
	if (works->first)
		works->first->prev = work;
	works->first = work;
	r = work->tenant && work->list ? bl_weights_item_to_json(item, work->list, err)
				       : bl_err_nomem(err);
	if (r == 0)
		r = bl_weights_from_json(work->list, &work->weights, err);
	if (r == 0) {
		bl_work_look_at_ref(work);
		r = make_key(work, err);
	}
	if (r < 0) {
		free_work(work);
		return NULL;
	}
	return work;
}

/* Whether one more is too many: each costs memory, and time in every look at all of them. */
static bool is_too_much(const struct bl_works *works, const struct bl_work *last)
{
	size_t all = 0;
	size_t of_tenant = 0;

	for (const struct bl_work *work = works->first; work; work = work->next) {
		all++;
		of_tenant += strcmp(work->tenant, last->tenant) == 0;
	}
	return all > BL_WORKS_MAX || of_tenant > BL_WORKS_TENANT;
}

int bl_works_claim(struct bl_works *works, const char *tenant, const struct bl_weights_item *item,
		   bool refresh, struct bl_claim *claim, struct bl_err *err)
{
	struct bl_work *work = new_work(works, tenant, item, refresh, err);

	if (!work)
		return -EINVAL;
	for (struct bl_work *other = work->next; other; other = other->next)
		if (!other->cancelled && strcmp(other->key, work->key) == 0) {
			free_work(work);
			work = other;
			break;
		}
	if (!work->claims && is_too_much(works, work)) {
		free_work(work);
		return bl_err_set(err, BL_EX_RETRY, EAGAIN,
				  "too many downloads are waiting on this node; try again when "
				  "some of them have ended");
	}
	claim->work = work;
	claim->prev = NULL;
	claim->next = work->claims;
	if (claim->next)
		claim->next->prev = claim;
	work->claims = claim;
	if (!claim->next) {
		begin_later(work, 0);
	}
	return 0;
}

void bl_works_problem(struct bl_problem *problem, int r, const struct bl_err *err)
{
	bl_problem_set(problem, r == -EAGAIN ? BL_JOB_SPACE : BL_JOB_INTERNAL, "%s", err->msg);
	if (r == -EAGAIN)
		problem->status = 503;
}

void bl_works_add_progress(const struct bl_claim *claim, struct bl_progress *sum)
{
	struct bl_work *work = claim->work;
	const struct bl_manifest *manifest;
	uint64_t done;

	if (!work || !work->job || !bl_job_is_listed(work->job))
		return;
	manifest = bl_job_manifest(work->job);
	done = work->bytes_base + bl_job_arrived(work->job);
	sum->bytes_done += done < manifest->bytes ? done : manifest->bytes;
	sum->bytes_total += manifest->bytes;
	sum->files_done += work->files_done;
	sum->files_total += manifest->count;
	sum->bytes_per_second += bl_job_rate(work->job);
}

uint64_t bl_works_fetched(const struct bl_works *works)
{
	uint64_t sum = works->figures.bytes_fetched;

	for (const struct bl_work *work = works->first; work; work = work->next)
		if (work->job && !work->job_over)
			sum += bl_job_arrived(work->job);
	return sum;
}

void bl_works_stop(struct bl_works *works)
{
	works->stopping = true;
	for (struct bl_work *work = works->first; work; work = work->next) {
		bl_loop_cancel(&work->again);
		bl_work_fail(work, BL_JOB_INTERNAL, "the agent is stopping");
	}
}

void bl_works_done(struct bl_works *works)
{
	while (works->first) {
		while (works->first->claims)
			unlink_claim(works->first->claims);
		free_work(works->first);
	}
}
