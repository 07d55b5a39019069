// SPDX-License-Identifier: Apache-2.0
#include "agent/api.h"

#include "agent/agent.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/job.h"
#include "common/json.h"

/* The group may pull for the tenants that the configuration gives it; root for all. */
static bool may(const struct bl_request *request, const struct bl_node *agent, const char *tenant)
{
	return request->peer->root || bl_config_group_may(&agent->config, tenant);
}

static void refuse_tenant(struct bl_request *request)
{
	bl_http_problem(request, 403, BL_JOB_FORBIDDEN, "Forbidden",
			"the socket's group may not pull for that tenant; an operator allows it in "
			"group_tenants of ballastd.json");
}

void bl_api_pulls_post(struct bl_request *request, void *data)
{
	static const char *const keys[] = {"tenant", "weights", "refresh", NULL};
	struct bl_node *agent = data;
	auto_json body = bl_api_parse_body(request, keys);
	struct bl_pull_request asked = {.uid = request->peer->uid};
	struct bl_problem problem;
	struct bl_pull *pull;
	struct bl_err err = {0};
	int r;

	if (!body)
		return;
	r = bl_json_get_string(body, "tenant", &asked.tenant, &err);
	if (r >= 0)
		r = bl_json_get_array(body, "weights", &asked.list, &err);
	if (r >= 0)
		r = bl_json_get_bool(body, "refresh", &asked.refresh, &err);
	if (r >= 0 && (!asked.tenant || !asked.list))
		r = bl_err_config(&err, "tenant and weights are required");
	if (r < 0)
		bl_api_bad_request(request, err.msg);
	else if (!may(request, agent, asked.tenant))
		refuse_tenant(request);
	else if (bl_pulls_start(&agent->pulls, &asked, &pull, &problem) < 0)
		bl_api_problem(request, &problem);
	else
		bl_pulls_reply(pull, request);
}

/* The pull that the request names, or NULL when the request is answered. */
static struct bl_pull *find(struct bl_request *request, struct bl_node *agent)
{
	struct bl_pull *pull = bl_pulls_find(&agent->pulls, request->name);

	/* To one who may not see it, it is as if it were not there. */
	if (pull && may(request, agent, pull->tenant))
		return pull;
	bl_http_problem(request, 404, BL_JOB_NOT_FOUND, "No such pull",
			"the agent knows no pull of that id; pulls are forgotten an hour after "
			"their end, and when the agent restarts");
	return NULL;
}

static void wait_over(struct bl_request *request)
{
	bl_pulls_reply(request->data, request);
}

void bl_api_pull_get(struct bl_request *request, void *data)
{
	struct bl_pull *pull = find(request, data);

	if (pull && pull->state == BL_PULL_PENDING && request->wait_ms > 0)
		bl_http_hold(request, &pull->waiters, request->wait_ms, wait_over, pull);
	else if (pull)
		bl_pulls_reply(pull, request);
}

void bl_api_pull_delete(struct bl_request *request, void *data)
{
	struct bl_pull *pull = find(request, data);

	if (!pull)
		return;
	bl_pulls_cancel(pull);
	bl_http_answer(request, 204, NULL);
}
