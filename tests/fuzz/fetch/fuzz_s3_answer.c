// SPDX-License-Identifier: Apache-2.0
/* Pages and errors of S3's protocol: what is let through is bounded and has no NUL. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/s3_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_s3_page page = {0};
	struct bl_s3_error error;
	struct bl_err err;

	if (bl_s3_page_parse((const char *)data, size, &page, &err) == 0) {
		assert(page.count <= BL_S3_PAGE_MAX);
		for (size_t i = 0; i < page.count; i++)
			assert(page.objects[i].key && page.objects[i].size >= 0);
	}
	bl_s3_error_parse((const char *)data, size, &error);
	assert(!*error.code || bl_cloud_is_code(error.code));
	assert(!*error.region || bl_cloud_is_word(error.region, 63, "-"));
	return 0;
}
