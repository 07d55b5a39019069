/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/auth/oidc.h"

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
#include "fetch/xml.h"

#define ANSWER_MAX (256 * 1024)
#define URL_MAX	   4096

int64_t bl_oidc_parse_time(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (end && *end == '.')
		end += 1 + strspn(end + 1, "0123456789");
	return end && strcmp(end, "Z") == 0 ? (int64_t)timegm(&tm) : -1;
}

static int no_token(const char *method, const char *cloud, struct bl_err *err)
{
	return bl_cloud_fail(err, EINVAL,
			     "%s: there is no identity token for this tenant: the operator puts it "
			     "into IDENTITY_DIR/TENANT/%s (identity_dir of the agent's "
			     "configuration)",
			     method, cloud);
}

/* The identity token alone, the caller's to wipe. */
static int take_token(const char *text, const char *method, const char *cloud, char **ret,
		      struct bl_err *err)
{
	int r = text ? bl_token_take(text, ret) : 0;

	if (!text)
		return no_token(method, cloud, err);
	if (r == -EINVAL)
		return bl_cloud_fail(
			err, EINVAL,
			"%s: the identity token of this tenant is empty or more than "
			"one word: whoever writes IDENTITY_DIR/TENANT/%s must write the "
			"token alone",
			method, cloud);
	return r < 0 ? bl_err_nomem(err) : 0;
}

/* ---- AWS ---- */

struct aws_answer {
	char *id, *secret, *session, *code;
	int64_t expires;
};

static void aws_answer_done(struct aws_answer *answer)
{
	bl_crypto_free_secret(&answer->id);
	bl_crypto_free_secret(&answer->secret);
	bl_crypto_free_secret(&answer->session);
	free(answer->code);
}

#define auto_aws_answer __attribute__((cleanup(aws_answer_done))) struct aws_answer

static int on_aws_element(void *ctx, const char *path, const char *text, size_t len,
			  struct bl_err *err)
{
	struct aws_answer *answer = ctx;
	const char *name = strrchr(path, '/');
	char **to = NULL;

	(void)len;
	if (!name)
		return 0;
	if (strcmp(name, "/AccessKeyId") == 0)
		to = &answer->id;
	else if (strcmp(name, "/SecretAccessKey") == 0)
		to = &answer->secret;
	else if (strcmp(name, "/SessionToken") == 0)
		to = &answer->session;
	else if (strcmp(path, "ErrorResponse/Error/Code") == 0)
		to = &answer->code;
	else if (strcmp(name, "/Expiration") == 0)
		answer->expires = bl_oidc_parse_time(text);
	if (!to)
		return 0;
	/* What could not stand in a header is as good as missing. */
	bl_crypto_free_secret(to);
	return bl_token_take(text, to) == -ENOMEM ? bl_err_nomem(err) : 0;
}

int bl_oidc_read_aws(const char *xml, size_t len, struct bl_sigv4_key *key, int64_t *expires,
		     struct bl_err *err)
{
	auto_aws_answer answer = {.expires = -1};
	int r = bl_xml_parse(xml, len, on_aws_element, &answer, err);

	if (r < 0)
		return r == -ENOMEM ? r
				    : bl_cloud_fail(err, EIO,
						    "AWS_OIDC: AWS STS: %.200s; check the endpoint "
						    "\"sts\", and a proxy before it",
						    err ? err->msg : "");
	if (!answer.id || !answer.secret || !answer.session || answer.expires < 0)
		return bl_cloud_fail(err, EIO,
				     "AWS_OIDC: AWS STS answers without credentials that could be "
				     "used; try again later");
	bl_crypto_free_secret(&key->id);
	bl_crypto_free_secret(&key->secret);
	bl_crypto_free_secret(&key->session);
	key->id = TAKE_PTR(answer.id);
	key->secret = TAKE_PTR(answer.secret);
	key->session = TAKE_PTR(answer.session);
	*expires = answer.expires;
	return 0;
}

/* Errors with status 400 that another try may not meet. */
static bool is_passing(const char *code)
{
	static const char *const codes[] = {"IDPCommunicationError", "Throttling",
					    "ThrottlingException", "RequestLimitExceeded"};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (strcmp(codes[i], code) == 0)
			return true;
	return false;
}

static int aws_failed(const struct bl_oidc_aws *oidc, const struct bl_http_answer *http,
		      struct bl_err *err)
{
	auto_aws_answer answer = {0};
	const char *code = "";

