/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf://owner/repo[@revision]: the Hub. A revision is resolved to its commit once, the tree of that
 * commit is listed page by page, and each file is asked for by commit, so that everything comes
 * from one version. Large files are promised by SHA-256, all others by git's blob SHA-1.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/token.h"
#include "fetch/sources/cloud.h"
#include "fetch/sources/hf_answer.h"
#include "fetch/sources/source.h"

#define MAX_PAGE_LINK 4096 /* bytes of the link to the next page */
#define COMMIT_LENGTH 40   /* of a SHA-1 in hexadecimal */
#define DEFAULT_HUB   "https://huggingface.co"

struct hub {
	const struct bl_source_input *input;
	const char *base; /* borrowed: the endpoint */
	char *repo;	  /* owner/repo, percent-encoded */
	char *token;	  /* NULL without one */
	struct bl_http_auth auth;
	char *origin; /* auth.origin */
	char *commit; /* once resolved */
};

static void hub_close(void *state)
{
	struct hub *hub = state;

	free(hub->repo);
	bl_crypto_free_secret(&hub->token);
	free(hub->origin);
	free(hub->commit);
	free(hub);
}

static void hub_free(struct hub **hub)
{
	if (*hub)
		hub_close(*hub);
}

static int add_token(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		     struct bl_err *err)
{
	const struct hub *hub = ctx;

	(void)hop;
	return bl_token_add(headers, "Bearer", hub->token, err);
}

static int take_token(struct hub *hub, struct bl_err *err)
{
	int rc = hub->input->secret ? bl_token_take(hub->input->secret, &hub->token) : 0;

	if (rc == -EINVAL)
		return bl_err_config(err,
				     "the secret '%.100s' is not a Hugging Face token: it must "
				     "be the token alone (hf_...), as plain text",
				     hub->input->item->auth_secret_name
					     ? hub->input->item->auth_secret_name
					     : "");
	return rc < 0 ? bl_err_nomem(err) : 0;
}

static int hub_open(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	__attribute__((cleanup(hub_free))) struct hub *hub = calloc(1, sizeof(*hub));
	const char *endpoint = bl_net_endpoint(bl_http_net(input->http), "hf");
	auto_url url = {0};
	int rc;

	if (!hub)
		return bl_err_nomem(err);
	hub->input = input;
	hub->base = endpoint ? endpoint : DEFAULT_HUB;
	hub->repo = bl_url_encode(input->item->source.bucket, true);
	if (!hub->repo)
		return bl_err_nomem(err);
	if ((rc = take_token(hub, err)) < 0 || (rc = bl_url_parse(hub->base, NULL, &url, err)) < 0)
		return rc;
	hub->origin = TAKE_PTR(url.origin);
	hub->auth = (struct bl_http_auth){hub->origin, add_token, hub};
	*ret = TAKE_PTR(hub);
	return 0;
}

/* ---- What an answer means ---- */

static int explain(struct hub *hub, int status, const struct bl_http_headers *answer,
		   const char *path, struct bl_err *err)
{
	const char *code = bl_http_headers_get(answer, "X-Error-Code");
	const char *repo = hub->input->item->source.text;
	const char *secret = hub->token ? "with this token" : "without a token";

	if (code && strcmp(code, "GatedRepo") == 0)
		return bl_err_set(err, BL_EX_REFUSED, hub->token ? EPERM : EACCES,
				  "%.200s is gated and %s; accept its terms on the "
				  "Hub and name a secret with your token in auth.auth_secret_name",
				  repo,
				  hub->token ? "this token's account has no access"
					     : "only a token gives access");
	if (code && strcmp(code, "RevisionNotFound") == 0)
		return bl_err_set(
			err, BL_EX_CONFIG, ENOENT,
			"%.200s has no revision '%.200s'; name a branch, a tag or a commit "
			"that it has",
			repo,
			hub->input->item->source.revision ? hub->input->item->source.revision
							  : "main");
	if (status == 401 || (code && strcmp(code, "RepoNotFound") == 0))
		return bl_err_set(
			err, BL_EX_REFUSED, status == 404 ? ENOENT : EACCES,
			"%.200s: %s: there is no such repository, or it may not be seen %s; "
			"check the spelling%s",
			repo, bl_http_status_text(status), secret,
			hub->token ? " and that the token is still valid"
				   : ", and for a private one name a secret in "
				     "auth.auth_secret_name");
	int rc = bl_source_explain(repo, status, hub->token != NULL, err);
	if (path)
		bl_err_wrap(err, "%.200s of ", path);
	return rc;
}

