/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fetch/pace.h"

/* Runs an origin that gives `each` bytes/ms a connection and `all` in total for a time. */
static unsigned lanes_for(double each, double all, struct bl_pace *pace)
{
	int64_t arrived = 0;

	bl_pace_init(pace, 1, INT64_C(1) << 40, 0);
	for (int64_t now = 0; now < 20000; now += 100) {
		double rate = each * pace->lanes < all ? each * pace->lanes : all;

		arrived += (int64_t)(rate * 100);
		bl_pace_tick(pace, now + 100, arrived, pace->lanes, pace->lanes);
	}
	return pace->lanes;
}

static void test_pace(void **state)
{
	struct bl_pace pace;

	(void)state;
	/* 50 MB/s a connection, and the origin has plenty: as many as there may be */
	assert_int_equal(lanes_for(50e3, 1e9, &pace), BL_PACE_MAX_LANES / 2);
	/* one connection fills the line: more bring nothing */
	assert_true(lanes_for(2e6, 2e6, &pace) <= 24);
	bl_pace_limited(&pace, 0, 20000);
	assert_true(pace.lanes <= 12);
	for (int i = 0; i < 20; i++)
		bl_pace_limited(&pace, 2, 20000);
	assert_int_equal(pace.lanes, 2);
	for (int i = 0; i < 20; i++)
		bl_pace_limited(&pace, 0, 20000);
	assert_int_equal(pace.lanes, 1);
	bl_pace_limited(&pace, 2, 20000);
	assert_int_equal(pace.lanes, 1);
	/* small files wait for the origin more than for the line */
	bl_pace_init(&pace, 10000, 10000 * 10240, 0);
	for (int64_t now = 0, arrived = 0; now < 2000; now += 20) {
		arrived += INT64_C(10240) * pace.lanes;
		bl_pace_tick(&pace, now + 20, arrived, pace.lanes, pace.lanes);
	}
	assert_int_equal(pace.lanes, BL_PACE_MAX_LANES);
}

static void test_chunks(void **state)
{
	struct bl_pace pace;
	int64_t left = INT64_C(1) << 30, requests = 0;

	(void)state;
	bl_pace_init(&pace, 1, left, 0);
	pace.lane_rate = 50e3;
	assert_int_equal(bl_pace_chunk(&pace, INT64_C(1) << 40), 100000000);
	while (left > 0) {
		int64_t chunk = bl_pace_chunk(&pace, left);

		assert_true(chunk >= 1 << 20);
		left -= chunk;
		requests++;
	}
	assert_true(requests < 250);
}

/* A range is long where an answer takes long to begin, and short where it does not: a file fills up from its
 * beginning then. */
static void test_latency(void **state)
{
	const int64_t plenty = INT64_C(1) << 40;
	struct bl_pace pace;

	(void)state;
	bl_pace_init(&pace, 1, plenty, 0);
	pace.lane_rate = 50e3;
	bl_pace_answered(&pace, 200); /* with a connection to be made */
	assert_int_equal(bl_pace_chunk(&pace, plenty), 100000000);
	bl_pace_answered(&pace, 20);
	assert_int_equal(bl_pace_chunk(&pace, plenty), 20000000);
	bl_pace_answered(&pace, 0);
	assert_int_equal(bl_pace_chunk(&pace, plenty), 2500000);
	/* Many slow answers among fast ones are waiting of our own; where all are slow the origin is. */
	for (int i = 0; i < 500; i++)
		bl_pace_answered(&pace, i % 16 ? 30 : 0);
	assert_int_equal(bl_pace_chunk(&pace, plenty), 2500000);
	for (int i = 0; i < 100; i++)
		bl_pace_answered(&pace, 20);
	assert_int_equal(bl_pace_chunk(&pace, plenty), 20000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pace),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_latency),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
