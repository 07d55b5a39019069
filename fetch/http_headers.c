/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/http_headers.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/err.h"

#define MAX_LINES 256

void bl_http_headers_done(struct bl_http_headers *headers)
{
	int saved = errno;

	for (size_t i = 0; i < headers->count; i++)
		free(headers->lines[i]);
	free(headers->lines);
	*headers = (struct bl_http_headers){0};
	errno = saved;
}

static bool is_token(const char *name)
{
	if (!*name)
		return false;
	for (; *name; name++)
		if (*name <= ' ' || *name >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *name))
			return false;
	return true;
}

static bool has_control(const char *value)
{
	for (; *value; value++) {
		unsigned char c = (unsigned char)*value;

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return true;
	}
	return false;
}

int bl_http_headers_add(struct bl_http_headers *headers, const char *name, const char *value,
			struct bl_err *err)
{
	/* The value may be a secret: no message shows it. */
	if (!is_token(name) || has_control(value) ||
	    strlen(name) + strlen(value) > BL_HTTP_MAX_HEADERS)
		return bl_err_set(err, BL_EX_CONFIG, EINVAL,
				  "the value of header %.40s holds a control character or is too "
				  "long; look for a line break in it",
				  name);
	if (headers->count >= MAX_LINES)
		return bl_err_set(err, BL_EX_RETRY, EFBIG, "more than %d headers", MAX_LINES);
	char **lines = reallocarray(headers->lines, headers->count + 2, sizeof(*lines));
	if (!lines)
		return bl_err_nomem(err);
	headers->lines = lines;
	/* White space behind a value is no part of it. libcurl reads "Name:" as "leave it out" and
	 * "Name;" as "send it empty". */
	int len = (int)strlen(value);
	while (len && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	int rc = len ? asprintf(&lines[headers->count], "%s: %.*s", name, len, value)
		     : asprintf(&lines[headers->count], "%s;", name);
	if (rc < 0) {
		lines[headers->count] = NULL;
		return bl_err_nomem(err);
	}
	lines[++headers->count] = NULL;
	return 0;
}

/* The line's value where it is of that name, else NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) != 0)
		return NULL;
	if (line[len] == ';' && !line[len + 1])
		return line + len + 1;
	return line[len] == ':' ? line + len + 1 + strspn(line + len + 1, " \t") : NULL;
}

const char *bl_http_headers_get(const struct bl_http_headers *headers, const char *name)
{
	const char *value = NULL;

	for (size_t i = 0; !value && i < headers->count; i++)
		value = value_of(headers->lines[i], name);
	return value;
}

bool bl_http_headers_agree(const struct bl_http_headers *headers, const char *name)
{
	const char *first = bl_http_headers_get(headers, name);

	for (size_t i = 0; i < headers->count; i++) {
		const char *value = value_of(headers->lines[i], name);

		if (value && strcmp(value, first) != 0)
			return false;
	}
	return true;
}

/* Decimal digits from *at on, at most BL_JSON's 2^53; moves *at behind them. -1 where none. */
static int64_t read_number(const char **at)
{
	int64_t value = 0;
	const char *c = *at;

	if (*c < '0' || *c > '9')
		return -1;
	for (; *c >= '0' && *c <= '9'; c++) {
		if (value > (INT64_C(1) << 53))
			return -1;
		value = value * 10 + (*c - '0');
	}
	*at = c;
	return value;
}

int bl_http_parse_content_range(const char *value, int64_t *from, int64_t *to, int64_t *size)
{
	const char *at = value;

	if (strncasecmp(at, "bytes", 5) != 0)
		return -EINVAL;
	at += 5;
	if (*at != ' ' && *at != '=')
		return -EINVAL;
	at += strspn(at, " =");
	int64_t first = read_number(&at);
	if (first < 0 || *at++ != '-')
		return -EINVAL;
	int64_t last = read_number(&at);
	if (last < first || *at++ != '/')
		return -EINVAL;
	int64_t whole = read_number(&at);
	at += strspn(at, " \t");
	if (whole <= last || *at)
		return -EINVAL;
	*from = first;
	*to = last + 1;
	*size = whole;
	return 0;
}

/* Whether the parameters behind a link's target hold rel=next. */
static bool is_next(const char *parameters, size_t len)
{
	static const char *const forms[] = {"rel=\"next\"", "rel=next"};

	for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++)
		for (size_t at = 0; at + strlen(forms[i]) <= len; at++)
			if (strncasecmp(parameters + at, forms[i], strlen(forms[i])) == 0)
				return true;
	return false;
}

char *bl_http_parse_next_link(const char *value)
{
	const char *at = value;

	while ((at = strchr(at, '<'))) {
		const char *end = strchr(++at, '>');

		if (!end)
			return NULL;
		/* Parameters end where the next link begins; a target may hold commas itself. */
		size_t len = strcspn(end, "<");
		if (is_next(end, len))
			return strndup(at, (size_t)(end - at));
		at = end + len;
	}
	return NULL;
}

int64_t bl_http_parse_retry_after(const char *value, int64_t now, int64_t max)
{
	const char *at = value;
	int64_t seconds = -1;

	if (*at >= '0' && *at <= '9') {
		seconds = read_number(&at);
		if (seconds < 0)
			seconds = max; /* more digits than anybody can mean */
	} else {
		time_t date = curl_getdate(value, NULL);

		if (date != (time_t)-1)
			seconds = (int64_t)date > now ? (int64_t)date - now : 0;
	}
	return seconds > max ? max : seconds;
}

int64_t bl_http_parse_length(const char *value)
{
	const char *at = value;
	int64_t length = read_number(&at);

	at += strspn(at, " \t");
	return *at ? -1 : length;
}

bool bl_http_is_strong_etag(const char *value)
{
	size_t len = strlen(value);

	if (len < 2 || len > 1024 || value[0] != '"' || value[len - 1] != '"')
		return false;
	for (size_t i = 1; i + 1 < len; i++)
		if (value[i] <= ' ' || value[i] >= 0x7f || value[i] == '"')
			return false;
	return true;
}
