// SPDX-License-Identifier: Apache-2.0
/* Making a tree, changing it, and writing it in its canonical form (RFC 8785). */
#include "common/json_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/utf8.h"

#define FIRST_BYTES 512 /* of a tree that is made: most stay small */

/* ---- Making ---- */

void bl_json_free(bl_json **json)
{
	int saved = errno;

	if (*json)
		bl_json_pool_free((*json)->pool);
	*json = NULL;
	errno = saved;
}

static bl_json *new_root(enum bl_json_type type)
{
	struct bl_json_pool *pool = bl_json_pool_new(FIRST_BYTES);
	bl_json *root = pool ? bl_json_pool_node(pool, type) : NULL;

	if (pool && !root)
		bl_json_pool_free(pool);
	return root;
}

bl_json *bl_json_new_object(void)
{
	return new_root(BL_JSON_OBJECT);
}

bl_json *bl_json_new_array(void)
{
	return new_root(BL_JSON_ARRAY);
}

/* A new value at the container's end. */
static bl_json *put(bl_json *container, const char *key, enum bl_json_type type)
{
	bl_json *value = bl_json_pool_node(container->pool, type);
	const char *kept = key && value ? bl_json_pool_keep(container->pool, key) : NULL;

	if (!value || (key && !kept))
		return NULL;
	bl_json_append(container, kept, value);
	return value;
}

bl_json *bl_json_set_object(bl_json *container, const char *key)
{
	return put(container, key, BL_JSON_OBJECT);
}

bl_json *bl_json_set_array(bl_json *container, const char *key)
{
	return put(container, key, BL_JSON_ARRAY);
}

bl_json *bl_json_set_string(bl_json *container, const char *key, const char *value)
{
	const char *kept = bl_json_pool_keep(container->pool, value);
	bl_json *string = kept ? put(container, key, BL_JSON_STRING) : NULL;

	if (string)
		string->as.text = kept;
	return string;
}

bl_json *bl_json_set_int(bl_json *container, const char *key, int64_t value)
{
	bl_json *number = put(container, key, BL_JSON_INTEGER);

	if (number)
		number->as.integer = value;
	return number;
}

bl_json *bl_json_set_bool(bl_json *container, const char *key, bool value)
{
	return put(container, key, value ? BL_JSON_TRUE : BL_JSON_FALSE);
}

bl_json *bl_json_set_null(bl_json *container, const char *key)
{
	return put(container, key, BL_JSON_NULL);
}

/* Makes `to`, which is empty and of the same type, what `from` is. Depth is that of a parsed text. */
static bool copy_into(bl_json *to, const bl_json *from)
{
	if (from->type == BL_JSON_STRING || from->type == BL_JSON_REAL) {
		to->as.text = bl_json_pool_keep(to->pool, from->as.text);
		return to->as.text;
	}
	if (from->type != BL_JSON_ARRAY && from->type != BL_JSON_OBJECT) {
		to->as = from->as;
		to->absent = from->absent;
		return true;
	}
	for (const bl_json *m = bl_json_first(from); m; m = m->next) {
		bl_json *member = put(to, m->key, m->type);

		if (!member || !copy_into(member, m))
			return false;
	}
	return true;
}

bl_json *bl_json_set_copy(bl_json *container, const char *key, const bl_json *value)
{
	bl_json *copy = put(container, key, value->type);

	return copy && copy_into(copy, value) ? copy : NULL;
}

bl_json *bl_json_copy(const bl_json *json)
{
	auto_json copy = new_root(json->type);

	return copy && copy_into(copy, json) ? TAKE_PTR(copy) : NULL;
}

void bl_json_remove(bl_json *object, const char *key)
{
	bl_json *before = NULL;

	for (bl_json *m = object->as.inside.first; m; before = m, m = m->next) {
		if (strcmp(m->key, key) != 0)
			continue;
		if (before)
			before->next = m->next;
		else
			object->as.inside.first = m->next;
		if (object->as.inside.last == m)
			object->as.inside.last = before;
		return;
	}
}

/* ---- Writing ---- */

/* How many bytes of `at` go out as they are: a whole character, or 0 for what is none. */
static size_t plain_length(const char *at)
{
	uint32_t point;

	return (unsigned char)*at < 0x80 ? 1 : bl_utf8_decode(at, BL_UTF8_MOST, &point);
}

