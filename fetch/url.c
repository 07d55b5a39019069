/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"

static void free_curlu(CURLU **handle)
{
	curl_url_cleanup(*handle);
}

static void free_curl_text(char **text)
{
	curl_free(*text);
}

#define auto_curlu    __attribute__((cleanup(free_curlu))) CURLU *
#define auto_curltext __attribute__((cleanup(free_curl_text))) char *

void bl_url_done(struct bl_url *url)
{
	int saved = errno;

	free(url->text);
	free(url->scheme);
	free(url->host);
	free(url->path);
	free(url->query);
	free(url->authority);
	free(url->origin);
	*url = (struct bl_url){0};
	errno = saved;
}

/* Where a message may show a URL at all, it ends before the query, and before a password. */
static int shown_length(const char *text)
{
	const char *host = strstr(text, "://");
	size_t len = strcspn(text, "?#");

	/* Behind a "?" or "#" too: there a password may have one. */
	if (strchr(text, '@'))
		len = host ? (size_t)(host - text) + 3 : 0;
	return len > 200 ? 200 : (int)len;
}

static int check_text(const char *text, struct bl_err *err)
{
	size_t len = strlen(text);

	if (len > BL_URL_MAX)
		return bl_err_set(err, BL_EX_REFUSED, EPERM, "a URL of more than %d bytes",
				  BL_URL_MAX);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c == 0x7f || c == '\\')
			return bl_err_set(
				err, BL_EX_REFUSED, EPERM,
				"'%.*s': a control character, space or backslash in a URL",
				shown_length(text), text);
	}
	return 0;
}

static int get_part(CURLU *handle, CURLUPart part, unsigned flags, char **ret, struct bl_err *err)
{
	auto_curltext text = NULL;
	CURLUcode rc = curl_url_get(handle, part, &text, flags);

	if (rc == CURLUE_NO_QUERY)
		return 0;
	if (rc != CURLUE_OK)
		return bl_err_set(err, BL_EX_REFUSED, EPERM, "a URL without %s",
				  part == CURLUPART_HOST ? "a host" : "all its parts");
	*ret = strdup(text);
	return *ret ? 0 : bl_err_nomem(err);
}

/* Lower case, no brackets, no trailing dot: one spelling a host. */
static void normalise_host(char *host)
{
	size_t len = strlen(host);

	for (char *c = host; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		memmove(host, host + 1, len - 2);
		host[len - 2] = '\0';
	} else if (len > 1 && host[len - 1] == '.') {
		host[len - 1] = '\0';
	}
}

/*
 * A name is judged as it is written, so it is looked up as it is written too: libcurl would make
 * digits or dots of other scripts an address only after the judgement. Such names have an ASCII form.
 */
static int check_host(const char *host, struct bl_err *err)
{
	size_t len = strlen(host);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)host[i] <= ' ' || (unsigned char)host[i] >= 0x7f)
			return bl_err_set(err, BL_EX_REFUSED, EPERM,
					  "a host's name must be written in ASCII (xn--...)");
	if (len > 255 || host[0] == '.' || strstr(host, ".."))
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "a host's name has an empty part, or is too long");
	return 0;
}

/*
 * A name whose last part begins with a digit is an address to some reader of it ("0x7f.1", "1.2.3.08"),
 * and a dot behind it ("0x7f.1.") hides that from libcurl once, not the second time. None such is a name
 * of DNS; what is an address has been written as a.b.c.d by now.
 */
static int check_number(const char *host, struct bl_err *err)
{
	const char *dot = strrchr(host, '.');
	const char *last = dot ? dot + 1 : host;
	struct in_addr address;

	if (*last < '0' || *last > '9' || strchr(host, ':') ||
	    inet_pton(AF_INET, host, &address) == 1)
		return 0;
	return bl_err_set(err, BL_EX_REFUSED, EPERM,
			  "'%.200s' is neither a host's name nor an address a.b.c.d", host);
}

