// SPDX-License-Identifier: Apache-2.0
/* The gate: lines of the agent, and a whole wait against a writer in a thread of its own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/sys.h"
#include "shim/gate.h"
#include "shim/orders.h"

static int parse(const char *line, struct bl_gate_line *ret)
{
	struct bl_err err;

	return bl_gate_parse(line, strlen(line), ret, &err);
}

static void test_lines(void **state)
{
	struct bl_gate_line line;

	(void)state;
	assert_int_equal(parse("progress 0 18446744073709551615", &line), 0);
	assert_int_equal(line.kind, BL_GATE_PROGRESS);
	assert_true(line.second == UINT64_MAX);
	assert_int_equal(parse("mount 27 1234 /models/a b", &line), 0);
	assert_int_equal(line.kind, BL_GATE_MOUNT);
	assert_int_equal(line.first, 27);
	assert_int_equal(line.second, 1234);
	assert_string_equal(line.text, "/models/a b");
	assert_int_equal(parse("ready", &line), 0);
	assert_int_equal(line.kind, BL_GATE_READY);
	assert_int_equal(parse("failed 404: no such model", &line), 0);
	assert_int_equal(line.kind, BL_GATE_FAILED);
	assert_string_equal(line.text, "404: no such model");
}

static void test_bad_lines(void **state)
{
	static const char *const lines[] = {
		"",
		"ready ",
		"Ready",
		"failed",
		"progress",
		"progress 1",
		"progress 1 ",
		"progress 1 2 3",
		"progress 1  2",
		"progress -1 2",
		"progress 1 18446744073709551616",
		"mount",
		"mount 1 2",
		"mount 1 2 ",
		"mount 1 2 models",
		"mount x 2 /m",
		"mount 1 0x2 /m",
		"mount  1 2 /m",
		"mounts 1 2 /m",
		"hello",
	};
	struct bl_gate_line line;
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		if (parse(lines[i], &line) != -EINVAL && parse(lines[i], &line) != -EPERM)
			fail_msg("taken: %s", lines[i]);
	assert_true(bl_gate_parse("ready\0x", 7, &line, &err) < 0);
}

/* ---- A whole wait ---- */

static char said[8192];

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t len = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(said + len, sizeof(said) - len, fmt, ap);
	va_end(ap);
}

static char directory[] = "/tmp/gate.XXXXXX";
static char fifo[64];

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(directory))
		return -1;
	(void)snprintf(fifo, sizeof(fifo), "%s/gate", directory);
	return mkfifo(fifo, 0600);
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(fifo);
	return rmdir(directory);
}

/*
 * Opens, writes and closes once for each text: an agent that restarts between them, and is back only
 * after the shim has seen the end of the first (it then closes what it had open).
 */
static void *write_texts(void *texts)
{
	for (char **text = texts; *text; text++) {
		int fd = open(fifo, O_WRONLY | O_CLOEXEC);
		int seen = inotify_init1(IN_CLOEXEC);
		char event[sizeof(struct inotify_event) + NAME_MAX + 1];

		if (inotify_add_watch(seen, fifo, IN_CLOSE_NOWRITE) < 0 ||
		    bl_sys_write_all(fd, *text, strlen(*text)) < 0)
			abort();
		(void)close(fd);
		if (text[1] && read(seen, event, sizeof(event)) < 0)
			abort();
		(void)close(seen);
	}
	return NULL;
}

static int wait_for(char **texts, const char **mounts, size_t n, struct bl_err *err)
{
	struct bl_orders orders = {.mounts = mounts, .mount_count = n};
	pthread_t writer;
	int ret;

	said[0] = '\0';
	*err = (struct bl_err){.msg = ""};
	assert_int_equal(pthread_create(&writer, NULL, write_texts, texts), 0);
	ret = bl_gate_wait(fifo, &orders, say, err);
	assert_int_equal(pthread_join(writer, NULL), 0);
	return ret;
}

static void test_ready(void **state)
{
	char *texts[] = {"progress 1048576 2097152\nready\n", NULL};
	struct bl_err err;

	(void)state;
	assert_int_equal(wait_for(texts, NULL, 0, &err), 0);
	assert_non_null(strstr(said, "weights: 1 of 2 MiB"));
}

