// SPDX-License-Identifier: Apache-2.0
/* Ends of requests that come in one turn of the loop, in an order that no origin can be made to give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/err.h"
#include "fetch/transfer_impl.h"

#define HALF 4096

static int n_done;

static int on_done(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry, bool good,
		   struct bl_err *err)
{
	(void)ctx;
	(void)err;
	assert_true(good);
	assert_string_equal(entry->path, "model");
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		assert_null(transfer->lanes[i].file);
	n_done++;
	return 0;
}

static struct bl_lane *put_lane(struct bl_transfer *transfer, size_t i, int64_t from, int64_t at)
{
	struct bl_lane *lane = &transfer->lanes[i];

	lane->state = BL_LANE_ON_WIRE;
	lane->judged = true;
	lane->file = transfer->files[0];
	lane->from = from;
	lane->at = at;
	lane->to = lane->asked_to = from + HALF;
	lane->arrived = &transfer->arrived;
	lane->file->lanes++;
	transfer->busy++;
	return lane;
}

/*
 * The first half was asked for twice: one request has brought nothing, the other all, and its end waits to be taken
 * up. That of the second half is taken up before it, and makes the file complete.
 */
static void test_twins(void **state)
{
	const struct bl_entry entry = {.path = "model", .size = INT64_C(2) * HALF};
	const struct bl_sink sink = {.done = on_done};
	static struct bl_transfer transfer;
	FILE *source = tmpfile(), *target = tmpfile();
	struct bl_err err;

	(void)state;
	assert_non_null(source);
	assert_non_null(target);
	assert_int_equal(ftruncate(fileno(source), 2 * HALF), 0);
	transfer.sink = &sink;
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		transfer.lanes[i].sock = -1;
	assert_int_equal(bl_arrival_new(&entry, &transfer.files[0], &err), 0);
	transfer.n_files = 1;
	transfer.files[0]->open = true;
	transfer.files[0]->fd = dup(fileno(target));
	transfer.files[0]->location.fd = dup(fileno(source));
	(void)put_lane(&transfer, 0, 0, 0);
	(void)put_lane(&transfer, 2, 0, HALF);
	put_lane(&transfer, 1, HALF, HALF)->state = BL_LANE_LOCAL;
	assert_int_equal(bl_transfer_copy_local(&transfer, &err), 0);
	assert_int_equal(n_done, 1);
	assert_int_equal(transfer.busy, 0);
	(void)fclose(source);
	(void)fclose(target);
}

/* Where nothing has flowed for long, what is usual is nearly nothing, and a lane that has brought something is
 * ever so fast: what another is given of its rest is a range all the same, since "bytes=9-8" is none. */
static void test_split_by_a_vanishing_rate(void **state)
{
	const struct bl_entry entry = {.path = "model", .size = INT64_C(8) << 20};
	static struct bl_transfer transfer;
	FILE *source = tmpfile(), *target = tmpfile();
	struct bl_err err;

	(void)state;
	assert_non_null(source);
	assert_non_null(target);
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		transfer.lanes[i].sock = -1;
	assert_int_equal(bl_arrival_new(&entry, &transfer.files[0], &err), 0);
	transfer.n_files = 1;
	transfer.files[0]->open = transfer.files[0]->located = true;
	transfer.files[0]->fd = dup(fileno(target));
	transfer.files[0]->location.fd = dup(fileno(source));
	transfer.lanes[1].wire.easy = curl_easy_init();
	put_lane(&transfer, 0, 0, entry.size / 2)->to = entry.size;
	transfer.now = transfer.lanes[0].last_byte = 30000;
	transfer.pace.lanes = 2;
	transfer.pace.lane_rate = 1e-18;
	assert_int_equal(bl_transfer_assign(&transfer, &err), 0);
	assert_int_equal(transfer.busy, 2);
	assert_int_equal(transfer.lanes[1].from, transfer.lanes[0].to);
	assert_int_equal(transfer.lanes[1].to, entry.size);
	assert_true(transfer.lanes[1].from < transfer.lanes[1].to);
	bl_arrival_free(transfer.files[0]);
	curl_easy_cleanup(transfer.lanes[1].wire.easy);
	(void)fclose(source);
	(void)fclose(target);
}

