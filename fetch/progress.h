/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a pull by hand is: one line that is drawn again and again on a terminal, and now and then
 * a line of its own anywhere else. Goes to stderr.
 */
#ifndef BL_FETCH_PROGRESS_H
#define BL_FETCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct bl_progress {
	bool quiet, terminal;
	int64_t total;	     /* bytes to bring */
	int64_t began, said; /* ms */
	int64_t last_bytes;  /* at `said` */
	double rate;	     /* bytes a second, smoothed */
	bool drawn;	     /* a bar stands on the line */
};

void bl_progress_init(struct bl_progress *progress, int64_t total, bool quiet);
void bl_progress_tell(struct bl_progress *progress, int64_t bytes);
/* Wipes the bar away, so that something else can be said. */
void bl_progress_clear(struct bl_progress *progress);

#endif
