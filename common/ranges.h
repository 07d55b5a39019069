/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a file: sorted ranges [from, to) that neither touch nor overlap, none empty. Kept of
 * what is still to be asked for, of what has arrived, and of what is on disk for certain.
 */
#ifndef BL_RANGES_H
#define BL_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

struct bl_err;

#define BL_RANGES_MAX 65536 /* ranges in one set */

struct bl_range {
	int64_t from, to; /* bytes; neither is negative */
};

struct bl_ranges {
	struct bl_range *at; /* owned */
	size_t count, room;
};

void bl_ranges_done(struct bl_ranges *ranges);
#define auto_ranges __attribute__((cleanup(bl_ranges_done))) struct bl_ranges

/* Adds or removes [from, to), joined with what it touches; nothing happens where it is empty. -E2BIG
 * where there would be too many and -ENOMEM: then nothing has changed. */
int bl_ranges_add(struct bl_ranges *ranges, int64_t from, int64_t to, struct bl_err *err);
int bl_ranges_remove(struct bl_ranges *ranges, int64_t from, int64_t to, struct bl_err *err);
/* *ret, which is empty, becomes the same. -ENOMEM. */
int bl_ranges_copy(const struct bl_ranges *ranges, struct bl_ranges *ret, struct bl_err *err);

int64_t bl_ranges_total(const struct bl_ranges *ranges); /* bytes */
/* Bytes from the beginning of the file that are in the set without a gap. */
int64_t bl_ranges_front(const struct bl_ranges *ranges);
/* The first part of [from, to) that is not in the set; empty, at `to`, where all of it is. */
struct bl_range bl_ranges_gap(const struct bl_ranges *ranges, int64_t from, int64_t to);

/* As JSON, [[from,to],...]; reading refuses what is unsorted, empty or beyond size. */
int bl_ranges_to_json(const struct bl_ranges *ranges, bl_json *object, const char *key,
		      struct bl_err *err);
int bl_ranges_from_json(const bl_json *list, int64_t size, struct bl_ranges *ret,
			struct bl_err *err);

#endif
