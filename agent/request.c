// SPDX-License-Identifier: Apache-2.0
#include "agent/request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"

#define BROKEN	     (-1) /* in the place of a status: the connection ends without an answer */
#define JSON_TYPE    "application/json"
#define PROBLEM_TYPE "application/problem+json"

/* ---- Waiting ---- */

static void unhold(struct bl_request *request)
{
	struct bl_waiters *waiters = request->waiters;

	if (!waiters)
		return;
	*(request->prev ? &request->prev->next : &waiters->first) = request->next;
	*(request->next ? &request->next->prev : &waiters->last) = request->prev;
	request->prev = request->next = NULL;
	request->waiters = NULL;
	bl_loop_cancel(&request->deadline);
	bl_loop_unwatch(request->http->loop, &request->hangup);
}

static void go_on(struct bl_request *request)
{
	MHD_resume_connection(request->connection);
	request->http->resumed = true;
}

static void wait_over(struct bl_timer *timer)
{
	struct bl_request *request = timer->data;

	request->expired(request);
}

void bl_request_break(struct bl_request *request)
{
	unhold(request);
	request->status = BROKEN;
	go_on(request);
}

/* The client has gone (or sends what nobody asked for): libmicrohttpd finds out once it runs. */
static void client_hung_up(struct bl_watch *watch, uint32_t events)
{
	(void)events;
	bl_request_break(watch->data);
}

void bl_http_hold(struct bl_request *request, struct bl_waiters *waiters, uint64_t ms,
		  void (*expired)(struct bl_request *request), void *data)
{
	struct bl_http *http = request->http;

	request->waiters = waiters;
	request->expired = expired;
	request->data = data;
	request->prev = waiters->last;
	*(waiters->last ? &waiters->last->next : &waiters->first) = request;
	waiters->last = request;
	bl_loop_after(http->loop, &request->deadline, ms, wait_over, request);
	bl_loop_cancel(&request->client->deadline);
	/* No events are asked for: the end of both directions is told in any case. Without the
	 * watch a client that goes is noticed at the end of its time only. */
	(void)bl_loop_watch(http->loop, &request->hangup, request->client->fd, 0, client_hung_up,
			    request, NULL);
	MHD_suspend_connection(request->connection);
}

void bl_request_free(struct bl_request *request)
{
	unhold(request);
	if (request->client)
		request->client->request = NULL;
	bl_buf_done(&request->body);
	bl_buf_done(&request->answer);
	free(request);
}

/* ---- Answers ---- */

/* The answer stands; a request that was held goes on. */
static void finish(struct bl_request *request, int status, const char *type)
{
	bool held = request->waiters != NULL;

	request->status = status;
	request->type = type;
	if (request->http->answered)
		request->http->answered(request, request->http->data);
	unhold(request);
	if (held)
		go_on(request);
}

void bl_http_answer_text(struct bl_request *request, int status, const char *type, const char *text,
			 size_t len)
{
	bl_buf_done(&request->answer);
	if (bl_buf_append(&request->answer, text, len, NULL) < 0) {
		bl_buf_done(&request->answer);
		status = 500;
	}
	finish(request, status, type);
}

void bl_http_answer(struct bl_request *request, int status, const bl_json *json)
{
	bl_buf_done(&request->answer);
	if (json && (bl_json_write(&request->answer, json, NULL) < 0 ||
		     bl_buf_puts(&request->answer, "\n", NULL) < 0))
		bl_http_problem(
			request, 500, BL_JOB_INTERNAL, "Too large",
			"the answer would be larger than one may be; ask for a part of it, such "
			"as GET /v1/containers/ID");
	else
		finish(request, status, JSON_TYPE);
}

void bl_http_problem(struct bl_request *request, int status, const char *class, const char *title,
		     const char *detail)
{
	auto_json problem = bl_json_new_object();

	bl_buf_done(&request->answer);
	if (!problem || (class && !bl_json_set_string(problem, "class", class)) ||
	    !bl_json_set_string(problem, "detail", detail) ||
	    !bl_json_set_int(problem, "status", status) ||
	    !bl_json_set_string(problem, "title", title) ||
	    bl_json_write(&request->answer, problem, NULL) < 0 ||
	    bl_buf_puts(&request->answer, "\n", NULL) < 0)
		bl_buf_done(&request->answer);
	finish(request, status, PROBLEM_TYPE);
}

