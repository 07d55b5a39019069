// SPDX-License-Identifier: Apache-2.0
/* Any URL that an origin may lead to, signed as S3 and Azure want it: a line of headers, no more. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/sharedkey.h"
#include "fetch/auth/sigv4.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct bl_http_headers *headers)
{
	assert(bl_http_headers_get(headers, "Authorization"));
	for (size_t i = 0; i < headers->count; i++)
		assert(!strpbrk(headers->lines[i], "\r\n"));
}

/* The first line is the URL, the others are headers that the request has. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char id[] = "AKID", secret[] = "secret", region[] = "us-east-1";
	const struct bl_sigv4_key key = {
		.id = id, .secret = secret, .region = region, .service = "s3"};
	auto_free char *text = strndup((const char *)data, size);
	auto_headers headers = {0};
	auto_headers amazon = {0};
	auto_headers azure = {0};
	auto_url url = {0};
	struct bl_sharedkey shared = {0};
	struct bl_err err;
	char *rest = text;
	const char *line = text ? strsep(&rest, "\n") : NULL;

	if (!line || bl_url_parse(line, NULL, &url, &err) < 0)
		return 0;
	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, ':');

		if (!value)
			continue;
		*value++ = '\0';
		(void)bl_http_headers_add(&headers, line, value, &err);
	}
	const struct bl_http_hop hop = {.method = "GET", .url = &url, .headers = &headers};
	if (bl_sigv4_sign(&key, &hop, 1700000000, &amazon, &err) >= 0)
		check(&amazon);
	if (bl_sharedkey_init(&shared, "account", "c2VjcmV0", &err) < 0)
		return 0;
	if (bl_sharedkey_sign(&shared, &hop, 1700000000, &azure, &err) >= 0)
		check(&azure);
	bl_sharedkey_done(&shared);
	return 0;
}
