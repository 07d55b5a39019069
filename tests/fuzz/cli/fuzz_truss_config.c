// SPDX-License-Identifier: Apache-2.0
/* A config.yaml: never crashes, and what is accepted is annotations of valid JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/truss_config.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_ANNOTATION};
	auto_truss_config config = {0};
	struct bl_err err = {0};

	if (bl_truss_config_parse("f", (const char *)data, size, &config, &err) < 0) {
		if (err.code == 0 || err.msg[0] == '\0')
			abort();
		return 0;
	}
	for (const bl_json *m = bl_json_first(config.annotations); m; m = bl_json_next(m)) {
		const char *text = bl_json_string(m);
		auto_json value = NULL;

		if (bl_json_parse(text, strlen(text), &limits, &value, &err) < 0)
			abort();
	}
	return 0;
}
