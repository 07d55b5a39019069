/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/transfer.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/lane.h"
#include "fetch/pace.h"
#include "fetch/retry.h"

#define MAX_FILES      64		    /* on their way at once */
#define MAX_SETTLING   256		    /* done, and not yet settled */
#define MAX_FAILS      6		    /* tries in a row of one file that bring no byte */
#define MAX_RELOCATED  3		    /* times in a row that a location is refused */
#define MAX_AGAIN      2		    /* times that one file's content may be refused */
#define MAX_AGAINS     64		    /* files whose content was refused */
#define STALL	       8000		    /* ms without a byte, then another connection */
#define HEDGE	       1500		    /* the same where nothing else is left to do */
#define STEAL_LEAST    (INT64_C(2) << 20)   /* bytes left of a range that are worth sharing */
#define TRICKLE_TIME   60000		    /* ms in which ... */
#define TRICKLE_BYTES  (INT64_C(64) * 1024) /* ... at least this much must come */
#define SYNC_LEAST     (INT64_C(256) << 10) /* bytes between two syncs of a file */
#define SYNC_SHARE     8		    /* of the time so far is what may be lost, ... */
#define SYNC_SOONEST   100		    /* ... ms, but not less ... */
#define SYNC_LATEST    2000		    /* ... and not more */
#define PROGRESS_EVERY 250		    /* ms */
#define TICK	       200		    /* ms, the longest wait */

/* A file whose content was refused. */
struct again {
	const struct bl_entry *entry;
	unsigned times;
	bool pending; /* not yet asked for again */
};

struct bl_transfer {
	struct bl_http *http;
	const struct bl_source_ops *ops;
	void *state;
	struct bl_manifest *manifest;
	const struct bl_sink *sink;

	CURLM *multi;
	struct bl_lane lanes[BL_PACE_MAX_LANES];
	unsigned busy; /* lanes that are not idle */
	struct bl_pace pace;
	struct bl_worker *worker;

	uint32_t *order; /* files to bring, largest first */
	size_t to_bring, next;
	struct bl_arrival *files[MAX_FILES]; /* in the order asked for */
	size_t n_files;
	size_t settling; /* done, not settled */
	struct again agains[MAX_AGAINS];
	size_t n_agains;

	int64_t now;	    /* ms, of this turn of the loop */
	int64_t arrived;    /* bytes in all */
	int64_t left;	    /* bytes not asked for, of all files */
	int64_t not_before; /* ms: the origin asked for a pause */
	int64_t told;	    /* ms of the last progress */
	int64_t trickle_since, trickle_bytes;
};

/* ---- Life ---- */

static int larger_first(const void *a, const void *b, void *manifest)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int64_t left = bl_manifest_at(manifest, i)->size, right = bl_manifest_at(manifest, j)->size;

	if (left != right)
		return left > right ? -1 : 1;
	return i < j ? -1 : 1;
}

/* Largest first: what is digested last, when nothing else is left to do, is then small. */
static int make_order(struct bl_transfer *transfer, struct bl_err *err)
{
	size_t n = bl_manifest_count(transfer->manifest);

	transfer->order = calloc(n ? n : 1, sizeof(*transfer->order));
	if (!transfer->order)
		return bl_err_nomem(err);
	for (size_t i = 0; i < n; i++) {
		const struct bl_entry *entry = bl_manifest_at(transfer->manifest, i);

		if (entry->unchanged)
			continue;
		transfer->order[transfer->to_bring++] = (uint32_t)i;
		transfer->left += entry->size;
	}
	qsort_r(transfer->order, transfer->to_bring, sizeof(*transfer->order), larger_first,
		transfer->manifest);
	return 0;
}

int bl_transfer_new(struct bl_http *http, const struct bl_source_ops *ops, void *state,
		    struct bl_manifest *manifest, const struct bl_sink *sink,
		    struct bl_transfer **ret, struct bl_err *err)
{
	auto_transfer transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return bl_err_nomem(err);
	transfer->http = http;
	transfer->ops = ops;
	transfer->state = state;
	transfer->manifest = manifest;
	transfer->sink = sink;
	transfer->multi = curl_multi_init();
	if (!transfer->multi)
		return bl_err_nomem(err);
	curl_multi_setopt(transfer->multi, CURLMOPT_MAXCONNECTS, (long)BL_PACE_MAX_LANES);
	curl_multi_setopt(transfer->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
	int rc = bl_worker_new(&transfer->worker, err);
	if (rc < 0 || (rc = make_order(transfer, err)) < 0)
		return rc;
	transfer->now = bl_retry_now();
	transfer->trickle_since = transfer->now;
	bl_pace_init(&transfer->pace, transfer->to_bring, transfer->left, transfer->now);
	*ret = TAKE_PTR(transfer);
	return 0;
}

void bl_transfer_free(struct bl_transfer **pointer)
{
	struct bl_transfer *transfer = *pointer;
	int saved = errno;

	if (!transfer)
		return;
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];

