/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 ("Authenticating Requests: Using the Authorization Header (AWS Signature
 * Version 4)", Amazon S3 API Reference), for S3 and every server that speaks its protocol.
 *
 * Signed are host and every x-amz-* header. Others are not: a proxy on the way may rewrite them,
 * and TLS protects them already. The path is encoded once and not normalised, as S3 wants it:
 * "a//b" and "a/../b" are keys of their own.
 */
#ifndef BL_FETCH_AUTH_SIGV4_H
#define BL_FETCH_AUTH_SIGV4_H

#include <stddef.h>
#include <time.h>

#include "fetch/http.h"

struct bl_err;

/* A key. All owned but the service's name. */
struct bl_sigv4_key {
	char *id;      /* aws_access_key_id */
	char *secret;  /* aws_secret_access_key */
	char *session; /* aws_session_token; NULL for a long-lived key */
	char *region;
	const char *service; /* "s3" */
};

/* Overwrites the secrets and frees all. */
void bl_sigv4_key_done(struct bl_sigv4_key *key);

/* What is signed. Everything is borrowed. */
struct bl_sigv4_request {
	const char *method;
	const char *path;  /* as on the wire, percent-encoded; starts with '/' */
	const char *query; /* as on the wire, without '?'; NULL or "" without */
	const struct bl_http_headers *headers; /* each of these is signed; "host" must be there */
	const char *payload;		       /* hexadecimal SHA-256 of the body */
	const char *date;		       /* 20150830T123600Z */
};

/* The value of Authorization, the caller's to free. */
int bl_sigv4_authorization(const struct bl_sigv4_key *key, const struct bl_sigv4_request *request,
			   char **ret, struct bl_err *err);

/*
 * Signs one hop at the time `now`: adds x-amz-date, x-amz-content-sha256, x-amz-security-token
 * where there is one, and Authorization.
 */
int bl_sigv4_sign(const struct bl_sigv4_key *key, const struct bl_http_hop *hop, time_t now,
		  struct bl_http_headers *headers, struct bl_err *err);

#endif
