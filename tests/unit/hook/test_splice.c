// SPDX-License-Identifier: Apache-2.0
/* Members found and changed in a JSON text whose every other byte stays. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "hook/splice.h"

static void check_value(const char *text, const char *key, const char *expected)
{
	struct bl_splice_span span;
	bool found = bl_splice_find(text, bl_splice_value(text, 0), key, &span);

	if (!expected) {
		assert_false(found);
		return;
	}
	assert_true(found);
	assert_int_equal(span.to - span.from, strlen(expected));
	assert_memory_equal(text + span.from, expected, strlen(expected));
}

static void test_find(void **state)
{
	static const char text[] =
		" { \"a\\\"}\" : \"x]}\" ,\"b\":[1,{\"c\":2}],\n\"c\"\t:{\"d\" : null , "
		"\"e\":18446744073709551615},\"f\":true,\"g\":\"\",\"h\":-1.5e3 } ";

	(void)state;
	check_value(text, "b", "[1,{\"c\":2}]");
	check_value(text, "c", "{\"d\" : null , \"e\":18446744073709551615}");
	check_value(text, "f", "true");
	check_value(text, "g", "\"\"");
	check_value(text, "h", "-1.5e3");
	check_value(text, "d", NULL);
	check_value(text, "a", NULL);
	check_value("{}", "a", NULL);
	check_value("{ }", "", NULL);
}

static void test_apply(void **state)
{
	static const char text[] = "0123456789";
	struct bl_splice_edit edits[] = {
		{{8, 10}, "YY!"},
		{{0, 0}, ">"},
		{{3, 5}, ""},
	};
	auto_buf to = BL_BUF_INIT(100);
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_splice_apply(&to, text, 10, edits, 3, &err), 0);
	assert_string_equal(bl_buf_str(&to), ">012567YY!");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_apply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
