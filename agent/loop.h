/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one event loop that owns all state of the agent: descriptors by epoll, timers, and work that
 * threads have finished (agent/pool.h comes in through an eventfd). Everything but the functions
 * that the pool runs happens here, one callback after the other, so nothing needs a lock.
 */
#ifndef BL_AGENT_LOOP_H
#define BL_AGENT_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_err;
struct bl_loop;
struct bl_watch;
struct bl_timer;

typedef void bl_watch_fn(struct bl_watch *watch, uint32_t events);
typedef void bl_timer_fn(struct bl_timer *timer);

/* A descriptor that is watched; a member of what it serves. The descriptor stays its owner's. */
struct bl_watch {
	int fd; /* -1 while it is not watched */
	bl_watch_fn *ready;
	void *data;
};
#define BL_WATCH_INIT ((struct bl_watch){.fd = -1})

/* A moment; a member of what it serves. */
struct bl_timer {
	struct bl_timer *prev, *next; /* both NULL while it is not set */
	uint64_t due;		      /* CLOCK_BOOTTIME, milliseconds */
	bl_timer_fn *fire;
	void *data;
};

struct bl_loop {
	int epoll;
	bool stopped;
	struct bl_timer timers; /* ring, the earliest first */
	/* Called before each wait; returns how long that may last at most in ms, -1 for ever. */
	int (*prepare)(void *data);
	void *prepare_data;
};

int bl_loop_init(struct bl_loop *loop, struct bl_err *err);
void bl_loop_done(struct bl_loop *loop);

/* Watches fd for `events` (EPOLLIN, ...). The watch must be idle; it may end in its callback. */
int bl_loop_watch(struct bl_loop *loop, struct bl_watch *watch, int fd, uint32_t events,
		  bl_watch_fn *ready, void *data, struct bl_err *err);
/* Ends the watch; nothing happens where it is idle. Call it before the descriptor is closed. */
void bl_loop_unwatch(struct bl_loop *loop, struct bl_watch *watch);

/* Sets (or sets anew) the timer to fire once, ms from now. */
void bl_loop_after(struct bl_loop *loop, struct bl_timer *timer, uint64_t ms, bl_timer_fn *fire,
		   void *data);
/* Nothing happens where it is not set. */
void bl_loop_cancel(struct bl_timer *timer);
static inline bool bl_loop_is_set(const struct bl_timer *timer)
{
	return timer->next != NULL;
}

/* Runs callbacks until bl_loop_stop(). */
int bl_loop_run(struct bl_loop *loop, struct bl_err *err);
void bl_loop_stop(struct bl_loop *loop);

/* CLOCK_BOOTTIME in milliseconds: it goes on while the machine sleeps, and never back. */
uint64_t bl_loop_now(void);

#endif
