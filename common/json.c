// SPDX-License-Identifier: Apache-2.0
/* Reading a tree: members by their exact key, types, ranges, near misses. */
#include "common/json_node.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "common/err.h"

/* ---- Reading ---- */

const char *bl_json_kind(const bl_json *json)
{
	static const char *const kinds[] = {
		[BL_JSON_NULL] = "null",      [BL_JSON_FALSE] = "a boolean",
		[BL_JSON_TRUE] = "a boolean", [BL_JSON_INTEGER] = "a number",
		[BL_JSON_REAL] = "a number",  [BL_JSON_STRING] = "a string",
		[BL_JSON_ARRAY] = "an array", [BL_JSON_OBJECT] = "an object",
	};

	return kinds[json->type];
}

bool bl_json_is_object(const bl_json *json)
{
	return json->type == BL_JSON_OBJECT;
}

bool bl_json_is_array(const bl_json *json)
{
	return json->type == BL_JSON_ARRAY;
}

bool bl_json_is_string(const bl_json *json)
{
	return json->type == BL_JSON_STRING;
}

bool bl_json_is_null(const bl_json *json)
{
	return json->type == BL_JSON_NULL;
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

	for (const bl_json *m = bl_json_first(object); m; m = m->next) {
		if (!m->key || !same_folded(m->key, key))
			continue;
		if (strcmp(m->key, key) != 0)
			return bl_err_config(err, "%.64s: the key's case is wrong, write \"%s\"",
					     m->key, key);
		found = m;
	}
	if (!found || found->absent)
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
	const bl_json *value = NULL;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (!bl_json_is_string(value))
		return wrong_type(key, "a string", value, err);
	*ret = value->as.text;
	return 1;
}

int bl_json_int(const bl_json *number, int64_t *ret)
{
	if (number->type != BL_JSON_INTEGER)
		return -EINVAL;
	*ret = number->as.integer;
	return 0;
}

int bl_json_get_int(const bl_json *object, const char *key, int64_t min, int64_t max, int64_t *ret,
		    struct bl_err *err)
{
	const bl_json *value = NULL;
	int64_t number;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (value->type != BL_JSON_INTEGER && value->type != BL_JSON_REAL)
		return wrong_type(key, "an integer", value, err);
	if (bl_json_int(value, &number) < 0 || number < min || number > max)
		return bl_err_config(err, "%s: must be an integer from %lld to %lld", key,
				     (long long)min, (long long)max);
	*ret = number;
	return 1;
}

int bl_json_get_bool(const bl_json *object, const char *key, bool *ret, struct bl_err *err)
{
	const bl_json *value = NULL;
	int r = bl_json_get(object, key, &value, err);

	if (r <= 0)
		return r;
	if (value->type != BL_JSON_TRUE && value->type != BL_JSON_FALSE)
		return wrong_type(key, "true or false", value, err);
	*ret = bl_json_bool(value);
	return 1;
}

int bl_json_get_object(const bl_json *object, const char *key, const bl_json **ret,
		       struct bl_err *err)
{
	const bl_json *value = NULL;
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
	const bl_json *value = NULL;
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
	const bl_json *array = NULL;
	size_t i = 0;
	int r = bl_json_get_array(object, key, &array, err);

	if (r <= 0)
		return r;
	for (const bl_json *e = bl_json_first(array); e; e = e->next, i++)
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
	for (const bl_json *m = bl_json_first(object); m; m = m->next) {
		const char *nearest = NULL;
		size_t least = 4; /* more edits than this is no near miss */
		bool known = false;

		for (size_t i = 0; keys[i] && !known; i++) {
			size_t d = distance(m->key, keys[i]);

			known = strcmp(m->key, keys[i]) == 0;
			if (d < least) {
				least = d;
				nearest = keys[i];
			}
		}
		if (known)
			continue;
		if (nearest)
			return bl_err_config(err, "%.64s: unknown key, did you mean \"%s\"?",
					     m->key, nearest);
		return bl_err_config(err, "%.64s: unknown key", m->key);
	}
	return 0;
}

const bl_json *bl_json_first(const bl_json *container)
{
	bool holds = container->type == BL_JSON_ARRAY || container->type == BL_JSON_OBJECT;

	return holds ? container->as.inside.first : NULL;
}

const bl_json *bl_json_next(const bl_json *element)
{
	return element->next;
}

size_t bl_json_length(const bl_json *container)
{
	size_t n = 0;

	for (const bl_json *m = bl_json_first(container); m; m = m->next)
		n++;
	return n;
}

const char *bl_json_key(const bl_json *member)
{
	return member->key;
}

const char *bl_json_string(const bl_json *string)
{
	return bl_json_is_string(string) ? string->as.text : NULL;
}

bool bl_json_bool(const bl_json *json)
{
	return json->type == BL_JSON_TRUE;
}
