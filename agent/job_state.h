/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a job: job.c has the process and the answers, job_message.c takes apart what it says.
 * Nobody else includes this.
 */
#ifndef BL_AGENT_JOB_STATE_H
#define BL_AGENT_JOB_STATE_H

#include <sys/types.h>

#include "agent/job.h"
#include "agent/loop.h"
#include "agent/spawn.h"
#include "common/buf.h"

/* What a file is about to do. */
enum bl_job_file_state {
	BL_JOB_FILE_IDLE,
	BL_JOB_FILE_OPENING, /* asked, not answered */
	BL_JOB_FILE_WRITING, /* its bytes come */
	BL_JOB_FILE_WRITTEN, /* they are all in place */
	BL_JOB_FILE_CLOSING, /* said done, not answered */
	BL_JOB_FILE_OVER,    /* skipped, or good */
};

/* What an answer is to. */
enum bl_job_question { BL_JOB_OPEN, BL_JOB_BYTES, BL_JOB_DONE, BL_JOB_QUESTIONS };

/* An answer that is owed; those to opens, and those to dones, leave in the order of the questions. That a
 * file is written leaves at once. */
struct bl_job_answer {
	struct bl_job_answer *next;
	enum bl_job_question to;
	const struct bl_manifest_file *file;
	char *text; /* NULL: not there yet */
	int fd;	    /* -1: none */
};

struct bl_job {
	struct bl_loop *loop;
	const struct bl_job_events *events;
	void *data;

	struct bl_process process;
	struct bl_watch input, socket, exit;
	struct bl_timer silence;
	struct bl_buf text; /* what is still to be written to its descriptor 0 */
	size_t written;
	bool socket_writes; /* EPOLLOUT is asked for */

	struct bl_manifest manifest;
	uint8_t *states; /* of the manifest's files: enum bl_job_file_state */
	bool listed, going, over;
	bool credential;
	char *revision;
	uint64_t arrived;
	uint64_t rate, rate_from, rate_at; /* bytes per second, since when measured (ms) */
	size_t under_way;		   /* files that are opening, writing or closing */
	struct bl_job_answer *answers, **answers_end;

	bool has_end; /* `end` is what it ended with */
	struct bl_job_end end;
};

/*
 * Takes apart one message and acts on it. A breach of the protocol is -EPROTO with *err filled;
 * the caller ends the job.
 */
int bl_job_take_message(struct bl_job *job, const char *text, size_t len, struct bl_err *err);

/* Sets how it ends, the first time; later calls change nothing. */
void bl_job_set_end(struct bl_job *job, const char *class, const char *detail);

/* An answer for the file is owed from now on. */
int bl_job_owe(struct bl_job *job, const struct bl_manifest_file *file, enum bl_job_question to,
	       struct bl_err *err);

#endif
