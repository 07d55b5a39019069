// SPDX-License-Identifier: Apache-2.0
#include "shim/init.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "common/sys.h"
#include "shim/exit.h"

#define STACK (64 * 1024UL) /* bytes; finding and executing a command needs a third of it */

/* Ours alone: the child's end is not for the child's group, and the other two cannot be caught. */
#define NOT_FORWARDED (BL_SIGNAL_BIT(SIGCHLD) | BL_SIGNAL_BIT(SIGKILL) | BL_SIGNAL_BIT(SIGSTOP))

/* Into a group of its own, to which the terminal goes too where the shim has it: the kernel then
 * sends the terminal's signals to the server by itself. */
static void lead_group(void)
{
	bool foreground = tcgetpgrp(STDIN_FILENO) == getpgrp();

	(void)setpgid(0, 0);
	if (foreground)
		(void)tcsetpgrp(STDIN_FILENO, getpid());
}

struct start {
	int (*server)(void *arg);
	void *arg;
};

static int child(void *arg)
{
	const struct start *start = arg;

	lead_group();
	return start->server(start->arg);
}

/* As vfork() does, but on another stack: copying the memory of a process that is about to execute
 * would be a quarter of the shim's time. */
static pid_t spawn(struct start *start)
{
	const size_t size = STACK;
	char *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (stack == MAP_FAILED)
		return -1;
	pid = clone(child, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, start);
	if (pid < 0)
		return -1;
	(void)munmap(stack, size);
	return pid;
}

int bl_init_start(struct bl_init *ret, int (*server)(void *arg), void *arg, struct bl_err *err)
{
	struct start start = {.server = server, .arg = arg};
	int signals = bl_sys_signalfd(~0ULL);
	pid_t pid;

	if (signals < 0)
		return bl_err_sys(err, -signals, "signalfd");
	/* Without a PID namespace of its own the server's orphans would go to the host's init. */
	if (getpid() != 1)
		(void)bl_sys_set_subreaper();
	pid = spawn(&start);
	if (pid < 0) {
		int saved = errno;

		(void)close(signals);
		return bl_err_sys(err, saved, "starting the server");
	}
	*ret = (struct bl_init){.child = pid, .signals = signals};
	return 0;
}

/* The server's end. */
struct end {
	bool there;
	int status; /* as waitpid() gives it */
};

/* Reaps whatever has ended, and notes the server's end. */
static void reap(const struct bl_init *init, int options, struct end *end)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, options | WUNTRACED)) > 0 ||
	       (pid < 0 && errno == EINTR)) {
		if (pid != init->child)
			continue;
		if (WIFSTOPPED(status)) {
			/* The server was stopped: so is the job that it is, if it is somebody's job.
			 * PID 1 has nobody who could continue it, and cannot be stopped; a session's
			 * leader, as every runtime makes one of it, has no shell that would. */
			if (getpid() != 1 && getsid(0) != getpid())
				(void)raise(SIGSTOP);
			continue;
		}
		*end = (struct end){.there = true, .status = status};
	}
}

/*
 * Whether all is over. A shell that ran `cd /x && server` dies at once of a signal that the server
 * still wants to end on in its own way: where the child died of what was forwarded, the rest of its
 * group is waited for.
 */
static bool is_over(const struct bl_init *init, const struct end *end, uint64_t forwarded)
{
	if (!end->there)
		return false;
	if (!WIFSIGNALED(end->status) || !(forwarded & BL_SIGNAL_BIT(WTERMSIG(end->status))))
		return true;
	return kill(-init->child, 0) < 0 && errno == ESRCH;
}

int bl_init_serve(const struct bl_init *init)
{
	struct end end = {.there = false};
	uint64_t forwarded = 0;

	while (!is_over(init, &end, forwarded)) {
		struct signalfd_siginfo info;
		ssize_t n = bl_sys_read(init->signals, &info, sizeof(info));

		if (n != (ssize_t)sizeof(info)) {
			/* Never seen; but without signals waiting is all that is left to do. */
			reap(init, 0, &end);
			break;
		}
		if (info.ssi_signo == SIGCHLD)
			reap(init, WNOHANG, &end);
		if (NOT_FORWARDED & BL_SIGNAL_BIT(info.ssi_signo))
			continue;
		forwarded |= BL_SIGNAL_BIT(info.ssi_signo);
		(void)kill(-init->child, (int)info.ssi_signo);
	}
	return WIFEXITED(end.status) ? WEXITSTATUS(end.status)
				     : BL_SHIM_SIGNALLED + WTERMSIG(end.status);
}
