/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/auth/google.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/google_answer.h"
#include "fetch/auth/token.h"
#include "fetch/sources/cloud.h"

#define TOKEN_URI "https://oauth2.googleapis.com/token"
#define SCOPE	  "https://www.googleapis.com/auth/devstorage.read_only"
#define WHAT	  "the service account's key"

/* ---- The key ---- */

static int required(const bl_json *json, const char *key, char **ret, struct bl_err *err)
{
	int r = bl_cloud_secret_text(json, key, ret, err);

	if (r == 0)
		return bl_cloud_fail(err, EINVAL,
				     WHAT " has no \"%s\": store the JSON file of the key as a "
					  "whole",
				     key);
	return r;
}

/* Of PEM, line breaks are a part: the check for control characters does not fit. */
static int required_pem(const bl_json *json, const char *key, char **ret, struct bl_err *err)
{
	const bl_json *value = NULL;
	const char *text = NULL;
	int r = bl_json_get(json, key, &value, err);

	if (r > 0 && !bl_json_is_null(value))
		r = bl_json_get_string(json, key, &text, err);
	if (r < 0)
		return r;
	if (!text || !*text)
		return bl_cloud_fail(err, EINVAL,
				     WHAT " has no \"%s\": store the JSON file of the key as a "
					  "whole",
				     key);
	*ret = strdup(text);
	return *ret ? 0 : bl_err_nomem(err);
}

/* No other value of a secret is shown. */
static const char *show_type(const char *type)
{
	static const char *const others[] = {
		"authorized_user", "external_account", "external_account_authorized_user",
		"gdch_service_account", "impersonated_service_account"};

	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (strcmp(type, others[i]) == 0)
			return others[i];
	return "another type";
}

static int check_type(const bl_json *json, const struct bl_net *net, struct bl_err *err)
{
	auto_free char *type = NULL;
	auto_free char *uri = NULL;
	int r = required(json, "type", &type, err);

	if (r < 0)
		return r;
	if (strcmp(type, "service_account") != 0)
		return bl_cloud_fail(err, EINVAL,
				     "the secret is a Google credential of %s; put a service "
				     "account's key there (\"type\": \"service_account\")",
				     show_type(type));
	r = bl_cloud_secret_text(json, "token_uri", &uri, err);
	if (r <= 0 || bl_net_endpoint(net, "sts"))
		return r;
	/* Keys of earlier years name older addresses of the same server. */
	if (strcmp(uri, TOKEN_URI) != 0 &&
	    strcmp(uri, "https://accounts.google.com/o/oauth2/token") != 0 &&
	    strcmp(uri, "https://www.googleapis.com/oauth2/v4/token") != 0)
		return bl_cloud_fail(err, EINVAL,
				     "token_uri of " WHAT " is not " TOKEN_URI
				     ": a token is asked for nowhere else; store the key as Google "
				     "gave it, or let the operator name the endpoint \"sts\"");
	return 0;
}

/* A key of a sovereign cloud is good for nothing at Google's own hosts. */
static int check_universe(const bl_json *json, const struct bl_net *net, struct bl_err *err)
{
	auto_free char *universe = NULL;
	int r = bl_cloud_secret_text(json, "universe_domain", &universe, err);

	if (r <= 0 || strcmp(universe, "googleapis.com") == 0 ||
	    (bl_net_endpoint(net, "sts") && bl_net_endpoint(net, "gs")))
		return r;
	return bl_cloud_fail(err, EINVAL,
			     WHAT " is of another cloud than googleapis.com (universe_domain): the "
				  "operator must name the endpoints \"gs\" and \"sts\" of it");
}

/* A key that cannot sign is told now, not after a listing. */
static int check_private_key(const char *private_key, struct bl_err *err)
{
	auto_buf proof = BL_BUF_INIT(4096);
	int r = bl_crypto_rs256(&proof, private_key, "", err);

	if (r == -EINVAL)
		return bl_cloud_fail(
			err, EINVAL,
			"private_key of " WHAT " is no RSA key in PEM: store the JSON "
			"file as it was downloaded; its line breaks are a backslash and "
			"an n, once");
	return r;
}

int bl_google_init_key(struct bl_google *google, const struct bl_http *http, const char *text,
		       struct bl_err *err)
{
	struct bl_google made = {.http = http};
	auto_json json = NULL;
	int r = bl_cloud_parse_secret(text, "Google Cloud credentials", &json, err);

	if (r >= 0)
		r = check_type(json, bl_http_net(http), err);
	if (r >= 0)
		r = check_universe(json, bl_http_net(http), err);
	if (r >= 0)
		r = required(json, "client_email", &made.email, err);
	if (r >= 0)
		r = required_pem(json, "private_key", &made.private_key, err);
	if (r >= 0)
		r = check_private_key(made.private_key, err);
	if (r < 0) {
		bl_google_done(&made);
		return r;
	}
	*google = made;
	return 0;
}

void bl_google_init_oidc(struct bl_google *google, const struct bl_oidc_google *oidc)
{
	*google = (struct bl_google){.http = oidc->http, .oidc = *oidc};
}

void bl_google_done(struct bl_google *google)
{
	free(google->email);
	bl_crypto_free_secret(&google->private_key);
	bl_crypto_free_secret(&google->token);
	*google = (struct bl_google){0};
}

void bl_google_renew(struct bl_google *google)
{
	bl_crypto_free_secret(&google->token);
}

/* ---- The assertion ---- */

