/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How progress is said in answers, alike for containers and pulls.
 */
#ifndef BL_AGENT_PROGRESS_H
#define BL_AGENT_PROGRESS_H

#include <stdbool.h>

#include "agent/work.h"
#include "common/json.h"

struct bl_store;

/* Adds "progress" to the object. False when memory ran out. */
bool bl_progress_add(bl_json *json, const struct bl_progress *progress);
/* Counts a tree that is there. */
void bl_progress_add_tree(struct bl_progress *sum, struct bl_store *store,
			  const struct bl_digest *tree);
/* Adds "under_way": the files that are being written now, each with path, bytes_done and
 * bytes_total. */
bool bl_progress_add_files(bl_json *json, const struct bl_claim *claim);
/* Adds class, detail and status to the object. */
bool bl_problem_to_json(const struct bl_problem *problem, bl_json *json);

#endif
