// SPDX-License-Identifier: Apache-2.0
/* Files on handles: no link followed, no filesystem crossed, nothing half written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"

static char top_path[] = "/tmp/ballast-test-fs.XXXXXX";
static int top = -1;

static int make_top(void **state)
{
	(void)state;
	if (!mkdtemp(top_path))
		return -1;
	top = open(top_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return top < 0;
}

static int remove_top(void **state)
{
	struct bl_err err;
	int r = bl_fs_remove_tree(AT_FDCWD, top_path, &err);
	(void)state;

	close(top);
	return r;
}

static void make_file(const char *name, const char *content)
{
	auto_fd fd = openat(top, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
}

static bool exists(const char *name)
{
	struct stat st;

	return fstatat(top, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static size_t count_entries(void)
{
	auto_dir dir = fdopendir(openat(top, ".", O_RDONLY | O_DIRECTORY));
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	return n - 2;
}

static void opens_beneath_and_through_no_link(void **state)
{
	struct bl_err err;
	auto_fd good = -1;
	(void)state;

	assert_int_equal(mkdirat(top, "d", 0755), 0);
	make_file("d/f", "x");
	assert_int_equal(symlinkat("d", top, "to-d"), 0);
	assert_int_equal(symlinkat("/etc/passwd", top, "d/out"), 0);
	good = bl_fs_open_beneath(top, "d/f", O_RDONLY, &err);
	assert_true(good >= 0);
	assert_true(fcntl(good, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(bl_fs_open_beneath(top, "to-d/f", O_RDONLY, &err), -ELOOP);
	assert_int_equal(bl_fs_open_beneath(top, "d/out", O_RDONLY, &err), -ELOOP);
	assert_int_equal(bl_fs_open_beneath(top, "d/../../x", O_RDONLY, &err), -EXDEV);
	assert_int_equal(bl_fs_open_beneath(top, "/etc/passwd", O_RDONLY, &err), -EXDEV);
	assert_int_equal(bl_fs_open_beneath(top, "none", O_RDONLY, &err), -ENOENT);
}

static void reads_regular_files_only(void **state)
{
	auto_buf buf = BL_BUF_INIT(5);
	auto_buf small = BL_BUF_INIT(4);
	auto_buf none = BL_BUF_INIT(5);
	struct bl_err err;
	(void)state;

	make_file("five", "12345");
	assert_int_equal(symlinkat("five", top, "link"), 0);
	assert_int_equal(mkfifoat(top, "fifo", 0600), 0);
	assert_int_equal(bl_fs_read_file(top, "five", &buf, &err), 0);
	assert_string_equal(bl_buf_str(&buf), "12345");
	assert_int_equal(bl_fs_read_file(top, "five", &small, &err), -EFBIG);
	assert_non_null(strstr(err.msg, "'five'"));
	assert_int_equal(bl_fs_read_file(top, "link", &none, &err), -ELOOP);
	assert_int_equal(bl_fs_read_file(top, "absent", &none, &err), -ENOENT);
	/* A FIFO without a writer would hold an ordinary open() for ever. */
	assert_int_equal(bl_fs_read_file(top, "fifo", &none, &err), -EPERM);
	assert_int_equal(bl_fs_read_file(top, "/dev/zero", &none, &err), -EPERM);
	assert_int_equal(err.code, BL_EX_REFUSED);
}

