/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

void bl_ranges_done(struct bl_ranges *ranges)
{
	int saved = errno;

	free(ranges->at);
	*ranges = (struct bl_ranges){0};
	errno = saved;
}

/* The first that ends at `from` or later. */
static size_t find(const struct bl_ranges *ranges, int64_t from)
{
	size_t low = 0, high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->at[middle].to < from)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct bl_ranges *ranges, struct bl_err *err)
{
	size_t room = ranges->room ? 2 * ranges->room : 8;
	struct bl_range *at;

	if (ranges->count >= BL_RANGES_MAX)
		return bl_err_set(err, BL_EX_INTERNAL, E2BIG, "a file in more than %d pieces",
				  BL_RANGES_MAX);
	if (ranges->count < ranges->room)
		return 0;
	at = reallocarray(ranges->at, room, sizeof(*at));
	if (!at)
		return bl_err_nomem(err);
	ranges->at = at;
	ranges->room = room;
	return 0;
}

/* Puts `count` ranges in the place of `old` at i: where they are more, there is room. */
static void replace(struct bl_ranges *ranges, size_t i, size_t old, const struct bl_range *by,
		    size_t count)
{
	if (ranges->count > i + old)
		memmove(&ranges->at[i + count], &ranges->at[i + old],
			(ranges->count - i - old) * sizeof(*ranges->at));
	for (size_t k = 0; k < count; k++)
		ranges->at[i + k] = by[k];
	ranges->count = ranges->count - old + count;
}

int bl_ranges_add(struct bl_ranges *ranges, int64_t from, int64_t to, struct bl_err *err)
{
	struct bl_range whole = {from, to};
	size_t first = find(ranges, from), last = first;
	int r = 0;

	if (from >= to)
		return 0;
	for (; last < ranges->count && ranges->at[last].from <= to; last++) {
		const struct bl_range *old = &ranges->at[last];

		whole.from = old->from < whole.from ? old->from : whole.from;
		whole.to = old->to > whole.to ? old->to : whole.to;
	}
	if (last == first)
		r = make_room(ranges, err);
	if (r == 0)
		replace(ranges, first, last - first, &whole, 1);
	return r;
}

int bl_ranges_remove(struct bl_ranges *ranges, int64_t from, int64_t to, struct bl_err *err)
{
	struct bl_range rest[2];
	size_t first = find(ranges, from), last, left = 0;
	int r = 0;

	if (from >= to)
		return 0;
	if (first < ranges->count && ranges->at[first].to == from)
		first++;
	for (last = first; last < ranges->count && ranges->at[last].from < to; last++) {
		const struct bl_range *old = &ranges->at[last];

		if (old->from < from)
			rest[left++] = (struct bl_range){old->from, from};
		if (old->to > to)
			rest[left++] = (struct bl_range){to, old->to};
	}
	if (left > last - first)
		r = make_room(ranges, err);
	if (r == 0)
		replace(ranges, first, last - first, rest, left);
	return r;
}

int bl_ranges_copy(const struct bl_ranges *ranges, struct bl_ranges *ret, struct bl_err *err)
{
	struct bl_range *at;

	if (ranges->count == 0)
		return 0;
	at = malloc(ranges->count * sizeof(*at));
	if (!at)
		return bl_err_nomem(err);
	memcpy(at, ranges->at, ranges->count * sizeof(*at));
	*ret = (struct bl_ranges){at, ranges->count, ranges->count};
	return 0;
}

int64_t bl_ranges_total(const struct bl_ranges *ranges)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < ranges->count; i++)
		bytes += ranges->at[i].to - ranges->at[i].from;
	return bytes;
}

int64_t bl_ranges_front(const struct bl_ranges *ranges)
{
	return ranges->count > 0 && ranges->at[0].from == 0 ? ranges->at[0].to : 0;
}

struct bl_range bl_ranges_gap(const struct bl_ranges *ranges, int64_t from, int64_t to)
{
	size_t i = find(ranges, from);

	if (i < ranges->count && ranges->at[i].from <= from)
		from = ranges->at[i++].to;
	if (i < ranges->count && ranges->at[i].from < to)
		to = ranges->at[i].from;
	return from < to ? (struct bl_range){from, to} : (struct bl_range){to, to};
}

int bl_ranges_to_json(const struct bl_ranges *ranges, bl_json *object, const char *key,
		      struct bl_err *err)
{
	bl_json *list = bl_json_set_array(object, key);

	for (size_t i = 0; list && i < ranges->count; i++) {
		bl_json *pair = bl_json_set_array(list, NULL);

		if (!pair || !bl_json_set_int(pair, NULL, ranges->at[i].from) ||
		    !bl_json_set_int(pair, NULL, ranges->at[i].to))
			list = NULL;
	}
	return list ? 0 : bl_err_nomem(err);
}

int bl_ranges_from_json(const bl_json *list, int64_t size, struct bl_ranges *ret,
			struct bl_err *err)
{
	auto_ranges ranges = {0};
	int64_t before = -1;

	for (const bl_json *pair = bl_json_first(list); pair; pair = bl_json_next(pair)) {
		int64_t from, to;

		if (!bl_json_is_array(pair) || bl_json_length(pair) != 2 ||
		    bl_json_int(bl_json_first(pair), &from) < 0 ||
		    bl_json_int(bl_json_next(bl_json_first(pair)), &to) < 0 || from <= before ||
		    from >= to || to > size)
			return bl_err_config(err, "ranges are not sorted pairs within the file");
		int rc = bl_ranges_add(&ranges, from, to, err);
		if (rc < 0)
			return rc;
		before = to;
	}
	*ret = ranges;
	ranges = (struct bl_ranges){0};
	return 0;
}
