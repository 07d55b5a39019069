// SPDX-License-Identifier: Apache-2.0
/* The weights list: never crashes, and what it accepts has one canonical form. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_list(struct bl_buf *buf, const struct bl_weights *weights)
{
	auto_json list = bl_json_new_array();

	for (size_t i = 0; i < weights->count; i++)
		if (bl_weights_item_to_json(&weights->items[i], list, NULL) < 0)
			abort();
	if (bl_json_write(buf, list, NULL) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Above the maximum: escapes and defaults may lengthen a text. */
	auto_buf first = BL_BUF_INIT(8 * BL_MAX_ANNOTATION);
	auto_buf second = BL_BUF_INIT(8 * BL_MAX_ANNOTATION);
	auto_weights weights = {0};
	auto_weights again = {0};
	struct bl_err err = {0};

	if (bl_weights_parse((const char *)data, size, &weights, &err) < 0) {
		if (err.code == 0 || err.msg[0] == '\0')
			abort();
		return 0;
	}
	write_list(&first, &weights);
	if (first.len > BL_MAX_ANNOTATION)
		return 0;
	if (bl_weights_parse(first.data, first.len, &again, &err) < 0)
		abort();
	write_list(&second, &again);
	if (strcmp(bl_buf_str(&first), bl_buf_str(&second)) != 0)
		abort();
	return 0;
}
