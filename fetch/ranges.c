/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/ranges.h"

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

static int make_room(struct bl_ranges *ranges, struct bl_err *err)
{
	if (ranges->count < ranges->room)
		return 0;
	if (ranges->count >= BL_RANGES_MAX)
		return bl_err_set(err, BL_EX_INTERNAL, EFBIG, "a file in more than %d pieces",
				  BL_RANGES_MAX);
	size_t room = ranges->room ? 2 * ranges->room : 8;
	void *at = reallocarray(ranges->at, room, sizeof(*ranges->at));
	if (!at)
		return bl_err_nomem(err);
	ranges->at = at;
	ranges->room = room;
	return 0;
}

/* Replaces n ranges at i by the one given, or by none. */
static int splice(struct bl_ranges *ranges, size_t i, size_t n, const struct bl_range *by,
		  struct bl_err *err)
{
	if (by && n == 0) {
		int rc = make_room(ranges, err);
		if (rc < 0)
			return rc;
	}
	size_t put = by ? 1 : 0;
	memmove(ranges->at + i + put, ranges->at + i + n,
		(ranges->count - i - n) * sizeof(*ranges->at));
	if (by)
		ranges->at[i] = *by;
	ranges->count = ranges->count - n + put;
	return 0;
}

int bl_ranges_add(struct bl_ranges *ranges, int64_t from, int64_t to, struct bl_err *err)
{
	struct bl_range whole = {from, to};
	size_t i = 0, n = 0;

	if (from >= to)
		return 0;
	while (i < ranges->count && ranges->at[i].to < from)
		i++;
	for (; i + n < ranges->count && ranges->at[i + n].from <= to; n++) {
		const struct bl_range *old = &ranges->at[i + n];

		whole.from = old->from < whole.from ? old->from : whole.from;
		whole.to = old->to > whole.to ? old->to : whole.to;
	}
	if (!ranges->at || n == 0)
		return splice(ranges, i, 0, &whole, err);
	return splice(ranges, i, n, &whole, err);
}

int bl_ranges_remove(struct bl_ranges *ranges, int64_t from, int64_t to, struct bl_err *err)
{
	for (size_t i = 0; from < to && i < ranges->count;) {
		struct bl_range *at = &ranges->at[i];

		if (at->to <= from) {
			i++;
		} else if (at->from >= to) {
			break;
		} else if (at->from < from && at->to > to) {
			struct bl_range rest = {to, at->to};

			at->to = from;
			return splice(ranges, i + 1, 0, &rest, err);
		} else if (at->from < from) {
			at->to = from;
			i++;
		} else if (at->to > to) {
			at->from = to;
			break;
		} else {
			(void)splice(ranges, i, 1, NULL, err);
		}
	}
	return 0;
}

int64_t bl_ranges_total(const struct bl_ranges *ranges)
{
	int64_t total = 0;

	for (size_t i = 0; i < ranges->count; i++)
		total += ranges->at[i].to - ranges->at[i].from;
	return total;
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
