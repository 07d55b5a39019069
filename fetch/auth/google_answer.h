/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Google's servers answer who asks for a token, taken apart; apart from the asking so that tests
 * and fuzzing reach it. Tokens are the caller's to wipe (bl_crypto_free_secret()).
 */
#ifndef BL_FETCH_AUTH_GOOGLE_ANSWER_H
#define BL_FETCH_AUTH_GOOGLE_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/sources/cloud.h"

#define BL_GOOGLE_ANSWER_MAX (256 * 1024) /* bytes */

/*
 * {"access_token":..,"expires_in":..}: of the token endpoint and of the token exchange. Where it does not
 * say how long the token holds, *seconds is as it was. -EPROTO where there is no token, -ENOMEM.
 */
int bl_google_read_token(const char *text, size_t len, char **token, int64_t *seconds);

/* {"accessToken":..,"expireTime":..} of generateAccessToken; *expires is Unix time. As above. */
int bl_google_read_impersonation(const char *text, size_t len, char **token, int64_t *expires);

/* What an error calls itself, {"error":"invalid_grant"} or {"error":{"status":"PERMISSION_DENIED"}}, where
 * that is a word; else "no code". */
void bl_google_read_error(const char *text, size_t len, char to[BL_CLOUD_CODE_MAX]);

#endif
