/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/s3_answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/xml.h"

/* ---- A page of a listing ---- */

struct listing {
	struct bl_s3_page page;
	struct bl_s3_object now; /* the <Contents> that is being read */
	bool listing, encoded, truncated, says_truncated, has_size;
};

static void object_done(struct bl_s3_object *object)
{
	free(object->key);
	free(object->etag);
	free(object->storage);
	*object = (struct bl_s3_object){0};
}

void bl_s3_page_done(struct bl_s3_page *page)
{
	int saved = errno;

	for (size_t i = 0; i < page->count; i++)
		object_done(&page->objects[i]);
	free(page->objects);
	free(page->next);
	*page = (struct bl_s3_page){0};
	errno = saved;
}

static int keep(char **to, const char *text, struct bl_err *err)
{
	free(*to);
	*to = strdup(text);
	return *to ? 0 : bl_err_nomem(err);
}

static int add_object(struct listing *listing, struct bl_err *err)
{
	struct bl_s3_page *page = &listing->page;

	if (!listing->now.key || !listing->has_size)
		return bl_cloud_fail(err, EBADMSG, "a listing with an object without key or size");
	if (page->count == BL_S3_PAGE_MAX)
		return bl_cloud_fail(err, EBADMSG, "a page of more than %d keys", BL_S3_PAGE_MAX);
	if (!page->objects) {
		page->objects = calloc(BL_S3_PAGE_MAX, sizeof(*page->objects));
		if (!page->objects)
			return bl_err_nomem(err);
	}
	page->objects[page->count++] = listing->now;
	listing->now = (struct bl_s3_object){0};
	listing->has_size = false;
	return 0;
}

/* An element of <Contents>. */
static int on_member(struct listing *listing, const char *name, const char *text,
		     struct bl_err *err)
{
	struct bl_s3_object *now = &listing->now;

	if (strcmp(name, "Key") == 0)
		return keep(&now->key, text, err);
	if (strcmp(name, "Size") == 0) {
		now->size = bl_http_parse_length(text);
		listing->has_size = now->size >= 0;
	} else if (strcmp(name, "ETag") == 0) {
		free(now->etag);
		now->etag = bl_cloud_etag(text);
	} else if (strcmp(name, "StorageClass") == 0 && strcmp(text, "STANDARD") != 0) {
		return keep(&now->storage, text, err);
	} else if (strcmp(name, "ChecksumAlgorithm") == 0) {
		now->has_checksum = true;
	}
	return 0;
}

/* A word that is not understood must not end the listing: what follows would be missing in silence. */
static int on_truncated(struct listing *listing, const char *text, struct bl_err *err)
{
	listing->says_truncated = true;
	listing->truncated = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
	if (listing->truncated || strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
		return 0;
	return bl_cloud_fail(err, EBADMSG, "a listing whose IsTruncated is neither true nor false");
}

static int on_element(void *ctx, const char *path, const char *text, size_t len, struct bl_err *err)
{
	static const char root[] = "ListBucketResult";
	static const char contents[] = "ListBucketResult/Contents";
	struct listing *listing = ctx;
	const char *name = path + strlen(root) + 1;

	(void)len;
	if (strncmp(path, contents, strlen(contents)) == 0) {
		const char *member = path + strlen(contents);

		if (*member == '\0')
			return add_object(listing, err);
		return *member == '/' ? on_member(listing, member + 1, text, err) : 0;
	}
	if (strcmp(path, root) == 0) {
		listing->listing = true;
		return 0;
	}
	if (strncmp(path, root, strlen(root)) != 0)
		return 0;
	if (strcmp(name, "IsTruncated") == 0)
		return on_truncated(listing, text, err);
	if (strcmp(name, "EncodingType") == 0)
		listing->encoded = strcmp(text, "url") == 0;
	else if (strcmp(name, "NextContinuationToken") == 0)
		return keep(&listing->page.next, text, err);
	return 0;
}

/* Some servers say how keys are encoded behind the keys: so they are decoded at the end. */
static int decode(struct bl_s3_page *page, struct bl_err *err)
{
	for (size_t i = 0; i < page->count; i++)
		if (bl_cloud_unescape(page->objects[i].key, true) < 0)
			return bl_cloud_fail(err, EBADMSG,
					     "the listing has a key with a NUL: it "
					     "is refused whole");
	return 0;
}

int bl_s3_page_parse(const char *xml, size_t len, struct bl_s3_page *ret, struct bl_err *err)
{
	struct listing listing = {0};
	auto_s3_page page = {0};
	int r = bl_xml_parse(xml, len, on_element, &listing, err);

	page = listing.page;
	object_done(&listing.now);
	if (r == 0 && !listing.listing)
		r = bl_cloud_fail(err, EBADMSG, "the answer is no listing (ListBucketResult)");
	if (!listing.says_truncated)
		listing.truncated = page.next != NULL;
	if (r == 0 && listing.truncated && !page.next)
		r = bl_cloud_fail(err, EBADMSG, "a listing that goes on but does not say where");
	if (r == 0 && listing.encoded)
		r = decode(&page, err);
	if (r < 0)
		return r;
	if (!listing.truncated) {
		free(page.next);
		page.next = NULL;
	}
	*ret = page;
	page = (struct bl_s3_page){0};
	return 0;
}

/* ---- An error ---- */

static int on_error_element(void *ctx, const char *path, const char *text, size_t len,
			    struct bl_err *err)
{
	struct bl_s3_error *error = ctx;

	(void)err;
	if (strcmp(path, "Error/Code") == 0 && bl_cloud_is_code(text))
		snprintf(error->code, sizeof(error->code), "%s", text);
	else if (strcmp(path, "Error/Region") == 0 && len < sizeof(error->region) &&
		 bl_cloud_is_word(text, sizeof(error->region) - 1, "-"))
		snprintf(error->region, sizeof(error->region), "%s", text);
	return 0;
}

void bl_s3_error_parse(const char *xml, size_t len, struct bl_s3_error *ret)
{
	*ret = (struct bl_s3_error){0};
	(void)bl_xml_parse(xml, len, on_error_element, ret, NULL);
}
