// SPDX-License-Identifier: Apache-2.0
/* Names of a hostile listing: each bad one is refused, each odd but safe one is let through. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/err.h"
#include "fetch/name.h"

#define NAME(text, why)                     \
	{                                   \
		text, sizeof(text) - 1, why \
	}

static const struct {
	const char *name;
	size_t len;
	const char *why; /* NULL: fine */
} names[] = {
	NAME("config.json", NULL),
	NAME("a/b/c", NULL),
	NAME("with space/and+plus/100%/#?&=", NULL),
	NAME("%2e%2e/x", NULL),
	NAME("...", NULL),
	NAME(".hidden/..x", NULL),
	NAME("na\xc3\xafve/\xe6\xa8\xa1\xe5\x9e\x8b/\xf0\x9f\xa4\x97", NULL),
	NAME("", "is empty"),
	NAME("/etc/passwd", "absolute"),
	NAME("a//b", "empty part"),
	NAME("a/", "empty part"),
	NAME("..", "'..'"),
	NAME("../x", "'..'"),
	NAME("a/../b", "'..'"),
	NAME("a/..", "'..'"),
	NAME(".", "'..'"),
	NAME("./a", "'..'"),
	NAME("a/./b", "'..'"),
	NAME("..\\x", "backslash"),
	NAME("C:\\x", "backslash"),
	NAME("a\0b", "NUL"),
	NAME("a\nb", "control"),
	NAME("a\x7f", "control"),
	NAME("a\xc2\x85", "control"),
	NAME("\x1b[2J", "control"),
	NAME("\xff", "UTF-8"),
	NAME("a\xc3", "UTF-8"),
	NAME("\xc0\xaf", "UTF-8"),
	NAME("\xe0\x80\xaf", "UTF-8"),
	NAME("\xed\xa0\x80", "UTF-8"),
	NAME("\xf4\x90\x80\x80", "UTF-8"),
};

static void each_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct bl_err err = {0};
		int r = bl_name_check(names[i].name, names[i].len, &err);

		if (!names[i].why && r != 0)
			fail_msg("row %zu: %s", i, err.msg);
		if (names[i].why && (r != -EBADMSG || !strstr(err.msg, names[i].why)))
			fail_msg("row %zu: %d %s", i, r, err.msg);
	}
}

static void limits(void **state)
{
	char name[4096];
	struct bl_err err;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[255] = '\0';
	assert_int_equal(bl_name_check(name, 255, &err), 0);
	name[255] = 'a';
	name[256] = '\0';
	assert_int_equal(bl_name_check(name, 256, &err), -EBADMSG);
	memset(name, 'a', sizeof(name));
	for (size_t i = 200; i < sizeof(name); i += 200)
		name[i] = '/';
	name[3072] = '\0';
	assert_int_equal(bl_name_check(name, 3072, &err), 0);
	name[3072] = 'a';
	name[3073] = '\0';
	assert_int_equal(bl_name_check(name, 3073, &err), -EBADMSG);
	for (size_t i = 0; i < 128; i++)
		name[i] = i % 2 ? '/' : 'd';
	name[127] = '\0';
	assert_int_equal(bl_name_check(name, 127, &err), 0);
	name[127] = '/';
	name[128] = 'd';
	name[129] = '\0';
	assert_int_equal(bl_name_check(name, 129, &err), -EBADMSG);
}

static void together(void **state)
{
	const char *fine[] = {"a.b", "A.b", "a/b", "ab", "b", "a/c", "a b/c", "a-b"};
	const char *twice[] = {"x", "a/b", "y", "a/b"};
	const char *both[] = {"a.b", "a/b/c", "a-b", "a/b0", "a/b"};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_name_check_together(fine, 8, &err), 0);
	assert_int_equal(bl_name_check_together(twice, 4, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "'a/b', which stands there twice"));
	assert_int_equal(bl_name_check_together(both, 5, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "'a/b', which is a file and a directory at once"));
	assert_int_equal(bl_name_check_together(NULL, 0, &err), 0);
}

static void a_long_name_is_shown_in_whole_characters(void **state)
{
	char name[256] = "";
	struct bl_err err;

	(void)state;
	name[0] = 'a';
	for (size_t i = 1; i < 241; i += 3)
		memcpy(name + i, "\xe6\xa8\xa1", 3);
	memcpy(name + 241, "/..", 4);
	assert_int_equal(bl_name_check(name, strlen(name), &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "\xe6\xa8\xa1', which has a part"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name),
		cmocka_unit_test(limits),
		cmocka_unit_test(together),
		cmocka_unit_test(a_long_name_is_shown_in_whole_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
