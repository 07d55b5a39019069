/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/session.h"

#include <errno.h>

#include "common/cleanup.h"
#include "common/err.h"

void bl_session_done(struct bl_session *session)
{
	int saved = errno;

	bl_manifest_free(&session->manifest);
	if (session->state && session->ops->close)
		session->ops->close(session->state);
	bl_http_free(&session->http);
	bl_net_free(&session->net);
	bl_weights_done(&session->weights);
	*session = (struct bl_session){0};
	errno = saved;
}

static int read_item(struct bl_session *session, const bl_json *item, struct bl_err *err)
{
	auto_json list = bl_json_new_array();

	if (!list || !bl_json_set_copy(list, NULL, item))
		return bl_err_nomem(err);
	return bl_weights_from_json(list, &session->weights, err);
}

int bl_session_open(struct bl_session *session, const bl_json *item, const bl_json *config,
		    const char *secret, const char *identity_token, const char *revision,
		    struct bl_err *err)
{
	auto_session fresh = {0};
	int rc;

	if ((rc = read_item(&fresh, item, err)) < 0 ||
	    (rc = bl_net_new(config, &fresh.net, err)) < 0 ||
	    (rc = bl_http_new(fresh.net, &fresh.http, err)) < 0)
		return rc;
	const struct bl_source *source = &fresh.weights.items[0].source;
	fresh.ops = bl_source_find(source->scheme);
	if (!fresh.ops)
		return bl_err_config(err, "%.200s: this build has no %s:// sources", source->text,
				     bl_weights_scheme_name(source->scheme));
	*session = fresh;
	fresh = (struct bl_session){0};
	session->input = (struct bl_source_input){
		.item = &session->weights.items[0],
		.http = session->http,
		.secret = secret,
		.identity_token = identity_token,
		.revision = revision,
	};
	return session->ops->open(&session->input, &session->state, err);
}

int bl_session_list(struct bl_session *session, bl_manifest_watch *watch, void *ctx,
		    struct bl_err *err)
{
	const struct bl_weights_item *item = session->input.item;
	bool credential = false;

	bl_manifest_free(&session->manifest);
	int rc = bl_manifest_new((const char *const *)item->allow_patterns,
				 (const char *const *)item->ignore_patterns, &session->manifest,
				 err);
	if (rc < 0)
		return rc;
	if (watch)
		bl_manifest_set_watch(session->manifest, watch, ctx);
	if ((rc = session->ops->list(session->state, session->manifest, &credential, err)) < 0 ||
	    (rc = bl_manifest_finish(session->manifest, err)) < 0)
		return rc;
	session->credential = credential || session->ops->always_private;
	return 0;
}

int bl_session_prove(struct bl_session *session, struct bl_err *err)
{
	const struct bl_source_ops *ops = session->ops;
	const struct bl_entry *entry = bl_manifest_largest(session->manifest, false);
	auto_location location = BL_LOCATION_INIT;
	auto_answer answer = {0};
	int rc;

	if (!ops->list_is_not_read || !entry)
		return 0;
	if ((rc = ops->locate(session->state, entry, false, &location, err)) < 0 ||
	    (rc = bl_http_headers_add(&location.headers, "Range", "bytes=0-0", err)) < 0)
		return rc;
	struct bl_http_request request = {
		.url = location.url,
		.headers = &location.headers,
		.auth = location.auth,
		.head_only = true,
	};
	if ((rc = bl_http_perform(session->http, &request, &answer, err)) < 0)
		return rc;
	if (answer.status == 200 || answer.status == 206)
		return 0;
	return ops->explain
		       ? ops->explain(session->state, entry, answer.status, &answer.headers, err)
		       : bl_source_explain(entry->path, answer.status, true, err);
}
