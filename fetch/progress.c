/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/progress.h"

#include "fetch/retry.h"

#define TELL_EVERY 200 /* ms */

void bl_progress_init(struct bl_progress *progress, int64_t total, bool quiet)
{
	int64_t now = bl_retry_now();

	*progress = (struct bl_progress){.quiet = quiet, .total = total, .said = now};
	bl_meter_init(&progress->meter, "ballast-fetch", now);
}

void bl_progress_clear(struct bl_progress *progress)
{
	bl_meter_clear(&progress->meter);
}

void bl_progress_tell(struct bl_progress *progress, int64_t bytes)
{
	int64_t now = bl_retry_now(), since = now - progress->said;
	double present;

	if (progress->quiet || progress->total <= 0 || since < TELL_EVERY)
		return;
	present = (double)(bytes - progress->last_bytes) * 1000 / (double)since;
	progress->rate = progress->rate > 0 ? (3 * progress->rate + present) / 4 : present;
	progress->said = now;
	progress->last_bytes = bytes;
	bl_meter_show(&progress->meter,
		      &(struct bl_meter_state){.bytes_done = bytes,
					       .bytes_total = progress->total,
					       .bytes_per_second = (int64_t)progress->rate},
		      now);
}
