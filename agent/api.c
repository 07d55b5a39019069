// SPDX-License-Identifier: Apache-2.0
/*
 * The API's routes (docs/agent-api.md): what a request says is checked here, what it does is done
 * elsewhere.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/api.h"
#include "agent/container_state.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"
#include "common/json.h"

void bl_api_bad_request(struct bl_request *request, const char *detail)
{
	bl_http_problem(request, 400, "request", "Bad request", detail);
}

void bl_api_problem(struct bl_request *request, const struct bl_problem *problem)
{
	bl_http_problem(request, problem->status, problem->class, bl_problem_title(problem),
			problem->detail);
}

bl_json *bl_api_parse_body(struct bl_request *request, const char *const *keys)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_API_BODY};
	auto_json body = NULL;
	struct bl_err err = {0};
	int r = bl_json_parse(bl_buf_str(&request->body), request->body.len, &limits, &body, &err);

	if (r == 0 && !bl_json_is_object(body))
		r = bl_err_config(&err, "the body is no object");
	if (r == 0)
		r = bl_json_only_keys(body, keys, &err);
	if (r < 0) {
		bl_api_bad_request(request, err.msg);
		return NULL;
	}
	return TAKE_PTR(body);
}

void bl_api_no_memory(struct bl_request *request)
{
	bl_http_problem(request, 500, BL_JOB_INTERNAL, "The agent failed",
			"out of memory; try again");
}

/* ---- Containers ---- */

static void wait_over(struct bl_request *request)
{
	bl_container_reply(request->data, request);
}

static void reply_or_hold(struct bl_container *container, struct bl_request *request)
{
	if (container->state == BL_CONTAINER_PENDING && request->wait_ms > 0)
		bl_http_hold(request, &container->waiters, request->wait_ms, wait_over, container);
	else
		bl_container_reply(container, request);
}

static void container_put(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;
	auto_json body = bl_api_parse_body(request, bl_container_keys);
	struct bl_container_request asked = {.id = request->name};
	struct bl_container *container = NULL;
	struct bl_problem problem;
	struct bl_err err = {0};

	if (!body)
		return;
	if (bl_container_parse(body, &asked, &err) < 0)
		bl_api_bad_request(request, err.msg);
	else if (bl_containers_put(&agent->containers, &asked, &container, &problem) < 0)
		bl_api_problem(request, &problem);
	else
		reply_or_hold(container, request);
}

static void no_container(struct bl_request *request)
{
	bl_http_problem(request, 404, BL_JOB_NOT_FOUND, "No such container",
			"the agent knows no container of that id");
}

static void container_get(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;
	struct bl_container *container = bl_containers_find(&agent->containers, request->name);

	if (!container)
		no_container(request);
	else
		reply_or_hold(container, request);
}

static void container_delete(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;

	bl_containers_release(&agent->containers, request->name);
	bl_http_answer(request, 204, NULL);
}

static void container_defer(struct bl_request *request, void *data)
{
	static const char *const keys[] = {"mounts", NULL};
	struct bl_node *agent = data;
	struct bl_container *container = bl_containers_find(&agent->containers, request->name);
	auto_json body = bl_api_parse_body(request, keys);
	const bl_json *mounts = NULL;
	struct bl_problem problem;
	struct bl_err err = {0};

	if (!body)
		return;
	if (bl_json_get_array(body, "mounts", &mounts, &err) <= 0)
		bl_api_bad_request(request, *err.msg ? err.msg : "mounts is required");
	else if (!container)
		no_container(request);
	else if (bl_containers_defer(container, mounts, &problem) < 0)
		bl_api_problem(request, &problem);
	else
		bl_container_reply(container, request);
}

static void containers_get(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;
	auto_json json = bl_json_new_object();
	bl_json *list = json ? bl_json_set_array(json, "containers") : NULL;

	for (struct bl_container *at = agent->containers.first; list && at; at = at->next) {
		auto_json one = bl_containers_describe(at);

		if (!one || !bl_json_set_copy(list, NULL, one))
			list = NULL;
	}
	if (list)
		bl_http_answer(request, 200, json);
	else
		bl_api_no_memory(request);
}

/* ---- The agent itself ---- */

/* One whose cache no container could be given anything of is not well, though it answers. */
static void healthz_get(struct bl_request *request, void *data)
{
	const struct bl_node *agent = data;
	struct bl_err err = {0};

	if (bl_store_paths_check(agent->store, &err) < 0 ||
	    bl_store_leases_try(agent->store, &err) < 0)
		bl_http_problem(request, 500, BL_JOB_INTERNAL, "The agent failed", err.msg);
	else
		bl_http_answer_text(request, 200, "text/plain; charset=utf-8", "ok\n", 3);
}

static void version_get(struct bl_request *request, void *data)
{
	auto_json json = bl_json_new_object();

	(void)data;
	if (json && bl_json_set_string(json, "api", "v1") &&
	    bl_json_set_string(json, "version", BL_VERSION))
		bl_http_answer(request, 200, json);
	else
		bl_api_no_memory(request);
}

const struct bl_route bl_api_routes[] = {
	{"PUT", "/v1/containers/*", BL_HTTP_ROOT, container_put},
	{"GET", "/v1/containers/*", BL_HTTP_GROUP, container_get},
	{"DELETE", "/v1/containers/*", BL_HTTP_ROOT, container_delete},
	{"POST", "/v1/containers/*/defer", BL_HTTP_ROOT, container_defer},
	{"GET", "/v1/containers", BL_HTTP_GROUP, containers_get},
	{"POST", "/v1/pulls", BL_HTTP_GROUP, bl_api_pulls_post},
	{"GET", "/v1/pulls/*", BL_HTTP_GROUP, bl_api_pull_get},
	{"DELETE", "/v1/pulls/*", BL_HTTP_GROUP, bl_api_pull_delete},
	{"GET", "/v1/cache", BL_HTTP_GROUP, bl_api_cache_get},
	{"DELETE", "/v1/cache/*", BL_HTTP_ROOT, bl_api_tree_delete},
	{"PUT", "/v1/cache/*/pin", BL_HTTP_ROOT, bl_api_pin_put},
	{"DELETE", "/v1/cache/*/pin", BL_HTTP_ROOT, bl_api_pin_delete},
	{"POST", "/v1/cache/gc", BL_HTTP_ROOT, bl_api_gc_post},
	{"POST", "/v1/cache/verify", BL_HTTP_ROOT, bl_api_verify_post},
	{"GET", "/metrics", BL_HTTP_PUBLIC, bl_api_metrics_get},
	{"GET", "/healthz", BL_HTTP_GROUP, healthz_get},
	{"GET", "/v1/version", BL_HTTP_GROUP, version_get},
	{NULL, NULL, BL_HTTP_ROOT, NULL},
};
