// SPDX-License-Identifier: Apache-2.0
/*
 * The cache, for an operator: what is in it, and gc, verify, remove, pin.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/agent.h"
#include "agent/api.h"
#include "agent/store.h"
#include "agent/tree.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/job.h"
#include "common/json.h"

#define PREFIX "sha256:"

/* ---- What there is ---- */

static bool add_usage(bl_json *json, struct bl_store *store)
{
	struct bl_store_usage usage = {0};

	if (bl_store_usage(store, &usage, NULL) < 0)
		return false;
	return bl_json_set_int(json, "bytes", (int64_t)usage.bytes) &&
	       bl_json_set_int(json, "evicted_bytes", (int64_t)usage.evicted_bytes) &&
	       bl_json_set_int(json, "evictions", (int64_t)usage.evictions) &&
	       bl_json_set_int(json, "free", (int64_t)usage.free) &&
	       bl_json_set_int(json, "leased", (int64_t)usage.leased) &&
	       bl_json_set_int(json, "limit", (int64_t)usage.limit) &&
	       bl_json_set_int(json, "pinned", (int64_t)usage.pinned) &&
	       bl_json_set_int(json, "reserved", (int64_t)usage.reserved);
}

static bool add_tree(bl_json *list, const struct bl_store_tree *tree)
{
	bl_json *to = bl_json_set_object(list, NULL);
	char name[sizeof(PREFIX) + BL_DIGEST_HEX] = PREFIX;

	bl_digest_to_hex(&tree->name, name + strlen(PREFIX));
	return to && bl_json_set_int(to, "bytes", (int64_t)tree->bytes) &&
	       bl_json_set_int(to, "files", (int64_t)tree->files) &&
	       bl_json_set_int(to, "last_used", tree->last_used) &&
	       bl_json_set_int(to, "leases", (int64_t)tree->leases) &&
	       bl_json_set_string(to, "manifest", name) &&
	       bl_json_set_bool(to, "pinned", tree->pinned);
}

static void answer_cache(struct bl_request *request, struct bl_store *store)
{
	auto_json json = bl_json_new_object();
	bl_json *list = json && add_usage(json, store) ? bl_json_set_array(json, "trees") : NULL;
	struct bl_store_tree entry;
	size_t position = 0;

	while (list && bl_store_tree_next(store, &position, &entry) > 0)
		if (!add_tree(list, &entry))
			list = NULL;
	if (list)
		bl_http_answer(request, 200, json);
	else
		bl_api_no_memory(request);
}

/* Sizes that nobody has read since the start: looked for once, for all who wait for them. */
static struct {
	struct bl_node *agent;
	struct bl_task task;
	struct bl_waiters waiters; /* for what there is */
	struct bl_gc_size *list;
	size_t count;
	bool running;
} sizes;

static void sizes_run(struct bl_task *task)
{
	(void)task;
	bl_gc_sizes(bl_store_dirs(sizes.agent->store), sizes.list, sizes.count,
		    &sizes.agent->collector.stop);
}

static void sizes_done(struct bl_task *task)
{
	(void)task;
	bl_store_sizes_take(sizes.agent->store, sizes.list, sizes.count);
	free(TAKE_PTR(sizes.list));
	sizes.running = false;
	while (sizes.waiters.first)
		answer_cache(sizes.waiters.first, sizes.agent->store);
}

/* Whether all are known; else they will be when sizes_done() runs. */
static bool sizes_known(struct bl_node *agent)
{
	if (sizes.running)
		return false;
	sizes.agent = agent;
	sizes.count = bl_store_sizes_begin(agent->store, &sizes.list);
	if (sizes.count == 0)
		return true;
	sizes.running = true;
	bl_pool_run(&agent->quick, &sizes.task, sizes_run, sizes_done, NULL);
	return false;
}

static void cache_wait_over(struct bl_request *request)
{
	answer_cache(request, sizes.agent->store);
}

void bl_api_cache_get(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;

	if (sizes_known(agent))
		answer_cache(request, agent->store);
	else
		bl_http_hold(request, &sizes.waiters, BL_HTTP_WAIT_MAX * 1000ULL, cache_wait_over,
			     NULL);
}

/* ---- One tree ---- */

/* The tree that the request names, with or without "sha256:". */
static int parse_tree(struct bl_request *request, struct bl_digest *ret)
{
	const char *name = request->name;

	/* A colon may stand in a path as it is; many a client escapes it. */
	if (strncmp(name, PREFIX, strlen(PREFIX)) == 0)
		name += strlen(PREFIX);
	else if (strncasecmp(name, "sha256%3A", strlen("sha256%3A")) == 0)
		name += strlen("sha256%3A");
	if (bl_digest_from_hex(name, ret) == 0)
		return 0;
	bl_api_bad_request(request, "a tree is named by its manifest, sha256:<64 hexadecimal "
				    "digits>");
	return -EINVAL;
}

