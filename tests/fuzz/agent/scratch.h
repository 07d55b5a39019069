/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory in memory for the parsers that read files, removed when the program ends.
 */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fs.h"

static char scratch_path[] = "/dev/shm/ballast-fuzz-XXXXXX";

static inline void scratch_remove(void)
{
	(void)bl_fs_remove_tree(AT_FDCWD, scratch_path, NULL);
}

/* The directory's descriptor, the same each time. */
static inline int scratch(void)
{
	static int fd = -1;

	if (fd < 0 && mkdtemp(scratch_path)) {
		(void)atexit(scratch_remove);
		fd = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		abort();
	return fd;
}

static inline void scratch_file(const char *name, const uint8_t *data, size_t len)
{
	int fd = openat(scratch(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len || close(fd) < 0)
		abort();
}

#endif
