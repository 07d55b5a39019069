// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/human.h"
#include "cli/meter.h"

static void sizes(void **state)
{
	(void)state;
	assert_string_equal(bl_human_bytes(0).text, "0 B");
	assert_string_equal(bl_human_bytes(-5).text, "0 B");
	assert_string_equal(bl_human_bytes(1023).text, "1023 B");
	assert_string_equal(bl_human_bytes(1024).text, "1.0 KiB");
	assert_string_equal(bl_human_bytes(1536).text, "1.5 KiB");
	assert_string_equal(bl_human_bytes(1048575).text, "1.0 MiB");
	assert_string_equal(bl_human_bytes(5LL << 30).text, "5.0 GiB");
	assert_string_equal(bl_human_bytes(150LL << 20).text, "150 MiB");
	assert_string_equal(bl_human_bytes(INT64_MAX).text, "8.0 EiB");
}

static void times(void **state)
{
	(void)state;
	assert_string_equal(bl_human_seconds(-1).text, "0 s");
	assert_string_equal(bl_human_seconds(59).text, "59 s");
	assert_string_equal(bl_human_seconds(60).text, "1 min 0 s");
	assert_string_equal(bl_human_seconds(3725).text, "1 h 2 min");
	assert_string_equal(bl_human_seconds(INT64_MAX).text, "106751991167300 days");
}

static const char *line_of(const struct bl_meter_state *state, int columns)
{
	static char line[1024];

	bl_meter_line(state, columns, line, sizeof(line));
	return line;
}

static void bars(void **state)
{
	struct bl_meter_state at = {0};

	(void)state;
	assert_string_equal(line_of(&at, 80), "[........................] asking the origin");
	at = (struct bl_meter_state){.bytes_done = 512 << 20,
				     .bytes_total = 1 << 30,
				     .bytes_per_second = 128 << 20,
				     .file = "a\x1b.bin"};
	assert_string_equal(line_of(&at, 120),
			    "[############............]  50%  512 MiB of 1.0 GiB, 128 MiB/s, 5 s "
			    "left  a\\x1b.bin");
	assert_int_equal(strlen(line_of(&at, 40)), 39);
	assert_string_equal(line_of(&at, 20), "50%  512 MiB of 1.0");
	assert_int_equal(strlen(line_of(&at, 1)), 0);
	at.bytes_done = at.bytes_total;
	assert_non_null(strstr(line_of(&at, 120), "100%  1.0 GiB of 1.0 GiB, verifying"));
	/* An origin that sends more than it promised is not shown as more than all. */
	at.bytes_done = at.bytes_total + 5;
	assert_non_null(strstr(line_of(&at, 120), "[########################] 100%"));
	at = (struct bl_meter_state){.bytes_done = INT64_MAX - 1, .bytes_total = INT64_MAX};
	assert_non_null(strstr(line_of(&at, 120), "%"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(times),
		cmocka_unit_test(bars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
