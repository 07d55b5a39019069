/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves the bytes of a manifest's files, for every source alike. One thread, one loop: files are
 * brought few at a time and in order (so that whoever publishes can digest one while the next
 * arrives), each by many ranges at once; small ones many at a time.
 *
 * Every range must be answered by 206 with just the range asked for, of a file of the size listed,
 * in the version that was listed or seen first. Whatever else comes is tried again elsewhere, a
 * bounded number of times; nothing is ever taken for a file because it has the right length.
 *
 * Where bytes go is the sink's to say: the agent over a socket (fetch/job.c) or a directory
 * (fetch/pull.c).
 */
#ifndef BL_FETCH_TRANSFER_H
#define BL_FETCH_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ranges.h"
#include "fetch/sources/source.h"

struct bl_err;
struct bl_transfer;

struct bl_sink {
	void *ctx;
	int fd; /* when readable, on_readable() is called; -1 for none */

	/* Asks where a file goes. The answer, bl_transfer_opened() or _skipped(), may come at
	 * once or later. */
	int (*open)(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry,
		    struct bl_err *err);
	/* These bytes of a file are on disk. NULL where the sink sees to that by itself. */
	int (*have)(void *ctx, const struct bl_entry *entry, const struct bl_ranges *ranges,
		    struct bl_err *err);
	/* All of it is in place and the descriptor closed; bl_transfer_settled() answers, at once or
	 * later. Not `good`: it has another digest than its origin promises, and is to be refused. */
	int (*done)(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry,
		    bool good, struct bl_err *err);
	/* So many bytes have arrived in all: at most a few times a second. */
	int (*progress)(void *ctx, int64_t bytes, struct bl_err *err);
	int (*on_readable)(void *ctx, struct bl_transfer *transfer, struct bl_err *err);
};

/* Everything is borrowed. `state` is the source's. */
int bl_transfer_new(struct bl_http *http, const struct bl_source_ops *ops, void *state,
		    struct bl_manifest *manifest, const struct bl_sink *sink,
		    struct bl_transfer **ret, struct bl_err *err);
void bl_transfer_free(struct bl_transfer **transfer);
#define auto_transfer __attribute__((cleanup(bl_transfer_free))) struct bl_transfer *

/* Brings every file that is not `unchanged`. Returns when all are settled, or at the first failure
 * that trying again does not mend; its errno is of fetch/sources/source.h. */
int bl_transfer_run(struct bl_transfer *transfer, struct bl_err *err);

/* ---- For the sink ---- */

/*
 * The file's descriptor, which becomes the transfer's, and what is there already (moved out of). number: that of
 * its frames, then the descriptor is only for reading and may be -1; negative: bytes go to the descriptor.
 */
int bl_transfer_opened(struct bl_transfer *transfer, const struct bl_entry *entry, int fd,
		       int64_t number, struct bl_ranges *have, struct bl_err *err);
/* All bytes of the file with that number, whose last frame has gone, are in place. */
int bl_transfer_written(struct bl_transfer *transfer, int64_t number, struct bl_err *err);
/* The file needs not be brought. */
int bl_transfer_skipped(struct bl_transfer *transfer, const struct bl_entry *entry,
			struct bl_err *err);
/* Its content was accepted, or was not and must be brought anew. */
int bl_transfer_settled(struct bl_transfer *transfer, const struct bl_entry *entry, bool accepted,
			struct bl_err *err);

#endif
