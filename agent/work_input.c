// SPDX-License-Identifier: Apache-2.0
#include "agent/work_input.h"

#include <errno.h>
#include <string.h>

#include "agent/config.h"
#include "agent/secrets.h"
#include "agent/work_state.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"

#define CREDENTIAL_ROOM (6UL * BL_MAX_SECRET + 64) /* bytes of it, escaped, and of its key */

/* The object without its last brace, and without credentials. */
static int write_rest(const struct bl_work *work, const char *revision, struct bl_buf *text,
		      struct bl_err *err)
{
	auto_json input = bl_json_new_object();
	int r;

	if (!input || !bl_json_set_int(input, "schema", BL_JOB_SCHEMA) ||
	    !bl_json_set_string(input, "mode", work->resolving ? "resolve" : "fetch") ||
	    !bl_json_set_copy(input, "item", bl_json_first(work->list)) ||
	    !bl_json_set_copy(input, "config", work->works->config->job) ||
	    (revision && !bl_json_set_string(input, "revision", revision)))
		return bl_err_nomem(err);
	r = bl_json_write(text, input, err);
	if (r == 0)
		text->data[--text->len] = '\0';
	return r;
}

/* The secret that the item names; of a bucket's that is missing as the platform says it. */
static int read_secret(const struct bl_work *work, struct bl_buf *credential, struct bl_err *err)
{
	const struct bl_weights_item *item = bl_work_item(work);
	enum bl_scheme scheme = item->source.scheme;
	int r = bl_secrets_read(work->works->secrets_dir, work->tenant, item->auth_secret_name,
				credential, err);

	if (r == -ENOENT && (scheme == BL_SCHEME_S3 || scheme == BL_SCHEME_R2 ||
			     scheme == BL_SCHEME_CW || scheme == BL_SCHEME_AZURE))
		bl_err_wrap(err, "secret_id is required: ");
	return r;
}

/* The credential that the item names, and under which key the job gets it (NULL: none). */
static int read_credential(const struct bl_work *work, struct bl_buf *credential,
			   const char **ret_key, struct bl_err *err)
{
	const struct bl_weights_item *item = bl_work_item(work);
	const struct bl_works *works = work->works;

	*ret_key = NULL;
	switch (item->auth_method) {
	case BL_AUTH_AWS_OIDC:
	case BL_AUTH_GCP_OIDC:
		*ret_key = "identity_token";
		return bl_secrets_read_identity(
			works->config->identity_dir, work->tenant,
			item->auth_method == BL_AUTH_AWS_OIDC ? "aws" : "gcp", credential, err);
	case BL_AUTH_CUSTOM_SECRET:
		*ret_key = "secret";
		return read_secret(work, credential, err);
	case BL_AUTH_NONE:
		break;
	}
	if (item->source.scheme == BL_SCHEME_BT) { /* the platform signs in by itself */
		*ret_key = "identity_token";
		return bl_secrets_read_identity(works->config->identity_dir, work->tenant, "bt",
						credential, err);
	}
	if (!item->auth_secret_name)
		return 0;
	*ret_key = "secret";
	return read_secret(work, credential, err);
}

int bl_work_input(const struct bl_work *work, const char *revision, struct bl_buf *input,
		  struct bl_err *err)
{
	auto_buf credential = BL_BUF_INIT(BL_MAX_SECRET);
	auto_buf rest = BL_BUF_INIT(BL_WORK_INPUT_MAX - CREDENTIAL_ROOM);
	const char *key;
	int r = write_rest(work, revision, &rest, err);

	/* All the room at once: growing would leave copies of the secret behind. */
	if (r == 0 && (!bl_buf_reserve(input, rest.len + CREDENTIAL_ROOM, err) ||
		       !bl_buf_reserve(&credential, BL_MAX_SECRET, err)))
		r = -ENOMEM;
	if (r == 0)
		r = read_credential(work, &credential, &key, err);
	if (r == 0)
		r = bl_buf_append(input, rest.data, rest.len, err);
	if (r == 0 && key) {
		r = bl_buf_putf(input, err, ",\"%s\":", key);
		if (r == 0)
			r = bl_json_write_string(input, bl_buf_str(&credential), err);
	}
	if (r == 0)
		r = bl_buf_puts(input, "}", err);
	if (credential.data)
		explicit_bzero(credential.data, credential.cap);
	return r;
}
