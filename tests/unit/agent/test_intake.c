// SPDX-License-Identifier: Apache-2.0
/* What comes through a job's pipe is moved where it belongs, once; what is not sound ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/intake.h"
#include "agent/loop.h"
#include "common/err.h"

#define NUMBER 7
#define SIZE   10

static const struct bl_ranges none;

struct rig {
	struct bl_loop loop;
	struct bl_intake *intake;
	struct bl_intake_file file;
	int far;  /* the job's end of the pipe */
	int data; /* to read the file by */
	const char *breach;
	bool until_whole;
	struct bl_err err;
};

static void stirred(void *data)
{
	struct rig *rig = data;

	if (bl_intake_is_over(rig->intake, &rig->breach) ||
	    (rig->until_whole && bl_intake_look(rig->intake, &rig->file).whole))
		bl_loop_stop(&rig->loop);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	rig->far = pipes[1];
	assert_int_equal(bl_loop_init(&rig->loop, &rig->err), 0);
	assert_int_equal(
		bl_intake_start(&rig->loop, pipes[0], stirred, rig, &rig->intake, &rig->err), 0);
	rig->data = memfd_create("file", 0);
	assert_int_equal(ftruncate(rig->data, SIZE), 0);
	assert_int_equal(bl_intake_add(rig->intake, &rig->file, NUMBER, dup(rig->data), SIZE, &none,
				       &rig->err),
			 0);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	bl_intake_free(rig->intake);
	bl_intake_remove(NULL, &rig->file);
	if (rig->far >= 0)
		close(rig->far);
	close(rig->data);
	bl_loop_done(&rig->loop);
	free(rig);
	return 0;
}

static void frame(struct rig *rig, uint32_t file, uint64_t at, uint32_t len, const char *bytes)
{
	const struct bl_job_frame head = {file, len, at};

	assert_int_equal(write(rig->far, &head, sizeof(head)), sizeof(head));
	assert_int_equal(write(rig->far, bytes, strlen(bytes)), strlen(bytes));
}

static void say(struct rig *rig, uint64_t at, const char *bytes)
{
	frame(rig, NUMBER, at, (uint32_t)strlen(bytes), bytes);
}

static void wait_for_end(struct rig *rig)
{
	assert_int_equal(bl_loop_run(&rig->loop, &rig->err), 0);
}

/* The job's end is closed, too. */
static void end(struct rig *rig)
{
	close(rig->far);
	rig->far = -1;
	wait_for_end(rig);
}

static void assert_content(struct rig *rig, const char *wanted)
{
	char found[SIZE + 1] = "";

	assert_int_equal(pread(rig->data, found, SIZE, 0), SIZE);
	assert_string_equal(found, wanted);
}

static void bytes_go_where_they_belong(void **state)
{
	struct rig *rig = *state;
	struct bl_intake_state found;

	say(rig, 5, "56789");
	say(rig, 0, "012");
	end(rig);
	found = bl_intake_look(rig->intake, &rig->file);
	assert_int_equal(found.arrived, 8);
	assert_int_equal(found.front, 3);
	assert_false(found.whole);
	assert_int_equal(found.result, 0);
	assert_null(rig->breach);
}

static void a_file_is_whole_when_that_is_said_and_true(void **state)
{
	struct rig *rig = *state;

	say(rig, 3, "3456789");
	say(rig, 0, "012");
	rig->until_whole = true;
	frame(rig, NUMBER, 0, 0, "");
	wait_for_end(rig);
	assert_int_equal(bl_intake_look(rig->intake, &rig->file).front, SIZE);
	assert_content(rig, "0123456789");
}

/* What was digested must stay as it is. */
static void a_byte_that_is_there_is_never_written_again(void **state)
{
	struct rig *rig = *state;

	say(rig, 2, "23");
	say(rig, 6, "67");
	say(rig, 0, "abcdefghij");
	say(rig, 4, "XX");
	frame(rig, NUMBER, 0, 0, "");
	end(rig);
	assert_null(rig->breach);
	assert_true(bl_intake_look(rig->intake, &rig->file).whole);
	assert_content(rig, "ab23ef67ij");
}

