/* SPDX-License-Identifier: Apache-2.0 */
/* A page of Google Cloud Storage's listing ("Objects: list", Cloud Storage JSON API). */
#ifndef BL_FETCH_SOURCES_GS_ANSWER_H
#define BL_FETCH_SOURCES_GS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "fetch/digest.h"

struct bl_err;

#define BL_GS_PAGE_MAX 1000 /* objects of one page, as we ask for them */

/* One object; texts are borrowed from the page. */
struct bl_gs_object {
	const char *name;
	const char *generation;
	int64_t size;
	struct bl_digest md5, crc32c; /* a composite object has no MD5 */
};

struct bl_gs_page {
	bl_json *json;		      /* owned */
	struct bl_gs_object *objects; /* owned */
	size_t count;
	const char *next; /* borrowed from json; NULL on the last page */
};

/* -EBADMSG where it is no such page. */
int bl_gs_page_parse(const char *text, size_t len, struct bl_gs_page *ret, struct bl_err *err);
void bl_gs_page_done(struct bl_gs_page *page);
#define auto_gs_page __attribute__((cleanup(bl_gs_page_done))) struct bl_gs_page

#endif
