/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "common/err.h"

struct queue {
	struct bl_task *first, **last;
};

struct bl_worker {
	pthread_t thread;
	bool running; /* the thread exists */
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct queue waiting, finished;
	bool stop;
	int event;
};

static void push(struct queue *queue, struct bl_task *task)
{
	task->next = NULL;
	if (!queue->first)
		queue->last = &queue->first;
	*queue->last = task;
	queue->last = &task->next;
}

static struct bl_task *pop(struct queue *queue)
{
	struct bl_task *task = queue->first;

	if (task)
		queue->first = task->next;
	return task;
}

static void *work(void *ctx)
{
	struct bl_worker *worker = ctx;
	const uint64_t one = 1;

	pthread_mutex_lock(&worker->lock);
	while (!worker->stop) {
		struct bl_task *task = pop(&worker->waiting);

		if (!task) {
			pthread_cond_wait(&worker->work, &worker->lock);
			continue;
		}
		pthread_mutex_unlock(&worker->lock);
		task->run(task);
		pthread_mutex_lock(&worker->lock);
		push(&worker->finished, task);
		/* cannot fail but by overflow, and then the descriptor is readable anyway */
		ssize_t n = write(worker->event, &one, sizeof(one));
		(void)n;
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int bl_worker_new(struct bl_worker **ret, struct bl_err *err)
{
	auto_worker worker = calloc(1, sizeof(*worker));
	sigset_t all, before;

	if (!worker)
		return bl_err_nomem(err);
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->work, NULL);
	worker->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->event < 0)
		return bl_err_sys(err, errno, "eventfd");
	/* signals are the loop's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&worker->thread, NULL, work, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return bl_err_sys(err, rc, "start a thread");
	worker->running = true;
	*ret = TAKE_PTR(worker);
	return 0;
}

static void drop_all(struct queue *queue)
{
	struct bl_task *task;

	while ((task = pop(queue)))
		if (task->drop)
			task->drop(task);
}

void bl_worker_free(struct bl_worker **pointer)
{
	struct bl_worker *worker = *pointer;
	int saved = errno;

	if (!worker)
		return;
	if (worker->running) {
		pthread_mutex_lock(&worker->lock);
		worker->stop = true;
		pthread_cond_signal(&worker->work);
		pthread_mutex_unlock(&worker->lock);
		pthread_join(worker->thread, NULL);
	}
	drop_all(&worker->finished);
	drop_all(&worker->waiting);
	pthread_cond_destroy(&worker->work);
	pthread_mutex_destroy(&worker->lock);
	bl_cleanup_fd(&worker->event);
	free(worker);
	*pointer = NULL;
	errno = saved;
}

int bl_worker_fd(const struct bl_worker *worker)
{
	return worker->event;
}

void bl_worker_submit(struct bl_worker *worker, struct bl_task *task)
{
	pthread_mutex_lock(&worker->lock);
	push(&worker->waiting, task);
	pthread_cond_signal(&worker->work);
	pthread_mutex_unlock(&worker->lock);
}

struct bl_task *bl_worker_finished(struct bl_worker *worker)
{
	uint64_t count;

	pthread_mutex_lock(&worker->lock);
	struct bl_task *task = pop(&worker->finished);
	if (!worker->finished.first) {
		ssize_t n = read(worker->event, &count, sizeof(count));
		(void)n; /* there may have been nothing to read */
	}
	pthread_mutex_unlock(&worker->lock);
	return task;
}
