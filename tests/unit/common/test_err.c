// SPDX-License-Identifier: Apache-2.0
/* The error value: filled, wrapped, cut, and never in the way when nobody wants it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static void says_what_and_returns_the_errno(void **state)
{
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_err_set(&err, BL_EX_RETRY, EAGAIN, "%s %d", "try", 2), -EAGAIN);
	assert_int_equal(err.code, BL_EX_RETRY);
	assert_string_equal(err.msg, "try 2");
	assert_int_equal(bl_err_sys(&err, ENOENT, "open '%s'", "/x"), -ENOENT);
	assert_int_equal(err.code, BL_EX_INTERNAL);
	assert_string_equal(err.msg, "open '/x': No such file or directory");
	assert_int_equal(bl_err_config(&err, "no"), -EINVAL);
	assert_int_equal(err.code, BL_EX_CONFIG);
	assert_int_equal(bl_err_refuse(&err, "no"), -EPERM);
	assert_int_equal(err.code, BL_EX_REFUSED);
	assert_int_equal(bl_err_nomem(&err), -ENOMEM);
}

static void context_comes_in_front(void **state)
{
	struct bl_err err;
	(void)state;

	(void)bl_err_config(&err, "must be absolute");
	bl_err_wrap(&err, "mount_location: ");
	bl_err_wrap(&err, "$[%d].", 1);
	assert_string_equal(err.msg, "$[1].mount_location: must be absolute");
	assert_int_equal(err.code, BL_EX_CONFIG);
}

static void format_characters_in_a_message_are_text(void **state)
{
	struct bl_err err;
	(void)state;

	(void)bl_err_config(&err, "%s", "%n%s%100d");
	bl_err_wrap(&err, "x: ");
	assert_string_equal(err.msg, "x: %n%s%100d");
}

static void too_long_is_cut_at_the_end(void **state)
{
	char text[3 * BL_ERR_MSG_MAX];
	struct bl_err err;
	(void)state;

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)bl_err_sys(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.msg), BL_ERR_MSG_MAX - 1);
	bl_err_wrap(&err, "front: ");
	assert_int_equal(strlen(err.msg), BL_ERR_MSG_MAX - 1);
	assert_memory_equal(err.msg, "front: aaa", 10);
	bl_err_wrap(&err, "%s", text);
	assert_int_equal(strlen(err.msg), BL_ERR_MSG_MAX - 1);
}

static void nobody_has_to_want_it(void **state)
{
	(void)state;
	assert_int_equal(bl_err_set(NULL, 1, EPERM, "x"), -EPERM);
	assert_int_equal(bl_err_sys(NULL, EPERM, "x"), -EPERM);
	bl_err_wrap(NULL, "x");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_and_returns_the_errno),
		cmocka_unit_test(context_comes_in_front),
		cmocka_unit_test(format_characters_in_a_message_are_text),
		cmocka_unit_test(too_long_is_cut_at_the_end),
		cmocka_unit_test(nobody_has_to_want_it),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
