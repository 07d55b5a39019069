/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/auth/google_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/json.h"
#include "fetch/auth/oidc.h"
#include "fetch/auth/token.h"

/* The object, or NULL where it is none. */
static bl_json *read_object(const char *text, size_t len)
{
	const struct bl_json_limits limits = {.max_bytes = BL_GOOGLE_ANSWER_MAX, .fractions = true};
	auto_json json = NULL;

	if (bl_json_parse(text, len, &limits, &json, NULL) < 0 || !bl_json_is_object(json))
		return NULL;
	return TAKE_PTR(json);
}

/* What could not stand in a header is no token. */
static int copy_token(const char *text, char **token)
{
	int r = bl_token_take(text, token);

	return r == -EINVAL ? -EPROTO : r;
}

int bl_google_read_token(const char *text, size_t len, char **token, int64_t *seconds)
{
	auto_json json = read_object(text, len);
	const char *found = NULL;

	if (!json || bl_json_get_string(json, "access_token", &found, NULL) <= 0)
		return -EPROTO;
	int r = copy_token(found, token);
	if (r >= 0)
		(void)bl_json_get_int(json, "expires_in", 0, 86400, seconds, NULL);
	return r;
}

int bl_google_read_impersonation(const char *text, size_t len, char **token, int64_t *expires)
{
	auto_json json = read_object(text, len);
	const char *found = NULL;
	const char *end = NULL;
	int64_t at;

	if (!json || bl_json_get_string(json, "accessToken", &found, NULL) <= 0 ||
	    bl_json_get_string(json, "expireTime", &end, NULL) <= 0 ||
	    (at = bl_oidc_parse_time(end)) < 0)
		return -EPROTO;
	int r = copy_token(found, token);
	if (r >= 0)
		*expires = at;
	return r;
}

void bl_google_read_error(const char *text, size_t len, char to[BL_CLOUD_CODE_MAX])
{
	auto_json json = read_object(text, len);
	const bl_json *object = NULL;
	const char *code = NULL;

	if (json && bl_json_get_string(json, "error", &code, NULL) < 0 &&
	    bl_json_get_object(json, "error", &object, NULL) > 0)
		(void)bl_json_get_string(object, "status", &code, NULL);
	if (!code || !bl_cloud_is_code(code))
		code = "no code";
	(void)snprintf(to, BL_CLOUD_CODE_MAX, "%s", code);
}
