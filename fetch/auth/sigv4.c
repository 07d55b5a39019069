// SPDX-License-Identifier: Apache-2.0
/*
 * The way of the data: headers and query are sorted into the canonical request, its hash into the
 * string to sign, and that is signed with a key derived from date, region and service.
 */
#include "fetch/auth/sigv4.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/hex.h"

#define CANONICAL_MAX (256 * 1024) /* bytes of a canonical request: a URL and its headers */
#define PAIRS_MAX     256	   /* headers, or members of a query */

void bl_sigv4_key_done(struct bl_sigv4_key *key)
{
	bl_crypto_free_secret(&key->id);
	bl_crypto_free_secret(&key->secret);
	bl_crypto_free_secret(&key->session);
	free(key->region);
	*key = (struct bl_sigv4_key){0};
}

/* ---- Canonical forms ---- */

/*
 * Appends len bytes of text, percent-encoded exactly once whatever was encoded before: what AWS
 * reads off the wire and encodes again must come out the same.
 */
static int put_encoded(struct bl_buf *to, const char *text, size_t len, bool keep_slash,
		       struct bl_err *err)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '%' && i + 2 < len && bl_hex_value(text[i + 1]) >= 0 &&
		    bl_hex_value(text[i + 2]) >= 0) {
			c = (unsigned char)(bl_hex_value(text[i + 1]) << 4 |
					    bl_hex_value(text[i + 2]));
			i += 2;
		}
		if ((c < 0x80 && isalnum(c)) || (c && strchr("-._~", c)) ||
		    (c == '/' && keep_slash))
			r = bl_buf_append(to, &c, 1, err);
		else
			r = bl_buf_putf(to, err, "%%%02X", c);
	}
	return r;
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int too_many(struct bl_err *err)
{
	return bl_err_set(err, BL_EX_INTERNAL, E2BIG, "a request with more than %d parts to sign",
			  PAIRS_MAX);
}

/*
 * Members "name=value", encoded and sorted. '\1' stands for '=' while they are sorted: names are
 * compared first, and no encoded character is below it.
 */
static int put_query(struct bl_buf *to, const char *query, struct bl_err *err)
{
	auto_texts members = calloc(PAIRS_MAX + 1, sizeof(*members));
	size_t n = 0;
	int r = members ? 0 : bl_err_nomem(err);

	for (const char *at = query; r == 0 && at && *at;) {
		size_t len = strcspn(at, "&");
		size_t name = strcspn(at, "=&");
		auto_buf member = BL_BUF_INIT(CANONICAL_MAX);

		if (n == PAIRS_MAX)
			return too_many(err);
		r = put_encoded(&member, at, name, false, err);
		if (r == 0)
			r = bl_buf_append(&member, "\1", 1, err);
		if (r == 0 && name < len)
			r = put_encoded(&member, at + name + 1, len - name - 1, false, err);
		if (r == 0 && member.len > 1)
			members[n++] = bl_buf_take(&member);
		at += len + (at[len] == '&');
	}
	if (r == 0 && n > 0)
		qsort(members, n, sizeof(*members), compare_texts);
	for (size_t i = 0; r == 0 && i < n; i++) {
		*strchr(members[i], '\1') = '=';
		r = bl_buf_putf(to, err, "%s%s", i ? "&" : "", members[i]);
	}
	return r;
}

/* One header: its name in lower case, '\1', its value with runs of spaces as one. */
static char *canonical_header(const char *line)
{
	char *text = malloc(strlen(line) + 2);
	char *to = text;
	/* An empty value is written "Name;" (see http_headers.c). */
	const char *value = line + strcspn(line, ":;");

	if (!text)
		return NULL;
	for (const char *at = line; at < value; at++)
		*to++ = (char)tolower((unsigned char)*at);
	*to++ = '\1';
	value += *value ? 1 + strspn(value + 1, " \t") : 0;
	for (const char *at = value; *at; at++)
		if (*at != ' ' || (at[1] && at[1] != ' '))
			*to++ = *at;
	*to = '\0';
	return text;
}

