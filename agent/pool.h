/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A few threads for what blocks: hashing, fsync, publishing. A task runs on one of them and is
 * then finished on the loop's thread, in whatever order they get done. Tasks touch nothing that
 * the loop owns but what they were given.
 */
#ifndef BL_AGENT_POOL_H
#define BL_AGENT_POOL_H

#include <pthread.h>
#include <stdbool.h>

#include "agent/loop.h"

struct bl_err;
struct bl_task;

typedef void bl_task_fn(struct bl_task *task);

/* A member of what it works on, which must live until `done` was called. */
struct bl_task {
	struct bl_task *next;
	bl_task_fn *run;  /* on a thread of the pool */
	bl_task_fn *done; /* on the loop's thread, afterwards */
	void *data;
};

#define BL_POOL_THREADS 8

struct bl_pool {
	struct bl_loop *loop;
	struct bl_watch watch;
	int event; /* eventfd */
	pthread_mutex_t lock;
	pthread_cond_t wanted;
	struct bl_task *queue, **queue_end;
	struct bl_task *finished;
	bool stopping;
	pthread_t threads[BL_POOL_THREADS];
	unsigned count;
};

/* Starts `threads` (at most BL_POOL_THREADS) threads, all signals blocked. */
int bl_pool_init(struct bl_pool *pool, struct bl_loop *loop, unsigned threads, struct bl_err *err);
/* Waits for the tasks under way and those queued; `done` is called for all of them. */
void bl_pool_done(struct bl_pool *pool);

void bl_pool_run(struct bl_pool *pool, struct bl_task *task, bl_task_fn *run, bl_task_fn *done,
		 void *data);

#endif
