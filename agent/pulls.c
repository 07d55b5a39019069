// SPDX-License-Identifier: Apache-2.0
#include "agent/pulls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/progress.h"
#include "agent/secrets.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"

#define KNOWN_MS (60 * 60 * 1000) /* after its end */

static void free_pull(struct bl_pull *pull)
{
	struct bl_pulls *pulls = pull->pulls;

	*(pull->prev ? &pull->prev->next : &pulls->first) = pull->next;
	if (pull->next)
		pull->next->prev = pull->prev;
	pulls->count--;
	for (size_t i = 0; pull->items && i < pull->weights.count; i++)
		bl_works_give_up(&pull->items[i].claim);
	bl_loop_cancel(&pull->forget);
	bl_weights_done(&pull->weights);
	free(pull->items);
	free(pull->tenant);
	free(pull);
}

static void known_over(struct bl_timer *timer)
{
	free_pull(timer->data);
}

static void end_pull(struct bl_pull *pull, enum bl_pull_state state)
{
	pull->state = state;
	if (!pull->quiet || state == BL_PULL_FAILED)
		pull->pulls->tell(pull, state == BL_PULL_READY ? "pulled" : pull->problem.detail);
	while (pull->waiters.first)
		bl_pulls_reply(pull, pull->waiters.first);
	bl_loop_after(pull->pulls->loop, &pull->forget, KNOWN_MS, known_over, pull);
}

/* Ends the pull once no item is under way. */
static void look_again(struct bl_pull *pull)
{
	for (size_t i = 0; i < pull->weights.count; i++)
		if (pull->items[i].claim.work)
			return;
	end_pull(pull, pull->problem.status ? BL_PULL_FAILED : BL_PULL_READY);
}

static void item_settled(struct bl_claim *claim, const struct bl_outcome *outcome)
{
	struct bl_pull_item *item = claim->data;
	struct bl_pull *pull = item->pull;
	struct bl_problem problem = outcome->problem;

	if (problem.status == 0 && bl_works_check_pin(&pull->weights.items[item - pull->items],
						      &outcome->tree, &problem) == 0) {
		item->tree = outcome->tree;
		item->ready = true;
	} else if (pull->problem.status == 0) {
		bl_problem_place(&problem, (size_t)(item - pull->items));
		pull->problem = problem;
	}
	look_again(pull);
}

static int start_item(struct bl_pull *pull, size_t i, struct bl_problem *problem)
{
	struct bl_pull_item *item = &pull->items[i];
	const struct bl_weights_item *wanted = &pull->weights.items[i];
	struct bl_works *works = pull->pulls->works;
	struct bl_err err = {0};
	int r = -EAGAIN;

	item->pull = pull;
	item->claim.settled = item_settled;
	item->claim.data = item;
	if (!pull->refresh)
		r = bl_works_lookup(works, pull->tenant, wanted, &item->tree, problem);
	item->ready = r == 0;
	if (r != -EAGAIN) {
		if (r < 0)
			bl_problem_place(problem, i);
		return r;
	}
	pull->quiet = false;
	r = bl_works_claim(works, pull->tenant, wanted, pull->refresh, &item->claim, &err);
	if (r < 0)
		bl_works_problem(problem, r, &err);
	return r;
}

static int make_id(struct bl_pull *pull)
{
	uint64_t number;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EIO;
	(void)snprintf(pull->id, sizeof(pull->id), "%016llx", (unsigned long long)number);
	return 0;
}

static struct bl_pull *new_pull(struct bl_pulls *pulls, const struct bl_pull_request *request,
				struct bl_err *err)
{
	struct bl_pull *pull = calloc(1, sizeof(*pull));
	int r;

	if (!pull) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	*pull = (struct bl_pull){.pulls = pulls,
				 .next = pulls->first,
				 .tenant = strdup(request->tenant),
				 .uid = request->uid,
				 .refresh = request->refresh,
				 .quiet = request->quiet};
	if (pulls->first)
		pulls->first->prev = pull;
	pulls->first = pull;
	pulls->count++;
	r = pull->tenant ? bl_weights_from_json(request->list, &pull->weights, err)
			 : bl_err_nomem(err);
	if (r == 0)
		pull->items = calloc(pull->weights.count + 1, sizeof(*pull->items));
	if (r == 0 && (!pull->items || make_id(pull) < 0))
		r = bl_err_nomem(err);
	if (r < 0) {
		free_pull(pull);
		return NULL;
	}
	return pull;
}

/* Of the pulls that are chosen, whether there are `most`: the oldest that has ended is forgotten for a
 * new one, before its time. */
static bool make_room(struct bl_pulls *pulls, size_t most,
		      bool (*counts)(const struct bl_pull *, const struct bl_pull_request *),
		      const struct bl_pull_request *request)
{
	struct bl_pull *oldest = NULL;
	size_t count = 0;

	for (struct bl_pull *at = pulls->first; at; at = at->next) {
		if (!counts(at, request))
			continue;
		count++;
		if (at->state != BL_PULL_PENDING)
			oldest = at;
	}
	if (count < most)
		return true;
	if (oldest)
		free_pull(oldest);
	return oldest != NULL;
}

static bool is_any(const struct bl_pull *pull, const struct bl_pull_request *request)
{
	(void)pull;
	(void)request;
	return true;
}

