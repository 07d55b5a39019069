// SPDX-License-Identifier: Apache-2.0
#include "cli/weights_arg.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/truss_config.h"
#include "common/cleanup.h"
#include "common/err.h"

/* Nothing is mounted: the location only makes the item whole. */
#define NOWHERE "/weights"

static bool put_patterns(bl_json *item, const char *key, char *const *patterns)
{
	bl_json *list = patterns[0] ? bl_json_set_array(item, key) : NULL;

	for (; list && *patterns; patterns++)
		if (!bl_json_set_string(list, NULL, *patterns))
			return false;
	return list || !patterns[0];
}

static int of_source(const struct bl_weights_arg *arg, const char *source, struct bl_weights *ret,
		     struct bl_err *err)
{
	auto_json list = bl_json_new_array();
	bl_json *item = list ? bl_json_set_object(list, NULL) : NULL;
	int r;

	if (!item || !bl_json_set_string(item, "source", source) ||
	    !bl_json_set_string(item, "mount_location", NOWHERE) ||
	    (arg->secret && !bl_json_set_string(item, "auth_secret_name", arg->secret)) ||
	    !put_patterns(item, "allow_patterns", arg->allow) ||
	    !put_patterns(item, "ignore_patterns", arg->ignore))
		return bl_err_nomem(err);
	r = bl_weights_from_json(list, ret, err);
	if (r < 0 && strncmp(err->msg, "$[0].", 5) == 0)
		memmove(err->msg, err->msg + 5, strlen(err->msg + 5) + 1);
	if (r < 0 && !strstr(source, "://") && access(source, F_OK) < 0)
		return bl_err_config(err,
				     "%.200s is neither a file nor a source such as "
				     "hf://owner/repo",
				     source);
	return r;
}

bool bl_weights_arg_is_source(const char *operand)
{
	return strcmp(operand, "-") != 0 && (strstr(operand, "://") || access(operand, F_OK) < 0);
}

int bl_weights_arg_read(const struct bl_weights_arg *arg, const char *operand,
			struct bl_weights *ret, struct bl_err *err)
{
	auto_truss_config truss = {0};
	int r;

	if (bl_weights_arg_is_source(operand))
		return of_source(arg, operand, ret, err);
	if (arg->secret || arg->allow[0] || arg->ignore[0])
		return bl_err_config(err,
				     "--auth-secret-name, --allow and --ignore are for a SOURCE; "
				     "%.200s has its own",
				     operand);
	r = bl_truss_config_read(operand, &truss, err);
	if (r < 0)
		return r;
	if (truss.weights.count == 0)
		return bl_err_config(err, "%.200s: has no weights", operand);
	*ret = truss.weights;
	truss.weights = (struct bl_weights){0};
	return 0;
}