static void writes_whole_files(void **state)
{
	auto_buf buf = BL_BUF_INIT(100);
	struct bl_err err;
	struct stat st;
	char name[300];
	size_t before;
	(void)state;

	assert_int_equal(bl_fs_write_file(top, "w", "first", 5, 0640, &err), 0);
	before = count_entries();
	assert_int_equal(bl_fs_write_file(top, "w", "second", 6, 0600, &err), 0);
	assert_int_equal(count_entries(), before);
	assert_int_equal(bl_fs_read_file(top, "w", &buf, &err), 0);
	assert_string_equal(bl_buf_str(&buf), "second");
	assert_int_equal(fstatat(top, "w", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* A failure leaves the old file and nothing else. */
	assert_int_equal(mkdirat(top, "w-dir", 0755), 0);
	before = count_entries();
	assert_int_equal(bl_fs_write_file(top, "w-dir", "x", 1, 0600, &err), -EISDIR);
	assert_int_equal(count_entries(), before);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(bl_fs_write_file(top, name, "x", 1, 0600, &err), -ENAMETOOLONG);

	/* A link in the file's place is replaced, not followed. */
	assert_int_equal(symlinkat("five", top, "w-link"), 0);
	assert_int_equal(bl_fs_write_file(top, "w-link", "new", 3, 0600, &err), 0);
	assert_int_equal(fstatat(top, "w-link", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void opens_directories(void **state)
{
	auto_fd made = -1;
	auto_fd again = -1;
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_fs_open_dir(top, "dir", 0700, false, &err), -ENOENT);
	made = bl_fs_open_dir(top, "dir", 0700, true, &err);
	again = bl_fs_open_dir(top, "dir", 0700, true, &err);
	assert_true(made >= 0 && again >= 0);
	make_file("no-dir", "");
	assert_int_equal(bl_fs_open_dir(top, "no-dir", 0700, true, &err), -ENOTDIR);
	assert_int_equal(symlinkat("dir", top, "dir-link"), 0);
	assert_int_equal(bl_fs_open_dir(top, "dir-link", 0700, true, &err), -ENOTDIR);
}

static void removes_trees_but_what_links_point_to(void **state)
{
	struct bl_err err;
	(void)state;

	assert_int_equal(mkdirat(top, "keep", 0755), 0);
	make_file("keep/me", "x");
	assert_int_equal(mkdirat(top, "gone", 0755), 0);
	assert_int_equal(mkdirat(top, "gone/a", 0755), 0);
	assert_int_equal(mkdirat(top, "gone/a/b", 0555), 0);
	make_file("gone/a/f", "x");
	assert_int_equal(mkfifoat(top, "gone/a/fifo", 0600), 0);
	assert_int_equal(symlinkat("../keep", top, "gone/link"), 0);
	assert_int_equal(bl_fs_remove_tree(top, "gone", &err), 0);
	assert_false(exists("gone"));
	assert_true(exists("keep/me"));
	assert_int_equal(bl_fs_remove_tree(top, "gone", &err), 0);

	assert_int_equal(symlinkat("keep", top, "to-keep"), 0);
	assert_int_equal(bl_fs_remove_tree(top, "to-keep", &err), 0);
	assert_true(exists("keep/me"));
	assert_int_equal(bl_fs_remove_tree(top, "keep/me", &err), 0);
	assert_false(exists("keep/me"));
}

/* Deeper than there are descriptors for, with siblings on the way. */
static void removes_deep_trees_with_few_descriptors(void **state)
{
	struct rlimit old;
	struct rlimit few = {.rlim_cur = 200};
	auto_fd at = openat(top, ".", O_RDONLY | O_DIRECTORY);
	struct bl_err err = {0};
	int r;
	(void)state;

	assert_int_equal(mkdirat(top, "deep", 0755), 0);
	for (int i = 0; i < 1800; i++) {
		int next;

		if (i > 0)
			assert_int_equal(mkdirat(at, "deep", 0755), 0);
		next = openat(at, "deep", O_RDONLY | O_DIRECTORY);
		assert_true(next >= 0);
		close(at);
		at = next;
		if (i % 50 == 0)
			assert_int_equal(mkdirat(at, "beside", 0755), 0);
	}
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few.rlim_max = old.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = bl_fs_remove_tree(top, "deep", &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (r < 0)
		fail_msg("%s", err.msg);
	assert_false(exists("deep"));
}

static size_t count_of(DIR *dir)
{
	size_t count = 0;

	while (readdir(dir))
		count++;
	return count;
}

static void lists_from_the_beginning_each_time(void **state)
{
	auto_dir first = NULL;
	auto_dir second = NULL;
	auto_dir none = NULL;
	auto_fd fd = -1;

	(void)state;
	assert_int_equal(mkdirat(top, "list", 0755), 0);
	fd = openat(top, "list", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_file("list/a", "");
	assert_int_equal(bl_fs_list(fd, ".", &first), 0);
	assert_int_equal(count_of(first), 3); /* with "." and ".." */
	assert_int_equal(bl_fs_list(fd, ".", &second), 0);
	assert_int_equal(count_of(second), 3);
	assert_int_equal(symlinkat("list", top, "list-link"), 0);
	assert_int_equal(bl_fs_list(top, "list-link", &none), -ENOTDIR);
	assert_int_equal(bl_fs_list(top, "nowhere", &none), -ENOENT);
	assert_int_equal(bl_fs_list(fd, "a", &none), -ENOTDIR);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_beneath_and_through_no_link),
		cmocka_unit_test(reads_regular_files_only),
		cmocka_unit_test(writes_whole_files),
		cmocka_unit_test(opens_directories),
		cmocka_unit_test(lists_from_the_beginning_each_time),
		cmocka_unit_test(removes_trees_but_what_links_point_to),
		cmocka_unit_test(removes_deep_trees_with_few_descriptors),
	};

	return cmocka_run_group_tests_name("fs", tests, make_top, remove_top);
}