static bool is_others(const struct bl_pull *pull, const struct bl_pull_request *request)
{
	(void)request;
	return pull->uid != 0;
}

static bool is_users(const struct bl_pull *pull, const struct bl_pull_request *request)
{
	return pull->uid == request->uid;
}

static bool is_tenants(const struct bl_pull *pull, const struct bl_pull_request *request)
{
	return pull->uid != 0 && strcmp(pull->tenant, request->tenant) == 0;
}

static bool may_begin(struct bl_pulls *pulls, const struct bl_pull_request *request)
{
	if (request->uid != 0 && !(make_room(pulls, BL_PULLS_USER, is_users, request) &&
				   make_room(pulls, BL_PULLS_TENANT, is_tenants, request) &&
				   make_room(pulls, BL_PULLS_OTHERS, is_others, request)))
		return false;
	return make_room(pulls, BL_PULLS_MAX, is_any, request);
}

int bl_pulls_start(struct bl_pulls *pulls, const struct bl_pull_request *request,
		   struct bl_pull **ret, struct bl_problem *problem)
{
	struct bl_err err = {0};
	struct bl_pull *pull;
	int r = 0;

	if (!bl_weights_is_tenant(request->tenant)) {
		bl_problem_set(problem, BL_JOB_CONFIG,
			       "tenant must be letters and digits, and any of _.- between them, "
			       "at most 253");
		return -EINVAL;
	}
	if (!may_begin(pulls, request)) {
		bl_problem_set(problem, BL_JOB_SPACE, "too many pulls at once; wait for some");
		problem->status = 503;
		return -EAGAIN;
	}
	pull = new_pull(pulls, request, &err);
	if (!pull) {
		bl_problem_of(problem, &err);
		return -EINVAL;
	}
	for (size_t i = 0; r == 0 && i < pull->weights.count; i++)
		r = start_item(pull, i, problem);
	if (r < 0) {
		free_pull(pull);
		return r;
	}
	look_again(pull);
	*ret = pull;
	return 0;
}

struct bl_pull *bl_pulls_find(const struct bl_pulls *pulls, const char *id)
{
	struct bl_pull *at = pulls->first;

	while (at && strcmp(at->id, id) != 0)
		at = at->next;
	return at;
}

void bl_pulls_cancel(struct bl_pull *pull)
{
	while (pull->waiters.first)
		bl_http_problem(pull->waiters.first, 410, "request", "Cancelled",
				"the pull was cancelled");
	free_pull(pull);
}

void bl_pulls_done(struct bl_pulls *pulls)
{
	while (pulls->first)
		free_pull(pulls->first);
}

/* ---- Answers ---- */

static bool add_item(bl_json *list, const struct bl_pull *pull, size_t i)
{
	const struct bl_pull_item *item = &pull->items[i];
	bl_json *to = bl_json_set_object(list, NULL);
	struct bl_store_tree tree = {0};
	char pin[sizeof("sha256:") + BL_DIGEST_HEX] = "sha256:";

	if (!to || !bl_json_set_string(to, "source", pull->weights.items[i].source.text))
		return false;
	if (item->claim.work)
		return bl_progress_add_files(to, &item->claim);
	if (!item->ready)
		return true;
	(void)bl_store_tree_find(pull->pulls->store, &item->tree, &tree);
	bl_digest_to_hex(&item->tree, pin + strlen(pin));
	return bl_json_set_int(to, "bytes", (int64_t)tree.bytes) &&
	       bl_json_set_int(to, "files", (int64_t)tree.files) &&
	       bl_json_set_string(to, "manifest", pin);
}

/* The caller's; NULL when memory ran out. */
static bl_json *describe(const struct bl_pull *pull)
{
	static const char *const names[] = {"pending", "ready", "failed"};
	auto_json json = bl_json_new_object();
	struct bl_progress sum = {0};
	bl_json *list = json ? bl_json_set_array(json, "weights") : NULL;
	bl_json *error;

	for (size_t i = 0; list && i < pull->weights.count; i++) {
		if (pull->items[i].claim.work)
			bl_works_add_progress(&pull->items[i].claim, &sum);
		else if (pull->items[i].ready)
			bl_progress_add_tree(&sum, pull->pulls->store, &pull->items[i].tree);
		if (!add_item(list, pull, i))
			list = NULL;
	}
	if (!list || !bl_json_set_string(json, "id", pull->id) ||
	    !bl_json_set_string(json, "state", names[pull->state]) ||
	    !bl_json_set_string(json, "tenant", pull->tenant) || !bl_progress_add(json, &sum))
		return NULL;
	if (pull->state != BL_PULL_FAILED)
		return TAKE_PTR(json);
	error = bl_json_set_object(json, "problem");
	return error && bl_problem_to_json(&pull->problem, error) ? TAKE_PTR(json) : NULL;
}

void bl_pulls_reply(const struct bl_pull *pull, struct bl_request *request)
{
	auto_json json = describe(pull);
	bool posted = strcmp(request->route->method, "POST") == 0;

	if (json)
		bl_http_answer(request, posted ? 202 : 200, json);
	else
		bl_http_problem(request, 500, BL_JOB_INTERNAL, "The agent failed",
				"out of memory; try again");
}
