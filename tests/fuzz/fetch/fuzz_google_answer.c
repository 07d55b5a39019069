// SPDX-License-Identifier: Apache-2.0
/* What Google's token servers answer: a token or none, and an error's name is a word. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/auth/crypto.h"
#include "fetch/auth/google_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	char code[BL_CLOUD_CODE_MAX];
	char *token = NULL;
	int64_t when = 3600;

	if (bl_google_read_token(text, size, &token, &when) == 0)
		assert(token && strlen(token) < size && when >= 0 && when <= 86400);
	else
		assert(!token && when == 3600);
	bl_crypto_free_secret(&token);
	when = -1;
	if (bl_google_read_impersonation(text, size, &token, &when) == 0)
		assert(token && strlen(token) < size && when >= 0);
	else
		assert(!token && when == -1);
	bl_crypto_free_secret(&token);
	bl_google_read_error(text, size, code);
	assert(strcmp(code, "no code") == 0 || bl_cloud_is_code(code));
	return 0;
}
