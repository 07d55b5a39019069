/* SPDX-License-Identifier: Apache-2.0 */
/* The node's agent as the commands ask it. An agent that is not there is told with how to start it. */
#ifndef BL_NODE_H
#define BL_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/agent_client.h"

struct bl_err;

#define BL_NODE_PATIENCE_MS 30000 /* for an answer that needs no work */

/* The one option that they share, for their tables. */
#define BL_NODE_OPTION(address)              \
	BL_OPTION_TEXT("agent", "unix:PATH", \
		       "the agent's socket (default unix:/run/ballast/agent.sock)", &(address))

/*
 * One request; address NULL is the installed agent's. Waits at most patience_ms. Returns the
 * status (200 to 299), or -errno with *err filled as common/agent_client.h has it.
 */
int bl_node_request(const char *address, const char *method, const char *path, const char *body,
		    int64_t patience_ms, struct bl_agent_answer *ret, struct bl_err *err);

/* The same where the answer must be a JSON object. */
int bl_node_ask(const char *address, const char *method, const char *path, const char *body,
		int64_t patience_ms, struct bl_agent_answer *ret, struct bl_err *err);

/* An agent that is asked more than once, and may be started anew meanwhile. */
struct bl_node_again {
	const char *address; /* borrowed; NULL is the installed agent's */
	int stop;	     /* borrowed: once this descriptor can be read, nothing is waited for */
	pid_t pid;	     /* of the agent that was asked last */
	bool another;	     /* it may be another one than the one before it */
};

/* The first time: as bl_node_ask(). */
int bl_node_ask_first(struct bl_node_again *again, const char *method, const char *path,
		      const char *body, struct bl_agent_answer *ret, struct bl_err *err);

/*
 * Every other time: the connection may break, as in the agent's restart, and the request is made again until
 * BL_NODE_PATIENCE_MS are over. For what can be asked twice without harm. -ECANCELED where it was stopped.
 */
int bl_node_ask_again(struct bl_node_again *again, const char *method, const char *path,
		      const char *body, struct bl_agent_answer *ret, struct bl_err *err);

/* An answer's "problem" member as an error. */
int bl_node_problem(const bl_json *problem, struct bl_err *err);

/* Members that an answer may lack: a default then. Texts are borrowed. */
int64_t bl_node_int(const bl_json *object, const char *key);
const char *bl_node_text(const bl_json *object, const char *key);

#endif