static void answer_change(struct bl_request *request, int r, const struct bl_err *err)
{
	if (r == 0)
		bl_http_answer(request, 204, NULL);
	else if (r == -ENOENT)
		bl_http_problem(
			request, 404, BL_JOB_NOT_FOUND, "No such tree",
			"the cache has no tree of that name; GET /v1/cache (ballast status) "
			"lists them");
	else if (r == -EBUSY)
		bl_http_problem(request, 409, "conflict", "Conflict",
				*err->msg ? err->msg : "the tree is in use or pinned");
	else
		bl_http_problem(request, 500, BL_JOB_INTERNAL, "The agent failed", err->msg);
}

static void still_running(struct bl_request *request)
{
	auto_json json = bl_json_new_object();

	if (json && bl_json_set_string(json, "state", "pending"))
		bl_http_answer(request, 202, json);
	else
		bl_api_no_memory(request);
}

/* Until what the request asks for is done, or for as long as it says. */
static void hold(struct bl_request *request, struct bl_waiters *waiters)
{
	bl_http_hold(request, waiters,
		     request->waits ? request->wait_ms : BL_HTTP_WAIT_MAX * 1000ULL, still_running,
		     NULL);
}

/* A tree that was removed, whose refs are on their way out. */
struct removal {
	struct bl_node *agent;
	struct bl_task task;
	struct bl_waiters waiters;
	struct bl_digest tree;
	struct bl_err err;
	int result;
};

static void removal_run(struct bl_task *task)
{
	struct removal *removal = task->data;

	removal->result = bl_store_refs_remove(bl_store_dirs(removal->agent->store), &removal->tree,
					       &removal->err);
}

static void removal_done(struct bl_task *task)
{
	struct removal *removal = task->data;

	if (removal->waiters.first)
		answer_change(removal->waiters.first, removal->result, &removal->err);
	free(removal);
}

void bl_api_tree_delete(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;
	struct bl_digest tree;
	struct removal *removal;
	struct bl_err err = {0};
	int r;

	if (parse_tree(request, &tree) < 0)
		return;
	removal = calloc(1, sizeof(*removal));
	if (!removal) {
		bl_api_no_memory(request);
		return;
	}
	r = bl_store_tree_remove(agent->store, &tree, &err);
	if (r < 0) {
		free(removal);
		answer_change(request, r, &err);
		return;
	}
	bl_collector_sweep(&agent->collector);
	removal->agent = agent;
	removal->tree = tree;
	hold(request, &removal->waiters);
	bl_pool_run(&agent->quick, &removal->task, removal_run, removal_done, removal);
}

static void pin(struct bl_request *request, struct bl_node *agent, bool on)
{
	struct bl_digest tree;
	struct bl_err err = {0};

	if (parse_tree(request, &tree) == 0)
		answer_change(request, bl_store_tree_pin(agent->store, &tree, on, &err), &err);
}

void bl_api_pin_put(struct bl_request *request, void *data)
{
	pin(request, data, true);
}

void bl_api_pin_delete(struct bl_request *request, void *data)
{
	pin(request, data, false);
}

/* ---- All of it ---- */

/* An operator's collect: one at a time, all who asked meanwhile get its result. */
static struct {
	struct bl_node *agent;
	struct bl_collect collect;
	struct bl_gc_result total;
	struct bl_waiters waiters;
} gc;

static void gc_failed(const char *message)
{
	while (gc.waiters.first)
		bl_http_problem(gc.waiters.first, 500, BL_JOB_INTERNAL, "The agent failed",
				message);
}

static void gc_answer(void)
{
	const struct bl_gc_result *total = &gc.total;
	auto_json json = bl_json_new_object();
	bool good = json && bl_json_set_int(json, "blobs", (int64_t)total->blobs) &&
		    bl_json_set_int(json, "freed", (int64_t)total->freed) &&
		    bl_json_set_int(json, "leftovers", (int64_t)total->leftovers) &&
		    bl_json_set_int(json, "partials", (int64_t)total->partials) &&
		    bl_json_set_int(json, "trees", (int64_t)total->trees);

	while (gc.waiters.first) {
		if (good)
			bl_http_answer(gc.waiters.first, 200, json);
		else
			bl_api_no_memory(gc.waiters.first);
	}
}

/* A count may find more than fits, and what is evicted for that goes with the next collect: only then
 * is the caller's wish fulfilled. */
static void gc_done(struct bl_collect *collect, const struct bl_gc_result *result, int failure,
		    const char *message)
{
	struct bl_err err = {0};
	int r;

	if (failure < 0) {
		gc_failed(message);
		return;
	}
	gc.total.blobs += result->blobs;
	gc.total.freed += result->freed;
	gc.total.leftovers += result->leftovers;
	gc.total.partials += result->partials;
	gc.total.trees += result->trees;
	r = bl_store_trim(gc.agent->store, &err);
	if (r > 0)
		bl_collector_want(&gc.agent->collector, collect, true, gc_done, NULL);
	else if (r < 0)
		gc_failed(err.msg);
	else
		gc_answer();
}

