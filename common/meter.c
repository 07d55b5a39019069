// SPDX-License-Identifier: Apache-2.0
#include "common/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/human.h"
#include "common/log.h"

#define PLAIN_EVERY_MS	 5000
#define BAR		 24
#define LINE_MAX_COLUMNS 200

void bl_meter_init(struct bl_meter *meter, const char *program, int64_t now)
{
	struct winsize size = {0};
	const char *term = getenv("TERM");

	*meter = (struct bl_meter){
		.program = program, .columns = 80, .next_line = now + PLAIN_EVERY_MS};
	meter->terminal = isatty(STDERR_FILENO) == 1 && term && *term && strcmp(term, "dumb") != 0;
	if (meter->terminal && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		meter->columns = size.ws_col < LINE_MAX_COLUMNS ? size.ws_col : LINE_MAX_COLUMNS;
}

static int percent(const struct bl_meter_state *state)
{
	if (state->bytes_total <= 0)
		return 0;
	if (state->bytes_done >= state->bytes_total)
		return 100;
	return (int)((double)state->bytes_done * 100 / (double)state->bytes_total);
}

/* "42%  1.2 GiB of 3.0 GiB, 120 MiB/s, 15 s left" */
static void describe(const struct bl_meter_state *state, char *to, size_t size)
{
	int64_t left = state->bytes_total - state->bytes_done;
	int used;

	if (state->bytes_total <= 0) {
		(void)snprintf(to, size, "asking the origin");
		return;
	}
	used = snprintf(to, size, "%3d%%  %s of %s", percent(state),
			bl_human_bytes(state->bytes_done).text,
			bl_human_bytes(state->bytes_total).text);
	if (state->bytes_per_second > 0 && left > 0 && used > 0 && (size_t)used < size)
		(void)snprintf(to + used, size - (size_t)used, ", %s/s, %s left",
			       bl_human_bytes(state->bytes_per_second).text,
			       bl_human_seconds(left / state->bytes_per_second + 1).text);
	else if (left == 0 && used > 0 && (size_t)used < size)
		(void)snprintf(to + used, size - (size_t)used, ", verifying");
}

void bl_meter_line(const struct bl_meter_state *state, int columns, char *to, size_t size)
{
	char text[128];
	char bar[BAR + 1];
	char file[256];
	int full = percent(state) * BAR / 100;
	int used;

	memset(bar, '.', BAR);
	memset(bar, '#', (size_t)full);
	bar[BAR] = '\0';
	describe(state, text, sizeof(text));
	used = snprintf(to, size, "[%s] %s", bar, text);
	if (used < 0 || (size_t)used >= size)
		return;
	/* Where there is no room for both, the figures say more than the bar. */
	if (used > columns - 1) {
		used = snprintf(to, size, "%s", text + strspn(text, " "));
		if (used > columns - 1)
			to[columns > 1 ? columns - 1 : 0] = '\0';
		return;
	}
	if (!state->file || used + 4 >= columns)
		return;
	(void)bl_log_escape(file, sizeof(file), state->file);
	/* Cut by bytes: a cut character shows as a replacement at worst. */
	(void)snprintf(to + used, size - (size_t)used, "  %.*s", columns - used - 3, file);
}

void bl_meter_show(struct bl_meter *meter, const struct bl_meter_state *state, int64_t now)
{
	char line[LINE_MAX_COLUMNS * 4];

	if (meter->terminal) {
		bl_meter_line(state, meter->columns, line, sizeof(line));
		(void)fprintf(stderr, "\r\033[K%s", line);
		meter->drawn = true;
	} else if (now >= meter->next_line) {
		describe(state, line, sizeof(line));
		(void)fprintf(stderr, "%s: %s\n", meter->program, line + strspn(line, " "));
		meter->next_line = now + PLAIN_EVERY_MS;
	}
}

void bl_meter_clear(struct bl_meter *meter)
{
	if (meter->drawn)
		(void)fprintf(stderr, "\r\033[K");
	meter->drawn = false;
}
