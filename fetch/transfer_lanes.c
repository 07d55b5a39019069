/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lane brings what: ranges that nobody asked for, in the order of the files; then halves of
 * what others are at.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/transfer_impl.h"

#define HEDGE	       1500		  /* the same where nothing else is left to do */
#define STEAL_LEAST    (INT64_C(2) << 20) /* bytes left of a range that are worth sharing */
#define PROGRESS_EVERY 250		  /* ms */

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
	if (rc >= 0 && !file->located) {
		rc = transfer->ops->locate(transfer->state, file->entry, false, &file->location,
					   err);
		file->located = rc >= 0;
	}
	if (rc < 0 || (rc = bl_lane_start(lane, file, from, to, err)) < 0)
		return rc;
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
		if (lane->file->lanes < BL_PACE_MAX_LANES / 2 &&
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