/* By name alone, and where names are equal in the order given: positions break the tie. */
static int compare_names(const void *a, const void *b)
{
	const char *x = *(const char *const *)a;
	const char *y = *(const char *const *)b;
	size_t lx = strcspn(x, "\1");
	size_t ly = strcspn(y, "\1");
	int order = strncmp(x, y, lx < ly ? lx : ly);

	return order ? order : (lx > ly) - (lx < ly);
}

static bool same_name(const char *a, const char *b)
{
	size_t len = strcspn(a, "\1");

	return strcspn(b, "\1") == len && strncmp(a, b, len) == 0;
}

/* Few elements, and qsort() need not keep the order of equals: by insertion. */
static void sort_headers(char **lines, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = i; j > 0 && compare_names(&lines[j - 1], &lines[j]) > 0; j--) {
			char *line = lines[j];

			lines[j] = lines[j - 1];
			lines[j - 1] = line;
		}
}

/* Appends the canonical headers, and the list of their names to `names`. */
static int put_headers(struct bl_buf *to, struct bl_buf *names,
		       const struct bl_http_headers *headers, struct bl_err *err)
{
	auto_texts lines = calloc(PAIRS_MAX + 1, sizeof(*lines));
	int r = lines ? 0 : bl_err_nomem(err);

	if (headers->count > PAIRS_MAX)
		return too_many(err);
	for (size_t i = 0; r == 0 && i < headers->count; i++) {
		lines[i] = canonical_header(headers->lines[i]);
		if (!lines[i])
			return bl_err_nomem(err);
	}
	sort_headers(lines, headers->count);
	for (size_t i = 0; r == 0 && i < headers->count; i++) {
		size_t len = strcspn(lines[i], "\1");
		const char *value = lines[i] + len + 1;

		if (i > 0 && same_name(lines[i - 1], lines[i])) {
			r = bl_buf_putf(to, err, ",%s", value);
			continue;
		}
		r = bl_buf_putf(names, err, "%s%.*s", i ? ";" : "", (int)len, lines[i]);
		if (r == 0)
			r = bl_buf_putf(to, err, "%s%.*s:%s", i ? "\n" : "", (int)len, lines[i],
					value);
	}
	return r < 0 ? r : bl_buf_puts(to, "\n", err);
}

static int put_request(struct bl_buf *to, struct bl_buf *names,
		       const struct bl_sigv4_request *request, struct bl_err *err)
{
	int r = bl_buf_putf(to, err, "%s\n", request->method);

	if (r == 0)
		r = put_encoded(to, request->path, strlen(request->path), true, err);
	if (r == 0)
		r = bl_buf_puts(to, "\n", err);
	if (r == 0)
		r = put_query(to, request->query, err);
	if (r == 0)
		r = bl_buf_puts(to, "\n", err);
	if (r == 0)
		r = put_headers(to, names, request->headers, err);
	if (r == 0)
		r = bl_buf_putf(to, err, "\n%s\n%s", bl_buf_str(names), request->payload);
	return r;
}

/* ---- The signature ---- */

static int derive_key(const struct bl_sigv4_key *key, const char *date,
		      unsigned char to[static BL_CRYPTO_SHA256], struct bl_err *err)
{
	auto_secret_buf first = BL_BUF_INIT(4096);
	const char *const steps[] = {key->region, key->service, "aws4_request"};
	int r = bl_buf_putf(&first, err, "AWS4%s", key->secret);

	if (r == 0)
		r = bl_crypto_hmac_sha256(first.data, first.len, date, strcspn(date, "T"), to, err);
	for (size_t i = 0; r == 0 && i < 3; i++)
		r = bl_crypto_hmac_sha256(to, BL_CRYPTO_SHA256, steps[i], strlen(steps[i]), to,
					  err);
	return r;
}

