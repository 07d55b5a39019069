// SPDX-License-Identifier: Apache-2.0
#include "hook/ask.h"

#include <stdio.h>
#include <string.h>

#include "common/agent_client.h"
#include "common/attach.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/human.h"
#include "hook/plan.h"

#define WAIT_MOST_S	10
#define TARGET_MAX	1024
#define DEFER_LEAST_MS	2000
#define MAX_ENVIRONMENT 4096

void bl_ready_done(struct bl_ready *ready)
{
	bl_json_free(&ready->json);
	free(ready->weights);
	*ready = (struct bl_ready){0};
}

/* ---- What is asked ---- */

static int container_target(struct bl_buf *target, const char *id, const char *rest,
			    struct bl_err *err)
{
	int r = bl_buf_puts(target, "/v1/containers/", err);

	if (r == 0)
		r = bl_agent_escape(target, id, err);
	return r < 0 ? r : bl_buf_puts(target, rest, err);
}

static int write_body(struct bl_buf *body, const struct bl_ask *ask, const struct bl_plan *plan,
		      struct bl_err *err)
{
	auto_json object = bl_json_new_object();
	bl_json *weights = object ? bl_json_set_array(object, "weights") : NULL;

	if (!weights || !bl_json_set_string(object, "tenant", plan->tenant) ||
	    !bl_json_set_string(object, "container", plan->container ? plan->container : "") ||
	    !bl_json_set_string(object, "bundle", ask->bundle) ||
	    !bl_json_set_int(object, "pid", ask->pid) ||
	    !bl_json_set_int(object, "start_time", (int64_t)ask->start_time))
		return bl_err_nomem(err);
	for (size_t i = 0; i < plan->weights.count; i++) {
		int r = bl_weights_item_to_json(&plan->weights.items[i], weights, err);

		if (r < 0)
			return r;
	}
	return bl_json_write(body, object, err);
}

/* ---- What is answered ---- */

static int malformed(const char *what, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the agent's answer is malformed: %s", what);
}

