/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How requests end: what came is kept, what did not is asked for again, and what will never come is
 * said.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/retry.h"
#include "fetch/transfer_impl.h"

#define MAX_FAILS      6	   /* tries in a row of one file that bring no byte */
#define MAX_RELOCATED  3	   /* times in a row that a location is refused */
#define WORTH	       (16 * 1024) /* bytes of a range that are more than a dribble */
#define STALL	       8000	   /* ms without a byte, then another connection; ... */
#define SILENCE	       20000	   /* ... before an answer's first one an origin may think longer */
#define MAX_UNANSWERED 32	   /* requests in a row of one file, while others are answered */
#define REFUSALS       4	   /* connections without an answer, or half of them: no accident */

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

/* Whether what the lane brought shows that it works in principle. Of a whole answer that broke off nothing is
 * kept. */
static bool is_worth(const struct bl_lane *lane)
{
	if (lane->at == lane->to)
		return lane->at > lane->from;
	return !lane->file->location.whole && lane->at - lane->from >= WORTH;
}

/* Takes what a lane brought, and the lane off its file. */
static int collect(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	struct bl_arrival *file = lane->file;
	bool content = lane->judged || lane->state == BL_LANE_LOCAL;

	if (content && lane->sock >= 0)
		bl_straight_drain(&transfer->straight, lane);
	if (content && bl_lane_flush(lane) < 0) {
		*err = lane->err;
		return lane->rc;
	}
	int64_t from = lane->from, at = content ? lane->at : from, to = lane->to;
	if (is_worth(lane) && content)
		file->fails = file->relocated = file->unanswered = 0;
	bl_transfer_set_idle(transfer, lane);
	int rc = bl_ranges_add(&file->arrived, from, at, err);
	return rc < 0 ? rc : put_back(transfer, file, at, to, err);
}

static bool is_covered(const struct bl_lane *lane)
{
	const struct bl_ranges *arrived = &lane->file->arrived;

	for (size_t r = 0; r < arrived->count; r++)
		if (arrived->at[r].from <= lane->at && arrived->at[r].to >= lane->to)
			return true;
	return false;
}

/*
 * Lanes whose whole rest came by another lane are no longer needed; what they brought is, and may be the rest of
 * one that was looked at before: none may be left on a file that is done.
 */
static int stop_covered(struct bl_transfer *transfer, const struct bl_arrival *file,
			struct bl_err *err)
{
	size_t i = 0;
	int rc = 0;

