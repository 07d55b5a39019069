// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/loop.h"
#include "agent/pool.h"

static char order[16];

static void note(struct bl_timer *timer)
{
	strcat(order, timer->data);
}

static void stop(struct bl_timer *timer)
{
	bl_loop_stop(timer->data);
}

static void timers_fire_in_order_and_once(void **state)
{
	struct bl_timer a = {0}, b = {0}, c = {0}, end = {0};
	struct bl_loop loop;

	(void)state;
	order[0] = '\0';
	assert_int_equal(bl_loop_init(&loop, NULL), 0);
	bl_loop_after(&loop, &end, 30, stop, &loop);
	bl_loop_after(&loop, &b, 2, note, "b");
	bl_loop_after(&loop, &a, 1, note, "a");
	bl_loop_after(&loop, &c, 3, note, "c");
	bl_loop_after(&loop, &b, 10, note, "B"); /* set anew */
	bl_loop_cancel(&c);
	bl_loop_cancel(&c);
	bl_loop_after(&loop, &end, 30, stop, &loop); /* after all others, however long that took */
	assert_false(bl_loop_is_set(&c));
	assert_int_equal(bl_loop_run(&loop, NULL), 0);
	assert_string_equal(order, "aB");
	bl_loop_done(&loop);
}

static struct bl_watch first, second;
static struct bl_loop watched;
static int calls;

/* Ends the other's watch: its event, which is there too, must not be told any more. */
static void end_the_other(struct bl_watch *watch, uint32_t events)
{
	(void)events;
	calls++;
	bl_loop_unwatch(&watched, watch == &first ? &second : &first);
	bl_loop_unwatch(&watched, watch);
	bl_loop_stop(&watched);
}

static void a_watch_that_has_ended_hears_nothing(void **state)
{
	int a = eventfd(1, EFD_CLOEXEC);
	int b = eventfd(1, EFD_CLOEXEC);

	(void)state;
	assert_int_equal(bl_loop_init(&watched, NULL), 0);
	assert_int_equal(bl_loop_watch(&watched, &first, a, EPOLLIN, end_the_other, NULL, NULL), 0);
	assert_int_equal(bl_loop_watch(&watched, &second, b, EPOLLIN, end_the_other, NULL, NULL),
			 0);
	assert_int_equal(bl_loop_run(&watched, NULL), 0);
	assert_int_equal(calls, 1);
	bl_loop_done(&watched);
	close(a);
	close(b);
}

#define TASKS 100

static struct bl_task tasks[TASKS];
static int ran[TASKS], finished;

static void run(struct bl_task *task)
{
	ran[task - tasks] = 1;
}

static void done(struct bl_task *task)
{
	finished += ran[task - tasks];
	if (finished == TASKS / 2)
		bl_loop_stop(task->data);
}

static void tasks_run_and_are_finished_also_at_the_end(void **state)
{
	struct bl_loop loop;
	struct bl_pool pool;

	(void)state;
	assert_int_equal(bl_loop_init(&loop, NULL), 0);
	assert_int_equal(bl_pool_init(&pool, &loop, 3, NULL), 0);
	for (int i = 0; i < TASKS; i++)
		bl_pool_run(&pool, &tasks[i], run, done, &loop);
	assert_int_equal(bl_loop_run(&loop, NULL), 0);
	bl_pool_done(&pool);
	assert_int_equal(finished, TASKS);
	bl_loop_done(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_fire_in_order_and_once),
		cmocka_unit_test(a_watch_that_has_ended_hears_nothing),
		cmocka_unit_test(tasks_run_and_are_finished_also_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
