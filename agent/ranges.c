// SPDX-License-Identifier: Apache-2.0
#include "agent/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bl_ranges_done(struct bl_ranges *ranges)
{
	free(ranges->at);
	*ranges = (struct bl_ranges){0};
}

/* The first that ends at `from` or later. */
static size_t find(const struct bl_ranges *ranges, uint64_t from)
{
	size_t low = 0;
	size_t high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->at[middle].to < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int bl_ranges_add(struct bl_ranges *ranges, uint64_t from, uint64_t to)
{
	size_t first = find(ranges, from);
	size_t last = first;
	struct bl_range *at = ranges->at;

	for (; last < ranges->count && at[last].from <= to; last++) {
		from = at[last].from < from ? at[last].from : from;
		to = at[last].to > to ? at[last].to : to;
	}
	if (last == first) {
		if (ranges->count >= BL_RANGES_MAX)
			return -E2BIG;
		at = realloc(at, (ranges->count + 1) * sizeof(*at));
		if (!at)
			return -ENOMEM;
		ranges->at = at;
	}
	/* [first, last) becomes one. */
	memmove(&at[first + 1], &at[last], (ranges->count - last) * sizeof(*at));
	ranges->count = ranges->count - (last - first) + 1;
	at[first] = (struct bl_range){from, to};
	return 0;
}

int bl_ranges_copy(const struct bl_ranges *ranges, struct bl_ranges *ret)
{
	if (ranges->count == 0)
		return 0;
	ret->at = malloc(ranges->count * sizeof(*ret->at));
	if (!ret->at)
		return -ENOMEM;
	memcpy(ret->at, ranges->at, ranges->count * sizeof(*ret->at));
	ret->count = ranges->count;
	return 0;
}

uint64_t bl_ranges_total(const struct bl_ranges *ranges)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < ranges->count; i++)
		bytes += ranges->at[i].to - ranges->at[i].from;
	return bytes;
}

uint64_t bl_ranges_front(const struct bl_ranges *ranges)
{
	return ranges->count > 0 && ranges->at[0].from == 0 ? ranges->at[0].to : 0;
}

struct bl_range bl_ranges_gap(const struct bl_ranges *ranges, uint64_t from, uint64_t to)
{
	size_t i = find(ranges, from);

	if (i < ranges->count && ranges->at[i].from <= from && ranges->at[i].to > from)
		from = ranges->at[i++].to;
	else if (i < ranges->count && ranges->at[i].to == from)
		i++;
	if (i < ranges->count && ranges->at[i].from < to)
		to = ranges->at[i].from;
	return from < to ? (struct bl_range){from, to} : (struct bl_range){to, to};
}
