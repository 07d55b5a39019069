/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late attach: a hook whose time was up has left placeholders and a container whose shim waits at
 * a FIFO, the gate. When the weights are there they are attached over exactly these placeholders,
 * all or none, by the hook's code (common/attach.h) in a single-threaded child: this program once
 * more, with `--late-attach`. What the shim must know goes through the gate, which we hold open
 * until the process ends:
 *
 *   progress DONE TOTAL       now and then; dropped when the gate is full
 *   mount DEV INO LOCATION    each, as fstat gives them
 *   ready | failed TEXT
 *
 * After a restart of the agent everything is said again; what was attached stays as it is. The first
 * line is void, whatever half a line of the agent before it stands there (BL_GATE_VOID).
 */
#ifndef BL_AGENT_LATE_H
#define BL_AGENT_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/loop.h"
#include "common/json.h"
#include "common/weights.h"

struct bl_err;
struct bl_late;

/* What the agent asks of a container's late attach; all borrowed. */
struct bl_late_tree {
	const char *path; /* of the tree, or of the https item's file in it */
};

/* The message of bl_late_new() is for the client: 400 or 422. */
struct bl_late_owner {
	struct bl_loop *loop;
	pid_t pid;
	unsigned long long start_time;
	/* How far it is, for the lines of progress. */
	void (*progress)(void *data, unsigned long long *done, unsigned long long *total);
	/* It is attached and said so, or it has failed for good with that message. */
	void (*over)(void *data, const char *failure);
	void *data;
};

/*
 * Checks the "mounts" of a defer request against the container's weights (each location once, of
 * the right kind) and begins to look for the gate. mounts is copied.
 */
int bl_late_new(const struct bl_late_owner *owner, const bl_json *mounts,
		const struct bl_weights *weights, struct bl_late **ret, struct bl_err *err);
/* Closes the gate; a child is killed. NULL is fine. */
void bl_late_free(struct bl_late *late);

/* The mounts as they were registered, and whether others are the same. */
const bl_json *bl_late_mounts(const struct bl_late *late);
bool bl_late_is_same(const struct bl_late *late, const bl_json *mounts);

/* The trees are there, in the order of the weights: attaches them. Once. */
void bl_late_attach(struct bl_late *late, const struct bl_late_tree *trees,
		    const struct bl_weights *weights, const char *empty);
/* They will not come. */
void bl_late_fail(struct bl_late *late, const char *text);

/* `ballastd --late-attach`: the child. Returns its exit status. */
int bl_late_child(void);
#define BL_LATE_OPTION "--late-attach"

#endif
