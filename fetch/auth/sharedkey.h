/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Azure Storage's Shared Key ("Authorize with Shared Key", Azure Storage REST API reference), the
 * form of Blob, Queue and File services since version 2015-02-21.
 */
#ifndef BL_FETCH_AUTH_SHAREDKEY_H
#define BL_FETCH_AUTH_SHAREDKEY_H

#include <stddef.h>
#include <time.h>

#include "common/buf.h"
#include "fetch/http.h"

struct bl_err;

/* The version of the service that every request names in x-ms-version, with a key or without. */
#define BL_SHAREDKEY_VERSION "2020-10-02"

struct bl_sharedkey {
	char *account;	   /* owned */
	struct bl_buf key; /* the decoded key; .max is set by bl_sharedkey_init() */
};

/* Takes the key as the portal shows it, in base64; -EINVAL (BL_EX_CONFIG) where it is none. */
int bl_sharedkey_init(struct bl_sharedkey *key, const char *account, const char *base64,
		      struct bl_err *err);
/* Overwrites the key and frees all. */
void bl_sharedkey_done(struct bl_sharedkey *key);

/*
 * The text that is signed: appended to `to`. `resource_path` is the URL's path. The headers are
 * those of the request, x-ms-date and x-ms-version among them.
 */
int bl_sharedkey_text(const struct bl_sharedkey *key, const struct bl_http_hop *hop,
		      const struct bl_http_headers *headers, struct bl_buf *to, struct bl_err *err);

/* Signs one hop at the time `now`: adds x-ms-date, x-ms-version and Authorization. */
int bl_sharedkey_sign(const struct bl_sharedkey *key, const struct bl_http_hop *hop, time_t now,
		      struct bl_http_headers *headers, struct bl_err *err);

#endif