		if (lane->state == BL_LANE_ON_WIRE)
			curl_multi_remove_handle(transfer->multi, lane->wire.easy);
		bl_wire_done(&lane->wire);
	}
	bl_worker_free(&transfer->worker); /* before what its tasks point to */
	for (size_t i = 0; i < transfer->n_files; i++)
		bl_arrival_free(transfer->files[i]);
	curl_multi_cleanup(transfer->multi);
	free(transfer->order);
	free(transfer);
	*pointer = NULL;
	errno = saved;
}

/* ---- Files ---- */

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
	if (!good)
		return bring_again(transfer, entry, err);
	transfer->settling++;
	return transfer->sink->done(transfer->sink->ctx, transfer, entry, err);
}

/* All bytes are there; while the worker is at it, its descriptor stays open. */
static int finish_file(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	int rc;

	if (file->work != BL_ARRIVAL_NONE)
		return 0;
	if ((rc = check_local(transfer, file, err)) < 0 ||
	    (rc = bl_arrival_check(file, transfer->worker, err)) <= 0)
		return rc;
	return conclude(transfer, file, err);
}

/* What has arrived of the file, by lanes that are still at it too. */
static int take_snapshot(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	int rc = 0;

	bl_ranges_done(&file->snapshot);
	for (size_t i = 0; rc >= 0 && i < file->arrived.count; i++)
		rc = bl_ranges_add(&file->snapshot, file->arrived.at[i].from,
				   file->arrived.at[i].to, err);
	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++) {
		const struct bl_lane *lane = &transfer->lanes[i];

		if (lane->file == file && lane->judged)
			rc = bl_ranges_add(&file->snapshot, lane->from, lane->at, err);
	}
	return rc;
}

/* Seldom in a long download, often at its beginning. */
static bool is_sync_due(const struct bl_transfer *transfer, const struct bl_arrival *file)
{
	int64_t pause = (transfer->now - file->opened_at) / SYNC_SHARE;

	if (pause < SYNC_SOONEST)
		pause = SYNC_SOONEST;
	if (pause > SYNC_LATEST)
		pause = SYNC_LATEST;
	return transfer->now - file->synced_at >= pause;
}

/* Has what arrived synced now and then, for the journal; small files are not worth it. */
static int sync_files(struct bl_transfer *transfer, struct bl_err *err)
{
	for (size_t i = 0; i < transfer->n_files; i++) {
		struct bl_arrival *file = transfer->files[i];

		if (!file->open || file->work != BL_ARRIVAL_NONE ||
		    file->entry->size < SYNC_LEAST || !is_sync_due(transfer, file))
			continue;
		int rc = take_snapshot(transfer, file, err);
		if (rc < 0)
			return rc;
		int64_t bytes = bl_ranges_total(&file->snapshot);
		file->synced_at = transfer->now;
		if (bytes - file->synced < SYNC_LEAST)
			continue;
		file->synced = bytes;
		bl_arrival_sync(file, transfer->worker);
	}
	return 0;
}

static int handle_worked(struct bl_transfer *transfer, struct bl_err *err)
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
		rc = transfer->sink->have(transfer->sink->ctx, file->entry, &file->snapshot, err);
		if (rc >= 0 && bl_arrival_is_complete(file))
			rc = finish_file(transfer, file, err);
	}
	return rc;
}

int bl_transfer_opened(struct bl_transfer *transfer, const struct bl_entry *entry, int fd,
		       struct bl_ranges *have, struct bl_err *err)
{
	struct bl_arrival *file = find_file(transfer, entry);
	int rc;