/* Hands the answer to libmicrohttpd. */
static enum MHD_Result send_answer(struct bl_request *request)
{
	size_t len = request->answer.len;
	char *text = bl_buf_take(&request->answer);
	struct MHD_Response *response;
	enum MHD_Result r;

	if (request->status == BROKEN) {
		free(text);
		return MHD_NO;
	}
	response = MHD_create_response_from_buffer(text ? len : 0, text ? text : (void *)"",
						   text ? MHD_RESPMEM_MUST_FREE
							: MHD_RESPMEM_PERSISTENT);
	if (!response) {
		free(text);
		return MHD_NO;
	}
	if (text)
		(void)MHD_add_response_header(response, "Content-Type", request->type);
	(void)MHD_add_response_header(response, "Cache-Control", "no-store");
	if (request->status == 503)
		(void)MHD_add_response_header(response, "Retry-After", "1");
	if (request->status == 405)
		(void)MHD_add_response_header(response, "Allow", request->allowed);
	if (request->spoiled)
		(void)MHD_add_response_header(response, "Connection", "close");
	bl_http_expect(request->client, BL_HTTP_ANSWER_MS);
	r = MHD_queue_response(request->connection, (unsigned)request->status, response);
	MHD_destroy_response(response);
	return r;
}

/* ---- What is asked for ---- */

/* Whether the path is the route's; what stands for "*" goes to name[256]. */
static bool path_matches(const char *pattern, const char *path, char *name)
{
	for (;;) {
		size_t want = strcspn(pattern, "/");
		size_t have = strcspn(path, "/");

		if (want == 1 && *pattern == '*') {
			if (have == 0 || have > 255)
				return false;
			memcpy(name, path, have);
			name[have] = '\0';
		} else if (want != have || memcmp(pattern, path, want) != 0) {
			return false;
		}
		pattern += want;
		path += have;
		if (*pattern != *path)
			return false;
		if (!*pattern)
			return true;
		pattern++;
		path++;
	}
}

/* Seconds with up to three decimals, as milliseconds; false where text is none. */
static bool parse_seconds(const char *text, uint64_t *ret)
{
	char padded[4] = "000";
	size_t whole = strspn(text, "0123456789");
	const char *point = text + whole;
	size_t decimals = *point == '.' ? strspn(point + 1, "0123456789") : 0;
	uint64_t ms;

	if (whole == 0 || whole > 6 || (*point && (*point != '.' || point[decimals + 1])) ||
	    (*point && (decimals == 0 || decimals > 3)))
		return false;
	memcpy(padded, point + (*point != '\0'), decimals);
	ms = strtoul(text, NULL, 10) * 1000 + strtoul(padded, NULL, 10);
	*ret = ms > BL_HTTP_WAIT_MAX * 1000ULL ? BL_HTTP_WAIT_MAX * 1000ULL : ms;
	return true;
}

/* A parameter of the query: there is only `wait`. */
static enum MHD_Result take_argument(void *data, enum MHD_ValueKind kind, const char *key,
				     const char *value)
{
	struct bl_request *request = data;

	(void)kind;
	if (request->waits || strcmp(key, "wait") != 0 || !value ||
	    !parse_seconds(value, &request->wait_ms)) {
		bl_http_problem(request, 400, "request", "Bad request",
				"the one query parameter is wait=SECONDS");
		return MHD_NO;
	}
	request->waits = true;
	return MHD_YES;
}

static bool may_use(const struct bl_peer *peer, enum bl_http_who who)
{
	if (peer->tcp)
		return who == BL_HTTP_PUBLIC;
	return peer->root || (who != BL_HTTP_ROOT && peer->group);
}

/* For a 405, which must say what is allowed (RFC 9110, 15.5.6). */
static void add_allowed(struct bl_request *request, const char *method)
{
	size_t len = strlen(request->allowed);

	(void)snprintf(request->allowed + len, sizeof(request->allowed) - len, "%s%s",
		       len ? ", " : "", method);
}

