// SPDX-License-Identifier: Apache-2.0
#include "shim/init.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
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

/* Reaps whatever has ended. True with *status filled where the server has. */
static bool reap(const struct bl_init *init, int options, int *status)
{
	bool ended = false;
	int one;
	pid_t pid;

	while ((pid = waitpid(-1, &one, options | WUNTRACED)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid != init->child)
			continue;
		if (WIFSTOPPED(one)) {
			/* The server was stopped: so is the job that it is, if it is somebody's job.
			 * PID 1 has nobody who could continue it, and cannot be stopped. */
			if (getpid() != 1)
				(void)raise(SIGSTOP);
			continue;
		}
		*status = one;
		ended = true;
	}
	return ended;
}

int bl_init_serve(const struct bl_init *init)
{
	struct signalfd_siginfo info;
	int status;

	for (;;) {
		ssize_t n = bl_sys_read(init->signals, &info, sizeof(info));

		if (n != (ssize_t)sizeof(info)) {
			/* Never seen; but without signals waiting is all that is left to do. */
			if (reap(init, 0, &status))
				break;
			continue;
		}
		if (info.ssi_signo == SIGCHLD && reap(init, WNOHANG, &status))
			break;
		if (!(NOT_FORWARDED & BL_SIGNAL_BIT(info.ssi_signo)))
			(void)kill(-init->child, (int)info.ssi_signo);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : BL_SHIM_SIGNALLED + WTERMSIG(status);
}
