// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "agent/digest.h"
#include "common/cleanup.h"
#include "common/err.h"

#define BYTES (512 * 1024)

static int make_file(void)
{
	int fd = memfd_create("digest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, BYTES), 0);
	return fd;
}

static void *stop_soon(void *stop)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL);
	__atomic_store_n((bool *)stop, true, __ATOMIC_RELAXED);
	return NULL;
}

/* At this rate a piece is followed by days of waiting: who stops must not wait for their end. */
static void a_pause_ends_where_it_is_stopped(void **state)
{
	bool stop = false;
	const struct bl_digest_pace pace = {.bytes_per_second = 1, .stop = &stop};
	auto_fd fd = make_file();
	struct bl_digest digest;
	struct bl_err err = {0};
	pthread_t thread;
	uint64_t size;

	(void)state;
	(void)alarm(60);
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stop), 0);
	assert_int_equal(bl_digest_file(fd, &pace, &digest, &size, &err), -ECANCELED);
	(void)pthread_join(thread, NULL);
	(void)alarm(0);
}

static void a_rate_that_is_high_enough_keeps_nothing_up(void **state)
{
	const struct bl_digest_pace pace = {.bytes_per_second = UINT64_MAX};
	auto_fd fd = make_file();
	struct bl_digest with;
	struct bl_digest without;
	struct bl_err err = {0};
	uint64_t size = 0;

	(void)state;
	assert_int_equal(bl_digest_file(fd, &pace, &with, &size, &err), 0);
	assert_int_equal(size, BYTES);
	assert_int_equal(bl_digest_file(fd, NULL, &without, &size, &err), 0);
	assert_true(bl_digest_equal(&with, &without));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pause_ends_where_it_is_stopped),
		cmocka_unit_test(a_rate_that_is_high_enough_keeps_nothing_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
