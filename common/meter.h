/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a download is, on stderr, the same in every program: a bar that is drawn anew on a terminal; a
 * plain line now and then where stderr is no terminal, or one that cannot take a line back (TERM is dumb
 * or not set). There are no colours.
 */
#ifndef BL_METER_H
#define BL_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_meter {
	const char *program; /* borrowed; stands before a plain line */
	bool terminal;
	bool drawn;	   /* the cursor stands behind a bar */
	int columns;	   /* of the terminal */
	int64_t next_line; /* when the next plain line is due */
};

struct bl_meter_state {
	int64_t bytes_done, bytes_total, files_done, files_total, bytes_per_second;
	const char *file; /* one that is under way, NULL where there is none */
};

/* `now`: milliseconds of any clock that only goes forward, the same in both. Reads TERM. */
void bl_meter_init(struct bl_meter *meter, const char *program, int64_t now);
void bl_meter_show(struct bl_meter *meter, const struct bl_meter_state *state, int64_t now);
/* Takes the bar away. */
void bl_meter_clear(struct bl_meter *meter);

/* The bar's line, at most columns wide, in to[size]. Apart for its tests. */
void bl_meter_line(const struct bl_meter_state *state, int columns, char *to, size_t size);

#endif
