// SPDX-License-Identifier: Apache-2.0
/*
 * Two passes: a scanner that accepts exactly RFC 8259 within the limits, then cJSON for the tree,
 * then a walk that refuses duplicate keys. The scanner exists because cJSON lets through what the
 * header lists, and because cJSON must never see depth that it would recurse on.
 */
#include "common/json.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

/* ---- The scanner ---- */

struct scan {
	const unsigned char *text;
	size_t at, len;
	size_t values, max_values, max_depth;
	bool fractions;
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

static int hex4(const struct scan *scan, size_t at, unsigned *ret)
{
	unsigned value = 0;

	if (at + 4 > scan->len)
		return -EINVAL;
	for (size_t i = at; i < at + 4; i++) {
		int c = scan->text[i];
		int digit = is_digit(c)		   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : -1;

		if (digit < 0)
			return -EINVAL;
		value = value << 4 | (unsigned)digit;
	}
	*ret = value;
	return 0;
}

/* At the backslash of an escape. */
static int scan_escape(struct scan *scan)
{
	unsigned high;
	unsigned low;

	scan->at++;
	if (peek(scan) != 'u') {
		if (peek(scan) <= 0 || !strchr("\"\\/bfnrt", peek(scan)))
			return bad(scan, "unknown escape");
		scan->at++;
		return 0;
	}
	if (hex4(scan, scan->at + 1, &high) < 0)
		return bad(scan, "\\u wants four hexadecimal digits");
	if (high == 0)
		return bad(scan, "NUL in a string");
	scan->at += 5;
	if (high < 0xd800 || high > 0xdfff)
		return 0;
	if (high > 0xdbff || scan->at + 6 > scan->len || scan->text[scan->at] != '\\' ||
	    scan->text[scan->at + 1] != 'u' || hex4(scan, scan->at + 2, &low) < 0 || low < 0xdc00 ||
	    low > 0xdfff)
		return bad(scan, "lone surrogate");
	scan->at += 6;
	return 0;
}

/* The bytes of the UTF-8 sequence (RFC 3629) at scan->at, or 0 where there is none. */
static size_t utf8_length(const struct scan *scan)
{
	const unsigned char *p = scan->text + scan->at;
	size_t left = scan->len - scan->at;
	size_t len = p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* At the opening quote. */
static int scan_string(struct scan *scan)
{
	scan->at++;
	for (;;) {
		int c = peek(scan);
		size_t len;

		if (c < 0)
			return bad(scan, "string does not end");
		if (c == '"') {
			scan->at++;
			return 0;
		}
		if (c == '\\') {
			int r = scan_escape(scan);

			if (r < 0)
				return r;
		} else if (c < 0x20) {
			return bad(scan, "control character in a string");
		} else if (c < 0x80) {
			scan->at++;
		} else {
			len = utf8_length(scan);
			if (len == 0)
				return bad(scan, "not UTF-8");
			scan->at += len;
		}
	}
}

static int scan_digits(struct scan *scan)
{
	if (!is_digit(peek(scan)))
		return bad(scan, "not a number");
	while (is_digit(peek(scan)))
		scan->at++;
	return 0;
}

static int scan_number(struct scan *scan)
{
	size_t start = scan->at;
	bool integer = true;
	char text[64];
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
	if (r < 0)
		return r;
	/* cJSON 1.7 looks at 63 bytes of a number and takes the rest for something else. */
	if (scan->at - start >= sizeof(text))
		return bad(scan, "a number of more than 63 characters");
	if (!integer && !scan->fractions)
		return bad(scan, "a number with a fraction or an exponent");
	memcpy(text, scan->text + start, scan->at - start);
	text[scan->at - start] = '\0';
	if (!isfinite(strtod(text, NULL)))
		return bad(scan, "a number that is too large");
	return 0;
}

static int scan_word(struct scan *scan, const char *word)
{
	size_t len = strlen(word);

	if (scan->len - scan->at < len || memcmp(scan->text + scan->at, word, len) != 0)
		return bad(scan, "not a value");
	scan->at += len;
	return 0;
}

static int scan_value(struct scan *scan, size_t depth);

/* At the opening bracket; members where `close` is '}'. */
static int scan_container(struct scan *scan, size_t depth, int close)
{
	if (depth >= scan->max_depth)
		return bad(scan, "nested too deeply");
	scan->at++;
	skip_space(scan);
	if (peek(scan) == close) {
		scan->at++;
		return 0;
	}
	for (;;) {
		int r = 0;

		skip_space(scan);
		if (close == '}') {
			if (peek(scan) != '"')
				return bad(scan, "a key is missing");
			r = scan_string(scan);
			if (r < 0)
				return r;
			skip_space(scan);
			if (peek(scan) != ':')
				return bad(scan, "a colon is missing");
			scan->at++;
		}
		r = scan_value(scan, depth + 1);
		if (r < 0)
			return r;
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
static int scan_value(struct scan *scan, size_t depth)
{
	int c;

	skip_space(scan);
	if (++scan->values > scan->max_values)
		return bad(scan, "too many values");
	c = peek(scan);
	if (c == '{')
		return scan_container(scan, depth, '}');
	if (c == '[')
		return scan_container(scan, depth, ']');
	if (c == '"')
		return scan_string(scan);
	if (c == '-' || is_digit(c))
		return scan_number(scan);
	if (c == 't')
		return scan_word(scan, "true");
	if (c == 'f')
		return scan_word(scan, "false");
	if (c == 'n')
		return scan_word(scan, "null");
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
	for (const bl_json *m = object->child; m; m = m->next)
		keys[i++] = m->string;
	qsort(keys, n, sizeof(*keys), compare_keys);
	for (i = 1; i < n; i++)
		if (strcmp(keys[i - 1], keys[i]) == 0)
			return bl_err_config(err, "key \"%s\" stands twice in one object", keys[i]);
	return 0;
}

static int refuse_duplicates(const bl_json *json, struct bl_err *err)
{
	int r = bl_json_is_object(json) ? refuse_duplicates_in(json, err) : 0;

	for (const bl_json *m = json->child; m && r == 0; m = m->next)
		r = refuse_duplicates(m, err);
	return r;
}

void bl_json_free(bl_json **json)
{
	int saved = errno;

	cJSON_Delete(*json);
	*json = NULL;
	errno = saved;
}

int bl_json_parse(const char *text, size_t len, const struct bl_json_limits *limits, bl_json **ret,
		  struct bl_err *err)
{
	struct scan scan = {
		.text = (const unsigned char *)text,
		.len = len,
		.max_values = limits->max_values ? limits->max_values : BL_MAX_JSON_VALUES,
		.max_depth = limits->max_depth ? limits->max_depth : BL_MAX_JSON_DEPTH,
		.fractions = limits->fractions,
		.err = err,
	};
	auto_json json = NULL;
	int r;

	if (len > limits->max_bytes)
		return bl_err_config(err, "%zu bytes of JSON, the maximum is %zu", len,
				     limits->max_bytes);
	r = scan_value(&scan, 0);
	if (r < 0)
		return r;
	skip_space(&scan);
	if (scan.at != scan.len)
		return bad(&scan, "something follows the value");
	json = cJSON_ParseWithLength(text, len);
	if (!json)
		return bl_err_nomem(err);
	r = refuse_duplicates(json, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(json);
	return 0;
}

/* ---- Reading ---- */

const char *bl_json_kind(const bl_json *json)
{
	switch (json->type & 0xff) {
	case cJSON_False:
	case cJSON_True:
		return "a boolean";
	case cJSON_NULL:
		return "null";
	case cJSON_Number:
		return "a number";
	case cJSON_String:
		return "a string";
	case cJSON_Array:
		return "an array";
	default:
		return "an object";
	}
}

bool bl_json_is_object(const bl_json *json)
{
	return cJSON_IsObject(json);
}

bool bl_json_is_array(const bl_json *json)
{
	return cJSON_IsArray(json);
}

bool bl_json_is_string(const bl_json *json)
{
	return cJSON_IsString(json);
}

bool bl_json_is_null(const bl_json *json)
{
	return cJSON_IsNull(json);
}

/*
 * Whether Go's decoder, and so runc, would take `name` for `key` (ASCII): it folds case by Unicode,
 * where two letters beyond ASCII fold to s and k.
 */
static bool same_folded(const char *name, const char *key)
{
	while (*name && *key) {
		int c = (unsigned char)*name;

		if (strncmp(name, "\xc5\xbf", 2) == 0) { /* U+017F, long s */
			c = 's';
			name += 1;
		} else if (strncmp(name, "\xe2\x84\xaa", 3) == 0) { /* U+212A, Kelvin */
			c = 'k';
			name += 2;
		}
		if (tolower(c) != tolower((unsigned char)*key))
			return false;
		name++;
		key++;
	}
	return *name == *key;
}

int bl_json_get(const bl_json *object, const char *key, const bl_json **ret, struct bl_err *err)
{
	const bl_json *found = NULL;

	for (const bl_json *m = object->child; m; m = m->next) {
		if (!same_folded(m->string, key))
			continue;
		if (strcmp(m->string, key) != 0)
			return bl_err_config(err, "%s: the key's case is wrong, write \"%s\"",
					     m->string, key);
		found = m;
	}
	if (!found)
		return 0;
	*ret = found;
	return 1;
}

static int wrong_type(const char *key, const char *wanted, const bl_json *value, struct bl_err *err)
{
	return bl_err_config(err, "%s: must be %s, not %s", key, wanted, bl_json_kind(value));
}

int bl_json_get_string(const bl_json *object, const char *key, const char **ret, struct bl_err *err)
{
	const bl_json *value;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (!bl_json_is_string(value))
		return wrong_type(key, "a string", value, err);
	*ret = value->valuestring;
	return 1;
}

int bl_json_int(const bl_json *number, int64_t *ret)
{
	double value;

	if (!cJSON_IsNumber(number))
		return -EINVAL;
	value = number->valuedouble;
	if (!(value >= -(double)BL_JSON_INT_MAX && value <= (double)BL_JSON_INT_MAX) ||
	    value != (double)(int64_t)value)
		return -EINVAL;
	*ret = (int64_t)value;
	return 0;
}

int bl_json_get_int(const bl_json *object, const char *key, int64_t min, int64_t max, int64_t *ret,
		    struct bl_err *err)
{
	const bl_json *value;
	int64_t number;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (!cJSON_IsNumber(value))
		return wrong_type(key, "an integer", value, err);
	if (bl_json_int(value, &number) < 0 || number < min || number > max)
		return bl_err_config(err, "%s: must be an integer from %lld to %lld", key,
				     (long long)min, (long long)max);
	*ret = number;
	return 1;
}

int bl_json_get_bool(const bl_json *object, const char *key, bool *ret, struct bl_err *err)
{
	const bl_json *value;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (!cJSON_IsBool(value))
		return wrong_type(key, "true or false", value, err);
	*ret = bl_json_bool(value);
	return 1;
}

int bl_json_get_object(const bl_json *object, const char *key, const bl_json **ret,
		       struct bl_err *err)
{
	const bl_json *value;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (!bl_json_is_object(value))
		return wrong_type(key, "an object", value, err);
	*ret = value;
	return 1;
}

int bl_json_get_array(const bl_json *object, const char *key, const bl_json **ret,
		      struct bl_err *err)
{
	const bl_json *value;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (!bl_json_is_array(value))
		return wrong_type(key, "an array", value, err);
	*ret = value;
	return 1;
}

int bl_json_get_strings(const bl_json *object, const char *key, const bl_json **ret,
			struct bl_err *err)
{
	const bl_json *array;
	size_t i = 0;
	int r = bl_json_get_array(object, key, &array, err);

	if (r <= 0)
		return r;
	for (const bl_json *e = array->child; e; e = e->next, i++)
		if (!bl_json_is_string(e))
			return bl_err_config(err, "%s[%zu]: must be a string, not %s", key, i,
					     bl_json_kind(e));
	*ret = array;
	return 1;
}

/* Edit distance (Levenshtein), for short words only; anything longer is far away. */
static size_t distance(const char *a, const char *b)
{
	enum { MOST = 48 };
	size_t row[MOST + 1];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	if (la > MOST || lb > MOST)
		return MOST;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t above = row[j];
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[lb];
}

int bl_json_only_keys(const bl_json *object, const char *const *keys, struct bl_err *err)
{
	for (const bl_json *m = object->child; m; m = m->next) {
		const char *nearest = NULL;
		size_t least = 4; /* more edits than this is no near miss */
		bool known = false;

		for (size_t i = 0; keys[i] && !known; i++) {
			size_t d = distance(m->string, keys[i]);

			known = strcmp(m->string, keys[i]) == 0;
			if (d < least) {
				least = d;
				nearest = keys[i];
			}
		}
		if (known)
			continue;
		if (nearest)
			return bl_err_config(err, "%s: unknown key, did you mean \"%s\"?",
					     m->string, nearest);
		return bl_err_config(err, "%s: unknown key", m->string);
	}
	return 0;
}

const bl_json *bl_json_first(const bl_json *container)
{
	return container->child;
}

const bl_json *bl_json_next(const bl_json *element)
{
	return element->next;
}

size_t bl_json_length(const bl_json *container)
{
	size_t n = 0;

	for (const bl_json *m = container->child; m; m = m->next)
		n++;
	return n;
}

const char *bl_json_key(const bl_json *member)
{
	return member->string;
}

const char *bl_json_string(const bl_json *string)
{
	return bl_json_is_string(string) ? string->valuestring : NULL;
}

bool bl_json_bool(const bl_json *json)
{
	return cJSON_IsTrue(json);
}

/* ---- Making ---- */

bl_json *bl_json_new_object(void)
{
	return cJSON_CreateObject();
}

bl_json *bl_json_new_array(void)
{
	return cJSON_CreateArray();
}

/* Owns value from here on, also when it fails. */
static bl_json *put(bl_json *container, const char *key, bl_json *value)
{
	cJSON_bool ok = value && (key ? cJSON_AddItemToObject(container, key, value)
				      : cJSON_AddItemToArray(container, value));

	if (!ok) {
		cJSON_Delete(value);
		return NULL;
	}
	return value;
}

bl_json *bl_json_set_object(bl_json *container, const char *key)
{
	return put(container, key, cJSON_CreateObject());
}

bl_json *bl_json_set_array(bl_json *container, const char *key)
{
	return put(container, key, cJSON_CreateArray());
}

bl_json *bl_json_set_string(bl_json *container, const char *key, const char *value)
{
	return put(container, key, cJSON_CreateString(value));
}

bl_json *bl_json_set_int(bl_json *container, const char *key, int64_t value)
{
	return put(container, key, cJSON_CreateNumber((double)value));
}

bl_json *bl_json_set_bool(bl_json *container, const char *key, bool value)
{
	return put(container, key, cJSON_CreateBool(value));
}

bl_json *bl_json_set_null(bl_json *container, const char *key)
{
	return put(container, key, cJSON_CreateNull());
}

bl_json *bl_json_set_copy(bl_json *container, const char *key, const bl_json *value)
{
	return put(container, key, cJSON_Duplicate(value, true));
}

void bl_json_remove(bl_json *object, const char *key)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, key);
}

bl_json *bl_json_copy(const bl_json *json)
{
	return cJSON_Duplicate(json, true);
}

/* ---- Writing ---- */

/* How many bytes of `at` go out as they are: a whole character, or 0 for what is none. */
static size_t plain_length(const char *at)
{
	const struct scan scan = {.text = (const unsigned char *)at, .len = strnlen(at, 4)};

	return (unsigned char)*at < 0x80 ? 1 : utf8_length(&scan);
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
	return compare_utf16((*(const bl_json *const *)a)->string,
			     (*(const bl_json *const *)b)->string);
}

static int write_object(struct bl_buf *buf, const bl_json *json, struct bl_err *err)
{
	size_t n = bl_json_length(json);
	auto_free const bl_json **members = calloc(n ? n : 1, sizeof(*members));
	size_t i = 0;
	int r;

	if (!members)
		return bl_err_nomem(err);
	for (const bl_json *m = json->child; m; m = m->next)
		members[i++] = m;
	qsort(members, n, sizeof(*members), compare_members);
	r = bl_buf_append(buf, "{", 1, err);
	for (i = 0; i < n && r == 0; i++) {
		if (i > 0)
			r = bl_buf_append(buf, ",", 1, err);
		if (r == 0)
			r = bl_json_write_string(buf, members[i]->string, err);
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

	for (const bl_json *e = json->child; e && r == 0; e = e->next) {
		r = bl_json_write(buf, e, err);
		if (r == 0 && e->next)
			r = bl_buf_append(buf, ",", 1, err);
	}
	return r < 0 ? r : bl_buf_append(buf, "]", 1, err);
}

int bl_json_write(struct bl_buf *buf, const bl_json *json, struct bl_err *err)
{
	int64_t integer;

	switch (json->type & 0xff) {
	case cJSON_Object:
		return write_object(buf, json, err);
	case cJSON_Array:
		return write_array(buf, json, err);
	case cJSON_String:
		return bl_json_write_string(buf, json->valuestring, err);
	case cJSON_True:
		return bl_buf_puts(buf, "true", err);
	case cJSON_False:
		return bl_buf_puts(buf, "false", err);
	case cJSON_Number:
		if (bl_json_int(json, &integer) == 0)
			return bl_buf_putf(buf, err, "%lld", (long long)integer);
		return bl_buf_putf(buf, err, "%.17g", json->valuedouble);
	default:
		return bl_buf_puts(buf, "null", err);
	}
}
