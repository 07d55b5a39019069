// SPDX-License-Identifier: Apache-2.0
/* Pages of Azure's List Blobs. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/azure_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_azure_page page = {0};
	struct bl_err err;

	if (bl_azure_page_parse((const char *)data, size, &page, &err) < 0)
		return 0;
	assert(page.count <= BL_AZURE_PAGE_MAX);
	for (size_t i = 0; i < page.count; i++)
		assert(page.blobs[i].name && page.blobs[i].size >= 0);
	return 0;
}
