/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials that are one word, sent as it is: access tokens and API keys. */
#ifndef BL_FETCH_AUTH_TOKEN_H
#define BL_FETCH_AUTH_TOKEN_H

struct bl_err;
struct bl_http_headers;

#define BL_TOKEN_MAX 32768 /* bytes of a token: half of what headers may have */

/*
 * The token that a secret is, alone: a copy, the caller's to wipe. Line breaks and blanks around it do not
 * count. -EINVAL where it is empty, too long, more than printable ASCII without blanks, or begins as JSON
 * or with a quotation mark; -ENOMEM.
 */
int bl_token_take(const char *secret, char **ret);

/* Adds "Authorization: SCHEME TOKEN". */
int bl_token_add(struct bl_http_headers *headers, const char *scheme, const char *token,
		 struct bl_err *err);

#endif
