/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/straight.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/sys.h"
#include "fetch/outlet.h"
#include "fetch/retry.h"

#define BUFFER	     (64 * 1024)   /* bytes of a head at most, and of a body not worth a pipe */
#define PIPE	     (1024 * 1024) /* what a pipe may hold at most */
#define PIECE	     (512 * 1024)  /* moved at once, to such offsets: a frame's head has room */
#define MOST_REQUEST (BL_HTTP_MAX_HEADERS + 2 * BL_URL_MAX)
#define DRAINED	     (16 * 1024)  /* bytes of a body that is read only to keep the connection */
#define LOW_WATER    (256 * 1024) /* bytes that are worth waiting for, ... */
#define LOW_TIME     5		  /* ... if they come within so many ms */

/* ---- Life ---- */

static int open_pipe(struct bl_straight *straight)
{
	if (pipe2(straight->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	/* A smaller one does as well, a little slower. */
	(void)fcntl(straight->pipe[1], F_SETPIPE_SZ, PIPE);
	return 0;
}

int bl_straight_init(struct bl_straight *straight, struct bl_err *err)
{
	straight->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (straight->epoll < 0)
		return bl_err_sys(err, errno, "epoll_create1");
	int rc = open_pipe(straight);
	if (rc < 0)
		return bl_err_sys(err, -rc, "pipe2");
	straight->buffer = malloc(BUFFER);
	return straight->buffer ? 0 : bl_err_nomem(err);
}

static void close_pipe(struct bl_straight *straight)
{
	bl_cleanup_fd(&straight->pipe[0]);
	bl_cleanup_fd(&straight->pipe[1]);
	straight->pipe[0] = straight->pipe[1] = -1;
}

void bl_straight_done(struct bl_straight *straight)
{
	for (size_t i = 0; i < straight->n_idle; i++) {
		bl_cleanup_fd(&straight->idle[i].sock);
		free(straight->idle[i].origin);
	}
	close_pipe(straight);
	bl_cleanup_fd(&straight->epoll);
	free(straight->buffer);
	*straight = BL_STRAIGHT_INIT;
}

/* ---- Connections ---- */

bool bl_straight_suits(const struct bl_lane *lane)
{
	return strcmp(lane->wire.url.scheme, "http") == 0 && !lane->wire.proxied &&
	       !lane->file->location.whole && !lane->file->by_libcurl;
}

static void forget_idle(struct bl_straight *straight, size_t i)
{
	free(straight->idle[i].origin);
	memmove(&straight->idle[i], &straight->idle[i + 1],
		(straight->n_idle - i - 1) * sizeof(straight->idle[0]));
	straight->n_idle--;
}

bool bl_straight_take(struct bl_straight *straight, struct bl_lane *lane)
{
	/* the youngest first: it is the least likely to have ended */
	for (size_t i = straight->n_idle; i-- > 0;) {
		int sock = straight->idle[i].sock;
		char byte;

		if (strcmp(straight->idle[i].origin, lane->wire.url.origin) != 0)
			continue;
		forget_idle(straight, i);
		/* An end, and bytes that nobody asked for, are the same here. */
		if (recv(sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN) {
			lane->sock = sock;
			lane->reused = true;
			return true;
		}
		close(sock);
	}
	return false;
}

bool bl_straight_adopt(struct bl_lane *lane)
{
	curl_socket_t sock = CURL_SOCKET_BAD;

	lane->reused = false;
	if (curl_easy_getinfo(lane->wire.easy, CURLINFO_ACTIVESOCKET, &sock) != CURLE_OK ||
	    sock == CURL_SOCKET_BAD)
		return false;
	/* libcurl closes its own with the handle; this one stays. */
	lane->sock = bl_sys_dup(sock);
	return lane->sock >= 0;
}

static void set_low_water(struct bl_lane *lane, int bytes)
{
	if (bytes == lane->low_water ||
	    setsockopt(lane->sock, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes)) < 0)
		return;
	lane->low_water = bytes;
}

/* Reads over what is left of a short answer. Whether the next one begins where this ended. */
static bool is_read_whole(const struct bl_straight *straight, const struct bl_lane *lane)
{
	const struct bl_http_headers *answer = &lane->wire.answer;
	const char *length = bl_http_headers_get(answer, "Content-Length");
	const char *connection = bl_http_headers_get(answer, "Connection");
	int64_t left = length ? bl_http_parse_length(length) : -1;

	if (!lane->heard || !lane->keeps || (connection && strcasecmp(connection, "close") == 0) ||
	    bl_http_headers_get(answer, "Transfer-Encoding"))
		return false;
	if (lane->judged)
		return lane->at == lane->asked_to;
	return left == 0 ||
	       (left > 0 && left <= DRAINED &&
		recv(lane->sock, straight->buffer, (size_t)left, MSG_DONTWAIT) == left);
}

void bl_straight_release(struct bl_straight *straight, struct bl_lane *lane)
{
	int sock = lane->sock;
	char *origin = is_read_whole(straight, lane) ? strdup(lane->wire.url.origin) : NULL;

	if (origin)
		set_low_water(lane, 1);
	(void)epoll_ctl(straight->epoll, EPOLL_CTL_DEL, sock, NULL);
	lane->sock = -1;
	if (!origin) {
		close(sock);
		return;
	}
	if (straight->n_idle == BL_PACE_MAX_LANES) {
		close(straight->idle[0].sock);
		forget_idle(straight, 0);
	}
	straight->idle[straight->n_idle].sock = sock;
	straight->idle[straight->n_idle++].origin = origin;
}

/* ---- Asking ---- */

static bool has_header(const struct curl_slist *list, const char *name)
{
	size_t len = strlen(name);

	for (; list; list = list->next)
		if (strncasecmp(list->data, name, len) == 0 && list->data[len] == ':')
			return true;
	return false;
}

/* The headers as libcurl would send them: "Name:" is to be left out, "Name;" has no value. */
static int put_headers(struct bl_buf *text, const struct curl_slist *list, struct bl_err *err)
{
	int rc = 0;

	for (; rc >= 0 && list; list = list->next) {
		size_t len = strlen(list->data);

		if (len && list->data[len - 1] == ';' && !strchr(list->data, ':'))
			rc = bl_buf_putf(text, err, "%.*s:\r\n", (int)len - 1, list->data);
		else if (strchr(list->data, ':') != list->data + len - 1)
			rc = bl_buf_putf(text, err, "%s\r\n", list->data);
	}
	return rc;
}

static int put_request(struct bl_buf *text, const struct bl_wire *wire, struct bl_err *err)
{
	const struct bl_url *url = &wire->url;
	int rc = bl_buf_putf(text, err, "GET %s%s%s HTTP/1.1\r\n", url->path, url->query ? "?" : "",
			     url->query ? url->query : "");

	if (rc >= 0 && !has_header(wire->sent, "Host"))
		rc = bl_buf_putf(text, err, "Host: %s\r\n", url->authority);
	if (rc >= 0 && !has_header(wire->sent, "User-Agent"))
		rc = bl_buf_puts(text, "User-Agent: ballast-fetch/" BL_VERSION "\r\n", err);
	if (rc >= 0 && !has_header(wire->sent, "Accept"))
		rc = bl_buf_puts(text, "Accept: */*\r\n", err);
	if (rc >= 0)
		rc = put_headers(text, wire->sent, err);
	return rc < 0 ? rc : bl_buf_puts(text, "\r\n", err);
}

int bl_straight_send(struct bl_straight *straight, struct bl_lane *lane, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(MOST_REQUEST);
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = lane};
	int rc = put_request(&text, &lane->wire, err);

	if (rc < 0)
		return rc;
	lane->heard = lane->keeps = false;
	lane->n_head = 0;
	lane->low_water = 1;
	/* A request is small, and nothing else is on its way there: it goes at once, or not at all. */
	ssize_t n = send(lane->sock, text.data, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	bool gone = n < 0 && (errno == ECONNRESET || errno == EPIPE);
	if (n != (ssize_t)text.len ||
	    epoll_ctl(straight->epoll, EPOLL_CTL_ADD, lane->sock, &event) < 0)
		return bl_err_set(err, BL_EX_RETRY, gone ? ECONNRESET : EIO,
				  "%.200s takes no request", lane->wire.url.origin);
	return 0;
}

/* ---- The head ---- */

static enum bl_straight_end broken(struct bl_lane *lane, CURLcode *code, const char *why)
{
	(void)snprintf(lane->wire.detail, sizeof(lane->wire.detail), "%s", why);
	*code = CURLE_RECV_ERROR;
	return BL_STRAIGHT_OVER;
}

/* libcurl knows more of HTTP than we: it is to read this origin's answers. */
static enum bl_straight_end leave_to_libcurl(struct bl_lane *lane, CURLcode *code, const char *why)
{
	lane->file->by_libcurl = true;
	return broken(lane, code, why);
}

/* Hands the head's lines to the wire. False where the wire refuses them. */
static bool take_lines(struct bl_lane *lane, const char *head, size_t len)
{
	while (len > 0) {
		const char *end = memchr(head, '\n', len);
		size_t line = end ? (size_t)(end - head) + 1 : len;

		if (!bl_wire_take_header(&lane->wire, head, line))
			return false;
		head += line;
		len -= line;
	}
	return true;
}

/* A head that is not there yet is kept until it is: looked at only, it would be told again. */
static bool keep_head(struct bl_lane *lane, const char *head, size_t len)
{
	char *kept = realloc(lane->head, len);

	if (!kept)
		return false;
	memcpy(kept, head, len);
	lane->head = kept;
	lane->n_head = len;
	return true;
}

/* recv() said 0 or -1. */
static enum bl_straight_end no_bytes(struct bl_lane *lane, ssize_t n, CURLcode *code)
{
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return BL_STRAIGHT_MORE;
	if (lane->reused && !lane->heard && lane->n_head == 0)
		return BL_STRAIGHT_STALE;
	return broken(lane, code, n == 0 ? "it was closed in an answer" : strerror(errno));
}

/* A whole head is in the wire. */
static enum bl_straight_end judge(struct bl_lane *lane, CURLcode *code)
{
	const struct bl_http_headers *answer = &lane->wire.answer;

	*code = CURLE_OK;
	if (lane->wire.status / 100 == 1)
		return BL_STRAIGHT_MORE; /* another one follows */
	lane->heard = true;
	if (lane->wire.status / 100 != 2)
		return BL_STRAIGHT_OVER;
	if (bl_http_headers_get(answer, "Transfer-Encoding") ||
	    !bl_http_headers_get(answer, "Content-Length")) {
		return leave_to_libcurl(lane, code, "an answer without its length");
	}
	return bl_lane_judge(lane) < 0 ? BL_STRAIGHT_OVER : BL_STRAIGHT_MORE;
}

static enum bl_straight_end read_head(const struct bl_straight *straight, struct bl_lane *lane,
				      CURLcode *code)
{
	size_t had = lane->n_head;
	char *at = straight->buffer + had;

	if (had)
		memcpy(straight->buffer, lane->head, had);
	ssize_t n = recv(lane->sock, at, BUFFER - had, MSG_PEEK | MSG_DONTWAIT);
	if (n <= 0)
		return no_bytes(lane, n, code);
	size_t have = had + (size_t)n;
	const char *end = memmem(straight->buffer, have, "\r\n\r\n", 4);
	size_t len = end ? (size_t)(end - straight->buffer) + 4 : have;
	/* The body stays where it is. */
	if (recv(lane->sock, at, len - had, MSG_DONTWAIT) != (ssize_t)(len - had))
		return broken(lane, code, "the head of an answer cannot be read");
	if (memmem(straight->buffer, len, "\n\n", 2))
		return leave_to_libcurl(lane, code, "an answer whose lines end in LF alone");
	if (!end && (have == BUFFER || !keep_head(lane, straight->buffer, have)))
		return leave_to_libcurl(lane, code, "the head of an answer is too long");
	if (!end)
		return BL_STRAIGHT_MORE;
	lane->n_head = 0;
	lane->keeps = len > 9 && memcmp(straight->buffer, "HTTP/1.1 ", 9) == 0;
	if (strncmp(straight->buffer, "HTTP/1.", 7) != 0)
		return leave_to_libcurl(lane, code, "an answer that is none of HTTP/1.1");
	if (!take_lines(lane, straight->buffer, len))
		return leave_to_libcurl(lane, code, "a head of an answer that is refused");
	return judge(lane, code);
}

/* ---- The body ---- */

/* What is in the pipe goes where the file's bytes go. */
static int empty_pipe(struct bl_straight *straight, const struct bl_lane *lane, size_t len)
{
	int rc = bl_outlet_move(lane->file, straight->pipe[0], len, lane->at);

	if (rc < 0) {
		close_pipe(straight); /* with what is left in it */
		(void)open_pipe(straight);
	}
	return rc;
}

/* Moves at most `most` bytes; as recv() says how many came. */
static ssize_t move(struct bl_straight *straight, struct bl_lane *lane, size_t most)
{
	/* Whole pieces are few large parts of the page cache. */
	size_t piece = PIECE - (size_t)lane->at % PIECE;
	ssize_t n = splice(lane->sock, NULL, straight->pipe[1], NULL, most < piece ? most : piece,
			   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n <= 0)
		return n;
	int rc = empty_pipe(straight, lane, (size_t)n);
	if (rc == -EINVAL) { /* a filesystem that cannot */
		lane->file->by_libcurl = true;
		rc = -EIO;
	}
	if (rc < 0)
		bl_lane_write_failed(lane, rc);
	else
		bl_lane_count(lane, (size_t)n);
	return n;
}

/* Few bytes at a time are much work: waits for more of them where they come fast. */
static void adapt_low_water(struct bl_lane *lane, size_t n)
{
	int64_t left = lane->asked_to - lane->at, time = lane->last_byte - lane->began;
	int64_t wanted = (lane->at - lane->from) * LOW_TIME / (time > 0 ? time : 1);

	if (wanted > LOW_WATER)
		wanted = LOW_WATER;
	if (left <= lane->low_water)
		set_low_water(lane, 1);
	else if (n < LOW_WATER / 2 && time > LOW_TIME && wanted > lane->low_water && wanted < left)
		set_low_water(lane, (int)wanted);
}

static enum bl_straight_end read_body(struct bl_straight *straight, struct bl_lane *lane,
				      CURLcode *code)
{
	int64_t wanted = lane->to - lane->at;
	size_t most = wanted < PIPE ? (size_t)wanted : PIPE;
	ssize_t n;

	*code = CURLE_OK;
	if (wanted <= 0 || lane->rc < 0)
		return BL_STRAIGHT_OVER;
	if (wanted <= BUFFER) {
		n = recv(lane->sock, straight->buffer, most, MSG_DONTWAIT);
		if (n > 0 && bl_lane_write(lane, straight->buffer, (size_t)n) < 0)
			return BL_STRAIGHT_OVER;
	} else {
		n = move(straight, lane, most);
	}
	if (n <= 0)
		return no_bytes(lane, n, code);
	if (lane->rc < 0 || lane->at == lane->to)
		return BL_STRAIGHT_OVER;
	adapt_low_water(lane, (size_t)n);
	return BL_STRAIGHT_MORE;
}

enum bl_straight_end bl_straight_read(struct bl_straight *straight, struct bl_lane *lane,
				      CURLcode *code)
{
	if (!lane->judged) {
		enum bl_straight_end end = read_head(straight, lane, code);

		if (end != BL_STRAIGHT_MORE || !lane->judged)
			return end;
	}
	return read_body(straight, lane, code);
}

void bl_straight_drain(struct bl_straight *straight, struct bl_lane *lane)
{
	enum bl_straight_end end = BL_STRAIGHT_MORE;
	int64_t before = -1;
	CURLcode code;

	while (end == BL_STRAIGHT_MORE && lane->judged && lane->rc >= 0 && lane->low_water > 1 &&
	       lane->at < lane->to && lane->at != before) {
		before = lane->at;
		end = read_body(straight, lane, &code);
	}
}
