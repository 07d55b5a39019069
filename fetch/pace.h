/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many connections, and how much to ask of each at once. Origins differ by a factor of forty in
 * what they give a connection, so both are found by trying: more connections as long as they bring
 * more, ranges that are as short as the origin's latency lets them be, so that a file fills up from its
 * beginning and can be digested meanwhile, and smaller ones towards the end, so that all connections
 * end together. No clock and no connection here: pure arithmetic.
 */
#ifndef BL_FETCH_PACE_H
#define BL_FETCH_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BL_PACE_MAX_LANES 128 /* for small files; half of it for others */

struct bl_pace {
	unsigned lanes;	     /* connections to have now */
	unsigned most;	     /* that there may be */
	unsigned before;     /* what they were before the step that is being tried */
	bool trying;	     /* the last step's worth is not known yet */
	bool settled;	     /* all of them have brought something */
	double rate;	     /* bytes a millisecond with `before` connections */
	int64_t stepped;     /* when the connections became more, ms */
	int64_t began;	     /* of this window, ms */
	int64_t began_bytes; /* arrived by then */
	int64_t rest_until;  /* no step before, ms */
	double lane_rate;    /* bytes a millisecond of one connection, smoothed */
	double latency;	     /* ms from a request to its answer at the least; negative: not known */
	double least;	     /* of the newest so many: */
	unsigned answers;
};

/* For a job of so many files and bytes. */
void bl_pace_init(struct bl_pace *pace, size_t files, int64_t bytes, int64_t now);

/*
 * Tells how much has arrived in all, how many connections are busy and how many of them bring
 * content; may change `lanes`.
 */
void bl_pace_tick(struct bl_pace *pace, int64_t now, int64_t arrived, unsigned busy,
		  unsigned flowing);

/* A request was answered after so many milliseconds. */
void bl_pace_answered(struct bl_pace *pace, int64_t latency);

/* The origin asked for less: half the connections, unless so many are at work, and no more for a while. */
void bl_pace_limited(struct bl_pace *pace, unsigned at_work, int64_t now);

/* Bytes to ask for at once, with so many bytes of the job not yet asked for. */
int64_t bl_pace_chunk(const struct bl_pace *pace, int64_t left);

#endif
