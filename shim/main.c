// SPDX-License-Identifier: Apache-2.0
/*
 * ballast-shim: PID 1 in somebody else's image. It gets ready what the server is to find, gives up
 * what the server is not to have, and becomes the server, or stays as its init. In order:
 *
 *   descriptors, signals, working directory    nothing of the runtime's is handed on
 *   orders                                     /run/ballast/spec, checked whole
 *   gate                                       the weights, where they come late
 *   user, env, owned                           as root, where the container is root's
 *   privileges                                 dropped and read back
 *   command                                    executed, by the child where the shim stays
 *
 * Nothing that fails here lets the server run. The last word goes to stderr and, where Kubernetes
 * has put that file, to /dev/termination-log.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/log.h"
#include "common/spec.h"
#include "common/sys.h"
#include "shim/command.h"
#include "shim/env.h"
#include "shim/exit.h"
#include "shim/gate.h"
#include "shim/heap.h"
#include "shim/init.h"
#include "shim/orders.h"
#include "shim/owned.h"
#include "shim/privileges.h"
#include "shim/user.h"

#define USAGE		"usage: " BL_BOX_SHIM " [--init] [--] [COMMAND [ARG...]]"
#define TERMINATION_LOG "/dev/termination-log"
#define MESSAGE_MAX	2048
#define PAGE		4096
#define STACK_USED	(16 * PAGE) /* more than any of the calls before the fork needs */
#define CALLS_USE	1024	    /* bytes of stack: more than the calls from let_go() need */

/* In an order that leaves most of its pages untouched: each takes a microsecond. */
struct shim {
	bool init;	   /* --init */
	char *const *rest; /* COMMAND and its arguments */
	struct bl_orders orders;
	struct bl_command command;
	struct bl_env env;
	struct bl_user user;
};

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	bl_log(BL_LOG_INFO, "%s", text);
}

