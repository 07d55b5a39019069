// SPDX-License-Identifier: Apache-2.0
/* Log lines: one line whatever the text holds, bounded, and valid JSON in that format. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/log.h"

/* What fmt with text and fields says on stderr, as a string of the buffer. */
static void logged(struct bl_buf *buf, enum bl_log_level level, const struct bl_log_field *fields,
		   size_t n, const char *text)
{
	int saved = dup(STDERR_FILENO);
	int fds[2];
	struct bl_err err;

	assert_true(saved >= 0);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	bl_log_with(level, fields, n, "%s", text);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	close(fds[1]);
	assert_int_equal(bl_buf_read(buf, fds[0], &err), 0);
	close(fds[0]);
}

static void assert_escaped(const char *text, const char *expected)
{
	char to[256];

	assert_int_equal(bl_log_escape(to, sizeof(to), text), strlen(expected));
	assert_string_equal(to, expected);
}

static void escapes_what_could_lie(void **state)
{
	(void)state;
	assert_escaped("plain \xc3\xa9 \xf0\x9f\x98\x80", "plain \xc3\xa9 \xf0\x9f\x98\x80");
	assert_escaped("a\nb\r\t\x1b[31m", "a\\x0ab\\x0d\\x09\\x1b[31m");
	assert_escaped("\x7f", "\\x7f");
	assert_escaped("back\\slash", "back\\\\slash");
	assert_escaped("\xc2\x9b", "\\xc2\\x9b");	   /* C1: CSI */
	assert_escaped("\xe2\x80\xae", "\\xe2\\x80\\xae"); /* right-to-left override */
	assert_escaped("\xe2\x81\xa6", "\\xe2\\x81\\xa6"); /* isolate */
	assert_escaped("\xe2\x80\xa8", "\\xe2\\x80\\xa8"); /* line separator */
	assert_escaped("\xff\xc0\xaf", "\\xff\\xc0\\xaf"); /* no UTF-8 */
	assert_escaped("\xe2\x82", "\\xe2\\x82");	   /* cut short */
	assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
	assert_escaped("%n%s", "%n%s");
}

static void cuts_with_dots(void **state)
{
	char to[8];
	(void)state;

	assert_int_equal(bl_log_escape(to, sizeof(to), "1234567890"), 7);
	assert_string_equal(to, "1234...");
	assert_int_equal(bl_log_escape(to, sizeof(to), "\n\n\n"), 7);
	assert_string_equal(to, "\\x0a...");
}

static void text_lines(void **state)
{
	const struct bl_log_field fields[] = {{"tenant", "a\nb"}, {"gone", NULL}, {"n", "1"}};
	auto_buf buf = BL_BUF_INIT(65536);
	(void)state;

	bl_log_init("prog", BL_LOG_TEXT, BL_LOG_INFO);
	logged(&buf, BL_LOG_DEBUG, NULL, 0, "hidden");
	assert_string_equal(bl_buf_str(&buf), "");
	logged(&buf, BL_LOG_ERROR, fields, 3, "bad\nline");
	assert_string_equal(bl_buf_str(&buf), "prog: error: bad\\x0aline tenant=a\\x0ab n=1\n");
}

static void json_lines_parse_whatever_they_hold(void **state)
{
	const struct bl_json_limits limits = {.max_bytes = BL_LOG_LINE_MAX};
	char huge[8192];
	char quotes[4096];
	(void)state;

	memset(huge, '\n', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	memset(quotes, '"', sizeof(quotes) - 1);
	quotes[sizeof(quotes) - 1] = '\0';
	bl_log_init("prog", BL_LOG_JSON, BL_LOG_DEBUG);
	const char *const texts[] = {"", "plain", "\"q\\", "\xff\x1b", huge, quotes};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		const struct bl_log_field fields[] = {
			{"a", texts[i]}, {"b", huge}, {"c", quotes}, {"d", "e"}};
		auto_buf buf = BL_BUF_INIT(65536);
		auto_json json = NULL;
		const char *level = NULL;
		struct bl_err err;

		logged(&buf, BL_LOG_WARNING, fields, 4, texts[i]);
		assert_true(buf.len <= BL_LOG_LINE_MAX);
		assert_ptr_equal(strchr(buf.data, '\n'), buf.data + buf.len - 1);
		if (bl_json_parse(buf.data, buf.len, &limits, &json, &err) < 0)
			fail_msg("%s: %s", err.msg, buf.data);
		assert_int_equal(bl_json_get_string(json, "level", &level, &err), 1);
		assert_string_equal(level, "warning");
	}
	bl_log_init("ballast", BL_LOG_TEXT, BL_LOG_INFO);
}

static void formats_by_name(void **state)
{
	enum bl_log_format format = BL_LOG_TEXT;
	(void)state;

	assert_int_equal(bl_log_parse_format("json", &format), 0);
	assert_int_equal(format, BL_LOG_JSON);
	assert_int_equal(bl_log_parse_format("JSON", &format), -EINVAL);
	assert_int_equal(bl_log_parse_format("", &format), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_what_could_lie),
		cmocka_unit_test(cuts_with_dots),
		cmocka_unit_test(text_lines),
		cmocka_unit_test(json_lines_parse_whatever_they_hold),
		cmocka_unit_test(formats_by_name),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
