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
	auto_pattern compiled = NULL;
	auto_pattern flat = NULL;
	struct bl_err err;
	bool glob;

	if (!line || size > 4096)
		return 0;
	pattern = strndup((const char *)data, (size_t)(line - data));
	name = strndup((const char *)line + 1, size - (size_t)(line - data) - 1);
	if (!pattern || !name)
		return 0;
	if (bl_pattern_compile(pattern, BL_PATTERN_FNMATCH, &flat, &err) < 0 ||
	    bl_pattern_compile(pattern, BL_PATTERN_GLOB, &compiled, &err) < 0)
		return 0;
	(void)bl_pattern_match(flat, name);
	glob = bl_pattern_match(compiled, name);
	if (!strpbrk(pattern, "*?[\\"))
		assert(glob == (strcmp(pattern, name) == 0));
	return 0;
}