int bl_json_write_string(struct bl_buf *buf, const char *text, struct bl_err *err)
{
	static const char short_of[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	const char *run = text;
	int r = bl_buf_append(buf, "\"", 1, err);

	for (const char *at = text; r == 0; at++) {
		unsigned char c = (unsigned char)*at;
		size_t plain = plain_length(at);

		if (plain > 0 && c >= 0x20 && c != '"' && c != '\\') {
			at += plain - 1;
			continue;
		}
		r = bl_buf_append(buf, run, (size_t)(at - run), err);
		run = at + 1;
		if (r < 0 || c == '\0')
			break;
		if (c == '"' || c == '\\')
			r = bl_buf_putf(buf, err, "\\%c", c);
		else if (c >= 0x80) /* a text that was cut: no reader would take the whole */
			r = bl_buf_puts(buf, "\\ufffd", err);
		else if (c < sizeof(short_of) && short_of[c])
			r = bl_buf_putf(buf, err, "\\%c", short_of[c]);
		else
			r = bl_buf_putf(buf, err, "\\u%04x", c);
	}
	return r < 0 ? r : bl_buf_append(buf, "\"", 1, err);
}

/*
 * UTF-16 code unit order (RFC 8785, 3.2.3) differs from byte order only where a character beyond
 * U+FFFF (lead byte F0 and up: surrogates D800 to DFFF) meets one of U+E000 to U+FFFF (EE, EF).
 */
static int compare_utf16(const char *a, const char *b)
{
	size_t i = 0;
	unsigned char x;
	unsigned char y;

	while (a[i] && a[i] == b[i])
		i++;
	x = (unsigned char)a[i];
	y = (unsigned char)b[i];
	if (x >= 0xf0 && (y == 0xee || y == 0xef))
		return -1;
	if (y >= 0xf0 && (x == 0xee || x == 0xef))
		return 1;
	return (x > y) - (x < y);
}

static int compare_members(const void *a, const void *b)
{
	return compare_utf16((*(const bl_json *const *)a)->key, (*(const bl_json *const *)b)->key);
}

static int write_object(struct bl_buf *buf, const bl_json *json, struct bl_err *err)
{
	size_t n = bl_json_length(json);
	auto_free const bl_json **members = calloc(n ? n : 1, sizeof(*members));
	size_t i = 0;
	int r;

	if (!members)
		return bl_err_nomem(err);
	for (const bl_json *m = bl_json_first(json); m; m = m->next)
		members[i++] = m;
	qsort(members, n, sizeof(*members), compare_members);
	r = bl_buf_append(buf, "{", 1, err);
	for (i = 0; i < n && r == 0; i++) {
		if (i > 0)
			r = bl_buf_append(buf, ",", 1, err);
		if (r == 0)
			r = bl_json_write_string(buf, members[i]->key, err);
		if (r == 0)
			r = bl_buf_append(buf, ":", 1, err);
		if (r == 0)
			r = bl_json_write(buf, members[i], err);
	}
	return r < 0 ? r : bl_buf_append(buf, "}", 1, err);
}

static int write_array(struct bl_buf *buf, const bl_json *json, struct bl_err *err)
{
	int r = bl_buf_append(buf, "[", 1, err);

	for (const bl_json *e = bl_json_first(json); e && r == 0; e = e->next) {
		r = bl_json_write(buf, e, err);
		if (r == 0 && e->next)
			r = bl_buf_append(buf, ",", 1, err);
	}
	return r < 0 ? r : bl_buf_append(buf, "]", 1, err);
}

int bl_json_write(struct bl_buf *buf, const bl_json *json, struct bl_err *err)
{
	switch (json->type) {
	case BL_JSON_OBJECT:
		return write_object(buf, json, err);
	case BL_JSON_ARRAY:
		return write_array(buf, json, err);
	case BL_JSON_STRING:
		return bl_json_write_string(buf, json->as.text, err);
	case BL_JSON_TRUE:
		return bl_buf_puts(buf, "true", err);
	case BL_JSON_FALSE:
		return bl_buf_puts(buf, "false", err);
	case BL_JSON_INTEGER:
		return bl_buf_putf(buf, err, "%lld", (long long)json->as.integer);
	case BL_JSON_REAL:
		return bl_buf_puts(buf, json->as.text, err);
	default:
		return bl_buf_puts(buf, "null", err);
	}
}
