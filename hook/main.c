// SPDX-License-Identifier: Apache-2.0
/*
 * ballast-hook: an OCI hook. The only file of it that logs and that decides the exit status.
 *
 *   state -> annotations -> bundle -> plan -> ask the agent -> build -> enter -> attach
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/agent_client.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/log.h"
#include "common/sys.h"
#include "hook/annotations.h"
#include "hook/ask.h"
#include "hook/bundle.h"
#include "hook/create.h"
#include "hook/options.h"
#include "hook/plan.h"
#include "hook/precreate.h"
#include "hook/state.h"
#include "hook/syslog.h"

#define PROGRAM	 "ballast-hook"
#define STDIN_MS 10000
#define END_MS	 2000
/* Should anything hold us up that no deadline of ours covers (a file system that hangs). */
#define ALARM_SPARE_S 30

/* Whatever a runtime was started with must make no difference. */
static int settle(struct bl_err *err)
{
	static const int defaults[] = {SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGQUIT};
	sigset_t none;

	for (int fd = open("/dev/null", O_RDWR); fd <= STDERR_FILENO;) {
		if (fd < 0)
			return bl_err_sys(err, errno, "open '/dev/null'");
		if (fd == STDERR_FILENO)
			break;
		fd = dup(fd);
	}
	(void)bl_sys_close_from(STDERR_FILENO + 1);
	for (size_t i = 0; i < sizeof(defaults) / sizeof(*defaults); i++)
		(void)signal(defaults[i], SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a limit is an error of the write, as a full disk is */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)umask(022);
	if (chdir("/") < 0)
		return bl_err_sys(err, errno, "chdir '/'");
	return 0;
}

