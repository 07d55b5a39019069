// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a spec: the reader stays within them, and what it takes can be written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf again = BL_BUF_INIT(BL_SPEC_MAX);
	struct bl_spec_reader reader;
	struct bl_spec_record record;
	struct bl_err err;
	int ret;

	if (bl_spec_open(&reader, data, size, &err) < 0)
		return 0;
	if (bl_spec_begin(&again, &err) < 0)
		abort();
	while ((ret = bl_spec_next(&reader, &record, &err)) > 0)
		if (bl_spec_add(&again, record.type, record.data, record.len, &err) < 0)
			abort();
	if (ret == 0 && (bl_spec_end(&again, &err) < 0 || again.len != size ||
			 memcmp(again.data, data, size) != 0))
		abort();
	return 0;
}
