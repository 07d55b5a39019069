// SPDX-License-Identifier: Apache-2.0
/* A secret's JSON, and the key of a service account. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/sources/cloud.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_json json = NULL;
	auto_secret text = NULL;
	auto_secret value = strndup((const char *)data, size);
	struct bl_err err;

	if (!value || bl_cloud_parse_secret(value, "test credentials", &json, &err) < 0)
		return 0;
	if (bl_cloud_secret_text(json, "aws_access_key_id", &text, &err) > 0)
		for (const char *c = text; *c; c++)
			assert((unsigned char)*c >= ' ');
	return 0;
}
