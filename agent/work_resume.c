// SPDX-License-Identifier: Apache-2.0
/*
 * What an earlier try has left of the files that are to be brought. It is taken up, and so locked,
 * before room is reserved: what it has on disk is neither reserved a second time nor collected to
 * make that room.
 */
#include <stdlib.h>

#include "agent/cachedir.h"
#include "agent/store.h"
#include "agent/work_state.h"
#include "common/cleanup.h"
#include "common/err.h"

static int compare(const void *a, const void *b)
{
	return bl_digest_compare(a, b);
}

/* The file's flight where something of it is there, else NULL. */
static struct bl_flight *take_up(struct bl_work *work, struct bl_manifest_file *file,
				 const struct bl_digest *keys, size_t count)
{
	struct bl_flight *flight;
	struct bl_digest key;

	if (!bl_work_is_pinned(file) || bl_work_file_key(work, file, &key, NULL) < 0 ||
	    !bsearch(&key, keys, count, sizeof(*keys), compare))
		return NULL;
	flight = bl_work_flight_new(work, file, NULL);
	if (flight)
		(void)bl_partial_find(bl_store_dirs(work->works->store), &key, file->size,
				      &flight->partial, NULL);
	if (flight && flight->partial) {
		flight->room = file->size - flight->partial->on_disk;
		flight->written = bl_partial_have(flight->partial);
		return flight;
	}
	free(flight);
	return NULL;
}

void bl_work_resume_find(struct bl_work *work)
{
	struct bl_manifest *manifest = bl_job_manifest(work->job);
	auto_free struct bl_digest *keys = NULL;
	size_t count = 0;
	size_t found = 0;

	/* What is not found is begun anew. */
	if (bl_partial_keys(bl_store_dirs(work->works->store), &keys, &count, NULL) < 0)
		return;
	for (size_t i = 0; count > 0 && i < manifest->count && found < BL_JOB_UNDER_WAY; i++) {
		struct bl_flight *flight =
			manifest->files[i].has_sha256
				? NULL
				: take_up(work, &manifest->files[i], keys, count);

		if (!flight)
			continue;
		flight->next = work->resumed;
		work->resumed = flight;
		found++;
	}
}

uint64_t bl_work_resume_begin(struct bl_work *work)
{
	uint64_t bytes = 0;

	while (work->resumed) {
		struct bl_flight *flight = work->resumed;

		work->resumed = flight->next;
		flight->next = work->flights;
		work->flights = flight;
		bytes += flight->partial->on_disk;
		work->bytes_base += bl_partial_have(flight->partial);
	}
	return bytes;
}