	if (!file || file->open) {
		bl_cleanup_fd(&fd);
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "'%.200s' was opened unasked",
				  entry->path);
	}
	file->fd = fd;
	file->open = true;
	if ((rc = bl_ranges_add(&file->unasked, 0, entry->size, err)) < 0)
		return rc;
	for (size_t i = 0; i < have->count; i++)
		if ((rc = bl_ranges_remove(&file->unasked, have->at[i].from, have->at[i].to, err)) <
		    0)
			return rc;
	file->arrived = *have;
	*have = (struct bl_ranges){0};
	transfer->left -= bl_ranges_total(&file->arrived);
	file->opened_at = file->synced_at = transfer->now;
	file->synced = bl_ranges_total(&file->arrived);
	return bl_arrival_is_complete(file) ? finish_file(transfer, file, err) : 0;
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

/* ---- Lanes ---- */

static int64_t todo_bytes(const struct bl_transfer *transfer)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < transfer->n_files; i++)
		bytes += transfer->files[i]->open ? bl_ranges_total(&transfer->files[i]->unasked)
						  : transfer->files[i]->entry->size;
	return bytes;
}

/* Asks for more files while those on their way do not keep all lanes busy for long. */
static int admit(struct bl_transfer *transfer, struct bl_err *err)
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

static void set_idle(struct bl_transfer *transfer, struct bl_lane *lane)
{
	if (lane->state == BL_LANE_ON_WIRE)
		curl_multi_remove_handle(transfer->multi, lane->wire.easy);
	lane->state = BL_LANE_IDLE;
	lane->file->lanes--;
	lane->file = NULL;
	transfer->busy--;
}

static int launch(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	if (lane->state != BL_LANE_ON_WIRE)
		return 0;
	if (curl_multi_add_handle(transfer->multi, lane->wire.easy) != CURLM_OK)
		return bl_err_set(err, BL_EX_INTERNAL, ENOMEM, "libcurl refuses a request");
	return 0;
}

static int start(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_arrival *file,
		 int64_t from, int64_t to, struct bl_err *err)
{
	int rc = 0;

	if (!lane->wire.easy)
		rc = bl_wire_init(&lane->wire, bl_http_net(transfer->http),
				  bl_http_share(transfer->http), err);
	lane->arrived = &transfer->arrived;
	if (rc >= 0 && !file->located) {
		rc = transfer->ops->locate(transfer->state, file->entry, false, &file->location,
					   err);
		file->located = rc >= 0;
	}
	if (rc < 0 || (rc = bl_lane_start(lane, file, from, to, err)) < 0)
		return rc;
	file->lanes++;
	transfer->busy++;
	return launch(transfer, lane, err);
}

static struct bl_lane *idle_lane(struct bl_transfer *transfer)
{
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		if (transfer->lanes[i].state == BL_LANE_IDLE)
			return &transfer->lanes[i];
	return NULL;
}

/* Gives the next range that nobody asked for to a lane. 1: given, 0: there is none now. */
static int give_range(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	for (size_t i = 0; i < transfer->n_files; i++) {
		struct bl_arrival *file = transfer->files[i];

		if (!file->open || file->unasked.count == 0 || file->not_before > transfer->now)
			continue;
		struct bl_range range = file->unasked.at[0];
		int64_t chunk = bl_pace_chunk(&transfer->pace, transfer->left);
		if (file->located && (file->location.whole || !file->location.url))
			chunk = file->entry->size;
		if (range.to - range.from > chunk)
			range.to = range.from + chunk;
		int rc = bl_ranges_remove(&file->unasked, range.from, range.to, err);
		if (rc >= 0)
			rc = start(transfer, lane, file, range.from, range.to, err);
		transfer->left -= range.to - range.from;
		return rc < 0 ? rc : 1;
	}
	return 0;
}

/* Nothing is left to ask for: the lane takes half of the longest range that is on its way. 1: so
 * it did. A lane that brings nothing is hedged instead: its whole rest is asked for twice. */
