// SPDX-License-Identifier: Apache-2.0
/* What a fetch process may say, in which order; answers leave in the order of the requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/job_state.h"
#include "common/err.h"

static const struct bl_ranges none;

struct rig {
	struct bl_loop loop;
	struct bl_job *job;
	int far; /* the fetch process's end */
	struct bl_err err;
	size_t listed;
	struct bl_manifest_file *opened, *done;
};

static void on_listed(struct bl_job *job, void *data)
{
	((struct rig *)data)->listed++;
	bl_job_go(job);
}

static void on_open(struct bl_job *job, struct bl_manifest_file *file, void *data)
{
	(void)job;
	((struct rig *)data)->opened = file;
}

static void on_done(struct bl_job *job, struct bl_manifest_file *file, bool good, void *data)
{
	(void)job;
	(void)good;
	((struct rig *)data)->done = file;
}

static const struct bl_job_events events = {.listed = on_listed, .open = on_open, .done = on_done};

static void never(struct bl_watch *watch, uint32_t happened)
{
	(void)watch;
	(void)happened;
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct bl_job *job = calloc(1, sizeof(*job));
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	assert_int_equal(bl_loop_init(&rig->loop, &rig->err), 0);
	*job = (struct bl_job){
		.loop = &rig->loop,
		.events = &events,
		.data = rig,
		.process = {.pidfd = -1, .input = -1, .socket = sockets[0], .bytes = -1},
		.input = BL_WATCH_INIT,
		.socket = BL_WATCH_INIT,
		.exit = BL_WATCH_INIT};
	job->answers_end = &job->answers;
	bl_manifest_init(&job->manifest);
	assert_int_equal(
		bl_loop_watch(&rig->loop, &job->socket, sockets[0], EPOLLIN, never, job, &rig->err),
		0);
	rig->job = job;
	rig->far = sockets[1];
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	bl_job_free(rig->job);
	if (rig->far >= 0)
		close(rig->far);
	bl_loop_done(&rig->loop);
	free(rig);
	return 0;
}

static int say(struct rig *rig, const char *text)
{
	return bl_job_take_message(rig->job, text, strlen(text), &rig->err);
}

/* What the fetch process hears next, "" where there is nothing. */
static const char *hear(struct rig *rig)
{
	static char text[4096];
	ssize_t n = recv(rig->far, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void list_two(struct rig *rig)
{
	assert_int_equal(say(rig, "{\"type\":\"files\",\"files\":[{\"path\":\"b\",\"size\":2},"
				  "{\"path\":\"a\",\"size\":1,\"etag\":\"x\"}]}"),
			 0);
	assert_int_equal(say(rig, "{\"type\":\"manifest\",\"files\":2,\"bytes\":3,"
				  "\"credential\":true,\"revision\":\"r1\"}"),
			 0);
}

static void the_listing_is_sorted_and_keeps_promises(void **state)
{
	struct rig *rig = *state;

	list_two(rig);
	assert_int_equal(rig->listed, 1);
	assert_string_equal(bl_job_manifest(rig->job)->files[0].path, "a");
	assert_string_equal(bl_job_manifest(rig->job)->files[0].promise,
			    "{\"etag\":\"x\",\"size\":1}");
	assert_string_equal(bl_job_revision(rig->job), "r1");
	assert_true(bl_job_credential(rig->job));
}

static void answers_leave_in_the_order_of_the_requests(void **state)
{
	struct rig *rig = *state;
	struct bl_manifest_file *first;

	list_two(rig);
	assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"b\"}"), 0);
	first = rig->opened;
	assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"a\"}"), 0);
	bl_job_send_skip(rig->job, rig->opened);
	assert_string_equal(hear(rig), "");
	bl_job_send_file(rig->job, first, STDIN_FILENO,
			 &(struct bl_ranges){.at = &(struct bl_range){0, 1}, .count = 1});
	assert_string_equal(hear(rig), "{\"have\":[[0,1]],\"number\":1,\"type\":\"file\"}");
	assert_string_equal(hear(rig), "{\"type\":\"skip\"}");
}

