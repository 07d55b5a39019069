// SPDX-License-Identifier: Apache-2.0
/* Values of headers that fetch must understand. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/http_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size);
	auto_free char *next = NULL;
	int64_t from;
	int64_t to;
	int64_t whole;
	int64_t seconds;

	if (!text)
		return 0;
	if (bl_http_parse_content_range(text, &from, &to, &whole) == 0)
		assert(from >= 0 && from < to && to <= whole);
	next = bl_http_parse_next_link(text);
	seconds = bl_http_parse_retry_after(text, 1700000000, 60);
	assert(seconds >= -1 && seconds <= 60);
	assert(bl_http_parse_length(text) >= -1);
	if (bl_http_is_strong_etag(text))
		assert(text[0] == '"' && text[strlen(text) - 1] == '"');
	return 0;
}
