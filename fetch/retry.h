/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before another try: what the origin asks for, up to a bound, or else a random
 * pause below a limit that doubles, so that many nodes that were refused together do not come back
 * together.
 */
#ifndef BL_FETCH_RETRY_H
#define BL_FETCH_RETRY_H

#include <stdint.h>

#include "fetch/http_headers.h"

#define BL_RETRY_MAX_ASKED 30 /* seconds of Retry-After that are honoured at once */
#define BL_RETRY_MAX_PAUSE 16 /* seconds of a pause of our own */

/* Milliseconds to wait before try number `tries` + 1 (tries >= 1); answer may be NULL. */
int64_t bl_retry_pause(unsigned tries, const struct bl_http_headers *answer);

/* Milliseconds of a clock that only goes forward. */
int64_t bl_retry_now(void);

#endif
