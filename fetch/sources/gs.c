/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gs://bucket/path: Google Cloud Storage by its JSON API, or the operator's server of the same
 * protocol (endpoint "gs"). Every range names the generation that was listed, which pins it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/google.h"
#include "fetch/sources/cloud.h"
#include "fetch/sources/gs_answer.h"
#include "fetch/sources/source.h"

#define QUERY_MAX 32768
#define FIELDS	  "items(name,size,md5Hash,crc32c,generation),nextPageToken"

struct gs {
	const struct bl_source_input *input; /* borrowed */
	struct bl_google google;
	char *base; /* URL of the bucket's objects, ".../b/BUCKET/o" */
	struct bl_url url;
	struct bl_http_auth auth;
	struct bl_cloud_path path;
};

static void gs_close(void *state)
{
	struct gs *gs = state;

	bl_google_done(&gs->google);
	free(gs->base);
	bl_url_done(&gs->url);
	bl_cloud_path_done(&gs->path);
	free(gs);
}

static int take_credential(struct gs *gs, struct bl_err *err)
{
	const struct bl_weights_item *item = gs->input->item;

	if (item->auth_method == BL_AUTH_GCP_OIDC) {
		struct bl_oidc_google oidc = {
			.http = gs->input->http,
			.provider = item->gcp_oidc_workload_id_provider,
			.service_account = item->gcp_oidc_service_account,
			.identity_token = gs->input->identity_token,
		};

		bl_google_init_oidc(&gs->google, &oidc);
		return 0;
	}
	if (item->auth_method != BL_AUTH_CUSTOM_SECRET)
		return bl_cloud_fail(err, EINVAL,
				     "no credentials configured: need either OIDC config or "
				     "secret_id: add auth: {auth_method: CUSTOM_SECRET, "
				     "auth_secret_name: NAME}, or GCP_OIDC with its fields");
	if (!gs->input->secret)
		return bl_cloud_fail(err, EACCES,
				     "no credentials configured: this tenant has no secret "
				     "'%.100s'",
				     item->auth_secret_name);
	return bl_google_init_key(&gs->google, gs->input->http, gs->input->secret, err);
}

static int aim(struct gs *gs, struct bl_err *err)
{
	const struct bl_source *source = &gs->input->item->source;
	const char *endpoint = bl_net_endpoint(bl_http_net(gs->input->http), "gs");
	auto_free char *bucket = bl_url_encode(source->bucket, false);
	int r;

	if (!bl_cloud_is_word(source->bucket, 222, ".-_"))
		return bl_cloud_fail(err, EINVAL, "'%.100s' is no bucket's name; check the source",
				     source->bucket);
	if (!bucket ||
	    asprintf(&gs->base, "%s/storage/v1/b/%s/o",
		     endpoint ? endpoint : "https://storage.googleapis.com", bucket) < 0) {
		gs->base = NULL;
		return bl_err_nomem(err);
	}
	r = bl_url_parse(gs->base, NULL, &gs->url, err);
	gs->auth = (struct bl_http_auth){gs->url.origin, bl_google_sign, &gs->google};
	return r;
}

static int gs_open(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	const char *path = input->item->source.path;
	struct gs *gs = calloc(1, sizeof(*gs));
	int r;

	if (!gs)
		return bl_err_nomem(err);
	gs->input = input;
	r = bl_cloud_path_init(&gs->path, path ? path : "", err);
	if (r >= 0 && (r = take_credential(gs, err)) < 0)
		bl_cloud_wrong_credential(input->item, r, err);
	if (r >= 0)
		r = aim(gs, err);
	if (r < 0) {
		gs_close(gs);
		return r;
	}
	*ret = gs;
	return 0;
}

/* ---- Errors ---- */

static int tell(const struct gs *gs, int status, const char *name, struct bl_err *err)
{
	const char *source = gs->input->item->source.text;

	switch (status) {
	case 400:
		return bl_cloud_fail(
			err, EPERM, "%.200s%s%.100s: 400 Bad Request: Google does not give it; %s",
			source, *name ? ": " : "", name,
			*name ? "it may be encrypted by a key of the customer's own "
				"(CSEK), which cannot be named here: store it without"
			      : "check the bucket's name; or whoever asks has to pay (requester "
				"pays), which is not supported: switch that off");
	case 401:
		return bl_cloud_fail(err, EACCES,
				     "%.200s: 401 Unauthorized: Google does not accept the access "
				     "token; check that the service account still exists",
				     source);
	case 403:
		return bl_cloud_fail(err, EPERM,
				     "%.200s%s%.100s: 403 Forbidden: the service account needs "
				     "storage.objects.list and storage.objects.get "
				     "(roles/storage.objectViewer) on the bucket",
				     source, *name ? ": " : "", name);
	case 404:
		return bl_cloud_fail(err, ENOENT, "%.200s%s%.100s: 404 Not Found: check the %s",
				     source, *name ? ": " : "", name,
				     *name ? "object: this generation of it is gone"
					   : "bucket's spelling");
	default:
		return bl_source_explain(source, status, true, err);
	}
}

static int gs_explain(void *state, const struct bl_entry *entry, int status,
		      const struct bl_http_headers *answer, struct bl_err *err)
{
	(void)answer;
	/* A generation that is gone while it is read is a change, not a wrong path. */
	if (status == 404)
		return bl_source_explain(entry->path, 412, true, err);
	return tell(state, status, entry->path, err);
}

/* ---- Listing ---- */

static int list_page(struct gs *gs, const char *prefix, int most, const char *token,
		     struct bl_gs_page *page, struct bl_err *err)
{
	auto_buf url = BL_BUF_INIT(QUERY_MAX);
	auto_answer answer = {0};
	auto_free char *fields = bl_url_encode(FIELDS, false);
	auto_free char *encoded = bl_url_encode(prefix, false);
	auto_free char *encoded_token = token ? bl_url_encode(token, false) : NULL;
	int r;

