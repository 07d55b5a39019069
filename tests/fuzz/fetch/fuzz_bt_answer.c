// SPDX-License-Identifier: Apache-2.0
/* Answers of the training API: a list that one is picked from, a page of files. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/bt_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bl_bt_files files = {0};
	auto_free char *picked = NULL;
	auto_free char *next = NULL;
	size_t listed = 0;
	struct bl_err err;

	(void)bl_bt_pick((const char *)data, size, "training_jobs", "id", "name", NULL, &picked,
			 &err);
	if (bl_bt_page_parse((const char *)data, size, "ckpt", &files, &next, &listed, &err) == 0)
		assert(files.count <= listed);
	bl_bt_files_done(&files);
	return 0;
}