/* The last word where Kubernetes looks for it: a file that it makes writable for every user. */
static void tell_kubernetes(const struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(AT_FDCWD, TERMINATION_LOG,
				   O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	char line[MESSAGE_MAX];
	struct stat st;

	if (fd < 0 || bl_sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	(void)bl_sys_write_all(fd, line, bl_log_escape(line, sizeof(line), err->msg));
}

/* The exit status for an error, after its message has been told. */
static int tell(const struct bl_err *err)
{
	bool known = err->code == BL_SHIM_NOT_EXECUTABLE || err->code == BL_SHIM_NOT_FOUND ||
		     err->code > BL_SHIM_SIGNALLED;

	bl_log(BL_LOG_ERROR, "%s", err->msg);
	tell_kubernetes(err);
	return known ? err->code : BL_SHIM_FAILED;
}

/*
 * Only 0 to 2 are handed on, and they must be there: a file that took the number of one of them
 * would be the server's output.
 */
static int set_up_descriptors(struct bl_err *err)
{
	int ret = bl_sys_close_from(STDERR_FILENO + 1);

	if (ret < 0)
		return bl_err_sys(err, -ret, "closing inherited descriptors");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		struct stat st;

		if (bl_sys_fstat(fd, &st) != -EBADF)
			continue;
		/* Not close-on-exec, unlike what bl_sys_openat() would give. */
		if (open("/dev/null", O_RDWR | O_NOCTTY) != fd)
			return bl_err_refuse(err,
					     "descriptor %d is closed, and there is no "
					     "/dev/null to put in its place",
					     fd);
	}
	return 0;
}

/* A working directory outside of the root is a way out of the container (runc once left one). */
static int check_directory(struct bl_err *err)
{
	auto_free char *cwd = malloc(BL_MAX_PATH + 1);

	if (!cwd)
		return bl_err_nomem(err);
	if (getcwd(cwd, BL_MAX_PATH + 1) && cwd[0] == '/')
		return 0;
	return bl_err_refuse(err, "the working directory is not inside the container, or is gone");
}

/*
 * Weights that come late lie over the directory that the runtime has gone into, where that is theirs: what
 * this process has is the placeholder beneath, and would be the server's.
 */
static int enter_again(struct bl_err *err)
{
	auto_free char *cwd = malloc(BL_MAX_PATH + 1);
	struct stat here;
	struct stat there;

	if (!cwd)
		return bl_err_nomem(err);
	if (!getcwd(cwd, BL_MAX_PATH + 1) || bl_sys_fstatat(AT_FDCWD, ".", &here, 0) < 0 ||
	    bl_sys_fstatat(AT_FDCWD, cwd, &there, 0) < 0 ||
	    (here.st_dev == there.st_dev && here.st_ino == there.st_ino))
		return 0;
	return chdir(cwd) < 0 ? bl_err_sys(err, errno, "enter '%s' again", cwd) : 0;
}

/* What a person asks for who has found the program on the host: 1, it was told. */
static int tell_person(const char *text, struct bl_err *err)
{
	int ret = bl_sys_write_all(STDOUT_FILENO, text, strlen(text));

	return ret < 0 ? bl_err_sys(err, -ret, "writing to standard output") : 1;
}

/* 1 where that was all there is to do. */
static int parse_options(struct shim *shim, char *const *argv, struct bl_err *err)
{
	if (argv[0])
		argv++;
	for (; *argv && (*argv)[0] == '-'; argv++) {
		if (strcmp(*argv, "--") == 0) {
			argv++;
			break;
		}
		if (strcmp(*argv, "--version") == 0)
			return tell_person("ballast-shim " BL_VERSION "\n", err);
		if (strcmp(*argv, "--help") == 0)
			return tell_person(USAGE "\n", err);
		if (strcmp(*argv, "--init") != 0)
			return bl_err_config(err, "unknown option %s; " USAGE, *argv);
		shim->init = true;
	}
	shim->rest = argv;
	return 0;
}

static int get_ready(struct shim *shim, char *const *image_env, struct bl_err *err)
{
	struct bl_orders *orders = &shim->orders;
	int ret = bl_orders_read(orders, BL_BOX_SPEC, err);

	if (ret >= 0 && (orders->flags & BL_SPEC_FLAG_DEFERRED))
		ret = bl_gate_wait(BL_BOX_GATE, orders, say, err);
	if (ret >= 0 && (orders->flags & BL_SPEC_FLAG_DEFERRED))
		ret = enter_again(err);
	if (ret >= 0)
		ret = bl_user_resolve(&shim->user, orders, err);
	if (ret >= 0)
		ret = bl_env_build(&shim->env, (const char *const *)image_env, orders, &shim->user,
				   say, err);
	if (ret >= 0)
		ret = bl_command_choose(&shim->command, orders, shim->rest, err);
	if (ret >= 0 && !(orders->flags & BL_SPEC_FLAG_NO_CHOWN))
		bl_owned_give(&shim->user, shim->env.home, say);
	return ret;
}

/* The server; or why there is none. */
static int become(struct shim *shim, struct bl_err *err)
{
	int ret = bl_sys_signals_default();

	if (ret >= 0)
		ret = bl_sys_sigmask(0);
	if (ret < 0)
		return bl_err_sys(err, -ret, "resetting signals");
	return bl_command_exec(&shim->command, &shim->env, err);
}

/* Gives whole pages back that lie in [from, to); they would read as zeroes. */
static void forget(uintptr_t from, uintptr_t to)
{
	from = (from + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
	to &= ~(uintptr_t)(PAGE - 1);
	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
}

/*
 * What only the server needed: a waiting init keeps next to nothing. Of the stack go the
 * environment at its top, and what deeper calls have used, though not what the calls from here use:
 * so this must have a frame of its own, below all that is still needed.
 */
__attribute__((noinline)) static void let_go(struct shim *shim, char *const *image_env)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	size_t last = 0;
	char *from;
	char *to;

	bl_command_done(&shim->command);
	bl_env_done(&shim->env);
	bl_orders_done(&shim->orders);
	forget((uintptr_t)shim, (uintptr_t)shim + sizeof(*shim));
	bl_heap_extent(&from, &to);
	forget((uintptr_t)from, (uintptr_t)to);
	while (image_env[last] && image_env[last + 1])
		last++;
	if (image_env[last])
		forget((uintptr_t)image_env[0], (uintptr_t)image_env[last]);
	forget(frame - STACK_USED, frame - CALLS_USE);
}

/* The server in a child of the shim: what comes back is its exit status. */
static int become_child(void *arg)
{
	struct bl_err err;

	(void)become(arg, &err);
	return tell(&err);
}

static int run(struct shim *shim, char *const *argv, char *const *image_env, struct bl_err *err)
{
	struct bl_init init;
	int ret = parse_options(shim, argv, err);

	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = check_directory(err);
	if (ret < 0)
		return ret;
	ret = bl_sys_sigmask(~0ULL);
	if (ret < 0)
		return bl_err_sys(err, -ret, "blocking signals");
	/* Ignored, as whoever started us may have left it, it would never tell of a child's end. */
	(void)signal(SIGCHLD, SIG_DFL);
	ret = get_ready(shim, image_env, err);
	if (ret < 0)
		return ret;
	/* Of a line of ours that nobody reads, or no file takes: ignored they are forgotten, or they would be
	 * the server's. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	ret = bl_privileges_drop(
		&(struct bl_privileges){
			.user = &shim->user,
			.keep = shim->orders.keep_caps,
			.filter = shim->orders.filter,
			.filter_count = shim->orders.filter_count,
		},
		err);
	if (ret < 0)
		return ret;
	if (!shim->init && !(shim->orders.flags & BL_SPEC_FLAG_INIT))
		return become(shim, err);
	/* Before the server is there: from its first instruction it may trace whoever has its identity
	 * and has not said this. What is executed is traced as ever. */
	(void)bl_sys_set_dumpable(false);
	ret = bl_init_start(&init, become_child, shim, err);
	if (ret < 0)
		return ret;
	let_go(shim, image_env);
	return bl_init_serve(&init);
}

int main(int argc, char **argv, char **envp)
{
	static struct shim shim; /* no page until it is used */
	struct bl_err err = {.msg = ""};
	int ret;

	(void)argc;
	bl_log_init("ballast", BL_LOG_TEXT, BL_LOG_INFO);
	ret = set_up_descriptors(&err);
	if (ret >= 0)
		ret = run(&shim, argv, envp, &err);
	return ret >= 0 ? ret : tell(&err);
}
