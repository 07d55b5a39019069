/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lane brings what: ranges that nobody asked for, in the order of the files; then parts of
 * what others are at.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/transfer_impl.h"

#define HEDGE	     1500		/* ms without a byte, or to wait for a slow lane */
#define MOST_ASKED   4			/* for the same range at once */
#define SLOW	     4			/* so many times slower than usual */
#define SHARE_LEAST  250		/* ms to wait for a range that are worth sharing it, ... */
#define SPLIT_LEAST  (INT64_C(2) << 20) /* ... and bytes: some are under way already */
#define SHARED_LEAST (SPLIT_LEAST / 4)	/* ... of which so many at least are given away */
#define USUAL	     100		/* ms that a lane is taken to be like the others */

void bl_transfer_take_off(struct bl_transfer *transfer, struct bl_lane *lane)
{
	if (lane->state != BL_LANE_ON_WIRE)
		return;
	if (lane->sock >= 0)
		bl_straight_release(&transfer->straight, lane);
	else
		curl_multi_remove_handle(transfer->multi, lane->wire.easy);
}

void bl_transfer_set_idle(struct bl_transfer *transfer, struct bl_lane *lane)
{
	bl_transfer_take_off(transfer, lane);
	lane->state = BL_LANE_IDLE;
	lane->file->lanes--;
	lane->file = NULL;
	transfer->busy--;
}

int bl_transfer_launch(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	if (lane->state != BL_LANE_ON_WIRE)
		return 0;
	lane->connecting = bl_straight_suits(lane);
	while (lane->connecting && bl_straight_take(&transfer->straight, lane)) {
		if (bl_straight_send(&transfer->straight, lane, err) >= 0) {
			lane->connecting = false;
			return 0;
		}
		bl_straight_release(&transfer->straight, lane);
	}
	curl_easy_setopt(lane->wire.easy, CURLOPT_CONNECT_ONLY, lane->connecting ? 1L : 0L);
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
	if (rc < 0)
		return rc;
	if ((rc = bl_lane_start(lane, file, from, to, err)) < 0) {
		bl_err_wrap(err, "'%.200s': ", file->entry->path);
		return rc;
	}
	file->lanes++;
	transfer->busy++;
	return bl_transfer_launch(transfer, lane, err);
}

static struct bl_lane *idle_lane(struct bl_transfer *transfer)
{
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		if (transfer->lanes[i].state == BL_LANE_IDLE)
			return &transfer->lanes[i];
	return NULL;
}

static int locate(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	int rc = 0;

	if (!file->located)
		rc = transfer->ops->locate(transfer->state, file->entry, false, &file->location,
					   err);
	file->located = rc >= 0;
	return rc;
}

/*
 * Of a file that its origin gives as a whole alone, nothing is asked for but all: what came before is brought
 * once more. Whoever takes frames keeps what came first: so it must be of the same version.
 */
static int ask_for_all(struct bl_transfer *transfer, struct bl_arrival *file, struct bl_err *err)
{
	if (file->framed && bl_ranges_total(&file->arrived) > 0 &&
	    !(file->version && *file->version) && !file->entry->generation &&
	    !bl_manifest_is_digested(file->entry))
		return bl_err_set(
			err, BL_EX_RETRY, ESTALE,
			"'%.150s': the origin broke off an answer, gives no ranges and does not "
			"say which version it sends: it has to be brought anew",
			file->entry->path);
	transfer->left += bl_ranges_total(&file->arrived);
	bl_ranges_done(&file->arrived);
	file->synced = 0;
	return bl_ranges_add(&file->unasked, 0, file->entry->size, err);
}

static int give(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_arrival *file,
		struct bl_err *err)
{
	int64_t chunk = bl_pace_chunk(&transfer->pace, transfer->left);
	int rc = file->location.whole ? ask_for_all(transfer, file, err) : 0;

	if (rc < 0)
		return rc;
	struct bl_range range = file->unasked.at[0];
	if (!file->location.whole && file->location.url && range.to - range.from > chunk)
		range.to = range.from + chunk;
	if ((rc = bl_ranges_remove(&file->unasked, range.from, range.to, err)) < 0)
		return rc;
	transfer->left -= range.to - range.from;
	return start(transfer, lane, file, range.from, range.to, err);
}