void bl_api_gc_post(struct bl_request *request, void *data)
{
	gc.agent = data;
	hold(request, &gc.waiters);
	if (gc.collect.wanted)
		return;
	gc.total = (struct bl_gc_result){0};
	bl_collector_want(&gc.agent->collector, &gc.collect, true, gc_done, NULL);
}

/* A verification of every tree, on the pool, tree after tree. */
static struct {
	struct bl_node *agent;
	struct bl_task task;
	struct bl_waiters waiters;
	struct bl_digest *trees;
	size_t count, at, bad_count;
	struct bl_digest *bad;
	char unread[512]; /* which tree could not be read, the first of them, and why; or "" */
	int result;
	struct bl_err err;
	bool running;
} verify;

static void verify_run(struct bl_task *task)
{
	const struct bl_digest_pace pace = {.stop = &verify.agent->collector.stop};

	(void)task;
	verify.result = bl_tree_verify(bl_store_dirs(verify.agent->store), &verify.trees[verify.at],
				       &pace, &verify.err);
}

static bool add_names(bl_json *json, const char *key, const struct bl_digest *names, size_t count)
{
	bl_json *list = bl_json_set_array(json, key);

	for (size_t i = 0; list && i < count; i++) {
		char name[sizeof(PREFIX) + BL_DIGEST_HEX] = PREFIX;

		bl_digest_to_hex(&names[i], name + strlen(PREFIX));
		if (!bl_json_set_string(list, NULL, name))
			return false;
	}
	return list != NULL;
}

static void verify_end(void)
{
	auto_json json = bl_json_new_object();
	bool good = json && add_names(json, "damaged", verify.bad, verify.bad_count) &&
		    bl_json_set_int(json, "trees", (int64_t)verify.count);

	while (verify.waiters.first) {
		if (*verify.unread)
			bl_http_problem(verify.waiters.first, 500, BL_JOB_INTERNAL,
					"The agent failed", verify.unread);
		else if (good)
			bl_http_answer(verify.waiters.first, 200, json);
		else
			bl_api_no_memory(verify.waiters.first);
	}
	free(TAKE_PTR(verify.trees));
	free(TAKE_PTR(verify.bad));
	verify.running = false;
}

static void verify_next(void);

/* What could not be read must not count as whole. */
static void verify_unread(const struct bl_digest *tree)
{
	char hex[BL_DIGEST_HEX];

	if (*verify.unread)
		return;
	bl_digest_to_hex(tree, hex);
	(void)snprintf(verify.unread, sizeof(verify.unread),
		       "tree %s could not be read to its end: %.300s; look at the cache's disk, "
		       "and try again",
		       hex, verify.err.msg);
	verify.agent->collector.tell(BL_LOG_WARNING, verify.unread);
}

static void verify_done(struct bl_task *task)
{
	struct bl_node *agent = verify.agent;
	const struct bl_digest *tree = &verify.trees[verify.at];

	(void)task;
	bl_store_tree_unhold(agent->store, tree);
	if (verify.result == -EBADMSG) {
		bl_collector_damaged(&agent->collector, tree, verify.err.msg);
		verify.bad[verify.bad_count++] = *tree;
		(void)bl_store_tree_condemn(agent->store, tree, NULL);
	} else if (verify.result < 0 && verify.result != -ECANCELED) {
		verify_unread(tree);
	}
	verify.at++;
	if (agent->collector.stopping)
		verify.at = verify.count;
	verify_next();
}

static void verify_next(void)
{
	/* One that has gone by now is passed over. */
	for (; verify.at < verify.count; verify.at++) {
		const struct bl_digest *tree = &verify.trees[verify.at];

		if (bl_store_tree_is_there(verify.agent->store, tree) &&
		    bl_store_tree_hold(verify.agent->store, tree, NULL) == 0) {
			bl_pool_run(&verify.agent->pool, &verify.task, verify_run, verify_done,
				    NULL);
			return;
		}
	}
	verify_end();
}

static bool verify_begin(struct bl_node *agent)
{
	size_t most = bl_store_tree_count(agent->store);
	struct bl_store_tree tree;
	size_t position = 0;

	verify.agent = agent;
	verify.trees = calloc(most + 1, sizeof(*verify.trees));
	verify.bad = calloc(most + 1, sizeof(*verify.bad));
	verify.count = verify.at = verify.bad_count = 0;
	verify.unread[0] = '\0';
	if (!verify.trees || !verify.bad) {
		free(TAKE_PTR(verify.trees));
		free(TAKE_PTR(verify.bad));
		return false;
	}
	while (verify.count < most && bl_store_tree_next(agent->store, &position, &tree) > 0)
		verify.trees[verify.count++] = tree.name;
	verify.running = true;
	return true;
}

void bl_api_verify_post(struct bl_request *request, void *data)
{
	bool begins = !verify.running;

	if (begins && !verify_begin(data)) {
		bl_api_no_memory(request);
		return;
	}
	hold(request, &verify.waiters);
	if (begins)
		verify_next();
}
