/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside containers: containers.c has their lives, container_items.c what they ask for,
 * container_late.c those whose weights come late, container_restore.c those of an agent before,
 * container_json.c what is said of them. Only these, and agent/api.c for its answers, include it.
 */
#ifndef BL_AGENT_CONTAINER_STATE_H
#define BL_AGENT_CONTAINER_STATE_H

#include <limits.h>

#include "agent/containers.h"

bool bl_container_is_id(const char *text);

#define BL_CONTAINER_PATH (PATH_MAX + 8)

/* The path of an item's tree, or of its one file. */
int bl_container_item_path(const struct bl_container *container, size_t i,
			   char path[BL_CONTAINER_PATH]);
/* Adds up how far its items are. */
void bl_container_progress(const struct bl_container *container, struct bl_progress *sum);

/* The members of a PUT's body, NULL-terminated, and what they say (borrowed from it). */
extern const char *const bl_container_keys[];
int bl_container_parse(const bl_json *body, struct bl_container_request *ret, struct bl_err *err);

/* Parses the list and fills in weights, items, list and body. */
int bl_container_set_weights(struct bl_container *container, const bl_json *weights,
			     struct bl_err *err);

/* What its lease keeps of it; the caller's. NULL when memory ran out. */
bl_json *bl_container_to_json(const struct bl_container *container);
/* The same back: fills name, bundle and weights, which borrow from extra. */
int bl_container_from_json(const bl_json *extra, struct bl_container_request *request,
			   struct bl_err *err);

/* Answers a PUT or a GET that waits, with what the container is now. */
void bl_container_reply(const struct bl_container *container, struct bl_request *request);

/* ---- containers.c ---- */

void bl_container_tell(const struct bl_container *container, const char *what);
/* A new one, on the list, without process, lease or state. NULL with *err filled. */
struct bl_container *bl_container_new(struct bl_containers *containers,
				      const struct bl_container_request *request,
				      struct bl_err *err);
int bl_container_watch(struct bl_container *container, struct bl_err *err);
void bl_container_answer_waiters(struct bl_container *container);
/* It has what it asked for: how long that took is on record. */
void bl_container_count_wait(struct bl_container *container);
/* A pidfd of exactly that process; -ESRCH where it is gone, or the number is another's now; another
 * -errno says nothing of it. */
int bl_container_open_process(pid_t pid, uint64_t start_time);
/* Fills *problem with a 409. */
int bl_container_conflict(struct bl_problem *problem, const char *detail);

/* ---- container_items.c ---- */

/* Looks its items up, claims what is missing, puts its lease, watches its process. */
int bl_container_start(struct bl_container *container, struct bl_problem *problem);
/* A second PUT of the same: joined, or tried again where it failed. */
int bl_container_join(struct bl_container *container, struct bl_problem *problem);
/* The lease with the trees that are there, on disk. */
int bl_container_put_lease(struct bl_container *container, struct bl_problem *problem);
/* What its items' claims call. */
void bl_container_item_settled(struct bl_claim *claim, const struct bl_outcome *outcome);
/* Gives up what is on its way, and what is held for it. */
void bl_container_release_items(struct bl_container *container);

/* ---- container_late.c ---- */

int bl_container_begin_late(struct bl_container *container, const bl_json *mounts,
			    struct bl_err *err);
/* The late attach hears that the weights are there, or that they will not come. */
void bl_container_attach_late(struct bl_container *container);

#endif
