// SPDX-License-Identifier: Apache-2.0
#include "common/source.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

#define LOWER_DIGITS "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER	     "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define BUCKET_CHARS LOWER_DIGITS UPPER "._-"
#define SUPPORTED    "azure://, bt://, cw://, file://, gs://, hf://, https://, r2://, s3://"

#define HF_NAME_MAX  96
#define BUCKET_MIN   3
#define BUCKET_MAX   222 /* Google's, with dots; the others are shorter */
#define LABEL_MAX    63	 /* of a DNS name: accounts stand in one */
#define REVISION_MAX 255

static const char *const scheme_names[] = {
	[BL_SCHEME_HF] = "hf",	     [BL_SCHEME_S3] = "s3",	  [BL_SCHEME_GS] = "gs",
	[BL_SCHEME_AZURE] = "azure", [BL_SCHEME_R2] = "r2",	  [BL_SCHEME_CW] = "cw",
	[BL_SCHEME_BT] = "bt",	     [BL_SCHEME_HTTPS] = "https", [BL_SCHEME_FILE] = "file",
};

static const char *const formats[] = {
	[BL_SCHEME_HF] = "hf://owner/repo[@revision]",
	[BL_SCHEME_S3] = "s3://bucket/path",
	[BL_SCHEME_GS] = "gs://bucket/path",
	[BL_SCHEME_AZURE] = "azure://account/container/path",
	[BL_SCHEME_R2] = "r2://account_id.bucket/path",
	[BL_SCHEME_CW] = "cw://bucket[/path]",
	[BL_SCHEME_BT] = "bt://project[@revision][/checkpoint]",
	[BL_SCHEME_HTTPS] = "https://hostname/path",
	[BL_SCHEME_FILE] = "file:///path",
};

const char *bl_weights_scheme_name(enum bl_scheme scheme)
{
	return scheme_names[scheme];
}

static int fault(const struct bl_source *source, const char *what, struct bl_err *err)
{
	return bl_err_config(err, "%s; the format is %s", what, formats[source->scheme]);
}

/* ---- Texts ---- */

bool bl_source_has_control(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f))
			return true;
	return false;
}