/* All of a range is here, and the end of its answer is not (that of a chunked one, say): nothing of it is asked for
 * twice, as "bytes=9-8" is none, and an origin that says so seems to have another file. */
static void test_late_end_of_an_answer(void **state)
{
	const struct bl_entry entry = {.path = "model", .size = HALF};
	static struct bl_transfer transfer;
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		transfer.lanes[i].sock = -1;
	assert_int_equal(bl_arrival_new(&entry, &transfer.files[0], &err), 0);
	transfer.n_files = 1;
	transfer.files[0]->open = transfer.files[0]->located = true;
	transfer.lanes[1].wire.easy = curl_easy_init();
	(void)put_lane(&transfer, 0, 0, HALF);
	transfer.now = 30000;
	transfer.pace.lanes = 2;
	assert_int_equal(bl_transfer_assign(&transfer, &err), 0);
	assert_int_equal(transfer.busy, 1);
	bl_arrival_free(transfer.files[0]);
	curl_easy_cleanup(transfer.lanes[1].wire.easy);
}

/* Two connections leave a range unanswered: a third is asked where it is one that has answered before, and no fourth
 * while that one brings something. */
static void test_silent_twins(void **state)
{
	const struct bl_entry entry = {.path = "model", .size = HALF};
	static struct bl_transfer transfer;
	FILE *source = tmpfile(), *target = tmpfile();
	struct bl_err err;

	(void)state;
	assert_non_null(source);
	assert_non_null(target);
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		transfer.lanes[i].sock = -1;
	assert_int_equal(bl_arrival_new(&entry, &transfer.files[0], &err), 0);
	transfer.n_files = 1;
	transfer.files[0]->open = transfer.files[0]->located = true;
	transfer.files[0]->fd = dup(fileno(target));
	transfer.files[0]->location.fd = dup(fileno(source));
	transfer.lanes[1].wire.easy = curl_easy_init();
	transfer.lanes[3].wire.easy = curl_easy_init();
	for (size_t i = 0; i <= 2; i += 2) {
		struct bl_lane *lane = put_lane(&transfer, i, 0, 0);

		lane->judged = false;
		lane->hedge = true;
	}
	transfer.now = 10000;
	transfer.pace.lanes = 4;
	assert_int_equal(bl_transfer_assign(&transfer, &err), 0);
	assert_int_equal(transfer.busy, 2);
	transfer.straight.n_idle = 1;
	transfer.lanes[2].last_byte = 9000; /* began after the first */
	assert_int_equal(bl_transfer_assign(&transfer, &err), 0);
	assert_int_equal(transfer.busy, 2);
	transfer.lanes[2].last_byte = 2000;
	transfer.pace.lanes = 3;
	assert_int_equal(bl_transfer_assign(&transfer, &err), 0);
	assert_int_equal(transfer.busy, 3);
	assert_int_equal(transfer.lanes[1].from, 0);
	assert_int_equal(transfer.lanes[1].to, HALF);
	transfer.lanes[1].state = BL_LANE_ON_WIRE;
	transfer.lanes[1].last_byte = transfer.now;
	transfer.lanes[1].at = HALF / 2;
	transfer.pace.lanes = 4;
	assert_int_equal(bl_transfer_assign(&transfer, &err), 0);
	assert_int_equal(transfer.busy, 3);
	bl_arrival_free(transfer.files[0]);
	curl_easy_cleanup(transfer.lanes[1].wire.easy);
	curl_easy_cleanup(transfer.lanes[3].wire.easy);
	(void)fclose(source);
	(void)fclose(target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_twins),
		cmocka_unit_test(test_split_by_a_vanishing_rate),
		cmocka_unit_test(test_late_end_of_an_answer),
		cmocka_unit_test(test_silent_twins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
