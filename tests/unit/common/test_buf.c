// SPDX-License-Identifier: Apache-2.0
/* The growing buffer: its maximum holds, and what does not fit changes nothing. */
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
#include "common/cleanup.h"
#include "common/err.h"

static void grows_to_its_maximum_only(void **state)
{
	auto_buf buf = BL_BUF_INIT(1000);
	struct bl_err err = {0};
	(void)state;

	assert_string_equal(bl_buf_str(&buf), "");
	for (int i = 0; i < 100; i++)
		assert_int_equal(bl_buf_puts(&buf, "0123456789", &err), 0);
	assert_int_equal(buf.len, 1000);
	assert_int_equal(bl_buf_append(&buf, "", 0, &err), 0);
	assert_int_equal(bl_buf_append(&buf, "x", 1, &err), -EFBIG);
	assert_int_equal(bl_buf_putf(&buf, &err, "%d", 1), -EFBIG);
	assert_int_equal(bl_buf_append(&buf, "x", SIZE_MAX, &err), -EFBIG);
	assert_null(bl_buf_reserve(&buf, 1, &err));
	assert_string_equal(err.msg, "more than the maximum of 1000 bytes");
	assert_int_equal(strlen(bl_buf_str(&buf)), 1000);
}

static void formats(void **state)
{
	auto_buf buf = BL_BUF_INIT(100);
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_buf_putf(&buf, &err, "%s=%d", "a", 5), 0);
	assert_int_equal(bl_buf_append(&buf, "\0b", 2, &err), 0);
	assert_int_equal(buf.len, 5);
	assert_memory_equal(buf.data, "a=5\0b", 6);
}

static void consumed_from_the_front(void **state)
{
	auto_buf buf = BL_BUF_INIT(100);
	struct bl_err err;
	(void)state;

	bl_buf_consume(&buf, 0);
	assert_int_equal(bl_buf_puts(&buf, "hello world", &err), 0);
	bl_buf_consume(&buf, 6);
	assert_string_equal(bl_buf_str(&buf), "world");
	bl_buf_consume(&buf, 5);
	assert_string_equal(bl_buf_str(&buf), "");
	assert_int_equal(buf.len, 0);
}

static void taken_over_by_the_caller(void **state)
{
	auto_buf buf = BL_BUF_INIT(100);
	auto_free char *text = NULL;
	struct bl_err err;
	(void)state;

	assert_null(bl_buf_take(&buf));
	assert_int_equal(bl_buf_puts(&buf, "mine", &err), 0);
	text = bl_buf_take(&buf);
	assert_string_equal(text, "mine");
	assert_int_equal(buf.len, 0);
	assert_int_equal(bl_buf_puts(&buf, "again", &err), 0);
	assert_string_equal(bl_buf_str(&buf), "again");
}

/* A pipe that holds len bytes of 'x' and then its end. */
static int pipe_with(size_t len)
{
	auto_free char *data = malloc(len + 1);
	int fds[2];

	assert_non_null(data);
	memset(data, 'x', len);
	assert_int_equal(pipe(fds), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 1 << 17) > 0);
	assert_int_equal(write(fds[1], data, len), len);
	close(fds[1]);
	return fds[0];
}

static void reads_to_the_end_within_the_maximum(void **state)
{
	static const size_t sizes[] = {0, 1, 16384, 16385, 50000};
	(void)state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		auto_buf whole = BL_BUF_INIT(sizes[i]);
		auto_buf cut = BL_BUF_INIT(sizes[i]);
		struct bl_err err;
		auto_fd exact = pipe_with(sizes[i]);
		auto_fd more = pipe_with(sizes[i] + 1);

		assert_int_equal(bl_buf_read(&whole, exact, &err), 0);
		assert_int_equal(whole.len, sizes[i]);
		assert_int_equal(bl_buf_read(&cut, more, &err), -EFBIG);
	}
}

static void read_errors_are_told(void **state)
{
	auto_buf buf = BL_BUF_INIT(10);
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_buf_read(&buf, -1, &err), -EBADF);
	assert_string_equal(err.msg, "read: Bad file descriptor");
}

static void errno_kept_by_clean_up(void **state)
{
	struct bl_buf buf = BL_BUF_INIT(10);
	(void)state;

	assert_int_equal(bl_buf_puts(&buf, "x", NULL), 0);
	errno = EXDEV;
	bl_buf_done(&buf);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(buf.max, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_to_its_maximum_only),
		cmocka_unit_test(formats),
		cmocka_unit_test(consumed_from_the_front),
		cmocka_unit_test(taken_over_by_the_caller),
		cmocka_unit_test(reads_to_the_end_within_the_maximum),
		cmocka_unit_test(read_errors_are_told),
		cmocka_unit_test(errno_kept_by_clean_up),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
