/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the bytes of a file go: into the file at their offset, or, in a job, into the agent's pipe in
 * frames (common/job.h), so that nothing of the cache can be written by the process that speaks with an
 * origin. The pipe may make us wait: the agent empties it as fast as its disk takes them.
 *
 * All of it is called by the transfer's one thread. Errors are -errno; -EPIPE: nothing more can go to the agent.
 */
#ifndef BL_FETCH_OUTLET_H
#define BL_FETCH_OUTLET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fetch/arrival.h"

/* Writes all of `len` bytes at `at`. */
int bl_outlet_write(const struct bl_arrival *file, const void *data, size_t len, int64_t at);
/* Moves all of `len` bytes that are in a pipe. -EINVAL where the filesystem cannot; some may be moved. */
int bl_outlet_move(const struct bl_arrival *file, int pipe, size_t len, int64_t at);
/* Copies at most `len` bytes at the same offset of another file: how many; 0 at its end. */
ssize_t bl_outlet_copy(const struct bl_arrival *file, int from, size_t len, int64_t at);
/* Says that no more of the file will come. Of a file that is framed. */
int bl_outlet_end(const struct bl_arrival *file);

#endif
