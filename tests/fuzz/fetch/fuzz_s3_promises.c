// SPDX-License-Identifier: Apache-2.0
/* What S3 says of an object's content, in the headers of HEAD: only what covers the whole object counts. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/s3.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A header a line. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_free char *text = strndup((const char *)data, size);
	auto_headers headers = {0};
	struct bl_entry entry = {.path = "x"};
	char *rest = text;
	char *line;

	while (rest && (line = strsep(&rest, "\n"))) {
		char *value = strchr(line, ':');

		if (!value)
			continue;
		*value++ = '\0';
		(void)bl_http_headers_add(&headers, line, value, NULL);
	}
	bl_s3_take_promises(&headers, &entry);
	const char *type = bl_http_headers_get(&headers, "x-amz-checksum-type");
	const char *etag = bl_http_headers_get(&headers, "ETag");
	if (type ? strcmp(type, "FULL_OBJECT") != 0 : etag && strchr(etag, '-'))
		assert(!bl_manifest_promised(&entry, BL_DIGEST_SHA256, NULL) &&
		       !bl_manifest_promised(&entry, BL_DIGEST_CRC64NVME, NULL) &&
		       !bl_manifest_promised(&entry, BL_DIGEST_CRC32C, NULL) &&
		       !bl_manifest_promised(&entry, BL_DIGEST_CRC32, NULL));
	if (!etag || strchr(etag, '-') ||
	    bl_http_headers_get(&headers, "x-amz-server-side-encryption-customer-algorithm"))
		assert(!bl_manifest_promised(&entry, BL_DIGEST_MD5, NULL));
	assert(!bl_manifest_promised(&entry, BL_DIGEST_GIT_SHA1, NULL));
	return 0;
}