	if (bl_xml_parse(bl_buf_str(&http->body), http->body.len, on_aws_element, &answer, NULL) ==
		    0 &&
	    answer.code && bl_cloud_is_code(answer.code))
		code = answer.code;
	if (strcmp(code, "ExpiredTokenException") == 0)
		return bl_cloud_fail(err, EACCES,
				     "AWS_OIDC: the identity token has expired (%s); whoever "
				     "writes it must renew it",
				     code);
	if (strcmp(code, "InvalidIdentityToken") == 0 || strcmp(code, "IDPRejectedClaim") == 0)
		return bl_cloud_fail(err, EACCES,
				     "AWS_OIDC: AWS does not accept the identity token (%s); check "
				     "the identity provider in IAM: its URL and its audience",
				     code);
	if (http->status == 403 || strcmp(code, "AccessDenied") == 0)
		return bl_cloud_fail(err, EPERM,
				     "AWS_OIDC: the role %.120s may not be assumed with this token "
				     "(%s); check the role's trust policy: provider, audience, "
				     "subject",
				     oidc->role_arn, *code ? code : "403");
	if (http->status >= 500 || http->status == 429 || is_passing(code))
		return bl_cloud_fail(err, EIO, "AWS_OIDC: AWS STS fails (%s); try again later",
				     *code ? code : bl_http_status_text(http->status));
	return bl_cloud_fail(err, EINVAL,
			     "AWS_OIDC: AWS STS answers %s (%s); check aws_oidc_role_arn and "
			     "aws_oidc_region",
			     bl_http_status_text(http->status), *code ? code : "no code");
}

static int put_parameter(struct bl_buf *to, const char *name, const char *value, struct bl_err *err)
{
	auto_secret encoded = bl_url_encode(value, false);

	return encoded ? bl_buf_putf(to, err, "&%s=%s", name, encoded) : bl_err_nomem(err);
}

static int aws_url(const struct bl_oidc_aws *oidc, char *to, size_t size, struct bl_err *err)
{
	const char *endpoint = bl_net_endpoint(bl_http_net(oidc->http), "sts");

	if (!bl_cloud_is_word(oidc->region, 40, "-"))
		return bl_cloud_fail(err, EINVAL, "aws_oidc_region: '%.40s' is no AWS region",
				     oidc->region);
	if (endpoint)
		snprintf(to, size, "%s/", endpoint);
	else
		snprintf(to, size, "https://sts.%s.%s/", oidc->region,
			 bl_cloud_aws_domain(oidc->region));
	return 0;
}

/* A POST of a credential; the answer's status is the caller's to judge. */
static int post(const struct bl_http *beside, const char *url, const char *type,
		const struct bl_http_auth *auth, const struct bl_buf *body,
		struct bl_http_answer *answer, struct bl_err *err)
{
	auto_http http = NULL;
	auto_headers headers = {0};
	struct bl_http_request request = {
		.method = "POST",
		.url = url,
		.headers = &headers,
		.auth = auth,
		.body = body->data,
		.body_len = body->len,
		.max_body = ANSWER_MAX,
		.retry_post = true,
	};
	int r = bl_http_new_beside(beside, &http, err);

	if (r >= 0)
		r = bl_http_headers_add(&headers, "Content-Type", type, err);
	return r < 0 ? r : bl_http_perform(http, &request, answer, err);
}

int bl_oidc_aws_exchange(const struct bl_oidc_aws *oidc, struct bl_sigv4_key *key, int64_t *expires,
			 struct bl_err *err)
{
	auto_secret_buf body = BL_BUF_INIT(256 * 1024);
	auto_secret token = NULL;
	auto_answer answer = {0};
	char url[URL_MAX];
	int r;

	r = take_token(oidc->identity_token, "AWS_OIDC", "aws", &token, err);
	if (r >= 0)
		r = aws_url(oidc, url, sizeof(url), err);
	if (r >= 0)
		r = bl_buf_putf(&body, err,
				"Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
				"&DurationSeconds=%d&RoleSessionName=ballast",
				BL_OIDC_LIFETIME);
	if (r >= 0)
		r = put_parameter(&body, "RoleArn", oidc->role_arn, err);
	if (r >= 0)
		r = put_parameter(&body, "WebIdentityToken", token, err);
	if (r >= 0)
		r = post(oidc->http, url, "application/x-www-form-urlencoded", NULL, &body, &answer,
			 err);
	if (r < 0)
		return r;
	if (answer.status != 200)
		return aws_failed(oidc, &answer, err);
	return bl_oidc_read_aws(bl_buf_str(&answer.body), answer.body.len, key, expires, err);
}

int bl_oidc_renewal_failed(int r, int64_t now, int64_t expires, struct bl_err *err)
{
	const struct bl_err why = *err;

	if (expires == 0)
		return r;
	if (now < expires)
		return 0;
	return r == -EACCES
		       ? bl_cloud_fail(err, EIO, "%.400s; what has come so far is kept", why.msg)
		       : r;
}

/* ---- Google ---- */

/* What both calls answer when they fail; `step` is what to look at for a refusal. */
static int google_failed(const struct bl_http_answer *answer, const char *call, const char *step,
			 struct bl_err *err)
{
	const char *status = bl_http_status_text(answer->status);
	char code[BL_CLOUD_CODE_MAX];

	bl_google_read_error(bl_buf_str(&answer->body), answer->body.len, code);
	if (answer->status >= 500 || answer->status == 429)
		return bl_cloud_fail(err, EIO, "GCP_OIDC: %s fails: %s; try again later", call,
				     status);
	return bl_cloud_fail(err, answer->status == 403 ? EPERM : EACCES,
			     "GCP_OIDC: %s answers %s (%s); %s", call, status, code, step);
}

