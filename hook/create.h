/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stages createRuntime and prestart: everything from a plan to attached mounts, all or nothing.
 */
#ifndef BL_CREATE_H
#define BL_CREATE_H

#include <stdint.h>

struct bl_bundle;
struct bl_err;
struct bl_options;
struct bl_plan;
struct bl_state;

struct bl_create {
	const struct bl_options *options;
	const struct bl_state *state;
	const struct bl_bundle *bundle;
	const struct bl_plan *plan;
	int64_t started; /* on bl_agent_now()'s clock: the timeout counts from here */
	void (*progress)(const char *text);
};

enum bl_created { BL_CREATED_ATTACHED, BL_CREATED_DEFERRED };

/* Returns one of enum bl_created. */
int bl_create_run(const struct bl_create *create, struct bl_err *err);

#endif
