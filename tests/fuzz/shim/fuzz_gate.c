// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a line of the gate. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "shim/gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bl_gate_line line;
	struct bl_err err;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	if (bl_gate_parse(text, size, &line, &err) >= 0 && line.kind == BL_GATE_MOUNT &&
	    line.text[0] != '/')
		abort();
	free(text);
	return 0;
}
