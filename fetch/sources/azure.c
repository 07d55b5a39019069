/* SPDX-License-Identifier: Apache-2.0 */
/*
 * azure://account/container/path: Azure Blob Storage, or the operator's server of the same protocol
 * (endpoint "azure", where the account is `{account}` in the host's name or the first part of the path). Requests are signed with
 * the account's key, or carry a SAS token as part of their URL: then the URL is a secret, and
 * messages show none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/oidc.h"
#include "fetch/auth/sharedkey.h"
#include "fetch/sources/azure_answer.h"
#include "fetch/sources/cloud.h"
#include "fetch/sources/source.h"

#define QUERY_MAX 32768

struct azure {
	const struct bl_source_input *input; /* borrowed */
	struct bl_sharedkey key;	     /* account is NULL with a SAS */
	char *sas;			     /* "name=value&...", NULL with a key */
	char *base;			     /* URL of the container */
	struct bl_url url;		     /* of base */
	struct bl_http_auth auth;
	struct bl_http_headers version; /* x-ms-version; for requests with a SAS */
	struct bl_cloud_path path;
};

static void azure_close(void *state)
{
	struct azure *azure = state;

	bl_sharedkey_done(&azure->key);
	bl_crypto_free_secret(&azure->sas);
	free(azure->base);
	bl_url_done(&azure->url);
	bl_http_headers_done(&azure->version);
	bl_cloud_path_done(&azure->path);
	free(azure);
}

static int sign(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		struct bl_err *err)
{
	const struct azure *azure = ctx;

	return bl_sharedkey_sign(&azure->key, hop, time(NULL), headers, err);
}

/* ---- The credential ---- */

/* The forms that a SAS may write its times in: a day alone, to the minute, to the second. */
static int64_t parse_sas_time(const char *text)
{
	static const char *const rests[] = {"", ":00Z", "T00:00:00Z"};
	size_t len = strlen(text);
	char whole[64];

	/* "2024-05-06", "2024-05-06T07:08Z", else with its seconds */
	const char *rest = len == 10 ? rests[2] : len == 17 ? rests[1] : rests[0];
	snprintf(whole, sizeof(whole), "%.*s%s", len == 17 ? 16 : 40, text, rest);
	return bl_oidc_parse_time(whole);
}

/* When the SAS ends ("se"), -1 where it does not say so. */
static int64_t sas_end(const char *sas)
{
	for (const char *at = sas; *at;) {
		size_t len = strcspn(at, "&");

		if (strncmp(at, "se=", 3) == 0) {
			auto_free char *value = strndup(at + 3, len - 3);

			if (!value || bl_cloud_unescape(value, false) < 0)
				return -1;
			return parse_sas_time(value);
		}
		at += len + (at[len] == '&');
	}
	return -1;
}

static int check_sas(struct azure *azure, struct bl_err *err)
{
	char *sas = azure->sas;
	int64_t end;

	if (*sas == '?')
		memmove(sas, sas + 1, strlen(sas));
	for (const char *c = sas; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '#')
			return bl_cloud_fail(err, EINVAL,
					     "sas_token in the secret holds a space or a character "
					     "that is no part of a URL's query; copy it again");
	if ((strncmp(sas, "sig=", 4) != 0 && !strstr(sas, "&sig=")) || strchr(sas, '?'))
		return bl_cloud_fail(
			err, EINVAL,
			"sas_token in the secret has no signature (sig=), or a URL "
			"before it; copy the whole token, from sv= on, without the URL");
	end = sas_end(sas);
	if (end >= 0 && end < (int64_t)time(NULL))
		return bl_cloud_fail(err, EACCES,
				     "sas_token in the secret has expired; make a new "
				     "one");
	return bl_http_headers_add(&azure->version, "x-ms-version", BL_SHAREDKEY_VERSION, err);
}

