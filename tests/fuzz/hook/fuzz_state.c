// SPDX-License-Identifier: Apache-2.0
/* The state on the hook's standard input. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/contract.h"
#include "common/err.h"
#include "hook/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	auto_state state = {0};
	struct bl_err err = {0};

	if (bl_state_parse((const char *)data, len, &state, &err) < 0) {
		if (err.code != BL_EX_CONFIG && err.code != BL_EX_INTERNAL)
			abort();
		return 0;
	}
	if (!state.id || strchr(state.id, '/') || strlen(state.id) > BL_MAX_CONTAINER_ID)
		abort();
	if (bl_state_has_bundle(&state) && state.bundle[0] != '/')
		abort();
	return 0;
}
