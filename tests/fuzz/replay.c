// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a fuzz target over its corpus without a fuzzer, as an ordinary test: each input as it is,
 * every beginning of it, and, where it is short, with each single bit turned. The target must
 * neither crash nor, under the sanitizers, have anything said about it. One line of TAP.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"

#define INPUT_MAX    (16 * 1024 * 1024)
#define PREFIXES_MAX 1024
#define FLIPS_MAX    512

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* On the heap and no byte too long, so that reading beyond the end is seen. */
static void run_exact(const char *data, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	if (!copy)
		abort();
	if (len > 0)
		memcpy(copy, data, len);
	(void)LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

static void run_input(char *data, size_t len)
{
	run_exact(data, len);
	for (size_t i = 0; i < len && i < PREFIXES_MAX; i++)
		run_exact(data, i);
	for (size_t i = 0; i < 8 * len && len <= FLIPS_MAX; i++) {
		char bit = (char)(1 << (i % 8));

		data[i / 8] ^= bit;
		run_exact(data, len);
		data[i / 8] ^= bit;
	}
}

int main(int argc, char **argv)
{
	auto_dir dir = argc == 2 ? opendir(argv[1]) : NULL;
	const struct dirent *entry;
	struct bl_err err;
	size_t inputs = 0;

	if (!dir) {
		(void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	run_input(NULL, 0);
	while ((entry = readdir(dir))) {
		auto_buf buf = BL_BUF_INIT(INPUT_MAX);

		if (entry->d_name[0] == '.')
			continue;
		if (bl_fs_read_file(dirfd(dir), entry->d_name, &buf, &err) < 0) {
			printf("not ok 1 - %s\n", err.msg);
			return 1;
		}
		run_input(buf.data, buf.len);
		inputs++;
	}
	printf("%sok 1 - %zu inputs\n", inputs ? "" : "not ", inputs);
	return inputs ? 0 : 1;
}
