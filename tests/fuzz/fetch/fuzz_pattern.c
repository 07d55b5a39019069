// SPDX-License-Identifier: Apache-2.0
/* A pattern and a name, split at the first newline: no crash, and literal text matches itself. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size ? memchr(data, '\n', size) : NULL;
	auto_free char *pattern = NULL;
	auto_free char *name = NULL;
	bool glob;

	if (!line || size > 4096)
		return 0;
	pattern = strndup((const char *)data, (size_t)(line - data));
	name = strndup((const char *)line + 1, size - (size_t)(line - data) - 1);
	if (!pattern || !name)
		return 0;
	glob = bl_pattern_matches(pattern, name);
	(void)bl_pattern_matches_flat(pattern, name);
	if (*pattern && strlen(pattern) <= 1024 && !strpbrk(pattern, "*?[\\"))
		assert(glob == (strcmp(pattern, name) == 0));
	return 0;
}