static int take_secret(struct azure *azure, struct bl_err *err)
{
	const struct bl_weights_item *item = azure->input->item;
	auto_json json = NULL;
	auto_secret key = NULL;
	int r;

	if (item->auth_method != BL_AUTH_CUSTOM_SECRET)
		return bl_cloud_fail(err, EINVAL,
				     "secret_id is required: a source of azure:// needs auth: "
				     "{auth_method: CUSTOM_SECRET, auth_secret_name: NAME}");
	if (!azure->input->secret)
		return bl_cloud_fail(err, EACCES,
				     "secret_id is required: this tenant has no secret '%.100s'",
				     item->auth_secret_name);
	r = bl_cloud_parse_secret(azure->input->secret, "Azure credentials", &json, err);
	if (r >= 0)
		r = bl_cloud_secret_text(json, "account_key", &key, err);
	if (r > 0)
		return bl_sharedkey_init(&azure->key, item->source.account, key, err);
	if (r >= 0)
		r = bl_cloud_secret_text(json, "sas_token", &azure->sas, err);
	if (r == 0)
		return bl_cloud_fail(err, EINVAL,
				     "account_key or sas_token is required in Azure credentials: "
				     "use exactly one of these names in the secret's JSON");
	return r < 0 ? r : check_sas(azure, err);
}

static int aim(struct azure *azure, struct bl_err *err)
{
	const struct bl_source *source = &azure->input->item->source;
	const struct bl_net *net = bl_http_net(azure->input->http);
	const char *endpoint = bl_net_endpoint(net, "azure");
	auto_free char *filled = NULL;
	int n;
	int r;

	/* Both become parts of the URL; an account is a part of the host's name. */
	if (!bl_cloud_is_word(source->account, 63, "-") ||
	    !bl_cloud_is_word(source->bucket, 63, "-$"))
		return bl_cloud_fail(err, EINVAL,
				     "'%.60s/%.60s' is not ACCOUNT/CONTAINER; check the source",
				     source->account, source->bucket);
	r = bl_net_fill_endpoint(net, "azure", "account", source->account, &filled, err);
	if (r < 0)
		return r;
	if (filled)
		n = asprintf(&azure->base, "%s/%s", filled, source->bucket);
	else if (endpoint)
		n = asprintf(&azure->base, "%s/%s/%s", endpoint, source->account, source->bucket);
	else
		n = asprintf(&azure->base, "https://%s.blob.core.windows.net/%s", source->account,
			     source->bucket);
	if (n < 0) {
		azure->base = NULL;
		return bl_err_nomem(err);
	}
	r = bl_url_parse(azure->base, NULL, &azure->url, err);
	azure->auth = (struct bl_http_auth){azure->url.origin, sign, azure};
	return r;
}

static int azure_open(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	const char *path = input->item->source.path;
	struct azure *azure = calloc(1, sizeof(*azure));
	int r;

	if (!azure)
		return bl_err_nomem(err);
	azure->input = input;
	r = bl_cloud_path_init(&azure->path, path ? path : "", err);
	if (r >= 0 && (r = take_secret(azure, err)) < 0)
		bl_cloud_wrong_credential(input->item, r, err);
	if (r >= 0)
		r = aim(azure, err);
	if (r < 0) {
		azure_close(azure);
		return r;
	}
	*ret = azure;
	return 0;
}

/* ---- Errors ---- */

