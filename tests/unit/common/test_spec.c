// SPDX-License-Identifier: Apache-2.0
/* The shim's orders: what is written is read back, and whatever else is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/spec.h"

static void write_sample(struct bl_buf *buf)
{
	static const uint8_t program[16] = {6};
	struct bl_err err;

	assert_int_equal(bl_spec_begin(buf, &err), 0);
	assert_int_equal(bl_spec_add_text(buf, BL_SPEC_START_COMMAND, "cd /x && y", &err), 0);
	assert_int_equal(bl_spec_add_u32(buf, BL_SPEC_RUN_AS, 1000, &err), 0);
	assert_int_equal(bl_spec_add_u32(buf, BL_SPEC_FLAGS, BL_SPEC_FLAG_INIT, &err), 0);
	assert_int_equal(bl_spec_add_text(buf, BL_SPEC_ENV, "A=1", &err), 0);
	assert_int_equal(bl_spec_add_text(buf, BL_SPEC_ENV, "B=", &err), 0);
	assert_int_equal(bl_spec_add_u64(buf, BL_SPEC_KEEP_CAPS, 0x123456789aULL, &err), 0);
	assert_int_equal(bl_spec_add(buf, BL_SPEC_SECCOMP, program, sizeof(program), &err), 0);
	assert_int_equal(bl_spec_add_text(buf, BL_SPEC_MOUNT, "/models/a", &err), 0);
	assert_int_equal(bl_spec_add_text(buf, BL_SPEC_HOME, "/home/me", &err), 0);
	assert_int_equal(bl_spec_add_user(buf, 7, 8, &err), 0);
	assert_int_equal(bl_spec_end(buf, &err), 0);
}

static int read_all(const void *data, size_t len)
{
	struct bl_spec_reader reader;
	struct bl_spec_record record;
	struct bl_err err;
	int ret = bl_spec_open(&reader, data, len, &err);

	if (ret < 0)
		return ret;
	do {
		ret = bl_spec_next(&reader, &record, &err);
	} while (ret > 0);
	return ret;
}

static void test_round_trip(void **state)
{
	auto_buf buf = BL_BUF_INIT(BL_SPEC_MAX);
	struct bl_spec_reader reader;
	struct bl_spec_record record;
	struct bl_err err;
	unsigned seen = 0;

	(void)state;
	write_sample(&buf);
	assert_int_equal(bl_spec_open(&reader, buf.data, buf.len, &err), 0);
	while (bl_spec_next(&reader, &record, &err) > 0) {
		seen++;
		if (record.type == BL_SPEC_RUN_AS)
			assert_int_equal(bl_spec_u32(&record), 1000);
		if (record.type == BL_SPEC_KEEP_CAPS)
			assert_int_equal(bl_spec_u64(&record), 0x123456789aULL);
		if (record.type == BL_SPEC_USER)
			assert_int_equal(bl_spec_u64(&record), 8ULL << 32 | 7);
		if (record.type == BL_SPEC_MOUNT)
			assert_memory_equal(record.data, "/models/a", record.len);
	}
	assert_int_equal(seen, 10);
	assert_int_equal(read_all(buf.data, buf.len), 0);
}

static void test_cut_anywhere(void **state)
{
	auto_buf buf = BL_BUF_INIT(BL_SPEC_MAX);

	(void)state;
	write_sample(&buf);
	for (size_t len = 0; len < buf.len; len++)
		assert_int_equal(read_all(buf.data, len), -EINVAL);
	assert_int_equal(bl_buf_append(&buf, "", 1, NULL), 0);
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
}

static void test_foreign(void **state)
{
	auto_buf buf = BL_BUF_INIT(BL_SPEC_MAX);

	(void)state;
	write_sample(&buf);
	buf.data[6] = 2; /* version */
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
	buf.data[6] = BL_SPEC_VERSION;
	buf.data[0] = 'X';
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
	buf.data[0] = 'B';
	assert_int_equal(read_all(buf.data, buf.len), 0);
	buf.data[8] = 99; /* type of the first record */
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
	buf.data[8] = BL_SPEC_START_COMMAND;
	buf.data[10] = 1; /* the bytes that are 0 */
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
}

