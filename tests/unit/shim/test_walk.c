// SPDX-License-Identifier: Apache-2.0
/* Files with several names, of which one may be moved while they are counted. The rest: shim_owned.bats. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "shim/walk.h"

static char base[] = "/tmp/test-walk-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(base) && chdir(base) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	return chdir("/") == 0 ? bl_fs_remove_tree(AT_FDCWD, base, NULL) : -1;
}

/* The clock of file systems has gone on since the file was last changed. */
static void let_pass(const char *path)
{
	struct timespec now;
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	do {
		assert_int_equal(clock_gettime(CLOCK_REALTIME_COARSE, &now), 0);
	} while (now.tv_sec == st.st_ctim.tv_sec && now.tv_nsec <= st.st_ctim.tv_nsec);
}

/* Names in app that were left alone, of a walk that begins before change(). (Who is not root cannot
 * give any away: those that were tried count as well.) */
static size_t left_alone(uid_t uid, void (*change)(void))
{
	auto_fd fd = open("app", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct bl_walk_result result = {0};
	struct bl_walk_root root;
	struct bl_walk *walk;
	struct bl_err err;
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	root = (struct bl_walk_root){.fd = fd, .dev = st.st_dev, .ino = st.st_ino};
	walk = bl_walk_new(&root, 1, uid, uid, true, &err);
	assert_non_null(walk);
	if (change)
		change();
	bl_walk_give(walk, 0, &result);
	bl_walk_give_linked(walk, 0, &result);
	bl_walk_free(walk);
	return result.linked;
}

static void move_a_name(void)
{
	assert_int_equal(rename("app/b", "app/c"), 0);
}

static void test_a_name_that_moves(void **state)
{
	auto_fd fd = -1;

	(void)state;
	assert_int_equal(mkdir("app", 0755), 0);
	fd = open("app/a", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(link("app/a", "app/b"), 0);
	let_pass("app/a");
	assert_int_equal(left_alone(1001, NULL), 0);
	/* Both of its names are here, and yet one of them may have been counted twice: so neither is given. */
	let_pass("app/a");
	assert_int_equal(left_alone(1002, move_a_name), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_name_that_moves, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