static const struct {
	const char *code;
	int errnum;
	const char *meaning; /* with the next step */
} meanings[] = {
	{"AuthenticationFailed", EACCES,
	 "the credential was not accepted; check that account_key belongs to this account (or that "
	 "the SAS token is valid now), and this machine's clock"},
	{"InvalidAuthenticationInfo", EACCES, "the credential was not accepted; check the secret"},
	{"NoAuthenticationInformation", EACCES,
	 "it wants a credential; name a secret with account_key or sas_token"},
	{"KeyBasedAuthenticationNotPermitted", EPERM,
	 "the storage account takes no account keys; use a SAS token signed by a user "
	 "delegation key"},
	{"AuthorizationFailure", EPERM,
	 "the storage account refuses it; check account_key (or what the SAS token is for: it must "
	 "be good for the whole container), and whether its network rules let this machine in"},
	{"AuthorizationSourceIPMismatch", EPERM, "the SAS token is for other addresses"},
	{"AuthorizationPermissionMismatch", EPERM,
	 "the SAS token may not do that; it needs the permissions read and list (sp=rl)"},
	{"AuthorizationResourceTypeMismatch", EPERM,
	 "the SAS token is for other kinds of resource; it needs container and object (srt=co)"},
	{"AuthorizationServiceMismatch", EPERM, "the SAS token is not for the Blob service (ss=b)"},
	{"InsufficientAccountPermissions", EPERM, "the credential may not read it"},
	{"PublicAccessNotPermitted", EPERM, "it may not be read without a credential"},
	{"AccountIsDisabled", EPERM, "the storage account is disabled; ask its owner"},
	{"BlobArchived", EPERM, "it lies in the archive tier; rehydrate it first"},
	{"BlobUsesCustomerSpecifiedEncryption", EPERM,
	 "it is encrypted by a key of the customer's own, which cannot be named here; store it "
	 "without"},
	{"ContainerNotFound", ENOENT, "there is no such container; check its spelling"},
	{"ContainerBeingDeleted", ENOENT, "the container is being deleted"},
	{"BlobNotFound", ENOENT, "there is no such blob; check the path"},
	{"ResourceNotFound", ENOENT, "there is no such container or blob; check the source"},
	{"InvalidResourceName", EINVAL, "that is no container's name; check the source"},
	{"ConditionNotMet", ESTALE, "it changed while it was read; try again"},
	{"ServerBusy", EIO, "the store limits requests; try again later"},
};

static int tell(const struct azure *azure, int status, const struct bl_http_headers *headers,
		const char *name, struct bl_err *err)
{
	const char *source = azure->input->item->source.text;
	const char *code = bl_http_headers_get(headers, "x-ms-error-code");

	for (size_t i = 0; code && i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(meanings[i].code, code) == 0)
			return bl_cloud_fail(err, meanings[i].errnum, "%.200s%s%.100s: %s (%s)",
					     source, *name ? ": " : "", name, meanings[i].meaning,
					     code);
	char what[BL_CLOUD_CODE_MAX + 256];
	bool known = code && bl_cloud_is_code(code);

	snprintf(what, sizeof(what), "%.200s%s%s%s", source, known ? " (" : "", known ? code : "",
		 known ? ")" : "");
	return bl_source_explain(what, status, true, err);
}

static int azure_explain(void *state, const struct bl_entry *entry, int status,
			 const struct bl_http_headers *answer, struct bl_err *err)
{
	return tell(state, status, answer, entry->path, err);
}

/* ---- Listing ---- */

static int list_page(struct azure *azure, const char *prefix, int most, const char *marker,
		     struct bl_azure_page *page, struct bl_err *err)
{
	auto_secret_buf url = BL_BUF_INIT(QUERY_MAX);
	auto_answer answer = {0};
	auto_free char *encoded = bl_url_encode(prefix, false);
	auto_free char *encoded_marker = marker ? bl_url_encode(marker, false) : NULL;
	int r;

	if (!encoded || (marker && !encoded_marker))
		return bl_err_nomem(err);
	r = bl_buf_putf(&url, err,
			"%s?restype=container&comp=list&include=metadata&maxresults=%d&prefix=%s",
			azure->base, most, encoded);
	if (r >= 0 && marker)
		r = bl_buf_putf(&url, err, "&marker=%s", encoded_marker);
	if (r >= 0 && azure->sas)
		r = bl_buf_putf(&url, err, "&%s", azure->sas);
	if (r < 0)
		return r;
	struct bl_http_request request = {
		.url = url.data,
		.headers = azure->sas ? &azure->version : NULL,
		.auth = azure->sas ? NULL : &azure->auth,
	};
	r = bl_http_perform(azure->input->http, &request, &answer, err);
	if (r >= 0 && answer.status != 200)
		return tell(azure, answer.status, &answer.headers, "", err);
	if (r < 0) {
		bl_err_wrap(err, "%.200s: ", azure->input->item->source.text);
		return r;
	}
	r = bl_azure_page_parse(bl_buf_str(&answer.body), answer.body.len, page, err);
	return r < 0 ? bl_cloud_unreadable(azure->input->item->source.text, r, err) : r;
}

static int add(struct azure *azure, struct bl_manifest *manifest, const struct bl_azure_blob *blob,
	       struct bl_err *err)
{
	struct bl_entry entry = {.size = blob->size, .etag = blob->etag};

