// SPDX-License-Identifier: Apache-2.0
#include "common/agent_client.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"

#define HEAD_MAX	   16384
#define RECONNECT_FIRST_MS 20
#define RECONNECT_MOST_MS  500
#define UNIX_PREFIX	   "unix:"

void bl_agent_answer_done(struct bl_agent_answer *answer)
{
	bl_buf_done(&answer->body);
	bl_json_free(&answer->json);
	answer->status = 0;
}

int64_t bl_agent_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int bl_agent_parse_address(const char *text, const char **ret, struct bl_err *err)
{
	const char *path = text;

	if (strncmp(text, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		path += strlen(UNIX_PREFIX);
	if (path[0] != '/')
		return bl_err_config(err, "the agent's address '%.64s' is not unix:/PATH", text);
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return bl_err_config(
			err, "the agent's address '%.64s' is longer than a socket's can be", text);
	*ret = path;
	return 0;
}

int bl_agent_escape(struct bl_buf *buf, const char *text, struct bl_err *err)
{
	int r = 0;

	for (; *text && r == 0; text++) {
		unsigned char c = (unsigned char)*text;

		if (c < 0x80 && (isalnum(c) || strchr("-._~+,:@", c)))
			r = bl_buf_append(buf, text, 1, err);
		else
			r = bl_buf_putf(buf, err, "%%%02X", c);
	}
	return r;
}

/* ---- Waiting ---- */

static int too_late(const struct bl_agent *agent, const char *doing, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_RETRY, ETIMEDOUT, "the agent at %s did not %s in time",
			  agent->socket, doing);
}

/*
 * Waits until fd (-1: nothing) has one of events, until `until` at the latest. Returns 1, or 0
 * when that time has come, or -ECANCELED when a watched descriptor reported.
 */
static int wait_for(const struct bl_agent *agent, int fd, short events, int64_t until,
		    struct bl_err *err)
{
	struct pollfd fds[BL_AGENT_WATCH_MAX + 1] = {{.fd = fd, .events = events}};

	for (size_t i = 0; i < agent->watch_count; i++)
		fds[i + 1] = (struct pollfd){.fd = agent->watch[i], .events = POLLIN};
	for (;;) {
		int64_t left = until - bl_agent_now();
		int n;

		if (left < 0)
			left = 0;
		n = bl_sys_poll(fds, agent->watch_count + 1, left > 3600000 ? 3600000 : (int)left);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return bl_err_sys(err, -n, "wait for the agent");
		for (size_t i = 0; i < agent->watch_count; i++)
			if (fds[i + 1].revents)
				return bl_err_set(err, BL_EX_RETRY, ECANCELED,
						  "the container or its runtime is gone");
		if (n > 0)
			return 1;
		if (bl_agent_now() >= until)
			return 0;
	}
}

int bl_agent_pause(const struct bl_agent *agent, int64_t until, struct bl_err *err)
{
	return wait_for(agent, -1, 0, until, err);
}

/* ---- One connection ---- */

static int unavailable(const struct bl_agent *agent, int errnum, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_UNAVAILABLE, errnum,
			  "the agent at %s cannot be reached: %s; start ballastd, or name its "
			  "socket with --agent",
			  agent->socket, strerror(errnum));
}

static int broken(const struct bl_agent *agent, int errnum, struct bl_err *err)
{
	return bl_err_set(
		err, BL_EX_UNAVAILABLE, ECONNRESET,
		"the connection to the agent at %s broke: %s; see that ballastd runs, and try "
		"again: what has come is kept",
		agent->socket, strerror(errnum));
}

/* Who listens, as the kernel knows it: a socket that somebody else put there is not the agent. */
static int check_owner(struct bl_agent *agent, int fd, struct bl_err *err)
{
	uid_t uid = (uid_t)-1;
	int r = bl_sys_peer(fd, &uid, &agent->pid);

	if (r < 0)
		return bl_err_sys(err, -r, "ask who listens at %s", agent->socket);
	if (uid != agent->owner)
		return bl_err_set(err, BL_EX_UNAVAILABLE, EPERM,
				  "the agent's socket %s belongs to uid %u, not to uid %u: refused",
				  agent->socket, (unsigned)uid, (unsigned)agent->owner);
	return 0;
}