/* Finds the route; where there is none, or it is not for this client, the answer stands. */
static void find_route(struct bl_request *request, const char *path, const char *method)
{
	const struct bl_route *other = NULL;

	for (const struct bl_route *at = request->http->routes; at->method; at++) {
		char name[256] = "";

		if (!path_matches(at->path, path, name))
			continue;
		/* A path of its own comes before one with a name in it that is like it. */
		if (other && strcmp(at->path, path) == 0 && strcmp(other->path, path) != 0)
			request->allowed[0] = '\0';
		else if (other && strcmp(other->path, path) == 0 && strcmp(at->path, path) != 0)
			continue;
		other = at;
		if (strcmp(at->method, method) != 0) {
			add_allowed(request, at->method);
			continue;
		}
		request->route = at;
		memcpy(request->name, name, sizeof(name));
		break;
	}
	if (!may_use(request->peer, request->route ? request->route->who
				    : other	   ? other->who
						   : BL_HTTP_GROUP))
		bl_http_problem(request, 403, "forbidden", "Forbidden",
				"only root, and for some requests the socket_group of "
				"ballastd.json, may ask that");
	else if (!request->route && other)
		bl_http_problem(request, 405, "request", "Method not allowed",
				"that path knows other methods");
	else if (!request->route)
		bl_http_problem(request, 404, "request", "No such path",
				"the agent's API is described in docs/agent-api.md");
}

/* The path of a request's target, whose absolute form every server takes (RFC 9112, 3.2.2): whose name stands in it
 * is all the same here, as it is in Host. */
static const char *path_of(const char *target)
{
	const char *slash;

	if (strncasecmp(target, "http://", strlen("http://")) != 0)
		return target;
	slash = strchr(target + strlen("http://"), '/');
	return slash ? slash : "/";
}

static void too_large(struct bl_request *request)
{
	bl_http_problem(request, 413, "request", "Body too large",
			"the body of a request has at most 4 MiB");
}

/* The first call for a request: its headers are there. Refusals are said before the body comes. */
static struct bl_request *begin(struct bl_http *http, struct MHD_Connection *connection,
				const char *url, const char *method)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct bl_request *request =
		info && info->socket_context ? calloc(1, sizeof(*request)) : NULL;
	const char *length;

	if (!request)
		return NULL;
	*request = (struct bl_request){.http = http,
				       .connection = connection,
				       .client = info->socket_context,
				       .body = BL_BUF_INIT(BL_MAX_API_BODY),
				       .answer = BL_BUF_INIT(BL_MAX_API_ANSWER),
				       .hangup = BL_WATCH_INIT};
	request->peer = &request->client->peer;
	request->client->request = request;
	/* The same, and libmicrohttpd leaves the body away (RFC 9110, 9.1: every server knows both). */
	if (strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		method = MHD_HTTP_METHOD_GET;
	length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
	find_route(request, path_of(url), method);
	if (!request->status)
		(void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_argument,
						request);
	if (!request->status && length && strtoull(length, NULL, 10) > BL_MAX_API_BODY)
		too_large(request);
	request->spoiled = request->status != 0;
	return request;
}

enum MHD_Result bl_request_access(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **slot)
{
	struct bl_request *request = *slot;
	struct bl_http *http = data;
	int r;

	(void)version;
	if (http->stopping)
		return MHD_NO;
	if (!request) {
		request = begin(http, connection, url, method);
		*slot = request;
		if (!request)
			return MHD_NO;
		return request->status ? send_answer(request) : MHD_YES;
	}
	if (*upload_size > 0) {
		/* A body that came without its length: what is too much is read over, the answer follows it. */
		r = request->status ? 0 : bl_buf_append(&request->body, upload, *upload_size, NULL);
		if (r == -EFBIG)
			too_large(request);
		else if (r < 0)
			return MHD_NO;
		*upload_size = 0;
		return MHD_YES;
	}
	if (!request->status && !request->waiters)
		request->route->handler(request, request->http->data);
	return request->status ? send_answer(request) : MHD_YES;
}
