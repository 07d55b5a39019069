/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs, taken apart by curl_url alone: the parser that decides where a request goes must be the one
 * that decided whether it may go there.
 */
#ifndef BL_FETCH_URL_H
#define BL_FETCH_URL_H

#include <stdbool.h>
#include <stddef.h>

struct bl_err;

#define BL_URL_MAX (16 * 1024) /* bytes of a URL; signatures make them long */

/* A URL taken apart by curl_url; texts are owned, host in lower case and without brackets. */
struct bl_url {
	char *text;	 /* normalised, without fragment */
	char *scheme;	 /* "https" or "http" */
	char *host;	 /* name or address; IPv6 without brackets */
	unsigned port;	 /* always filled */
	char *path;	 /* as on the wire, starts with "/" */
	char *query;	 /* as on the wire without "?", NULL where there is none */
	char *authority; /* what Host: says: host[:port], IPv6 bracketed, default port left out */
	char *origin;	 /* "https://host:443": scheme, host and port, always all three */
};

void bl_url_done(struct bl_url *url);
#define auto_url __attribute__((cleanup(bl_url_done))) struct bl_url

/* Refuses all but http(s) without userinfo and control characters, of at most 16 KiB. The error
 * never shows the query, where signatures lie. `base` (or NULL) makes a relative text absolute. */
int bl_url_parse(const char *text, const struct bl_url *base, struct bl_url *ret,
		 struct bl_err *err);

/* Percent-encodes all but unreserved characters and, if keep_slash, "/". The caller frees;
 * NULL when memory ran out. */
char *bl_url_encode(const char *text, bool keep_slash);

#endif