/* Connects; a full backlog (EAGAIN) is waited out. Returns the descriptor. */
static int connect_once(struct bl_agent *agent, struct bl_err *err)
{
	auto_fd fd = bl_sys_socket();
	int r;

	if (fd < 0)
		return bl_err_sys(err, -fd, "socket");
	while ((r = bl_sys_connect(fd, agent->socket)) < 0) {
		if (r == -EINTR)
			continue;
		if (r != -EAGAIN)
			return unavailable(agent, -r, err);
		r = wait_for(agent, -1, 0, bl_agent_now() + RECONNECT_FIRST_MS, err);
		if (r < 0)
			return r;
		if (bl_agent_now() >= agent->deadline)
			return too_late(agent, "accept the connection", err);
	}
	r = check_owner(agent, fd, err);
	return r < 0 ? r : TAKE_FD(fd);
}

static int send_all(const struct bl_agent *agent, int fd, const char *data, size_t len,
		    struct bl_err *err)
{
	while (len > 0) {
		ssize_t n = bl_sys_send(fd, data, len);
		int r;

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (n == -EINTR)
			continue;
		/* An agent may answer (and close) before it has read everything: read that. */
		if (n == -EPIPE)
			return 0;
		if (n != -EAGAIN)
			return broken(agent, (int)-n, err);
		r = wait_for(agent, fd, POLLOUT, agent->deadline, err);
		if (r <= 0)
			return r < 0 ? r : too_late(agent, "take the request", err);
	}
	return 0;
}

/* Reads once, at most room bytes. 0 is the end. */
static ssize_t read_some(const struct bl_agent *agent, int fd, char *to, size_t room,
			 struct bl_err *err)
{
	for (;;) {
		ssize_t n = bl_sys_recv(fd, to, room);
		int r;

		if (n >= 0)
			return n;
		if (n == -EINTR)
			continue;
		if (n != -EAGAIN)
			return broken(agent, (int)-n, err);
		r = wait_for(agent, fd, POLLIN, agent->deadline, err);
		if (r <= 0)
			return r < 0 ? r : too_late(agent, "answer", err);
	}
}

/* ---- The answer ---- */

static int malformed(const char *what, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the agent's answer is malformed: %s", what);
}

/* "Content-Length", strictly digits. */
static int parse_length(const char *value, size_t len, size_t *ret, struct bl_err *err)
{
	size_t length = 0;

	if (len == 0 || len > 10)
		return malformed("its length is no number", err);
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return malformed("its length is no number", err);
		length = length * 10 + (size_t)(value[i] - '0');
	}
	*ret = length;
	return 0;
}

static bool is_json(const char *value, size_t len)
{
	static const char *const types[] = {"application/json", "application/problem+json"};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		size_t n = strlen(types[i]);

		if (len >= n && strncasecmp(value, types[i], n) == 0 &&
		    (len == n || value[n] == ';' || value[n] == ' '))
			return true;
	}
	return false;
}

/* One header line without its line end. *lengths counts the Content-Length headers. */
static int parse_header(const char *line, size_t len, struct bl_agent_head *head, int *lengths,
			struct bl_err *err)
{
	const char *colon = memchr(line, ':', len);
	size_t name_len = colon ? (size_t)(colon - line) : 0;
	const char *value = colon ? colon + 1 : line;
	size_t value_len = len - (size_t)(value - line);

	if (name_len == 0 || memchr(line, ' ', name_len) || memchr(line, '\t', name_len))
		return malformed("a header line without a name", err);
	while (value_len > 0 && (*value == ' ' || *value == '\t')) {
		value++;
		value_len--;
	}
	while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
		value_len--;
	if (name_len == 17 && strncasecmp(line, "Transfer-Encoding", 17) == 0)
		return malformed("it has a transfer encoding", err);
	if (name_len == 14 && strncasecmp(line, "Content-Length", 14) == 0) {
		if (++*lengths > 1)
			return malformed("it has two lengths", err);
		return parse_length(value, value_len, &head->length, err);
	}
	if (name_len == 12 && strncasecmp(line, "Content-Type", 12) == 0)
		head->json = is_json(value, value_len);
	return 0;
}

