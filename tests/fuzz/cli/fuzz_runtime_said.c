// SPDX-License-Identifier: Apache-2.0
/* What a runtime, a hook and a container say when no container comes of it: an error and an exit status. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/runtime.h"
#include "common/cleanup.h"
#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *said = strndup((const char *)data, size);
	struct bl_err err = {0};

	if (!said)
		return 0;
	assert(bl_runtime_explain(said, &err) < 0);
	assert(err.code > 0 && err.code < 256 && *err.msg);
	return 0;
}
