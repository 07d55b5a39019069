// SPDX-License-Identifier: Apache-2.0
/* What a fetch process says: each line of the input is one message of one job. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job_state.h"
#include "common/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void on_listed(struct bl_job *job, void *data)
{
	(void)data;
	bl_job_go(job);
}

/* The answers of an agent: skipped, good, or to be brought again, by the path. */
static void on_open(struct bl_job *job, struct bl_manifest_file *file, void *data)
{
	const struct bl_ranges have = {.at = &(struct bl_range){0, 1}, .count = 1};

	(void)data;
	if (file->path[0] == 's')
		bl_job_send_skip(job, file);
	else if (file->path[0] != 'w')
		bl_job_send_file(job, file, -1, &have);
	/* Its bytes have all come: that is told by a pipe. */
	if (file->path[0] == 'a' || file->path[0] == 'f')
		bl_job_send_written(job, file);
}

static void on_done(struct bl_job *job, struct bl_manifest_file *file, bool good, void *data)
{
	(void)data;
	if (!good || file->path[0] == 'a')
		bl_job_send_again(job, file, "not what was promised");
	else
		bl_job_send_ok(job, file);
}

static const struct bl_job_events events = {.listed = on_listed, .open = on_open, .done = on_done};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct bl_job *job = calloc(1, sizeof(*job));
	struct bl_err err = {0};
	const uint8_t *at = data;

	if (!job)
		return 0;
	*job = (struct bl_job){.events = &events,
			       .process = {.pidfd = -1, .input = -1, .socket = -1, .bytes = -1},
			       .input = BL_WATCH_INIT,
			       .socket = {.fd = 0},
			       .exit = BL_WATCH_INIT};
	/* As in `listed`: it is being listened to, so that bl_job_go() only takes note. */
	job->answers_end = &job->answers;
	bl_manifest_init(&job->manifest);
	while (len > 0) {
		const uint8_t *end = memchr(at, '\n', len);
		size_t line = end ? (size_t)(end - at) : len;

		if (bl_job_take_message(job, (const char *)at, line, &err) < 0 || job->has_end)
			break;
		len -= line + (end != NULL);
		at += line + (end != NULL);
	}
	job->socket.fd = -1;
	bl_job_free(job);
	return 0;
}
