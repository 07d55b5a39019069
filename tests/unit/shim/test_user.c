// SPDX-License-Identifier: Apache-2.0
/* What hostile and ordinary passwd and group files say about a user. */
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
#include "shim/user.h"

static int find_passwd(struct bl_user *user, const char *text)
{
	return bl_user_find_passwd(user, text, strlen(text));
}

static void test_passwd(void **state)
{
	static const char text[] = "root:x:0:0:root:/root:/bin/sh\n"
				   "app:x:60000:50:App:/home/app:/bin/sh\n"
				   "other:x:60000:51::/other:/bin/sh\n"
				   "last:x:7:8::/last:";
	struct bl_user user = {.uid = 60000};

	(void)state;
	assert_int_equal(find_passwd(&user, text), 1);
	assert_int_equal(user.gid, 50);
	assert_string_equal(user.name, "app");
	assert_string_equal(user.home, "/home/app");
	user = (struct bl_user){.uid = 7};
	assert_int_equal(find_passwd(&user, text), 1);
	assert_string_equal(user.name, "last");
	user = (struct bl_user){.uid = 9, .gid = 9};
	assert_int_equal(find_passwd(&user, text), 0);
	assert_int_equal(user.gid, 9);
	assert_string_equal(user.name, "");
	assert_int_equal(find_passwd(&user, ""), 0);
}

/* None of these is a line about uid 5. */
static void test_passwd_malformed(void **state)
{
	static const char *const lines[] = {
		"a:x:5:5::/home",
		"a:x:5:5::/home:sh:more",
		":x:5:5::/home:sh",
		"a:x:5:-1::/home:sh",
		"a:x:5:4294967295::/home:sh",
		"a:x:5:4294967301::/home:sh",
		"a:x:5:5x::/home:sh",
		"a:x: 5:5::/home:sh",
		"a:x:+5:5::/home:sh",
		"a:x:05x:5::/home:sh",
		"a:x:4294967301:5::/home:sh",
		"a:x::5::/home:sh",
		"a\x1b[1m:x:5:5::/home:sh",
		"a:x:5:5::/ho\x01me:sh",
		"#a:x:5",
		":::::::",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		struct bl_user user = {.uid = 5, .gid = 77};

		if (find_passwd(&user, lines[i]) != 0)
			fail_msg("taken: %s", lines[i]);
		assert_int_equal(user.gid, 77);
	}
}

static void test_passwd_long(void **state)
{
	static char text[9000];
	struct bl_user user = {.uid = 5};

	(void)state;
	memset(text, 'a', 300);
	strcpy(text + 300, ":x:5:5::/home:sh\nb:x:5:6::/b:sh\n");
	assert_int_equal(find_passwd(&user, text), 1);
	assert_string_equal(user.name, "b");
	strcpy(text, "a:x:5:5::/");
	memset(text + 10, 'h', 5000);
	strcpy(text + 5010, ":sh\nc:x:5:6::/c:sh");
	assert_int_equal(find_passwd(&user, text), 1);
	assert_string_equal(user.name, "c");
}

static void test_passwd_with_nul(void **state)
{
	static const char text[] = "a:x:5:5::/ho\0me:sh\nb:x:5:6::/b:sh\n";
	struct bl_user user = {.uid = 5};

	(void)state;
	assert_int_equal(bl_user_find_passwd(&user, text, sizeof(text) - 1), 1);
	assert_string_equal(user.name, "b");
}

static void test_groups(void **state)
{
	static const char text[] = "root:x:0:me\n"
				   "me:x:50:\n"
				   "prime:x:100:me\n"
				   "video:x:44:you,me\n"
				   "again:x:44:me\n"
				   "mean:x:45:mean,meme,me2,xme\n"
				   "bad:x:46:me:more\n"
				   "worse:x:-47:me\n"
				   "huge:x:4294967295:me\n"
				   "empty:x:48:,,\n"
				   "end:x:49:a,me,b";
	struct bl_user user = {.uid = 5, .gid = 100, .name = "me"};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_user_find_groups(&user, text, sizeof(text) - 1, &err), 0);
	assert_int_equal(user.group_count, 3);
	assert_int_equal(user.groups[0], 0);
	assert_int_equal(user.groups[1], 44);
	assert_int_equal(user.groups[2], 49);
	user = (struct bl_user){.uid = 5, .gid = 5};
	assert_int_equal(bl_user_find_groups(&user, text, sizeof(text) - 1, &err), 0);
	assert_int_equal(user.group_count, 0);
}

static void test_too_many_groups(void **state)
{
	auto_buf text = BL_BUF_INIT(1024 * 1024);
	struct bl_user user = {.uid = 5, .gid = 5, .name = "me"};
	struct bl_err err;

	(void)state;
	for (unsigned i = 0; i <= BL_USER_GROUPS_MAX; i++)
		assert_int_equal(bl_buf_putf(&text, NULL, "g%u:x:%u:me\n", i, 1000 + i), 0);
	assert_int_equal(bl_user_find_groups(&user, text.data, text.len, &err), -E2BIG);
	assert_non_null(strstr(err.msg, "more than 1024 groups"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_passwd),	    cmocka_unit_test(test_passwd_malformed),
		cmocka_unit_test(test_passwd_long), cmocka_unit_test(test_passwd_with_nul),
		cmocka_unit_test(test_groups),	    cmocka_unit_test(test_too_many_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
