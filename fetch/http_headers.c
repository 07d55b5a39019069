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

/* Whether `next` is one of the words, which white space parts, of any case. */
static bool has_next(const char *words, size_t len)
{
	static const char wanted[] = "next";
	static const char blanks[] = " \t";

	for (size_t at = 0; at < len;) {
		size_t word = at;

		while (word < len && !strchr(blanks, words[word]))
			word++;
		if (word - at == strlen(wanted) && strncasecmp(words + at, wanted, word - at) == 0)
			return true;
		at = word + 1;
	}
	return false;
}

/* Behind the text in quotes that begins at `at`; a backslash hides a quote in it. */
static const char *skip_quoted(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		at += *at == '\\' && at[1];
	return *at ? at + 1 : at;
}

/*
 * Whether one of the parameters behind a link's target is a rel that holds `next` (RFC 8288): white space may
 * stand around each part, and a rel in quotes may hold several words. Else a listing would end in silence.
 */
static bool is_next(const char *parameters, size_t len)
{
	const char *end = parameters + len;

	for (const char *at = parameters; at < end && (at = memchr(at, ';', (size_t)(end - at)));) {
		at++;
		at += strspn(at, " \t");
		bool rel = end - at > 3 && strncasecmp(at, "rel", 3) == 0;
		const char *value = at + (rel ? 3 : strcspn(at, "=;<"));
		value += strspn(value, " \t");
		if (value >= end || *value != '=')
			continue;
		value++;
		value += strspn(value, " \t");
		bool quoted = *value == '"';
		at = quoted ? skip_quoted(value) : value + strcspn(value, ";, \t<");
		value += quoted;
		if (rel && at <= end && has_next(value, strcspn(value, quoted ? "\"" : ";, \t<")))
			return true;
	}
	return false;
}

char *bl_http_parse_next_link(const char *value)
{
	const char *at = value;

	while ((at = strchr(at, '<'))) {
		const char *end = strchr(++at, '>');
		const char *next = end;

		if (!end)
			return NULL;
		/* Parameters end where the next link begins; a target, or a text in quotes, may hold commas itself. */
		while (*next && *next != '<')
			next = *next == '"' ? skip_quoted(next) : next + 1;
		if (is_next(end, (size_t)(next - end)))
			return strndup(at, (size_t)(end - at));
		at = next;
	}
	return NULL;
}

char *bl_http_headers_next_link(const struct bl_http_headers *headers)
{
	char *next = NULL;

	for (size_t i = 0; !next && i < headers->count; i++) {
		const char *value = value_of(headers->lines[i], "Link");

		if (value)
			next = bl_http_parse_next_link(value);
	}
	return next;
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