static int share_work(struct bl_transfer *transfer, struct bl_lane *idle, struct bl_err *err)
{
	struct bl_lane *longest = NULL;
	int64_t most = 0;

	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];
		int64_t rest = lane->to - lane->at;

		if (lane->state != BL_LANE_ON_WIRE || lane->hedge || lane->file->location.whole ||
		    lane->file->not_before > transfer->now)
			continue;
		if (lane->file->lanes < BL_PACE_MAX_LANES / 2 && lane->asked_to == lane->to &&
		    transfer->now - lane->last_byte > HEDGE) {
			int rc = start(transfer, idle, lane->file, lane->at, lane->to, err);

			idle->hedge = true;
			lane->hedge = true; /* once is enough */
			return rc < 0 ? rc : 1;
		}
		if (lane->judged && rest > most) {
			most = rest;
			longest = lane;
		}
	}
	if (!longest || most < STEAL_LEAST ||
	    (double)most < transfer->pace.lane_rate * PROGRESS_EVERY)
		return 0;
	int64_t middle = longest->at + most / 2, to = longest->to;
	longest->to = middle;
	int rc = start(transfer, idle, longest->file, middle, to, err);
	return rc < 0 ? rc : 1;
}

static int assign(struct bl_transfer *transfer, struct bl_err *err)
{
	int given = 1;

	while (given > 0 && transfer->busy < transfer->pace.lanes &&
	       transfer->now >= transfer->not_before) {
		struct bl_lane *lane = idle_lane(transfer);

		given = lane ? give_range(transfer, lane, err) : 0;
		if (given == 0 && lane && transfer->next == transfer->to_bring)
			given = share_work(transfer, lane, err);
	}
	return given < 0 ? given : 0;
}

/* ---- How requests end ---- */

/* What of [from, to) is neither here nor asked for by another lane is to be asked for again. */
static int put_back(struct bl_transfer *transfer, struct bl_arrival *file, int64_t from, int64_t to,
		    struct bl_err *err)
{
	auto_ranges rest = {0};
	int rc = bl_ranges_add(&rest, from, to, err);

	for (size_t i = 0; rc >= 0 && i < file->arrived.count; i++)
		rc = bl_ranges_remove(&rest, file->arrived.at[i].from, file->arrived.at[i].to, err);
	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++)
		if (transfer->lanes[i].file == file)
			rc = bl_ranges_remove(&rest, transfer->lanes[i].at, transfer->lanes[i].to,
					      err);
	for (size_t i = 0; rc >= 0 && i < rest.count; i++)
		rc = bl_ranges_add(&file->unasked, rest.at[i].from, rest.at[i].to, err);
	transfer->left += bl_ranges_total(&rest);
	return rc;
}

/* Takes what a lane brought, and the lane off its file. */
static int collect(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	struct bl_arrival *file = lane->file;
	bool content = lane->judged || lane->state == BL_LANE_LOCAL;
	int64_t from = lane->from, at = content ? lane->at : from, to = lane->to;

	if (at > from)
		file->fails = file->relocated = 0;
	set_idle(transfer, lane);
	int rc = bl_ranges_add(&file->arrived, from, at, err);
	return rc < 0 ? rc : put_back(transfer, file, at, to, err);
}

/* Lanes whose whole rest came by another lane are no longer needed; what they brought is. */
static int stop_covered(struct bl_transfer *transfer, const struct bl_arrival *file,
			struct bl_err *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];

		for (size_t r = 0; lane->file == file && r < file->arrived.count; r++)
			if (file->arrived.at[r].from <= lane->at &&
			    file->arrived.at[r].to >= lane->to) {
				rc = collect(transfer, lane, err);
				break;
			}
	}
	return rc;
}

/*
 * The location was refused: first where redirects led is forgotten, then it is located anew. Many
 * lanes go the same way: the first that is refused sees to it for all.
 */
static int relocate(struct bl_transfer *transfer, const struct bl_lane *lane, int rc,
		    struct bl_err *err)
{
	struct bl_arrival *file = lane->file;
	bool was_direct = file->direct != NULL;

	if (lane->way != file->way)
		return 0;
	file->way++;
	file->relocated++;
	free(TAKE_PTR(file->direct));
	if (file->relocated > MAX_RELOCATED || (lane->hops == 0 && file->relocated > 1)) {
		if (transfer->ops->explain)
			rc = transfer->ops->explain(transfer->state, file->entry, lane->wire.status,
						    &lane->wire.answer, err);
		return rc;
	}
	if (was_direct)
		return 0;
	bl_location_done(&file->location);
	file->located = false;
	rc = transfer->ops->locate(transfer->state, file->entry, true, &file->location, err);
	file->located = rc >= 0;
	return rc;
}

/*
 * A failure that another try may mend; until there were too many in a row. Lanes that were under way
 * when one failed fail for the same reason: together they count once.
 */
