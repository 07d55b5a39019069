/* SPDX-License-Identifier: Apache-2.0 */
/*
 * https://host/path: one file, whose one path in the tree is `file`. A first request for its first
 * byte tells its size, its version, whether the server knows ranges, and where redirects lead.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/token.h"
#include "fetch/sources/source.h"

#define FILE_NAME "file"

struct web {
	const struct bl_source_input *input;
	struct bl_http_auth auth;
	struct bl_url url; /* as the item has it */
	char *shown;	   /* without its query, for messages */
	char *token;	   /* NULL without */
	char *direct;	   /* where redirects led */
	bool whole;	   /* the server knows no ranges */
};

static void web_close(void *state)
{
	struct web *web = state;

	bl_url_done(&web->url);
	free(web->shown);
	bl_crypto_free_secret(&web->token);
	free(web->direct);
	free(web);
}

static void web_free(struct web **web)
{
	if (*web)
		web_close(*web);
}

static int add_token(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		     struct bl_err *err)
{
	const struct web *web = ctx;

	(void)hop;
	return bl_token_add(headers, "Bearer", web->token, err);
}

/* The secret is a bearer token, alone, as plain text. */
static int take_token(struct web *web, struct bl_err *err)
{
	int rc = web->input->secret ? bl_token_take(web->input->secret, &web->token) : 0;

	if (rc == -EINVAL)
		return bl_err_config(err, "the secret of an https source must be a bearer token "
					  "alone, as plain text");
	return rc < 0 ? bl_err_nomem(err) : 0;
}

static int web_open(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	__attribute__((cleanup(web_free))) struct web *web = calloc(1, sizeof(*web));
	int rc;

	if (!web)
		return bl_err_nomem(err);
	web->input = input;
	if ((rc = bl_url_parse(input->item->source.url, NULL, &web->url, err)) < 0 ||
	    (rc = take_token(web, err)) < 0)
		return rc;
	if (asprintf(&web->shown, "%s://%s%s", web->url.scheme, web->url.authority, web->url.path) <
	    0) {
		web->shown = NULL;
		return bl_err_nomem(err);
	}
	web->auth = (struct bl_http_auth){web->url.origin, add_token, web};
	*ret = TAKE_PTR(web);
	return 0;
}

/* ---- The first look ---- */

static int no_length(const struct web *web, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_RETRY, EIO,
			  "%.300s: the server does not say how long the file is, so that nobody "
			  "could tell when it is complete; serve it as a plain file",
			  web->shown);
}

/* Whether the answer is a page of the server's in the file's place: a sign-in, an index, a description. Who sends
 * files by a program and forgets their type says at least that they are to be saved. */
static bool is_page(const struct web *web, const struct bl_http_headers *headers)
{
	const char *type = bl_http_headers_get(headers, "Content-Type");
	const char *disposition = bl_http_headers_get(headers, "Content-Disposition");
	const char *dot = strrchr(web->url.path, '.');

	return type && strncasecmp(type, "text/html", strlen("text/html")) == 0 &&
	       !(disposition &&
		 strncasecmp(disposition, "attachment", strlen("attachment")) == 0) &&
	       !(dot && (strcasecmp(dot, ".html") == 0 || strcasecmp(dot, ".htm") == 0));
}

static int read_size(struct web *web, const struct bl_http_answer *answer, int64_t *size,
		     struct bl_err *err)
{
	const char *range = bl_http_headers_get(&answer->headers, "Content-Range");
	const char *length = bl_http_headers_get(&answer->headers, "Content-Length");
	const char *encoding = bl_http_headers_get(&answer->headers, "Content-Encoding");
	int64_t from, to;

