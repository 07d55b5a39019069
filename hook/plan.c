// SPDX-License-Identifier: Apache-2.0
#include "hook/plan.h"

#include <stdio.h>
#include <string.h>

#include "common/attach.h"
#include "common/contract.h"
#include "common/err.h"
#include "hook/annotations.h"
#include "hook/bundle.h"
#include "hook/options.h"

void bl_plan_done(struct bl_plan *plan)
{
	bl_weights_done(&plan->weights);
	bl_json_free(&plan->docker_server);
	bl_json_free(&plan->environment);
	bl_json_free(&plan->secrets);
	bl_json_free(&plan->wait);
	*plan = (struct bl_plan){0};
}

/* ---- The annotations' texts ---- */

static int parse_object(const char *text, bl_json **ret, struct bl_err *err)
{
	static const struct bl_json_limits limits = {.max_bytes = BL_MAX_ANNOTATION};
	int r = bl_json_parse(text, strlen(text), &limits, ret, err);

	if (r == 0 && !bl_json_is_object(*ret))
		return bl_err_config(err, "must be an object, not %s", bl_json_kind(*ret));
	return r;
}

static int read_start_command(struct bl_plan *plan, struct bl_err *err)
{
	int r = bl_json_get_string(plan->docker_server, "start_command", &plan->start_command, err);

	if (r == 1 && plan->start_command[strspn(plan->start_command, " \t\r\n")] == '\0')
		return bl_err_config(err, "start_command: is empty");
	return r;
}

static int read_run_as(struct bl_plan *plan, struct bl_err *err)
{
	int64_t id = 0;
	int r = bl_json_get_int(plan->docker_server, "run_as_user_id", 0, BL_UID_MAX, &id, err);

	if (r <= 0)
		return r;
	if (id < BL_UID_MIN)
		return bl_err_config(err, "run_as_user_id: 0 (root) is not allowed");
	if (id == BL_UID_DEFAULT)
		return bl_err_config(err, "run_as_user_id: 60000 (the platform's default) is not "
					  "allowed: leave it out");
	plan->has_run_as = true;
	plan->run_as = (uint32_t)id;
	return 0;
}

/* As Truss writes what is not set. A user is never absent by accident: null there stays, and is wrong. */
static void drop_nulls(bl_json *docker_server)
{
	static const char *const keys[] = {"start_command", "no_build", "init"};
	const bl_json *value;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (bl_json_get(docker_server, keys[i], &value, NULL) > 0 && bl_json_is_null(value))
			bl_json_remove(docker_server, keys[i]);
}

static int read_docker_server(const char *text, struct bl_plan *plan, struct bl_err *err)
{
	static const char *const known[] = {
		"start_command",
		"run_as_user_id",
		"no_build",
		"init",
		/* Truss's, for what routes requests to the server; nothing here needs them. */
		"server_port",
		"predict_endpoint",
		"readiness_endpoint",
		"liveness_endpoint",
		NULL,
	};
	int r = parse_object(text, &plan->docker_server, err);

	if (r == 0)
		r = bl_json_only_keys(plan->docker_server, known, err);
	if (r == 0)
		drop_nulls(plan->docker_server);
	if (r == 0)
		r = read_start_command(plan, err);
	if (r >= 0)
		r = read_run_as(plan, err);
	if (r >= 0)
		r = bl_json_get_bool(plan->docker_server, "no_build", &plan->no_build, err);
	plan->init = plan->start_command != NULL;
	if (r >= 0)
		r = bl_json_get_bool(plan->docker_server, "init", &plan->init, err);
	return r < 0 ? r : 0;
}

static int read_environment(const char *text, struct bl_plan *plan, struct bl_err *err)
{
	int r = parse_object(text, &plan->environment, err);

	for (const bl_json *m = r == 0 ? bl_json_first(plan->environment) : NULL; m;
	     m = bl_json_next(m)) {
		const char *name = bl_json_key(m);

		if (!*name || strchr(name, '='))
			return bl_err_config(err, "$[\"%.64s\"]: is no variable's name", name);
		if (!bl_json_is_string(m))
			return bl_err_config(err,
					     "$[\"%.64s\"]: must be a string, not %s; write it in "
					     "quotes",
					     name, bl_json_kind(m));
	}
	return r;
}

