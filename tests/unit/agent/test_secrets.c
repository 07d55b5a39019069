// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/secrets.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/weights.h"

static char base[64];

static void put(const char *path, const char *text, mode_t mode)
{
	char whole[256];
	int fd;

	snprintf(whole, sizeof(whole), "%s/%s", base, path);
	fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void make_dir(const char *path)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "%s/%s", base, path);
	assert_int_equal(mkdir(whole, 0700), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(base, "/tmp/test-secrets-XXXXXX");
	assert_non_null(mkdtemp(base));
	make_dir("team-a");
	make_dir("team-b");
	put("team-a/token", "value of a\n", 0600);
	put("team-b/token", "value of b", 0600);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return bl_fs_remove_tree(AT_FDCWD, base, NULL);
}

static int read_secret(const char *tenant, const char *name, struct bl_buf *buf, struct bl_err *err)
{
	return bl_secrets_read(base, tenant, name, buf, err);
}

static void a_tenant_gets_its_own_without_the_newline(void **state)
{
	auto_buf text = BL_BUF_INIT(64);

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(read_secret("team-a", "token", &text, NULL), 0);
	assert_string_equal(bl_buf_str(&text), "value of a");
}

static void nothing_of_another_can_be_named(void **state)
{
	static const char *const names[] = {
		"../team-b/token", "/etc/passwd", "..", ".",   "",
		"token/",	   "a/../token",  "-x", "x y",
	};
	static const char *const tenants[] = {"..",  ".", "",	 "team-a/../team-b",
					      "../", "/", "a b", ".hidden"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		auto_buf text = BL_BUF_INIT(64);
		struct bl_err err = {0};

		assert_true(read_secret("team-a", names[i], &text, &err) < 0);
		assert_int_equal(err.code, BL_EX_CONFIG);
		assert_int_equal(text.len, 0);
	}
	for (size_t i = 0; i < sizeof(tenants) / sizeof(*tenants); i++) {
		auto_buf text = BL_BUF_INIT(64);

		assert_false(bl_weights_is_tenant(tenants[i]));
		assert_true(read_secret(tenants[i], "token", &text, NULL) < 0);
		assert_int_equal(text.len, 0);
	}
}

static void a_file_that_others_may_read_or_that_is_none_is_refused(void **state)
{
	auto_buf text = BL_BUF_INIT(64);
	auto_buf other = BL_BUF_INIT(64);
	char link[128];
	struct bl_err err = {0};

	(void)state;
	if (geteuid() != 0)
		skip();
	put("team-a/open", "x", 0644);
	assert_true(read_secret("team-a", "open", &text, &err) < 0);
	assert_non_null(strstr(err.msg, "0600"));
	put("team-a/foreign", "x", 0600);
	snprintf(link, sizeof(link), "%s/team-a/foreign", base);
	assert_int_equal(chown(link, 1234, 1234), 0);
	assert_true(read_secret("team-a", "foreign", &text, &err) < 0);
	snprintf(link, sizeof(link), "%s/team-a/link", base);
	assert_int_equal(symlink("../team-b/token", link), 0);
	assert_true(read_secret("team-a", "link", &text, &err) < 0);
	assert_non_null(strstr(err.msg, "team-a/link' is a link: let it be a file"));
	snprintf(link, sizeof(link), "%s/team-a/fifo", base);
	assert_int_equal(mkfifo(link, 0600), 0);
	assert_true(read_secret("team-a", "fifo", &text, &err) < 0);
	snprintf(link, sizeof(link), "%s/team-c", base);
	assert_int_equal(symlink("team-b", link), 0);
	assert_true(read_secret("team-c", "token", &text, &err) < 0);
	assert_non_null(strstr(err.msg, "team-c' is a link or no directory"));
	put("team-a/long", "0123456789012345678901234567890123456789012345678901234567890123456789",
	    0600);
	assert_true(read_secret("team-a", "long", &text, &err) < 0);
	assert_non_null(strstr(err.msg, "/team-a/long' has more than 64 bytes, and is no secret"));
	/* What ends a text early. */
	put("team-a/nul", "hf_", 0600);
	snprintf(link, sizeof(link), "%s/team-a/nul", base);
	assert_int_equal(truncate(link, 8), 0);
	assert_true(read_secret("team-a", "nul", &other, &err) < 0);
	assert_non_null(strstr(err.msg, "holds a NUL byte"));
	/* A directory that others may change. */
	snprintf(link, sizeof(link), "%s/team-b", base);
	assert_int_equal(chmod(link, 0770), 0);
	assert_true(read_secret("team-b", "token", &other, &err) < 0);
	assert_non_null(strstr(err.msg, "0750"));
	/* What is missing says where it belongs. */
	assert_true(read_secret("team-a", "missing", &text, &err) < 0);
	assert_non_null(strstr(err.msg, "team-a/missing"));
}

static void a_projected_token_may_be_a_link_within_its_tenant(void **state)
{
	auto_buf text = BL_BUF_INIT(64);
	char link[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	make_dir("team-a/..data");
	put("team-a/..data/aws", "jwt", 0640);
	snprintf(link, sizeof(link), "%s/team-a/aws", base);
	assert_int_equal(symlink("..data/aws", link), 0);
	assert_int_equal(bl_secrets_read_identity(base, "team-a", "aws", &text, NULL), 0);
	assert_string_equal(bl_buf_str(&text), "jwt");
	snprintf(link, sizeof(link), "%s/team-a/gcp", base);
	assert_int_equal(symlink("../team-b/token", link), 0);
	assert_true(bl_secrets_read_identity(base, "team-a", "gcp", &text, NULL) < 0);
	assert_true(bl_secrets_read_identity(NULL, "team-a", "aws", &text, NULL) < 0);
	assert_string_equal(bl_buf_str(&text), "jwt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_tenant_gets_its_own_without_the_newline, setup,
						teardown),
		cmocka_unit_test_setup_teardown(nothing_of_another_can_be_named, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_file_that_others_may_read_or_that_is_none_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_projected_token_may_be_a_link_within_its_tenant,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
