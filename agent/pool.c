// SPDX-License-Identifier: Apache-2.0
#include "agent/pool.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/err.h"

static void *serve(void *data)
{
	struct bl_pool *pool = data;
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct bl_task *task = pool->queue;

		if (!task && pool->stopping)
			break;
		if (!task) {
			(void)pthread_cond_wait(&pool->wanted, &pool->lock);
			continue;
		}
		pool->queue = task->next;
		if (!pool->queue)
			pool->queue_end = &pool->queue;
		(void)pthread_mutex_unlock(&pool->lock);
		task->run(task);
		(void)pthread_mutex_lock(&pool->lock);
		task->next = pool->finished;
		pool->finished = task;
		/* It can only fail where the counter is full: then the loop is awake anyway. */
		if (write(pool->event, &one, sizeof(one)) < 0)
			continue;
	}
	(void)pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static void finish_all(struct bl_pool *pool)
{
	struct bl_task *task;

	(void)pthread_mutex_lock(&pool->lock);
	task = pool->finished;
	pool->finished = NULL;
	(void)pthread_mutex_unlock(&pool->lock);
	while (task) {
		struct bl_task *next = task->next;

		task->done(task);
		task = next;
	}
}

static void pool_ready(struct bl_watch *watch, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(watch->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	finish_all(watch->data);
}

int bl_pool_init(struct bl_pool *pool, struct bl_loop *loop, unsigned threads, struct bl_err *err)
{
	sigset_t all, before;
	int r;

	*pool = (struct bl_pool){.loop = loop,
				 .watch = BL_WATCH_INIT,
				 .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				 .lock = PTHREAD_MUTEX_INITIALIZER,
				 .wanted = PTHREAD_COND_INITIALIZER};
	pool->queue_end = &pool->queue;
	if (pool->event < 0)
		return bl_err_sys(err, errno, "eventfd");
	r = bl_loop_watch(loop, &pool->watch, pool->event, EPOLLIN, pool_ready, pool, err);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned i = 0; r == 0 && i < threads && i < BL_POOL_THREADS; i++) {
		r = -pthread_create(&pool->threads[i], NULL, serve, pool);
		if (r < 0)
			r = bl_err_sys(err, -r, "start a worker thread");
		else
			pool->count++;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		bl_pool_done(pool);
	return r;
}

void bl_pool_done(struct bl_pool *pool)
{
	if (pool->event < 0)
		return;
	(void)pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	(void)pthread_cond_broadcast(&pool->wanted);
	(void)pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	pool->count = 0;
	bl_loop_unwatch(pool->loop, &pool->watch);
	finish_all(pool);
	(void)close(pool->event);
	pool->event = -1;
}

void bl_pool_run(struct bl_pool *pool, struct bl_task *task, bl_task_fn *run, bl_task_fn *done,
		 void *data)
{
	*task = (struct bl_task){.run = run, .done = done, .data = data};
	(void)pthread_mutex_lock(&pool->lock);
	*pool->queue_end = task;
	pool->queue_end = &task->next;
	(void)pthread_cond_signal(&pool->wanted);
	(void)pthread_mutex_unlock(&pool->lock);
}