/* Nobody knows yet how much it is. */
static void test_no_total(void **state)
{
	char *texts[] = {"progress 0 0\nready\n", NULL};
	struct bl_err err;

	(void)state;
	assert_int_equal(wait_for(texts, NULL, 0, &err), 0);
	assert_non_null(strstr(said, "weights: asking the origin"));
}

static void test_failed(void **state)
{
	char *texts[] = {"failed hf://a/b: 404\n", NULL};
	struct bl_err err;

	(void)state;
	assert_true(wait_for(texts, NULL, 0, &err) < 0);
	assert_string_equal(err.msg, "weights: hf://a/b: 404");
}

/* Half a line of the agent that died is forgotten; the next says everything again. */
static void test_restart(void **state)
{
	char *texts[] = {"progress 1 2\nmou", "progress 1 2\nready\n", NULL};
	struct bl_err err;

	(void)state;
	assert_int_equal(wait_for(texts, NULL, 0, &err), 0);
	assert_non_null(strstr(said, "has gone"));
}

/* The same where the next is there before the shim has seen that the old one went. */
static void test_void_line(void **state)
{
	char *texts[] = {"progress 1 2\nmount 7 1\x18\n\x18\nready\n", NULL};
	char *without[] = {"progress 1 2\nmount 7 1\nready\n", NULL};
	char *inside[] = {"re\x18"
			  "ady\n",
			  NULL};
	struct bl_err err;

	(void)state;
	assert_int_equal(wait_for(texts, NULL, 0, &err), 0);
	assert_true(wait_for(without, NULL, 0, &err) < 0);
	assert_true(wait_for(inside, NULL, 0, &err) < 0);
}

/* What is there as told is still refused where it can be written. */
static void test_mounts(void **state)
{
	const char *mounts[] = {directory};
	char text[256];
	char *texts[] = {text, NULL};
	char *without[] = {"ready\n", NULL};
	char *foreign[] = {"mount 1 1 /etc\n", NULL};
	struct bl_err err;
	struct stat st;

	(void)state;
	assert_int_equal(stat(directory, &st), 0);
	(void)snprintf(text, sizeof(text), "mount %llu %llu %s\nready\n",
		       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, directory);
	assert_true(wait_for(texts, mounts, 1, &err) < 0);
	assert_non_null(strstr(err.msg, "not read-only"));
	(void)snprintf(text, sizeof(text), "mount %llu %llu %s\nready\n",
		       (unsigned long long)st.st_dev, (unsigned long long)st.st_ino + 1, directory);
	assert_true(wait_for(texts, mounts, 1, &err) < 0);
	assert_non_null(strstr(err.msg, "not what the agent mounted"));
	assert_true(wait_for(without, mounts, 1, &err) < 0);
	assert_non_null(strstr(err.msg, "ready without it"));
	assert_true(wait_for(foreign, mounts, 1, &err) < 0);
	assert_non_null(strstr(err.msg, "nobody asked for"));
}

static void test_nonsense(void **state)
{
	static char endless[BL_GATE_LINE_MAX + 2];
	char *texts[] = {"hello\n", NULL};
	char *longer[] = {endless, NULL};
	struct bl_err err;

	(void)state;
	memset(endless, 'x', sizeof(endless) - 1);
	assert_true(wait_for(texts, NULL, 0, &err) < 0);
	assert_non_null(strstr(err.msg, "not understood"));
	assert_true(wait_for(longer, NULL, 0, &err) < 0);
}

static void test_signal(void **state)
{
	struct bl_orders orders = {0};
	struct bl_err err;
	sigset_t all;

	(void)state;
	(void)sigfillset(&all);
	assert_int_equal(sigprocmask(SIG_BLOCK, &all, NULL), 0);
	assert_int_equal(kill(getpid(), SIGTERM), 0);
	assert_true(bl_gate_wait(fifo, &orders, say, &err) < 0);
	assert_int_equal(err.code, 143);
}

static void test_no_fifo(void **state)
{
	struct bl_orders orders = {0};
	struct bl_err err;

	(void)state;
	assert_true(bl_gate_wait("/nowhere/gate", &orders, say, &err) < 0);
	assert_true(bl_gate_wait("/dev/null", &orders, say, &err) < 0);
	assert_non_null(strstr(err.msg, "no FIFO"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_ready),
		cmocka_unit_test(test_no_total),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_void_line),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_no_fifo),
		/* Last: it leaves a signal pending. */
		cmocka_unit_test(test_signal),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
