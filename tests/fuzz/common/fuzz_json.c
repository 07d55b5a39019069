// SPDX-License-Identifier: Apache-2.0
/* Whatever the JSON reader takes, its canonical form is taken too, and is its own canonical form. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"

#define MAX_BYTES (1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* An integer of 17 digits and more is written as it was rounded, so not with fractions. */
	const struct bl_json_limits limits = {.max_bytes = MAX_BYTES};
	const struct bl_json_limits again = {.max_bytes = SIZE_MAX, .fractions = true};
	auto_json first = NULL;
	auto_json second = NULL;
	auto_buf once = BL_BUF_INIT((size_t)16 * MAX_BYTES);
	auto_buf twice = BL_BUF_INIT((size_t)16 * MAX_BYTES);
	struct bl_err err;

	if (bl_json_parse((const char *)data, len, &limits, &first, &err) < 0)
		return 0;
	if (bl_json_write(&once, first, &err) < 0 ||
	    bl_json_parse(once.data, once.len, &again, &second, &err) < 0 ||
	    bl_json_write(&twice, second, &err) < 0 || once.len != twice.len ||
	    memcmp(once.data, twice.data, once.len) != 0)
		abort();
	return 0;
}
