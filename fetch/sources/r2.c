/* SPDX-License-Identifier: Apache-2.0 */
/*
 * r2://account_id.bucket/path: Cloudflare R2 ("S3 API compatibility", Cloudflare R2 documentation):
 * path-style, one region called "auto".
 */
#include <errno.h>
#include <stdio.h>

#include "common/err.h"
#include "fetch/sources/s3.h"

static int base(const struct bl_source *source, const char *region, char **ret, struct bl_err *err)
{
	(void)region;
	if (!bl_cloud_is_word(source->account, 63, "-") ||
	    !bl_cloud_is_word(source->bucket, 255, ".-_"))
		return bl_cloud_fail(err, EINVAL,
				     "'%.60s.%.60s' is not ACCOUNT_ID.BUCKET; check the source",
				     source->account, source->bucket);
	if (asprintf(ret, "https://%s.r2.cloudflarestorage.com/%s", source->account,
		     source->bucket) < 0) {
		*ret = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

static const struct bl_s3_kind kind = {.endpoint = "r2", .region = "auto", .base = base};

static int open_r2(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	return bl_s3_open(&kind, input, ret, err);
}

const struct bl_source_ops bl_source_r2 = {
	.scheme = BL_SCHEME_R2,
	.always_private = true,
	.list_is_not_read = true,
	.open = open_r2,
	.close = bl_s3_close,
	.list = bl_s3_list,
	.locate = bl_s3_locate,
	.explain = bl_s3_explain,
};
