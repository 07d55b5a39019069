/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/retry.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

int64_t bl_retry_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Seconds asked for by Retry-After, or by the `ratelimit` draft's "...;t=SECONDS"; -1: neither. */
static int64_t asked_for(const struct bl_http_headers *answer)
{
	const char *value = bl_http_headers_get(answer, "Retry-After");

	if (value)
		return bl_http_parse_retry_after(value, (int64_t)time(NULL), BL_RETRY_MAX_ASKED);
	value = bl_http_headers_get(answer, "RateLimit");
	for (; value && *value; value++) {
		const char *key = value + 1 + strspn(value + 1, " \t");

		if (*value == ';' && key[0] == 't' && key[1] == '=') {
			long seconds = strtol(key + 2, NULL, 10);

			return seconds < 0 || seconds > BL_RETRY_MAX_ASKED ? BL_RETRY_MAX_ASKED
									   : seconds;
		}
	}
	return -1;
}

int64_t bl_retry_pause(unsigned tries, const struct bl_http_headers *answer)
{
	int64_t asked = answer ? asked_for(answer) : -1;
	int64_t limit = INT64_C(125) << (tries < 8 ? tries : 8);
	uint32_t random = 0;

	if (asked >= 0)
		return asked * 1000;
	if (limit > BL_RETRY_MAX_PAUSE * 1000)
		limit = BL_RETRY_MAX_PAUSE * 1000;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (uint32_t)bl_retry_now();
	return limit / 4 + (int64_t)(random % (uint32_t)limit) * 3 / 4;
}