/* "HTTP/1.1 200 OK": the three digits. */
static int parse_status(const char *line, size_t len, struct bl_agent_head *head,
			struct bl_err *err)
{
	if (len < 12 || strncmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
	    line[8] != ' ' || (len > 12 && line[12] != ' '))
		return malformed("no HTTP/1.1 status line", err);
	for (int i = 9; i < 12; i++)
		if (line[i] < '0' || line[i] > '9')
			return malformed("no HTTP/1.1 status line", err);
	head->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
	if (head->status < 200 || head->status > 599)
		return malformed("a status that is none of ours", err);
	return 0;
}

int bl_agent_parse_head(const char *head, size_t len, struct bl_agent_head *ret, struct bl_err *err)
{
	struct bl_agent_head parsed = {0};
	const char *at = head;
	const char *end = head + len;
	bool first = true;
	int lengths = 0;

	if (memchr(head, '\0', len))
		return malformed("NUL in its head", err);
	while (at < end) {
		const char *eol = memmem(at, (size_t)(end - at), "\r\n", 2);
		int r;

		if (!eol)
			return malformed("a line that does not end", err);
		if (eol == at)
			break;
		r = first ? parse_status(at, (size_t)(eol - at), &parsed, err)
			  : parse_header(at, (size_t)(eol - at), &parsed, &lengths, err);
		if (r < 0)
			return r;
		first = false;
		at = eol + 2;
	}
	if (first)
		return malformed("it is empty", err);
	if (lengths == 0 && parsed.status != 204 && parsed.status != 304)
		return malformed("it does not say its length", err);
	if (parsed.length > BL_MAX_API_ANSWER)
		return malformed("it is too large", err);
	*ret = parsed;
	return 0;
}

/* Reads the head; what of the body came with it goes to `rest`. */
static int read_head(const struct bl_agent *agent, int fd, struct bl_agent_head *ret,
		     struct bl_buf *rest, struct bl_err *err)
{
	auto_buf buf = BL_BUF_INIT(HEAD_MAX);

	for (;;) {
		size_t room = buf.max - buf.len < 4096 ? buf.max - buf.len : 4096;
		const char *end;
		char *to;
		ssize_t n;
		int r;

		if (room == 0)
			return malformed("its head is too large", err);
		to = bl_buf_reserve(&buf, room, err);
		if (!to)
			return -ENOMEM;
		n = read_some(agent, fd, to, room, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return buf.len == 0 ? broken(agent, ECONNRESET, err)
					    : broken(agent, EPIPE, err);
		buf.len += (size_t)n;
		buf.data[buf.len] = '\0';
		end = memmem(buf.data, buf.len, "\r\n\r\n", 4);
		if (!end)
			continue;
		end += 4;
		r = bl_agent_parse_head(buf.data, (size_t)(end - buf.data), ret, err);
		if (r < 0)
			return r;
		rest->max = ret->length;
		if (buf.len - (size_t)(end - buf.data) > ret->length)
			return malformed("it is longer than it says", err);
		/* The whole body's room at once: it is bounded, and growing would need twice that.
		 */
		if (!bl_buf_reserve(rest, ret->length, err))
			return -ENOMEM;
		return bl_buf_append(rest, end, buf.len - (size_t)(end - buf.data), err);
	}
}

static int read_answer(const struct bl_agent *agent, int fd, struct bl_agent_answer *ret,
		       struct bl_err *err)
{
	const struct bl_json_limits limits = {
		.max_bytes = BL_MAX_API_ANSWER, .max_values = agent->max_values, .fractions = true};
	struct bl_agent_head head = {0};
	int r = read_head(agent, fd, &head, &ret->body, err);

	while (r == 0 && ret->body.len < head.length) {
		char *to = bl_buf_reserve(&ret->body, head.length - ret->body.len, err);
		ssize_t n;

		if (!to)
			return -ENOMEM;
		n = read_some(agent, fd, to, head.length - ret->body.len, err);
		if (n <= 0)
			return n < 0 ? (int)n : broken(agent, ECONNRESET, err);
		ret->body.len += (size_t)n;
		ret->body.data[ret->body.len] = '\0';
	}
	if (r < 0)
		return r;
	ret->status = head.status;
	if (head.json && ret->body.len > 0) {
		r = bl_json_parse(ret->body.data, ret->body.len, &limits, &ret->json, err);
		if (r < 0) {
			if (err)
				err->code = BL_EX_INTERNAL;
			bl_err_wrap(err, "the agent's answer: ");
		}
	}
	return r;
}

/* ---- Requests ---- */

static int write_request(struct bl_buf *buf, const char *method, const char *path, const char *body,
			 struct bl_err *err)
{
	size_t len = body ? strlen(body) : 0;
	int r = bl_buf_putf(buf, err, "%s %s HTTP/1.1\r\nHost: ballast\r\nConnection: close\r\n",
			    method, path);

