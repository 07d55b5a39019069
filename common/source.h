/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A weights source as text ("hf://owner/repo@main", "s3://bucket/path", ...): taken apart, checked
 * and put together again. Apart from weights.c because a source also stands alone, on a command
 * line. What passes here is safe to put in a URL's host or, percent-encoded, in its path: nothing
 * has control characters, "." or ".." parts, or an "@" that could be taken for userinfo.
 */
#ifndef BL_SOURCE_H
#define BL_SOURCE_H

#include "common/weights.h"

struct bl_buf;
struct bl_err;

/*
 * Takes text apart; revision is the item's older `revision` key or NULL. *ret is the caller's
 * (bl_source_done()) and untouched on failure. Errors are BL_EX_CONFIG without a place in front,
 * name what is wrong and how to write it, and hold no query of a URL (it may be a signature).
 */
int bl_source_parse(const char *text, const char *revision, struct bl_source *ret,
		    struct bl_err *err);

void bl_source_done(struct bl_source *source);
#define auto_source __attribute__((cleanup(bl_source_done))) struct bl_source

/* Appends the source in its one canonical spelling, with "@revision" where it has one. */
int bl_source_write(struct bl_buf *buf, const struct bl_source *source, struct bl_err *err);

/* Whether text holds a control character (C0, DEL, or C1 in UTF-8). */
bool bl_source_has_control(const char *text);

/*
 * Whether path, without a leading slash, consists of parts of at most 255 bytes that are not
 * empty, "." or "..". NULL, or what is wrong as the end of a sentence.
 */
const char *bl_source_path_fault(const char *path);

#endif