static void what_was_there_before_counts(void **state)
{
	const struct bl_ranges have = {.at = &(struct bl_range){0, 4}, .count = 1};
	struct rig *rig = *state;
	struct bl_intake_file second;

	assert_int_equal(pwrite(rig->data, "0123", 4, 0), 4);
	assert_int_equal(bl_intake_add(rig->intake, &second, NUMBER + 1, dup(rig->data), SIZE,
				       &have, &rig->err),
			 0);
	assert_int_equal(bl_intake_look(rig->intake, &second).front, 4);
	frame(rig, NUMBER + 1, 2, 8, "XX456789");
	frame(rig, NUMBER + 1, 0, 0, "");
	end(rig);
	assert_null(rig->breach);
	assert_true(bl_intake_look(rig->intake, &second).whole);
	assert_content(rig, "0123456789");
	bl_intake_remove(rig->intake, &second);
}

static void what_is_not_sound_ends_it(void **state)
{
	static const struct {
		uint32_t file;
		uint64_t at;
		uint32_t len;
	} frames[] = {
		{NUMBER + 1, 0, 1},	 {UINT32_MAX, 0, 0},
		{NUMBER, SIZE, 1},	 {NUMBER, SIZE - 1, 2},
		{NUMBER, 0, SIZE + 1},	 {NUMBER, SIZE + 1, 0},
		{NUMBER, UINT64_MAX, 2}, {NUMBER, UINT64_MAX - 1, UINT32_MAX},
		{NUMBER, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		struct rig *rig;

		setup((void **)&rig);
		frame(rig, frames[i].file, frames[i].at, frames[i].len, "");
		wait_for_end(rig); /* the job's end is open still */
		assert_non_null(rig->breach);
		teardown((void **)&rig);
	}
}

static void nothing_follows_on_the_end_of_a_file(void **state)
{
	struct rig *rig = *state;

	say(rig, 0, "0123456789");
	frame(rig, NUMBER, 0, 0, "");
	say(rig, 0, "X");
	wait_for_end(rig);
	assert_non_null(rig->breach);
	assert_content(rig, "0123456789");
}

static void too_many_gaps_are_refused(void **state)
{
	struct rig *rig = *state;
	struct bl_intake_file large;
	int data = memfd_create("large", 0);

	assert_int_equal(
		bl_intake_add(rig->intake, &large, 1, data, 4 * BL_INTAKE_RANGES, &none, &rig->err),
		0);
	for (unsigned i = 0; i <= BL_INTAKE_RANGES; i++) {
		const struct {
			struct bl_job_frame head;
			char byte;
		} one = {{1, 1, 2 * i}, 'x'};

		/* In the end nobody reads. */
		if (write(rig->far, &one, sizeof(one.head) + 1) < 0)
			assert_int_equal(errno, EPIPE);
	}
	wait_for_end(rig);
	assert_non_null(rig->breach);
	bl_intake_remove(rig->intake, &large);
}

static void a_job_that_dies_in_a_frame_leaves_what_came(void **state)
{
	struct rig *rig = *state;

	frame(rig, NUMBER, 0, 9, "0123");
	end(rig);
	assert_null(rig->breach);
	assert_int_equal(bl_intake_look(rig->intake, &rig->file).front, 4);
}

static void what_cannot_be_written_is_said(void **state)
{
	struct rig *rig = *state;
	struct bl_intake_file other;

	assert_int_equal(bl_intake_add(rig->intake, &other, 1, open("/dev/null", O_RDONLY), SIZE,
				       &none, &rig->err),
			 0);
	frame(rig, 1, 0, 3, "012");
	wait_for_end(rig);
	assert_null(rig->breach);
	assert_int_equal(bl_intake_look(rig->intake, &other).result, -EBADF);
	bl_intake_remove(rig->intake, &other);
}

/* Somebody may hold the job's end, and nobody write to it. */
static void it_ends_when_it_is_told_and_the_pipe_is_empty(void **state)
{
	struct rig *rig = *state;

	say(rig, 0, "0123");
	bl_intake_finish(rig->intake);
	wait_for_end(rig);
	assert_null(rig->breach);
	assert_int_equal(bl_intake_look(rig->intake, &rig->file).front, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bytes_go_where_they_belong, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_is_whole_when_that_is_said_and_true, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_byte_that_is_there_is_never_written_again, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_was_there_before_counts, setup, teardown),
		cmocka_unit_test(what_is_not_sound_ends_it),
		cmocka_unit_test_setup_teardown(nothing_follows_on_the_end_of_a_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(too_many_gaps_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_job_that_dies_in_a_frame_leaves_what_came, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_written_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(it_ends_when_it_is_told_and_the_pipe_is_empty,
						setup, teardown),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