static int get(struct hub *hub, const char *url, struct bl_http_answer *ret, struct bl_err *err)
{
	struct bl_http_request request = {
		.url = url,
		.auth = hub->token ? &hub->auth : NULL,
		.max_body = BL_HF_MAX_ANSWER,
		.max_redirects = BL_HTTP_MAX_REDIRECTS,
	};
	int rc = bl_http_perform(hub->input->http, &request, ret, err);

	if (rc < 0) {
		bl_err_wrap(err, "%.200s: ", hub->input->item->source.text);
		return rc;
	}
	if (ret->status == 200)
		return 0;
	return explain(hub, ret->status, &ret->headers, NULL, err);
}

/* ---- Listing ---- */

/* A whole commit that was asked for is itself: another is what a mirror may give that knows only its own. */
static bool is_other_commit(const char *wanted, const char *commit)
{
	return wanted && strlen(wanted) == COMMIT_LENGTH &&
	       strspn(wanted, "0123456789abcdefABCDEF") == COMMIT_LENGTH &&
	       strcasecmp(wanted, commit) != 0;
}

static int resolve(struct hub *hub, bool *credential, struct bl_err *err)
{
	const char *wanted =
		hub->input->revision ? hub->input->revision : hub->input->item->source.revision;
	auto_free char *revision = bl_url_encode(wanted ? wanted : "main", false);
	auto_free char *url = NULL;
	auto_answer answer = {0};
	char commit[BL_HF_COMMIT_SIZE];
	int rc;

	if (!revision ||
	    asprintf(&url, "%s/api/models/%s/revision/%s", hub->base, hub->repo, revision) < 0) {
		url = NULL;
		return bl_err_nomem(err);
	}
	*credential = hub->token != NULL;
	if ((rc = get(hub, url, &answer, err)) < 0)
		return rc;
	rc = bl_hf_answer_revision(bl_buf_str(&answer.body), answer.body.len, commit, credential,
				   err);
	if (rc < 0)
		return bl_cloud_unreadable(hub->input->item->source.text, rc, err);
	if (is_other_commit(wanted, commit))
		return bl_err_set(err, BL_EX_RETRY, EIO,
				  "%.200s: the Hub gives commit %s in the place of %s; check the "
				  "endpoint, and a mirror or cache before it",
				  hub->input->item->source.text, commit, wanted);
	free(hub->commit); /* of an earlier look */
	hub->commit = strdup(commit);
	return hub->commit ? 0 : bl_err_nomem(err);
}

/* Adds a page's files. */
static int take_page(const struct hub *hub, const struct bl_http_answer *answer,
		     struct bl_manifest *manifest, struct bl_err *err)
{
	int rc = bl_hf_answer_page(bl_buf_str(&answer->body), answer->body.len, manifest, err);

	if (rc == -EIO)
		return bl_cloud_unreadable(hub->input->item->source.text, rc, err);
	if (rc < 0)
		bl_err_wrap(err, "%.150s: ", hub->input->item->source.text);
	return rc;
}

/* The next page's address; NULL in *ret after the last. It may not lead to another origin. */
static int next_page(const struct bl_http_answer *answer, char **ret, struct bl_err *err)
{
	auto_free char *target = bl_http_headers_next_link(&answer->headers);
	auto_url url = {0};
	int rc;

	*ret = NULL;
	if (!target)
		return 0;
	if (strlen(target) > MAX_PAGE_LINK)
		return bl_err_set(err, BL_EX_RETRY, EIO, "the link to the next page is too long");
	if ((rc = bl_url_parse(target, &answer->url, &url, err)) < 0)
		return rc;
	if (strcmp(url.origin, answer->url.origin) != 0)
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "the listing goes on at %.200s, another origin: refused; check "
				  "the endpoint",
				  url.origin);
	*ret = TAKE_PTR(url.text);
	return 0;
}

/* The Hub's own redirect to the bytes comes after it has looked at the token; a rename's does not.
 */
static int access_given(void *ctx, const struct bl_http_headers *answer, struct bl_err *err)
{
	bool *given = ctx;

	*given = bl_http_headers_get(answer, "X-Repo-Commit") != NULL;
	return *given ? bl_err_set(err, BL_EX_OK, ECANCELED, "access is given") : 0;
}

/*
 * A gated repository's listing is open to all, and so may be its model card: its weights are not. So
 * the largest file that is promised by SHA-256 is asked for, and the agent may take it that the Hub
 * gives this tenant all of that kind; what is small it has brought in any case.
 */
