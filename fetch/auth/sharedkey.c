// SPDX-License-Identifier: Apache-2.0
/* See sharedkey.h. */
#include "fetch/auth/sharedkey.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"

#define TEXT_MAX  (256 * 1024) /* bytes of the text that is signed */
#define KEY_MAX	  1024	       /* bytes of a key; Azure's have 64 */
#define PARTS_MAX 64	       /* x-ms-* headers, or members of the query */

int bl_sharedkey_init(struct bl_sharedkey *key, const char *account, const char *base64,
		      struct bl_err *err)
{
	struct bl_sharedkey made = {.account = strdup(account), .key = BL_BUF_INIT(KEY_MAX)};
	int r = made.account ? bl_crypto_unbase64(&made.key, base64, err) : bl_err_nomem(err);

	if (r < 0) {
		bl_sharedkey_done(&made);
		return r == -ENOMEM ? r
				    : bl_err_config(err, "account_key is not base64: copy it as a "
							 "whole from the storage account's access "
							 "keys");
	}
	*key = made;
	return 0;
}

void bl_sharedkey_done(struct bl_sharedkey *key)
{
	bl_crypto_wipe(&key->key);
	free(key->account);
	*key = (struct bl_sharedkey){0};
}

/* ---- The text ---- */

/* "name:value" by the name: a plain comparison would put "a-b:" before "a:". */
static int compare_texts(const void *a, const void *b)
{
	const char *x = *(const char *const *)a;
	const char *y = *(const char *const *)b;
	size_t lx = strcspn(x, ":");
	size_t ly = strcspn(y, ":");
	int order = strncmp(x, y, lx < ly ? lx : ly);

	return order ? order : (lx > ly) - (lx < ly);
}

static int put_sorted(struct bl_buf *to, char **texts, size_t n, struct bl_err *err)
{
	int r = 0;

	if (n > 0)
		qsort(texts, n, sizeof(*texts), compare_texts);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = bl_buf_putf(to, err, "\n%s", texts[i]);
	return r;
}

static int too_many(struct bl_err *err)
{
	return bl_err_set(err, BL_EX_INTERNAL, E2BIG, "a request with more than %d parts to sign",
			  PARTS_MAX);
}

/* The headers that have a line of their own, filled or not. Date is empty: x-ms-date serves. */
static int put_standard(struct bl_buf *to, const struct bl_http_hop *hop,
			const struct bl_http_headers *headers, struct bl_err *err)
{
	static const char *const names[] = {
		"Content-Encoding",
		"Content-Language",
		"Content-Length",
		"Content-MD5",
		"Content-Type",
		"Date",
		"If-Modified-Since",
		"If-Match",
		"If-None-Match",
		"If-Unmodified-Since",
		"Range",
	};
	int r = bl_buf_puts(to, hop->method, err);

	for (size_t i = 0; r == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = bl_http_headers_get(headers, names[i]);

		if (strcmp(names[i], "Content-Length") == 0 && hop->body_len > 0)
			r = bl_buf_putf(to, err, "\n%zu", hop->body_len);
		else
			r = bl_buf_putf(to, err, "\n%s", value ? value : "");
	}
	return r;
}

/* "x-ms-*" headers, lower case, sorted, one a line. */
static int put_x_ms(struct bl_buf *to, const struct bl_http_headers *headers, struct bl_err *err)
{
	auto_texts lines = calloc(PARTS_MAX + 1, sizeof(*lines));
	size_t n = 0;

	if (!lines)
		return bl_err_nomem(err);
	for (size_t i = 0; i < headers->count; i++) {
		const char *line = headers->lines[i];
		size_t name = strcspn(line, ":;");
		const char *value = line[name] ? line + name + 1 : "";

		if (strncasecmp(line, "x-ms-", 5) != 0)
			continue;
		if (n == PARTS_MAX)
			return too_many(err);
		if (asprintf(&lines[n], "%.*s:%s", (int)name, line, value + strspn(value, " ")) <
		    0) {
			lines[n] = NULL;
			return bl_err_nomem(err);
		}
		for (char *c = lines[n]; *c != ':'; c++)
			*c = (char)tolower((unsigned char)*c);
		n++;
	}
	return put_sorted(to, lines, n, err);
}

