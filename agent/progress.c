// SPDX-License-Identifier: Apache-2.0
#include "agent/progress.h"

#include <stddef.h>

#include "agent/store.h"
#include "agent/work_state.h"

bool bl_progress_add(bl_json *json, const struct bl_progress *progress)
{
	bl_json *to = bl_json_set_object(json, "progress");

	return to && bl_json_set_int(to, "bytes_done", (int64_t)progress->bytes_done) &&
	       bl_json_set_int(to, "bytes_per_second", (int64_t)progress->bytes_per_second) &&
	       bl_json_set_int(to, "bytes_total", (int64_t)progress->bytes_total) &&
	       bl_json_set_int(to, "files_done", (int64_t)progress->files_done) &&
	       bl_json_set_int(to, "files_total", (int64_t)progress->files_total);
}

void bl_progress_add_tree(struct bl_progress *sum, struct bl_store *store,
			  const struct bl_digest *name)
{
	struct bl_store_tree tree;

	if (bl_store_tree_find(store, name, &tree) < 0)
		return;
	sum->bytes_done += tree.bytes;
	sum->bytes_total += tree.bytes;
	sum->files_done += tree.files;
	sum->files_total += tree.files;
}

bool bl_progress_add_files(bl_json *json, const struct bl_claim *claim)
{
	bl_json *list = bl_json_set_array(json, "under_way");

	if (!list || !claim->work)
		return list != NULL;
	for (const struct bl_flight *at = claim->work->flights; at; at = at->next) {
		bl_json *file = bl_json_set_object(list, NULL);

		if (!file || !bl_json_set_int(file, "bytes_done", (int64_t)at->written) ||
		    !bl_json_set_int(file, "bytes_total", (int64_t)at->file->size) ||
		    !bl_json_set_string(file, "path", at->file->path))
			return false;
	}
	return true;
}

bool bl_problem_to_json(const struct bl_problem *problem, bl_json *json)
{
	return bl_json_set_string(json, "class", problem->class) &&
	       bl_json_set_string(json, "detail", problem->detail) &&
	       bl_json_set_int(json, "status", problem->status) &&
	       bl_json_set_string(json, "title", bl_problem_title(problem));
}
