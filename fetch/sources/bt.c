/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bt://project[@job][/checkpoint]: checkpoints of Baseten Training. The platform signs in by
 * itself, so the item has no auth: the operator's configuration has the API's base URL (endpoint
 * "bt") and, as the tenant's identity token "bt", the API key. Files come from URLs that the API
 * signs, which end after a while: then the list is asked for again.
 *
 * The revision that is pinned is "JOB/CHECKPOINT", both as they were resolved.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/token.h"
#include "fetch/sources/bt_answer.h"
#include "fetch/sources/cloud.h"
#include "fetch/sources/source.h"

#define URL_LIMIT (16 * 1024)

struct bt {
	const struct bl_source_input *input; /* borrowed */
	char *key;			     /* the API key */
	struct bl_url url;		     /* of the endpoint */
	struct bl_http_auth auth;
	char *project, *job, *checkpoint; /* resolved ids */
	struct bl_bt_files files;
};

static void bt_close(void *state)
{
	struct bt *bt = state;

	bl_crypto_free_secret(&bt->key);
	bl_url_done(&bt->url);
	free(bt->project);
	free(bt->job);
	free(bt->checkpoint);
	bl_bt_files_done(&bt->files);
	free(bt);
}

static int sign(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		struct bl_err *err)
{
	const struct bt *bt = ctx;

	(void)hop;
	return bl_token_add(headers, "Api-Key", bt->key, err);
}

static int take_key(struct bt *bt, struct bl_err *err)
{
	const char *token = bt->input->identity_token;
	int r = token ? bl_token_take(token, &bt->key) : -EINVAL;

	if (r == -EINVAL)
		return bl_cloud_fail(err, EINVAL,
				     "bt:// needs the platform's API key: the operator puts it "
				     "into IDENTITY_DIR/TENANT/bt, alone (identity_dir of the "
				     "agent's configuration)");
	return r < 0 ? bl_err_nomem(err) : 0;
}

/* "JOB/CHECKPOINT" of an unfinished download. */
static int take_pin(struct bt *bt, struct bl_err *err)
{
	const char *pin = bt->input->revision;
	const char *slash = pin ? strchr(pin, '/') : NULL;

	if (!slash)
		return 0;
	bt->job = strndup(pin, (size_t)(slash - pin));
	bt->checkpoint = strdup(slash + 1);
	return bt->job && bt->checkpoint ? 0 : bl_err_nomem(err);
}

static int bt_open(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	const char *endpoint = bl_net_endpoint(bl_http_net(input->http), "bt");
	struct bt *bt;
	int r;

	if (!endpoint)
		return bl_cloud_fail(err, EINVAL,
				     "bt:// is not set up on this node: the operator names the "
				     "platform's API as endpoint \"bt\" in the agent's "
				     "configuration");
	bt = calloc(1, sizeof(*bt));
	if (!bt)
		return bl_err_nomem(err);
	bt->input = input;
	r = bl_url_parse(endpoint, NULL, &bt->url, err);
	if (r >= 0)
		r = take_key(bt, err);
	if (r >= 0)
		r = take_pin(bt, err);
	if (r < 0) {
		bt_close(bt);
		return r;
	}
	bt->auth = (struct bl_http_auth){bt->url.origin, sign, bt};
	*ret = bt;
	return 0;
}

/* ---- The API ---- */

static int tell(const struct bt *bt, int status, const char *what, struct bl_err *err)
{
	const char *source = bt->input->item->source.text;

	switch (status) {
	case 401:
	case 403:
		return bl_cloud_fail(err, status == 401 ? EACCES : EPERM,
				     "%.200s: %s: the platform does not accept the API key for "
				     "%s; the operator checks IDENTITY_DIR/TENANT/bt",
				     source, bl_http_status_text(status), what);
	case 404:
		return bl_cloud_fail(err, ENOENT, "%.200s: 404 Not Found: there is no such %s",
				     source, what);
	default:
		return bl_source_explain(source, status, true, err);
	}
}

/* GETs ENDPOINT/v1/training_projects and what follows; `what` is asked for, for messages. */
static int get(struct bt *bt, const char *path, const char *what, struct bl_http_answer *answer,
	       struct bl_err *err)
{
	auto_free char *url = NULL;
	const char *endpoint = bl_net_endpoint(bl_http_net(bt->input->http), "bt");
	int r;

