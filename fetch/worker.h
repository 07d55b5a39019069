/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread beside the loop, for what would make all connections wait: syncing to disk, digesting
 * a file. Tasks run one after the other; a finished one comes back to the loop through a
 * descriptor. Until then what a task points to is the thread's.
 */
#ifndef BL_FETCH_WORKER_H
#define BL_FETCH_WORKER_H

struct bl_err;
struct bl_worker;

struct bl_task {
	void (*run)(struct bl_task *task);  /* in the thread */
	void (*drop)(struct bl_task *task); /* frees a task that is never handed back; or NULL */
	struct bl_task *next;		    /* the worker's */
};

int bl_worker_new(struct bl_worker **ret, struct bl_err *err);
/* Waits for the task that is running; what waits behind it is never run. */
void bl_worker_free(struct bl_worker **worker);
#define auto_worker __attribute__((cleanup(bl_worker_free))) struct bl_worker *

/* Readable when a task has finished. */
int bl_worker_fd(const struct bl_worker *worker);
void bl_worker_submit(struct bl_worker *worker, struct bl_task *task);
/* The next finished task, the caller's again; NULL when there is none. */
struct bl_task *bl_worker_finished(struct bl_worker *worker);

#endif
