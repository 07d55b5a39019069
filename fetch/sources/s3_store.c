/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing and locating by S3's protocol. A path is one object if a key is exactly that, else the
 * folder beneath it: the first key that begins with the path tells, since no other sorts before
 * it. So the listing's permission is enough; a key that may only be read, not listed, is looked
 * for with HEAD.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/s3.h"
#include "fetch/sources/s3_answer.h"

#define QUERY_MAX 32768 /* bytes of a listing's query */

static int sign(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		struct bl_err *err)
{
	struct bl_s3_store *store = ctx;
	int r = bl_s3_key_renew(store, false, err);

	return r < 0 ? r : bl_sigv4_sign(&store->key, hop, time(NULL), headers, err);
}

/* At the operator's endpoint: the bucket in the host's name, where it is written so, else in the path. */
static int endpoint_base(const struct bl_s3_store *store, const char *endpoint, char **ret,
			 struct bl_err *err)
{
	const struct bl_net *net = bl_http_net(store->input->http);
	const struct bl_source *source = &store->input->item->source;
	const char *scheme = store->kind->endpoint;
	auto_free char *bucket = bl_url_encode(source->bucket, false);
	auto_free char *filled = NULL;
	int r = bl_net_fill_endpoint(net, scheme, "bucket", source->bucket, ret, err);

