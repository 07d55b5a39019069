// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "agent/container_state.h"
#include "agent/late.h"
#include "agent/progress.h"
#include "agent/store.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"

#define FILE_OF_HTTPS "/file" /* an https item's tree has this one file */

bool bl_container_is_id(const char *text)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"._-+,:@"; /* what runtimes take and a path may hold as it is */
	size_t len = strlen(text);

	return len > 0 && len <= BL_MAX_CONTAINER_ID && strspn(text, allowed) == len &&
	       *text != '.';
}

bl_json *bl_container_to_json(const struct bl_container *container)
{
	auto_json json = bl_json_new_object();
	const bl_json *deferred =
		container->late ? bl_late_mounts(container->late) : container->deferred;

	if (!json ||
	    (container->bundle && !bl_json_set_string(json, "bundle", container->bundle)) ||
	    (container->name && !bl_json_set_string(json, "container", container->name)) ||
	    !bl_json_set_copy(json, "weights", container->list))
		return NULL;
	if (deferred && !bl_json_set_copy(json, "defer", deferred))
		return NULL;
	return TAKE_PTR(json);
}

int bl_container_from_json(const bl_json *extra, struct bl_container_request *request,
			   struct bl_err *err)
{
	int r = bl_json_get_string(extra, "bundle", &request->bundle, err);

	if (r >= 0)
		r = bl_json_get_string(extra, "container", &request->name, err);
	if (r >= 0)
		r = bl_json_get_array(extra, "weights", &request->weights, err);
	return r < 0 ? r : request->weights ? 0 : -EINVAL;
}

int bl_container_set_weights(struct bl_container *container, const bl_json *weights,
			     struct bl_err *err)
{
	auto_buf body = BL_BUF_INIT(BL_MAX_API_BODY);
	auto_json json = NULL;
	int r = bl_weights_from_json(weights, &container->weights, err);

	container->list = bl_json_new_array();
	if (r == 0 && !container->list)
		r = bl_err_nomem(err);
	for (size_t i = 0; r == 0 && i < container->weights.count; i++)
		r = bl_weights_item_to_json(&container->weights.items[i], container->list, err);
	if (r < 0)
		return r;
	container->items = calloc(container->weights.count + 1, sizeof(*container->items));
	json = bl_container_to_json(container);
	if (!container->items || !json || !bl_json_set_string(json, "tenant", container->tenant))
		return bl_err_nomem(err);
	r = bl_json_write(&body, json, err);
	container->body = bl_buf_take(&body);
	return r;
}

const char *const bl_container_keys[] = {"tenant",     "container", "bundle", "pid",
					 "start_time", "weights",   NULL};

int bl_container_parse(const bl_json *body, struct bl_container_request *ret, struct bl_err *err)
{
	int64_t pid = 0;
	int64_t start_time = -1;
	int r = bl_json_get_string(body, "tenant", &ret->tenant, err);

	if (r >= 0)
		r = bl_json_get_string(body, "container", &ret->name, err);
	if (r >= 0)
		r = bl_json_get_string(body, "bundle", &ret->bundle, err);
	if (r >= 0)
		r = bl_json_get_int(body, "pid", 1, INT32_MAX, &pid, err);
	if (r >= 0)
		r = bl_json_get_int(body, "start_time", 0, BL_JSON_INT_MAX, &start_time, err);
	if (r >= 0)
		r = bl_json_get_array(body, "weights", &ret->weights, err);
	if (r < 0)
		return r;
	if (!ret->tenant || !pid || start_time < 0 || !ret->weights)
		return bl_err_config(err, "tenant, pid, start_time and weights are required");
	if ((ret->name && strlen(ret->name) > BL_MAX_FIELD) ||
	    (ret->bundle && strlen(ret->bundle) > BL_MAX_PATH))
		return bl_err_config(err, "container or bundle is too long");
	ret->pid = (pid_t)pid;
	ret->start_time = (uint64_t)start_time;
	return 0;
}

/* ---- Answers ---- */

void bl_container_progress(const struct bl_container *container, struct bl_progress *sum)
{
	for (size_t i = 0; i < container->weights.count; i++) {
		const struct bl_container_item *item = &container->items[i];

		if (item->claim.work)
			bl_works_add_progress(&item->claim, sum);
		else if (item->ready)
			bl_progress_add_tree(sum, container->containers->store, &item->tree);
	}
}

static bool add_progress(bl_json *json, const struct bl_container *container)
{
	struct bl_progress sum = {0};

	bl_container_progress(container, &sum);
	return bl_progress_add(json, &sum);
}

