// SPDX-License-Identifier: Apache-2.0
#include "agent/loop.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "common/err.h"

uint64_t bl_loop_now(void)
{
	struct timespec now = {0};

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int bl_loop_init(struct bl_loop *loop, struct bl_err *err)
{
	*loop = (struct bl_loop){.epoll = epoll_create1(EPOLL_CLOEXEC)};
	loop->timers.prev = loop->timers.next = &loop->timers;
	return loop->epoll < 0 ? bl_err_sys(err, errno, "epoll_create1") : 0;
}

void bl_loop_done(struct bl_loop *loop)
{
	while (loop->timers.next && loop->timers.next != &loop->timers)
		bl_loop_cancel(loop->timers.next);
	if (loop->epoll >= 0)
		(void)close(loop->epoll);
	loop->epoll = -1;
}

int bl_loop_watch(struct bl_loop *loop, struct bl_watch *watch, int fd, uint32_t events,
		  bl_watch_fn *ready, void *data, struct bl_err *err)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return bl_err_sys(err, errno, "watch descriptor %d", fd);
	*watch = (struct bl_watch){.fd = fd, .ready = ready, .data = data};
	return 0;
}

void bl_loop_unwatch(struct bl_loop *loop, struct bl_watch *watch)
{
	if (watch->fd >= 0)
		(void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->fd = -1;
}

void bl_loop_after(struct bl_loop *loop, struct bl_timer *timer, uint64_t ms, bl_timer_fn *fire,
		   void *data)
{
	struct bl_timer *at;
	struct bl_timer *next;

	bl_loop_cancel(timer);
	timer->due = bl_loop_now() + ms;
	timer->fire = fire;
	timer->data = data;
	/* From both ends: there may be thousands, and a new one is among the first or the last. */
	at = loop->timers.prev;
	next = loop->timers.next;
	while (at != &loop->timers && at->due > timer->due) {
		if (next->due > timer->due) {
			at = next->prev;
			break;
		}
		next = next->next;
		at = at->prev;
	}
	timer->prev = at;
	timer->next = at->next;
	at->next->prev = timer;
	at->next = timer;
}

void bl_loop_cancel(struct bl_timer *timer)
{
	if (!timer->next)
		return;
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->prev = timer->next = NULL;
}

static void fire_timers(struct bl_loop *loop)
{
	uint64_t now = bl_loop_now();

	while (loop->timers.next != &loop->timers && loop->timers.next->due <= now) {
		struct bl_timer *first = loop->timers.next;

		bl_loop_cancel(first);
		first->fire(first);
	}
}

/* Milliseconds to the next timer, at most `bound` of them (-1: no bound); -1 is for ever. */
static int time_to_wait(const struct bl_loop *loop, int bound)
{
	uint64_t now = bl_loop_now();
	uint64_t left;

	if (loop->timers.next == &loop->timers)
		return bound;
	left = loop->timers.next->due > now ? loop->timers.next->due - now : 0;
	if (bound >= 0 && (uint64_t)bound < left)
		return bound;
	return left > INT_MAX ? INT_MAX : (int)left;
}

int bl_loop_run(struct bl_loop *loop, struct bl_err *err)
{
	while (!loop->stopped) {
		/* One event a wait: a callback may free what another event would point to. */
		struct epoll_event event;
		int bound;
		int n;

		fire_timers(loop);
		bound = loop->prepare ? loop->prepare(loop->prepare_data) : -1;
		if (loop->stopped)
			break;
		n = epoll_wait(loop->epoll, &event, 1, time_to_wait(loop, bound));
		if (n < 0 && errno != EINTR)
			return bl_err_sys(err, errno, "epoll_wait");
		if (n > 0) {
			struct bl_watch *watch = event.data.ptr;

			watch->ready(watch, event.events);
		}
	}
	return 0;
}

void bl_loop_stop(struct bl_loop *loop)
{
	loop->stopped = true;
}