	if (blob->folder)
		return 0;
	bl_manifest_promise(&entry, BL_DIGEST_MD5, &blob->md5);
	entry.path = azure->path.single ? azure->path.single
					: bl_cloud_path_name(&azure->path, blob->name, blob->size);
	int r = entry.path ? bl_manifest_add(manifest, &entry, err) : 0;
	if (r < 0)
		bl_err_wrap(err, "%.150s: ", azure->input->item->source.text);
	return r;
}

/* The first name that begins so, behind pages without any; a page with none of them where there is none. */
static int list_first(struct azure *azure, const char *prefix, struct bl_azure_page *ret,
		      struct bl_err *err)
{
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	int r = 0;

	while (pages.more && ret->count == 0 && r >= 0) {
		bl_azure_page_done(ret);
		r = list_page(azure, prefix, 1, pages.token, ret, err);
		if (r >= 0 && (r = bl_cloud_pages_next(&pages, ret->next, ret->count, err)) < 0)
			bl_err_wrap(err, "%.200s: ", azure->input->item->source.text);
	}
	return r;
}

/* As with S3: the first name that begins with the path tells whether it is one blob. */
static int list_single(struct azure *azure, struct bl_manifest *manifest, struct bl_err *err)
{
	auto_azure_page page = {0};
	auto_azure_page inside = {0};
	int r = list_first(azure, azure->path.path, &page, err);

	if (r < 0 || page.count == 0 || page.blobs[0].folder ||
	    strcmp(page.blobs[0].name, azure->path.path) != 0)
		return r;
	if (page.blobs[0].size == 0) {
		r = list_first(azure, azure->path.prefix, &inside, err);
		if (r < 0 || inside.count > 0)
			return r;
	}
	r = bl_cloud_path_set_single(&azure->path, err);
	if (r >= 0)
		r = add(azure, manifest, &page.blobs[0], err);
	return r < 0 ? r : 1;
}

static int azure_list(void *state, struct bl_manifest *manifest, bool *credential,
		      struct bl_err *err)
{
	struct azure *azure = state;
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	int r = bl_cloud_path_begin(&azure->path, err);

	if (r >= 0 && *azure->path.path)
		r = list_single(azure, manifest, err);
	*credential = true;
	if (r != 0)
		return r < 0 ? r : 0;
	while (pages.more && r >= 0) {
		auto_azure_page page = {0};

		r = list_page(azure, azure->path.prefix, BL_AZURE_PAGE_MAX, pages.token, &page,
			      err);
		for (size_t i = 0; r >= 0 && i < page.count; i++)
			r = add(azure, manifest, &page.blobs[i], err);
		if (r >= 0 && (r = bl_cloud_pages_next(&pages, page.next, page.count, err)) < 0)
			bl_err_wrap(err, "%.200s: ", azure->input->item->source.text);
	}
	return r;
}

/* ---- Bytes ---- */

static int azure_locate(void *state, const struct bl_entry *entry, bool again,
			struct bl_location *ret, struct bl_err *err)
{
	struct azure *azure = state;
	auto_free char *prefix = bl_url_encode(azure->path.prefix, true);
	auto_free char *name = bl_url_encode(entry->path, true);

	(void)again; /* neither kind of credential can be renewed */
	*ret = BL_LOCATION_INIT;
	if (!prefix || !name ||
	    asprintf(&ret->url, "%s/%s%s%s%s", azure->base, prefix, name, azure->sas ? "?" : "",
		     azure->sas ? azure->sas : "") < 0) {
		ret->url = NULL;
		return bl_err_nomem(err);
	}
	ret->if_match = entry->etag != NULL;
	ret->stored = true;
	if (!azure->sas) {
		ret->auth = &azure->auth;
		return 0;
	}
	return bl_http_headers_add(&ret->headers, "x-ms-version", BL_SHAREDKEY_VERSION, err);
}

const struct bl_source_ops bl_source_azure = {
	.scheme = BL_SCHEME_AZURE,
	.always_private = true,
	.list_is_not_read = true,
	.open = azure_open,
	.close = azure_close,
	.list = azure_list,
	.locate = azure_locate,
	.explain = azure_explain,
};
