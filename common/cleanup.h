/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cleanup attributes: a variable that owns something says so where it is declared, and gives it
 * back on every way out of its scope. Every cleaner keeps errno, so that a failure which is being
 * reported is not overwritten by the clean-up after it.
 *
 * An auto_ variable must be initialised where it is declared (auto_fd to -1 or a descriptor,
 * the others to NULL or an object). TAKE_FD and TAKE_PTR hand ownership over.
 */
#ifndef BL_CLEANUP_H
#define BL_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void bl_cleanup_fd(const int *fd)
{
	if (*fd >= 0) {
		int saved = errno;
		/* Never retried: on Linux the descriptor is gone even when close() says EINTR. */
		(void)close(*fd);
		errno = saved;
	}
}

static inline void bl_cleanup_free(void *pointer)
{
	int saved = errno;
	free(*(void **)pointer);
	errno = saved;
}

static inline void bl_cleanup_dir(DIR **dir)
{
	if (*dir) {
		int saved = errno;
		(void)closedir(*dir);
		errno = saved;
	}
}

static inline void bl_cleanup_file(FILE **file)
{
	if (*file) {
		int saved = errno;
		(void)fclose(*file);
		errno = saved;
	}
}

/* Of a list that ends with NULL, each text and the list. */
static inline void bl_cleanup_texts(char ***texts)
{
	int saved = errno;

	for (char **at = *texts; at && *at; at++)
		free(*at);
	free((void *)*texts);
	errno = saved;
}

static inline int bl_cleanup_take_fd(int *fd)
{
	int taken = *fd;
	*fd = -1;
	return taken;
}

#define auto_fd	   __attribute__((cleanup(bl_cleanup_fd))) int
#define auto_free  __attribute__((cleanup(bl_cleanup_free)))
#define auto_texts __attribute__((cleanup(bl_cleanup_texts))) char **
#define auto_dir   __attribute__((cleanup(bl_cleanup_dir))) DIR *
#define auto_file  __attribute__((cleanup(bl_cleanup_file))) FILE *

/* Hands the descriptor or pointer over to the caller; the variable is empty afterwards. */
#define TAKE_FD(fd) bl_cleanup_take_fd(&(fd))
#define TAKE_PTR(ptr)                             \
	({                                        \
		__typeof__(ptr) bl_taken = (ptr); \
		(ptr) = NULL;                     \
		bl_taken;                         \
	})

#endif
