// SPDX-License-Identifier: Apache-2.0
#include "common/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define USR "/usr" /* what the installed paths of common/contract.h begin with */

void bl_program_settle(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)signal(SIGCHLD, SIG_DFL);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* Whether there is a program `path` in the own program's directory, or, with `above`, in the one that
 * holds that: its path in room. */
static bool find(const char *path, bool above, char *room)
{
	char own[BL_PROGRAM_PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (len <= 0)
		return false;
	own[len] = '\0';
	for (int parts = above ? 2 : 1; parts > 0; parts--) {
		char *slash = strrchr(own, '/');

		if (!slash)
			return false;
		*slash = '\0';
	}
	len = snprintf(room, BL_PROGRAM_PATH_MAX, "%s/%s", own, path);
	return len < BL_PROGRAM_PATH_MAX && access(room, X_OK) == 0;
}

const char *bl_program_installed(const char *installed, char *room)
{
	return find(installed + sizeof(USR), true, room) ? room : installed;
}

const char *bl_program_find(const char *name, const char *installed, char *room)
{
	return find(name, false, room) ? room : bl_program_installed(installed, room);
}
