/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The credential of an S3 source, from a secret or by OIDC. The messages are those of the platform
 * whose config.yaml this is, so that its users find them where they look.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/oidc.h"
#include "fetch/sources/s3.h"

#define REGION_MOST 32 /* bytes; a key of AWS has 40 */

/* What stands in a secret's wrong place may be a key: it is never shown, and no host is named after it. */
static int check_region(const char *region, const char *where, struct bl_err *err)
{
	size_t len = strlen(region);

	if (len == 0 || len > REGION_MOST ||
	    strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != len)
		return bl_cloud_fail(err, EINVAL, "%s: is no region; write it like us-east-1",
				     where);
	return 0;
}

static int wrong_names(const bl_json *json, struct bl_err *err)
{
	static const char message[] =
		"aws_access_key_id and aws_secret_access_key are required in S3 credentials";
	static const char *const usual[] = {"access_key_id", "secret_access_key", "accessKeyId",
					    "AccessKeyId", "AWS_ACCESS_KEY_ID"};
	const bl_json *value;

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (bl_json_get(json, usual[i], &value, NULL) > 0)
			return bl_cloud_fail(err, EINVAL,
					     "%s: the secret has \"%s\"; use exactly the names "
					     "aws_access_key_id, aws_secret_access_key and "
					     "aws_region",
					     message, usual[i]);
	return bl_cloud_fail(err, EINVAL, "%s: use exactly these names in the secret's JSON",
			     message);
}

/* 1 where the key is there, 0 where not: any fault of one of the two names is told alike. */
static int key_part(const bl_json *json, const char *name, char **ret, struct bl_err *err)
{
	const bl_json *value = NULL;

	if (bl_json_get(json, name, &value, NULL) <= 0)
		return wrong_names(json, err);
	int r = bl_cloud_secret_text(json, name, ret, err);
	return r == 0 ? wrong_names(json, err) : r;
}

static int take_secret(struct bl_s3_store *store, struct bl_err *err)
{
	struct bl_sigv4_key *key = &store->key;
	auto_json json = NULL;
	int r = bl_cloud_parse_secret(store->input->secret, "S3 credentials", &json, err);

	if (r >= 0)
		r = key_part(json, "aws_access_key_id", &key->id, err);
	if (r >= 0)
		r = key_part(json, "aws_secret_access_key", &key->secret, err);
	if (r >= 0)
		r = bl_cloud_secret_text(json, "aws_session_token", &key->session, err);
	if (r >= 0 && store->kind->moves)
		r = bl_cloud_secret_text(json, "aws_region", &key->region, err);
	if (r >= 0 && key->region)
		r = check_region(key->region, "aws_region in the secret", err);
	return r < 0 ? r : 0;
}

int bl_s3_key_take(struct bl_s3_store *store, struct bl_err *err)
{
	const struct bl_weights_item *item = store->input->item;
	const char *scheme = bl_weights_scheme_name(item->source.scheme);
	int r = 0;

	store->key.service = "s3";
	if (item->auth_method == BL_AUTH_AWS_OIDC && item->source.scheme == BL_SCHEME_S3) {
		r = check_region(item->aws_oidc_region, "aws_oidc_region", err);
		if (r < 0)
			return r;
		store->key.region = strdup(item->aws_oidc_region);
		return store->key.region ? bl_s3_key_renew(store, true, err) : bl_err_nomem(err);
	}
	if (item->auth_method != BL_AUTH_CUSTOM_SECRET)
		return bl_cloud_fail(err, EINVAL,
				     "secret_id is required: a source of %s:// needs auth: "
				     "{auth_method: CUSTOM_SECRET, auth_secret_name: NAME}",
				     scheme);
	if (!store->input->secret)
		return bl_cloud_fail(err, EACCES,
				     "secret_id is required: this tenant has no secret '%.100s'",
				     item->auth_secret_name);
	r = take_secret(store, err);
	if (r == 0 && !store->key.region && !(store->key.region = strdup(store->kind->region)))
		r = bl_err_nomem(err);
	return r;
}

int bl_s3_key_renew(struct bl_s3_store *store, bool now, struct bl_err *err)
{
	const struct bl_weights_item *item = store->input->item;
	struct bl_oidc_aws oidc = {
		.http = store->input->http,
		.role_arn = item->aws_oidc_role_arn,
		.region = item->aws_oidc_region,
		.identity_token = store->input->identity_token,
	};

	int64_t time_now = (int64_t)time(NULL);
	int r;

	if (item->auth_method != BL_AUTH_AWS_OIDC || (!now && time_now < store->renew_at))
		return 0;
	r = bl_oidc_aws_exchange(&oidc, &store->key, &store->expires, err);
	store->renew_at = r < 0 ? time_now + BL_OIDC_PAUSE : store->expires - BL_OIDC_MARGIN;
	return r < 0 ? bl_oidc_renewal_failed(r, now ? INT64_MAX : time_now, store->expires, err)
		     : r;
}
