/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is run, and how its failure to start is told: 126 and 127 as a shell gives them.
 */
#ifndef BL_SHIM_COMMAND_H
#define BL_SHIM_COMMAND_H

#include <stddef.h>

#include "shim/words.h"

struct bl_err;
struct bl_env;
struct bl_orders;

/* Bytes of one argument or variable that the kernel takes (MAX_ARG_STRLEN less the NUL). */
#define BL_COMMAND_ARG_MAX 131071

struct bl_command {
	char *const *argv;     /* NULL-terminated */
	const char *file;      /* what is executed: a path, or a name to look up on PATH */
	struct bl_words words; /* owned: argv of a start_command that was split here */
	const char *shell_argv[4];
};

/*
 * start_command through /bin/sh, or split where the image has none; else `rest`, the arguments
 * that followed the shim's own. ret is zero-initialised by the caller and not moved afterwards.
 */
int bl_command_choose(struct bl_command *ret, const struct bl_orders *orders, char *const *rest,
		      struct bl_err *err);

/*
 * Finds the executable file `name` on `path` (a PATH; NULL for the usual one) into to[size].
 * -ENOENT where there is none, -EACCES where one was found that may not be executed.
 */
int bl_command_find(const char *name, const char *path, char *to, size_t size);

/* Executes it; comes back only with an error, whose code is 126 or 127. */
int bl_command_exec(const struct bl_command *command, const struct bl_env *env, struct bl_err *err);

void bl_command_done(struct bl_command *command);

#endif
