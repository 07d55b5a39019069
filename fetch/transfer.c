/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/retry.h"
#include "fetch/transfer_impl.h"

#define TRICKLE_TIME   60000		    /* ms in which ... */
#define TRICKLE_BYTES  (INT64_C(64) * 1024) /* ... at least this much must come */
#define PROGRESS_EVERY 250		    /* ms */
#define TICK	       200		    /* ms, the longest wait */
#define READ_ON_LEAST  (INT64_C(1) << 20)   /* bytes, as much as one read takes */

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
	transfer->straight = BL_STRAIGHT_INIT;
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		transfer->lanes[i].sock = -1;
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
	int rc = bl_straight_init(&transfer->straight, err);
	if (rc < 0 || (rc = bl_worker_new(&transfer->worker, err)) < 0 ||
	    (rc = make_order(transfer, err)) < 0)
		return rc;
	transfer->began = transfer->now = bl_retry_now();
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

		if (lane->state == BL_LANE_ON_WIRE && lane->sock < 0)
			curl_multi_remove_handle(transfer->multi, lane->wire.easy);
		bl_lane_done(lane);
	}
	bl_worker_free(&transfer->worker); /* before what its tasks point to */
	for (size_t i = 0; i < transfer->n_files; i++)
		bl_arrival_free(transfer->files[i]);
	curl_multi_cleanup(transfer->multi);
	bl_straight_done(&transfer->straight);
	free(transfer->order);
	free(transfer);
	*pointer = NULL;
	errno = saved;
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
		if (!transfer->files[i]->open || transfer->files[i]->ended ||
		    transfer->files[i]->work != BL_ARRIVAL_NONE)
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

/* Tells the pace of answers. Returns how many lanes bring content, or have brought some since there are so many:
 * where ranges are short, one or the other is always between two of them. */
static unsigned look_at_lanes(struct bl_transfer *transfer)
{
	unsigned flowing = 0;

	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++) {
		struct bl_lane *lane = &transfer->lanes[i];

		flowing += lane->state == BL_LANE_LOCAL ||
			   lane->judged_at > transfer->pace.stepped ||
			   (lane->state == BL_LANE_ON_WIRE && lane->judged);
		if (lane->state != BL_LANE_ON_WIRE || !lane->judged)
			continue;
		if (!lane->counted)
			bl_pace_answered(&transfer->pace, transfer->now - lane->sent);
		lane->counted = true;
	}
	return flowing;
}

static int wait_for_events(struct bl_transfer *transfer, struct bl_err *err)
{
	struct curl_waitfd extra[] = {
		{.fd = bl_worker_fd(transfer->worker), .events = CURL_WAIT_POLLIN},
		{.fd = transfer->straight.epoll, .events = CURL_WAIT_POLLIN},
		{.fd = transfer->sink->fd, .events = CURL_WAIT_POLLIN},
	};
	unsigned n = transfer->sink->fd >= 0 ? 3 : 2;
	int running;

	if (curl_multi_poll(transfer->multi, extra, n, any_local(transfer) ? 0 : TICK, NULL) !=
		    CURLM_OK ||
	    curl_multi_perform(transfer->multi, &running) != CURLM_OK)
		return bl_err_set(err, BL_EX_INTERNAL, EIO, "libcurl's loop fails");
	transfer->now = bl_retry_now();
	if (extra[0].revents) {
		int rc = bl_transfer_handle_worked(transfer, err);

		if (rc < 0)
			return rc;
	}
	if (extra[1].revents) {
		int rc = bl_transfer_handle_straight(transfer, err);

		if (rc < 0)
			return rc;
	}
	if (n == 3 && extra[2].revents)
		return transfer->sink->on_readable(transfer->sink->ctx, transfer, err);
	return 0;
}

/* Bodies that come straight from their sockets; their ends are taken up when the loop is back. */
static void read_on(struct bl_transfer *transfer, struct bl_lane *lane)
{
	int64_t before = -1;
	CURLcode code;

	while (lane->at != before && lane->rc >= 0 && lane->to - lane->at > READ_ON_LEAST) {
		before = lane->at;
		if (bl_straight_read(&transfer->straight, lane, &code) != BL_STRAIGHT_MORE)
			break; /* it will say so again */
	}
}

/* While a source asks its origin for new locations or credentials, requests under way go on. */
static void go_on_meanwhile(void *ctx, int milliseconds)
{
	struct bl_transfer *transfer = ctx;
	int running;

	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		if (transfer->lanes[i].sock >= 0 && transfer->lanes[i].judged)
			read_on(transfer, &transfer->lanes[i]);
	(void)curl_multi_poll(transfer->multi, NULL, 0, milliseconds, NULL);
	(void)curl_multi_perform(transfer->multi, &running);
}

static int run(struct bl_transfer *transfer, struct bl_err *err)
{
	int rc = 0;

	while (rc >= 0 && !is_over(transfer)) {
		unsigned busy;

		if ((rc = bl_transfer_admit(transfer, err)) < 0 ||
		    (rc = bl_transfer_assign(transfer, err)) < 0)
			break;
		/* Before some of them end: they have brought what the next look counts. */
		busy = transfer->busy;
		if ((rc = wait_for_events(transfer, err)) < 0 ||
		    (rc = bl_transfer_handle_finished(transfer, err)) < 0 ||
		    (rc = bl_transfer_copy_local(transfer, err)) < 0 ||
		    (rc = bl_transfer_replace_stalled(transfer, err)) < 0 ||
		    (rc = bl_transfer_sync_files(transfer, err)) < 0 ||
		    (rc = check_trickle(transfer, err)) < 0)
			break;
		bl_pace_tick(&transfer->pace, transfer->now, transfer->arrived, busy,
			     look_at_lanes(transfer));
		rc = tell_progress(transfer, false, err);
	}
	return rc < 0 ? rc : tell_progress(transfer, true, err);
}

int bl_transfer_run(struct bl_transfer *transfer, struct bl_err *err)
{
	int rc = bl_http_hang_up(transfer->http, err);

	if (rc < 0)
		return rc;
	bl_http_set_meanwhile(transfer->http, go_on_meanwhile, transfer);
	rc = run(transfer, err);
	bl_http_set_meanwhile(transfer->http, NULL, NULL);
	return rc;
}