static int put_claims(struct bl_buf *to, const struct bl_google *google, const char *audience,
		      int64_t now, struct bl_err *err)
{
	auto_json json = bl_json_new_object();
	auto_buf text = BL_BUF_INIT(8192);
	int r;

	if (!json || !bl_json_set_string(json, "iss", google->email) ||
	    !bl_json_set_string(json, "scope", SCOPE) ||
	    !bl_json_set_string(json, "aud", audience) || !bl_json_set_int(json, "iat", now) ||
	    !bl_json_set_int(json, "exp", now + BL_OIDC_LIFETIME))
		return bl_err_nomem(err);
	r = bl_json_write(&text, json, err);
	return r < 0 ? r : bl_crypto_base64url(to, text.data, text.len, err);
}

/* The signed assertion (JWT) for `audience` at the time `now`, the caller's. */
static int make_assertion(const struct bl_google *google, const char *audience, int64_t now,
			  char **ret, struct bl_err *err)
{
	static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
	auto_secret_buf token = BL_BUF_INIT(32768);
	auto_buf signature = BL_BUF_INIT(4096);
	int r = bl_crypto_base64url(&token, header, strlen(header), err);

	if (r >= 0)
		r = bl_buf_puts(&token, ".", err);
	if (r >= 0)
		r = put_claims(&token, google, audience, now, err);
	if (r >= 0)
		r = bl_crypto_rs256(&signature, google->private_key, token.data, err);
	if (r >= 0)
		r = bl_buf_puts(&token, ".", err);
	if (r >= 0)
		r = bl_crypto_base64url(&token, signature.data, signature.len, err);
	if (r >= 0)
		*ret = bl_buf_take(&token);
	return r;
}

/* ---- The token ---- */

static int failed(const struct bl_http_answer *answer, struct bl_err *err)
{
	const char *status = bl_http_status_text(answer->status);

	if (answer->status >= 500 || answer->status == 429)
		return bl_cloud_fail(err, EIO, "Google's token server fails: %s; try again later",
				     status);
	return bl_cloud_fail(err, EACCES,
			     "Google does not accept " WHAT " (%s): check that the key was not "
			     "deleted, the account not disabled, and that this machine's clock is "
			     "right",
			     status);
}

static int read_token(const struct bl_http_answer *answer, int64_t now, char **ret,
		      int64_t *expires, struct bl_err *err)
{
	int64_t seconds = BL_OIDC_LIFETIME;
	int r = bl_google_read_token(bl_buf_str(&answer->body), answer->body.len, ret, &seconds);

	if (r == -EPROTO)
		return bl_cloud_fail(err, EIO,
				     "Google's token server answers without a token; "
				     "try again later");
	*expires = now + seconds;
	return r < 0 ? bl_err_nomem(err) : 0;
}

/* With the key: assertion against token. */
static int ask(struct bl_google *google, int64_t now, char **ret, int64_t *expires,
	       struct bl_err *err)
{
	const char *endpoint = bl_net_endpoint(bl_http_net(google->http), "sts");
	auto_secret assertion = NULL;
	auto_secret_buf body = BL_BUF_INIT(65536);
	auto_http http = NULL;
	auto_headers headers = {0};
	auto_answer answer = {0};
	auto_free char *url = NULL;
	int r = make_assertion(google, TOKEN_URI, now, &assertion, err);

	if (r < 0)
		return r;
	if (asprintf(&url, "%s/token", endpoint ? endpoint : "https://oauth2.googleapis.com") < 0) {
		url = NULL;
		return bl_err_nomem(err);
	}
	r = bl_buf_putf(&body, err,
			"grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer"
			"&assertion=%s",
			assertion);
	if (r >= 0)
		r = bl_http_headers_add(&headers, "Content-Type",
					"application/x-www-form-urlencoded", err);
	/* Connections of its own: another request may be half prepared on the job's. */
	if (r >= 0)
		r = bl_http_new_beside(google->http, &http, err);
	if (r < 0)
		return r;
	struct bl_http_request request = {.method = "POST",
					  .url = url,
					  .headers = &headers,
					  .body = body.data,
					  .body_len = body.len,
					  .max_body = BL_GOOGLE_ANSWER_MAX,
					  .retry_post = true};
	r = bl_http_perform(http, &request, &answer, err);
	if (r < 0)
		return r;
	return answer.status == 200 ? read_token(&answer, now, ret, expires, err)
				    : failed(&answer, err);
}

static int renew(struct bl_google *google, int64_t now, struct bl_err *err)
{
	auto_secret token = NULL;
	int64_t expires = 0;
	int r = google->oidc.provider
			? bl_oidc_google_exchange(&google->oidc, &token, &expires, err)
			: ask(google, now, &token, &expires, err);

	if (r < 0) {
		google->renew_at = now + BL_OIDC_PAUSE;
		return bl_oidc_renewal_failed(r, google->token ? now : INT64_MAX, google->expires,
					      err);
	}
	bl_crypto_free_secret(&google->token);
	google->token = TAKE_PTR(token);
	google->expires = expires;
	google->renew_at = expires - BL_OIDC_MARGIN;
	return 0;
}

int bl_google_sign(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		   struct bl_err *err)
{
	struct bl_google *google = ctx;
	int64_t now = (int64_t)time(NULL);
	int r = 0;

	(void)hop;
	if (!google->token || now >= google->renew_at)
		r = renew(google, now, err);
	if (r < 0)
		return r;
	return bl_token_add(headers, "Bearer", google->token, err);
}
