// SPDX-License-Identifier: Apache-2.0
#include "hook/splice.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/err.h"

#define BLANKS " \t\r\n"

/* Past the string whose opening quote is at `at`. */
static size_t skip_string(const char *text, size_t at)
{
	for (at++; text[at] && text[at] != '"'; at++)
		if (text[at] == '\\' && text[at + 1])
			at++;
	return text[at] ? at + 1 : at;
}

struct bl_splice_span bl_splice_value(const char *text, size_t at)
{
	struct bl_splice_span span;
	size_t depth = 0;

	at += strspn(text + at, BLANKS);
	span.from = at;
	do {
		at += strspn(text + at, depth ? BLANKS ",:" : "");
		if (text[at] == '"') {
			at = skip_string(text, at);
		} else if (text[at] == '{' || text[at] == '[') {
			depth++;
			at++;
		} else if (text[at] == '}' || text[at] == ']') {
			if (depth == 0)
				break;
			depth--;
			at++;
		} else {
			at += strcspn(text + at, BLANKS ",:{}[]\"");
		}
	} while (depth > 0 && text[at]);
	span.to = at;
	return span;
}

bool bl_splice_find(const char *text, struct bl_splice_span object, const char *key,
		    struct bl_splice_span *ret)
{
	size_t at = object.from + 1;
	size_t len = strlen(key);

	for (;;) {
		struct bl_splice_span name;
		struct bl_splice_span value;

		at += strspn(text + at, BLANKS ",");
		if (at >= object.to || text[at] != '"')
			return false;
		name = bl_splice_value(text, at);
		at = name.to + strspn(text + name.to, BLANKS ":");
		value = bl_splice_value(text, at);
		if (name.to - name.from == len + 2 && memcmp(text + name.from + 1, key, len) == 0) {
			*ret = value;
			return true;
		}
		at = value.to;
	}
}

static int compare_edits(const void *a, const void *b)
{
	size_t x = ((const struct bl_splice_edit *)a)->where.from;
	size_t y = ((const struct bl_splice_edit *)b)->where.from;

	return (x > y) - (x < y);
}

int bl_splice_apply(struct bl_buf *to, const char *text, size_t len, struct bl_splice_edit *edits,
		    size_t count, struct bl_err *err)
{
	size_t at = 0;
	int r = 0;

	qsort(edits, count, sizeof(*edits), compare_edits);
	for (size_t i = 0; i < count && r == 0; i++) {
		r = bl_buf_append(to, text + at, edits[i].where.from - at, err);
		if (r == 0)
			r = bl_buf_puts(to, edits[i].with, err);
		at = edits[i].where.to;
	}
	return r < 0 ? r : bl_buf_append(to, text + at, len - at, err);
}
