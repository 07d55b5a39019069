// SPDX-License-Identifier: Apache-2.0
#include "shim/init.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "common/sys.h"
#include "shim/exit.h"

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

int bl_init_start(struct bl_init *ret, struct bl_err *err)
{
	int signals = bl_sys_signalfd(~0ULL);
	pid_t child;

	if (signals < 0)
		return bl_err_sys(err, -signals, "signalfd");
	/* Without a PID namespace of its own the server's orphans would go to the host's init. */
	if (getpid() != 1)
		(void)bl_sys_set_subreaper();
	child = fork();
	if (child < 0) {
		int saved = errno;

		(void)close(signals);
		return bl_err_sys(err, saved, "fork");
	}
	if (child == 0) {
		lead_group();
		return 0;
	}
	/* By both, so that the group is there for whoever is first. */
	(void)setpgid(child, child);
	*ret = (struct bl_init){.child = child, .signals = signals};
	return 1;
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
			 * PID 1 has nobody who could continue it, and cannot be stopped. */
			if (getpid() != 1)
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
