// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <string.h>
#include <unistd.h>

#define NAME_ROOM 64

const char *bl_program_find(const char *name, const char *installed, char *room)
{
	ssize_t len = readlink("/proc/self/exe", room, BL_PROGRAM_PATH_MAX - NAME_ROOM);
	char *slash;

	if (len <= 0 || strlen(name) >= NAME_ROOM)
		return installed;
	room[len] = '\0';
	slash = strrchr(room, '/');
	if (!slash)
		return installed;
	memcpy(slash + 1, name, strlen(name) + 1);
	return access(room, X_OK) == 0 ? room : installed;
}
