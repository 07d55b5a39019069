/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/auth/token.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/http_headers.h"

int bl_token_take(const char *secret, char **ret)
{
	secret += strspn(secret, " \t\r\n");
	size_t len = strlen(secret);
	while (len && isspace((unsigned char)secret[len - 1]))
		len--;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)secret[i] <= ' ' || (unsigned char)secret[i] >= 0x7f)
			return -EINVAL;
	/* What begins like that is a document that holds a token, or a token in quotes. */
	if (len == 0 || len > BL_TOKEN_MAX || strchr("{\"'", secret[0]))
		return -EINVAL;
	*ret = strndup(secret, len);
	return *ret ? 0 : -ENOMEM;
}

int bl_token_add(struct bl_http_headers *headers, const char *scheme, const char *token,
		 struct bl_err *err)
{
	auto_secret value = NULL;

	if (asprintf(&value, "%s %s", scheme, token) < 0) {
		value = NULL;
		return bl_err_nomem(err);
	}
	return bl_http_headers_add(headers, "Authorization", value, err);
}
