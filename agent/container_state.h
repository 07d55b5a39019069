/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside containers: containers.c has their lives, container_json.c what is said of them. Only
 * these two, and agent/api.c for its answers, include it.
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

#endif