static int describe_origin(struct bl_url *url, struct bl_err *err)
{
	bool bracketed = strchr(url->host, ':') != NULL;
	bool standard = url->port == (strcmp(url->scheme, "https") ? 80 : 443);
	const char *open = bracketed ? "[" : "", *close = bracketed ? "]" : "";

	if (asprintf(&url->origin, "%s://%s%s%s:%u", url->scheme, open, url->host, close,
		     url->port) < 0) {
		url->origin = NULL;
		return bl_err_nomem(err);
	}
	int rc = standard ? asprintf(&url->authority, "%s%s%s", open, url->host, close)
			  : asprintf(&url->authority, "%s%s%s:%u", open, url->host, close,
				     url->port);
	if (rc < 0) {
		url->authority = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

static int refuse_odd_parts(CURLU *handle, const char *text, struct bl_err *err)
{
	auto_curltext user = NULL;
	auto_curltext password = NULL;
	auto_curltext zone = NULL;

	if (curl_url_get(handle, CURLUPART_USER, &user, 0) == CURLUE_OK ||
	    curl_url_get(handle, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "a URL with a user name or password in it is refused; name a "
				  "secret in auth_secret_name instead");
	if (curl_url_get(handle, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK)
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "'%.*s': an address with a zone is refused", shown_length(text),
				  text);
	return 0;
}

static int take_apart(CURLU *handle, struct bl_url *url, struct bl_err *err)
{
	auto_free char *port = NULL;
	int rc;

	curl_url_set(handle, CURLUPART_FRAGMENT, NULL, 0);
	if ((rc = get_part(handle, CURLUPART_SCHEME, 0, &url->scheme, err)) < 0 ||
	    (rc = get_part(handle, CURLUPART_HOST, 0, &url->host, err)) < 0 ||
	    (rc = get_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port, err)) < 0 ||
	    (rc = get_part(handle, CURLUPART_PATH, 0, &url->path, err)) < 0 ||
	    (rc = get_part(handle, CURLUPART_QUERY, 0, &url->query, err)) < 0)
		return rc;
	if ((rc = check_host(url->host, err)) < 0)
		return rc;
	normalise_host(url->host);
	if ((rc = check_number(url->host, err)) < 0)
		return rc;
	url->port = (unsigned)strtoul(port, NULL, 10);
	if (url->port == 0)
		return bl_err_set(err, BL_EX_REFUSED, EPERM, "a URL with port 0 is refused");
	if ((rc = describe_origin(url, err)) < 0)
		return rc;
	/* Put together again from what was judged, so that no two readings of it differ. */
	if (asprintf(&url->text, "%s://%s%s%s%s", url->scheme, url->authority, url->path,
		     url->query ? "?" : "", url->query ? url->query : "") < 0) {
		url->text = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

int bl_url_parse(const char *text, const struct bl_url *base, struct bl_url *ret,
		 struct bl_err *err)
{
	int rc = check_text(text, err);

	if (rc < 0)
		return rc;
	auto_curlu handle = curl_url();
	if (!handle)
		return bl_err_nomem(err);
	if (base && curl_url_set(handle, CURLUPART_URL, base->text, 0) != CURLUE_OK)
		return bl_err_set(err, BL_EX_REFUSED, EPERM, "a base that is no URL");
	CURLUcode code = curl_url_set(handle, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME);
	if (code != CURLUE_OK)
		return bl_err_set(err, BL_EX_REFUSED, EPERM, "'%.*s' is not a URL",
				  shown_length(text), text);
	if ((rc = refuse_odd_parts(handle, text, err)) < 0)
		return rc;
	auto_curltext scheme = NULL;
	if (curl_url_get(handle, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0))
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "'%.*s': only https (and http where the operator allows it)",
				  shown_length(text), text);
	auto_url url = {0};
	if ((rc = take_apart(handle, &url, err)) < 0)
		return rc;
	*ret = url;
	url = (struct bl_url){0};
	return 0;
}

char *bl_url_encode(const char *text, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = strlen(text);
	char *encoded = len <= SIZE_MAX / 4 ? malloc(3 * len + 1) : NULL;
	char *to = encoded;

	if (!encoded)
		return NULL;
	for (const char *c = text; *c; c++) {
		unsigned char byte = (unsigned char)*c;
		bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
			     (byte >= '0' && byte <= '9') || strchr("-._~", byte) ||
			     (keep_slash && byte == '/');

		if (plain) {
			*to++ = *c;
			continue;
		}
		*to++ = '%';
		*to++ = digits[byte >> 4];
		*to++ = digits[byte & 15];
	}
	*to = '\0';
	return encoded;
}
