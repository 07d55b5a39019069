/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a transfer: asked for, opened, synced, checked, done, and brought again where their
 * content was refused.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/outlet.h"
#include "fetch/transfer_impl.h"

#define MAX_SETTLING 256		  /* done, and not yet settled */
#define MAX_AGAIN    2			  /* times that one file's content may be refused */
#define SYNC_LEAST   (INT64_C(256) << 10) /* bytes between two syncs of a file */
#define SYNC_SHARE   8			  /* of the time so far is what may be lost, ... */
#define SYNC_SOONEST 100		  /* ... ms, but not less ... */
#define SYNC_LATEST  2000		  /* ... and not more */
#define SYNC_SPARED  400		  /* ms before a file's end: being done comes as soon */
#define WRITE_BACK   (INT64_C(64) << 20)  /* bytes after which writing to disk is begun */

static struct bl_arrival *find_file(struct bl_transfer *transfer, const struct bl_entry *entry)
{
	for (size_t i = 0; i < transfer->n_files; i++)
		if (transfer->files[i]->entry == entry)
			return transfer->files[i];
	return NULL;
}

static void drop_file(struct bl_transfer *transfer, struct bl_arrival *file)
{
	for (size_t i = 0; i < transfer->n_files; i++) {
		if (transfer->files[i] != file)
			continue;
		memmove(&transfer->files[i], &transfer->files[i + 1],
			(transfer->n_files - i - 1) * sizeof(struct bl_arrival *));
		transfer->n_files--;
		break;
	}
	bl_arrival_free(file);
}

static int ask_for(struct bl_transfer *transfer, const struct bl_entry *entry, struct bl_err *err)
{
	struct bl_arrival *file = NULL;
	int rc = bl_arrival_new(entry, &file, err);

	if (rc < 0)
		return rc;
	transfer->files[transfer->n_files++] = file;
	return transfer->sink->open(transfer->sink->ctx, transfer, entry, err);
}

/* Another digest than was promised, by our own computing or the sink's. */
static int bring_again(struct bl_transfer *transfer, const struct bl_entry *entry,
		       struct bl_err *err)
{
	struct again *again = transfer->agains;

	while (again < transfer->agains + transfer->n_agains && again->entry != entry)
		again++;
	if (again == transfer->agains + MAX_AGAINS || again->times == MAX_AGAIN)
		return bl_err_set(
			err, BL_EX_RETRY, EILSEQ,
			"'%.200s' does not have the digest that its origin promises, after "
			"%d tries; its owner should upload it again",
			entry->path, MAX_AGAIN + 1);
	if (again == transfer->agains + transfer->n_agains)
		transfer->n_agains++;
	again->entry = entry;
	again->times++;
	again->pending = true;
	transfer->left += entry->size;
	return 0;
}

/* A local file must still be what it was when its first byte was taken. */
static int check_local(struct bl_transfer *transfer, const struct bl_arrival *file,
		       struct bl_err *err)
{
	auto_location now = BL_LOCATION_INIT;

	if (!file->located || file->location.url)
		return 0;
	return transfer->ops->locate(transfer->state, file->entry, true, &now, err);
}

static int conclude(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	const struct bl_entry *entry = file->entry;
	bool good = file->good;

	drop_file(transfer, file);
	transfer->settling++;
	return transfer->sink->done(transfer->sink->ctx, transfer, entry, good, err);
}

/* While the worker is at it, its descriptor stays open. */
static int check(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	int rc = bl_arrival_check(file, transfer->worker, err);

	return rc <= 0 ? rc : conclude(transfer, file, err);
}

static int end_frames(struct bl_arrival *file, struct bl_err *err)
{
	int rc = bl_outlet_end(file);

	file->ended = true;
	return rc < 0 ? bl_err_sys(err, -rc, "tell the agent") : 0;
}

int bl_transfer_finish_file(struct bl_transfer *transfer, struct bl_arrival *file,
			    struct bl_err *err)
{
	int rc;

	if (file->work != BL_ARRIVAL_NONE || file->ended)
		return 0;
	if ((rc = check_local(transfer, file, err)) < 0)
		return rc;
	return file->framed ? end_frames(file, err) : check(transfer, file, err);
}

int bl_transfer_written(struct bl_transfer *transfer, int64_t number, struct bl_err *err)
{
	for (size_t i = 0; i < transfer->n_files; i++) {
		struct bl_arrival *file = transfer->files[i];

		if (!file->ended || file->in_place || file->number != number)
			continue;
		file->in_place = true;
		return check(transfer, file, err);
	}
	return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "a file is said to be written that is not");
}

/* What has arrived of the file, by lanes that are still at it too: what those hold is written first, which
 * on slow connections would take seconds to fill a piece. */
static int take_snapshot(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	int rc = 0;

	bl_ranges_done(&file->snapshot);
	for (size_t i = 0; rc >= 0 && i < file->arrived.count; i++)
		rc = bl_ranges_add(&file->snapshot, file->arrived.at[i].from,
				   file->arrived.at[i].to, err);
	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];

		if (lane->file != file || !lane->judged)
			continue;
		if (bl_lane_flush(lane) < 0) {
			*err = lane->err;
			return lane->rc;
		}
		rc = bl_ranges_add(&file->snapshot, lane->from, lane->at, err);
	}
	return rc;
}

/* Seldom in a long download, often at its beginning. */
static bool is_sync_due(const struct bl_transfer *transfer, const struct bl_arrival *file)
{
	int64_t pause = (transfer->now - transfer->began) / SYNC_SHARE;

	if (pause < SYNC_SOONEST)
		pause = SYNC_SOONEST;
	if (pause > SYNC_LATEST)
		pause = SYNC_LATEST;
	return transfer->now - file->synced_at >= pause;
}