	if (r == 0 && source->account)
		r = bl_net_fill_endpoint(net, scheme, "account", source->account, &filled, err);
	if (r < 0 || *ret)
		return r;
	if (!bucket || asprintf(ret, "%s/%s", filled ? filled : endpoint, bucket) < 0) {
		*ret = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

/* Works out base, url and auth for store->key.region. */
static int aim(struct bl_s3_store *store, struct bl_err *err)
{
	const struct bl_source *source = &store->input->item->source;
	const char *endpoint =
		bl_net_endpoint(bl_http_net(store->input->http), store->kind->endpoint);
	auto_free char *base = NULL;
	int r = endpoint ? endpoint_base(store, endpoint, &base, err)
			 : store->kind->base(source, store->key.region, &base, err);

	if (r < 0)
		return r;
	bl_url_done(&store->url);
	r = bl_url_parse(base, NULL, &store->url, err);
	if (r < 0)
		return r;
	free(store->base);
	store->base = TAKE_PTR(base);
	store->auth = (struct bl_http_auth){store->url.origin, sign, store};
	return 0;
}

int bl_s3_open(const struct bl_s3_kind *kind, const struct bl_source_input *input, void **ret,
	       struct bl_err *err)
{
	const char *path = input->item->source.path;
	struct bl_s3_store *store = calloc(1, sizeof(*store));
	int r;

	if (!store)
		return bl_err_nomem(err);
	store->kind = kind;
	store->input = input;
	r = bl_cloud_path_init(&store->path, path ? path : "", err);
	if (r >= 0 && (r = bl_s3_key_take(store, err)) < 0)
		bl_cloud_wrong_credential(input->item, r, err);
	if (r >= 0)
		r = aim(store, err);
	if (r < 0) {
		bl_s3_close(store);
		return r;
	}
	*ret = store;
	return 0;
}

void bl_s3_close(void *state)
{
	struct bl_s3_store *store = state;

	bl_sigv4_key_done(&store->key);
	bl_url_done(&store->url);
	bl_cloud_path_done(&store->path);
	free(store->base);
	free(store);
}

/* ---- Requests ---- */

static int request_once(struct bl_s3_store *store, const char *method, const char *key,
			const char *query, const struct bl_http_headers *headers,
			struct bl_http_answer *ret, struct bl_err *err)
{
	auto_free char *encoded = bl_url_encode(key, true);
	auto_free char *url = NULL;
	/* "https://bucket.host/?query", "https://host/bucket?query" */
	bool slash = *key || strcmp(store->url.path, "/") == 0;

	if (!encoded || asprintf(&url, "%s%s%s%s%s", store->base, slash ? "/" : "", encoded,
				 query ? "?" : "", query ? query : "") < 0) {
		url = NULL;
		return bl_err_nomem(err);
	}
	struct bl_http_request request = {
		.method = method, .url = url, .headers = headers, .auth = &store->auth};
	int r = bl_http_perform(store->input->http, &request, ret, err);
	if (r < 0)
		bl_err_wrap(err, "%.200s: ", store->input->item->source.text);
	return r;
}

/* The region that an answer sends us to, and that we are not in; NULL for none. */
static const char *other_region(const struct bl_s3_store *store,
				const struct bl_http_answer *answer, struct bl_s3_error *error)
{
	const char *region = bl_http_headers_get(&answer->headers, "x-amz-bucket-region");

	if (!store->kind->moves || (answer->status != 301 && answer->status != 307 &&
				    answer->status != 400 && answer->status != 403))
		return NULL;
	if (!region && error->region[0])
		region = error->region;
	if (!region || !bl_cloud_is_word(region, 40, "-") || strcmp(region, store->key.region) == 0)
		return NULL;
	return region;
}

int bl_s3_request(struct bl_s3_store *store, const char *method, const char *key, const char *query,
		  const struct bl_http_headers *headers, struct bl_http_answer *ret,
		  struct bl_err *err)
{
	struct bl_s3_error error;
	const char *region;
	int r = request_once(store, method, key, query, headers, ret, err);

	if (r < 0 || ret->status < 300)
		return r;
	bl_s3_error_parse(bl_buf_str(&ret->body), ret->body.len, &error);
	region = other_region(store, ret, &error);
	if (!region)
		return 0;
	/* Once: a store that sends us around is told as an error by the second answer. */
	char *moved = strdup(region);
	if (!moved)
		return bl_err_nomem(err);
	free(store->key.region);
	store->key.region = moved;
	bl_http_answer_done(ret);
	*ret = (struct bl_http_answer){0};
	r = aim(store, err);
	return r < 0 ? r : request_once(store, method, key, query, headers, ret, err);
}

static int tell(const struct bl_s3_store *store, const struct bl_http_answer *answer,
		struct bl_err *err)
{
	struct bl_s3_error error;

	bl_s3_error_parse(bl_buf_str(&answer->body), answer->body.len, &error);
	return bl_s3_tell(store, answer->status, error.code, "", err);
}

/* ---- Listing ---- */

/* One page of the keys that begin with prefix; *status is 200 where *page was filled. */
static int list_page(struct bl_s3_store *store, const char *prefix, int most, const char *token,
		     struct bl_http_answer *answer, struct bl_s3_page *page, struct bl_err *err)
{
	auto_buf query = BL_BUF_INIT(QUERY_MAX);
	auto_free char *encoded = bl_url_encode(prefix, false);
	auto_free char *encoded_token = token ? bl_url_encode(token, false) : NULL;
	int r;

	if (!encoded || (token && !encoded_token))
		return bl_err_nomem(err);
	r = bl_buf_putf(&query, err, "list-type=2&encoding-type=url&max-keys=%d&prefix=%s", most,
			encoded);
	if (r == 0 && token)
		r = bl_buf_putf(&query, err, "&continuation-token=%s", encoded_token);
	if (r == 0)
		r = bl_s3_request(store, "GET", "", query.data, NULL, answer, err);
	if (r < 0 || answer->status != 200)
		return r;
	r = bl_s3_page_parse(bl_buf_str(&answer->body), answer->body.len, page, err);
	return r < 0 ? bl_cloud_unreadable(store->input->item->source.text, r, err) : r;
}

static int add(struct bl_s3_store *store, struct bl_manifest *manifest,
	       const struct bl_s3_object *object, struct bl_err *err)
{
	struct bl_entry entry = {.size = object->size, .etag = object->etag};

	entry.path = store->path.single
			     ? store->path.single
			     : bl_cloud_path_name(&store->path, object->key, object->size);
	int r = entry.path ? bl_manifest_add(manifest, &entry, err) : 0;
	if (r < 0)
		bl_err_wrap(err, "%.150s: ", store->input->item->source.text);
	return r;
}

static int list_folder(struct bl_s3_store *store, struct bl_manifest *manifest, struct bl_err *err)
{
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	int r = 0;

	while (pages.more && r >= 0) {
		auto_answer answer = {0};
		auto_s3_page page = {0};

		r = list_page(store, store->path.prefix, BL_S3_PAGE_MAX, pages.token, &answer,
			      &page, err);
		if (r >= 0 && answer.status != 200)
			r = tell(store, &answer, err);
		for (size_t i = 0; r >= 0 && i < page.count; i++)
			r = add(store, manifest, &page.objects[i], err);
		if (r >= 0 && (r = bl_cloud_pages_next(&pages, page.next, page.count, err)) < 0)
			bl_err_wrap(err, "%.200s: ", store->input->item->source.text);
	}
	return r;
}

/* The object itself, asked for with HEAD since its bucket may not be listed: 1, and it was added; 0: HEAD knows of
 * none. */
static int head_single(struct bl_s3_store *store, struct bl_manifest *manifest, struct bl_err *err)
{
	auto_answer answer = {0};
	auto_free char *etag = NULL;
	struct bl_entry entry = {0};
	const char *length;
	int r = bl_s3_request(store, "HEAD", store->path.path, NULL, NULL, &answer, err);

	if (r < 0)
		return r;
	length = bl_http_headers_get(&answer.headers, "Content-Length");
	if (answer.status != 200 || !length || (entry.size = bl_http_parse_length(length)) < 0)
		return 0;
	r = bl_cloud_path_set_single(&store->path, err);
	if (r < 0)
		return r;
	etag = bl_cloud_etag(bl_http_headers_get(&answer.headers, "ETag"));
	entry.path = store->path.single;
	entry.etag = etag;
	r = bl_manifest_add(manifest, &entry, err);
	return r < 0 ? r : 1;
}

/* The first key that begins so, behind pages without any; a page with none of them where there is none, or where
 * the answer is no listing. */
static int list_first(struct bl_s3_store *store, const char *prefix, struct bl_http_answer *answer,
		      struct bl_s3_page *ret, struct bl_err *err)
{
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	int r = 0;

	while (pages.more && ret->count == 0 && r >= 0) {
		bl_s3_page_done(ret);
		bl_http_answer_done(answer);
		*answer = (struct bl_http_answer){0};
		r = list_page(store, prefix, 1, pages.token, answer, ret, err);
		if (r < 0 || answer->status != 200)
			return r;
		if ((r = bl_cloud_pages_next(&pages, ret->next, ret->count, err)) < 0)
			bl_err_wrap(err, "%.200s: ", store->input->item->source.text);
	}
	return r;
}

/*
 * Whether the path is one object: 1, and it was added. An empty object may be what a tool left to
 * mark a folder: it counts only where nothing lies beneath it.
 */
static int list_single(struct bl_s3_store *store, struct bl_manifest *manifest, struct bl_err *err)
{
	auto_answer answer = {0};
	auto_answer beneath = {0};
	auto_s3_page page = {0};
	auto_s3_page inside = {0};
	int r = list_first(store, store->path.path, &answer, &page, err);

	if (r < 0)
		return r;
	if (answer.status == 403) {
		r = head_single(store, manifest, err);
		if (r != 0)
			return r;
		/* Many a policy allows the prefix "path/" and what begins so, and not "path". */
		r = list_first(store, store->path.prefix, &beneath, &inside, err);
		if (r < 0 || inside.count > 0)
			return r;
	}
	if (answer.status != 200)
		return tell(store, &answer, err);
	if (page.count == 0 || strcmp(page.objects[0].key, store->path.path) != 0)
		return 0;
	if (page.objects[0].size == 0) {
		r = list_first(store, store->path.prefix, &beneath, &inside, err);
		if (r < 0 || inside.count > 0)
			return r;
	}
	r = bl_cloud_path_set_single(&store->path, err);
	if (r >= 0)
		r = add(store, manifest, &page.objects[0], err);
	return r < 0 ? r : 1;
}

int bl_s3_list(void *state, struct bl_manifest *manifest, bool *credential, struct bl_err *err)
{
	struct bl_s3_store *store = state;
	int r = bl_cloud_path_begin(&store->path, err);

	if (r >= 0 && *store->path.path)
		r = list_single(store, manifest, err);
	*credential = true;
	if (r == 0)
		r = list_folder(store, manifest, err);
	return r < 0 ? r : bl_s3_checksums(store, manifest, err);
}

/* ---- Bytes ---- */

int bl_s3_locate(void *state, const struct bl_entry *entry, bool again, struct bl_location *ret,
		 struct bl_err *err)
{
	struct bl_s3_store *store = state;
	auto_free char *prefix = bl_url_encode(store->path.prefix, true);
	auto_free char *name = bl_url_encode(entry->path, true);
	int r = again ? bl_s3_key_renew(store, true, err) : 0;

	if (r < 0)
		return r;
	*ret = BL_LOCATION_INIT;
	if (!prefix || !name || asprintf(&ret->url, "%s/%s%s", store->base, prefix, name) < 0) {
		ret->url = NULL;
		return bl_err_nomem(err);
	}
	ret->auth = &store->auth;
	ret->if_match = entry->etag != NULL;
	ret->stored = true;
	return 0;
}
