/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges against a plain map of bytes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/err.h"
#include "common/ranges.h"

#define MAP 64

/* The first part of [from, to) that the map has not. */
static void check_gap(const struct bl_ranges *ranges, const char *map, int from, int to)
{
	struct bl_range gap = bl_ranges_gap(ranges, from, to);
	int end;

	while (from < to && map[from])
		from++;
	for (end = from; end < to && !map[end];)
		end++;
	assert_int_equal(gap.from, from);
	assert_int_equal(gap.to, end);
}

static void check(const struct bl_ranges *ranges, const char *map)
{
	const char *hole = memchr(map, 0, MAP);
	int64_t total = 0;
	size_t r = 0;

	assert_int_equal(bl_ranges_front(ranges), hole ? hole - map : MAP);

	for (int i = 0; i < MAP;) {
		int from = i;

		while (i < MAP && map[i])
			i++;
		if (i == from) {
			i++;
			continue;
		}
		assert_true(r < ranges->count);
		assert_int_equal(ranges->at[r].from, from);
		assert_int_equal(ranges->at[r].to, i);
		r++;
		total += i - from;
	}
	assert_int_equal(r, ranges->count);
	assert_int_equal(total, bl_ranges_total(ranges));
}

static void test_ranges(void **state)
{
	char map[MAP] = {0};
	auto_ranges ranges = {0}, copy = {0};
	struct bl_err err;

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		int from = rand() % MAP, to = from + rand() % (MAP - from + 1), put = rand() % 2;

		memset(map + from, put, (size_t)(to - from));
		if (put)
			assert_int_equal(bl_ranges_add(&ranges, from, to, &err), 0);
		else
			assert_int_equal(bl_ranges_remove(&ranges, from, to, &err), 0);
		check(&ranges, map);
		from = rand() % MAP;
		check_gap(&ranges, map, from, from + 1 + rand() % (MAP - from));
	}
	assert_int_equal(bl_ranges_copy(&ranges, &copy, &err), 0);
	check(&copy, map);
	assert_int_equal(bl_ranges_add(&copy, 0, MAP, &err), 0);
	check(&ranges, map);
}

/* Too many are refused, and nothing has changed then. */
static void test_most(void **state)
{
	auto_ranges ranges = {0}, copy = {0};
	struct bl_err err;

	(void)state;
	for (int i = 0; i < BL_RANGES_MAX; i++)
		assert_int_equal(bl_ranges_add(&ranges, 2 * i, 2 * i + 1, &err), 0);
	assert_int_equal(bl_ranges_add(&ranges, 3 * BL_RANGES_MAX, 4 * BL_RANGES_MAX, &err),
			 -E2BIG);
	assert_int_equal(ranges.count, BL_RANGES_MAX);
	assert_int_equal(bl_ranges_total(&ranges), BL_RANGES_MAX);
	/* what joins two of them makes it one less */
	assert_int_equal(bl_ranges_add(&ranges, 1, 2, &err), 0);
	assert_int_equal(ranges.count, BL_RANGES_MAX - 1);
	/* whatever room there is: a copy has as much as it needs, and doubles it */
	assert_int_equal(bl_ranges_copy(&ranges, &copy, &err), 0);
	assert_int_equal(bl_ranges_add(&copy, 3 * BL_RANGES_MAX, 3 * BL_RANGES_MAX + 1, &err), 0);
	assert_int_equal(bl_ranges_add(&copy, 4 * BL_RANGES_MAX, 4 * BL_RANGES_MAX + 1, &err),
			 -E2BIG);
	assert_int_equal(copy.count, BL_RANGES_MAX);
}

static void test_ranges_from_json(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{"[]", 0},
		{"[[0,5],[7,10]]", 0},
		{"[[0,11]]", -EINVAL},
		{"[[5,5]]", -EINVAL},
		{"[[6,5]]", -EINVAL},
		{"[[0,5],[4,6]]", -EINVAL},
		{"[[0]]", -EINVAL},
		{"[0,5]", -EINVAL},
		{"[[0,5,6]]", -EINVAL},
		{"[[-1,5]]", -EINVAL},
		{"[[\"0\",5]]", -EINVAL},
	};
	const struct bl_json_limits limits = {.max_bytes = 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_json json = NULL;
		auto_ranges ranges = {0};
		struct bl_err err;

		assert_int_equal(
			bl_json_parse(cases[i].text, strlen(cases[i].text), &limits, &json, &err),
			0);
		if (bl_ranges_from_json(json, 10, &ranges, &err) != cases[i].rc)
			fail_msg("%s", cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_most),
		cmocka_unit_test(test_ranges_from_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
