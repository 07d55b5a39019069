// SPDX-License-Identifier: Apache-2.0
#include "agent/reap.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "agent/loop.h"
#include "common/cleanup.h"
#include "common/sys.h"

#define AT_ONCE_MS 100 /* what a process that nothing holds needs to end, and more */

struct undead {
	struct undead *prev, *next;
	struct bl_loop *loop;
	struct bl_watch gone;
	pid_t pid;
	int fd;
};

/* They are nobody's: whoever started them is gone, and the agent may end before they do. */
static struct undead *all;

static void bury(struct bl_watch *watch, uint32_t events)
{
	struct undead *undead = watch->data;

	(void)events;
	bl_loop_unwatch(undead->loop, &undead->gone);
	(void)waitpid(undead->pid, NULL, WNOHANG);
	bl_cleanup_fd(&undead->fd);
	*(undead->prev ? &undead->prev->next : &all) = undead->next;
	if (undead->next)
		undead->next->prev = undead->prev;
	free(undead);
}

/* 0 where the loop will hear of it. */
static int leave_to_loop(struct bl_loop *loop, pid_t pid, int pidfd)
{
	auto_fd own = bl_sys_dup(pidfd);
	auto_free struct undead *undead = own < 0 ? NULL : calloc(1, sizeof(*undead));
	int r;

	if (!undead)
		return own < 0 ? own : -ENOMEM;
	*undead = (struct undead){.loop = loop, .gone = BL_WATCH_INIT, .pid = pid, .fd = own};
	r = bl_loop_watch(loop, &undead->gone, own, EPOLLIN, bury, undead, NULL);
	if (r < 0)
		return r;
	(void)TAKE_FD(own);
	undead->next = all;
	if (all)
		all->prev = undead;
	all = TAKE_PTR(undead);
	return 0;
}

void bl_reap(struct bl_loop *loop, pid_t pid, int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};

	if (pidfd >= 0 && poll(&end, 1, AT_ONCE_MS) == 0 && leave_to_loop(loop, pid, pidfd) == 0)
		return;
	(void)waitpid(pid, NULL, 0);
}
