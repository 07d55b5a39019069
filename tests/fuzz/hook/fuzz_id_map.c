// SPDX-License-Identifier: Apache-2.0
/* A uid_map: what is found is what a plain reading of the same lines finds. The first byte chooses the id. */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "hook/inject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint32_t ids[] = {0, 1, 999, 1000, 60000, 65535, 65536, INT32_MAX, UINT32_MAX};

/* Whether the text is what the kernel writes: lines of three numbers of 32 bits, nothing else. */
static bool is_kernels(const char *text)
{
	int columns = 0;

	for (const char *c = text; *c; columns = (columns + 1) % 3) {
		size_t digits;

		c += strspn(c, " ");
		digits = strspn(c, "0123456789");
		if (digits == 0 || digits > 10 || strtoull(c, NULL, 10) > UINT32_MAX)
			return false;
		c += digits;
		if (*c != (columns < 2 ? ' ' : '\n'))
			return false;
		c += columns == 2;
	}
	return columns == 0;
}

static bool expected(const char *text, uint32_t id, uint32_t *ret)
{
	uint64_t n[3];

	for (char *end = (char *)text; *end;) {
		for (int i = 0; i < 3; i++)
			n[i] = strtoull(end, &end, 10);
		end += *end == '\n';
		if (id < n[0] || id >= n[0] + n[2])
			continue;
		*ret = (uint32_t)(n[1] + id - n[0]);
		return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t id = size ? ids[data[0] % (sizeof(ids) / sizeof(ids[0]))] : 0;
	auto_free char *text = strndup((const char *)data + (size > 0), size - (size > 0));
	uint32_t found = 4711;
	uint32_t wanted = 0;
	struct bl_err err = {0};
	int r;

	if (!text)
		return 0;
	r = bl_inject_map_id(text, id, &found, &err);
	assert(r == 0 || (found == 4711 && err.code == BL_EX_CONFIG));
	if (is_kernels(text)) {
		assert((r == 0) == expected(text, id, &wanted));
		assert(r < 0 || found == wanted);
	}
	return 0;
}