static void test_repeated(void **state)
{
	auto_buf buf = BL_BUF_INIT(BL_SPEC_MAX);

	(void)state;
	assert_int_equal(bl_spec_begin(&buf, NULL), 0);
	assert_int_equal(bl_spec_add_u32(&buf, BL_SPEC_RUN_AS, 5, NULL), 0);
	assert_int_equal(bl_spec_add_u32(&buf, BL_SPEC_RUN_AS, 6, NULL), 0);
	assert_int_equal(bl_spec_end(&buf, NULL), 0);
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
}

/* Whatever the writer refuses, the reader refuses as well: forged past the writer's check. */
static void check_refused(enum bl_spec_type type, const void *data, size_t len)
{
	auto_buf buf = BL_BUF_INIT(BL_SPEC_MAX);
	uint8_t head[8] = {(uint8_t)type,	 0, 0, 0, (uint8_t)len, (uint8_t)(len >> 8),
			   (uint8_t)(len >> 16), 0};
	struct bl_err err;

	assert_int_equal(bl_spec_begin(&buf, &err), 0);
	assert_int_equal(bl_spec_add(&buf, type, data, len, &err), -EINVAL);
	assert_int_equal(err.code, BL_EX_CONFIG);
	assert_int_equal(bl_buf_append(&buf, head, sizeof(head), &err), 0);
	assert_int_equal(bl_buf_append(&buf, data, len, &err), 0);
	assert_int_equal(bl_spec_end(&buf, &err), 0);
	assert_int_equal(read_all(buf.data, buf.len), -EINVAL);
}

static void check_refused_u32(enum bl_spec_type type, uint32_t value)
{
	uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
			    (uint8_t)(value >> 24)};

	check_refused(type, bytes, sizeof(bytes));
}

static void test_misshapen(void **state)
{
	static uint8_t large[40000];

	(void)state;
	memset(large, 'x', sizeof(large));
	large[0] = '/';
	check_refused_u32(BL_SPEC_RUN_AS, 0);
	check_refused_u32(BL_SPEC_RUN_AS, 60000);
	check_refused_u32(BL_SPEC_RUN_AS, 2147483648U);
	check_refused_u32(BL_SPEC_RUN_AS, 4294967295U);
	check_refused_u32(BL_SPEC_FLAGS, 0x80000000U);
	check_refused(BL_SPEC_RUN_AS, "12345678", 8);
	check_refused(BL_SPEC_KEEP_CAPS, "1234", 4);
	check_refused(BL_SPEC_USER, "\xff\xff\xff\xff\0\0\0\0", 8);
	check_refused(BL_SPEC_USER, "\0\0\0\0\xff\xff\xff\xff", 8);
	check_refused(BL_SPEC_START_COMMAND, "", 0);
	check_refused(BL_SPEC_START_COMMAND, "a\0b", 3);
	check_refused(BL_SPEC_ENV, "=x", 2);
	check_refused(BL_SPEC_ENV, "NAME", 4);
	check_refused(BL_SPEC_ENV, "A=\0", 3);
	check_refused(BL_SPEC_MOUNT, "models", 6);
	check_refused(BL_SPEC_MOUNT, large, 4096);
	check_refused(BL_SPEC_SECCOMP, "1234567", 7);
	check_refused(BL_SPEC_SECCOMP, large, sizeof(large));
}

static void test_too_much(void **state)
{
	auto_buf buf = BL_BUF_INIT(64);
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_spec_begin(&buf, &err), 0);
	assert_int_equal(bl_spec_add_text(&buf, BL_SPEC_ENV,
					  "A=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
					  &err),
			 -EFBIG);
	assert_int_equal(err.code, BL_EX_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_foreign),	   cmocka_unit_test(test_repeated),
		cmocka_unit_test(test_misshapen),  cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
