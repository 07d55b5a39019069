// SPDX-License-Identifier: Apache-2.0
/* start_command as words: within its bytes, and nothing in it that was not in the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "shim/words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_words words = {0};
	struct bl_err err;
	char *text = strndup((const char *)data, size);
	size_t total = 0;

	if (!text)
		return 0;
	if (bl_words_split(&words, text, &err) >= 0) {
		if (words.count == 0 || words.list[words.count])
			abort();
		for (size_t i = 0; i < words.count; i++)
			total += strlen(words.list[i]) + 1;
		if (total > strlen(text) + 1)
			abort();
	}
	free(text);
	return 0;
}
