/* SPDX-License-Identifier: Apache-2.0 */
/* A page of Azure's List Blobs ("List Blobs", Azure Storage REST API reference). */
#ifndef BL_FETCH_SOURCES_AZURE_ANSWER_H
#define BL_FETCH_SOURCES_AZURE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fetch/digest.h"

struct bl_err;

#define BL_AZURE_PAGE_MAX 2000 /* blobs of one page, as we ask for them */

struct bl_azure_blob {
	char *name; /* owned */
	char *etag; /* owned, as it stands in a header; NULL where there is none */
	int64_t size;
	struct bl_digest md5; /* Content-MD5, where whoever wrote the blob has set it */
	bool folder;	      /* a directory of an account with a hierarchical namespace */
};

struct bl_azure_page {
	struct bl_azure_blob *blobs; /* owned */
	size_t count;
	char *next; /* owned; the marker, NULL on the last page */
};

/* -EBADMSG where it is no such page. */
int bl_azure_page_parse(const char *xml, size_t len, struct bl_azure_page *ret, struct bl_err *err);
void bl_azure_page_done(struct bl_azure_page *page);
#define auto_azure_page __attribute__((cleanup(bl_azure_page_done))) struct bl_azure_page

#endif
