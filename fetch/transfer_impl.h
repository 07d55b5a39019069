/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transfer's inside, shared by the files that it is written in: transfer.c (life and loop),
 * transfer_files.c (files from being asked for to being done), transfer_lanes.c (which lane brings
 * what) and transfer_ends.c (how requests end).
 */
#ifndef BL_FETCH_TRANSFER_IMPL_H
#define BL_FETCH_TRANSFER_IMPL_H

#include "fetch/lane.h"
#include "fetch/pace.h"
#include "fetch/straight.h"
#include "fetch/transfer.h"

#define MAX_FILES  256 /* on their way at once */
#define MAX_AGAINS 64  /* files whose content was refused */

/* A file whose content was refused. */
struct again {
	const struct bl_entry *entry;
	unsigned times;
	bool pending; /* not yet asked for again */
};

struct bl_transfer {
	struct bl_http *http;
	const struct bl_source_ops *ops;
	void *state;
	struct bl_manifest *manifest;
	const struct bl_sink *sink;

	CURLM *multi;
	struct bl_straight straight;
	struct bl_lane lanes[BL_PACE_MAX_LANES];
	unsigned busy; /* lanes that are not idle */
	struct bl_pace pace;
	unsigned refused;   /* connections that ended without an answer, less what went well, ... */
	int64_t limited_at; /* ... since there were fewer for that, ms */
	int64_t answered_at; /* ms of the last range that came whole */
	struct bl_worker *worker;

	uint32_t *order; /* files to bring, largest first */
	size_t to_bring, next;
	struct bl_arrival *files[MAX_FILES]; /* in the order asked for */
	size_t n_files;
	size_t settling; /* done, not settled */
	struct again agains[MAX_AGAINS];
	size_t n_agains;

	int64_t began, now; /* ms; of this turn of the loop */
	int64_t arrived;    /* bytes in all, ... */
	int64_t pushed;	    /* ... when they were last written back */
	int64_t left;	    /* bytes not asked for, of all files */
	int64_t not_before; /* ms: the origin asked for a pause */
	int64_t told;	    /* ms of the last progress */
	int64_t trickle_since, trickle_bytes;
};

/* ---- Files ---- */

/* Asks the sink for more files while those on their way do not keep all lanes busy for long. */
int bl_transfer_admit(struct bl_transfer *transfer, struct bl_err *err);
/* All bytes of the file are there: checks it and tells the sink, at once or when the worker is
 * through with it. */
int bl_transfer_finish_file(struct bl_transfer *transfer, struct bl_arrival *file,
			    struct bl_err *err);
/* Has what arrived written back early, and synced or told now and then, for the journal. */
int bl_transfer_sync_files(struct bl_transfer *transfer, struct bl_err *err);
/* Takes up what the worker has done. */
int bl_transfer_handle_worked(struct bl_transfer *transfer, struct bl_err *err);

/* ---- Lanes ---- */

/* Gives work to idle lanes. */
int bl_transfer_assign(struct bl_transfer *transfer, struct bl_err *err);
/* Takes a lane off its file, and its request off the wire. */
void bl_transfer_set_idle(struct bl_transfer *transfer, struct bl_lane *lane);
/* Takes a lane's request off the wire; the lane keeps its file. */
void bl_transfer_take_off(struct bl_transfer *transfer, struct bl_lane *lane);
/* Puts a request that is set up on the wire, on a straight connection where it suits; nothing happens
 * for a local file. */
int bl_transfer_launch(struct bl_transfer *transfer, struct bl_lane *lane, struct bl_err *err);

/* ---- Ends ---- */

/* Takes up what libcurl has finished. */
int bl_transfer_handle_finished(struct bl_transfer *transfer, struct bl_err *err);
/* Reads from straight connections. */
int bl_transfer_handle_straight(struct bl_transfer *transfer, struct bl_err *err);
/* Copies a piece of each local file. */
int bl_transfer_copy_local(struct bl_transfer *transfer, struct bl_err *err);
/* A connection that brings nothing is given up for another one. */
int bl_transfer_replace_stalled(struct bl_transfer *transfer, struct bl_err *err);

#endif