static int exchange_body(const struct bl_oidc_google *oidc, struct bl_buf *to, struct bl_err *err)
{
	auto_json json = bl_json_new_object();
	auto_secret token = NULL;
	char audience[2304];
	int r = take_token(oidc->identity_token, "GCP_OIDC", "gcp", &token, err);

	if (r < 0)
		return r;
	snprintf(audience, sizeof(audience), "//iam.googleapis.com/%s", oidc->provider);
	if (!json ||
	    !bl_json_set_string(json, "grantType",
				"urn:ietf:params:oauth:grant-type:token-exchange") ||
	    !bl_json_set_string(json, "audience", audience) ||
	    !bl_json_set_string(json, "scope", "https://www.googleapis.com/auth/cloud-platform") ||
	    !bl_json_set_string(json, "requestedTokenType",
				"urn:ietf:params:oauth:token-type:access_token") ||
	    !bl_json_set_string(json, "subjectToken", token) ||
	    !bl_json_set_string(json, "subjectTokenType", "urn:ietf:params:oauth:token-type:jwt"))
		return bl_err_nomem(err);
	return bl_json_write(to, json, err);
}

/* The federated token, good for nothing but to become the service account. */
static int exchange(const struct bl_oidc_google *oidc, char **token, struct bl_err *err)
{
	const char *endpoint = bl_net_endpoint(bl_http_net(oidc->http), "sts");
	auto_secret_buf body = BL_BUF_INIT(256 * 1024);
	auto_answer answer = {0};
	int64_t seconds = 0; /* it is used at once */
	char url[URL_MAX];
	int r = exchange_body(oidc, &body, err);

	snprintf(url, sizeof(url), "%s/v1/token",
		 endpoint ? endpoint : "https://sts.googleapis.com");
	if (r >= 0)
		r = post(oidc->http, url, "application/json", NULL, &body, &answer, err);
	if (r < 0)
		return r;
	if (answer.status != 200)
		return google_failed(&answer, "the token exchange",
				     "check gcp_oidc_workload_id_provider, and whether the "
				     "provider accepts the token's issuer and audience",
				     err);
	r = bl_google_read_token(bl_buf_str(&answer.body), answer.body.len, token, &seconds);
	if (r == -EPROTO)
		return bl_cloud_fail(err, EIO,
				     "GCP_OIDC: the token exchange answers without a "
				     "token; try again later");
	return r < 0 ? bl_err_nomem(err) : 0;
}

static int add_bearer(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		      struct bl_err *err)
{
	(void)hop;
	return bl_token_add(headers, "Bearer", ctx, err);
}

static int read_impersonation(const struct bl_http_answer *answer, char **token, int64_t *expires,
			      struct bl_err *err)
{
	int r = bl_google_read_impersonation(bl_buf_str(&answer->body), answer->body.len, token,
					     expires);

	if (r == -EPROTO)
		return bl_cloud_fail(err, EIO,
				     "GCP_OIDC: generateAccessToken answers without a "
				     "token; try again later");
	return r < 0 ? bl_err_nomem(err) : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): a transfer's context is no const */
static int impersonate(const struct bl_oidc_google *oidc, char *federated, char **token,
		       int64_t *expires, struct bl_err *err)
{
	static const char body_text[] =
		"{\"lifetime\":\"3600s\",\"scope\":"
		"[\"https://www.googleapis.com/auth/devstorage.read_only\"]}";
	const char *endpoint = bl_net_endpoint(bl_http_net(oidc->http), "sts");
	auto_free char *account = bl_url_encode(oidc->service_account, false);
	auto_buf body = BL_BUF_INIT(sizeof(body_text));
	auto_url parsed = {0};
	auto_answer answer = {0};
	char url[URL_MAX];
	int r = account ? bl_buf_puts(&body, body_text, err) : bl_err_nomem(err);

	if (r < 0)
		return r;
	snprintf(url, sizeof(url), "%s/v1/projects/-/serviceAccounts/%s:generateAccessToken",
		 endpoint ? endpoint : "https://iamcredentials.googleapis.com", account);
	r = bl_url_parse(url, NULL, &parsed, err);
	if (r < 0)
		return r;
	struct bl_http_auth auth = {parsed.origin, add_bearer, federated};
	r = post(oidc->http, url, "application/json", &auth, &body, &answer, err);
	if (r < 0)
		return r;
	if (answer.status != 200)
		return google_failed(&answer, "generateAccessToken",
				     "check gcp_oidc_service_account, and whether the pool's "
				     "principal has roles/iam.workloadIdentityUser on it",
				     err);
	return read_impersonation(&answer, token, expires, err);
}

int bl_oidc_google_exchange(const struct bl_oidc_google *oidc, char **token, int64_t *expires,
			    struct bl_err *err)
{
	auto_secret federated = NULL;
	int r = exchange(oidc, &federated, err);

	return r < 0 ? r : impersonate(oidc, federated, token, expires, err);
}
