// SPDX-License-Identifier: Apache-2.0
/* Manifests: what a listing may become, and when a file counts as unchanged. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/manifest.h"

static int add(struct bl_manifest *manifest, const char *path, int64_t size)
{
	struct bl_entry entry = {.path = path, .size = size, .etag = "\"v1\""};

	return bl_manifest_add(manifest, &entry, NULL);
}

static void test_order_and_look_up(void **state)
{
	auto_manifest manifest = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_manifest_new(NULL, NULL, &manifest, &err), 0);
	assert_int_equal(add(manifest, "b/c", 3), 0);
	assert_int_equal(add(manifest, "a", 1), 0);
	assert_int_equal(add(manifest, "b-c", 2), 0);
	assert_int_equal(bl_manifest_finish(manifest, &err), 0);
	assert_int_equal(bl_manifest_count(manifest), 3);
	assert_int_equal(bl_manifest_bytes(manifest), 6);
	assert_string_equal(bl_manifest_at(manifest, 0)->path, "a");
	assert_string_equal(bl_manifest_at(manifest, 1)->path, "b-c");
	assert_string_equal(bl_manifest_find(manifest, "b/c")->path, "b/c");
	assert_null(bl_manifest_find(manifest, "b"));
}

static void test_refusals(void **state)
{
	auto_manifest manifest = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_manifest_new(NULL, NULL, &manifest, &err), 0);
	assert_int_equal(bl_manifest_finish(manifest, &err), -ENOENT);
	assert_int_equal(add(manifest, "../x", 1), -EBADMSG);
	assert_int_equal(add(manifest, "x", -1), -EBADMSG);
	assert_int_equal(add(manifest, "x", INT64_MAX), -EBADMSG);
	assert_int_equal(add(manifest, "a", 1), 0);
	assert_int_equal(add(manifest, "a/b", 1), 0);
	assert_int_equal(bl_manifest_finish(manifest, &err), -EBADMSG);
}

static void test_a_dropped_name_is_judged_too(void **state)
{
	const char *const allow[] = {"*.json", NULL};
	auto_manifest manifest = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_manifest_new(allow, NULL, &manifest, &err), 0);
	assert_int_equal(add(manifest, "x.bin", 1), 0);
	assert_int_equal(add(manifest, "../x.bin", 1), -EBADMSG);
	assert_int_equal(bl_manifest_finish(manifest, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "*.json"));
}

static void test_memory_is_bounded(void **state)
{
	auto_manifest manifest = NULL;
	char path[64];
	int rc = 0, n = 0;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_manifest_new(NULL, NULL, &manifest, &err), 0);
	for (; rc == 0 && n < 1000000; n++) {
		snprintf(path, sizeof(path), "directory/file-%d.safetensors", n);
		rc = add(manifest, path, 1);
	}
	assert_int_equal(rc, -EFBIG);
	assert_true(n > 50000);
}

static void test_the_same_promise(void **state)
{
	static const struct {
		const char *known;
		bool same;
	} cases[] = {
		{"{\"path\":\"a\",\"size\":1,\"etag\":\"\\\"v1\\\"\"}", true},
		{"{\"path\":\"a\",\"size\":2,\"etag\":\"\\\"v1\\\"\"}", false},
		{"{\"path\":\"a\",\"size\":1,\"etag\":\"\\\"v2\\\"\"}", false},
		{"{\"path\":\"a\",\"size\":1}", false},
		{"{\"path\":\"a\",\"size\":1,\"etag\":\"\\\"v1\\\"\",\"md5\":"
		 "\"900150983cd24fb0d6963f7d28e17f72\"}",
		 true},
	};
	const struct bl_json_limits limits = {.max_bytes = 1000};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_manifest manifest = NULL;
		auto_json known = NULL;
		struct bl_err err;

		assert_int_equal(bl_manifest_new(NULL, NULL, &manifest, &err), 0);
		assert_int_equal(add(manifest, "a", 1), 0);
		assert_int_equal(bl_manifest_finish(manifest, &err), 0);
		assert_int_equal(bl_json_parse(cases[i].known, strlen(cases[i].known), &limits,
					       &known, &err),
				 0);
		if (bl_manifest_same_promise(bl_manifest_at(manifest, 0), known, true) !=
		    cases[i].same)
			fail_msg("%s", cases[i].known);
	}
}

/* Two servers may give two files the same ETag. */
static void test_another_source_is_known_by_digests_alone(void **state)
{
	static const char alike[] = "{\"size\":1,\"etag\":\"\\\"v1\\\"\",\"generation\":\"7\"}";
	static const char digested[] = "{\"size\":1,\"etag\":\"\\\"v2\\\"\",\"md5\":"
				       "\"04000000000000000000000000000000\"}";
	const struct bl_json_limits limits = {.max_bytes = 1000};
	const struct bl_digest md5 = {.len = 16, .bytes = {4}};
	struct bl_entry entry = {.size = 1, .etag = "\"v1\"", .generation = "7"};
	auto_json first = NULL;
	auto_json second = NULL;

	(void)state;
	bl_manifest_promise(&entry, BL_DIGEST_MD5, &md5);
	assert_int_equal(bl_json_parse(alike, strlen(alike), &limits, &first, NULL), 0);
	assert_int_equal(bl_json_parse(digested, strlen(digested), &limits, &second, NULL), 0);
	assert_true(bl_manifest_same_promise(&entry, first, true));
	assert_false(bl_manifest_same_promise(&entry, first, false));
	assert_false(bl_manifest_same_promise(&entry, second, true));
	assert_true(bl_manifest_same_promise(&entry, second, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_look_up),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_a_dropped_name_is_judged_too),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_the_same_promise),
		cmocka_unit_test(test_another_source_is_known_by_digests_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
