// SPDX-License-Identifier: Apache-2.0
/* Headers that decide whether bytes are believed and when to come back. */
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
#include "fetch/http_headers.h"
#include "fetch/retry.h"

static void test_content_range(void **state)
{
	static const char *const bad[] = {
		"",
		"bytes",
		"bytes 0-9",
		"bytes 0-9/*",
		"bytes */10",
		"bytes 9-0/10",
		"bytes 0-10/10",
		"bytes -1-5/10",
		"bytes 0-9/10x",
		"items 0-9/10",
		"bytes 0-/10",
		"bytes 0x0-9/10",
		"bytes 0-9/99999999999999999999",
		"bytes 99999999999999999999-9/10",
	};
	int64_t from, to, size;

	(void)state;
	assert_int_equal(bl_http_parse_content_range("bytes 5-9/10", &from, &to, &size), 0);
	assert_int_equal(from, 5);
	assert_int_equal(to, 10);
	assert_int_equal(size, 10);
	assert_int_equal(bl_http_parse_content_range("Bytes 0-0/1 ", &from, &to, &size), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (bl_http_parse_content_range(bad[i], &from, &to, &size) == 0)
			fail_msg("'%s' is taken", bad[i]);
}

static void test_next_link(void **state)
{
	static const struct {
		const char *value, *next;
	} cases[] = {
		{"<https://h/a?cursor=1,2>; rel=\"next\"", "https://h/a?cursor=1,2"},
		{"<a>; rel=\"prev\", <b>; rel=\"next\"", "b"},
		{"<a>; rel=next", "a"},
		{"<a>; rel=\"prev next\"", "a"},
		{"<a>; rel=\"next\tlast\"", "a"},
		{"<a> ;\tREL = \"Next\"", "a"},
		{"<a>; rel = next, <b>; rel=last", "a"},
		{"<a>; title=\"x; y\"; rel=\"next\"", "a"},
		{"<a>; title=\"; rel=next\"", NULL},
		{"<a>; title=\"x <b> y\"; rel=\"next\"", "a"},
		{"<a>; title=\"less < more\"; rel=\"next\"", "a"},
		{"<a>; title=\"<b>; rel=next\", <c>; rel=next", "c"},
		{"<a>; title=\"\\\"; rel=next; \"", NULL},
		{"<a>; title=\"\\\\\"; rel=next", "a"},
		{"<a>; rel=nextish", NULL},
		{"<a>; rel=\"nextish last\"", NULL},
		{"<a>; xrel=next", NULL},
		{"<a>; rel", NULL},
		{"<a>; rel=", NULL},
		{"<a>; rel=\"", NULL},
		{"<a>;;", NULL},
		{"<a>; rel=\"prev\"", NULL},
		{"<a", NULL},
		{"", NULL},
		{"a; rel=\"next\"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_free char *next = bl_http_parse_next_link(cases[i].value);

		if (!cases[i].next)
			assert_null(next);
		else
			assert_string_equal(next, cases[i].next);
	}
}

static void test_next_link_of_several_headers(void **state)
{
	auto_headers headers = {0};

	(void)state;
	assert_null(bl_http_headers_next_link(&headers));
	assert_int_equal(bl_http_headers_add(&headers, "Link", "</s.css>; rel=preload", NULL), 0);
	assert_int_equal(bl_http_headers_add(&headers, "X-Link", "<x>; rel=next", NULL), 0);
	assert_null(bl_http_headers_next_link(&headers));
	assert_int_equal(bl_http_headers_add(&headers, "link", "<b>; rel=\"next\"", NULL), 0);
	auto_free char *next = bl_http_headers_next_link(&headers);
	assert_string_equal(next, "b");
}

static void test_retry_after(void **state)
{
	(void)state;
	assert_int_equal(bl_http_parse_retry_after("5", 0, 30), 5);
	assert_int_equal(bl_http_parse_retry_after("1000000000", 0, 30), 30);
	assert_int_equal(bl_http_parse_retry_after("99999999999999999999999", 0, 30), 30);
	assert_int_equal(bl_http_parse_retry_after("Thu, 01 Jan 1970 00:00:10 GMT", 3, 30), 7);
	assert_int_equal(bl_http_parse_retry_after("Thu, 01 Jan 1970 00:00:10 GMT", 99, 30), 0);
	assert_int_equal(bl_http_parse_retry_after("-5", 0, 30), -1);
	assert_int_equal(bl_http_parse_retry_after("soon", 0, 30), -1);
}

static void test_pauses_are_bounded(void **state)
{
	auto_headers asked = {0};

	(void)state;
	for (unsigned tries = 1; tries < 100; tries++) {
		int64_t pause = bl_retry_pause(tries, NULL);

		assert_in_range(pause, 1, BL_RETRY_MAX_PAUSE * 1000);
	}
	assert_true(bl_retry_pause(1, NULL) <= 250);
	assert_int_equal(bl_http_headers_add(&asked, "Retry-After", "1000000000", NULL), 0);
	assert_int_equal(bl_retry_pause(1, &asked), BL_RETRY_MAX_ASKED * 1000);
}

/* The Hub's way to say it: draft-ietf-httpapi-ratelimit-headers. */
static void test_ratelimit_is_heeded(void **state)
{
	auto_headers asked = {0};
	auto_headers much = {0};

	(void)state;
	assert_int_equal(bl_http_headers_add(&asked, "ratelimit", "\"api\";r=0;t=7", NULL), 0);
	assert_int_equal(bl_retry_pause(1, &asked), 7000);
	bl_http_headers_done(&asked);
	assert_int_equal(bl_http_headers_add(&asked, "RateLimit", "\"api\"; r=0; t=7", NULL), 0);
	assert_int_equal(bl_retry_pause(1, &asked), 7000);
	assert_int_equal(bl_http_headers_add(&much, "RateLimit", "\"api\";r=0;t=100000", NULL), 0);
	assert_int_equal(bl_retry_pause(1, &much), BL_RETRY_MAX_ASKED * 1000);
}

static void test_lists(void **state)
{
	auto_headers headers = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_http_headers_add(&headers, "A", "1", &err), 0);
	assert_int_equal(bl_http_headers_add(&headers, "Empty", "", &err), 0);
	assert_int_equal(bl_http_headers_add(&headers, "Ab", "2", &err), 0);
	assert_string_equal(bl_http_headers_get(&headers, "ab"), "2");
	assert_string_equal(bl_http_headers_get(&headers, "a"), "1");
	assert_string_equal(bl_http_headers_get(&headers, "empty"), "");
	assert_null(bl_http_headers_get(&headers, "b"));
	assert_int_equal(bl_http_headers_add(&headers, "A", "canary\r\nEvil: 1", &err), -EINVAL);
	assert_null(strstr(err.msg, "canary"));
	assert_int_equal(bl_http_headers_add(&headers, "A:", "1", &err), -EINVAL);
	assert_int_equal(bl_http_headers_add(&headers, "", "1", &err), -EINVAL);
	for (int i = 0; i < 253; i++)
		assert_int_equal(bl_http_headers_add(&headers, "N", "x", &err), 0);
	assert_int_equal(bl_http_headers_add(&headers, "N", "x", &err), -EFBIG);
}

static void test_small_ones(void **state)
{
	(void)state;
	assert_int_equal(bl_http_parse_length("12 "), 12);
	assert_int_equal(bl_http_parse_length("-1"), -1);
	assert_int_equal(bl_http_parse_length("1, 1"), -1);
	assert_int_equal(bl_http_parse_length(""), -1);
	assert_true(bl_http_is_strong_etag("\"abc\""));
	assert_false(bl_http_is_strong_etag("W/\"abc\""));
	assert_false(bl_http_is_strong_etag("abc"));
	assert_false(bl_http_is_strong_etag("\"a\"b\""));
	assert_false(bl_http_is_strong_etag("\""));
	assert_false(bl_http_is_strong_etag("\"a b\""));
}

/* RFC 9110, 5.5: it is no part of the value; an ETag or a Location with it is still one. */
static void test_white_space_behind_a_value(void **state)
{
	auto_headers headers = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_http_headers_add(&headers, "ETag", "\"v1\" \t ", &err), 0);
	assert_int_equal(bl_http_headers_add(&headers, "X-Empty", " \t", &err), 0);
	assert_string_equal(bl_http_headers_get(&headers, "etag"), "\"v1\"");
	assert_string_equal(bl_http_headers_get(&headers, "x-empty"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_white_space_behind_a_value),
		cmocka_unit_test(test_content_range),
		cmocka_unit_test(test_next_link),
		cmocka_unit_test(test_next_link_of_several_headers),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_pauses_are_bounded),
		cmocka_unit_test(test_ratelimit_is_heeded),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_small_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
