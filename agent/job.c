// SPDX-License-Identifier: Apache-2.0
#include "agent/job.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/job_state.h"
#include "agent/reap.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"
#include "common/sys.h"

#define MESSAGES_A_TURN 32   /* then others have their turn */
#define LEAVE_MS	5000 /* from its last word to its exit */
#define RATE_MS		1000 /* a rate is measured over at least so long */

static void socket_ready(struct bl_watch *watch, uint32_t events);

/* ---- The end ---- */

/* Cuts what a bounded copy left of a character at its end. */
static void trim_utf8(char *text)
{
	size_t len = strlen(text);
	size_t start = len;

	while (start > 0 && len - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start > 0 && (unsigned char)text[start - 1] >= 0xc0) {
		unsigned char lead = (unsigned char)text[start - 1];
		size_t wants = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

		if (len - start + 1 < wants)
			text[start - 1] = '\0';
	}
}

void bl_job_set_end(struct bl_job *job, const char *class, const char *detail)
{
	if (job->has_end)
		return;
	job->has_end = true;
	job->end = (struct bl_job_end){.good = class == NULL};
	if (!class)
		return;
	(void)snprintf(job->end.class, sizeof(job->end.class), "%s", class);
	(void)snprintf(job->end.detail, sizeof(job->end.detail), "%s", detail);
	trim_utf8(job->end.detail);
	/* It is one line of an answer and of the log. */
	for (char *at = job->end.detail; *at; at++)
		if ((unsigned char)*at < ' ')
			*at = ' ';
}

static void kill_process(struct bl_job *job)
{
	if (job->process.pidfd >= 0)
		(void)bl_sys_pidfd_send_signal(job->process.pidfd, SIGKILL);
}

void bl_job_fail(struct bl_job *job, const char *class, const char *detail)
{
	bl_job_set_end(job, class, detail);
	bl_loop_unwatch(job->loop, &job->socket);
	kill_process(job);
}

static void silent(struct bl_timer *timer)
{
	struct bl_job *job = timer->data;

	if (job->has_end)
		kill_process(job);
	else if (!job->socket_writes && (job->answers || (job->listed && !job->going)))
		/* It waits for us: the digest of a large file takes its time. */
		bl_loop_after(job->loop, timer, BL_JOB_SILENCE_MS, silent, job);
	else
		bl_job_fail(job, BL_JOB_ORIGIN,
			    "nothing has come from the origin for 10 minutes; try again");
}

static void breach(struct bl_job *job, const struct bl_err *err)
{
	char detail[BL_JOB_DETAIL];

	(void)snprintf(detail, sizeof(detail),
		       "the fetch process was stopped: %.300s; report this, with the agent's log",
		       err->msg);
	bl_job_fail(job, BL_JOB_INTERNAL, detail);
}

/* ---- What it says ---- */