/* A large file takes its time to verify: lanes must not stand still meanwhile. */
static void an_open_does_not_wait_for_a_done(void **state)
{
	struct rig *rig = *state;

	list_two(rig);
	assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"b\"}"), 0);
	bl_job_send_file(rig->job, rig->opened, -1, &none);
	assert_string_equal(hear(rig), "{\"have\":[],\"number\":1,\"type\":\"file\"}");
	bl_job_send_written(rig->job, rig->opened);
	assert_string_equal(hear(rig), "{\"number\":1,\"type\":\"written\"}");
	assert_int_equal(say(rig, "{\"type\":\"done\",\"path\":\"b\",\"size\":2}"), 0);
	assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"a\"}"), 0);
	bl_job_send_skip(rig->job, rig->opened);
	assert_string_equal(hear(rig), "{\"type\":\"skip\"}");
	bl_job_send_ok(rig->job, rig->done);
	assert_string_equal(hear(rig), "{\"type\":\"ok\"}");
	assert_int_equal(say(rig, "{\"type\":\"end\"}"), 0);
}

static void a_file_whose_bytes_were_wrong_can_be_opened_anew(void **state)
{
	struct rig *rig = *state;

	list_two(rig);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"a\"}"), 0);
		bl_job_send_file(rig->job, rig->opened, -1, &none);
		bl_job_send_written(rig->job, rig->opened);
		assert_int_equal(say(rig, "{\"type\":\"done\",\"path\":\"a\",\"size\":1}"), 0);
		bl_job_send_again(rig->job, rig->done, "wrong \"bytes\"");
		assert_string_equal(hear(rig), "{\"have\":[],\"number\":0,\"type\":\"file\"}");
		assert_string_equal(hear(rig), "{\"number\":0,\"type\":\"written\"}");
		assert_string_equal(hear(rig),
				    "{\"detail\":\"wrong \\\"bytes\\\"\",\"type\":\"again\"}");
	}
	assert_int_equal(say(rig, "{\"type\":\"end\"}"), 0);
	assert_true(rig->job->end.good);
}

static void what_breaks_the_protocol_is_refused(void **state)
{
	static const char *const after_listing[] = {
		"{\"type\":\"files\",\"files\":[]}",
		"{\"type\":\"manifest\",\"files\":2,\"bytes\":3,\"credential\":true}",
		"{\"type\":\"open\",\"path\":\"c\"}",
		"{\"type\":\"open\"}",
		"{\"type\":\"done\",\"path\":\"a\",\"size\":1}",
		"{\"type\":\"progress\",\"bytes\":-1}",
		"{\"type\":\"error\",\"class\":\"\",\"detail\":\"\"}",
		"{\"type\":1}",
		"[]",
		"",
	};
	struct rig *rig = *state;

	list_two(rig);
	for (size_t i = 0; i < sizeof(after_listing) / sizeof(*after_listing); i++)
		assert_true(say(rig, after_listing[i]) < 0);
	assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"a\"}"), 0);
	assert_true(say(rig, "{\"type\":\"open\",\"path\":\"a\"}") < 0);
	assert_true(say(rig, "{\"type\":\"end\"}") < 0);
	bl_job_send_file(rig->job, rig->opened, -1, &none);
	assert_true(say(rig, "{\"type\":\"done\",\"path\":\"a\",\"size\":1}") < 0);
	bl_job_send_written(rig->job, rig->opened);
	assert_true(say(rig, "{\"type\":\"done\",\"path\":\"a\",\"size\":2}") < 0);
}