const char *bl_source_path_fault(const char *path)
{
	for (const char *part = path;;) {
		size_t len = strcspn(part, "/");

		if (len == 0)
			return "has an empty part (\"//\")";
		if ((len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return "has a part that is \".\" or \"..\"";
		if (len > NAME_MAX)
			return "has a part of more than 255 bytes";
		if (part[len] == '\0')
			return NULL;
		part += len + 1;
	}
}

/* A name of min to max of these characters that starts and ends with a letter, a digit or "_". */
static bool is_name(const char *name, const char *characters, size_t min, size_t max)
{
	size_t len = strlen(name);

	return len >= min && len <= max && strspn(name, characters) == len &&
	       !strchr("-.", name[0]) && !strchr("-.", name[len - 1]) && !strstr(name, "..");
}

/* As `git check-ref-format` has it, but for what the length bounds. */
static bool is_revision(const char *text)
{
	size_t len = strlen(text);

	return len > 0 && len <= REVISION_MAX && !strpbrk(text, " ~^:?*[\\") &&
	       !strstr(text, "..") && !strstr(text, "@{") && !strstr(text, "/.") &&
	       text[0] != '-' && text[0] != '.' && text[len - 1] != '.' &&
	       !bl_source_path_fault(text);
}

/* Sets *ret to a copy of len bytes. */
static int keep(char **ret, const char *text, size_t len, struct bl_err *err)
{
	*ret = strndup(text, len);
	return *ret ? 0 : bl_err_nomem(err);
}

/* ---- Schemes: each gets what follows "scheme://", which holds no control characters ---- */

static int set_revision(struct bl_source *source, const char *at, const char *older,
			struct bl_err *err)
{
	if (at && older)
		return bl_err_config(err, "the source has one already, after its @; write only one "
					  "of them");
	if (!at && !older)
		return 0;
	if (!is_revision(at ? at : older))
		return bl_err_config(err, "%sis no name of a branch, tag or commit",
				     at ? "the revision " : "");
	return keep(&source->revision, at ? at : older, strlen(at ? at : older), err);
}

static bool is_hf_name(const char *name)
{
	size_t len = strlen(name);

	return is_name(name, BUCKET_CHARS, 1, HF_NAME_MAX) && !strstr(name, "--") &&
	       !(len > 4 && strcasecmp(name + len - 4, ".git") == 0);
}

static int parse_hf(struct bl_source *source, const char *rest, const char *older,
		    struct bl_err *err)
{
	const char *at = strchr(rest, '@');
	size_t len = at ? (size_t)(at - rest) : strlen(rest);
	int r = keep(&source->bucket, rest, len, err);
	auto_free char *owner = NULL;
	const char *slash;

	if (r < 0)
		return r;
	slash = strchr(source->bucket, '/');
	if (!slash)
		return fault(source, "names no owner of the repository", err);
	r = keep(&owner, source->bucket, (size_t)(slash - source->bucket), err);
	if (r < 0)
		return r;
	if (!is_hf_name(owner) || !is_hf_name(slash + 1))
		return fault(source, "is no Hugging Face repository", err);
	return set_revision(source, at ? at + 1 : NULL, older, err);
}

/* The key or folder after the bucket: "" where there is none; one trailing slash is dropped. */
static int set_path(struct bl_source *source, const char *path, struct bl_err *err)
{
	size_t len = strlen(path);
	const char *what;
	int r;

	if (len > 0 && path[len - 1] == '/')
		len--;
	r = keep(&source->path, path, len, err);
	if (r < 0 || len == 0)
		return r < 0 || *path == '\0' ? r
					      : fault(source, "has an empty part (\"//\")", err);
	what = bl_source_path_fault(source->path);
	return what ? fault(source, what, err) : 0;
}

/* Everything up to the first slash goes to *ret; returns where the path begins, or NULL. */
static const char *take_part(const char *rest, char **ret, struct bl_err *err)
{
	size_t len = strcspn(rest, "/");

	if (keep(ret, rest, len, err) < 0)
		return NULL;
	return rest[len] == '/' ? rest + len + 1 : rest + len;
}

static int parse_bucket(struct bl_source *source, const char *rest, const char *older,
			struct bl_err *err)
{
	const char *path = take_part(rest, &source->bucket, err);
	bool in_host = source->scheme == BL_SCHEME_CW || source->scheme == BL_SCHEME_AZURE;

	(void)older;
	if (!path)
		return -ENOMEM;
	/* Azure's own containers: $root, $web, $logs. */
	if (source->scheme == BL_SCHEME_AZURE && strncmp(source->bucket, "$", 1) == 0 &&
	    is_name(source->bucket + 1, LOWER_DIGITS, BUCKET_MIN, LABEL_MAX))
		return set_path(source, path, err);
	if (!is_name(source->bucket, in_host ? LOWER_DIGITS "-" : BUCKET_CHARS, BUCKET_MIN,
		     in_host ? LABEL_MAX : BUCKET_MAX))
		return fault(source,
			     source->scheme == BL_SCHEME_AZURE ? "is no container's name"
							       : "is no bucket's name",
			     err);
	return set_path(source, path, err);
}

static int parse_azure(struct bl_source *source, const char *rest, const char *older,
		       struct bl_err *err)
{
	const char *container = take_part(rest, &source->account, err);

	if (!container)
		return -ENOMEM;
	if (!is_name(source->account, LOWER_DIGITS, BUCKET_MIN, 24))
		return fault(source, "is no storage account's name", err);
	if (*container == '\0')
		return fault(source, "names no container", err);
	return parse_bucket(source, container, older, err);
}

/* Split at the first dot: an account id has none, a bucket of an S3-like server may have. */
static int parse_r2(struct bl_source *source, const char *rest, const char *older,
		    struct bl_err *err)
{
	size_t len = strcspn(rest, "./");
	int r;

	if (rest[len] != '.')
		return fault(source, "has no period between account id and bucket", err);
	r = keep(&source->account, rest, len, err);
	if (r < 0)
		return r;
	if (!is_name(source->account, LOWER_DIGITS "-", 1, LABEL_MAX))
		return fault(source, "is no account id (small letters and digits)", err);
	return parse_bucket(source, rest + len + 1, older, err);
}

static int parse_bt(struct bl_source *source, const char *rest, const char *older,
		    struct bl_err *err)
{
	size_t len = strcspn(rest, "@/");
	const char *path = rest + len;
	int r = keep(&source->bucket, rest, len, err);

	(void)older;
	if (r < 0)
		return r;
	if (!is_name(source->bucket, BUCKET_CHARS, 1, BUCKET_MAX))
		return fault(source, "is no training project's name", err);
	if (*path == '@') {
		path = take_part(path + 1, &source->revision, err);
		if (!path)
			return -ENOMEM;
		if (!is_name(source->revision, BUCKET_CHARS, 1, REVISION_MAX))
			return fault(source, "the revision is no training job's id", err);
	} else if (*path == '/') {
		path++;
	}
	if (strchr(path, '@'))
		return fault(source, "has its @ in the wrong place", err);
	if (*path == '\0')
		return 0;
	return set_path(source, path, err);
}

static int parse_file(struct bl_source *source, const char *rest, const char *older,
		      struct bl_err *err)
{
	size_t len = strlen(rest);
	const char *what;
	int r;

	(void)older;
	if (rest[0] != '/')
		return fault(source, "names a host; a file is one of this machine", err);
	if (len == 1)
		return fault(source, "is the root directory", err);
	if (rest[len - 1] == '/')
		len--;
	r = keep(&source->path, rest, len, err);
	if (r < 0)
		return r;
	what = bl_source_path_fault(source->path + 1);
	return what ? fault(source, what, err) : 0;
}

static bool is_host(const char *host, size_t len)
{
	if (len > 2 && host[0] == '[' && host[len - 1] == ']')
		return strspn(host + 1, "0123456789abcdefABCDEF:.") == len - 2;
	return len > 0 && len <= 253 && strspn(host, LOWER_DIGITS UPPER "._-") >= len &&
	       host[0] != '.' && host[0] != '-';
}

static bool is_port(const char *text, size_t len)
{
	unsigned value = 0;

	for (size_t i = 0; i < len; i++) {
		if (i == 5 || !isdigit((unsigned char)text[i]))
			return false;
		value = value * 10 + (unsigned)(text[i] - '0');
	}
	return len > 0 && value > 0 && value <= 65535;
}

/* A "." or ".." part, also in percent-encoding: whoever sends it would resolve it. */
static bool is_dots(const char *part, size_t len)
{
	size_t dots = 0;

	for (size_t i = 0; i < len; dots++) {
		if (part[i] == '.')
			i++;
		else if (len - i >= 3 && strncasecmp(part + i, "%2e", 3) == 0)
			i += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

/* The path of a URL with its query: what is wrong with it, or NULL. */
static const char *url_path_fault(const char *path)
{
	size_t end = strcspn(path, "?");

	if (end <= 1 || path[end - 1] == '/')
		return "names no file: the path is empty or ends with \"/\"";
	for (const char *c = path; *c; c++) {
		if (*c == '%') {
			if (!isxdigit((unsigned char)c[1]) || !isxdigit((unsigned char)c[2]))
				return "has a % that two hexadecimal digits do not follow";
			if (c[1] < '2' || (c[1] == '7' && (c[2] | 0x20) == 'f'))
				return "has a control character in percent-encoding";
		} else if (!isalnum((unsigned char)*c) && !strchr("-._~!$&'()*+,;=:/?", *c)) {
			return "has a character that must be percent-encoded";
		}
	}
	for (const char *part = path + 1; part < path + end;) {
		size_t len = strcspn(part, "/?");

		if (is_dots(part, len))
			return "has a part that is \".\" or \"..\"";
		part += len + 1;
	}
	return NULL;
}

static int parse_https(struct bl_source *source, const char *rest, const char *older,
		       struct bl_err *err)
{
	size_t authority = strcspn(rest, "/?#");
	size_t host = rest[0] == '[' ? strcspn(rest, "]") + 1 : strcspn(rest, ":/?#");
	const char *what;

	(void)older;
	if (strchr(rest, '#'))
		return fault(source, "has a fragment (\"#\"), which no server ever sees", err);
	if (host > authority || !is_host(rest, host))
		return fault(source, "has no host name", err);
	if (host < authority &&
	    (rest[host] != ':' || !is_port(rest + host + 1, authority - host - 1)))
		return fault(source, "has a port that is no number from 1 to 65535", err);
	what = url_path_fault(rest + authority);
	return what ? fault(source, what, err)
		    : keep(&source->url, source->text, strlen(source->text), err);
}

typedef int parser(struct bl_source *source, const char *rest, const char *older,
		   struct bl_err *err);

static parser *const parsers[] = {
	[BL_SCHEME_HF] = parse_hf,     [BL_SCHEME_S3] = parse_bucket,
	[BL_SCHEME_GS] = parse_bucket, [BL_SCHEME_AZURE] = parse_azure,
	[BL_SCHEME_R2] = parse_r2,     [BL_SCHEME_CW] = parse_bucket,
	[BL_SCHEME_BT] = parse_bt,     [BL_SCHEME_HTTPS] = parse_https,
	[BL_SCHEME_FILE] = parse_file,
};

/* ---- The whole ---- */

/* The scheme into *ret; returns what follows "scheme://", NULL with *err filled. */
static const char *take_scheme(const char *text, enum bl_scheme *ret, struct bl_err *err)
{
	const char *colon = strstr(text, "://");
	size_t len = colon ? (size_t)(colon - text) : 0;

	if (!colon && strchr("/.~", text[0])) {
		(void)bl_err_config(err, "is a path; write a directory of this machine as "
					 "file:///path");
		return NULL;
	}
	*ret = BL_SCHEME_HF;
	if (!colon)
		return text;
	for (size_t i = 0; i < sizeof(scheme_names) / sizeof(scheme_names[0]); i++) {
		if (strncmp(text, scheme_names[i], len) == 0 && scheme_names[i][len] == '\0') {
			*ret = (enum bl_scheme)i;
			return colon + 3;
		}
	}
	(void)bl_err_config(err,
			    "Unsupported source scheme '%.*s://'. Supported schemes: " SUPPORTED,
			    (int)(len > 40 ? 40 : len), text);
	return NULL;
}

/* The identity of the source: always with its scheme, never with a revision. */
static int set_text(struct bl_source *source, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(2 * BL_MAX_SOURCE);
	const char *path = source->path && *source->path ? source->path : NULL;
	int r = bl_buf_putf(&text, err, "%s://", scheme_names[source->scheme]);

	if (r == 0 && source->account)
		r = bl_buf_putf(&text, err, "%s%s", source->account,
				source->scheme == BL_SCHEME_R2 ? "." : "/");
	if (r == 0 && source->bucket)
		r = bl_buf_puts(&text, source->bucket, err);
	if (r == 0 && path)
		r = bl_buf_putf(&text, err, "%s%s", source->bucket ? "/" : "", path);
	if (r < 0)
		return r;
	source->text = bl_buf_take(&text);
	return 0;
}

int bl_source_parse(const char *text, const char *revision, struct bl_source *ret,
		    struct bl_err *err)
{
	auto_source source = {0};
	const char *rest;
	int r;

	if (*text == '\0')
		return bl_err_config(err, "is empty");
	if (strlen(text) > BL_MAX_SOURCE)
		return bl_err_config(err, "is longer than %d bytes", BL_MAX_SOURCE);
	if (bl_source_has_control(text))
		return bl_err_config(err, "has a control character");
	rest = take_scheme(text, &source.scheme, err);
	if (!rest)
		return -EINVAL;
	if (revision && source.scheme != BL_SCHEME_HF)
		return bl_err_config(err,
				     "is only valid for Hugging Face sources (hf://), the "
				     "source is %s://; remove it",
				     scheme_names[source.scheme]);
	if (strchr(rest, '@') && source.scheme == BL_SCHEME_HTTPS)
		return bl_err_config(err, "has an @: a name or password in a URL is not supported "
					  "(use auth), and in a path it is written %%40");
	if (strchr(rest, '@') && source.scheme != BL_SCHEME_HF && source.scheme != BL_SCHEME_BT)
		return bl_err_config(err,
				     "The @ revision syntax is only valid for HuggingFace sources "
				     "(hf://). %s:// does not support revisions.",
				     scheme_names[source.scheme]);
	if (source.scheme == BL_SCHEME_HTTPS)
		r = keep(&source.text, text, strlen(text), err);
	else
		r = 0;
	if (r == 0)
		r = parsers[source.scheme](&source, rest, revision, err);
	if (r == 0 && !source.text)
		r = set_text(&source, err);
	if (r < 0)
		return r;
	*ret = source;
	source = (struct bl_source){0};
	return 0;
}

void bl_source_done(struct bl_source *source)
{
	int saved = errno;

	free(source->text);
	free(source->account);
	free(source->bucket);
	free(source->path);
	free(source->revision);
	free(source->url);
	*source = (struct bl_source){0};
	errno = saved;
}

int bl_source_write(struct bl_buf *buf, const struct bl_source *source, struct bl_err *err)
{
	if (!source->revision)
		return bl_buf_puts(buf, source->text, err);
	return bl_buf_putf(buf, err, "%s://%s@%s%s%s", scheme_names[source->scheme], source->bucket,
			   source->revision, source->path ? "/" : "",
			   source->path ? source->path : "");
}
