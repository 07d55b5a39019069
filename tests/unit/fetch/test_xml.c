// SPDX-License-Identifier: Apache-2.0
/* XML answers: what a reader sees of a good one, and which are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "fetch/xml.h"

static int note(void *ctx, const char *path, const char *text, size_t len, struct bl_err *err)
{
	assert_int_equal(strlen(text), len);
	if (strcmp(text, "stop") == 0)
		return bl_err_set(err, BL_EX_RETRY, EIO, "stopped");
	return bl_buf_putf(ctx, err, "%s=%s;", path, text);
}

static int parse(const char *text, struct bl_buf *seen, struct bl_err *err)
{
	return bl_xml_parse(text, strlen(text), note, seen, err);
}

static void elements_in_their_order(void **state)
{
	auto_buf seen = BL_BUF_INIT(4096);
	struct bl_err err;

	(void)state;
	assert_int_equal(parse("\xef\xbb\xbf<?xml version=\"1.0\"?>\n<a xmlns=\"x\"><b>1&amp;"
			       "<![CDATA[<2>]]>&#x33;</b><n:c xmlns:n=\"y\"/><b/>t</a>",
			       &seen, &err),
			 0);
	assert_string_equal(bl_buf_str(&seen), "a/b=1&<2>3;a/c=;a/b=;a=t;");
}

static void refused(void **state)
{
	static const char *const bad[] = {
		"",
		"not xml",
		"<a><b></a>",
		"<a/><b/>",
		"<a>&unknown;</a>",
		"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
		"<!DOCTYPE a SYSTEM \"http://127.0.0.1/x\"><a/>",
		"<a>\x01</a>",
		"<a>\xff</a>",
		"<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		auto_buf seen = BL_BUF_INIT(4096);
		struct bl_err err;

		if (parse(bad[i], &seen, &err) != -EBADMSG)
			fail_msg("row %zu was read: %s", i, bl_buf_str(&seen));
	}
}

static void text_is_bounded(void **state)
{
	auto_buf seen = BL_BUF_INIT(4096);
	auto_buf text = BL_BUF_INIT(200000);
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_buf_puts(&text, "<a>", &err), 0);
	for (size_t i = 0; i < 70; i++)
		assert_int_equal(bl_buf_putf(&text, &err, "%01000d", 0), 0);
	assert_int_equal(bl_buf_puts(&text, "</a>", &err), 0);
	assert_int_equal(parse(text.data, &seen, &err), -EFBIG);
}

static void the_readers_failure_is_passed_on(void **state)
{
	auto_buf seen = BL_BUF_INIT(4096);
	struct bl_err err;

	(void)state;
	assert_int_equal(parse("<a><b>1</b><b>stop</b><b/></a>", &seen, &err), -EIO);
	assert_string_equal(err.msg, "stopped");
	assert_string_equal(bl_buf_str(&seen), "a/b=1;");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_in_their_order),
		cmocka_unit_test(refused),
		cmocka_unit_test(text_is_bounded),
		cmocka_unit_test(the_readers_failure_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
