/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sizes, rates and times as people read them, the same in every program: "1.5 GiB", "120 MiB/s",
 * "2 min 5 s". Units are powers of 1024.
 */
#ifndef BL_HUMAN_H
#define BL_HUMAN_H

#include <stdint.h>

#define BL_HUMAN_MAX 32

struct bl_human {
	char text[BL_HUMAN_MAX];
};

struct bl_human bl_human_bytes(int64_t bytes);
struct bl_human bl_human_seconds(int64_t seconds);

#endif
