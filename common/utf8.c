// SPDX-License-Identifier: Apache-2.0
#include "common/utf8.h"

static size_t length_by_first(unsigned char first)
{
	return first < 0x80   ? 1
	       : first < 0xc2 ? 0
	       : first < 0xe0 ? 2
	       : first < 0xf0 ? 3
	       : first < 0xf5 ? 4
			      : 0;
}

size_t bl_utf8_decode(const void *text, size_t left, uint32_t *ret)
{
	static const uint32_t least_of[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *p = text;
	size_t len = left > 0 ? length_by_first(p[0]) : 0;
	uint32_t point;

	if (len == 0 || len > left)
		return 0;
	point = len == 1 ? p[0] : p[0] & (0xffU >> (len + 1));
	/* A NUL continues nothing: the loop does not go beyond a text's end. */
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (p[i] & 0x3fU);
	}
	if (point < least_of[len] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret = point;
	return len;
}