/* One message. 1 where there was one, 0 where there is none now, -EPIPE at the end. */
static int receive(struct bl_job *job, struct bl_err *err)
{
	static char text[BL_MAX_JOB_MESSAGE];
	ssize_t n = recv(job->process.socket, text, sizeof(text), MSG_TRUNC);
	int r;

	/* ECONNRESET: it has ended without reading all our answers, which is told once, before what it said. */
	if (n < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNRESET ? 0 : -EPIPE;
	if (n == 0)
		return -EPIPE;
	bl_loop_after(job->loop, &job->silence, job->has_end ? LEAVE_MS : BL_JOB_SILENCE_MS, silent,
		      job);
	if ((size_t)n > sizeof(text))
		r = bl_err_set(err, BL_EX_INTERNAL, EPROTO, "a message of %zd bytes", n);
	else
		r = bl_job_take_message(job, text, (size_t)n, err);
	return r < 0 ? r : 1;
}

/* Whether there may be more to hear now: after the listing the job waits for bl_job_go(). */
static bool listens(const struct bl_job *job)
{
	return !job->has_end && (!job->listed || job->going);
}

static void hear(struct bl_job *job, int most)
{
	struct bl_err err = {0};
	int r = 1;

	for (int i = 0; r == 1 && i < most && listens(job); i++)
		r = receive(job, &err);
	if (r == -EPIPE)
		bl_loop_unwatch(job->loop, &job->socket);
	else if (r < 0)
		breach(job, &err);
	if (!listens(job))
		bl_loop_unwatch(job->loop, &job->socket);
	if (job->has_end)
		bl_loop_after(job->loop, &job->silence, LEAVE_MS, silent, job);
}

/* ---- Answers ---- */

int bl_job_owe(struct bl_job *job, const struct bl_manifest_file *file, enum bl_job_question to,
	       struct bl_err *err)
{
	struct bl_job_answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return bl_err_nomem(err);
	*answer = (struct bl_job_answer){.file = file, .to = to, .fd = -1};
	*job->answers_end = answer;
	job->answers_end = &answer->next;
	return 0;
}

/* `at` is what points to the answer. */
static void drop_answer(struct bl_job *job, struct bl_job_answer **at)
{
	struct bl_job_answer *answer = *at;

	*at = answer->next;
	if (!*at)
		job->answers_end = at;
	bl_cleanup_fd(&answer->fd);
	free(answer->text);
	free(answer);
}

/* Sends one; 1 when it has gone, 0 where it has to wait for room. */
static int send_answer(struct bl_job *job, const struct bl_job_answer *answer)
{
	struct iovec piece = {.iov_base = answer->text, .iov_len = strlen(answer->text)};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	if (answer->fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &answer->fd, sizeof(int));
	}
	if (sendmsg(job->process.socket, &message, MSG_NOSIGNAL) >= 0)
		return 1;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -errno;
}

static void send_answers(struct bl_job *job)
{
	bool waits[BL_JOB_QUESTIONS] = {false}; /* an earlier one of the kind is not there yet */
	struct bl_job_answer **at = &job->answers;
	bool blocked = false;

	while (*at && !blocked) {
		struct bl_job_answer *answer = *at;

		if (!answer->text)
			waits[answer->to] = true;
		if (waits[answer->to])
			at = &answer->next;
		else if (send_answer(job, answer) == 0)
			blocked = true;
		else
			drop_answer(job, at); /* where it is gone, its exit tells */
	}
	if (blocked != job->socket_writes && job->socket.fd >= 0) {
		struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0U),
					    .data.ptr = &job->socket};

		(void)epoll_ctl(job->loop->epoll, EPOLL_CTL_MOD, job->socket.fd, &event);
		job->socket_writes = blocked;
	}
}

/* Fills the answer that the file waits for (text is taken over, fd is duplicated). */
static void answer_file(struct bl_job *job, const struct bl_manifest_file *file, char *text, int fd)
{
	struct bl_job_answer *answer = job->answers;
	auto_free char *owned = text;

	while (answer && (answer->file != file || answer->text))
		answer = answer->next;
	if (!answer || job->has_end)
		return;
	if (text && fd >= 0)
		answer->fd = bl_sys_dup(fd);
	if (!text || (fd >= 0 && answer->fd < 0)) {
		bl_job_fail(job, BL_JOB_INTERNAL, "out of memory or descriptors; try again");
		return;
	}
	answer->text = TAKE_PTR(owned);
	send_answers(job);
}

static void set_state(struct bl_job *job, const struct bl_manifest_file *file,
		      enum bl_job_file_state state, bool gone)
{
	job->states[file - job->manifest.files] = (uint8_t)state;
	job->under_way -= gone;
}

int bl_job_take_pipe(struct bl_job *job)
{
	return TAKE_FD(job->process.bytes);
}

uint32_t bl_job_number(const struct bl_job *job, const struct bl_manifest_file *file)
{
	return (uint32_t)(file - job->manifest.files);
}

