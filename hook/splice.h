/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changing a few members of a JSON text and leaving every other byte as it was. A config.json holds
 * 64-bit limits that no reader which keeps numbers as doubles could write back.
 */
#ifndef BL_SPLICE_H
#define BL_SPLICE_H

#include <stdbool.h>
#include <stddef.h>

struct bl_buf;
struct bl_err;

/* A part of a text, [from, to). */
struct bl_splice_span {
	size_t from, to;
};

/*
 * The value of a member of the object that `object` spans, in a text that is valid JSON. Keys that
 * are written with escapes are not found.
 */
bool bl_splice_find(const char *text, struct bl_splice_span object, const char *key,
		    struct bl_splice_span *ret);

/* The value that begins at or after `at`. */
struct bl_splice_span bl_splice_value(const char *text, size_t at);

/* One change; `with` is borrowed. An insertion has where.from == where.to. */
struct bl_splice_edit {
	struct bl_splice_span where;
	const char *with;
};

/* Appends text with the edits, which are sorted here and must not overlap. */
int bl_splice_apply(struct bl_buf *to, const char *text, size_t len, struct bl_splice_edit *edits,
		    size_t count, struct bl_err *err);

#endif
