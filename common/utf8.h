/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 as RFC 3629 has it, and nothing else: no surrogates, no longer form than is needed, nothing
 * above U+10FFFF. What one reader lets through and the next takes for something else is a hole.
 */
#ifndef BL_UTF8_H
#define BL_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define BL_UTF8_MOST 4 /* bytes of a character */

/*
 * The character at text in *ret, and its length in bytes; 0 where there is none (*ret is untouched then).
 * left: how many bytes may be looked at; BL_UTF8_MOST does where a NUL ends the text.
 */
size_t bl_utf8_decode(const void *text, size_t left, uint32_t *ret);

#endif