void bl_job_send_file(struct bl_job *job, const struct bl_manifest_file *file, int fd,
		      const struct bl_ranges *have)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_JOB_MESSAGE - 64);

	(void)bl_buf_puts(&text, "{\"have\":[", NULL);
	for (size_t i = 0; i < have->count; i++) {
		/* What does not fit into the message is brought again. */
		if (text.len + 64 > text.max)
			break;
		(void)bl_buf_putf(&text, NULL, "%s[%llu,%llu]", i ? "," : "",
				  (unsigned long long)have->at[i].from,
				  (unsigned long long)have->at[i].to);
	}
	text.max += 64;
	(void)bl_buf_putf(&text, NULL, "],\"number\":%u,\"type\":\"file\"}",
			  (unsigned)bl_job_number(job, file));
	set_state(job, file, BL_JOB_FILE_WRITING, false);
	answer_file(job, file, bl_buf_take(&text), fd);
}

void bl_job_send_skip(struct bl_job *job, const struct bl_manifest_file *file)
{
	set_state(job, file, BL_JOB_FILE_OVER, true);
	answer_file(job, file, strdup("{\"type\":\"skip\"}"), -1);
}

void bl_job_send_written(struct bl_job *job, const struct bl_manifest_file *file)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);
	struct bl_err err = {0};

	(void)bl_buf_putf(&text, NULL, "{\"number\":%u,\"type\":\"written\"}",
			  (unsigned)bl_job_number(job, file));
	set_state(job, file, BL_JOB_FILE_WRITTEN, false);
	if (bl_job_owe(job, file, BL_JOB_BYTES, &err) < 0)
		bl_job_fail(job, BL_JOB_INTERNAL, err.msg);
	else
		answer_file(job, file, bl_buf_take(&text), -1);
}

void bl_job_send_ok(struct bl_job *job, const struct bl_manifest_file *file)
{
	set_state(job, file, BL_JOB_FILE_OVER, true);
	answer_file(job, file, strdup("{\"type\":\"ok\"}"), -1);
}

void bl_job_send_again(struct bl_job *job, const struct bl_manifest_file *file, const char *detail)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);

	if (bl_buf_puts(&text, "{\"detail\":", NULL) < 0 ||
	    bl_json_write_string(&text, detail, NULL) < 0 ||
	    bl_buf_puts(&text, ",\"type\":\"again\"}", NULL) < 0)
		bl_buf_done(&text);
	set_state(job, file, BL_JOB_FILE_IDLE, true);
	answer_file(job, file, bl_buf_take(&text), -1);
}

/* ---- Events ---- */

static void socket_ready(struct bl_watch *watch, uint32_t events)
{
	struct bl_job *job = watch->data;

	if (events & EPOLLOUT)
		send_answers(job);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		hear(job, MESSAGES_A_TURN);
}

static void wipe_input(struct bl_job *job)
{
	if (job->text.data)
		explicit_bzero(job->text.data, job->text.cap);
	bl_buf_done(&job->text);
	bl_loop_unwatch(job->loop, &job->input);
	bl_cleanup_fd(&job->process.input);
	job->process.input = -1;
}

static void input_ready(struct bl_watch *watch, uint32_t events)
{
	struct bl_job *job = watch->data;
	ssize_t n = write(job->process.input, job->text.data + job->written,
			  job->text.len - job->written);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		job->written += (size_t)n;
	/* Where it does not read to the end, its exit tells. */
	if (n <= 0 || job->written == job->text.len)
		wipe_input(job);
}

static void describe_exit(const siginfo_t *info, char *to, size_t size)
{
	if (info->si_code == CLD_EXITED)
		(void)snprintf(to, size,
			       "the fetch process ended with status %d before its work was done; "
			       "try again, and report it if it happens again",
			       info->si_status);
	else
		(void)snprintf(
			to, size,
			"the fetch process was killed by signal %d; try again, and report it "
			"if it happens again",
			info->si_status);
}

static void process_gone(struct bl_watch *watch, uint32_t events)
{
	struct bl_job *job = watch->data;
	char detail[BL_JOB_DETAIL];
	siginfo_t info = {0};

	(void)events;
	/* Its last words may still be there; a socket holds few of them. */
	for (int i = 0; i < 1024 && listens(job) && job->socket.fd >= 0; i++)
		hear(job, 1);
	if (waitid(P_PIDFD, (id_t)job->process.pidfd, &info, WEXITED | WNOHANG) < 0 ||
	    info.si_pid == 0)
		return;
	bl_loop_unwatch(job->loop, &job->exit);
	bl_loop_unwatch(job->loop, &job->socket);
	bl_loop_cancel(&job->silence);
	wipe_input(job);
	bl_cleanup_fd(&job->process.pidfd);
	job->process.pidfd = -1;
	describe_exit(&info, detail, sizeof(detail));
	bl_job_set_end(job, BL_JOB_INTERNAL, detail);
	job->over = true;
	job->events->ended(job, &job->end, job->data);
}

