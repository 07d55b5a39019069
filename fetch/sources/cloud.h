/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the object stores have in common: secrets that are JSON, keys that become names, listings in
 * pages. Errors say what an origin answered by its error code, never by its own text: that text is
 * the origin's to write, and could hold what we sent it.
 */
#ifndef BL_FETCH_SOURCES_CLOUD_H
#define BL_FETCH_SOURCES_CLOUD_H

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"
#include "fetch/sources/source.h"

struct bl_err;

#define BL_CLOUD_PAGES	      20000   /* pages of one listing: a million names in pages of 50 */
#define BL_CLOUD_EMPTY_PAGES  1000    /* of them in a row without a name */
#define BL_CLOUD_LISTING_TIME 3600000 /* ms from the first page to the last */
#define BL_CLOUD_TOKEN_MAX    8192    /* bytes of the mark by which the next page is asked for */
#define BL_CLOUD_CODE_MAX     64

/* Fills *err with the exit status that belongs to errnum (see source.h) and returns -errnum. */
int bl_cloud_fail(struct bl_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Where an answer could not be read: *err, which says why, is put between the source and the next
 * step. Returns rc.
 */
int bl_cloud_unreadable(const char *source, int rc, struct bl_err *err);

/* Puts the source, and the name of the secret where there is one, before what is wrong with its
 * credential. Returns rc. */
int bl_cloud_wrong_credential(const struct bl_weights_item *item, int rc, struct bl_err *err);

/* The secret's JSON object. `what` is for messages, "S3 credentials". */
int bl_cloud_parse_secret(const char *secret, const char *what, bl_json **ret, struct bl_err *err);

/*
 * A text of the secret, a copy of the caller's. 1, 0 where it is absent, null or empty, -EINVAL where it
 * is no text or holds a control character (trailing line breaks are left out).
 */
int bl_cloud_secret_text(const bl_json *secret, const char *key, char **ret, struct bl_err *err);

/* Decodes %XX (and '+' as a space where plus is true) in place. -EINVAL for a NUL. */
int bl_cloud_unescape(char *text, bool plus);

/* An ETag as it stands in a header: quotes are added where a listing leaves them out. The caller
 * frees; NULL for an empty, weak or impossible one. */
char *bl_cloud_etag(const char *text);

/* Whether text can be shown as an error's code: letters, a dot, a colon, an underscore; bounded. */
bool bl_cloud_is_code(const char *text);

/* Whether text is 1 to max of the characters a-z, A-Z, 0-9 and those in `more`. */
bool bl_cloud_is_word(const char *text, size_t max, const char *more);

/* The domain in which Amazon's services of a region are: those of China and of the European Sovereign
 * Cloud have their own. */
const char *bl_cloud_aws_domain(const char *region);

/*
 * How a source's path stands for keys. A path is one object if a key is exactly that, else a
 * folder: all keys beneath "path/". `prefix` is what goes before each name to give its key.
 */
struct bl_cloud_path {
	const char *path;   /* borrowed; "" is the whole bucket */
	char *prefix;	    /* owned: "" or ends in '/' */
	const char *single; /* the one object's name, within path; NULL for a folder */
};

/* As a folder. */
int bl_cloud_path_init(struct bl_cloud_path *path, const char *text, struct bl_err *err);
/* A listing begins: as a folder again, whatever an earlier one found. */
int bl_cloud_path_begin(struct bl_cloud_path *path, struct bl_err *err);
/* It turned out to be one object. */
int bl_cloud_path_set_single(struct bl_cloud_path *path, struct bl_err *err);
void bl_cloud_path_done(struct bl_cloud_path *path);
/* The name for a key of the listing: NULL where it does not lie beneath the path, or is the mark
 * that some tools make for an empty folder (a key that ends in '/', without content). */
const char *bl_cloud_path_name(const struct bl_cloud_path *path, const char *key, long long size);

/* The way through a listing. */
struct bl_cloud_pages {
	char *token; /* owned; asks for the next page; NULL for the first */
	char *seen;  /* owned; the mark of an earlier page: whoever sees it again goes in circles */
	size_t pages, empty;
	int64_t began; /* ms, bl_retry_now() after the first page */
	bool more;
};
#define BL_CLOUD_PAGES_INIT ((struct bl_cloud_pages){.more = true})
void bl_cloud_pages_done(struct bl_cloud_pages *pages);
#define auto_cloud_pages __attribute__((cleanup(bl_cloud_pages_done))) struct bl_cloud_pages
/* After a page with so many names: `next` is the mark of the next (NULL or "" after the last).
 * -EIO where the listing does not get on: the same mark again, too many pages, too long a time. */
int bl_cloud_pages_next(struct bl_cloud_pages *pages, const char *next, size_t names,
			struct bl_err *err);

#endif