static int fail(struct bl_transfer *transfer, struct bl_arrival *file, const struct bl_lane *lane,
		const struct bl_http_headers *answer, int rc, struct bl_err *err)
{
	if (file->fails && lane->began <= file->failed_at)
		return 0;
	file->failed_at = transfer->now;
	if (++file->fails > MAX_FAILS) {
		bl_err_wrap(err, "'%.200s', tried %u times: ", file->entry->path, file->fails);
		return rc;
	}
	int64_t until = transfer->now + bl_retry_pause(file->fails, answer);
	if (until > file->not_before)
		file->not_before = until;
	return 0;
}

static int handle_busy(struct bl_transfer *transfer, struct bl_lane *lane, int status, int rc,
		       struct bl_err *err)
{
	int failed = fail(transfer, lane->file, lane, &lane->wire.answer, rc, err);

	if (failed < 0 || (status != 429 && status != 503))
		return failed;
	/* The origin speaks of all requests, not of this file; of many such answers, once. */
	if (transfer->not_before <= transfer->now)
		bl_pace_limited(&transfer->pace, transfer->now);
	if (lane->file->not_before > transfer->not_before)
		transfer->not_before = lane->file->not_before;
	return 0;
}

static int follow(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	int rc = 0;

	if (lane->hops == 0 && transfer->ops->redirected)
		rc = transfer->ops->redirected(transfer->state, lane->file->entry,
					       &lane->wire.answer, err);
	curl_multi_remove_handle(transfer->multi, lane->wire.easy);
	if (rc < 0 || (rc = bl_lane_follow(lane, err)) < 0) {
		lane->state = BL_LANE_IDLE; /* is no longer in the multi handle */
		lane->file->lanes--;
		lane->file = NULL;
		transfer->busy--;
		return rc;
	}
	return launch(transfer, lane, err);
}

static int settle_lane(struct bl_transfer *transfer, struct bl_lane *lane, enum bl_lane_end end,
		       int rc, struct bl_err *err)
{
	struct bl_arrival *file = lane->file;
	int status = lane->wire.status, failed = 0;

	if (end == BL_LANE_REDIRECT)
		return follow(transfer, lane, err);
	if (end == BL_LANE_FATAL && rc != -ENOSPC && rc != -ENOMEM && status >= 400 &&
	    transfer->ops->explain)
		rc = transfer->ops->explain(transfer->state, file->entry, status,
					    &lane->wire.answer, err);
	if (end == BL_LANE_FATAL)
		failed = rc;
	else if (end == BL_LANE_REFUSED)
		failed = relocate(transfer, lane, rc, err);
	else if (end == BL_LANE_BUSY)
		failed = handle_busy(transfer, lane, status, rc, err);
	if (failed < 0)
		return failed;
	bool brought = lane->judged && lane->at > lane->from;
	if ((failed = collect(transfer, lane, err)) < 0)
		return failed;
	if (end == BL_LANE_BROKEN && (failed = fail(transfer, file, lane, NULL, rc, err)) < 0)
		return failed;
	if (end == BL_LANE_BROKEN && brought)
		file->not_before = 0; /* it works in principle: go on at once */
	if (end != BL_LANE_DONE)
		return 0;
	if ((failed = stop_covered(transfer, file, err)) < 0 || !bl_arrival_is_complete(file))
		return failed;
	return finish_file(transfer, file, err);
}

static int handle_finished(struct bl_transfer *transfer, struct bl_err *err)
{
	const CURLMsg *message;
	int left, rc = 0;

	while (rc >= 0 && (message = curl_multi_info_read(transfer->multi, &left))) {
		void *private = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&private);
		struct bl_lane *lane = private; /* as fetch/lane.c set it */
		int why;
		enum bl_lane_end end = bl_lane_finish(lane, code, &why, err);
		rc = settle_lane(transfer, lane, end, why, err);
	}
	return rc;
}

static int copy_local(struct bl_transfer *transfer, struct bl_err *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];
		int why;

		if (lane->state != BL_LANE_LOCAL)
			continue;
		enum bl_lane_end end = bl_lane_copy(lane, &why, err);
		if (end != BL_LANE_REDIRECT)
			rc = settle_lane(transfer, lane, end, why, err);
	}
	return rc;
}