	if (asprintf(&url, "%s/v1/training_projects%s", endpoint, path) < 0) {
		url = NULL;
		return bl_err_nomem(err);
	}
	struct bl_http_request request = {
		.url = url, .auth = &bt->auth, .max_body = BL_BT_ANSWER_MAX};
	r = bl_http_perform(bt->input->http, &request, answer, err);
	if (r < 0) {
		bl_err_wrap(err, "%.200s: ", bt->input->item->source.text);
		return r;
	}
	return answer->status == 200 ? 0 : tell(bt, answer->status, what, err);
}

/* Appends "/SEGMENT", encoded. A dot alone would be taken for a directory on the way. */
static int put_segment(struct bl_buf *to, const char *segment, struct bl_err *err)
{
	auto_free char *encoded = bl_url_encode(segment, false);

	if (!encoded)
		return bl_err_nomem(err);
	if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
		return bl_cloud_fail(err, EINVAL, "'%s' is no name of a project or job", segment);
	return bl_buf_putf(to, err, "/%s", encoded);
}

static int put_job(const struct bt *bt, struct bl_buf *to, struct bl_err *err)
{
	int r = put_segment(to, bt->project, err);

	if (r >= 0)
		r = bl_buf_puts(to, "/jobs", err);
	return r < 0 ? r : put_segment(to, bt->job, err);
}

/* One step of the resolution: asks `path`, picks from `list`. */
static int resolve(struct bt *bt, const char *path, const char *what, const char *list,
		   const char *id, const char *name, const char *wanted, char **ret,
		   struct bl_err *err)
{
	auto_answer answer = {0};
	int r = get(bt, path, what, &answer, err);

	if (r < 0)
		return r;
	r = bl_bt_pick(bl_buf_str(&answer.body), answer.body.len, list, id, name, wanted, ret, err);
	if (r < 0)
		bl_err_wrap(err, "%.200s: %s%s%.100s: ", bt->input->item->source.text, what,
			    wanted ? " " : "", wanted ? wanted : "");
	return r;
}

static int resolve_job(struct bt *bt, struct bl_err *err)
{
	const char *revision = bt->input->item->source.revision;
	auto_buf path = BL_BUF_INIT(URL_LIMIT);
	int r;

	if (revision && strcmp(revision, "latest") != 0) {
		bt->job = strdup(revision);
		return bt->job ? 0 : bl_err_nomem(err);
	}
	r = put_segment(&path, bt->project, err);
	if (r >= 0)
		r = bl_buf_puts(&path, "/jobs", err);
	return r < 0 ? r
		     : resolve(bt, path.data, "training job", "training_jobs", "id", NULL, NULL,
			       &bt->job, err);
}

static int resolve_checkpoint(struct bt *bt, struct bl_err *err)
{
	const char *wanted = bt->input->item->source.path;
	auto_buf path = BL_BUF_INIT(URL_LIMIT);
	int r;

	if (wanted && *wanted) {
		bt->checkpoint = strdup(wanted);
		return bt->checkpoint ? 0 : bl_err_nomem(err);
	}
	r = put_job(bt, &path, err);
	if (r >= 0)
		r = bl_buf_puts(&path, "/checkpoints", err);
	return r < 0 ? r
		     : resolve(bt, path.data, "training job or checkpoint", "checkpoints",
			       "checkpoint_id", NULL, NULL, &bt->checkpoint, err);
}

static int resolve_all(struct bt *bt, struct bl_err *err)
{
	free(TAKE_PTR(bt->project));
	int r = resolve(bt, "", "training project", "training_projects", "id", "name",
			bt->input->item->source.bucket, &bt->project, err);

	if (r >= 0 && !bt->job)
		r = resolve_job(bt, err);
	if (r >= 0 && !bt->checkpoint)
		r = resolve_checkpoint(bt, err);
	return r;
}

/* ---- Files ---- */

