// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a journal's ranges: what is taken is sorted, apart, and within the file. */
#include <stdint.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/json.h"
#include "common/ranges.h"

#define SIZE (INT64_C(1) << 40)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct bl_json_limits limits = {.max_bytes = 65536};
	auto_json json = NULL;
	auto_ranges ranges = {0};
	struct bl_err err;

	if (bl_json_parse((const char *)data, len, &limits, &json, &err) < 0 ||
	    bl_ranges_from_json(json, SIZE, &ranges, &err) < 0)
		return 0;
	for (size_t i = 0; i < ranges.count; i++)
		if (ranges.at[i].from < 0 || ranges.at[i].to <= ranges.at[i].from ||
		    ranges.at[i].to > SIZE || (i && ranges.at[i].from <= ranges.at[i - 1].to))
			abort();
	return 0;
}