/* Decodes %XX of len bytes, in place of a copy. */
static char *decoded(const char *text, size_t len)
{
	char *copy = malloc(len + 1);
	char *to = copy;

	for (size_t i = 0; copy && i < len; i++) {
		char hex[3] = {text[i], (char)(i + 1 < len ? text[i + 1] : '\0'), '\0'};

		if (text[i] == '%' && i + 2 < len && isxdigit((unsigned char)text[i + 1]) &&
		    isxdigit((unsigned char)text[i + 2])) {
			hex[0] = text[i + 1];
			hex[1] = text[i + 2];
			*to++ = (char)strtoul(hex, NULL, 16);
			i += 2;
		} else {
			*to++ = text[i];
		}
	}
	if (copy)
		*to = '\0';
	return copy;
}

/* The query's members "name:value", decoded, the name in lower case, sorted. */
static int put_query(struct bl_buf *to, const char *query, struct bl_err *err)
{
	auto_texts members = calloc(PARTS_MAX + 1, sizeof(*members));
	size_t n = 0;

	if (!members)
		return bl_err_nomem(err);
	for (const char *at = query ? query : ""; *at; n++) {
		size_t len = strcspn(at, "&");
		char *colon;

		if (n == PARTS_MAX)
			return too_many(err);
		members[n] = decoded(at, len);
		if (!members[n])
			return bl_err_nomem(err);
		colon = strchr(members[n], '=');
		if (colon)
			*colon = ':';
		for (char *c = members[n]; *c && *c != ':'; c++)
			*c = (char)tolower((unsigned char)*c);
		at += len + (at[len] == '&');
	}
	return put_sorted(to, members, n, err);
}

int bl_sharedkey_text(const struct bl_sharedkey *key, const struct bl_http_hop *hop,
		      const struct bl_http_headers *headers, struct bl_buf *to, struct bl_err *err)
{
	int r = put_standard(to, hop, headers, err);

	if (r == 0)
		r = put_x_ms(to, headers, err);
	if (r == 0)
		r = bl_buf_putf(to, err, "\n/%s%s", key->account, hop->url->path);
	return r < 0 ? r : put_query(to, hop->url->query, err);
}

/* ---- Signing ---- */

static int copy_headers(struct bl_http_headers *to, const struct bl_http_headers *from,
			struct bl_err *err)
{
	for (size_t i = 0; from && i < from->count; i++) {
		auto_free char *line = strdup(from->lines[i]);
		char *value = line ? line + strcspn(line, ":;") : NULL;
		int r;

		if (!value)
			return bl_err_nomem(err);
		if (*value)
			*value++ = '\0';
		r = bl_http_headers_add(to, line, value + strspn(value, " "), err);
		if (r < 0)
			return r;
	}
	return 0;
}

int bl_sharedkey_sign(const struct bl_sharedkey *key, const struct bl_http_hop *hop, time_t now,
		      struct bl_http_headers *headers, struct bl_err *err)
{
	auto_headers all = {0};
	auto_buf text = BL_BUF_INIT(TEXT_MAX);
	auto_buf value = BL_BUF_INIT(4096);
	unsigned char signature[BL_CRYPTO_SHA256];
	auto_headers ours = {0};
	char date[40];
	struct tm tm;
	int r;

	/* The C locale's names of days and months: nothing here calls setlocale(). */
	if (!gmtime_r(&now, &tm) ||
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		return bl_err_set(err, BL_EX_INTERNAL, EOVERFLOW, "the clock is off");
	r = bl_http_headers_add(&ours, "x-ms-date", date, err);
	if (r >= 0)
		r = bl_http_headers_add(&ours, "x-ms-version", BL_SHAREDKEY_VERSION, err);
	if (r >= 0)
		r = copy_headers(&all, hop->headers, err);
	if (r >= 0)
		r = copy_headers(&all, &ours, err);
	if (r >= 0)
		r = bl_sharedkey_text(key, hop, &all, &text, err);
	if (r >= 0)
		r = bl_crypto_hmac_sha256(key->key.data, key->key.len, text.data, text.len,
					  signature, err);
	if (r >= 0)
		r = bl_buf_putf(&value, err, "SharedKey %s:", key->account);
	if (r >= 0)
		r = bl_crypto_base64(&value, signature, sizeof(signature), err);
	if (r >= 0)
		r = bl_http_headers_add(&ours, "Authorization", bl_buf_str(&value), err);
	return r < 0 ? r : copy_headers(headers, &ours, err);
}
