/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of children that were killed. A file system that does not answer may hold one in the
 * kernel, where not even SIGKILL ends it; the agent has others to serve meanwhile.
 */
#ifndef BL_AGENT_REAP_H
#define BL_AGENT_REAP_H

#include <sys/types.h>

struct bl_loop;

/*
 * Reaps a child that was sent SIGKILL: at once where it ends at once, else when the loop hears of its
 * end. The descriptor stays the caller's; where it is -1, or memory is short, this waits.
 */
void bl_reap(struct bl_loop *loop, pid_t pid, int pidfd);

#endif
