// SPDX-License-Identifier: Apache-2.0
/* mountinfo: what is found in it, and lines that are not as they should be. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/mount_table.h"

static const char sample[] = "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
			     "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
			     "36 27 0:45 /part\\040x /mnt ro,nosuid master:7 propagate_from:2 - "
			     "overlay ballast ro,lowerdir=a:b\n"
			     "not a line\n"
			     "40 27\n"
			     "41 27 0:46 / /x rw shared:9\n"
			     "42 27 0:47 / /run rw,nosuid - tmpfs tmpfs rw\n";

static void fill(struct bl_mount_table *table)
{
	struct bl_err err;

	*table = BL_MOUNT_TABLE_INIT;
	assert_int_equal(bl_buf_puts(&table->text, sample, &err), 0);
}

static void test_find(void **state)
{
	struct bl_mount_table table;
	struct bl_mount_entry entry;

	(void)state;
	fill(&table);
	assert_int_equal(bl_mount_table_find(&table, 27, &entry), 1);
	assert_true(entry.shared);
	assert_string_equal(entry.type, "ext4");
	assert_int_equal(entry.major, 254);
	assert_int_equal(bl_mount_table_find(&table, 36, &entry), 1);
	assert_false(entry.shared);
	assert_string_equal(entry.source, "ballast");
	assert_string_equal(entry.root, "/part\\040x");
	assert_int_equal(bl_mount_table_find(&table, 42, &entry), 1);
	assert_string_equal(entry.type, "tmpfs");
	assert_int_equal(bl_mount_table_find(&table, 40, &entry), 0);
	assert_int_equal(bl_mount_table_find(&table, 41, &entry), 0);
	assert_int_equal(bl_mount_table_find(&table, 2, &entry), 0);
	bl_mount_table_done(&table);
	assert_int_equal(bl_mount_table_find(&table, 27, &entry), 0);
}

static void test_devices(void **state)
{
	struct bl_mount_table table;

	(void)state;
	fill(&table);
	assert_true(bl_mount_table_has_device(&table, 0, 47));
	assert_false(bl_mount_table_has_device(&table, 0, 4));
	assert_false(bl_mount_table_has_device(&table, 0, 46));
	bl_mount_table_done(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_devices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
