// SPDX-License-Identifier: Apache-2.0
/* Digests against known ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/digest.h"

static void check_digest(enum bl_digest_kind kind, const char *content, const char *expected)
{
	char path[] = "/tmp/ballast-digest.XXXXXX", hex[65];
	auto_fd fd = mkstemp(path);
	struct bl_digest digest;
	struct bl_err err;

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	assert_int_equal(bl_digest_of_file(kind, fd, (int64_t)strlen(content), &digest, &err), 0);
	bl_digest_to_hex(&digest, hex);
	assert_string_equal(hex, expected);
	assert_int_equal(bl_digest_of_file(kind, fd, (int64_t)strlen(content) + 1, &digest, &err),
			 -EILSEQ);
}

static void test_digests(void **state)
{
	(void)state;
	check_digest(BL_DIGEST_GIT_SHA1, "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a");
	check_digest(BL_DIGEST_GIT_SHA1, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
	check_digest(BL_DIGEST_MD5, "abc", "900150983cd24fb0d6963f7d28e17f72");
	check_digest(BL_DIGEST_CRC32C, "123456789", "e3069283");
	check_digest(BL_DIGEST_CRC32C, "a longer text that takes the steps of eight bytes",
		     "9554b37b");
	check_digest(BL_DIGEST_CRC32, "123456789", "cbf43926");
	check_digest(BL_DIGEST_CRC64NVME, "123456789", "ae8b14860a799888");
	check_digest(BL_DIGEST_CRC64NVME, "", "0000000000000000");
	check_digest(BL_DIGEST_SHA256, "abc",
		     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_digest_texts(void **state)
{
	struct bl_digest digest;
	char hex[65];

	(void)state;
	assert_int_equal(bl_digest_from_base64("kAFQmDzST7DWlj99KOF/cg==", 16, &digest), 0);
	bl_digest_to_hex(&digest, hex);
	assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
	assert_int_equal(bl_digest_from_base64("yZRlqg==", 4, &digest), 0);
	assert_int_equal(bl_digest_from_base64("yZRlqg=", 4, &digest), -EINVAL);
	assert_int_equal(bl_digest_from_base64("yZRlqgAA", 4, &digest), -EINVAL);
	assert_int_equal(bl_digest_from_base64("yZ!lqg==", 4, &digest), -EINVAL);
	assert_int_equal(bl_digest_from_hex("c99465AA", 4, &digest), 0);
	assert_int_equal(bl_digest_from_hex("c99465a", 4, &digest), -EINVAL);
	assert_int_equal(bl_digest_from_hex("c99465ag", 4, &digest), -EINVAL);
	assert_int_equal(bl_digest_from_hex("c99465aa00", 4, &digest), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_digest_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