static int read_secrets(const char *text, struct bl_plan *plan, struct bl_err *err)
{
	static const struct bl_json_limits limits = {.max_bytes = BL_MAX_ANNOTATION};
	int r = bl_json_parse(text, strlen(text), &limits, &plan->secrets, err);
	size_t i = 0;

	if (r < 0)
		return r;
	if (!bl_json_is_array(plan->secrets))
		return bl_err_config(err, "must be an array of secrets' names, not %s",
				     bl_json_kind(plan->secrets));
	if (bl_json_length(plan->secrets) > BL_MAX_SECRETS)
		return bl_err_config(err, "has more than %d names", BL_MAX_SECRETS);
	for (const bl_json *e = bl_json_first(plan->secrets); e; e = bl_json_next(e), i++) {
		const char *name = bl_json_string(e);

		if (!name || !bl_weights_is_secret_name(name))
			return bl_err_config(err,
					     "$[%zu]: is no secret's name: letters, digits and, "
					     "inside, \".\", \"_\", \"-\"",
					     i);
		for (const bl_json *b = bl_json_first(plan->secrets); b != e; b = bl_json_next(b))
			if (strcmp(bl_json_string(b), name) == 0)
				return bl_err_config(err, "$[%zu]: \"%s\" stands twice", i, name);
	}
	return 0;
}

static int read_wait(const char *text, const struct bl_bundle *bundle,
		     const struct bl_options *options, struct bl_plan *plan, struct bl_err *err)
{
	static const char *const known[] = {"timeout", "on_timeout", NULL};
	enum bl_on_timeout on_timeout = BL_ON_TIMEOUT_DEFAULT;
	const char *value = NULL;
	int64_t timeout = 0;
	int r = parse_object(text, &plan->wait, err);

	if (r == 0)
		r = bl_json_only_keys(plan->wait, known, err);
	if (r == 0)
		r = bl_json_get_string(plan->wait, "timeout", &value, err);
	if (r == 1) {
		r = bl_options_duration(value, &timeout, err);
		if (r < 0)
			bl_err_wrap(err, "timeout: ");
		else if (timeout < options->timeout)
			plan->timeout = timeout;
	}
	if (r >= 0)
		r = bl_json_get_string(plan->wait, "on_timeout", &value, err);
	if (r == 1) {
		r = bl_options_on_timeout(value, &on_timeout, err);
		if (r < 0)
			bl_err_wrap(err, "on_timeout: ");
	}
	if (r < 0 || on_timeout == BL_ON_TIMEOUT_DEFAULT)
		return r < 0 ? r : 0;
	plan->defer = on_timeout == BL_ON_TIMEOUT_DEFER;
	if (plan->defer && !bundle->json)
		return bl_err_refuse(err, "on_timeout: the runtime names no bundle, so that the "
					  "shim would wait is not known");
	if (plan->defer && !plan->shim)
		return bl_err_config(err,
				     "on_timeout: \"defer\" needs the shim, which waits for the "
				     "weights in the container: let process.args begin with "
				     "\"" BL_BOX_SHIM "\"");
	return 0;
}

/* ---- What they mean together ---- */

/* A runtime hides these after its hooks have run: the weights would be mounted, and not be seen. */
static int check_masked(const char *location, const struct bl_bundle *bundle, struct bl_err *err)
{
	const bl_json *first = bundle->masked ? bl_json_first(bundle->masked) : NULL;

	for (const bl_json *e = first; e; e = bl_json_next(e)) {
		const char *path = bl_json_string(e);
		size_t len = strlen(path);

		while (len > 1 && path[len - 1] == '/')
			len--;
		if (len > 1 && strncmp(location, path, len) == 0 &&
		    (location[len] == '/' || location[len] == '\0'))
			return bl_err_config(err,
					     "linux.maskedPaths has '%.200s', which would hide the "
					     "weights: take it out, or choose another directory",
					     path);
	}
	return 0;
}

static int check_locations(const struct bl_plan *plan, const struct bl_bundle *bundle,
			   struct bl_err *err)
{
	const bl_json *mounts = bundle->mounts ? bl_json_first(bundle->mounts) : NULL;

