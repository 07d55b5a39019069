// SPDX-License-Identifier: Apache-2.0
#include "shim/command.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"
#include "shim/env.h"
#include "shim/exit.h"
#include "shim/orders.h"

#define SHELL	   "/bin/sh"
#define USUAL_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define EXCERPT	   60 /* bytes of a long text that a message shows */

static int too_long(const char *what, const char *text, struct bl_err *err)
{
	return bl_err_set(err, BL_SHIM_NOT_EXECUTABLE, E2BIG,
			  "%s '%.*s...' has %zu bytes: the kernel takes at most %d in one", what,
			  EXCERPT, text, strlen(text), BL_COMMAND_ARG_MAX);
}

static bool is_missing(const char *path)
{
	struct stat st;
	int ret = bl_sys_fstatat(AT_FDCWD, path, &st, 0);

	return ret == -ENOENT || ret == -ENOTDIR;
}

static int choose_start_command(struct bl_command *ret, const char *text, struct bl_err *err)
{
	int r;

	if (!is_missing(SHELL)) {
		if (strlen(text) > BL_COMMAND_ARG_MAX)
			return too_long("start_command", text, err);
		ret->shell_argv[0] = "sh";
		ret->shell_argv[1] = "-c";
		ret->shell_argv[2] = text;
		ret->argv = (char *const *)ret->shell_argv;
		ret->file = SHELL;
		return 0;
	}
	r = bl_words_split(&ret->words, text, err);
	if (r < 0)
		return r;
	ret->argv = ret->words.list;
	ret->file = ret->argv[0];
	return 0;
}

int bl_command_choose(struct bl_command *ret, const struct bl_orders *orders, char *const *rest,
		      struct bl_err *err)
{
	if (orders->start_command)
		return choose_start_command(ret, orders->start_command, err);
	if (!rest[0])
		return bl_err_config(err, "there is nothing to run: set start_command, or let the "
					  "image's own entrypoint follow " BL_BOX_SHIM);
	ret->argv = rest;
	ret->file = rest[0];
	return 0;
}

/* 0 where it may be executed. (By the real uid, which is the effective one in the shim.) */
static int check_file(const char *path)
{
	struct stat st;
	int ret = bl_sys_fstatat(AT_FDCWD, path, &st, 0);

	if (ret < 0)
		return ret;
	if (!S_ISREG(st.st_mode) || access(path, X_OK) < 0)
		return -EACCES;
	return 0;
}

/* An element of PATH (an empty one is the working directory), a slash and the name; false where
 * they do not fit. */
static bool join(char *to, size_t size, const char *dir, size_t len, const char *name)
{
	size_t name_size = strlen(name) + 1;

	if (len == 0) {
		dir = ".";
		len = 1;
	}
	if (len >= size || name_size > size - len - 1)
		return false;
	memcpy(to, dir, len);
	to[len] = '/';
	memcpy(to + len + 1, name, name_size);
	return true;
}

int bl_command_find(const char *name, const char *path, char *to, size_t size)
{
	const char *at = path ? path : USUAL_PATH;
	int ret = -ENOENT;

	if (!name[0])
		return ret;
	for (;;) {
		size_t len = strcspn(at, ":");

		if (join(to, size, at, len, name)) {
			int r = check_file(to);

			if (r == 0)
				return 0;
			if (r == -EACCES)
				ret = r;
		}
		if (!at[len])
			return ret;
		at += len + 1;
	}
}

static int too_much(const struct bl_command *command, const struct bl_env *env, struct bl_err *err)
{
	for (size_t i = 0; command->argv[i]; i++)
		if (strlen(command->argv[i]) > BL_COMMAND_ARG_MAX)
			return too_long("the argument", command->argv[i], err);
	for (size_t i = 0; i < env->count; i++)
		if (strlen(env->list[i]) > BL_COMMAND_ARG_MAX)
			return too_long("the environment variable", env->list[i], err);
	return bl_err_set(err, BL_SHIM_NOT_EXECUTABLE, E2BIG,
			  "%s: command and environment are together more than the kernel takes (a "
			  "quarter of the stack limit)",
			  command->file);
}

static int explain(const struct bl_command *command, const struct bl_env *env, int errnum,
		   const char *path, struct bl_err *err)
{
	if (errnum == E2BIG)
		return too_much(command, env, err);
	if (errnum == ENOENT && !is_missing(path))
		return bl_err_set(err, BL_SHIM_NOT_FOUND, errnum,
				  "%s: its interpreter or loader is not in the image", path);
	if (errnum == ENOENT || errnum == ENOTDIR)
		return bl_err_set(err, BL_SHIM_NOT_FOUND, errnum, "%s: not found", path);
	if (errnum == ENOEXEC)
		return bl_err_set(err, BL_SHIM_NOT_EXECUTABLE, errnum,
				  "%s: not a program of this machine, nor a script with a #! line",
				  path);
	return bl_err_set(err, BL_SHIM_NOT_EXECUTABLE, errnum, "%s: cannot be executed: %s", path,
			  strerror(errnum));
}

int bl_command_exec(const struct bl_command *command, const struct bl_env *env, struct bl_err *err)
{
	char found[BL_MAX_PATH + 1];
	const char *path = command->file;

	if (!strchr(path, '/')) {
		int ret = bl_command_find(path, bl_env_get(env, "PATH"), found, sizeof(found));

		if (ret < 0)
			return explain(command, env, -ret, path, err);
		path = found;
	}
	(void)execve(path, command->argv, (char *const *)env->list);
	return explain(command, env, errno, path, err);
}

void bl_command_done(struct bl_command *command)
{
	bl_words_done(&command->words);
}