	if (!fields || !encoded || (token && !encoded_token))
		return bl_err_nomem(err);
	r = bl_buf_putf(&url, err, "%s?prefix=%s&maxResults=%d&fields=%s", gs->base, encoded, most,
			fields);
	if (r >= 0 && token)
		r = bl_buf_putf(&url, err, "&pageToken=%s", encoded_token);
	if (r < 0)
		return r;
	struct bl_http_request request = {.url = url.data, .auth = &gs->auth};
	r = bl_http_perform(gs->input->http, &request, &answer, err);
	if (r >= 0 && answer.status != 200)
		return tell(gs, answer.status, "", err);
	if (r < 0) {
		bl_err_wrap(err, "%.200s: ", gs->input->item->source.text);
		return r;
	}
	r = bl_gs_page_parse(bl_buf_str(&answer.body), answer.body.len, page, err);
	return r < 0 ? bl_cloud_unreadable(gs->input->item->source.text, r, err) : r;
}

static int add(struct gs *gs, struct bl_manifest *manifest, const struct bl_gs_object *object,
	       struct bl_err *err)
{
	struct bl_entry entry = {
		.size = object->size,
		.generation = object->generation,
	};

	bl_manifest_promise(&entry, BL_DIGEST_MD5, &object->md5);
	bl_manifest_promise(&entry, BL_DIGEST_CRC32C, &object->crc32c);
	entry.path = gs->path.single ? gs->path.single
				     : bl_cloud_path_name(&gs->path, object->name, object->size);
	int r = entry.path ? bl_manifest_add(manifest, &entry, err) : 0;
	if (r < 0)
		bl_err_wrap(err, "%.150s: ", gs->input->item->source.text);
	return r;
}

/* The first name that begins so, behind pages without any; a page with none of them where there is none. */
static int list_first(struct gs *gs, const char *prefix, struct bl_gs_page *ret, struct bl_err *err)
{
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	int r = 0;

	while (pages.more && ret->count == 0 && r >= 0) {
		bl_gs_page_done(ret);
		r = list_page(gs, prefix, 1, pages.token, ret, err);
		if (r >= 0 && (r = bl_cloud_pages_next(&pages, ret->next, ret->count, err)) < 0)
			bl_err_wrap(err, "%.200s: ", gs->input->item->source.text);
	}
	return r;
}

/* As with S3: the first name that begins with the path tells whether it is one object. */
static int list_single(struct gs *gs, struct bl_manifest *manifest, struct bl_err *err)
{
	auto_gs_page page = {0};
	auto_gs_page inside = {0};
	int r = list_first(gs, gs->path.path, &page, err);

	/* Who may list a managed folder alone may ask for "path/" and not for "path". */
	if (r == -EPERM)
		return 0;
	if (r < 0 || page.count == 0 || strcmp(page.objects[0].name, gs->path.path) != 0)
		return r;
	if (page.objects[0].size == 0) {
		r = list_first(gs, gs->path.prefix, &inside, err);
		if (r < 0 || inside.count > 0)
			return r;
	}
	r = bl_cloud_path_set_single(&gs->path, err);
	if (r >= 0)
		r = add(gs, manifest, &page.objects[0], err);
	return r < 0 ? r : 1;
}

static int gs_list(void *state, struct bl_manifest *manifest, bool *credential, struct bl_err *err)
{
	struct gs *gs = state;
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	int r = bl_cloud_path_begin(&gs->path, err);

	if (r >= 0 && *gs->path.path)
		r = list_single(gs, manifest, err);
	*credential = true;
	if (r != 0)
		return r < 0 ? r : 0;
	while (pages.more && r >= 0) {
		auto_gs_page page = {0};

		r = list_page(gs, gs->path.prefix, BL_GS_PAGE_MAX, pages.token, &page, err);
		for (size_t i = 0; r >= 0 && i < page.count; i++)
			r = add(gs, manifest, &page.objects[i], err);
		if (r >= 0 && (r = bl_cloud_pages_next(&pages, page.next, page.count, err)) < 0)
			bl_err_wrap(err, "%.200s: ", gs->input->item->source.text);
	}
	return r;
}

/* ---- Bytes ---- */

static int gs_locate(void *state, const struct bl_entry *entry, bool again, struct bl_location *ret,
		     struct bl_err *err)
{
	struct gs *gs = state;
	auto_free char *key = NULL;
	auto_free char *encoded = NULL;

	*ret = BL_LOCATION_INIT;
	if (again)
		bl_google_renew(&gs->google);
	if (asprintf(&key, "%s%s", gs->path.prefix, entry->path) < 0) {
		key = NULL;
		return bl_err_nomem(err);
	}
	encoded = bl_url_encode(key, false);
	if (!encoded || asprintf(&ret->url, "%s/%s?alt=media%s%s", gs->base, encoded,
				 entry->generation ? "&generation=" : "",
				 entry->generation ? entry->generation : "") < 0) {
		ret->url = NULL;
		return bl_err_nomem(err);
	}
	ret->auth = &gs->auth;
	ret->stored = true;
	/* Else an object that is stored compressed comes unpacked, with another length than was
	 * listed ("Transcoding of gzip-compressed files", Cloud Storage documentation). */
	return bl_http_headers_add(&ret->headers, "Accept-Encoding", "gzip", err);
}

const struct bl_source_ops bl_source_gs = {
	.scheme = BL_SCHEME_GS,
	.always_private = true,
	.list_is_not_read = true,
	.open = gs_open,
	.close = gs_close,
	.list = gs_list,
	.locate = gs_locate,
	.explain = gs_explain,
};
