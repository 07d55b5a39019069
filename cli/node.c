// SPDX-License-Identifier: Apache-2.0
#include "cli/node.h"

#include <errno.h>

#include "common/contract.h"
#include "common/err.h"

#define MAX_VALUES \
	(BL_MAX_API_ANSWER / 8) /* JSON values of an answer: of trees there may be thousands */

static int open_node(const char *address, int64_t patience_ms, struct bl_agent *ret,
		     struct bl_err *err)
{
	struct bl_agent agent = {.deadline = bl_agent_now() + patience_ms,
				 .max_values = MAX_VALUES};
	int r = bl_agent_parse_address(address ? address : BL_PATH_SOCKET, &agent.socket, err);

	if (r < 0)
		bl_err_wrap(err, "--agent: ");
	else
		*ret = agent;
	return r;
}

/* One request; what keeps it from being made at all is told with what to do about it. */
static int request(struct bl_agent *agent, const char *method, const char *path, const char *body,
		   struct bl_agent_answer *ret, struct bl_err *err)
{
	int r = bl_agent_request(agent, method, path, body, false, ret, err);

	if (r == -EACCES && !agent->contacted)
		return bl_err_set(
			err, BL_EX_REFUSED, EACCES,
			"the agent's socket %s is not for you: run it again with sudo, or "
			"have the operator name a group of yours as socket_group in "
			"ballastd.json",
			agent->socket);
	/* -EPERM: somebody listens there who is not root. That is another matter. */
	if (r < 0 && r != -EPERM && err->code == BL_EX_UNAVAILABLE && !agent->contacted)
		return bl_err_set(
			err, BL_EX_UNAVAILABLE, ENOTCONN,
			"the agent is not running, nothing listens at %s; start it with "
			"systemctl start ballastd, or by hand with ballastd --socket=%s, or "
			"name its socket with --agent",
			agent->socket, agent->socket);
	return r;
}

int bl_node_request(const char *address, const char *method, const char *path, const char *body,
		    int64_t patience_ms, struct bl_agent_answer *ret, struct bl_err *err)
{
	struct bl_agent agent;
	int r = open_node(address, patience_ms, &agent, err);

	return r < 0 ? r : request(&agent, method, path, body, ret, err);
}

static int check_object(const struct bl_agent_answer *answer, struct bl_err *err)
{
	if (answer->json && bl_json_is_object(answer->json))
		return answer->status;
	return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the agent's answer is no object");
}

int bl_node_ask(const char *address, const char *method, const char *path, const char *body,
		int64_t patience_ms, struct bl_agent_answer *ret, struct bl_err *err)
{
	int r = bl_node_request(address, method, path, body, patience_ms, ret, err);

	return r < 0 ? r : check_object(ret, err);
}

int bl_node_ask_first(struct bl_node_again *again, const char *method, const char *path,
		      const char *body, struct bl_agent_answer *ret, struct bl_err *err)
{
	struct bl_agent agent;
	int r = open_node(again->address, BL_NODE_PATIENCE_MS, &agent, err);

	if (r < 0)
		return r;
	r = request(&agent, method, path, body, ret, err);
	again->pid = agent.pid;
	return r < 0 ? r : check_object(ret, err);
}

int bl_node_ask_again(struct bl_node_again *again, const char *method, const char *path,
		      const char *body, struct bl_agent_answer *ret, struct bl_err *err)
{
	struct bl_agent agent;
	int r = open_node(again->address, BL_NODE_PATIENCE_MS, &agent, err);

	if (r < 0)
		return r;
	agent.contacted = true;
	agent.watch[agent.watch_count++] = again->stop;
	r = bl_agent_request(&agent, method, path, body, true, ret, err);
	again->another = agent.repeated || agent.pid != again->pid;
	again->pid = agent.pid;
	return r < 0 ? r : check_object(ret, err);
}

int bl_node_problem(const bl_json *problem, struct bl_err *err)
{
	struct bl_agent_answer answer = {.status = (int)bl_node_int(problem, "status"),
					 .json = (bl_json *)problem};

	return bl_agent_problem(&answer, err);
}

int64_t bl_node_int(const bl_json *object, const char *key)
{
	int64_t value = 0;

	return bl_json_get_int(object, key, 0, BL_JSON_INT_MAX, &value, NULL) > 0 ? value : 0;
}

const char *bl_node_text(const bl_json *object, const char *key)
{
	const char *text = "";

	return bl_json_get_string(object, key, &text, NULL) > 0 ? text : "";
}