	for (size_t i = 0; i < plan->weights.count; i++) {
		const char *location = plan->weights.items[i].mount_location;
		size_t len = strlen(location);
		int r = bl_attach_check_location(location, err);

		if (r == 0)
			r = check_masked(location, bundle, err);
		if (r < 0) {
			bl_err_wrap(err, "$[%zu].mount_location: ", i);
			return r;
		}
		for (const bl_json *m = mounts; m; m = bl_json_next(m)) {
			const char *destination = NULL;

			r = bl_json_get_string(m, "destination", &destination, NULL);
			if (r == 1 && strncmp(destination, location, len) == 0 &&
			    destination[len] == '/' && destination[len + 1])
				return bl_err_config(err,
						     "$[%zu].mount_location: the weights would "
						     "hide the container's own mount '%.200s'",
						     i, destination);
		}
	}
	return 0;
}

static int read_weights(const char *text, const struct bl_bundle *bundle, struct bl_plan *plan,
			struct bl_err *err)
{
	int r = bl_weights_parse(text, strlen(text), &plan->weights, err);

	return r < 0 ? r : check_locations(plan, bundle, err);
}

/* The user that the server will run as: the shim's rules, or the runtime's. */
static uint32_t server_uid(const struct bl_plan *plan, const struct bl_bundle *bundle)
{
	if (!plan->shim)
		return bundle->uid;
	if (plan->has_run_as)
		return plan->run_as;
	return plan->no_build || bundle->uid != 0 ? bundle->uid : BL_UID_DEFAULT;
}

static int check_without_shim(const struct bl_plan *plan, const struct bl_bundle *bundle,
			      struct bl_err *err)
{
	if (plan->start_command)
		return bl_err_config(err,
				     "start_command: the container's command must be the shim: "
				     "let process.args (a Pod's command) begin with "
				     "\"" BL_BOX_SHIM "\"");
	if (plan->init)
		return bl_err_config(err,
				     "init: needs the shim: let process.args (a Pod's command) "
				     "begin with \"" BL_BOX_SHIM "\"");
	if (plan->has_run_as && plan->run_as != bundle->uid)
		return bl_err_config(err,
				     "run_as_user_id: is %u and process.user.uid is %u: make "
				     "them the same, or let process.args begin with "
				     "\"" BL_BOX_SHIM "\"",
				     plan->run_as, bundle->uid);
	return 0;
}

static int check_with_shim(const struct bl_plan *plan, const struct bl_bundle *bundle,
			   struct bl_err *err)
{
	if (plan->server_uid != bundle->uid && !bundle->may_set_ids)
		return bl_err_config(err,
				     "run_as_user_id: the shim starts as uid %u without "
				     "CAP_SETUID and CAP_SETGID, so it cannot become uid %u: "
				     "give the process both%s, or start it as that user",
				     bundle->uid, plan->server_uid,
				     bundle->uid ? " (ambient too, since it is not root)" : "");
	return 0;
}

/* Without a bundle nobody can tell who the server is, nor whether the shim runs. */
static int check_unknown(const struct bl_annotations *annotations, struct bl_err *err)
{
	static const enum bl_annotation need[] = {BL_ANNOTATION_DOCKER_SERVER,
						  BL_ANNOTATION_ENVIRONMENT, BL_ANNOTATION_SECRETS};

	for (size_t i = 0; i < sizeof(need) / sizeof(*need); i++)
		if (annotations->values[need[i]].text)
			return bl_err_refuse(err,
					     "%s: the runtime names no bundle, so the "
					     "container's user and command are not known",
					     annotations->values[need[i]].key);
	return 0;
}

static int read_value(enum bl_annotation which, const char *text, const struct bl_bundle *bundle,
		      const struct bl_options *options, struct bl_plan *plan, struct bl_err *err)
{
	switch (which) {
	case BL_ANNOTATION_WEIGHTS:
		return read_weights(text, bundle, plan, err);
	case BL_ANNOTATION_DOCKER_SERVER:
		return read_docker_server(text, plan, err);
	case BL_ANNOTATION_ENVIRONMENT:
		if (!plan->shim)
			return bl_err_config(err, "needs the shim: let process.args (a Pod's "
						  "command) begin with \"" BL_BOX_SHIM "\"");
		return read_environment(text, plan, err);
	case BL_ANNOTATION_SECRETS:
		return read_secrets(text, plan, err);
	default:
		return read_wait(text, bundle, options, plan, err);
	}
}