/* Reads standard input to its end; a runtime that never closes it is not waited for. */
static int read_input(struct bl_buf *buf, int64_t timeout, struct bl_err *err)
{
	int64_t until = bl_agent_now() + (timeout < STDIN_MS ? timeout : STDIN_MS);

	for (;;) {
		struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
		int64_t left = until - bl_agent_now();
		size_t step = buf->len ? 65536 : 4000; /* most states are small */
		size_t room = buf->max - buf->len < step ? buf->max - buf->len : step;
		char *to = bl_buf_reserve(buf, room, err);
		char spare;
		ssize_t n;

		if (!to)
			return -ENOMEM;
		/* What is there is read, though the machine has been too busy to come to it in time. */
		if (poll(&fd, 1, left > 0 ? (int)left : 0) == 0)
			return bl_err_config(err, "standard input does not end: the runtime must "
						  "write the container's state and close it");
		n = bl_sys_read(STDIN_FILENO, room ? to : &spare, room ? room : 1);
		if (n < 0)
			return bl_err_sys(err, (int)-n, "read standard input");
		if (n == 0)
			return 0;
		if (room == 0)
			return bl_err_config(err, "more than %zu bytes on standard input",
					     buf->max);
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
}

static void tell(const char *text)
{
	bl_log(BL_LOG_INFO, "%s", text);
}

static int run_create(const struct bl_options *options, const struct bl_state *state,
		      int64_t started, struct bl_err *err)
{
	struct bl_annotations annotations;
	auto_bundle bundle = {0};
	auto_plan plan = {0};
	struct bl_create create = {options, state, &bundle, &plan, started, tell};
	int r;

	/* A bundle lies where a file system may not answer; from the plan on its own timeout counts. */
	(void)alarm((unsigned)(options->timeout / 1000) + ALARM_SPARE_S);
	r = bl_bundle_read(state, &bundle, err);
	if (r == 0)
		r = bl_annotations_read(bundle.annotations, options, &annotations, err);
	if (r < 0)
		return r;
	if (annotations.sandbox)
		return 0;
	if (!bl_annotations_any(&annotations) &&
	    !(bundle.command && strcmp(bundle.command, BL_BOX_SHIM) == 0))
		return 0;
	r = bl_plan_make(&annotations, &bundle, options, &plan, err);
	if (r < 0)
		return r;
	(void)alarm((unsigned)(plan.timeout / 1000) + ALARM_SPARE_S);
	r = bl_create_run(&create, err);
	if (r < 0)
		return r;
	bl_log(BL_LOG_INFO, "%s: %zu weights set(s) in %lld ms",
	       r == BL_CREATED_DEFERRED ? "handed the waiting to the shim" : "attached",
	       plan.weights.count, (long long)(bl_agent_now() - started));
	return 0;
}

/* Only hastens the end of a lease, which the death of the process ends anyway. */
static int run_poststop(const struct bl_options *options, const struct bl_state *state,
			struct bl_err *err)
{
	struct bl_agent agent = {.socket = options->agent, .deadline = bl_agent_now() + END_MS};

	return bl_ask_end(&agent, state->id, err);
}

static int run_precreate(const struct bl_options *options, struct bl_err *err)
{
	auto_buf input = BL_BUF_INIT(BL_MAX_CONFIG);
	auto_buf output = BL_BUF_INIT(BL_MAX_CONFIG + 65536);
	int r;

	/* Whoever reads what is written below may stop doing so. */
	(void)alarm((unsigned)(options->timeout / 1000) + ALARM_SPARE_S);
	r = read_input(&input, options->timeout, err);
	if (r == 0)
		r = bl_precreate_run(bl_buf_str(&input), input.len, options, &output, err);
	if (r < 0)
		return r;
	r = bl_sys_write_all(STDOUT_FILENO, output.data, output.len);
	return r < 0 ? bl_err_sys(err, -r, "write to standard output") : 0;
}

/* ret_id[BL_MAX_CONTAINER_ID + 1]: the container's, as soon as it is known. */
static int run(const struct bl_options *options, char *ret_id, struct bl_err *err)
{
	int64_t started = bl_agent_now();
	auto_buf input = BL_BUF_INIT(BL_MAX_STATE);
	auto_state state = {0};
	bool end = options->stage == BL_STAGE_POSTSTOP;
	int r = read_input(&input, options->timeout, err);

	if (r == 0)
		r = bl_state_parse(bl_buf_str(&input), input.len, &state, err);
	bl_buf_done(&input);
	if (r == 0)
		(void)snprintf(ret_id, BL_MAX_CONTAINER_ID + 1, "%s", state.id);
	end = end || (r == 0 && options->stage == BL_STAGE_AUTO && state.stopped);
	if (!end)
		return r < 0 ? r : run_create(options, &state, started, err);
	if (r == 0)
		r = run_poststop(options, &state, err);
	/* Never an error: nobody can do anything about it any more. */
	if (r < 0)
		bl_log(BL_LOG_INFO, "the agent was not told of the container's end: %s", err->msg);
	return 0;
}

int main(int argc, char **argv)
{
	struct bl_options options = {0};
	char id[BL_MAX_CONTAINER_ID + 1] = "";
	struct bl_err err = {0};
	int r = settle(&err);

	bl_log_init(PROGRAM, BL_LOG_TEXT, BL_LOG_INFO);
	if (r == 0)
		r = bl_options_parse(argc, argv, &options, &err);
	if (r == 0 && options.help) {
		(void)fputs(bl_options_usage, stdout);
		return fflush(stdout) == 0 ? BL_EX_OK : BL_EX_INTERNAL;
	}
	if (r == 0 && options.version) {
		(void)puts(PROGRAM " " BL_VERSION);
		return fflush(stdout) == 0 ? BL_EX_OK : BL_EX_INTERNAL;
	}
	if (r == 0) {
		bl_log_init(PROGRAM, options.log_format, BL_LOG_INFO);
		r = options.stage == BL_STAGE_PRECREATE ? run_precreate(&options, &err)
							: run(&options, id, &err);
	}
	if (r >= 0)
		return BL_EX_OK;
	bl_log(BL_LOG_ERROR, "%s", err.msg);
	bl_syslog_send(BL_SYSLOG_SOCKET, PROGRAM, err.msg, id);
	return err.code;
}
