// SPDX-License-Identifier: Apache-2.0
/* Names of a listing, one a line: whatever is let through is a safe relative path. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_safe(const char *name)
{
	assert(name[0] && name[0] != '/' && name[strlen(name) - 1] != '/');
	assert(!strstr(name, "//") && !strchr(name, '\\') && strcmp(name, "..") != 0);
	assert(strncmp(name, "../", 3) != 0 && !strstr(name, "/../"));
	assert(strlen(name) < 3 || strcmp(name + strlen(name) - 3, "/..") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *names[64];
	size_t n = 0;
	struct bl_err err;
	auto_free char *text = malloc(size + 1);
	char *save = NULL;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	(void)bl_name_check(text, size, &err);
	for (char *line = strtok_r(text, "\n", &save); line && n < 64;
	     line = strtok_r(NULL, "\n", &save)) {
		if (bl_name_check(line, strlen(line), &err) < 0)
			continue;
		assert_safe(line);
		names[n++] = line;
	}
	(void)bl_name_check_together(names, n, &err);
	return 0;
}
