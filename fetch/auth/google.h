/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access tokens of Google Cloud, by a service account's key ("Using OAuth 2.0 for Server to Server
 * Applications") or by OIDC (oidc.h), renewed before they end.
 *
 * The key file's own token_uri is a tenant's input: it is never asked. Where it names another host
 * than Google's the key is refused, unless the operator has set an endpoint for such exchanges.
 */
#ifndef BL_FETCH_AUTH_GOOGLE_H
#define BL_FETCH_AUTH_GOOGLE_H

#include <stddef.h>
#include <stdint.h>

#include "fetch/auth/oidc.h"
#include "fetch/http.h"

struct bl_err;

struct bl_google {
	const struct bl_http *http; /* borrowed: the job's */
	char *email, *private_key;  /* of the key; NULL with OIDC */
	struct bl_oidc_google oidc; /* borrowed texts; provider is NULL without OIDC */
	char *token;		    /* NULL until one was needed */
	int64_t expires, renew_at;  /* Unix time */
};

/* Takes the JSON of a service account's key. -EINVAL (BL_EX_CONFIG) says which part is missing. */
int bl_google_init_key(struct bl_google *google, const struct bl_http *http, const char *json,
		       struct bl_err *err);
void bl_google_init_oidc(struct bl_google *google, const struct bl_oidc_google *oidc);
void bl_google_done(struct bl_google *google);

/* Forgets the token, so that the next request gets a new one. */
void bl_google_renew(struct bl_google *google);

/* As bl_http_auth.sign; ctx is a struct bl_google. */
int bl_google_sign(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		   struct bl_err *err);

#endif