/* Absolute, with no empty, "." or ".." part. */
static bool is_plain_path(const char *path)
{
	if (*path != '/' || strlen(path) > BL_MAX_PATH)
		return false;
	while (*path) {
		size_t len;

		path++;
		len = strcspn(path, "/");
		if (len == 0 || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
	}
	return true;
}

static int read_kind(const bl_json *element, enum bl_mount_kind *ret, struct bl_err *err)
{
	const char *kind = "directory";
	int r = bl_json_get_string(element, "kind", &kind, err);

	if (r < 0)
		return malformed("kind", err);
	if (strcmp(kind, "directory") != 0 && strcmp(kind, "file") != 0)
		return malformed("a kind that is neither directory nor file", err);
	*ret = kind[0] == 'f' ? BL_MOUNT_FILE : BL_MOUNT_DIRECTORY;
	return 0;
}

/* One element of the answer's weights, into its place in the plan's order. */
static int read_element(const bl_json *element, const struct bl_plan *plan,
			struct bl_ready_weights *weights, struct bl_err *err)
{
	const char *location = NULL;
	const char *path = NULL;
	enum bl_mount_kind kind = BL_MOUNT_DIRECTORY;
	int r;

	if (!bl_json_is_object(element) ||
	    bl_json_get_string(element, "mount_location", &location, NULL) != 1 ||
	    bl_json_get_string(element, "path", &path, NULL) != 1 || !is_plain_path(path))
		return malformed("an element of weights without a plain mount_location and path",
				 err);
	r = read_kind(element, &kind, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < plan->weights.count; i++) {
		const struct bl_weights_item *item = &plan->weights.items[i];

		if (strcmp(item->mount_location, location) != 0)
			continue;
		if (weights[i].path)
			return malformed("a mount_location stands twice", err);
		if (kind != (item->single_file ? BL_MOUNT_FILE : BL_MOUNT_DIRECTORY))
			return malformed("a kind that does not fit the source", err);
		weights[i] = (struct bl_ready_weights){.path = path, .kind = kind};
		return 0;
	}
	return malformed("a mount_location that was not asked for", err);
}

static int read_weights(const bl_json *array, const struct bl_plan *plan, struct bl_ready *ready,
			struct bl_err *err)
{
	ready->weights =
		calloc(plan->weights.count ? plan->weights.count : 1, sizeof(*ready->weights));
	if (!ready->weights)
		return bl_err_nomem(err);
	for (const bl_json *e = bl_json_first(array); e; e = bl_json_next(e)) {
		int r = read_element(e, plan, ready->weights, err);

		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < plan->weights.count; i++)
		if (!ready->weights[i].path)
			return malformed("a mount_location is missing", err);
	return 0;
}

static int read_environment(struct bl_ready *ready, struct bl_err *err)
{
	size_t n = 0;
	int r = bl_json_get_object(ready->json, "environment", &ready->environment, err);

	if (r < 0)
		return malformed("environment", err);
	for (const bl_json *m = r == 1 ? bl_json_first(ready->environment) : NULL; m;
	     m = bl_json_next(m))
		if (!bl_json_is_string(m) || !*bl_json_key(m) || strchr(bl_json_key(m), '=') ||
		    ++n > MAX_ENVIRONMENT)
			return malformed("environment", err);
	return 0;
}

int bl_ask_read(int status, bl_json **json, const struct bl_plan *plan, struct bl_ready *ret,
		struct bl_err *err)
{
	auto_ready ready = {.json = TAKE_PTR(*json)};
	const char *state = NULL;
	const bl_json *weights = NULL;
	int r;

	if (!ready.json || !bl_json_is_object(ready.json) ||
	    bl_json_get_string(ready.json, "state", &state, NULL) != 1)
		return malformed("no object with a state", err);
	r = read_environment(&ready, err);
	if (r < 0)
		return r;
	if (status == 200 && strcmp(state, "ready") == 0) {
		if (bl_json_get_array(ready.json, "weights", &weights, NULL) != 1)
			return malformed("no weights", err);
		if (bl_json_get_string(ready.json, "empty", &ready.empty, NULL) < 0 ||
		    (ready.empty && !is_plain_path(ready.empty)))
			return malformed("empty", err);
		r = read_weights(weights, plan, &ready, err);
		if (r < 0)
			return r;
	} else if (status != 202 || strcmp(state, "pending") != 0) {
		return malformed("a state that does not fit its status", err);
	}
	bl_ready_done(ret);
	*ret = ready;
	ready = (struct bl_ready){0};
	return status == 200 ? 1 : 0;
}

/* ---- Waiting ---- */

static void tell_progress(const struct bl_ask *ask, const struct bl_ready *pending)
{
	const bl_json *progress = NULL;
	int64_t done = 0;
	int64_t total = 0;
	int64_t rate = 0;
	char text[160];

	if (!ask->progress || bl_json_get_object(pending->json, "progress", &progress, NULL) != 1)
		return;
	(void)bl_json_get_int(progress, "bytes_done", 0, BL_JSON_INT_MAX, &done, NULL);
	(void)bl_json_get_int(progress, "bytes_total", 0, BL_JSON_INT_MAX, &total, NULL);
	(void)bl_json_get_int(progress, "bytes_per_second", 0, BL_JSON_INT_MAX, &rate, NULL);
	if (total > 0)
		(void)snprintf(text, sizeof(text), "waiting for the weights: %s of %s, %s/s",
			       bl_human_bytes(done).text, bl_human_bytes(total).text,
			       bl_human_bytes(rate).text);
	ask->progress(total > 0 ? text : "waiting for the weights: asking the origin");
}

/* One request that waits until `until` at most, by whole seconds. */
static int ask_once(struct bl_agent *agent, const struct bl_ask *ask, const struct bl_plan *plan,
		    const char *body, int64_t left, struct bl_ready *ret, struct bl_err *err)
{
	auto_buf target = BL_BUF_INIT(TARGET_MAX);
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	int64_t wait = left / 1000 < WAIT_MOST_S ? left / 1000 : WAIT_MOST_S;
	char query[32];
	int r;

	(void)snprintf(query, sizeof(query), "?wait=%lld", (long long)(wait > 0 ? wait : 0));
	r = container_target(&target, ask->id, query, err);
	if (r == 0)
		r = bl_agent_request(agent, "PUT", bl_buf_str(&target), body, true, &answer, err);
	/* The agent names the item; which annotation that stands in is known here. */
	if (r < 0 && err && plan->weights_key && strncmp(err->msg, "$[", 2) == 0)
		bl_err_wrap(err, "%s: ", plan->weights_key);
	if (r < 0)
		return r;
	bl_buf_done(&answer.body);
	return bl_ask_read(r, &answer.json, plan, ret, err);
}

/* Until the next request: an agent that answers at once instead of waiting must not make us spin. */
static int pause_between(const struct bl_agent *agent, int64_t asked, int64_t until,
			 struct bl_err *err)
{
	int64_t now = bl_agent_now();

	if (until - now < 1000)
		return bl_agent_pause(agent, until, err);
	return now - asked < 500 ? bl_agent_pause(agent, now + 1000, err) : 0;
}

int bl_ask_weights(struct bl_agent *agent, const struct bl_ask *ask, const struct bl_plan *plan,
		   int64_t until, struct bl_ready *ret, struct bl_err *err)
{
	auto_buf body = BL_BUF_INIT(BL_MAX_API_BODY);
	bool pending = false;
	int r = write_body(&body, ask, plan, err);

	while (r == 0) {
		int64_t asked = bl_agent_now();

		r = ask_once(agent, ask, plan, bl_buf_str(&body), until - asked, ret, err);
		/* An agent that said "pending" before and is slow now has still not got them. */
		if (r == -ETIMEDOUT && pending)
			return 0;
		if (r != 0 || asked >= until)
			return r;
		pending = true;
		tell_progress(ask, ret);
		r = pause_between(agent, asked, until, err);
	}
	return r;
}

/* ---- Handing over ---- */

static int write_defer(struct bl_buf *body, const struct bl_plan *plan,
		       const struct bl_attach_item *placeholders, bool exec, struct bl_err *err)
{
	auto_json object = bl_json_new_object();
	bl_json *mounts = object ? bl_json_set_array(object, "mounts") : NULL;

	for (size_t i = 0; mounts && i < plan->weights.count; i++) {
		const struct bl_attach_item *at = &placeholders[i];
		bl_json *mount = bl_json_set_object(mounts, NULL);

		if (!mount || !bl_json_set_string(mount, "mount_location", at->location) ||
		    !bl_json_set_string(mount, "kind",
					at->kind == BL_MOUNT_FILE ? "file" : "directory") ||
		    !bl_json_set_bool(mount, "readonly_superblock", plan->superblock) ||
		    !bl_json_set_bool(mount, "exec", exec) ||
		    !bl_json_set_int(mount, "placeholder_dev", (int64_t)at->dev) ||
		    !bl_json_set_int(mount, "placeholder_ino", (int64_t)at->ino))
			return bl_err_nomem(err);
	}
	return mounts ? bl_json_write(body, object, err) : bl_err_nomem(err);
}

int bl_ask_defer(struct bl_agent *agent, const struct bl_ask *ask, const struct bl_plan *plan,
		 const struct bl_attach_item *placeholders, bool exec, struct bl_err *err)
{
	auto_buf body = BL_BUF_INIT(BL_MAX_API_BODY);
	auto_buf target = BL_BUF_INIT(TARGET_MAX);
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	int r = write_defer(&body, plan, placeholders, exec, err);

	if (r == 0)
		r = container_target(&target, ask->id, "/defer", err);
	if (r < 0)
		return r;
	/* Within the timeout as a rule: a runtime that gives the hook little more kills it then. */
	if (agent->deadline < bl_agent_now() + DEFER_LEAST_MS)
		agent->deadline = bl_agent_now() + DEFER_LEAST_MS;
	r = bl_agent_request(agent, "POST", bl_buf_str(&target), bl_buf_str(&body), true, &answer,
			     err);
	if (r < 0)
		bl_err_wrap(err, "hand the waiting over: ");
	return r < 0 ? r : 0;
}

int bl_ask_end(struct bl_agent *agent, const char *id, struct bl_err *err)
{
	auto_buf target = BL_BUF_INIT(TARGET_MAX);
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	int r = container_target(&target, id, "", err);

	return r < 0 ? r
		     : bl_agent_request(agent, "DELETE", bl_buf_str(&target), NULL, false, &answer,
					err);
}