/* ---- Start ---- */

int bl_job_start(struct bl_loop *loop, const struct bl_spawn *spawn, bool files,
		 struct bl_buf *input, const struct bl_job_events *events, void *data,
		 struct bl_job **ret, struct bl_err *err)
{
	struct bl_job *job = calloc(1, sizeof(*job));
	int r;

	if (!job)
		return bl_err_nomem(err);
	*job = (struct bl_job){.loop = loop,
			       .events = events,
			       .data = data,
			       .process = {.pidfd = -1, .input = -1, .socket = -1, .bytes = -1},
			       .input = BL_WATCH_INIT,
			       .socket = BL_WATCH_INIT,
			       .exit = BL_WATCH_INIT,
			       .text = *input};
	*input = BL_BUF_INIT(input->max);
	job->answers_end = &job->answers;
	job->rate_at = bl_loop_now();
	bl_manifest_init(&job->manifest);
	r = bl_spawn_start(spawn, files, &job->process, err);
	if (r == 0)
		r = bl_loop_watch(loop, &job->exit, job->process.pidfd, EPOLLIN, process_gone, job,
				  err);
	if (r == 0)
		r = bl_loop_watch(loop, &job->socket, job->process.socket, EPOLLIN, socket_ready,
				  job, err);
	if (r == 0)
		r = bl_loop_watch(loop, &job->input, job->process.input, EPOLLOUT, input_ready, job,
				  err);
	if (r < 0) {
		bl_job_free(job);
		return r;
	}
	bl_loop_after(loop, &job->silence, BL_JOB_SILENCE_MS, silent, job);
	*ret = job;
	return 0;
}

void bl_job_go(struct bl_job *job)
{
	struct bl_err err = {0};

	if (job->going || job->has_end)
		return;
	job->going = true;
	/* Within `listed` itself it is still being listened to. */
	if (job->socket.fd >= 0)
		return;
	if (bl_loop_watch(job->loop, &job->socket, job->process.socket, EPOLLIN, socket_ready, job,
			  &err) < 0)
		bl_job_fail(job, BL_JOB_INTERNAL, err.msg);
}

void bl_job_free(struct bl_job *job)
{
	if (!job)
		return;
	bl_loop_unwatch(job->loop, &job->exit);
	bl_loop_unwatch(job->loop, &job->socket);
	bl_loop_cancel(&job->silence);
	wipe_input(job);
	if (job->process.pidfd >= 0) {
		kill_process(job);
		bl_reap(job->loop, job->process.pid, job->process.pidfd);
		bl_cleanup_fd(&job->process.pidfd);
	}
	bl_cleanup_fd(&job->process.socket);
	bl_cleanup_fd(&job->process.bytes);
	while (job->answers)
		drop_answer(job, &job->answers);
	bl_manifest_done(&job->manifest);
	free(job->states);
	free(job->revision);
	free(job);
}

/* ---- What it has ---- */

struct bl_manifest *bl_job_manifest(struct bl_job *job)
{
	return &job->manifest;
}

const char *bl_job_revision(const struct bl_job *job)
{
	return job->revision;
}

bool bl_job_credential(const struct bl_job *job)
{
	return job->credential;
}

uint64_t bl_job_arrived(const struct bl_job *job)
{
	return job->arrived;
}

bool bl_job_is_listed(const struct bl_job *job)
{
	return job->listed;
}

uint64_t bl_job_rate(struct bl_job *job)
{
	uint64_t now = bl_loop_now();

	if (now >= job->rate_at + RATE_MS) {
		job->rate = (job->arrived - job->rate_from) * 1000 / (now - job->rate_at);
		job->rate_from = job->arrived;
		job->rate_at = now;
	}
	return job->rate;
}
