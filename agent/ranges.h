/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a file: what of it has arrived, what of it is on disk for certain. Sorted, apart, none
 * empty.
 */
#ifndef BL_AGENT_RANGES_H
#define BL_AGENT_RANGES_H

#include <stddef.h>
#include <stdint.h>

#define BL_RANGES_MAX 65536 /* in one set; what would be one more is not kept */

struct bl_range {
	uint64_t from, to; /* [from, to) */
};

struct bl_ranges {
	struct bl_range *at; /* owned */
	size_t count;
};

void bl_ranges_done(struct bl_ranges *ranges);
#define auto_ranges __attribute__((cleanup(bl_ranges_done))) struct bl_ranges

/* Adds a range that is not empty, joined with those it touches. -ENOMEM, and -E2BIG where there are too
 * many: then nothing has changed. */
int bl_ranges_add(struct bl_ranges *ranges, uint64_t from, uint64_t to);
/* *ret, which is empty, becomes the same. -ENOMEM. */
int bl_ranges_copy(const struct bl_ranges *ranges, struct bl_ranges *ret);

uint64_t bl_ranges_total(const struct bl_ranges *ranges); /* bytes */
/* Bytes from the beginning of the file that are there without a gap. */
uint64_t bl_ranges_front(const struct bl_ranges *ranges);
/* The first part of [from, to) that is not there; empty where all of it is. */
struct bl_range bl_ranges_gap(const struct bl_ranges *ranges, uint64_t from, uint64_t to);

#endif