	while (rc >= 0 && i < BL_PACE_MAX_LANES) {
		struct bl_lane *lane = &transfer->lanes[i++];

		if (lane->file == file && is_covered(lane)) {
			rc = collect(transfer, lane, err);
			i = 0;
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
		bl_pace_limited(&transfer->pace, 0, transfer->now);
	if (lane->file->not_before > transfer->not_before)
		transfer->not_before = lane->file->not_before;
	return 0;
}

/* ---- Origins that take few connections, and do not say so ---- */

static unsigned count_at_work(const struct bl_transfer *transfer)
{
	unsigned at_work = 0;

	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		at_work += transfer->lanes[i].state == BL_LANE_ON_WIRE && transfer->lanes[i].judged;
	return at_work;
}

/* Several connections were refused since there are so many, and others work: then it is not the origin that is
 * down, there are too many of them. */
static void judge_refused(struct bl_transfer *transfer, unsigned at_work)
{
	unsigned lanes = transfer->pace.lanes;

	if (transfer->refused < (lanes / 2 < REFUSALS ? lanes / 2 : REFUSALS) || lanes == 1)
		return;
	bl_pace_limited(&transfer->pace, at_work, transfer->now);
	transfer->refused = 0;
	transfer->limited_at = transfer->now;
}

/* A request ended without any answer. Whether that is no fault of its file: others bring content meanwhile. */
static bool note_refused(struct bl_transfer *transfer, const struct bl_lane *lane)
{
	unsigned at_work = count_at_work(transfer);

	transfer->refused += lane->began > transfer->limited_at;
	if (at_work > 0)
		judge_refused(transfer, at_work);
	if (++lane->file->unanswered > MAX_UNANSWERED)
		return false;
	if (transfer->answered_at > lane->file->failed_at)
		lane->file->fails = 0;
	return at_work > 0;
}

static void note_answered(struct bl_transfer *transfer)
{
	judge_refused(transfer, count_at_work(transfer));
	transfer->refused -= transfer->refused > 0;
	transfer->answered_at = transfer->now;
}

static int follow(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	int rc = 0;

	if (lane->hops == 0 && transfer->ops->redirected)
		rc = transfer->ops->redirected(transfer->state, lane->file->entry,
					       &lane->wire.answer, err);
	bl_transfer_take_off(transfer, lane);
	if (rc >= 0 && (rc = bl_lane_follow(lane, err)) < 0)
		bl_err_wrap(err, "'%.200s': its origin leads elsewhere: ", lane->file->entry->path);
	if (rc < 0) {
		lane->state = BL_LANE_IDLE; /* is no longer on the wire */
		bl_transfer_set_idle(transfer, lane);
		return rc;
	}
	return bl_transfer_launch(transfer, lane, err);
}

static int settle_lane(struct bl_transfer *transfer, struct bl_lane *lane, enum bl_lane_end end,
		       int rc, struct bl_err *err)
{
	struct bl_arrival *file = lane->file;
	int status = lane->wire.status, failed = 0;

	if (end == BL_LANE_REDIRECT)
		return follow(transfer, lane, err);
	if (end == BL_LANE_FATAL && rc != -ENOSPC && rc != -ENOMEM && rc != -ESTALE &&
	    status >= 400 && transfer->ops->explain)
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
	bool brought = lane->judged && is_worth(lane);
	bool broken = end == BL_LANE_BROKEN && (status != 0 || !note_refused(transfer, lane));
	if (end == BL_LANE_DONE)
		note_answered(transfer);
	if ((failed = collect(transfer, lane, err)) < 0)
		return failed;
	if (broken && (failed = fail(transfer, file, lane, NULL, rc, err)) < 0)
		return failed;
	if (end == BL_LANE_BROKEN && brought)
		file->not_before = 0; /* it works in principle: go on at once */
	/* Also what broke off may have brought the last piece, where another lane had the rest. */
	if ((failed = stop_covered(transfer, file, err)) < 0 || !bl_arrival_is_complete(file))
		return failed;
	return bl_transfer_finish_file(transfer, file, err);
}

static int finish(struct bl_transfer *transfer, struct bl_lane *lane, CURLcode code,
		  struct bl_err *err)
{
	int why;
	enum bl_lane_end end = bl_lane_finish(lane, code, &why, err);

	return settle_lane(transfer, lane, end, why, err);
}

/* libcurl has made a connection, as was wanted: the lane goes on by itself. */
static int go_straight(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err)
{
	bool adopted = bl_straight_adopt(lane);

	curl_multi_remove_handle(transfer->multi, lane->wire.easy);
	lane->connecting = false;
	if (adopted) {
		int rc = bl_straight_send(&transfer->straight, lane, err);

		if (rc >= 0)
			return 0;
		if (rc == -ECONNRESET) /* for want of room, say: nothing that libcurl does better */
			return finish(transfer, lane, CURLE_SEND_ERROR, err);
		bl_straight_release(&transfer->straight, lane);
	}
	/* By libcurl then; what is wrong, it will say. */
	lane->file->by_libcurl = true;
	return bl_transfer_launch(transfer, lane, err);
}

int bl_transfer_handle_straight(struct bl_transfer *transfer, struct bl_err *err)
{
	struct epoll_event events[BL_PACE_MAX_LANES];
	int n = epoll_wait(transfer->straight.epoll, events, BL_PACE_MAX_LANES, 0), rc = 0;

	for (int i = 0; rc >= 0 && i < n; i++) {
		struct bl_lane *lane = events[i].data.ptr;
		CURLcode code = CURLE_OK;

		if (lane->sock < 0)
			continue; /* taken off for another lane's sake, a moment ago */
		enum bl_straight_end end = bl_straight_read(&transfer->straight, lane, &code);
		if (end == BL_STRAIGHT_STALE) {
			bl_straight_release(&transfer->straight, lane);
			rc = bl_transfer_launch(transfer, lane, err);
		} else if (end == BL_STRAIGHT_OVER) {
			rc = finish(transfer, lane, code, err);
		}
	}
	return rc;
}

int bl_transfer_handle_finished(struct bl_transfer *transfer, struct bl_err *err)
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
		rc = lane->connecting && code == CURLE_OK ? go_straight(transfer, lane, err)
							  : finish(transfer, lane, code, err);
	}
	return rc;
}

int bl_transfer_copy_local(struct bl_transfer *transfer, struct bl_err *err)
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
int bl_transfer_replace_stalled(struct bl_transfer *transfer, struct bl_err *err)
{
	int rc = 0;

	for (size_t i = 0; rc >= 0 && i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];
		int64_t most = lane->judged ? STALL : SILENCE;

		if (lane->state != BL_LANE_ON_WIRE || transfer->now - lane->last_byte < most)
			continue;
		int why = bl_err_set(err, BL_EX_RETRY, EIO,
				     "%.200s sends nothing for %d seconds; check that it is well",
				     lane->wire.url.origin, (int)(most / 1000));
		rc = settle_lane(transfer, lane, BL_LANE_BROKEN, why, err);
	}
	return rc;
}
