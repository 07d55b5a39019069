// SPDX-License-Identifier: Apache-2.0
/* The filter is loaded into child processes, which try what it should deny and what it must not. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/sys.h"
#include "hook/seccomp.h"

/* Runs attempt() under the filter in a child; its exit status, or 128 + the signal. */
static int under_filter(int (*attempt)(void))
{
	auto_buf filter = BL_BUF_INIT(BL_SECCOMP_MAX);
	struct bl_err err;
	int status;
	pid_t pid;

	assert_int_equal(bl_seccomp_build(&filter, &err), 0);
	assert_int_equal(filter.len % sizeof(struct sock_filter), 0);
	pid = fork();
	if (pid == 0) {
		size_t n = filter.len / sizeof(struct sock_filter);

		if (bl_sys_set_no_new_privs() < 0 ||
		    bl_sys_set_seccomp(filter.data, (unsigned short)n) < 0)
			_exit(99);
		_exit(attempt());
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Each of these would succeed, or fail in another way, where the filter lets it through. */
static int try_denied(void)
{
	static const struct {
		long number;
		int answer;
	} calls[] = {
		{SYS_mount, EPERM},
		{SYS_umount2, EPERM},
		{SYS_open_tree, EPERM},
		{SYS_move_mount, EPERM},
		{SYS_fsopen, EPERM},
		{SYS_mount_setattr, EPERM},
		{SYS_setns, EPERM},
		{SYS_init_module, EPERM},
		{SYS_finit_module, EPERM},
		{SYS_kexec_load, EPERM},
		{SYS_bpf, EPERM},
		{SYS_keyctl, ENOSYS},
		{SYS_add_key, ENOSYS},
		{SYS_request_key, ENOSYS},
		{SYS_clone3, ENOSYS},
		{SYS_userfaultfd, EPERM},
		{SYS_perf_event_open, EPERM},
		{SYS_pivot_root, EPERM},
		{SYS_open_by_handle_at, EPERM},
		{SYS_chroot, EPERM},
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		errno = 0;
		if (syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L) != -1 ||
		    errno != calls[i].answer)
			return 1 + (int)i;
	}
	return 0;
}

static int try_namespaces(void)
{
	if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
		return 1;
	if (unshare(CLONE_NEWNS) == 0 || errno != EPERM)
		return 2;
	if (syscall(SYS_clone, (long)CLONE_NEWUSER, 0L, 0L, 0L, 0L) >= 0 || errno != EPERM)
		return 3;
	return unshare(CLONE_FS) == 0 ? 0 : 4;
}

static int try_terminal(void)
{
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	char c = 'x';

	if (master < 0)
		return 77;
	if (ioctl(master, TIOCSTI, &c) == 0 || errno != EPERM)
		return 1;
	return ioctl(master, FIONREAD, &(int){0}) == 0 ? 0 : 2;
}

static void *nothing(void *unused)
{
	return unused;
}

/* What a server does all day, or may try: threads, children, reading its neighbour's memory. */
static int try_ordinary(void)
{
	pthread_t thread;
	char from = 'a';
	char to = 0;
	struct iovec local = {&to, 1};
	struct iovec remote = {&from, 1};
	pid_t child;
	int status;

	if (pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return 1;
	child = fork();
	if (child == 0)
		_exit(3);
	if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 3)
		return 2;
	if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) != 1 || to != 'a')
		return 3;
#ifdef SYS_io_uring_setup
	/* Whatever the host answers to nonsense; not the filter's EPERM. */
	if (syscall(SYS_io_uring_setup, 0L, NULL) != -1 || (errno == EPERM && geteuid() == 0))
		return 4;
#endif
	return 0;
}

#if defined(__x86_64__)
static int try_foreign(void)
{
	long ret;

	/* i386's getpid. */
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(20) : "memory");
	return ret > 0 ? 1 : 2;
}

static int try_x32(void)
{
	return syscall(0x40000000L | SYS_getpid) == -1 && errno == ENOSYS ? 0 : 1;
}

static void test_foreign(void **state)
{
	(void)state;
	assert_int_equal(under_filter(try_foreign), 128 + SIGSYS);
	assert_int_equal(under_filter(try_x32), 0);
}
#endif

static void test_denied(void **state)
{
	(void)state;
	assert_int_equal(under_filter(try_denied), 0);
	assert_int_equal(under_filter(try_namespaces), 0);
}

static void test_terminal(void **state)
{
	int ret = under_filter(try_terminal);

	(void)state;
	if (ret == 77)
		skip();
	assert_int_equal(ret, 0);
}

static void test_ordinary(void **state)
{
	(void)state;
	assert_int_equal(under_filter(try_ordinary), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_ordinary),
#if defined(__x86_64__)
		cmocka_unit_test(test_foreign),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