int bl_sigv4_authorization(const struct bl_sigv4_key *key, const struct bl_sigv4_request *request,
			   char **ret, struct bl_err *err)
{
	auto_buf canonical = BL_BUF_INIT(CANONICAL_MAX);
	auto_buf names = BL_BUF_INIT(CANONICAL_MAX);
	auto_buf text = BL_BUF_INIT(CANONICAL_MAX);
	auto_buf scope = BL_BUF_INIT(4096);
	unsigned char derived[BL_CRYPTO_SHA256];
	char hex[BL_CRYPTO_HEX];
	int r = put_request(&canonical, &names, request, err);

	if (r == 0)
		r = bl_crypto_sha256_hex(canonical.data, canonical.len, hex, err);
	if (r == 0)
		r = bl_buf_putf(&scope, err, "%.8s/%s/%s/aws4_request", request->date, key->region,
				key->service);
	if (r == 0)
		r = bl_buf_putf(&text, err, "AWS4-HMAC-SHA256\n%s\n%s\n%s", request->date,
				bl_buf_str(&scope), hex);
	if (r == 0)
		r = derive_key(key, request->date, derived, err);
	if (r == 0)
		r = bl_crypto_hmac_sha256(derived, sizeof(derived), text.data, text.len, derived,
					  err);
	if (r < 0)
		return r;
	bl_crypto_hex(derived, sizeof(derived), hex);
	OPENSSL_cleanse(derived, sizeof(derived));
	if (asprintf(ret, "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		     key->id, bl_buf_str(&scope), bl_buf_str(&names), hex) < 0) {
		*ret = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

/* Adds copies of those lines whose names begin so. */
static int add_lines(struct bl_http_headers *to, const struct bl_http_headers *from,
		     const char *beginning, struct bl_err *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && from && i < from->count; i++) {
		auto_free char *line = NULL;
		char *value;

		if (strncasecmp(from->lines[i], beginning, strlen(beginning)) != 0)
			continue;
		line = strdup(from->lines[i]);
		if (!line)
			return bl_err_nomem(err);
		value = line + strcspn(line, ":;");
		if (*value)
			*value++ = '\0';
		r = bl_http_headers_add(to, line, value + strspn(value, " "), err);
	}
	return r;
}

/* Host, and what of the hop's headers and ours is signed. */
static int gather(const struct bl_http_hop *hop, const struct bl_http_headers *ours,
		  struct bl_http_headers *to, struct bl_err *err)
{
	int r = bl_http_headers_add(to, "host", hop->url->authority, err);

	if (r >= 0)
		r = add_lines(to, hop->headers, "x-amz-", err);
	return r < 0 ? r : add_lines(to, ours, "x-amz-", err);
}

int bl_sigv4_sign(const struct bl_sigv4_key *key, const struct bl_http_hop *hop, time_t now,
		  struct bl_http_headers *headers, struct bl_err *err)
{
	auto_headers ours = {0};
	auto_headers gathered = {0};
	auto_free char *authorization = NULL;
	char payload[BL_CRYPTO_HEX];
	char date[32];
	struct tm tm;
	int r = bl_crypto_sha256_hex(hop->body ? hop->body : "", hop->body_len, payload, err);

	if (r < 0)
		return r;
	if (!gmtime_r(&now, &tm) || strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm) != 16)
		return bl_err_set(err, BL_EX_INTERNAL, EOVERFLOW, "the clock is off");
	r = bl_http_headers_add(&ours, "x-amz-date", date, err);
	if (r >= 0)
		r = bl_http_headers_add(&ours, "x-amz-content-sha256", payload, err);
	if (r >= 0 && key->session)
		r = bl_http_headers_add(&ours, "x-amz-security-token", key->session, err);
	if (r >= 0)
		r = gather(hop, &ours, &gathered, err);
	if (r < 0)
		return r;
	struct bl_sigv4_request request = {
		.method = hop->method,
		.path = hop->url->path,
		.query = hop->url->query,
		.headers = &gathered,
		.payload = payload,
		.date = date,
	};
	r = bl_sigv4_authorization(key, &request, &authorization, err);
	if (r >= 0)
		r = bl_http_headers_add(&ours, "Authorization", authorization, err);
	return r < 0 ? r : add_lines(headers, &ours, "", err);
}
