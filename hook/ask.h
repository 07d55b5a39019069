/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the node agent for a container's weights, waiting for them, and handing the waiting over.
 * The agent is root's, and its answers are still checked in every part before they are used.
 */
#ifndef BL_ASK_H
#define BL_ASK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/json.h"
#include "common/mount.h"

struct bl_agent;
struct bl_attach_item;
struct bl_err;
struct bl_plan;

/* The container as the agent is to know it. Texts are borrowed. */
struct bl_ask {
	const char *id;
	const char *bundle; /* "/" where there is none */
	pid_t pid;
	uint64_t start_time;
	/* Called for each sign of life while the weights are on their way. */
	void (*progress)(const char *text);
};

struct bl_ready_weights {
	const char *path; /* borrowed from json */
	enum bl_mount_kind kind;
};

/* The agent's answer, checked; texts are borrowed from json. */
struct bl_ready {
	bl_json *json;			  /* owned */
	struct bl_ready_weights *weights; /* owned; in the plan's order */
	const char *empty;		  /* NULL without */
	const bl_json *environment;	  /* object of strings, NULL without */
};

void bl_ready_done(struct bl_ready *ready);
#define auto_ready __attribute__((cleanup(bl_ready_done))) struct bl_ready

/*
 * Asks until the weights are there (1) or `until` has come (0, *ret has the environment only).
 * `until` is on bl_agent_now()'s clock.
 */
int bl_ask_weights(struct bl_agent *agent, const struct bl_ask *ask, const struct bl_plan *plan,
		   int64_t until, struct bl_ready *ret, struct bl_err *err);

/* Takes an answer with the given status apart: 1 ready, 0 pending. Owns *json from here on. */
int bl_ask_read(int status, bl_json **json, const struct bl_plan *plan, struct bl_ready *ret,
		struct bl_err *err);

/* Leaves the rest to the agent, over exactly these placeholders. */
int bl_ask_defer(struct bl_agent *agent, const struct bl_ask *ask, const struct bl_plan *plan,
		 const struct bl_attach_item *placeholders, bool exec, struct bl_err *err);

/* Tells that the container has ended. */
int bl_ask_end(struct bl_agent *agent, const char *id, struct bl_err *err);

#endif
