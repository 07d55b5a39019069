/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One fetch process and its half of the protocol of common/job.h. Whatever the process says is
 * taken apart, bounded and checked here; who uses a job hears only of files that are in a sound
 * listing, in an order that makes sense. A process that does not keep to it is killed, and the job
 * has failed ("internal").
 */
#ifndef BL_AGENT_JOB_H
#define BL_AGENT_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/manifest.h"
#include "common/ranges.h"
#include "common/job.h"

struct bl_buf;
struct bl_err;
struct bl_job;
struct bl_loop;
struct bl_spawn;

#define BL_JOB_UNDER_WAY  512		   /* files that may be opening, open or closing at once */
#define BL_JOB_DETAIL	  480		   /* bytes of an error's detail that are kept */
#define BL_JOB_SILENCE_MS (10 * 60 * 1000) /* a process that says nothing for so long is killed */

/* How a job ended. */
struct bl_job_end {
	bool good;
	char class[16];		    /* one of common/job.h's, where it is not good */
	char detail[BL_JOB_DETAIL]; /* one line for a person */
};

/* What a job tells. A callback may call anything but bl_job_free() on its own job, save `ended`. */
struct bl_job_events {
	/* The listing is whole, sorted and sound: bl_job_manifest(). Opens wait for bl_job_go(). */
	void (*listed)(struct bl_job *job, void *data);
	/* Is about to bring the file: bl_job_send_file() or bl_job_send_skip(). */
	void (*open)(struct bl_job *job, struct bl_manifest_file *file, void *data);
	/* All of the file is there; it is `good` as far as fetch can tell, or has another digest than its origin
	 * promises: bl_job_send_ok() or bl_job_send_again(). */
	void (*done)(struct bl_job *job, struct bl_manifest_file *file, bool good, void *data);
	/* Once, the last of all: the process is gone. */
	void (*ended)(struct bl_job *job, const struct bl_job_end *end, void *data);
};

/*
 * Starts a process on the input (one JSON object, which may hold secrets: its bytes are taken over
 * and wiped); files: it may open the file roots. The job lives until bl_job_free().
 */
int bl_job_start(struct bl_loop *loop, const struct bl_spawn *spawn, bool files,
		 struct bl_buf *input, const struct bl_job_events *events, void *data,
		 struct bl_job **ret, struct bl_err *err);
/* Kills the process if it still runs, without another callback. NULL is fine. */
void bl_job_free(struct bl_job *job);

/* The listing, from `listed` on, owned by the job. Each file's promise is its JSON object. */
struct bl_manifest *bl_job_manifest(struct bl_job *job);
const char *bl_job_revision(const struct bl_job *job); /* or NULL */
bool bl_job_credential(const struct bl_job *job);      /* the origin wanted one */
uint64_t bl_job_arrived(const struct bl_job *job);     /* bytes, as it says */
uint64_t bl_job_rate(struct bl_job *job);	       /* bytes per second, lately */
bool bl_job_is_listed(const struct bl_job *job);

/* Lets the opens come. */
void bl_job_go(struct bl_job *job);
/* Its bytes come through this pipe, in frames of common/job.h: once, from then on the caller's. */
int bl_job_take_pipe(struct bl_job *job);
/* The number of a file in frames. */
uint32_t bl_job_number(const struct bl_job *job, const struct bl_manifest_file *file);

/* Answers; they are sent in the order of the requests. fd (to read the file by; or -1) stays the caller's. */
void bl_job_send_file(struct bl_job *job, const struct bl_manifest_file *file, int fd,
		      const struct bl_ranges *have);
void bl_job_send_skip(struct bl_job *job, const struct bl_manifest_file *file);
/* All of its bytes are in place: `done` may follow. */
void bl_job_send_written(struct bl_job *job, const struct bl_manifest_file *file);
void bl_job_send_ok(struct bl_job *job, const struct bl_manifest_file *file);
/* The bytes were not what they should be; the file can be opened anew. */
void bl_job_send_again(struct bl_job *job, const struct bl_manifest_file *file, const char *detail);

/* Ends it with that error of our own: `ended` follows, not from within this call. */
void bl_job_fail(struct bl_job *job, const char *class, const char *detail);

#endif
