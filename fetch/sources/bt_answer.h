/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of Baseten's training API that a bt:// source asks for; their members are those that
 * the platform's public client reads (truss/remote/baseten/api.py of basetenlabs/truss).
 */
#ifndef BL_FETCH_SOURCES_BT_ANSWER_H
#define BL_FETCH_SOURCES_BT_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

struct bl_err;

#define BL_BT_TEXT_MAX	 255	     /* bytes of an id or a name */
#define BL_BT_PAGE_MAX	 1000	     /* files of one page, as we ask for them */
#define BL_BT_FILES_MAX	 20000	     /* files of one job */
#define BL_BT_URLS_MAX	 (16u << 20) /* bytes of their URLs */
#define BL_BT_ANSWER_MAX (8u << 20)  /* bytes of one answer */

/*
 * In the array `list` of the answer, the id of the element that is meant. With `wanted` the one of
 * that id or name (member `name`, may be NULL), else the last by created_at. The caller's; -ENOENT
 * where there is none, -EINVAL where a name stands for two, -EBADMSG for another kind of answer.
 */
int bl_bt_pick(const char *text, size_t len, const char *list, const char *id, const char *name,
	       const char *wanted, char **ret, struct bl_err *err);

struct bl_bt_file {
	char *name;	/* owned */
	char *url;	/* owned; signed: a secret */
	char *modified; /* owned; NULL where the answer does not say */
	int64_t size;
};

struct bl_bt_files {
	struct bl_bt_file *files; /* owned */
	size_t count, bytes;
};
void bl_bt_files_done(struct bl_bt_files *files);

/*
 * Adds the files of a page whose names lie beneath `checkpoint` ("." for all), named below it.
 * *next is the mark of the next page, the caller's, NULL on the last. -EBADMSG, -EFBIG.
 */
int bl_bt_page_parse(const char *text, size_t len, const char *checkpoint,
		     struct bl_bt_files *files, char **next, size_t *listed, struct bl_err *err);

#endif
