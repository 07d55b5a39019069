/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: the FIFO through which the agent tells a container that started without its weights how
 * far they are, and when they are there. The shim believes none of it: each location is looked at.
 *
 *   progress DONE TOTAL          bytes
 *   mount DEV INO LOCATION       decimal, as fstat gives them; one for each mount of the spec
 *   ready | failed TEXT          the end
 *
 * A line whose last byte is BL_GATE_VOID counts for nothing: with that byte an agent begins, since one
 * before it may have died in the middle of a line. It says all lines again.
 */
#ifndef BL_SHIM_GATE_H
#define BL_SHIM_GATE_H

#include <stddef.h>
#include <stdint.h>

#include "shim/say.h"

struct bl_err;
struct bl_orders;

#define BL_GATE_LINE_MAX 4400 /* bytes of a line: three numbers and a location, or a reason */

enum bl_gate_kind { BL_GATE_PROGRESS, BL_GATE_MOUNT, BL_GATE_READY, BL_GATE_FAILED };

struct bl_gate_line {
	enum bl_gate_kind kind;
	uint64_t first, second; /* DONE TOTAL, or DEV INO */
	const char *text;	/* LOCATION or TEXT: points into the line */
};

/* One line without its newline, len bytes and a NUL after them. -EINVAL for anything else. */
int bl_gate_parse(const char *line, size_t len, struct bl_gate_line *ret, struct bl_err *err);

/*
 * Waits at the FIFO `path` until the agent says `ready` and every mount of the orders has been
 * checked (there, of the DEV and INO that were told, read-only): 0. An error for `failed`, for what
 * is not as told, and for a signal that ends a server (its code is then 128 + n). All signals must
 * be blocked.
 */
int bl_gate_wait(const char *path, const struct bl_orders *orders, bl_say_fn *say,
		 struct bl_err *err);

#endif
