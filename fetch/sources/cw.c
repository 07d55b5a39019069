/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cw://bucket/path: CoreWeave AI Object Storage, which knows buckets by their host name alone. Any
 * region serves a signature there; the secret may name one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "fetch/sources/s3.h"

static int base(const struct bl_source *source, const char *region, char **ret, struct bl_err *err)
{
	(void)region;
	if (!bl_cloud_is_word(source->bucket, 63, "-"))
		return bl_cloud_fail(err, EINVAL, "'%.100s' is no bucket's name; check the source",
				     source->bucket);
	if (asprintf(ret, "https://%s.cwobject.com", source->bucket) < 0) {
		*ret = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

static const struct bl_s3_kind kind = {
	.endpoint = "cw",
	.region = "us-east-1",
	.moves = true,
	.base = base,
};

static int open_cw(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	return bl_s3_open(&kind, input, ret, err);
}

const struct bl_source_ops bl_source_cw = {
	.scheme = BL_SCHEME_CW,
	.always_private = true,
	.list_is_not_read = true,
	.open = open_cw,
	.close = bl_s3_close,
	.list = bl_s3_list,
	.locate = bl_s3_locate,
	.explain = bl_s3_explain,
};
