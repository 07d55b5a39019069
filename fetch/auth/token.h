/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that are one word, sent as it is: access tokens and API keys. */
#ifndef BL_FETCH_AUTH_TOKEN_H
#define BL_FETCH_AUTH_TOKEN_H

struct bl_err;
struct bl_http_headers;

/* The token that a secret is, alone: a copy, the caller's to wipe. The line break that an editor left behind
 * it does not count. -EINVAL where it is empty or more than printable ASCII without blanks, -ENOMEM. */
int bl_token_take(const char *secret, char **ret);

/* Adds "Authorization: SCHEME TOKEN". */
int bl_token_add(struct bl_http_headers *headers, const char *scheme, const char *token,
		 struct bl_err *err);

#endif
