/* SPDX-License-Identifier: Apache-2.0 */
/* How far a pull by hand is, and how fast lately: what common/meter.h shows. */
#ifndef BL_FETCH_PROGRESS_H
#define BL_FETCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/meter.h"

struct bl_progress {
	struct bl_meter meter;
	bool quiet;
	int64_t total;	    /* bytes to bring */
	int64_t said;	    /* ms */
	int64_t last_bytes; /* at `said` */
	double rate;	    /* bytes a second, smoothed */
};

void bl_progress_init(struct bl_progress *progress, int64_t total, bool quiet);
void bl_progress_tell(struct bl_progress *progress, int64_t bytes);
/* Wipes the bar away, so that something else can be said. */
void bl_progress_clear(struct bl_progress *progress);

#endif