static int sync_file(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	double rate = transfer->pace.lane_rate * transfer->busy;
	int rc = take_snapshot(transfer, file, err);

	if (rc < 0)
		return rc;
	int64_t bytes = bl_ranges_total(&file->snapshot);
	file->synced_at = transfer->now;
	if (!transfer->sink->have || bytes - file->synced < SYNC_LEAST ||
	    (double)(file->entry->size - bytes) < rate * SYNC_SPARED)
		return 0;
	file->synced = bytes;
	bl_arrival_sync(file, transfer->worker);
	return 0;
}

/* Small files are not worth it. */
int bl_transfer_sync_files(struct bl_transfer *transfer, struct bl_err *err)
{
	bool push = transfer->sink->have && transfer->arrived - transfer->pushed >= WRITE_BACK;
	int rc = 0;

	if (push)
		transfer->pushed = transfer->arrived;
	for (size_t i = 0; rc >= 0 && i < transfer->n_files; i++) {
		struct bl_arrival *file = transfer->files[i];

		if (!file->open || file->work != BL_ARRIVAL_NONE || file->entry->size < SYNC_LEAST)
			continue;
		if (is_sync_due(transfer, file))
			rc = sync_file(transfer, file, err);
		else if (push)
			bl_arrival_write_back(file, transfer->worker);
	}
	return rc;
}

int bl_transfer_handle_worked(struct bl_transfer *transfer, struct bl_err *err)
{
	struct bl_task *task;
	int rc = 0;

	while (rc >= 0 && (task = bl_worker_finished(transfer->worker))) {
		struct bl_arrival *file = (struct bl_arrival *)task;
		enum bl_arrival_work work = file->work;

		file->work = BL_ARRIVAL_NONE;
		if (file->work_rc < 0) {
			*err = file->work_err;
			return file->work_rc;
		}
		if (work == BL_ARRIVAL_DIGEST) {
			rc = conclude(transfer, file, err);
			continue;
		}
		if (work == BL_ARRIVAL_SYNC)
			rc = transfer->sink->have(transfer->sink->ctx, file->entry, &file->snapshot,
						  err);
		if (rc >= 0 && bl_arrival_is_complete(file))
			rc = bl_transfer_finish_file(transfer, file, err);
	}
	return rc;
}

int bl_transfer_opened(struct bl_transfer *transfer, const struct bl_entry *entry, int fd,
		       int64_t number, struct bl_ranges *have, struct bl_err *err)
{
	struct bl_arrival *file = find_file(transfer, entry);
	int rc;

	if (!file || file->open) {
		bl_cleanup_fd(&fd);
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "'%.200s' was opened unasked",
				  entry->path);
	}
	file->fd = fd;
	file->framed = number >= 0;
	file->number = file->framed ? (uint32_t)number : 0;
	file->open = true;
	if ((rc = bl_ranges_add(&file->unasked, 0, entry->size, err)) < 0)
		return rc;
	for (size_t i = 0; i < have->count; i++)
		if ((rc = bl_ranges_remove(&file->unasked, have->at[i].from, have->at[i].to, err)) <
		    0)
			return rc;
	/* What is there is of the version that was listed: what an origin says of it is to be that. */
	if (have->count > 0 && entry->etag) {
		file->version = strdup(entry->etag);
		file->version_origin = strdup("");
		if (!file->version || !file->version_origin)
			return bl_err_nomem(err);
	}
	file->arrived = *have;
	*have = (struct bl_ranges){0};
	transfer->left -= bl_ranges_total(&file->arrived);
	file->synced_at = transfer->now;
	file->synced = bl_ranges_total(&file->arrived);
	return bl_arrival_is_complete(file) ? bl_transfer_finish_file(transfer, file, err) : 0;
}

int bl_transfer_skipped(struct bl_transfer *transfer, const struct bl_entry *entry,
			struct bl_err *err)
{
	struct bl_arrival *file = find_file(transfer, entry);

	if (!file || file->open)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "'%.200s' was skipped unasked",
				  entry->path);
	transfer->left -= entry->size;
	drop_file(transfer, file);
	return 0;
}

int bl_transfer_settled(struct bl_transfer *transfer, const struct bl_entry *entry, bool accepted,
			struct bl_err *err)
{
	if (transfer->settling == 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "'%.200s' was settled unasked",
				  entry->path);
	transfer->settling--;
	return accepted ? 0 : bring_again(transfer, entry, err);
}

/* ---- Asking for files ---- */

static int64_t todo_bytes(const struct bl_transfer *transfer)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < transfer->n_files; i++)
		bytes += transfer->files[i]->open ? bl_ranges_total(&transfer->files[i]->unasked)
						  : transfer->files[i]->entry->size;
	return bytes;
}

/* Asks for more files while those on their way do not keep all lanes busy for long. */
int bl_transfer_admit(struct bl_transfer *transfer, struct bl_err *err)
{
	int64_t enough = transfer->pace.lanes * bl_pace_chunk(&transfer->pace, transfer->left);

	while (transfer->n_files < MAX_FILES && transfer->settling < MAX_SETTLING &&
	       todo_bytes(transfer) < enough) {
		struct again *again = transfer->agains;
		const struct bl_entry *entry;

		while (again < transfer->agains + transfer->n_agains && !again->pending)
			again++;
		if (again < transfer->agains + transfer->n_agains) {
			again->pending = false;
			entry = again->entry;
		} else if (transfer->next < transfer->to_bring) {
			entry = bl_manifest_at(transfer->manifest,
					       transfer->order[transfer->next++]);
		} else {
			return 0;
		}
		int rc = ask_for(transfer, entry, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
