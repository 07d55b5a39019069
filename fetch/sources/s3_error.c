/* SPDX-License-Identifier: Apache-2.0 */
/* What S3's error codes mean for a person ("Error Responses", Amazon S3 API Reference). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "fetch/sources/s3.h"
#include "fetch/sources/s3_answer.h"

#define OTHER_REGION                                                                      \
	"the bucket lies in another region; set aws_region in the secret (with AWS_OIDC " \
	"aws_oidc_region) to it"

static const struct {
	const char *code;
	int errnum;
	const char *meaning; /* with the next step */
} meanings[] = {
	{"InvalidAccessKeyId", EACCES,
	 "the access key id is not known there; check aws_access_key_id in the secret"},
	{"SignatureDoesNotMatch", EACCES,
	 "aws_secret_access_key does not belong to this access key id; copy both again"},
	{"ExpiredToken", EACCES,
	 "the session token has expired; put a new key with its token into the secret"},
	{"TokenRefreshRequired", EACCES,
	 "the session token must be renewed; put a new key with its token into the secret"},
	{"InvalidToken", EACCES,
	 "aws_session_token does not belong to this access key; copy all three again"},
	{"InvalidTokenId", EACCES, /* MinIO's */
	 "aws_session_token does not belong to this access key; copy all three again"},
	{"InvalidClientTokenId", EACCES, "the key was not accepted; check the secret"},
	{"RequestTimeTooSkewed", EIO,
	 "this machine's clock is more than 15 minutes off; set it (timedatectl)"},
	{"AccessDenied", EPERM,
	 "the credential may not read it; it needs s3:ListBucket on the bucket and s3:GetObject on "
	 "the path"},
	{"AllAccessDisabled", EPERM, "access to the bucket is disabled; ask its owner"},
	{"InvalidObjectState", EPERM,
	 "it lies in an archive storage class; restore it first (s3:RestoreObject)"},
	{"NoSuchBucket", ENOENT, "there is no such bucket; check its spelling"},
	{"NoSuchKey", ENOENT, "there is no such object; check the path"},
	{"InvalidBucketName", EINVAL, "that is no bucket's name; check the source"},
	{"PermanentRedirect", EINVAL, OTHER_REGION},
	{"TemporaryRedirect", EINVAL, OTHER_REGION},
	{"AuthorizationHeaderMalformed", EINVAL, OTHER_REGION},
	{"RequestTimeout", EIO, "the store got the request too slowly; try again later"},
	{"SlowDown", EIO, "the store limits requests; try again later"},
};

int bl_s3_tell(const struct bl_s3_store *store, int status, const char *code, const char *key,
	       struct bl_err *err)
{
	const char *source = store->input->item->source.text;
	const char *text = bl_http_status_text(status);

	if (!*code && store->kind->moves && (status == 301 || status == 307))
		code = "PermanentRedirect";
	if (!store->kind->moves &&
	    (strcmp(code, "PermanentRedirect") == 0 || strcmp(code, "TemporaryRedirect") == 0 ||
	     strcmp(code, "AuthorizationHeaderMalformed") == 0))
		return bl_cloud_fail(err, EINVAL,
				     "%.200s: the store is of another region than '%s'; check the "
				     "operator's endpoint \"%s\" (%s)",
				     source, store->key.region, store->kind->endpoint, code);
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(meanings[i].code, code) == 0)
			return bl_cloud_fail(err, meanings[i].errnum, "%.200s%s%.100s: %s (%s)",
					     source, *key ? ": " : "", key, meanings[i].meaning,
					     code);
	/* Names of AWS's encryption keys: "KMS.DisabledException" and the like. */
	if (strncmp(code, "KMS.", 4) == 0)
		return bl_cloud_fail(err, EPERM,
				     "%.200s: its encryption key cannot be used (%s); the "
				     "credential needs kms:Decrypt on it",
				     source, code);
	if (status == 403)
		return bl_cloud_fail(err, EPERM,
				     "%.200s%s%.100s: %s%s%s: the credential may not read it; it "
				     "needs s3:ListBucket on the bucket and s3:GetObject on the "
				     "path; an object in an archive storage class must be restored",
				     source, *key ? ": " : "", key, text, *code ? ", " : "", code);
	/* Of a range's answer no code is known. */
	if (status == 400 && *key && !*code)
		return bl_cloud_fail(
			err, EPERM,
			"%.200s: %.100s: %s: the store does not give it; it may be encrypted "
			"by a key of the customer's own (SSE-C), which cannot be named here: "
			"store it without; or the session token has expired",
			source, key, text);
	char what[BL_CLOUD_CODE_MAX + 256];

	snprintf(what, sizeof(what), "%.200s%s%s%s", source, *code ? " (" : "", code,
		 *code ? ")" : "");
	return bl_source_explain(what, status, true, err);
}

int bl_s3_explain(void *state, const struct bl_entry *entry, int status,
		  const struct bl_http_headers *answer, struct bl_err *err)
{
	/* A range's answer has its error in a body that is not kept. */
	(void)answer;
	return bl_s3_tell(state, status, "", entry->path, err);
}
