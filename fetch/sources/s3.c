/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3://bucket/path: Amazon S3, or the operator's server of the same protocol (endpoint "s3").
 * Buckets are asked by their own host name, as AWS wants it ("Virtual hosting of buckets", Amazon
 * S3 User Guide), but where the name does not fit into a certificate's wildcard.
 */
#include "fetch/sources/s3.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"

static int base(const struct bl_source *source, const char *region, char **ret, struct bl_err *err)
{
	const char *bucket = source->bucket;
	const char *domain = bl_cloud_aws_domain(region);
	int n;

	if (!bl_cloud_is_word(bucket, 255, ".-_"))
		return bl_cloud_fail(err, EINVAL, "'%.100s' is no bucket's name; check the source",
				     bucket);
	/* A host name has small letters, and a wildcard stands for one part of it. */
	if (strpbrk(bucket, "._ABCDEFGHIJKLMNOPQRSTUVWXYZ") || strlen(bucket) > 63)
		n = asprintf(ret, "https://s3.%s.%s/%s", region, domain, bucket);
	else
		n = asprintf(ret, "https://%s.s3.%s.%s", bucket, region, domain);
	if (n < 0) {
		*ret = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

static const struct bl_s3_kind kind = {
	.endpoint = "s3",
	.region = "us-east-1",
	.moves = true,
	.base = base,
};

static int open_s3(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	return bl_s3_open(&kind, input, ret, err);
}

const struct bl_source_ops bl_source_s3 = {
	.scheme = BL_SCHEME_S3,
	.always_private = true,
	.list_is_not_read = true,
	.open = open_s3,
	.close = bl_s3_close,
	.list = bl_s3_list,
	.locate = bl_s3_locate,
	.explain = bl_s3_explain,
};
