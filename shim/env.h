/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's environment: the image's own as the runtime gives it, the platform's variables, and
 * those of the spec, in which the names that the platform routes by are reserved.
 */
#ifndef BL_SHIM_ENV_H
#define BL_SHIM_ENV_H

#include <stddef.h>

#include "common/contract.h"
#include "shim/say.h"
#include "shim/user.h"

struct bl_err;
struct bl_orders;

struct bl_env {
	const char **list; /* owned, NULL-terminated; entries point elsewhere or below */
	size_t count;
	const char *home; /* what $HOME will be, without "HOME=" */
	char user_entry[sizeof("USER=") + BL_USER_NAME_MAX];
	char logname_entry[sizeof("LOGNAME=") + BL_USER_NAME_MAX];
	/* The home's, then PYTHON_EXECUTABLE's: as close as they come, pages are time. */
	char entries[sizeof("HOME=") + BL_MAX_PATH + sizeof("PYTHON_EXECUTABLE=") + BL_MAX_PATH];
};

#define auto_env __attribute__((cleanup(bl_env_done))) struct bl_env

/*
 * Builds ret->list (ret is zero-initialised by the caller) from `image`, the environment that the
 * runtime gave:
 *   - of a name that comes more than once, the last value at the first one's place;
 *   - HOME: the spec's variables, else config.json's unless it is `/`, or `/root` for a server that
 *     is not root, else passwd's if it is absolute and not `/`, else /root for root and /home/app;
 *   - the spec's variables win over the image's, the later over the earlier; reserved ones are
 *     dropped and said;
 *   - APP_HOME, USER, LOGNAME and PYTHON_EXECUTABLE (the first python3 on PATH) where nobody set them.
 */
int bl_env_build(struct bl_env *ret, const char *const *image, const struct bl_orders *orders,
		 const struct bl_user *user, bl_say_fn *say, struct bl_err *err);

/* The value of a variable (name without `=`), or NULL. */
const char *bl_env_get(const struct bl_env *env, const char *name);

void bl_env_done(struct bl_env *env);

#endif