static void a_manifest_agrees_with_its_files(void **state)
{
	static const char *const odd[] = {
		"{\"type\":\"manifest\",\"files\":1,\"bytes\":3,\"credential\":true}",
		"{\"type\":\"manifest\",\"files\":3,\"bytes\":3,\"credential\":true}",
		"{\"type\":\"manifest\",\"files\":2,\"bytes\":2,\"credential\":true}",
		"{\"type\":\"manifest\",\"files\":2,\"bytes\":4,\"credential\":true}",
		"{\"type\":\"manifest\",\"files\":2,\"credential\":true}",
		"{\"type\":\"manifest\",\"bytes\":3,\"credential\":true}",
		"{\"type\":\"manifest\",\"files\":2,\"bytes\":3}",
	};
	struct rig *rig = *state;

	assert_true(say(rig, "{\"type\":\"manifest\",\"files\":0,\"bytes\":0,"
			     "\"credential\":true}") < 0);
	assert_int_equal(say(rig, "{\"type\":\"files\",\"files\":[{\"path\":\"a\",\"size\":1},"
				  "{\"path\":\"b\",\"size\":2}]}"),
			 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		assert_true(say(rig, odd[i]) < 0);
		assert_false(bl_job_is_listed(rig->job));
	}
	assert_int_equal(say(rig, "{\"type\":\"manifest\",\"files\":2,\"bytes\":3,"
				  "\"credential\":true}"),
			 0);
	assert_true(bl_job_is_listed(rig->job));
}

static void stop_when_heard(struct bl_timer *timer)
{
	struct rig *rig = timer->data;

	if (rig->job->has_end || rig->job->socket.fd < 0)
		bl_loop_stop(&rig->loop);
	else
		bl_loop_after(&rig->loop, timer, 0, stop_when_heard, rig);
}

/* The kernel tells of the unread answer (ECONNRESET) before what was said. */
static void last_words_are_heard_behind_an_answer_that_nobody_read(void **state)
{
	static const char words[] = "{\"type\":\"error\",\"class\":\"not_found\","
				    "\"detail\":\"my last words\"}";
	struct rig *rig = *state;
	struct bl_timer timer = {0};

	bl_loop_unwatch(&rig->loop, &rig->job->socket); /* bl_job_go() does it in earnest */
	list_two(rig);
	assert_int_equal(say(rig, "{\"type\":\"open\",\"path\":\"b\"}"), 0);
	bl_job_send_file(rig->job, rig->opened, -1, &none);
	assert_int_equal(send(rig->far, words, strlen(words), 0), strlen(words));
	close(rig->far);
	rig->far = -1;
	bl_loop_after(&rig->loop, &timer, 0, stop_when_heard, rig);
	assert_int_equal(bl_loop_run(&rig->loop, &rig->err), 0);
	assert_true(rig->job->has_end);
	assert_string_equal(rig->job->end.class, "not_found");
	assert_string_equal(rig->job->end.detail, "my last words");
}

static void a_detail_is_cut_between_characters(void **state)
{
	struct rig *rig = *state;
	char text[2 * BL_JOB_DETAIL] = "";

	while (strlen(text) < BL_JOB_DETAIL + 10)
		strcat(text, "\xe2\x82\xac");
	bl_job_set_end(rig->job, BL_JOB_ORIGIN, text);
	assert_int_equal(strlen(rig->job->end.detail) % 3, 0);
	assert_true(strlen(rig->job->end.detail) > BL_JOB_DETAIL - 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_listing_is_sorted_and_keeps_promises, setup,
						teardown),
		cmocka_unit_test_setup_teardown(answers_leave_in_the_order_of_the_requests, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_open_does_not_wait_for_a_done, setup, teardown),
		cmocka_unit_test_setup_teardown(a_file_whose_bytes_were_wrong_can_be_opened_anew,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_breaks_the_protocol_is_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_manifest_agrees_with_its_files, setup, teardown),
		cmocka_unit_test_setup_teardown(
			last_words_are_heard_behind_an_answer_that_nobody_read, setup, teardown),
		cmocka_unit_test_setup_teardown(a_detail_is_cut_between_characters, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