/* A connection that brings nothing is given up for another one. */
static int replace_stalled(struct bl_transfer *transfer, struct bl_err *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];

		if (lane->state != BL_LANE_ON_WIRE || transfer->now - lane->last_byte < STALL)
			continue;
		int why = bl_err_set(err, BL_EX_RETRY, EIO,
				     "%.200s sends nothing for %d seconds; check that it is well",
				     lane->wire.url.origin, STALL / 1000);
		rc = settle_lane(transfer, lane, BL_LANE_BROKEN, why, err);
	}
	return rc;
}

/* ---- The loop ---- */

static bool is_over(const struct bl_transfer *transfer)
{
	for (size_t i = 0; i < transfer->n_agains; i++)
		if (transfer->agains[i].pending)
			return false;
	return transfer->next == transfer->to_bring && transfer->n_files == 0 &&
	       transfer->settling == 0;
}

/* Whether it is the sink or the disk that is waited for, not the origin. */
static bool waits_for_others(const struct bl_transfer *transfer)
{
	if (transfer->settling)
		return true;
	for (size_t i = 0; i < transfer->n_files; i++)
		if (!transfer->files[i]->open || transfer->files[i]->work != BL_ARRIVAL_NONE)
			return true;
	return false;
}

static int check_trickle(struct bl_transfer *transfer, struct bl_err *err)
{
	if (waits_for_others(transfer) || transfer->not_before > transfer->now) {
		transfer->trickle_since = transfer->now;
		transfer->trickle_bytes = transfer->arrived;
	}
	if (transfer->now - transfer->trickle_since < TRICKLE_TIME)
		return 0;
	if (transfer->arrived - transfer->trickle_bytes < TRICKLE_BYTES)
		return bl_err_set(
			err, BL_EX_RETRY, EIO,
			"the origin brought less than %lld bytes in %d seconds; try again "
			"later",
			(long long)TRICKLE_BYTES, TRICKLE_TIME / 1000);
	transfer->trickle_since = transfer->now;
	transfer->trickle_bytes = transfer->arrived;
	return 0;
}

static int tell_progress(struct bl_transfer *transfer, bool last, struct bl_err *err)
{
	if (!last && transfer->now - transfer->told < PROGRESS_EVERY)
		return 0;
	transfer->told = transfer->now;
	return transfer->sink->progress(transfer->sink->ctx, transfer->arrived, err);
}

static bool any_local(const struct bl_transfer *transfer)
{
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		if (transfer->lanes[i].state == BL_LANE_LOCAL)
			return true;
	return false;
}

static int wait_for_events(struct bl_transfer *transfer, struct bl_err *err)
{
	struct curl_waitfd extra[] = {
		{.fd = bl_worker_fd(transfer->worker), .events = CURL_WAIT_POLLIN},
		{.fd = transfer->sink->fd, .events = CURL_WAIT_POLLIN},
	};
	unsigned n = transfer->sink->fd >= 0 ? 2 : 1;
	int running;

	if (curl_multi_poll(transfer->multi, extra, n, any_local(transfer) ? 0 : TICK, NULL) !=
		    CURLM_OK ||
	    curl_multi_perform(transfer->multi, &running) != CURLM_OK)
		return bl_err_set(err, BL_EX_INTERNAL, EIO, "libcurl's loop fails");
	transfer->now = bl_retry_now();
	if (extra[0].revents) {
		int rc = handle_worked(transfer, err);

		if (rc < 0)
			return rc;
	}
	if (n == 2 && extra[1].revents)
		return transfer->sink->on_readable(transfer->sink->ctx, transfer, err);
	return 0;
}

int bl_transfer_run(struct bl_transfer *transfer, struct bl_err *err)
{
	int rc = 0;

	while (rc >= 0 && !is_over(transfer)) {
		if ((rc = admit(transfer, err)) < 0 || (rc = assign(transfer, err)) < 0 ||
		    (rc = wait_for_events(transfer, err)) < 0 ||
		    (rc = handle_finished(transfer, err)) < 0 ||
		    (rc = copy_local(transfer, err)) < 0 ||
		    (rc = replace_stalled(transfer, err)) < 0 ||
		    (rc = sync_files(transfer, err)) < 0 || (rc = check_trickle(transfer, err)) < 0)
			break;
		bl_pace_tick(&transfer->pace, transfer->now, transfer->arrived, transfer->busy);
		rc = tell_progress(transfer, false, err);
	}
	return rc < 0 ? rc : tell_progress(transfer, true, err);
}
