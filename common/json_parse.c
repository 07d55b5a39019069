// SPDX-License-Identifier: Apache-2.0
/*
 * The reader: accepts exactly RFC 8259 within the limits and makes the tree in the same pass, then
 * walks the tree once to refuse duplicate keys. It is our own and no library's because it is the
 * first thing that every container on a node waits for: docs/architecture.md has the figures.
 */
#include "common/json_node.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/utf8.h"

#define NUMBER_MOST 63 /* characters of a number */

struct scan {
	const unsigned char *text;
	size_t at, len;
	size_t values, max_values, max_depth;
	bool fractions, absent_nulls;
	struct bl_json_pool *pool;
	struct bl_err *err;
};

static int bad(const struct scan *scan, const char *what)
{
	return bl_err_config(scan->err, "not valid JSON at byte %zu: %s", scan->at, what);
}

static int peek(const struct scan *scan)
{
	return scan->at < scan->len ? scan->text[scan->at] : -1;
}

static void skip_space(struct scan *scan)
{
	int c;

	while ((c = peek(scan)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		scan->at++;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* ---- Strings ---- */

/* Four hexadecimal digits as a number, or -1. */
static int hex4(const unsigned char *p)
{
	int value = 0;

	for (size_t i = 0; i < 4; i++) {
		int c = p[i];
		int digit = is_digit(c)		   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/* The four digits at `at`, if the text has them. */
static int hex4_at(const struct scan *scan, size_t at)
{
	return at + 4 <= scan->len ? hex4(scan->text + at) : -1;
}

static bool is_low_surrogate(int unit)
{
	return unit >= 0xdc00 && unit <= 0xdfff;
}

static bool is_high_surrogate(int unit)
{
	return unit >= 0xd800 && unit <= 0xdbff;
}

/* At the backslash of an escape. */
static int scan_escape(struct scan *scan)
{
	int unit;

	scan->at++;
	if (peek(scan) != 'u') {
		if (peek(scan) <= 0 || !strchr("\"\\/bfnrt", peek(scan)))
			return bad(scan, "unknown escape");
		scan->at++;
		return 0;
	}
	unit = hex4_at(scan, scan->at + 1);
	if (unit < 0)
		return bad(scan, "\\u wants four hexadecimal digits");
	if (unit == 0)
		return bad(scan, "NUL in a string");
	scan->at += 5;
	if (!is_high_surrogate(unit) && !is_low_surrogate(unit))
		return 0;
	if (!is_high_surrogate(unit) || scan->at + 6 > scan->len || scan->text[scan->at] != '\\' ||
	    scan->text[scan->at + 1] != 'u' || !is_low_surrogate(hex4_at(scan, scan->at + 2)))
		return bad(scan, "lone surrogate");
	scan->at += 6;
	return 0;
}

static size_t put_utf8(char *to, int point)
{
	if (point < 0x80) {
		to[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		to[0] = (char)(0xc0 | point >> 6);
		to[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		to[0] = (char)(0xe0 | point >> 12);
		to[1] = (char)(0x80 | (point >> 6 & 0x3f));
		to[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | point >> 18);
	to[1] = (char)(0x80 | (point >> 12 & 0x3f));
	to[2] = (char)(0x80 | (point >> 6 & 0x3f));
	to[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

/* What stands between the quotes, which scan_string() has found to be right; never longer made. */
static void unescape(const unsigned char *from, const unsigned char *end, char *to)
{
	while (from < end) {
		static const char names[] = "bfnrt";
		static const char meant[] = "\b\f\n\r\t";
		const char *name;
		int point;

		if (*from != '\\') {
			memcpy(to++, from++, 1);
			continue;
		}
		if (from[1] != 'u') {
			name = strchr(names, from[1]);
			memcpy(to++, name ? (const void *)&meant[name - names] : &from[1], 1);
			from += 2;
			continue;
		}
		point = hex4(from + 2);
		from += 6;
		if (is_high_surrogate(point)) {
			point = 0x10000 + ((point & 0x3ff) << 10 | (hex4(from + 2) & 0x3ff));
			from += 6;
		}
		to += put_utf8(to, point);
	}
	*to = '\0';
}

/* At the opening quote. */
static int scan_string(struct scan *scan, const char **ret)
{
	size_t start = ++scan->at;
	bool escapes = false;
	uint32_t point;
	size_t len;
	char *to;
	int c;

	while ((c = peek(scan)) != '"') {
		len = 1;
		if (c < 0)
			return bad(scan, "string does not end");
		if (c == '\\') {
			int r = scan_escape(scan);

			if (r < 0)
				return r;
			escapes = true;
			continue;
		}
		if (c < 0x20)
			return bad(scan, "control character in a string");
		if (c >= 0x80)
			len = bl_utf8_decode(scan->text + scan->at, scan->len - scan->at, &point);
		if (len == 0)
			return bad(scan, "not UTF-8");
		scan->at += len;
	}
	len = scan->at++ - start;
	to = bl_json_pool_text(scan->pool, len);
	if (!to)
		return bl_err_nomem(scan->err);
	if (escapes)
		unescape(scan->text + start, scan->text + start + len, to);
	else
		memcpy(to, scan->text + start, len);
	*ret = to;
	return 0;
}

/* ---- Numbers and words ---- */

static int scan_digits(struct scan *scan)
{
	if (!is_digit(peek(scan)))
		return bad(scan, "not a number");
	while (is_digit(peek(scan)))
		scan->at++;
	return 0;
}

/* Passes a number; *ret: whether it is written as an integer. */
static int scan_grammar(struct scan *scan, bool *ret)
{
	bool integer = true;
	int r;

	if (peek(scan) == '-')
		scan->at++;
	if (peek(scan) == '0' && scan->at + 1 < scan->len && is_digit(scan->text[scan->at + 1]))
		return bad(scan, "a number with a leading zero");
	r = scan_digits(scan);
	if (r == 0 && peek(scan) == '.') {
		integer = false;
		scan->at++;
		r = scan_digits(scan);
	}
	if (r == 0 && (peek(scan) == 'e' || peek(scan) == 'E')) {
		integer = false;
		scan->at++;
		if (peek(scan) == '+' || peek(scan) == '-')
			scan->at++;
		r = scan_digits(scan);
	}
	*ret = integer;
	return r;
}

/* The integer that text is, or false where it is beyond the range in which none is rounded. */
static bool take_integer(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	int64_t value = 0;

	for (text += negative ? 1 : 0; *text; text++) {
		value = value * 10 + (*text - '0');
		if (value > BL_JSON_INT_MAX)
			return false;
	}
	*ret = negative ? -value : value;
	return true;
}

static int scan_number(struct scan *scan, bl_json *ret)
{
	size_t start = scan->at;
	char text[NUMBER_MOST + 1];
	bool integer = false;
	int r = scan_grammar(scan, &integer);

	if (r < 0)
		return r;
	if (scan->at - start > NUMBER_MOST)
		return bad(scan, "a number of more than 63 characters");
	if (!integer && !scan->fractions)
		return bad(scan, "a number with a fraction or an exponent");
	memcpy(text, scan->text + start, scan->at - start);
	text[scan->at - start] = '\0';
	if (integer && take_integer(text, &ret->as.integer)) {
		ret->type = BL_JSON_INTEGER;
		return 0;
	}
	ret->type = BL_JSON_REAL;
	ret->as.text = bl_json_pool_keep(scan->pool, text);
	if (!ret->as.text)
		return bl_err_nomem(scan->err);
	return isfinite(strtod(text, NULL)) ? 0 : bad(scan, "a number that is too large");
}

static int scan_word(struct scan *scan, const char *word, enum bl_json_type type, bl_json *ret)
{
	size_t len = strlen(word);

	if (scan->len - scan->at < len || memcmp(scan->text + scan->at, word, len) != 0)
		return bad(scan, "not a value");
	scan->at += len;
	ret->type = type;
	ret->absent = type == BL_JSON_NULL && scan->absent_nulls;
	return 0;
}

/* ---- Values ---- */

static int scan_value(struct scan *scan, size_t depth, bl_json **ret);

static int scan_key(struct scan *scan, const char **ret)
{
	int r;

	if (peek(scan) != '"')
		return bad(scan, "a key is missing");
	r = scan_string(scan, ret);
	if (r < 0)
		return r;
	skip_space(scan);
	if (peek(scan) != ':')
		return bad(scan, "a colon is missing");
	scan->at++;
	return 0;
}

/* At the opening bracket of an array or an object. */
static int scan_container(struct scan *scan, size_t depth, enum bl_json_type type, bl_json *ret)
{
	int close = type == BL_JSON_OBJECT ? '}' : ']';

	ret->type = type;
	if (depth >= scan->max_depth)
		return bad(scan, "nested too deeply");
	scan->at++;
	skip_space(scan);
	if (peek(scan) == close) {
		scan->at++;
		return 0;
	}
	for (;;) {
		const char *key = NULL;
		bl_json *value = NULL;
		int r = 0;

		skip_space(scan);
		if (type == BL_JSON_OBJECT)
			r = scan_key(scan, &key);
		if (r == 0)
			r = scan_value(scan, depth + 1, &value);
		if (r < 0)
			return r;
		bl_json_append(ret, key, value);
		skip_space(scan);
		if (peek(scan) == close) {
			scan->at++;
			return 0;
		}
		if (peek(scan) != ',')
			return bad(scan, "a comma or a closing bracket is missing");
		scan->at++;
	}
}

/* Recursion is bounded by max_depth. */
static int scan_value(struct scan *scan, size_t depth, bl_json **ret)
{
	bl_json *value;
	int c;

	skip_space(scan);
	if (++scan->values > scan->max_values)
		return bad(scan, "too many values");
	value = bl_json_pool_node(scan->pool, BL_JSON_STRING);
	if (!value)
		return bl_err_nomem(scan->err);
	*ret = value;
	c = peek(scan);
	if (c == '{')
		return scan_container(scan, depth, BL_JSON_OBJECT, value);
	if (c == '[')
		return scan_container(scan, depth, BL_JSON_ARRAY, value);
	if (c == '"')
		return scan_string(scan, &value->as.text);
	if (c == '-' || is_digit(c))
		return scan_number(scan, value);
	if (c == 't')
		return scan_word(scan, "true", BL_JSON_TRUE, value);
	if (c == 'f')
		return scan_word(scan, "false", BL_JSON_FALSE, value);
	if (c == 'n')
		return scan_word(scan, "null", BL_JSON_NULL, value);
	return bad(scan, c < 0 ? "it ends too early" : "not a value");
}

/* ---- Duplicate keys ---- */

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int refuse_duplicates_in(const bl_json *object, struct bl_err *err)
{
	size_t n = bl_json_length(object);
	auto_free const char **keys = NULL;
	size_t i = 0;

	if (n < 2)
		return 0;
	keys = calloc(n, sizeof(*keys));
	if (!keys)
		return bl_err_nomem(err);
	for (const bl_json *m = bl_json_first(object); m; m = m->next)
		keys[i++] = m->key;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return bl_err_config(err, "key \"%.64s\" stands twice in one object",
					     keys[i]);
	return 0;
}

static int refuse_duplicates(const bl_json *json, struct bl_err *err)
{
	int r = json->type == BL_JSON_OBJECT ? refuse_duplicates_in(json, err) : 0;

	for (const bl_json *m = bl_json_first(json); m && r == 0; m = m->next)
		r = refuse_duplicates(m, err);
	return r;
}

/* A value takes about as many bytes as its text takes twice. */
int bl_json_parse(const char *text, size_t len, const struct bl_json_limits *limits, bl_json **ret,
		  struct bl_err *err)
{
	struct scan scan = {
		.text = (const unsigned char *)text,
		.len = len,
		.max_values = limits->max_values ? limits->max_values : BL_MAX_JSON_VALUES,
		.max_depth = limits->max_depth ? limits->max_depth : BL_MAX_JSON_DEPTH,
		.fractions = limits->fractions,
		.absent_nulls = limits->absent_nulls,
		.err = err,
	};
	bl_json *root = NULL;
	int r;

	if (len > limits->max_bytes)
		return bl_err_config(err, "%zu bytes of JSON, the maximum is %zu", len,
				     limits->max_bytes);
	scan.pool = bl_json_pool_new(2 * len);
	if (!scan.pool)
		return bl_err_nomem(err);
	r = scan_value(&scan, 0, &root);
	if (r == 0)
		skip_space(&scan);
	if (r == 0 && scan.at != scan.len)
		r = bad(&scan, "something follows the value");
	if (r == 0)
		r = refuse_duplicates(root, err);
	if (r < 0) {
		bl_json_pool_free(scan.pool);
		return r;
	}
	*ret = root;
	return 0;
}
