// SPDX-License-Identifier: Apache-2.0
#include "hook/capabilities.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/capability.h>

#include "common/err.h"

#define NAME_SIZE 64
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

static int add_capability(const char *name, size_t len, uint64_t *mask, struct bl_err *err)
{
	char full[NAME_SIZE];
	cap_value_t value;
	int n = snprintf(full, sizeof(full), "%s%.*s",
			 len > 4 && strncasecmp(name, "cap_", 4) == 0 ? "" : "cap_", (int)len,
			 name);

	/* libcap stops at what it takes for the end of a name. */
	if (len == 0 || strspn(name, NAME_CHARACTERS) < len || n < 0 || (size_t)n >= sizeof(full) || cap_from_name(full, &value) < 0 ||
	    value < 0 || value > 63)
		return bl_err_config(err, "'%.*s' is no capability's name, such as cap_sys_nice",
				     len > NAME_SIZE ? NAME_SIZE : (int)len, name);
	*mask |= UINT64_C(1) << value;
	return 0;
}

int bl_capabilities_parse(const char *list, uint64_t *ret, struct bl_err *err)
{
	uint64_t mask = 0;

	for (;;) {
		size_t len = strcspn(list, ",");
		int r = add_capability(list, len, &mask, err);

		if (r < 0)
			return r;
		if (list[len] == '\0')
			break;
		list += len + 1;
	}
	*ret = mask;
	return 0;
}
