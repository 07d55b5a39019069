/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/cloud.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/hex.h"
#include "fetch/retry.h"

static int exit_status(int errnum)
{
	switch (errnum) {
	case EINVAL:
	case ENOENT:
	case EBADMSG:
	case EFBIG:
		return BL_EX_CONFIG;
	case EACCES:
	case EPERM:
		return BL_EX_REFUSED;
	case ENOMEM:
		return BL_EX_INTERNAL;
	default:
		return BL_EX_RETRY;
	}
}

int bl_cloud_fail(struct bl_err *err, int errnum, const char *fmt, ...)
{
	char text[BL_ERR_MSG_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return bl_err_set(err, exit_status(errnum), errnum, "%s", text);
}

int bl_cloud_unreadable(const char *source, int rc, struct bl_err *err)
{
	const struct bl_err why = *err;

	return bl_err_set(err, why.code, -rc,
			  "%.150s: %.200s; check that the endpoint, and a proxy before it, lead to "
			  "the store itself",
			  source, why.msg);
}

int bl_cloud_wrong_credential(const struct bl_weights_item *item, int rc, struct bl_err *err)
{
	const char *name = item->auth_secret_name;

	bl_err_wrap(err, "%.150s%s%.60s%s: ", item->source.text, name ? " (secret '" : "",
		    name ? name : "", name ? "')" : "");
	return rc;
}

/* ---- Secrets ---- */

int bl_cloud_parse_secret(const char *secret, const char *what, bl_json **ret, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_SECRET, .fractions = true};
	auto_json json = NULL;
	struct bl_err why = {0};

	if (strncmp(secret, "\xef\xbb\xbf", 3) == 0) /* as some editors begin a file */
		secret += 3;
	if (bl_json_parse(secret, strlen(secret), &limits, &json, &why) < 0)
		return bl_cloud_fail(err, EINVAL,
				     "the secret with %s must be a JSON object: %.100s", what,
				     why.msg);
	if (!bl_json_is_object(json))
		return bl_cloud_fail(err, EINVAL,
				     "the secret with %s must be a JSON object, not %s", what,
				     bl_json_kind(json));
	*ret = TAKE_PTR(json);
	return 0;
}

int bl_cloud_secret_text(const bl_json *secret, const char *key, char **ret, struct bl_err *err)
{
	const bl_json *value = NULL;
	const char *text = NULL;
	auto_secret copy = NULL;
	size_t len;
	int r = bl_json_get(secret, key, &value, err);

	if (r <= 0 || bl_json_is_null(value))
		return r < 0 ? r : 0;
	r = bl_json_get_string(secret, key, &text, err);
	if (r <= 0)
		return r;
	len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	if (len == 0)
		return 0;
	copy = strndup(text, len);
	if (!copy)
		return bl_err_nomem(err);
	for (const char *c = copy; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return bl_cloud_fail(err, EINVAL,
					     "%s in the secret holds a control character", key);
	*ret = TAKE_PTR(copy);
	return 1;
}

/* ---- Texts of a listing ---- */

int bl_cloud_unescape(char *text, bool plus)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		char c = *at;

		if (c == '+' && plus) {
			c = ' ';
		} else if (c == '%' && bl_hex_value(at[1]) >= 0 && bl_hex_value(at[2]) >= 0) {
			c = (char)(bl_hex_value(at[1]) << 4 | bl_hex_value(at[2]));
			at += 2;
			if (c == '\0')
				return -EINVAL;
		}
		*to++ = c;
	}
	*to = '\0';
	return 0;
}

char *bl_cloud_etag(const char *text)
{
	char *quoted = NULL;

	if (!text || !*text)
		return NULL;
	if (*text == '"' ? asprintf(&quoted, "%s", text) < 0
			 : asprintf(&quoted, "\"%s\"", text) < 0)
		return NULL;
	if (!bl_http_is_strong_etag(quoted)) {
		free(quoted);
		return NULL;
	}
	return quoted;
}