/* Gives the next range that nobody asked for to a lane. 1: given, 0: there is none now. */
static int give_range(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	for (size_t i = 0; i < transfer->n_files; i++) {
		struct bl_arrival *file = transfer->files[i];
		int rc;

		if (!file->open || file->unasked.count == 0 || file->not_before > transfer->now)
			continue;
		if ((rc = locate(transfer, file, err)) < 0)
			return rc;
		if (file->location.whole && file->lanes > 0)
			continue; /* until that one is through */
		rc = give(transfer, lane, file, err);
		return rc < 0 ? rc : 1;
	}
	return 0;
}

/* Bytes a millisecond of the lane so far, and at first what is usual. */
static double rate_of(const struct bl_transfer *transfer, const struct bl_lane *lane)
{
	double rate = ((double)(lane->at - lane->from) + transfer->pace.lane_rate * USUAL) /
		      ((double)(transfer->now - lane->sent) + USUAL);

	return rate > 0 ? rate : 1;
}

/* How long it will need for what is left of its range, ms. */
static double time_left(const struct bl_transfer *transfer, const struct bl_lane *lane)
{
	return (double)(lane->to - lane->at) / rate_of(transfer, lane);
}

/*
 * Whether all that were asked for what is left of the lane's range bring nothing: the more they are, the longer that
 * takes. An origin may leave connections unanswered that are too many for it: so a third one is asked only where one
 * that has answered before is free.
 */
static bool is_silent(const struct bl_transfer *transfer, const struct bl_lane *lane)
{
	int64_t last = lane->last_byte, most = HEDGE / 2;
	unsigned asked = 0;

	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++) {
		const struct bl_lane *other = &transfer->lanes[i];

		if (other->state != BL_LANE_ON_WIRE || other->file != lane->file ||
		    other->from > lane->at || other->to < lane->to)
			continue;
		if (other->last_byte > last)
			last = other->last_byte;
		most *= 2;
		asked++;
	}
	return transfer->now - last > most && asked < MOST_ASKED &&
	       (asked == 1 || transfer->straight.n_idle > 0);
}

/* All that is left of the lane's range is asked for twice, or once more. */
static int hedge(struct bl_transfer *transfer, struct bl_lane *idle, struct bl_lane *lane,
		 struct bl_err *err)
{
	int rc = start(transfer, idle, lane->file, lane->at, lane->to, err);

	idle->hedge = lane->hedge = true;
	return rc < 0 ? rc : 1;
}

/* The idle lane takes so much of the end that both will end together. */
static int split(struct bl_transfer *transfer, struct bl_lane *idle, struct bl_lane *lane,
		 struct bl_err *err)
{
	int64_t rest = lane->to - lane->at, to = lane->to;
	double rate = rate_of(transfer, lane), usual = transfer->pace.lane_rate;

	lane->to = lane->at + (int64_t)((double)rest * rate / (rate + (usual > 0 ? usual : rate)));
	if (to - lane->to < SHARED_LEAST)
		lane->to = to - SHARED_LEAST;
	int rc = start(transfer, idle, lane->file, lane->to, to, err);
	return rc < 0 ? rc : 1;
}

/* Nothing is left to ask for: the lane helps the one that would end last, unless that is soon. 1: so it did.
 * One that brings nothing, or little for its time, is not waited for; of one whose answer's end alone is late
 * there is nothing to ask for. */
static int share_work(struct bl_transfer *transfer, struct bl_lane *idle, struct bl_err *err)
{
	struct bl_lane *last = NULL;
	double most = SHARE_LEAST;

	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];
		double wait;

		if (lane->state != BL_LANE_ON_WIRE || lane->at >= lane->to ||
		    lane->file->location.whole || lane->file->not_before > transfer->now)
			continue;
		if (lane->file->lanes < BL_PACE_MAX_LANES / 2 &&
		    transfer->now - lane->last_byte > HEDGE && is_silent(transfer, lane))
			return hedge(transfer, idle, lane, err);
		if (lane->hedge)
			continue;
		wait = lane->judged ? time_left(transfer, lane) : 0;
		if (wait > most) {
			most = wait;
			last = lane;
		}
	}
	if (last && last->to - last->at >= SPLIT_LEAST)
		return split(transfer, idle, last, err);
	if (last && most > HEDGE && rate_of(transfer, last) * SLOW < transfer->pace.lane_rate)
		return hedge(transfer, idle, last, err);
	return 0;
}

int bl_transfer_assign(struct bl_transfer *transfer, struct bl_err *err)
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
