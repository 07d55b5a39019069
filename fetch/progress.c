/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fetch/retry.h"
#include "fetch/words.h"

#define BAR_WIDTH   24
#define DRAW_EVERY  200	  /* ms on a terminal */
#define PLAIN_EVERY 10000 /* ms anywhere else */

void bl_progress_init(struct bl_progress *progress, int64_t total, bool quiet)
{
	int64_t now = bl_retry_now();

	*progress = (struct bl_progress){
		.quiet = quiet,
		.terminal = isatty(STDERR_FILENO) == 1,
		.total = total,
		.began = now,
		.said = now,
	};
}

void bl_progress_clear(struct bl_progress *progress)
{
	if (progress->drawn)
		fputs("\r\033[K", stderr);
	progress->drawn = false;
}

static void draw(struct bl_progress *progress, const char *text, int percent)
{
	char bar[BAR_WIDTH + 1];

	if (!progress->terminal) {
		fprintf(stderr, "ballast-fetch: %d %%, %s\n", percent, text);
		return;
	}
	memset(bar, ' ', BAR_WIDTH);
	memset(bar, '=', (size_t)(percent * BAR_WIDTH / 100));
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] %3d %%  %s\033[K", bar, percent, text);
	progress->drawn = true;
}

void bl_progress_tell(struct bl_progress *progress, int64_t bytes)
{
	char done[BL_WORDS_SIZE], total[BL_WORDS_SIZE], rate[BL_WORDS_SIZE], left[BL_WORDS_SIZE];
	int64_t now = bl_retry_now(), since = now - progress->said;
	char text[128];

	if (progress->quiet || since < (progress->terminal ? DRAW_EVERY : PLAIN_EVERY))
		return;
	double present = (double)(bytes - progress->last_bytes) * 1000 / (double)since;
	progress->rate = progress->rate > 0 ? (3 * progress->rate + present) / 4 : present;
	progress->said = now;
	progress->last_bytes = bytes;
	int64_t rest = progress->total > bytes ? progress->total - bytes : 0;
	int percent = progress->total > 0 ? (int)(bytes * 100 / progress->total) : 100;
	snprintf(text, sizeof(text), "%s of %s, %s/s, %s left", bl_words_bytes(bytes, done),
		 bl_words_bytes(progress->total, total),
		 bl_words_bytes((int64_t)progress->rate, rate),
		 progress->rate > 1 ? bl_words_time((int64_t)((double)rest / progress->rate), left)
				    : "?");
	draw(progress, text, percent > 100 ? 100 : percent);
}
