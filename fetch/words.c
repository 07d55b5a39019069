/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/words.h"

#include <stdio.h>

const char *bl_words_bytes(int64_t bytes, char to[BL_WORDS_SIZE])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 999.5 && unit + 1 < sizeof(units) / sizeof(*units); unit++)
		value /= 1000;
	snprintf(to, BL_WORDS_SIZE, unit && value < 9.95 ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
	return to;
}

const char *bl_words_time(int64_t seconds, char to[BL_WORDS_SIZE])
{
	if (seconds < 90)
		snprintf(to, BL_WORDS_SIZE, "%d s", (int)seconds);
	else if (seconds < 5400)
		snprintf(to, BL_WORDS_SIZE, "%d min", (int)(seconds / 60));
	else if (seconds < INT64_C(360000))
		snprintf(to, BL_WORDS_SIZE, "%d h %d min", (int)(seconds / 3600),
			 (int)(seconds % 3600 / 60));
	else
		snprintf(to, BL_WORDS_SIZE, "days");
	return to;
}
