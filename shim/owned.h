/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories that the platform gives to the server's user: /app, /workspace, /packages and
 * $HOME. The image may have planted anything in them, and the shim is root: so all is done on
 * handles, no link is followed and no mount entered, and a file that has a name elsewhere too is
 * left alone.
 */
#ifndef BL_SHIM_OWNED_H
#define BL_SHIM_OWNED_H

#include "shim/say.h"

struct bl_user;

/*
 * Gives what exists of them to user; makes `home` where it is missing. What cannot be changed is
 * said and is no failure: a read-only root filesystem is an ordinary one. Does nothing where this
 * process is not root, or the server is to be.
 */
void bl_owned_give(const struct bl_user *user, const char *home, bl_say_fn *say);

#endif
