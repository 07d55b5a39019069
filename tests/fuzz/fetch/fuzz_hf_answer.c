// SPDX-License-Identifier: Apache-2.0
/* Any bytes as an answer of the Hub: every file that is taken has a name and a promise to hold. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "fetch/name.h"
#include "fetch/sources/hf_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data;
	char commit[BL_HF_COMMIT_SIZE];
	auto_manifest manifest = NULL;
	struct bl_err err;
	bool credential = len % 2;

	if (bl_hf_answer_revision(text, len, commit, &credential, &err) == 0 && strlen(commit) < 40)
		abort();
	if (bl_manifest_new(NULL, NULL, &manifest, &err) < 0 ||
	    bl_hf_answer_page(text, len, manifest, &err) < 0 ||
	    bl_manifest_finish(manifest, &err) < 0)
		return 0;
	for (size_t i = 0; i < bl_manifest_count(manifest); i++) {
		const struct bl_entry *entry = bl_manifest_at(manifest, i);

		if (bl_name_check(entry->path, strlen(entry->path), &err) < 0 || entry->size < 0 ||
		    entry->promised == 0)
			abort();
	}
	return 0;
}
