/* SPDX-License-Identifier: Apache-2.0 */
/* Digits of bytes in text: of digests, and behind the "%" of URLs. */
#ifndef BL_FETCH_HEX_H
#define BL_FETCH_HEX_H

/* What the digit stands for, in either case; -1 where it is none. */
static inline int bl_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
