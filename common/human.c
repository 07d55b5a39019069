// SPDX-License-Identifier: Apache-2.0
#include "common/human.h"

#include <stdio.h>

struct bl_human bl_human_bytes(int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	struct bl_human human;
	double value = (double)(bytes < 0 ? 0 : bytes);
	size_t unit = 0;

	/* 1023.96 would round to "1024.0" of the smaller unit. */
	while (value >= 1023.95 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	(void)snprintf(human.text, sizeof(human.text),
		       unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return human;
}

struct bl_human bl_human_seconds(int64_t seconds)
{
	struct bl_human human;
	long long s = seconds < 0 ? 0 : seconds;

	if (s < 60)
		(void)snprintf(human.text, sizeof(human.text), "%lld s", s);
	else if (s < 3600)
		(void)snprintf(human.text, sizeof(human.text), "%lld min %lld s", s / 60, s % 60);
	else if (s < 48 * 3600)
		(void)snprintf(human.text, sizeof(human.text), "%lld h %lld min", s / 3600,
			       s / 60 % 60);
	else
		(void)snprintf(human.text, sizeof(human.text), "%lld days", s / 86400);
	return human;
}
