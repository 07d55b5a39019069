/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML answers of S3's protocol: a page of ListObjectsV2, and an error ("ListObjectsV2" and
 * "Error Responses", Amazon S3 API Reference).
 */
#ifndef BL_FETCH_SOURCES_S3_ANSWER_H
#define BL_FETCH_SOURCES_S3_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/sources/cloud.h"

struct bl_err;

#define BL_S3_PAGE_MAX 1000 /* keys of one page: S3's own maximum */

struct bl_s3_object {
	char *key;     /* owned, decoded */
	char *etag;    /* owned, as it stands in a header; NULL where there is none */
	char *storage; /* owned; storage class, NULL for the standard one */
	int64_t size;
	bool has_checksum; /* the listing says that S3 keeps one */
};

struct bl_s3_page {
	struct bl_s3_object *objects; /* owned */
	size_t count;
	char *next; /* owned; the continuation token, NULL on the last page */
};

/* -EBADMSG where it is no such page. */
int bl_s3_page_parse(const char *xml, size_t len, struct bl_s3_page *ret, struct bl_err *err);
void bl_s3_page_done(struct bl_s3_page *page);
#define auto_s3_page __attribute__((cleanup(bl_s3_page_done))) struct bl_s3_page

struct bl_s3_error {
	char code[BL_CLOUD_CODE_MAX]; /* "" where the answer has none that can be shown */
	char region[64];	      /* the region that the error names, "" where it names none */
};

/* Never fails: what cannot be read leaves both texts empty. */
void bl_s3_error_parse(const char *xml, size_t len, struct bl_s3_error *ret);

#endif
