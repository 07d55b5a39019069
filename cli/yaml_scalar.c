// SPDX-License-Identifier: Apache-2.0
#include "cli/yaml_scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define TAG "tag:yaml.org,2002:"

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const trues[] = {"yes",  "Yes", "YES", "true", "True",
				    "TRUE", "on",  "On",  "ON",	  NULL};
static const char *const falses[] = {"no",    "No",  "NO",  "false", "False",
				     "FALSE", "off", "Off", "OFF",   NULL};

/* The value of a digit in any base up to 16, or 99. */
static unsigned digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (isxdigit((unsigned char)c))
		return (unsigned)(tolower((unsigned char)c) - 'a' + 10);
	return 99;
}

/* Digits and underscores of a base up to the end of text: 0, -EINVAL, or -ERANGE. */
static int read_digits(const char *text, unsigned base, int64_t *ret)
{
	int64_t value = 0;
	bool any = false;

	for (const char *c = text; *c; c++) {
		if (*c == '_')
			continue;
		if (digit(*c) >= base)
			return -EINVAL;
		any = true;
		if (__builtin_mul_overflow(value, (int64_t)base, &value) ||
		    __builtin_add_overflow(value, (int64_t)digit(*c), &value))
			return -ERANGE;
	}
	*ret = value;
	return any ? 0 : -EINVAL;
}

/* Base 60, "12:30:45": so a clock time without quotes is a number. */
static int read_sexagesimal(const char *text, int64_t *ret)
{
	int64_t value = 0;
	size_t parts = 0;

	if (*text < '1' || *text > '9')
		return -EINVAL;
	for (const char *c = text;; c++, parts++) {
		int64_t part = 0;
		size_t digits = 0;

		for (; isdigit((unsigned char)*c) || (parts == 0 && *c == '_'); c++, digits++)
			if (*c != '_' && (__builtin_mul_overflow(part, 10, &part) ||
					  __builtin_add_overflow(part, *c - '0', &part)))
				return -ERANGE;
		if (digits == 0 || (parts > 0 && (digits > 2 || part > 59)))
			return -EINVAL;
		if (__builtin_mul_overflow(value, 60, &value) ||
		    __builtin_add_overflow(value, part, &value))
			return -ERANGE;
		if (*c == '\0')
			break;
		if (*c != ':')
			return -EINVAL;
	}
	*ret = value;
	return parts > 0 ? 0 : -EINVAL;
}

static int read_int(const char *text, int64_t *ret)
{
	bool negative = *text == '-';
	int r;

	if (*text == '-' || *text == '+')
		text++;
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	if (text[0] == '0' && text[1] == 'b')
		r = read_digits(text + 2, 2, ret);
	else if (text[0] == '0' && text[1] == 'x')
		r = read_digits(text + 2, 16, ret);
	else if (text[0] == '0' && text[1] != '\0')
		r = read_digits(text + 1, 8, ret);
	else if (strchr(text, ':'))
		r = read_sexagesimal(text, ret);
	else
		r = read_digits(text, 10, ret);
	if (r == 0 && negative)
		*ret = -*ret;
	return r;
}

/* PyYAML's floats have a dot, and an exponent has its sign: "1e5" is a string. */
static int read_float(const char *text, double *ret)
{
	char plain[128];
	const char *c = text + (*text == '-' || *text == '+');
	size_t n = 0;
	size_t digits = 0;
	bool dot = false;

	if (strcmp(c, ".inf") == 0 || strcmp(c, ".Inf") == 0 || strcmp(c, ".INF") == 0) {
		*ret = *text == '-' ? -INFINITY : INFINITY;
		return 0;
	}
	if (strcmp(text, ".nan") == 0 || strcmp(text, ".NaN") == 0 || strcmp(text, ".NAN") == 0) {
		*ret = NAN;
		return 0;
	}
	if (strlen(text) >= sizeof(plain) || *c == '_')
		return -EINVAL;
	for (; isdigit((unsigned char)*c) || *c == '_' || (*c == '.' && !dot); c++) {
		dot = dot || *c == '.';
		digits += isdigit((unsigned char)*c) ? 1 : 0;
		if (*c != '_')
			plain[n++] = *c;
	}
	if (!dot || digits == 0)
		return -EINVAL;
	if (*c == 'e' || *c == 'E') {
		plain[n++] = *c++;
		if (*c != '-' && *c != '+')
			return -EINVAL;
		plain[n++] = *c++;
		if (*c == '\0')
			return -EINVAL;
		while (isdigit((unsigned char)*c))
			plain[n++] = *c++;
	}
	if (*c != '\0')
		return -EINVAL;
	plain[n] = '\0';
	*ret = strtod(plain, NULL) * (*text == '-' ? -1.0 : 1.0);
	return 0;
}

/* "2026-01-31", with or without a time after it. */
static bool is_date(const char *text)
{
	static const char form[] = "dddd-dd-dd";
	size_t i = 0;

	for (; form[i]; i++)
		if (form[i] == 'd' ? !isdigit((unsigned char)text[i]) : text[i] != form[i])
			break;
	if (!form[i] && text[i] == '\0')
		return true;
	/* A date with one digit for month or day counts only with a time. */
	return strspn(text, "0123456789") == 4 && text[4] == '-' && strchr(text, ':') &&
	       strspn(text, "0123456789-:.+Tt Zz\t") == strlen(text) && strpbrk(text, "Tt \t");
}

int bl_yaml_scalar_resolve(struct bl_yaml *node)
{
	int r;

	node->kind = BL_YAML_STRING;
	if (is_one_of(node->text, nulls)) {
		node->kind = BL_YAML_NULL;
	} else if (is_one_of(node->text, trues) || is_one_of(node->text, falses)) {
		node->kind = BL_YAML_BOOL;
		node->integer = is_one_of(node->text, trues);
	} else {
		r = read_int(node->text, &node->integer);
		if (r != -EINVAL) {
			node->kind = BL_YAML_INT;
			return r;
		}
		if (read_float(node->text, &node->number) == 0)
			node->kind = BL_YAML_FLOAT;
		else if (is_date(node->text))
			node->kind = BL_YAML_DATE;
	}
	return 0;
}

int bl_yaml_scalar_tagged(struct bl_yaml *node, const char *tag)
{
	static const struct {
		const char *tag;
		enum bl_yaml_kind kind;
	} kinds[] = {{TAG "null", BL_YAML_NULL},
		     {TAG "bool", BL_YAML_BOOL},
		     {TAG "int", BL_YAML_INT},
		     {TAG "float", BL_YAML_FLOAT},
		     {TAG "timestamp", BL_YAML_DATE}};
	int r;

	if (strcmp(tag, TAG "str") == 0 || strcmp(tag, "!") == 0) {
		node->kind = BL_YAML_STRING;
		return 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(tag, kinds[i].tag) != 0)
			continue;
		r = bl_yaml_scalar_resolve(node);
		return r < 0 ? r : node->kind == kinds[i].kind ? 0 : -EINVAL;
	}
	return -EINVAL;
}
