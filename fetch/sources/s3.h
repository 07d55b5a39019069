/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources that speak S3's protocol: s3, r2 and cw differ in where their buckets are (a table of
 * struct bl_s3_kind each), and share all else (s3_store.c).
 */
#ifndef BL_FETCH_SOURCES_S3_H
#define BL_FETCH_SOURCES_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/auth/sigv4.h"
#include "fetch/sources/cloud.h"

struct bl_err;
struct bl_s3_store;

struct bl_s3_kind {
	const char *endpoint; /* its key among the operator's endpoints */
	const char *region;   /* where the secret names none */
	bool moves;	      /* an answer may name the bucket's region, then that is asked */
	/* The URL before "/KEY", without a trailing slash; the caller's. */
	int (*base)(const struct bl_source *source, const char *region, char **ret,
		    struct bl_err *err);
};

/* What a bl_source_ops of such a source does. */
int bl_s3_open(const struct bl_s3_kind *kind, const struct bl_source_input *input, void **ret,
	       struct bl_err *err);
void bl_s3_close(void *state);
int bl_s3_list(void *state, struct bl_manifest *manifest, bool *credential, struct bl_err *err);
int bl_s3_locate(void *state, const struct bl_entry *entry, bool again, struct bl_location *ret,
		 struct bl_err *err);
int bl_s3_explain(void *state, const struct bl_entry *entry, int status,
		  const struct bl_http_headers *answer, struct bl_err *err);

/* ---- Between the files of the implementation ---- */

struct bl_s3_store {
	const struct bl_s3_kind *kind;
	const struct bl_source_input *input; /* borrowed */
	struct bl_sigv4_key key;
	int64_t expires;   /* Unix time, with OIDC; 0 without */
	int64_t renew_at;  /* Unix time of the next exchange */
	char *base;	   /* owned */
	struct bl_url url; /* of base */
	struct bl_http_auth auth;
	struct bl_cloud_path path;
};

/* Reads the credential into store->key (s3_key.c). */
int bl_s3_key_take(struct bl_s3_store *store, struct bl_err *err);
/* Gets a new one by OIDC if the present one has ended, or at once with `now`. */
int bl_s3_key_renew(struct bl_s3_store *store, bool now, struct bl_err *err);

/* What a status with its error's code means (s3_error.c); `key` is "" for the bucket. */
int bl_s3_tell(const struct bl_s3_store *store, int status, const char *code, const char *key,
	       struct bl_err *err);

/* Asks for the checksums of the larger files, where S3 keeps any (s3_checksum.c). */
int bl_s3_checksums(struct bl_s3_store *store, struct bl_manifest *manifest, struct bl_err *err);
/* What the headers of one HEAD promise of the whole object's content. */
void bl_s3_take_promises(const struct bl_http_headers *headers, struct bl_entry *entry);

/* One request for "KEY" (encoded here) or, with a query, for the bucket. Region redirects are
 * followed by signing again. */
int bl_s3_request(struct bl_s3_store *store, const char *method, const char *key, const char *query,
		  const struct bl_http_headers *headers, struct bl_http_answer *ret,
		  struct bl_err *err);

#endif
