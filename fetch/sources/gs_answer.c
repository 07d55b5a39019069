/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/sources/gs_answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/http.h"
#include "fetch/sources/cloud.h"

void bl_gs_page_done(struct bl_gs_page *page)
{
	bl_json_free(&page->json);
	free(page->objects);
	*page = (struct bl_gs_page){0};
}

/* Numbers of 64 bits are texts in this JSON. */
static int read_object(const bl_json *json, struct bl_gs_object *to, struct bl_err *err)
{
	const char *size = NULL;
	const char *digest = NULL;

	if (!bl_json_is_object(json) || bl_json_get_string(json, "name", &to->name, NULL) <= 0 ||
	    bl_json_get_string(json, "size", &size, NULL) <= 0 ||
	    (to->size = bl_http_parse_length(size)) < 0)
		return bl_cloud_fail(err, EBADMSG, "a listing with an object without name or size");
	if (bl_json_get_string(json, "generation", &to->generation, NULL) > 0 &&
	    bl_http_parse_length(to->generation) < 0)
		return bl_cloud_fail(err, EBADMSG, "a generation that is no number");
	if (bl_json_get_string(json, "md5Hash", &digest, NULL) > 0)
		(void)bl_digest_from_base64(digest, 16, &to->md5);
	if (bl_json_get_string(json, "crc32c", &digest, NULL) > 0)
		(void)bl_digest_from_base64(digest, 4, &to->crc32c);
	return 0;
}

static int read_page(struct bl_gs_page *page, struct bl_err *err)
{
	const bl_json *items = NULL;
	const bl_json *at;

	if (!bl_json_is_object(page->json) ||
	    bl_json_get_array(page->json, "items", &items, NULL) < 0 ||
	    bl_json_get_string(page->json, "nextPageToken", &page->next, NULL) < 0)
		return bl_cloud_fail(err, EBADMSG, "the answer is no listing");
	at = items ? bl_json_first(items) : NULL;
	if (items && bl_json_length(items) > BL_GS_PAGE_MAX)
		return bl_cloud_fail(err, EBADMSG, "a page of more than %d objects",
				     BL_GS_PAGE_MAX);
	page->objects = calloc(BL_GS_PAGE_MAX, sizeof(*page->objects));
	if (!page->objects)
		return bl_err_nomem(err);
	for (; at; at = bl_json_next(at)) {
		int r = read_object(at, &page->objects[page->count], err);

		if (r < 0)
			return r;
		page->count++;
	}
	return 0;
}

int bl_gs_page_parse(const char *text, size_t len, struct bl_gs_page *ret, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = BL_HTTP_MAX_BODY, .fractions = true};
	auto_gs_page page = {0};
	int r = bl_json_parse(text, len, &limits, &page.json, err);

	if (r == -EINVAL)
		return bl_cloud_fail(err, EBADMSG,
				     "the answer is no listing: it is not valid "
				     "JSON");
	if (r >= 0)
		r = read_page(&page, err);
	if (r < 0)
		return r;
	*ret = page;
	page = (struct bl_gs_page){0};
	return 0;
}
