// SPDX-License-Identifier: Apache-2.0
/* The dialect of HTTP that is spoken with the agent: heads that are taken, and all that are not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent_client.h"
#include "common/err.h"

static int parse(const char *text, struct bl_agent_head *head)
{
	struct bl_err err;

	return bl_agent_parse_head(text, strlen(text), head, &err);
}

static void test_heads(void **state)
{
	struct bl_agent_head head;

	(void)state;
	assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Type: "
			       "application/json\r\n\r\n",
			       &head),
			 0);
	assert_int_equal(head.status, 200);
	assert_int_equal(head.length, 12);
	assert_true(head.json);
	assert_int_equal(parse("HTTP/1.0 422 \r\ncontent-length:0 \r\ncontent-type: "
			       "application/problem+json; x=y\r\n\r\n",
			       &head),
			 0);
	assert_int_equal(head.status, 422);
	assert_true(head.json);
	assert_int_equal(parse("HTTP/1.1 204\r\n\r\n", &head), 0);
	assert_false(head.json);
	assert_int_equal(parse("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Type: "
			       "application/jsonx\r\n\r\n",
			       &head),
			 0);
	assert_false(head.json);
}

static void test_refused_heads(void **state)
{
	static const char *const heads[] = {
		"",
		"\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 20 X\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1 2\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	};
	struct bl_agent_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++)
		if (parse(heads[i], &head) >= 0)
			fail_msg("taken: %s", heads[i]);
	assert_true(bl_agent_parse_head("HTTP/1.1 204 \0\r\n\r\n", 18, &head, NULL) < 0);
}

static void test_problems(void **state)
{
	static const struct {
		int status, code;
	} cases[] = {{301, BL_EX_INTERNAL}, {400, BL_EX_CONFIG}, {401, BL_EX_REFUSED},
		     {403, BL_EX_REFUSED},  {404, BL_EX_CONFIG}, {409, BL_EX_REFUSED},
		     {429, BL_EX_RETRY},    {418, BL_EX_CONFIG}, {422, BL_EX_CONFIG},
		     {500, BL_EX_RETRY},    {502, BL_EX_RETRY},	 {503, BL_EX_RETRY},
		     {507, BL_EX_RETRY}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bl_agent_answer answer = {.status = cases[i].status};
		struct bl_err err;

		assert_true(bl_agent_problem(&answer, &err) < 0);
		assert_int_equal(err.code, cases[i].code);
	}
}

static void test_addresses(void **state)
{
	const char *path = NULL;
	char text[200];
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_agent_parse_address("unix:/run/a.sock", &path, &err), 0);
	assert_string_equal(path, "/run/a.sock");
	assert_int_equal(bl_agent_parse_address("/run/a.sock", &path, &err), 0);
	assert_true(bl_agent_parse_address("tcp:1.2.3.4:5", &path, &err) < 0);
	assert_true(bl_agent_parse_address("run/a", &path, &err) < 0);
	memset(text, 'a', sizeof(text));
	text[0] = '/';
	text[sizeof(text) - 1] = '\0';
	assert_true(bl_agent_parse_address(text, &path, &err) < 0);
}

static void test_escape(void **state)
{
	auto_buf buf = BL_BUF_INIT(256);
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_agent_escape(&buf, "a-Z_0.~/..?x=1&\xc3\xa4 %", &err), 0);
	assert_string_equal(bl_buf_str(&buf), "a-Z_0.~%2F..%3Fx%3D1%26%C3%A4%20%25");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_heads),	 cmocka_unit_test(test_refused_heads),
		cmocka_unit_test(test_problems), cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
