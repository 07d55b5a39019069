// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/human.h"
#include "common/meter.h"

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

/* What a meter writes to the file `to` as stderr, first at `first` ms after its beginning, then 5 s later. */
static char *shown_on(int to, const char *term, int64_t first)
{
	const struct bl_meter_state half = {.bytes_done = 1 << 20, .bytes_total = 2 << 20};
	static char shown[1024];
	int before = dup(STDERR_FILENO);
	struct bl_meter meter;
	ssize_t n;

	assert_true(before >= 0 && dup2(to, STDERR_FILENO) == STDERR_FILENO);
	assert_int_equal(term ? setenv("TERM", term, 1) : unsetenv("TERM"), 0);
	bl_meter_init(&meter, "ballast", 1000);
	bl_meter_show(&meter, &half, 1000 + first);
	bl_meter_show(&meter, &half, 1000 + first + 1);
	bl_meter_show(&meter, &half, 1000 + first + 5000);
	bl_meter_clear(&meter);
	assert_int_equal(dup2(before, STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(close(before), 0);
	n = read(STDIN_FILENO, shown, sizeof(shown) - 1);
	shown[n > 0 ? n : 0] = '\0';
	return shown;
}

static void plain_lines(void **state)
{
	static const char line[] = "ballast: 50%  1.0 MiB of 2.0 MiB\n";
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
	assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	assert_string_equal(shown_on(ends[1], "xterm", 4999), line);
	assert_string_equal(shown_on(ends[1], "xterm", 5000),
			    "ballast: 50%  1.0 MiB of 2.0 MiB\nballast: 50%  1.0 MiB of 2.0 MiB\n");
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void terminals(void **state)
{
	static const char bar[] = "\r\033[K[############............]  50%  1.0 MiB";
	static const char line[] = "ballast: 50%  1.0 MiB of 2.0 MiB\r\n";
	int host = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	int terminal;

	(void)state;
	if (host < 0 || grantpt(host) < 0 || unlockpt(host) < 0)
		skip(); /* no /dev/ptmx */
	terminal = open(ptsname(host), O_RDWR | O_NOCTTY);
	assert_true(terminal >= 0 && dup2(host, STDIN_FILENO) == STDIN_FILENO);
	assert_string_equal(shown_on(terminal, "dumb", 4999), line);
	assert_string_equal(shown_on(terminal, "", 4999), line);
	assert_string_equal(shown_on(terminal, NULL, 4999), line);
	assert_memory_equal(shown_on(terminal, "xterm", 0), bar, strlen(bar));
	(void)close(terminal);
	(void)close(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),       cmocka_unit_test(times),	    cmocka_unit_test(bars),
		cmocka_unit_test(plain_lines), cmocka_unit_test(terminals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
