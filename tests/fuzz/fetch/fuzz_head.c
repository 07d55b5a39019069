// SPDX-License-Identifier: Apache-2.0
/* The head of an answer, line by line as it comes, and all that is read of it afterwards. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/retry.h"
#include "fetch/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bl_wire wire = {0};
	const char *at = (const char *)data;
	bool good = true;

	while (good && size > 0) {
		const char *end = memchr(at, '\n', size);
		size_t len = end ? (size_t)(end - at) + 1 : size;

		good = bl_wire_take_header(&wire, at, len);
		at += len;
		size -= len;
	}
	for (size_t i = 0; i < wire.answer.count; i++)
		assert(!strpbrk(wire.answer.lines[i], "\r\n") &&
		       strpbrk(wire.answer.lines[i], ":;"));
	assert(wire.answer_bytes <= BL_HTTP_MAX_HEADERS || !good);
	assert(wire.status >= 0 && wire.status <= 999);
	int64_t pause = bl_retry_pause(1, &wire.answer);
	assert(pause >= 0 && pause <= BL_RETRY_MAX_ASKED * 1000);
	if (!bl_http_headers_get(&wire.answer, "Content-Length"))
		assert(bl_http_headers_agree(&wire.answer, "Content-Length"));
	bl_wire_done(&wire);
	return 0;
}
