/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers: a bounded list, and the few whose values fetch must understand. Those of an answer are
 * hostile; those of a request may hold what a tenant wrote.
 */
#ifndef BL_FETCH_HTTP_HEADERS_H
#define BL_FETCH_HTTP_HEADERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_err;

#define BL_HTTP_MAX_HEADERS (64 * 1024) /* bytes of all of one message */

/* Headers, "Name: value" each. A value with a control character is refused when it is added. */
struct bl_http_headers {
	char **lines; /* owned, NULL-terminated; NULL while empty */
	size_t count;
};
int bl_http_headers_add(struct bl_http_headers *headers, const char *name, const char *value,
			struct bl_err *err);
/* The value of the first of that name (any case), or NULL. Borrowed. */
const char *bl_http_headers_get(const struct bl_http_headers *headers, const char *name);
/* Whether all of that name say the same, or there is none. */
bool bl_http_headers_agree(const struct bl_http_headers *headers, const char *name);
void bl_http_headers_done(struct bl_http_headers *headers);
#define auto_headers __attribute__((cleanup(bl_http_headers_done))) struct bl_http_headers

/* "bytes FROM-TO/SIZE" with FROM <= TO < SIZE, as [*from, *to) of *size. 0, or -EINVAL. */
int bl_http_parse_content_range(const char *value, int64_t *from, int64_t *to, int64_t *size);

/* The target of `<...>; rel="next"` in a Link header, the caller's; NULL where there is none. */
char *bl_http_parse_next_link(const char *value);
/* The same of all Link headers: a cache or a proxy may have put its own before the origin's. */
char *bl_http_headers_next_link(const struct bl_http_headers *headers);

/* Seconds that Retry-After asks for (a number or a date, seen at `now`), at least 0, at most max;
 * -1 where it says nothing that can be understood. */
int64_t bl_http_parse_retry_after(const char *value, int64_t now, int64_t max);

/* A decimal number of bytes, -1 for anything else. */
int64_t bl_http_parse_length(const char *value);

/* Whether an ETag may stand in If-Match: quoted, not weak, printable, bounded. */
bool bl_http_is_strong_etag(const char *value);

#endif
