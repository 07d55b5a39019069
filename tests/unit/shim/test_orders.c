// SPDX-License-Identifier: Apache-2.0
/* The spec as the shim takes it: texts ended where they stand, a wrong spec carried out nowhere. */
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
#include "shim/orders.h"

static void test_all(void **state)
{
	static const uint8_t filter[24] = {6};
	auto_orders orders = {.bytes = BL_BUF_INIT(BL_SPEC_MAX)};
	struct bl_buf *spec = &orders.bytes;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_spec_begin(spec, &err), 0);
	assert_int_equal(bl_spec_add_text(spec, BL_SPEC_ENV, "A=1", &err), 0);
	assert_int_equal(bl_spec_add_text(spec, BL_SPEC_START_COMMAND, "server", &err), 0);
	assert_int_equal(bl_spec_add(spec, BL_SPEC_SECCOMP, filter, sizeof(filter), &err), 0);
	assert_int_equal(bl_spec_add_text(spec, BL_SPEC_MOUNT, "/a", &err), 0);
	assert_int_equal(bl_spec_add_text(spec, BL_SPEC_MOUNT, "/b", &err), 0);
	assert_int_equal(bl_spec_add_u32(spec, BL_SPEC_RUN_AS, 1000, &err), 0);
	assert_int_equal(bl_spec_add_u32(spec, BL_SPEC_FLAGS, BL_SPEC_FLAG_DEFERRED, &err), 0);
	assert_int_equal(bl_spec_add_u64(spec, BL_SPEC_KEEP_CAPS, 1ULL << 40, &err), 0);
	assert_int_equal(bl_spec_add_user(spec, 7, 8, &err), 0);
	assert_int_equal(bl_spec_add_text(spec, BL_SPEC_HOME, "/home/x", &err), 0);
	assert_int_equal(bl_spec_add_text(spec, BL_SPEC_ENV, "B=", &err), 0);
	assert_int_equal(bl_spec_end(spec, &err), 0);
	assert_int_equal(bl_orders_parse(&orders, &err), 0);
	assert_string_equal(orders.start_command, "server");
	assert_int_equal(orders.env_count, 2);
	assert_string_equal(orders.env[0], "A=1");
	assert_string_equal(orders.env[1], "B=");
	assert_int_equal(orders.mount_count, 2);
	assert_string_equal(orders.mounts[0], "/a");
	assert_string_equal(orders.mounts[1], "/b");
	assert_string_equal(orders.home, "/home/x");
	assert_int_equal(orders.filter_count, 3);
	assert_memory_equal(orders.filter, filter, sizeof(filter));
	assert_true(orders.has_run_as && orders.run_as == 1000);
	assert_true(orders.has_user && orders.user_uid == 7 && orders.user_gid == 8);
	assert_int_equal(orders.flags, BL_SPEC_FLAG_DEFERRED);
	assert_true(orders.keep_caps == 1ULL << 40);
}

static void test_wrong(void **state)
{
	auto_orders orders = {.bytes = BL_BUF_INIT(BL_SPEC_MAX)};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_spec_begin(&orders.bytes, &err), 0);
	assert_int_equal(bl_spec_add_text(&orders.bytes, BL_SPEC_ENV, "A=1", &err), 0);
	assert_int_equal(bl_orders_parse(&orders, &err), -EINVAL);
	assert_null(orders.texts);
}

static void test_no_file(void **state)
{
	auto_orders orders = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_orders_read(&orders, "/nowhere/spec", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/nowhere/spec"));
	assert_int_equal(bl_orders_read(&orders, "/dev/null", &err), -EINVAL);
	assert_int_equal(bl_orders_read(&orders, "/proc/self/exe", &err), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