bool bl_cloud_is_word(const char *text, size_t max, const char *more)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (!(c < 0x80 && isalnum(c)) && !strchr(more, c))
			return false;
	}
	return len > 0 && len <= max;
}

bool bl_cloud_is_code(const char *text)
{
	size_t len = strlen(text);

	/* No digits: a secret that is echoed as a code has some. */
	return len > 0 && len < BL_CLOUD_CODE_MAX &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.:_") == len;
}

const char *bl_cloud_aws_domain(const char *region)
{
	if (strncmp(region, "cn-", 3) == 0)
		return "amazonaws.com.cn";
	return strncmp(region, "eusc-", 5) == 0 ? "amazonaws.eu" : "amazonaws.com";
}

/* ---- Paths ---- */

int bl_cloud_path_init(struct bl_cloud_path *path, const char *text, struct bl_err *err)
{
	*path = (struct bl_cloud_path){.path = text};
	if (asprintf(&path->prefix, "%s%s", text, *text ? "/" : "") < 0) {
		path->prefix = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

int bl_cloud_path_begin(struct bl_cloud_path *path, struct bl_err *err)
{
	if (!path->single)
		return 0;
	free(path->prefix);
	return bl_cloud_path_init(path, path->path, err);
}

int bl_cloud_path_set_single(struct bl_cloud_path *path, struct bl_err *err)
{
	const char *slash = strrchr(path->path, '/');
	size_t len = slash ? (size_t)(slash - path->path) + 1 : 0;
	char *prefix = strndup(path->path, len);

	if (!prefix)
		return bl_err_nomem(err);
	free(path->prefix);
	path->prefix = prefix;
	path->single = path->path + len;
	return 0;
}

void bl_cloud_path_done(struct bl_cloud_path *path)
{
	int saved = errno;

	free(path->prefix);
	*path = (struct bl_cloud_path){0};
	errno = saved;
}

const char *bl_cloud_path_name(const struct bl_cloud_path *path, const char *key, long long size)
{
	size_t len = strlen(path->prefix);
	size_t key_len = strlen(key);

	if (strncmp(key, path->prefix, len) != 0)
		return NULL;
	if (key_len > 0 && key[key_len - 1] == '/' && size == 0)
		return NULL;
	return key + len;
}

/* ---- Pages ---- */

void bl_cloud_pages_done(struct bl_cloud_pages *pages)
{
	int saved = errno;

	free(pages->token);
	free(pages->seen);
	*pages = (struct bl_cloud_pages){0};
	errno = saved;
}

static int endless(struct bl_err *err)
{
	return bl_cloud_fail(err, EIO,
			     "the listing does not come to its end: the origin gives page after "
			     "page; narrow the source's path, or tell the origin's operator");
}

int bl_cloud_pages_next(struct bl_cloud_pages *pages, const char *next, size_t names,
			struct bl_err *err)
{
	char *token = NULL;

	if (pages->pages++ == 0)
		pages->began = bl_retry_now();
	pages->empty = names ? 0 : pages->empty + 1;
	pages->more = next && *next;
	if (!pages->more)
		return 0;
	if (strlen(next) > BL_CLOUD_TOKEN_MAX || pages->pages >= BL_CLOUD_PAGES ||
	    pages->empty >= BL_CLOUD_EMPTY_PAGES ||
	    bl_retry_now() - pages->began > BL_CLOUD_LISTING_TIME ||
	    (pages->token && strcmp(pages->token, next) == 0) ||
	    (pages->seen && strcmp(pages->seen, next) == 0))
		return endless(err);
	/* Brent's way: a mark kept from a page whose number is a power of two is met again in any
	 * circle, by the time that it was gone round thrice. */
	if ((pages->pages & (pages->pages - 1)) == 0) {
		free(pages->seen);
		pages->seen = strdup(next);
		if (!pages->seen)
			return bl_err_nomem(err);
	}
	token = strdup(next);
	if (!token)
		return bl_err_nomem(err);
	free(pages->token);
	pages->token = token;
	return 0;
}
