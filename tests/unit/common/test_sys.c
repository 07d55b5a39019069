// SPDX-License-Identifier: Apache-2.0
/* The system calls' wrappers, built with the seam of faults: the file itself is taken in. */
#ifndef BL_FAULTS
#define BL_FAULTS
#endif
#include "common/sys.c" /* NOLINT(bugprone-suspicious-include) */

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

/* Takes these rules as a program would at its start. */
static void set_faults(const char *rules)
{
	fault_count = 0;
	memset(fault_rules, 0, sizeof(fault_rules));
	setenv("BL_FAULT", rules, 1);
	fault_init();
}

static int no_faults(void **state)
{
	(void)state;
	fault_count = 0;
	unsetenv("BL_FAULT");
	return 0;
}

static void every_call_or_the_nth_fails(void **state)
{
	struct stat st;
	(void)state;

	set_faults("fstat:EIO,mkdirat:ENOSPC:2");
	assert_int_equal(bl_sys_fstat(0, &st), -EIO);
	assert_int_equal(bl_sys_fstat(0, &st), -EIO);
	assert_int_equal(bl_sys_mkdirat(AT_FDCWD, "/", 0700), -EEXIST);
	assert_int_equal(bl_sys_mkdirat(AT_FDCWD, "/", 0700), -ENOSPC);
	assert_int_equal(bl_sys_mkdirat(AT_FDCWD, "/", 0700), -EEXIST);
	assert_int_equal(bl_sys_fsync(-1), -EBADF);
}

static void rules_that_make_no_sense_do_nothing(void **state)
{
	struct stat st;
	(void)state;

	set_faults("fstat,fstat:ENOTHING,:,,:EIO,fstat:EIO:x:y");
	assert_int_equal(bl_sys_fstat(0, &st), -EIO); /* the last one: "x" is 0, every call */
	set_faults("");
	assert_int_equal(bl_sys_fstat(0, &st), 0);
}

static void a_point_kills_or_stops(void **state)
{
	int status = 0;
	pid_t child;
	(void)state;

	set_faults("publish:KILL:2");
	child = fork();
	if (child == 0) {
		bl_sys_point("publish");
		bl_sys_point("other");
		bl_sys_point("publish");
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	set_faults("publish:STOP");
	child = fork();
	if (child == 0) {
		bl_sys_point("publish");
		_exit(3);
	}
	assert_int_equal(waitpid(child, &status, WUNTRACED), child);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(kill(child, SIGCONT), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}

static void a_call_waits_at_the_gate(void **state)
{
	char gate[64];
	auto_fd fd = -1;
	int status = 0;
	pid_t child;
	(void)state;

	(void)snprintf(gate, sizeof(gate), "/tmp/ballast-gate-%d", getpid());
	assert_int_equal(mkfifo(gate, 0600), 0);
	setenv("BL_FAULT_GATE", gate, 1);
	set_faults("fsync:WAIT:2");
	child = fork();
	if (child == 0) {
		(void)bl_sys_fsync(-1);
		_exit(bl_sys_fsync(-1) == -EBADF ? 3 : 4);
	}
	fd = open(gate, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(waitpid(child, &status, WNOHANG), 0);
	close(TAKE_FD(fd));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	assert_int_equal(unlink(gate), 0);
	unsetenv("BL_FAULT_GATE");
}

static void openat2_stays_beneath(void **state)
{
	auto_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd etc = bl_sys_openat2(root, "etc", O_PATH | O_DIRECTORY, 0, BL_RESOLVE_BENEATH);
	auto_fd in_root = bl_sys_openat2(etc, "/../../passwd", O_RDONLY, 0, BL_RESOLVE_IN_ROOT);
	(void)state;

	assert_true(etc >= 0);
	assert_true(fcntl(etc, F_GETFD) & FD_CLOEXEC);
	assert_true(in_root >= 0);
	assert_int_equal(bl_sys_openat2(etc, "../etc", O_PATH, 0, BL_RESOLVE_BENEATH), -EXDEV);
	assert_int_equal(bl_sys_openat2(root, "proc/self/exe", O_PATH, 0, BL_RESOLVE_NO_XDEV),
			 -EXDEV);
	assert_int_equal(
		bl_sys_openat2(root, "proc/self/fd/0", O_RDONLY, 0, BL_RESOLVE_NO_MAGICLINKS),
		-ELOOP);
}

static void writes_all_however_small_the_pipe(void **state)
{
	static char data[300000];
	size_t got = 0;
	char piece[1000];
	int fds[2];
	pid_t child;
	int status;
	ssize_t n;
	(void)state;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		close(fds[0]);
		_exit(bl_sys_write_all(fds[1], data, sizeof(data)) == 0 ? 0 : 1);
	}
	close(fds[1]);
	while ((n = bl_sys_read(fds[0], piece, sizeof(piece))) > 0)
		got += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(got, sizeof(data));
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void mount_ids_tell_mounts_apart(void **state)
{
	uint64_t root = 0;
	uint64_t again = 0;
	uint64_t proc = 0;
	(void)state;

	assert_int_equal(bl_sys_mount_id(AT_FDCWD, "/", &root), 0);
	assert_int_equal(bl_sys_mount_id(AT_FDCWD, "/", &again), 0);
	assert_int_equal(bl_sys_mount_id(AT_FDCWD, "/proc", &proc), 0);
	assert_int_equal(root, again);
	assert_int_not_equal(root, proc);
	assert_int_equal(bl_sys_mount_id(AT_FDCWD, "/none", &proc), -ENOENT);
}

static void descriptors_closed_from_one_on(void **state)
{
	int status = 0;
	pid_t child = fork();
	(void)state;

	if (child == 0) {
		int high = fcntl(STDIN_FILENO, F_DUPFD, 100);

		if (high < 100 || bl_sys_close_from(3) < 0)
			_exit(1);
		_exit(fcntl(high, F_GETFD) < 0 && fcntl(3, F_GETFD) < 0 && fcntl(2, F_GETFD) >= 0
			      ? 0
			      : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void pidfds_end_with_their_process(void **state)
{
	pid_t child = fork();
	auto_fd pidfd = -1;
	int status;
	(void)state;

	if (child == 0) {
		pause();
		_exit(0);
	}
	pidfd = bl_sys_pidfd_open(child);
	assert_true(pidfd >= 0);
	assert_int_equal(bl_sys_pidfd_send_signal(pidfd, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(bl_sys_pidfd_send_signal(pidfd, SIGKILL), -ESRCH);
	assert_int_equal(bl_sys_pidfd_open(-1), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(every_call_or_the_nth_fails, no_faults),
		cmocka_unit_test_teardown(rules_that_make_no_sense_do_nothing, no_faults),
		cmocka_unit_test_teardown(a_point_kills_or_stops, no_faults),
		cmocka_unit_test_teardown(a_call_waits_at_the_gate, no_faults),
		cmocka_unit_test(openat2_stays_beneath),
		cmocka_unit_test(writes_all_however_small_the_pipe),
		cmocka_unit_test(mount_ids_tell_mounts_apart),
		cmocka_unit_test(descriptors_closed_from_one_on),
		cmocka_unit_test(pidfds_end_with_their_process),
	};

	return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
