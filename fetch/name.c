// SPDX-License-Identifier: Apache-2.0
/* See name.h. */
#include "fetch/name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/utf8.h"

#define NOT_UTF8   0xdc00u
#define NAME_SHOWN 200 /* bytes of a name in a message */

uint32_t bl_name_decode(const char **at)
{
	uint32_t code = NOT_UTF8 + (unsigned char)**at;
	size_t len = bl_utf8_decode(*at, BL_UTF8_MOST, &code);

	*at += len ? len : 1;
	return code;
}

static int bad(struct bl_err *err, const char *name, const char *why)
{
	int shown = (int)strnlen(name, NAME_SHOWN);

	/* Not in the middle of a character; one has at most three bytes behind its first. */
	for (int i = 0; i < 3 && shown == NAME_SHOWN - i && (name[shown] & 0xc0) == 0x80; i++)
		shown--;
	return bl_err_set(err, BL_EX_REFUSED, EBADMSG,
			  "the source lists the name '%.*s', which %s: it is refused whole, until "
			  "that is renamed there",
			  shown, name, why);
}

/* What is wrong with the bytes; NULL if nothing. */
static const char *characters_fault(const char *name)
{
	for (const char *at = name; *at;) {
		uint32_t c = bl_name_decode(&at);

		if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
			return "holds a control character";
		if (c == '\\')
			return "holds a backslash";
		if (c >= NOT_UTF8 && c <= NOT_UTF8 + 0xff)
			return "is not UTF-8";
	}
	return NULL;
}

static const char *parts_fault(const char *name)
{
	size_t depth = 0;

	for (const char *part = name;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0)
			return part == name ? "is an absolute path" : "has an empty part";
		if (part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')))
			return "has a part '.' or '..'";
		if (len > BL_NAME_PART_MAX)
			return "has a part of more than 255 bytes";
		if (++depth > BL_NAME_DEPTH_MAX)
			return "has more than 64 parts";
		part += len;
		if (!*part)
			return NULL;
	}
}

int bl_name_check(const char *name, size_t len, struct bl_err *err)
{
	const char *fault;

	if (len == 0)
		return bad(err, "", "is empty");
	if (memchr(name, '\0', len))
		return bad(err, name, "holds a NUL");
	if (len > BL_NAME_MAX)
		return bad(err, name, "has more than 3072 bytes");
	fault = characters_fault(name);
	if (!fault)
		fault = parts_fault(name);
	return fault ? bad(err, name, fault) : 0;
}

/* The slash sorts before every other byte: then a directory's files follow its own name at once. */
static int compare_paths(const void *a, const void *b)
{
	const unsigned char *x = *(const unsigned char *const *)a;
	const unsigned char *y = *(const unsigned char *const *)b;
	unsigned cx;
	unsigned cy;

	while (*x && *x == *y) {
		x++;
		y++;
	}
	cx = *x == '/' ? 1 : *x;
	cy = *y == '/' ? 1 : *y;
	return (cx > cy) - (cx < cy);
}

int bl_name_check_together(const char *const *names, size_t n, struct bl_err *err)
{
	auto_free const char **sorted = NULL;

	if (n < 2)
		return 0;
	sorted = calloc(n, sizeof(*sorted));
	if (!sorted)
		return bl_err_nomem(err);
	memcpy(sorted, names, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_paths);
	for (size_t i = 1; i < n; i++) {
		size_t len = strlen(sorted[i - 1]);

		if (strncmp(sorted[i - 1], sorted[i], len) != 0)
			continue;
		if (sorted[i][len] == '\0')
			return bad(err, sorted[i], "stands there twice");
		if (sorted[i][len] == '/')
			return bad(err, sorted[i - 1], "is a file and a directory at once");
	}
	return 0;
}
