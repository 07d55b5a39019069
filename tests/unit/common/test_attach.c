// SPDX-License-Identifier: Apache-2.0
/* Whose process a number is, and where nothing may be mounted. What needs root: tests/system/hook_targets.bats. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/attach.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

/* A child that waits for its end, under this name. */
static pid_t start_child(const char *name)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_NAME, name);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		(void)!write(ready[1], "", 1);
		for (;;)
			(void)pause();
	}
	assert_true(pid > 0);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_child(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* A name may hold what looks like the fields behind it. */
static void test_start_time(void **state)
{
	pid_t plain = start_child("plain");
	pid_t odd = start_child("a) 1 (b) 2 3 4");
	uint64_t first = 0;
	uint64_t second = 0;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_attach_start_time(plain, &first, &err), 0);
	assert_int_equal(bl_attach_start_time(odd, &second, &err), 0);
	/* In ticks, one after the other. */
	assert_true(first > 1000 && second >= first && second - first < 1000);
	end_child(plain);
	end_child(odd);
	assert_true(bl_attach_start_time(odd, &second, &err) < 0);
	assert_int_equal(err.code, BL_EX_REFUSED);
}

/* A number that is another process's by now: its namespace is not entered. */
static void test_another_process(void **state)
{
	auto_attach place = BL_ATTACH_INIT;
	struct bl_attach_process process = {.pid = start_child("other")};
	struct bl_err err;
	auto_fd pidfd = bl_sys_pidfd_open(process.pid);

	(void)state;
	process.pidfd = pidfd;
	assert_int_equal(bl_attach_start_time(process.pid, &process.start_time, &err), 0);
	process.start_time--;
	assert_true(bl_attach_enter(&process, &place, &err) < 0);
	assert_non_null(strstr(err.msg, "is not the container's any more"));
	assert_int_equal(err.code, BL_EX_REFUSED);
	end_child(process.pid);
}

static void test_forbidden_places(void **state)
{
	static const char *const places[] = {
		"/",
		"/run",
		"/etc",
		"/etc/hosts",
		"/etc/hostname",
		"/etc/passwd",
		"/etc/group",
		"/etc/resolv.conf",
		"/etc/shadow",
		"/etc/gshadow",
		"/etc/mtab",
		"/etc/localtime",
		"/etc/timezone",
		"/etc/machine-id",
		"/etc/nsswitch.conf",
		"/etc/ld.so.preload",
		"/etc/ld.so.cache",
	};
	static const char *const trees[] = {"/proc",	    "/proc/1/root", "/sys",
					    "/sys/fs",	    "/dev",	    "/dev/shm",
					    "/run/ballast", "/secrets",	    "/secrets/token"};
	static const char *const allowed[] = {"/models", "/etc/models", "/run/models", "/device",
					      "/secrets2"};
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (bl_attach_check_location(places[i], &err) != -EPERM)
			fail_msg("%s is taken", places[i]);
	for (size_t i = 0; i < sizeof(trees) / sizeof(*trees); i++)
		if (bl_attach_check_location(trees[i], &err) != -EPERM)
			fail_msg("%s is taken", trees[i]);
	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
		if (bl_attach_check_location(allowed[i], &err) < 0)
			fail_msg("%s: %s", allowed[i], err.msg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_time),
		cmocka_unit_test(test_another_process),
		cmocka_unit_test(test_forbidden_places),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