static int read_values(const struct bl_annotations *annotations, const struct bl_bundle *bundle,
		       const struct bl_options *options, struct bl_plan *plan, struct bl_err *err)
{
	for (size_t i = 0; i < BL_ANNOTATION_COUNT; i++) {
		int r;

		if (!annotations->values[i].text)
			continue;
		r = read_value((enum bl_annotation)i, annotations->values[i].text, bundle, options,
			       plan, err);
		if (r < 0) {
			bl_err_wrap(err, "%s: ", annotations->values[i].key);
			return r;
		}
	}
	return 0;
}

/*
 * A runtime enters the working directory before the shim waits, when only the empty placeholder is there.
 * Where that would fail nothing is handed over.
 */
static int check_directory(const struct bl_annotations *annotations, const struct bl_bundle *bundle,
			   struct bl_plan *plan, struct bl_err *err)
{
	const bl_json *asked = NULL;

	for (size_t i = 0; plan->defer && bundle->cwd && i < plan->weights.count; i++) {
		const char *location = plan->weights.items[i].mount_location;
		size_t len = strlen(location);

		if (strncmp(bundle->cwd, location, len) != 0 || bundle->cwd[len] != '/' ||
		    bundle->cwd[len + 1 + strspn(bundle->cwd + len + 1, "/.")] == '\0')
			continue;
		if (plan->wait && bl_json_get(plan->wait, "on_timeout", &asked, NULL) > 0)
			return bl_err_config(
				err,
				"%s: on_timeout: \"defer\" cannot be where process.cwd "
				"'%.200s' lies in weights: the runtime enters it before they "
				"are there; let it be '%.200s' and start_command begin with cd",
				annotations->values[BL_ANNOTATION_WAIT].key, bundle->cwd, location);
		plan->defer = false;
	}
	return 0;
}

/* HOME counts unless the runtime is known to have made it up. */
static const char *home_of(const struct bl_plan *plan, const struct bl_bundle *bundle)
{
	if (!bundle->home || bundle->home[0] != '/' || strcmp(bundle->home, "/") == 0)
		return NULL;
	if (strcmp(bundle->home, "/root") == 0 && plan->server_uid != 0)
		return NULL;
	return bundle->home;
}

int bl_plan_make(const struct bl_annotations *annotations, const struct bl_bundle *bundle,
		 const struct bl_options *options, struct bl_plan *ret, struct bl_err *err)
{
	auto_plan plan = {
		.tenant = annotations->tenant,
		.container = annotations->container,
		.weights_key = annotations->values[BL_ANNOTATION_WEIGHTS].key,
		.timeout = options->timeout,
		.shim = bundle->command && strcmp(bundle->command, BL_BOX_SHIM) == 0,
		.superblock = bundle->may_remount,
	};
	int r = bundle->json ? 0 : check_unknown(annotations, err);

	plan.defer = plan.shim && options->on_timeout != BL_ON_TIMEOUT_FAIL;
	if (r == 0 && bundle->json && !bundle->own_mounts)
		r = bl_err_refuse(err, "the container has no mount namespace of its own: let "
				       "linux.namespaces have {\"type\":\"mount\"} without a path");
	if (r == 0)
		r = read_values(annotations, bundle, options, &plan, err);
	if (r == 0)
		r = check_directory(annotations, bundle, &plan, err);
	if (r < 0)
		return r;
	plan.server_uid = server_uid(&plan, bundle);
	plan.home = home_of(&plan, bundle);
	r = plan.shim ? check_with_shim(&plan, bundle, err)
		      : check_without_shim(&plan, bundle, err);
	if (r < 0) {
		const char *key = annotations->values[BL_ANNOTATION_DOCKER_SERVER].key;

		bl_err_wrap(err, "%s: ", key ? key : BL_KEY_DOCKER_SERVER);
		return r;
	}
	*ret = plan;
	plan = (struct bl_plan){0};
	return 0;
}