int bl_container_item_path(const struct bl_container *container, size_t i,
			   char path[BL_CONTAINER_PATH])
{
	int r = bl_store_tree_path(container->containers->store, &container->items[i].tree, path);

	if (r == 0 && container->weights.items[i].single_file)
		(void)strcat(path, FILE_OF_HTTPS);
	return r;
}

static bool add_item(bl_json *list, const struct bl_container *container, size_t i)
{
	const struct bl_weights_item *wanted = &container->weights.items[i];
	const struct bl_container_item *item = &container->items[i];
	struct bl_store *store = container->containers->store;
	bl_json *to = bl_json_set_object(list, NULL);
	char path[BL_CONTAINER_PATH];
	char pin[sizeof("sha256:") + BL_DIGEST_HEX] = "sha256:";
	struct bl_store_tree tree = {0};

	if (bl_container_item_path(container, i, path) < 0)
		return false;
	(void)bl_store_tree_find(store, &item->tree, &tree);
	bl_digest_to_hex(&item->tree, pin + strlen(pin));
	return to && bl_json_set_int(to, "bytes", (int64_t)tree.bytes) &&
	       bl_json_set_int(to, "files", (int64_t)tree.files) &&
	       bl_json_set_string(to, "kind", wanted->single_file ? "file" : "directory") &&
	       bl_json_set_string(to, "manifest", pin) &&
	       bl_json_set_string(to, "mount_location", wanted->mount_location) &&
	       bl_json_set_string(to, "path", path);
}

static bool add_ready(bl_json *json, const struct bl_container *container)
{
	const struct bl_containers *containers = container->containers;
	bl_json *list;
	char empty[PATH_MAX];

	if (bl_store_empty_path(containers->store, empty) < 0 ||
	    !bl_json_set_string(json, "empty", empty))
		return false;
	list = bl_json_set_array(json, "weights");
	for (size_t i = 0; list && i < container->weights.count; i++)
		if (!add_item(list, container, i))
			return false;
	return list != NULL;
}

/* While pending too: a hook that defers writes the shim's orders then. */
static bool add_environment(bl_json *json, const struct bl_container *container)
{
	const bl_json *environment = container->containers->config->environment;

	return environment ? bl_json_set_copy(json, "environment", environment)
			   : bl_json_set_object(json, "environment");
}

/* What PUT says of it; the caller's. NULL when memory ran out. */
static bl_json *answer(const struct bl_container *container)
{
	auto_json json = bl_json_new_object();
	bool ready = container->state == BL_CONTAINER_READY;

	if (!json ||
	    !bl_json_set_string(json, "state", bl_containers_state_name(container->state)) ||
	    !add_environment(json, container) ||
	    !(ready ? add_ready(json, container) : add_progress(json, container)))
		return NULL;
	return TAKE_PTR(json);
}

bl_json *bl_containers_describe(const struct bl_container *container)
{
	auto_json json = answer(container);
	bl_json *error;

	if (!json || !bl_json_set_string(json, "id", container->id) ||
	    !bl_json_set_string(json, "tenant", container->tenant) ||
	    !bl_json_set_int(json, "pid", container->pid) ||
	    !bl_json_set_int(json, "start_time", (int64_t)container->start_time))
		return NULL;
	if (container->name && !bl_json_set_string(json, "container", container->name))
		return NULL;
	if (container->state != BL_CONTAINER_FAILED)
		return TAKE_PTR(json);
	error = bl_json_set_object(json, "problem");
	return error && bl_problem_to_json(&container->problem, error) ? TAKE_PTR(json) : NULL;
}

void bl_container_reply(const struct bl_container *container, struct bl_request *request)
{
	bool put = strcmp(request->route->method, "PUT") == 0;
	bool post = strcmp(request->route->method, "POST") == 0;
	struct bl_err err = {0};
	auto_json json = NULL;

	if (put && container->state == BL_CONTAINER_FAILED) {
		bl_http_problem(request, container->problem.status, container->problem.class,
				bl_problem_title(&container->problem), container->problem.detail);
		return;
	}
	if (put && container->state == BL_CONTAINER_ENDED) {
		bl_http_problem(request, 409, "conflict", "The container is gone",
				"the container's process has ended");
		return;
	}
	if (container->state == BL_CONTAINER_READY &&
	    bl_store_paths_check(container->containers->store, &err) < 0) {
		bl_http_problem(request, 500, BL_JOB_INTERNAL, "The agent failed", err.msg);
		return;
	}
	json = put ? answer(container) : bl_containers_describe(container);
	if (!json)
		bl_http_problem(request, 500, BL_JOB_INTERNAL, "The agent failed",
				"out of memory; try again");
	else
		bl_http_answer(request,
			       post || (put && container->state == BL_CONTAINER_PENDING) ? 202
											 : 200,
			       json);
}
