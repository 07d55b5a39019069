/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as a person reads them.
 */
#ifndef BL_FETCH_WORDS_H
#define BL_FETCH_WORDS_H

#include <stdint.h>

#define BL_WORDS_SIZE 16

/* "4.9 GB", in powers of 1000. Returns to. */
const char *bl_words_bytes(int64_t bytes, char to[BL_WORDS_SIZE]);

/* "1 h 5 min", "12 s". Returns to. */
const char *bl_words_time(int64_t seconds, char to[BL_WORDS_SIZE]);

#endif