	if (r == 0 && body)
		r = bl_buf_putf(buf, err,
				"Content-Type: application/json\r\nContent-Length: %zu\r\n", len);
	if (r == 0)
		r = bl_buf_puts(buf, "\r\n", err);
	return r < 0 || !body ? r : bl_buf_append(buf, body, len, err);
}

/* Contact is made once an agent has taken the request: it may well die while it works for it. */
static int request_once(struct bl_agent *agent, const struct bl_buf *request,
			struct bl_agent_answer *ret, struct bl_err *err)
{
	auto_fd fd = connect_once(agent, err);
	int r;

	bl_agent_answer_done(ret);
	if (fd < 0)
		return fd;
	r = send_all(agent, fd, request->data, request->len, err);
	if (r < 0)
		return r;
	agent->contacted = true;
	if (agent->meanwhile)
		TAKE_PTR(agent->meanwhile)(agent->data);
	return read_answer(agent, fd, ret, err);
}

/* The exit status for an error of the agent. */
static int exit_of(int status)
{
	if (status < 400)
		return BL_EX_INTERNAL;	    /* a redirect: never followed */
	if (status >= 500 || status == 429) /* 429: too much at once, RFC 6585 */
		return BL_EX_RETRY;
	if (status == 401 || status == 403 || status == 409)
		return BL_EX_REFUSED;
	return BL_EX_CONFIG;
}

int bl_agent_problem(const struct bl_agent_answer *answer, struct bl_err *err)
{
	const char *title = NULL;
	const char *detail = NULL;
	int code = exit_of(answer->status);

	if (answer->json && bl_json_is_object(answer->json)) {
		(void)bl_json_get_string(answer->json, "title", &title, NULL);
		(void)bl_json_get_string(answer->json, "detail", &detail, NULL);
	}
	if (!detail || !*detail)
		detail = title;
	if (!detail || !*detail)
		return bl_err_set(err, code, EREMOTEIO, "the agent answered %d", answer->status);
	return bl_err_set(err, code, EREMOTEIO, "%s", detail);
}

/* Whether another attempt may be made after this one's failure. */
static bool may_repeat(const struct bl_agent *agent, bool repeat, int r, const struct bl_err *err)
{
	return repeat && agent->contacted && err->code == BL_EX_UNAVAILABLE && r != -EPERM &&
	       bl_agent_now() < agent->deadline;
}

/* Attempts until one succeeds or none may follow. */
static int request_again(struct bl_agent *agent, const struct bl_buf *request, bool repeat,
			 struct bl_agent_answer *ret, struct bl_err *err)
{
	struct bl_err broken_before = {0};
	int64_t pause = RECONNECT_FIRST_MS;

	for (;;) {
		struct bl_err attempt = {0};
		int64_t until = bl_agent_now() + pause;
		int r = request_once(agent, request, ret, &attempt);

		if (r == 0)
			return 0;
		if (!may_repeat(agent, repeat, r, &attempt)) {
			/* Out of time in an attempt that only followed a broken one. */
			bool late = r == -ETIMEDOUT && broken_before.code;

			if (err)
				*err = late ? broken_before : attempt;
			return late ? -ECONNRESET : r;
		}
		broken_before = attempt;
		agent->repeated = true;
		/* Nothing tells when a socket is listened to again: try, ever more seldom. */
		r = wait_for(agent, -1, 0, until < agent->deadline ? until : agent->deadline, err);
		if (r < 0)
			return r;
		pause = pause * 2 < RECONNECT_MOST_MS ? pause * 2 : RECONNECT_MOST_MS;
	}
}

int bl_agent_request(struct bl_agent *agent, const char *method, const char *path, const char *body,
		     bool repeat, struct bl_agent_answer *ret, struct bl_err *err)
{
	auto_buf request = BL_BUF_INIT(BL_MAX_API_BODY + 4096);
	int r = write_request(&request, method, path, body, err);

	if (r == 0)
		r = request_again(agent, &request, repeat, ret, err);
	if (r < 0)
		return r;
	if (ret->status >= 300)
		return bl_agent_problem(ret, err);
	return ret->status;
}
