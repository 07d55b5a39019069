// SPDX-License-Identifier: Apache-2.0
#include "hook/state.h"

#include <string.h>

#include "common/contract.h"
#include "common/err.h"

#define PID_MOST 4194304 /* PID_MAX_LIMIT */

void bl_state_done(struct bl_state *state)
{
	bl_json_free(&state->json);
	*state = (struct bl_state){0};
}

bool bl_state_has_bundle(const struct bl_state *state)
{
	return state->bundle && strcmp(state->bundle, "/") != 0;
}

static int check_id(const char *id, struct bl_err *err)
{
	size_t len = strlen(id);

	if (len == 0 || len > BL_MAX_CONTAINER_ID)
		return bl_err_config(err, "id: must have 1 to %d bytes", BL_MAX_CONTAINER_ID);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)id[i] <= ' ' || id[i] == '/' || id[i] == 0x7f)
			return bl_err_config(err, "id: must hold no space, slash or control "
						  "character");
	return 0;
}

static int check_status(const char *status, struct bl_state *state, struct bl_err *err)
{
	state->stopped = strcmp(status, "stopped") == 0;
	if (state->stopped || strcmp(status, "creating") == 0 || strcmp(status, "created") == 0)
		return 0;
	return bl_err_config(err,
			     "status: '%.64s' is none of creating, created, stopped: register the "
			     "hook as createRuntime (or prestart) and as poststop",
			     status);
}

static int read_paths(struct bl_state *state, struct bl_err *err)
{
	int r = bl_json_get_string(state->json, "bundle", &state->bundle, err);

	if (r < 0)
		return r;
	if (r == 1 && state->bundle[0] != '/')
		return bl_err_config(err, "bundle: must be an absolute path");
	r = bl_json_get_string(state->json, "root", &state->root, err);
	if (r == 1 && state->root[0] == '\0')
		state->root = NULL;
	return r;
}

static int read_members(struct bl_state *state, struct bl_err *err)
{
	const char *status = NULL;
	int64_t pid = 0;
	int r = bl_json_get_string(state->json, "id", &state->id, err);

	if (r == 0)
		return bl_err_config(err, "id: is missing");
	if (r == 1)
		r = check_id(state->id, err);
	if (r == 0)
		r = bl_json_get_string(state->json, "status", &status, err);
	/* Runtimes before 1.0 of the specification left it out of what they gave to hooks. */
	if (r == 1)
		r = check_status(status, state, err);
	if (r == 0)
		r = bl_json_get_int(state->json, "pid", -1, PID_MOST, &pid, err);
	if (r < 0)
		return r;
	state->pid = (pid_t)pid;
	r = bl_json_get_object(state->json, "annotations", &state->annotations, err);
	return r < 0 ? r : read_paths(state, err);
}

int bl_state_parse(const char *text, size_t len, struct bl_state *ret, struct bl_err *err)
{
	static const struct bl_json_limits limits = {
		.max_bytes = BL_MAX_STATE, .fractions = true, .absent_nulls = true};
	auto_state state = {0};
	int r = bl_json_parse(text, len, &limits, &state.json, err);

	if (r == 0 && !bl_json_is_object(state.json))
		r = bl_err_config(err, "must be an object, not %s", bl_json_kind(state.json));
	if (r == 0)
		r = read_members(&state, err);
	if (r < 0) {
		bl_err_wrap(err, "state on standard input: ");
		return r;
	}
	*ret = state;
	state = (struct bl_state){0};
	return 0;
}
