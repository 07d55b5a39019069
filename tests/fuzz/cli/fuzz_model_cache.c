// SPDX-License-Identifier: Apache-2.0
/* Migration of a config.yaml: what it writes is YAML again, with nothing left to migrate. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/model_cache.h"
#include "cli/yaml.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf text = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	auto_buf after = BL_BUF_INIT(4 * BL_YAML_MAX_BYTES);
	auto_buf notes = BL_BUF_INIT(BL_YAML_MAX_BYTES);
	auto_yaml document = NULL;
	struct bl_err err = {0};

	/* A text with NUL is none that the program would ever read to its end. */
	if (memchr(data, '\0', size) || bl_buf_append(&text, data, size, NULL) < 0)
		return 0;
	if (bl_model_cache_migrate("f", bl_buf_str(&text), text.len, &after, &notes, &err) <= 0)
		return 0;
	/* `migrate` reads the result before it writes it; here it must not crash on it. */
	(void)bl_yaml_parse("f", bl_buf_str(&after), after.len, &document, &err);
	return 0;
}
