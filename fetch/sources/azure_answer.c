/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/azure_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/cloud.h"
#include "fetch/xml.h"

#define ROOT "EnumerationResults"
#define BLOB ROOT "/Blobs/Blob"

struct listing {
	struct bl_azure_page page;
	struct bl_azure_blob now; /* the <Blob> that is being read */
	bool listing, has_size;
};

static void blob_done(struct bl_azure_blob *blob)
{
	free(blob->name);
	free(blob->etag);
	*blob = (struct bl_azure_blob){0};
}

void bl_azure_page_done(struct bl_azure_page *page)
{
	int saved = errno;

	for (size_t i = 0; i < page->count; i++)
		blob_done(&page->blobs[i]);
	free(page->blobs);
	free(page->next);
	*page = (struct bl_azure_page){0};
	errno = saved;
}

static int add_blob(struct listing *listing, struct bl_err *err)
{
	struct bl_azure_page *page = &listing->page;

	if (!listing->now.name || (!listing->has_size && !listing->now.folder))
		return bl_cloud_fail(err, EBADMSG, "a listing with a blob without name or size");
	if (page->count == BL_AZURE_PAGE_MAX)
		return bl_cloud_fail(err, EBADMSG, "a page of more than %d blobs",
				     BL_AZURE_PAGE_MAX);
	if (!page->blobs) {
		page->blobs = calloc(BL_AZURE_PAGE_MAX, sizeof(*page->blobs));
		if (!page->blobs)
			return bl_err_nomem(err);
	}
	if (!listing->has_size)
		listing->now.size = 0;
	page->blobs[page->count++] = listing->now;
	listing->now = (struct bl_azure_blob){0};
	listing->has_size = false;
	return 0;
}

static int keep(char **to, const char *text, struct bl_err *err)
{
	free(*to);
	*to = strdup(text);
	return *to ? 0 : bl_err_nomem(err);
}

static int on_member(struct listing *listing, const char *member, const char *text,
		     struct bl_err *err)
{
	struct bl_azure_blob *now = &listing->now;

	if (strcmp(member, "Name") == 0)
		return keep(&now->name, text, err);
	if (strcmp(member, "Properties/Content-Length") == 0) {
		now->size = bl_http_parse_length(text);
		listing->has_size = now->size >= 0;
	} else if (strcmp(member, "Properties/Etag") == 0) {
		free(now->etag);
		now->etag = bl_cloud_etag(text);
	} else if (strcmp(member, "Properties/Content-MD5") == 0) {
		(void)bl_digest_from_base64(text, 16, &now->md5);
	} else if (strcmp(member, "Properties/ResourceType") == 0) {
		now->folder = now->folder || strcmp(text, "directory") == 0;
	} else if (strcasecmp(member, "Metadata/hdi_isfolder") == 0) {
		/* What is written in Go says "Hdi_isfolder": the store keeps the case of a header's name. */
		now->folder = now->folder || strcasecmp(text, "true") == 0;
	}
	return 0;
}

static int on_element(void *ctx, const char *path, const char *text, size_t len, struct bl_err *err)
{
	struct listing *listing = ctx;

	(void)len;
	if (strncmp(path, BLOB, strlen(BLOB)) == 0) {
		const char *member = path + strlen(BLOB);

		if (*member == '\0')
			return add_blob(listing, err);
		return *member == '/' ? on_member(listing, member + 1, text, err) : 0;
	}
	if (strcmp(path, ROOT) == 0)
		listing->listing = true;
	else if (strcmp(path, ROOT "/NextMarker") == 0 && *text)
		return keep(&listing->page.next, text, err);
	return 0;
}

int bl_azure_page_parse(const char *xml, size_t len, struct bl_azure_page *ret, struct bl_err *err)
{
	struct listing listing = {0};
	auto_azure_page page = {0};
	int r = bl_xml_parse(xml, len, on_element, &listing, err);

	page = listing.page;
	blob_done(&listing.now);
	if (r == 0 && !listing.listing)
		r = bl_cloud_fail(err, EBADMSG, "the answer is no listing (" ROOT ")");
	if (r < 0)
		return r;
	*ret = page;
	page = (struct bl_azure_page){0};
	return 0;
}
