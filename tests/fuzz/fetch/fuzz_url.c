// SPDX-License-Identifier: Apache-2.0
/* URLs: what is let through has a scheme, a host, a port and no line break, and one reading. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size);
	auto_url base = {0};
	auto_url url = {0};
	auto_url again = {0};
	struct bl_err err;

	if (!text || bl_url_parse("https://origin.example/a/b", NULL, &base, &err) < 0)
		return 0;
	if (bl_url_parse(text, &base, &url, &err) < 0)
		return 0;
	assert(strcmp(url.scheme, "https") == 0 || strcmp(url.scheme, "http") == 0);
	assert(*url.host && url.port > 0 && url.port < 65536 && url.path[0] == '/');
	assert(!strpbrk(url.text, "\r\n") && !strpbrk(url.authority, "\r\n@/"));
	/* What is asked for is read once more: it must lead where the first reading led. */
	if (bl_url_parse(url.text, NULL, &again, &err) < 0)
		assert(strlen(url.text) > BL_URL_MAX);
	else
		assert(strcmp(again.origin, url.origin) == 0 && strcmp(again.text, url.text) == 0);
	return 0;
}
