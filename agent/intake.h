/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of one job. A fetch process has no descriptor by which it could write to the cache: it says
 * through a pipe which bytes go where (the frames of common/job.h), and a thread of ours moves them there,
 * each byte of a file once. What has arrived can therefore be digested while the rest still comes.
 *
 * A frame that is not sound (a file that is not open, bytes outside of it, an end before all of it is
 * there) is a breach: the thread ends, and the caller stops the job.
 */
#ifndef BL_AGENT_INTAKE_H
#define BL_AGENT_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/ranges.h"
#include "common/job.h"

struct bl_err;
struct bl_intake;
struct bl_loop;

#define BL_INTAKE_RANGES \
	4096 /* gaps that a job may leave in a file, beside those that were there */

/* A file that is open for a job: a member of what the caller knows of it. */
struct bl_intake_file {
	struct bl_intake_file *next;
	uint32_t number; /* which one frames mean */
	int fd;		 /* to write through */
	uint64_t size;

	/* Under the intake's lock, once it was added. */
	struct bl_ranges arrived;
	size_t most_ranges;
	bool whole; /* its last frame has come, and all of it is there; no other may follow */
	int result; /* why it could not be written: the thread has ended */
};

/*
 * Starts the thread on a pipe, whose read end is taken over. `stirred` is called on the loop now and
 * then while bytes come, when a file is whole, and when the thread has ended (bl_intake_is_over()).
 */
int bl_intake_start(struct bl_loop *loop, int pipe, void (*stirred)(void *data), void *data,
		    struct bl_intake **ret, struct bl_err *err);
/* Has the thread end, whatever it is at: no byte is written from then on. */
void bl_intake_stop(struct bl_intake *intake);
/* Stops and frees it. NULL is fine. */
void bl_intake_free(struct bl_intake *intake);

/* Nobody will write into the pipe any more: it ends when the pipe is empty. */
void bl_intake_finish(struct bl_intake *intake);
/* The thread has ended. *ret_breach: for what of the job; else NULL. */
bool bl_intake_is_over(struct bl_intake *intake, const char **ret_breach);

/* A file that frames may mean from now on; it has its own copy of what is there. */
int bl_intake_add(struct bl_intake *intake, struct bl_intake_file *file, uint32_t number, int fd,
		  uint64_t size, const struct bl_ranges *have, struct bl_err *err);
/* Of a file that is whole, or when the thread has ended (intake is NULL where it is freed): takes it out and
 * closes its descriptor. */
void bl_intake_remove(struct bl_intake *intake, struct bl_intake_file *file);

/* What the thread has come to, taken under the lock. */
struct bl_intake_state {
	uint64_t arrived,
		front; /* bytes: of the file, and of it without a gap from its beginning */
	bool whole;
	int result;
};
struct bl_intake_state bl_intake_look(struct bl_intake *intake, const struct bl_intake_file *file);
/* A copy of what has arrived, for the journal: *ret is empty before. -ENOMEM. */
int bl_intake_arrived(struct bl_intake *intake, const struct bl_intake_file *file,
		      struct bl_ranges *ret);

#endif