	if (encoding && strcasecmp(encoding, "identity") != 0)
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "%.300s: the server sends it encoded as '%.40s' unasked; switch "
				  "that off for this file",
				  web->shown, encoding);
	if ((answer->status == 200 || answer->status == 206) && is_page(web, &answer->headers))
		return bl_err_set(
			err, BL_EX_CONFIG, EINVAL,
			"%.300s: the server sends a web page (text/html) and no file; check that "
			"the URL is that of the file itself, and whether it wants a credential",
			web->shown);
	switch (answer->status) {
	case 206:
		web->whole = false;
		if (range && strstr(range, "/*"))
			return no_length(web, err);
		if (!range || bl_http_parse_content_range(range, &from, &to, size) < 0 ||
		    from != 0 || to != 1)
			return bl_err_set(err, BL_EX_RETRY, EIO,
					  "%.300s: the server answers a range with another one: "
					  "whoever runs it, or a cache before it, must mend that",
					  web->shown);
		return 0;
	case 200:
		web->whole = true;
		*size = length ? bl_http_parse_length(length) : -1;
		return *size < 0 ? no_length(web, err) : 0;
	case 416:
		web->whole = true;
		*size = 0;
		if (range && strcmp(range, "bytes */0") == 0)
			return 0;
		return no_length(web, err);
	default:
		return bl_source_explain(web->shown, answer->status, web->token != NULL, err);
	}
}

static int ask(struct web *web, const struct bl_http_headers *headers,
	       struct bl_http_answer *answer, struct bl_err *err)
{
	struct bl_http_request request = {
		.url = web->url.text,
		.headers = headers,
		.auth = web->token ? &web->auth : NULL,
		.max_redirects = BL_HTTP_MAX_REDIRECTS,
		.head_only = true,
	};
	int rc = bl_http_perform(web->input->http, &request, answer, err);

	if (rc < 0)
		bl_err_wrap(err, "%.200s: ", web->shown);
	return rc;
}

static int look(struct web *web, struct bl_http_answer *answer, int64_t *size, struct bl_err *err)
{
	auto_headers headers = {0};
	int rc = bl_http_headers_add(&headers, "Range", "bytes=0-0", err);

	if (rc < 0 || (rc = ask(web, &headers, answer, err)) < 0)
		return rc;
	/* An empty file has no first byte, and not every server tells its size with that (S3's do not). */
	if (answer->status == 416 && !bl_http_headers_get(&answer->headers, "Content-Range")) {
		bl_http_answer_done(answer);
		*answer = (struct bl_http_answer){0};
		if ((rc = ask(web, NULL, answer, err)) < 0)
			return rc;
	}
	if ((rc = read_size(web, answer, size, err)) < 0)
		return rc;
	free(web->direct);
	web->direct = strdup(answer->url.text);
	return web->direct ? 0 : bl_err_nomem(err);
}

static int web_list(void *state, struct bl_manifest *manifest, bool *credential, struct bl_err *err)
{
	struct web *web = state;
	auto_answer answer = {0};
	struct bl_entry entry = {.path = FILE_NAME};
	int rc = look(web, &answer, &entry.size, err);

	if (rc < 0)
		return rc;
	const char *etag = bl_http_headers_get(&answer.headers, "ETag");
	if (etag && bl_http_is_strong_etag(etag))
		entry.etag = etag;
	*credential = web->token != NULL;
	return bl_manifest_add(manifest, &entry, err);
}

static int web_locate(void *state, const struct bl_entry *entry, bool again,
		      struct bl_location *ret, struct bl_err *err)
{
	struct web *web = state;
	auto_answer answer = {0};
	int64_t size;

	*ret = BL_LOCATION_INIT;
	if (again) {
		int rc = look(web, &answer, &size, err);

		if (rc < 0)
			return rc;
		if (size != entry->size)
			return bl_source_explain(web->shown, 412, false, err);
	}
	ret->url = strdup(web->direct);
	if (!ret->url)
		return bl_err_nomem(err);
	ret->auth = web->token ? &web->auth : NULL;
	ret->if_match = true;
	ret->whole = web->whole;
	return 0;
}

static int web_explain(void *state, const struct bl_entry *entry, int status,
		       const struct bl_http_headers *answer, struct bl_err *err)
{
	const struct web *web = state;

	(void)entry;
	(void)answer;
	return bl_source_explain(web->shown, status, web->token != NULL, err);
}

const struct bl_source_ops bl_source_https = {
	.scheme = BL_SCHEME_HTTPS,
	.open = web_open,
	.close = web_close,
	.list = web_list,
	.locate = web_locate,
	.explain = web_explain,
};
