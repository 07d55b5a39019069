/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the server is to be (docs/custom-servers.md, "User"), and what the image's own /etc/passwd and
 * /etc/group say about that user. The files are the image's: hostile, bounded, and a line that is
 * not well-formed is no line.
 */
#ifndef BL_SHIM_USER_H
#define BL_SHIM_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bl_err;
struct bl_orders;

#define BL_USER_NAME_MAX   256
#define BL_USER_HOME_MAX   4096
#define BL_USER_GROUPS_MAX 1024
#define BL_USER_FILE_MAX   (16 * 1024 * 1024) /* bytes of passwd or group */

struct bl_user {
	uid_t uid;
	gid_t gid;
	bool unchanged; /* the process is this user already, and keeps the groups it has */
	bool overrides; /* the process has CAP_DAC_OVERRIDE: no directory is closed to it */
	size_t group_count;
	char name[BL_USER_NAME_MAX];	  /* "" where passwd knows none */
	char home[BL_USER_HOME_MAX];	  /* passwd's; "" likewise */
	gid_t groups[BL_USER_GROUPS_MAX]; /* supplementary, without gid, each once */
};

/*
 * Fills gid, name and home from the first well-formed line of ret->uid: 1; 0 where there is none,
 * and then nothing is changed.
 */
int bl_user_find_passwd(struct bl_user *ret, const char *data, size_t len);

/* Adds the groups that name ret->name as a member. -E2BIG where there are too many. */
int bl_user_find_groups(struct bl_user *ret, const char *data, size_t len, struct bl_err *err);

/*
 * Decides by the orders and by what this process is and may. An error where it may not become the
 * user that it should.
 */
int bl_user_resolve(struct bl_user *ret, const struct bl_orders *orders, struct bl_err *err);

#endif
