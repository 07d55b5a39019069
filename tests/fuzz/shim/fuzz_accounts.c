// SPDX-License-Identifier: Apache-2.0
/* Any bytes as /etc/passwd, then, with a name that may be in them, as /etc/group. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "shim/user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bl_user user;
	struct bl_err err;

	user = (struct bl_user){.uid = 5, .gid = 5};
	if (bl_user_find_passwd(&user, (const char *)data, size) == 0)
		strcpy(user.name, "me");
	else if (!user.name[0] || strpbrk(user.name, ":\n") || strpbrk(user.home, ":\n"))
		abort();
	if (bl_user_find_groups(&user, (const char *)data, size, &err) < 0)
		return 0;
	for (size_t i = 0; i < user.group_count; i++)
		if (user.groups[i] == user.gid || user.groups[i] == UINT32_MAX)
			abort();
	return 0;
}
