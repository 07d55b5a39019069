// SPDX-License-Identifier: Apache-2.0
/* What lanes are given, and how they end, in states and an order that no origin can be made to give. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/err.h"
#include "fetch/transfer_impl.h"

#define HALF  4096 /* bytes of a file, as a rule */
#define LANES 4

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

/* A transfer of one file, which is local, so that a lane that is given a range sends no request. */
struct rig {
	struct bl_transfer transfer;
	struct bl_entry entry;
	FILE *source, *target;
	struct bl_err err;
};

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct bl_arrival *file;

	assert_non_null(rig);
	rig->entry = (struct bl_entry){.path = "model", .size = INT64_C(2) * HALF};
	rig->source = tmpfile();
	rig->target = tmpfile();
	assert_non_null(rig->source);
	assert_non_null(rig->target);
	assert_int_equal(ftruncate(fileno(rig->source), 2 * HALF), 0);
	for (size_t i = 0; i < BL_PACE_MAX_LANES; i++)
		rig->transfer.lanes[i].sock = -1;
	for (size_t i = 0; i < LANES; i++)
		rig->transfer.lanes[i].wire.easy = curl_easy_init();
	assert_int_equal(bl_arrival_new(&rig->entry, &file, &rig->err), 0);
	file->open = file->located = true;
	file->fd = dup(fileno(rig->target));
	file->location.fd = dup(fileno(rig->source));
	rig->transfer.files[0] = file;
	rig->transfer.n_files = 1;
	rig->transfer.pace.lanes = LANES;
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	for (size_t i = 0; i < rig->transfer.n_files; i++)
		bl_arrival_free(rig->transfer.files[i]);
	for (size_t i = 0; i < LANES; i++)
		curl_easy_cleanup(rig->transfer.lanes[i].wire.easy);
	(void)fclose(rig->source);
	(void)fclose(rig->target);
	free(rig);
	return 0;
}

/* Gives work to idle lanes; how many are busy then. */
static unsigned assign(struct rig *rig)
{
	assert_int_equal(bl_transfer_assign(&rig->transfer, &rig->err), 0);
	return rig->transfer.busy;
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
static void no_lane_is_left_on_a_file_that_is_done(void **state)
{
	const struct bl_sink sink = {.done = on_done};
	struct rig *rig = *state;
	struct bl_transfer *transfer = &rig->transfer;

	transfer->sink = &sink;
	transfer->files[0]->located = false; /* no source is asked whether it is still the same */
	(void)put_lane(transfer, 0, 0, 0);
	(void)put_lane(transfer, 2, 0, HALF);
	put_lane(transfer, 1, HALF, HALF)->state = BL_LANE_LOCAL;
	assert_int_equal(bl_transfer_copy_local(transfer, &rig->err), 0);
	assert_int_equal(n_done, 1);
	assert_int_equal(transfer->busy, 0);
}

/* Where nothing has flowed for long, what is usual is nearly nothing, and a lane that has brought something is
 * ever so fast: what another is given of its rest is a range all the same, since "bytes=9-8" is none. */
static void what_is_given_away_is_a_range(void **state)
{
	struct rig *rig = *state;
	struct bl_lane *lanes = rig->transfer.lanes;

	rig->entry.size = INT64_C(8) << 20;
	put_lane(&rig->transfer, 0, 0, rig->entry.size / 2)->to = rig->entry.size;
	rig->transfer.now = lanes[0].last_byte = 30000;
	rig->transfer.pace.lanes = 2;
	rig->transfer.pace.lane_rate = 1e-18;
	assert_int_equal(assign(rig), 2);
	assert_int_equal(lanes[1].from, lanes[0].to);
	assert_int_equal(lanes[1].to, rig->entry.size);
	assert_true(lanes[1].from < lanes[1].to);
}

/* All of a range is here, and the end of its answer is not (that of a chunked one, say): nothing of it is asked for
 * twice, as "bytes=9-8" is none, and an origin that says so seems to have another file. */
static void of_what_is_here_nothing_is_asked_for_twice(void **state)
{
	struct rig *rig = *state;

	(void)put_lane(&rig->transfer, 0, 0, HALF);
	rig->transfer.now = 30000;
	assert_int_equal(assign(rig), 1);
}

/* Two connections leave a range unanswered: a third is asked where it is one that has answered before, and no fourth
 * while that one brings something. */
static void a_third_is_asked_where_two_are_silent(void **state)
{
	struct rig *rig = *state;
	struct bl_transfer *transfer = &rig->transfer;
	struct bl_lane *lanes = transfer->lanes;

	for (size_t i = 0; i <= 2; i += 2) {
		struct bl_lane *lane = put_lane(transfer, i, 0, 0);

		lane->judged = false;
		lane->hedge = true;
	}
	transfer->now = 10000;
	assert_int_equal(assign(rig), 2);
	transfer->straight.n_idle = 1;
	lanes[2].last_byte = 9000; /* began after the first */
	assert_int_equal(assign(rig), 2);
	lanes[2].last_byte = 2000;
	transfer->pace.lanes = 3;
	assert_int_equal(assign(rig), 3);
	assert_int_equal(lanes[1].from, 0);
	assert_int_equal(lanes[1].to, HALF);
	lanes[1].state = BL_LANE_ON_WIRE;
	lanes[1].last_byte = transfer->now;
	lanes[1].at = HALF / 2;
	transfer->pace.lanes = LANES;
	assert_int_equal(assign(rig), 3);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_RIG(no_lane_is_left_on_a_file_that_is_done),
		WITH_RIG(what_is_given_away_is_a_range),
		WITH_RIG(of_what_is_here_nothing_is_asked_for_twice),
		WITH_RIG(a_third_is_asked_where_two_are_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
