// SPDX-License-Identifier: Apache-2.0
/* The command line and its times; ids, capabilities. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "hook/capabilities.h"
#include "hook/inject.h"
#include "hook/options.h"

static int parse(const char *a, const char *b, struct bl_options *options)
{
	char *argv[] = {(char *)"ballast-hook", (char *)a, (char *)b, NULL};
	struct bl_err err;

	return bl_options_parse(b ? 3 : a ? 2 : 1, argv, options, &err);
}

static void test_options(void **state)
{
	struct bl_options options;

	(void)state;
	assert_int_equal(parse(NULL, NULL, &options), 0);
	assert_string_equal(options.agent, "/run/ballast/agent.sock");
	assert_int_equal(options.timeout, 90000);
	assert_true(options.seccomp);
	assert_int_equal(parse("--agent=unix:/x", "prestart", &options), 0);
	assert_string_equal(options.agent, "/x");
	assert_int_equal(options.stage, BL_STAGE_CREATE);
	assert_int_equal(parse("--seccomp=off", "--allow-exec", &options), 0);
	assert_false(options.seccomp);
	assert_true(options.allow_exec);
	assert_true(parse("--seccomp", NULL, &options) < 0);
	assert_true(parse("--required=yes", NULL, &options) < 0);
	assert_true(parse("--require", NULL, &options) < 0);
	assert_true(parse("prestart", "poststop", &options) < 0);
	assert_true(parse("startContainer", NULL, &options) < 0);
	assert_true(parse("--shim=relative", NULL, &options) < 0);
	assert_true(parse("--tenant=../x", NULL, &options) < 0);
	assert_true(parse("--runtime=docker", NULL, &options) < 0);
	assert_true(parse("--log-format=xml", NULL, &options) < 0);
	assert_true(parse("--on-timeout=wait", NULL, &options) < 0);
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} good[] = {{"1ms", 1}, {"90s", 90000}, {"5m", 300000}, {"24h", 86400000}};
	static const char *const bad[] = {"",	"90",  "s",    "-1s",	       "1.5s", "0s",
					  "1d", "25h", "90 s", "99999999999s", "1S",   "0x1s"};
	struct bl_err err;
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		assert_int_equal(bl_options_duration(good[i].text, &ms, &err), 0);
		assert_int_equal(ms, good[i].ms);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (bl_options_duration(bad[i], &ms, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
}

static void test_maps(void **state)
{
	static const char map[] =
		"         0     200000      1000\n      5000          0          1\n";
	struct bl_err err;
	uint32_t id;

	(void)state;
	assert_int_equal(bl_inject_map_id(map, 0, &id, &err), 0);
	assert_int_equal(id, 200000);
	assert_int_equal(bl_inject_map_id(map, 999, &id, &err), 0);
	assert_int_equal(id, 200999);
	assert_int_equal(bl_inject_map_id(map, 5000, &id, &err), 0);
	assert_int_equal(id, 0);
	assert_true(bl_inject_map_id(map, 1000, &id, &err) < 0);
	assert_true(bl_inject_map_id("", 0, &id, &err) < 0);
	assert_int_equal(bl_inject_map_id("0 0 4294967295", 4294967294U, &id, &err), 0);
}

static void test_capabilities(void **state)
{
	static const char *const bad[] = {
		"",	      "cap_nothing", "cap_chown,",	   ",cap_chown",
		"cap_chown ", "21",	     "cap_chown,,cap_kill"};
	struct bl_err err;
	uint64_t mask;

	(void)state;
	assert_int_equal(bl_capabilities_parse("cap_chown,CAP_SYS_NICE,kill", &mask, &err), 0);
	assert_int_equal(mask, 1U << 0 | 1U << 23 | 1U << 5);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (bl_capabilities_parse(bad[i], &mask, &err) >= 0)
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