static int prove_access(struct hub *hub, const struct bl_manifest *manifest, struct bl_err *err)
{
	const struct bl_entry *entry = bl_manifest_largest(manifest, true);
	auto_free char *url = NULL;
	auto_free char *path = NULL;
	auto_answer answer = {0};
	bool given = false;
	struct bl_http_request request = {
		.auth = hub->token ? &hub->auth : NULL,
		.head_only = true,
		.max_redirects = BL_HTTP_MAX_REDIRECTS,
		.redirected = access_given,
		.ctx = &given,
	};
	int rc;

	if (!entry)
		entry = bl_manifest_largest(manifest, false);
	if (!entry)
		return 0;
	path = bl_url_encode(entry->path, true);
	if (!path ||
	    asprintf(&url, "%s/%s/resolve/%s/%s", hub->base, hub->repo, hub->commit, path) < 0) {
		url = NULL;
		return bl_err_nomem(err);
	}
	request.url = url;
	rc = bl_http_perform(hub->input->http, &request, &answer, err);
	if (given)
		return 0;
	if (rc < 0)
		return rc;
	return answer.status == 200
		       ? 0
		       : explain(hub, answer.status, &answer.headers, entry->path, err);
}

static int hub_list(void *state, struct bl_manifest *manifest, bool *credential, struct bl_err *err)
{
	struct hub *hub = state;
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	auto_free char *url = NULL;
	int rc = resolve(hub, credential, err);

	if (rc < 0 || (rc = bl_manifest_set_revision(manifest, hub->commit, err)) < 0)
		return rc;
	if (asprintf(&url, "%s/api/models/%s/tree/%s?recursive=true", hub->base, hub->repo,
		     hub->commit) < 0) {
		url = NULL;
		return bl_err_nomem(err);
	}
	while (pages.more) {
		size_t before = bl_manifest_filter(manifest)->seen;
		auto_answer answer = {0};

		if ((rc = get(hub, url, &answer, err)) < 0 ||
		    (rc = take_page(hub, &answer, manifest, err)) < 0)
			return rc;
		free(TAKE_PTR(url));
		if ((rc = next_page(&answer, &url, err)) < 0 ||
		    (rc = bl_cloud_pages_next(
			     &pages, url, bl_manifest_filter(manifest)->seen - before, err)) < 0) {
			bl_err_wrap(err, "%.200s: ", hub->input->item->source.text);
			return rc;
		}
	}
	return *credential ? prove_access(hub, manifest, err) : 0;
}

/* ---- Bytes ---- */

static int hub_locate(void *state, const struct bl_entry *entry, bool again,
		      struct bl_location *ret, struct bl_err *err)
{
	struct hub *hub = state;
	auto_free char *path = bl_url_encode(entry->path, true);

	(void)again; /* the Hub signs the way to the bytes anew for every request */
	*ret = BL_LOCATION_INIT;
	if (!path || asprintf(&ret->url, "%s/%s/resolve/%s/%s", hub->base, hub->repo, hub->commit,
			      path) < 0) {
		ret->url = NULL;
		return bl_err_nomem(err);
	}
	ret->auth = hub->token ? &hub->auth : NULL;
	return 0;
}

/* The Hub's own redirect says what lies behind it; a mismatch is found before a byte is asked for.
 */
static int hub_redirected(void *state, const struct bl_entry *entry,
			  const struct bl_http_headers *answer, struct bl_err *err)
{
	const struct hub *hub = state;
	const char *commit = bl_http_headers_get(answer, "X-Repo-Commit");
	const char *size = bl_http_headers_get(answer, "X-Linked-Size");
	const char *etag = bl_http_headers_get(answer, "X-Linked-Etag");
	struct bl_digest digest;
	char hex[65];

	if ((commit && strcmp(commit, hub->commit) != 0) ||
	    (size && bl_http_parse_length(size) != entry->size))
		return bl_err_set(err, BL_EX_RETRY, ESTALE,
				  "'%.200s': the Hub now has another version of it; try again",
				  entry->path);
	if (!bl_manifest_promised(entry, BL_DIGEST_SHA256, &digest))
		return 0;
	bl_digest_to_hex(&digest, hex);
	if (etag && strlen(etag) == 66 && strncmp(etag + 1, hex, 64) != 0)
		return bl_err_set(err, BL_EX_RETRY, ESTALE,
				  "'%.200s': the Hub's link leads to other content; try again",
				  entry->path);
	return 0;
}

static int hub_explain(void *state, const struct bl_entry *entry, int status,
		       const struct bl_http_headers *answer, struct bl_err *err)
{
	return explain(state, status, answer, entry->path, err);
}

const struct bl_source_ops bl_source_hf = {
	.scheme = BL_SCHEME_HF,
	.open = hub_open,
	.close = hub_close,
	.list = hub_list,
	.locate = hub_locate,
	.redirected = hub_redirected,
	.explain = hub_explain,
};
