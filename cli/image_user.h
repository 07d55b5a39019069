/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image's User, as the image specification has it: "user", "uid", "user:group", "uid:gid" and
 * what is between; without a group those of the image's own /etc/passwd and /etc/group. The files
 * are the image's: opened within it, and bounded.
 */
#ifndef BL_IMAGE_USER_H
#define BL_IMAGE_USER_H

#include "common/json.h"

struct bl_err;

/* Sets process.user by `text`, which is not empty. BL_EX_CONFIG where the image has no such user or group. */
int bl_image_user(bl_json *process, const char *rootfs, const char *text, struct bl_err *err);

#endif