static int list_files(struct bt *bt, struct bl_err *err)
{
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	auto_buf base = BL_BUF_INIT(URL_LIMIT);
	int r = put_job(bt, &base, err);

	bl_bt_files_done(&bt->files);
	while (pages.more && r >= 0) {
		auto_answer answer = {0};
		auto_free char *token = pages.token ? bl_url_encode(pages.token, false) : NULL;
		auto_free char *next = NULL;
		auto_free char *path = NULL;
		size_t listed = 0;

		if ((pages.token && !token) ||
		    asprintf(&path, "%s/checkpoint_files?page_size=%d%s%s", base.data,
			     BL_BT_PAGE_MAX, token ? "&page_token=" : "", token ? token : "") < 0) {
			path = NULL;
			return bl_err_nomem(err);
		}
		r = get(bt, path, "training job or checkpoint", &answer, err);
		if (r < 0)
			return r;
		if ((r = bl_bt_page_parse(bl_buf_str(&answer.body), answer.body.len, bt->checkpoint,
					  &bt->files, &next, &listed, err)) < 0 ||
		    (r = bl_cloud_pages_next(&pages, next, listed, err)) < 0)
			bl_err_wrap(err, "%.200s: ", bt->input->item->source.text);
	}
	return r;
}

static int bt_list(void *state, struct bl_manifest *manifest, bool *credential, struct bl_err *err)
{
	struct bt *bt = state;
	auto_free char *revision = NULL;
	int r = resolve_all(bt, err);

	*credential = true;
	if (r >= 0)
		r = list_files(bt, err);
	if (r < 0)
		return r;
	if (bt->files.count == 0)
		return bl_cloud_fail(err, ENOENT,
				     "%.200s: the job has no files of checkpoint "
				     "'%.100s'; check its name",
				     bt->input->item->source.text, bt->checkpoint);
	for (size_t i = 0; i < bt->files.count && r >= 0; i++) {
		const struct bl_bt_file *file = &bt->files.files[i];
		struct bl_entry entry = {
			.path = file->name, .size = file->size, .generation = file->modified};

		if ((r = bl_manifest_add(manifest, &entry, err)) < 0)
			bl_err_wrap(err, "%.150s: ", bt->input->item->source.text);
	}
	if (r < 0)
		return r;
	if (asprintf(&revision, "%s/%s", bt->job, bt->checkpoint) < 0) {
		revision = NULL;
		return bl_err_nomem(err);
	}
	return bl_manifest_set_revision(manifest, revision, err);
}

static int bt_locate(void *state, const struct bl_entry *entry, bool again, struct bl_location *ret,
		     struct bl_err *err)
{
	struct bt *bt = state;
	int r = again ? list_files(bt, err) : 0;

	if (r < 0)
		return r;
	*ret = BL_LOCATION_INIT;
	for (size_t i = 0; i < bt->files.count; i++) {
		if (strcmp(bt->files.files[i].name, entry->path) != 0)
			continue;
		if (strcmp(bt->files.files[i].modified ? bt->files.files[i].modified : "",
			   entry->generation ? entry->generation : "") != 0)
			break;
		ret->url = strdup(bt->files.files[i].url);
		return ret->url ? 0 : bl_err_nomem(err);
	}
	return bl_cloud_fail(
		err, ESTALE,
		"%.200s: '%.200s' is gone, or another one, since it was listed; try again",
		bt->input->item->source.text, entry->path);
}

/* Content comes by URLs that the platform has signed: no credential of the user's would help. */
static int bt_explain(void *state, const struct bl_entry *entry, int status,
		      const struct bl_http_headers *answer, struct bl_err *err)
{
	const struct bt *bt = state;

	(void)answer;
	if (status != 400 && status != 401 && status != 403)
		return bl_source_explain(entry->path, status, false, err);
	return bl_cloud_fail(err, EPERM,
			     "%.200s: '%.150s': %s: the store does not accept the URL that the "
			     "platform gives for it, nor a new one; check this node's clock, and "
			     "the checkpoint's training job",
			     bt->input->item->source.text, entry->path,
			     bl_http_status_text(status));
}

const struct bl_source_ops bl_source_bt = {
	.scheme = BL_SCHEME_BT,
	.always_private = true,
	.open = bt_open,
	.close = bt_close,
	.list = bt_list,
	.locate = bt_locate,
	.explain = bt_explain,
};
