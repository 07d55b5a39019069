/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the spec says, read whole and checked before the shim does anything: a spec that is wrong
 * anywhere is carried out nowhere.
 */
#ifndef BL_SHIM_ORDERS_H
#define BL_SHIM_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct bl_err;

struct bl_orders {
	struct bl_buf bytes;	   /* owned: the spec; all that follows points into it */
	const char **texts;	   /* owned: where env and mounts lie */
	const char *start_command; /* or NULL */
	const char *home;	   /* or NULL */
	const char **env;	   /* NAME=VALUE */
	size_t env_count;
	const char **mounts; /* absolute locations */
	size_t mount_count;
	const void *filter; /* struct sock_filter[] or NULL */
	unsigned short filter_count;
	uint32_t flags; /* BL_SPEC_FLAG_* */
	uint64_t keep_caps;
	bool has_run_as;
	uint32_t run_as;
	bool has_user;
	uint32_t user_uid, user_gid;
};

#define auto_orders __attribute__((cleanup(bl_orders_done))) struct bl_orders

/* Reads the spec at path. *ret is zero-initialised by the caller, and done with bl_orders_done(). */
int bl_orders_read(struct bl_orders *ret, const char *path, struct bl_err *err);

/* The same from ret->bytes. The bytes are changed: texts are ended where they stand. */
int bl_orders_parse(struct bl_orders *ret, struct bl_err *err);

void bl_orders_done(struct bl_orders *orders);

#endif
