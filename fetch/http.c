/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/retry.h"
#include "fetch/wire.h"

#define MAX_TRIES    5
#define MAX_WAITING  60	 /* seconds of pauses in one call */
#define CALL_TIMEOUT 120 /* seconds of one try */
#define MEANWHILE    20	 /* ms of other work at a time */

struct bl_http {
	const struct bl_net *net;
	CURLSH *share; /* names and TLS sessions; a job is one tenant's */
	struct bl_wire wire;
	bl_http_meanwhile *meanwhile; /* or NULL */
	void *ctx;
	CURLM *multi; /* for calls that something else is done beside; NULL until there was one */
};

int bl_http_new(const struct bl_net *net, struct bl_http **ret, struct bl_err *err)
{
	auto_http http = calloc(1, sizeof(*http));

	if (!http)
		return bl_err_nomem(err);
	http->net = net;
	http->share = curl_share_init();
	if (!http->share)
		return bl_err_nomem(err);
	curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
	curl_share_setopt(http->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	int rc = bl_wire_init(&http->wire, net, http->share, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(http);
	return 0;
}

int bl_http_new_beside(const struct bl_http *http, struct bl_http **ret, struct bl_err *err)
{
	int rc = bl_http_new(http->net, ret, err);

	if (rc >= 0)
		bl_http_set_meanwhile(*ret, http->meanwhile, http->ctx);
	return rc;
}

void bl_http_set_meanwhile(struct bl_http *http, bl_http_meanwhile *meanwhile, void *ctx)
{
	http->meanwhile = meanwhile;
	http->ctx = ctx;
}

int bl_http_hang_up(struct bl_http *http, struct bl_err *err)
{
	bl_wire_done(&http->wire);
	curl_multi_cleanup(http->multi);
	http->multi = NULL;
	return bl_wire_init(&http->wire, http->net, http->share, err);
}

void bl_http_free(struct bl_http **pointer)
{
	struct bl_http *http = *pointer;
	int saved = errno;

	if (!http)
		return;
	bl_wire_done(&http->wire);
	curl_multi_cleanup(http->multi);
	curl_share_cleanup(http->share);
	free(http);
	*pointer = NULL;
	errno = saved;
}

const struct bl_net *bl_http_net(const struct bl_http *http)
{
	return http->net;
}

void *bl_http_share(const struct bl_http *http)
{
	return http->share;
}

void bl_http_answer_done(struct bl_http_answer *answer)
{
	bl_http_headers_done(&answer->headers);
	bl_buf_done(&answer->body);
	bl_url_done(&answer->url);
}

/* Where the body goes, and why it stopped going there. */
struct receiver {
	struct bl_buf *body;
	struct bl_err *err;
	int rc;
	bool unwanted, broken_off;
};

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct receiver *receiver = ctx;

	if (receiver->unwanted) {
		receiver->broken_off = true;
		return 0;
	}
	receiver->rc = bl_buf_append(receiver->body, data, size * n, receiver->err);
	return receiver->rc < 0 ? 0 : size * n;
}

/* As curl_easy_perform(), and what is to be done meanwhile is done. */
static CURLcode perform(struct bl_http *http)
{
	CURLcode code = CURLE_OUT_OF_MEMORY;
	const CURLMsg *message;
	int running = 1, left;

	if (!http->meanwhile)
		return curl_easy_perform(http->wire.easy);
	if (!http->multi)
		http->multi = curl_multi_init();
	if (!http->multi || curl_multi_add_handle(http->multi, http->wire.easy) != CURLM_OK)
		return code;
	while (running && curl_multi_perform(http->multi, &running) == CURLM_OK)
		if (running)
			http->meanwhile(http->ctx, MEANWHILE);
	while ((message = curl_multi_info_read(http->multi, &left)))
		if (message->msg == CURLMSG_DONE)
			code = message->data.result;
	curl_multi_remove_handle(http->multi, http->wire.easy);
	return code;
}

/*
 * One request, one answer in the wire and in body. *passing says whether another try makes sense
 * after a failure.
 */
static int one_hop(struct bl_http *http, const char *url, const struct bl_url *base,
		   const struct bl_http_request *request, struct bl_buf *body, bool *passing,
		   struct bl_err *err)
{
	struct receiver receiver = {.body = body, .err = err, .unwanted = request->head_only};
	struct bl_wire *wire = &http->wire;

	*passing = false;
	int rc = bl_wire_prepare(wire, url, base, request, err);
	if (rc < 0)
		return rc;
	body->len = 0;
	curl_easy_setopt(wire->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(wire->easy, CURLOPT_WRITEDATA, &receiver);
	curl_easy_setopt(wire->easy, CURLOPT_TIMEOUT, (long)CALL_TIMEOUT);
	CURLcode code = perform(http);
	if (receiver.rc == -EFBIG)
		return bl_err_set(err, BL_EX_CONFIG, EFBIG,
				  "the answer of %.200s has more than the %zu bytes that such an "
				  "answer may have; check that it is the right server",
				  wire->url.origin, body->max);
	if (receiver.rc < 0)
		return receiver.rc;
	/* Where the head is all that is wanted, nothing behind it is missed. */
	if (code != CURLE_OK && !receiver.broken_off && !(receiver.unwanted && wire->complete)) {
		*passing = bl_wire_is_passing(wire, code);
		return bl_wire_explain(wire, code, err);
	}
	return 0;
}

/* Follows redirects to the last answer, which stays in the wire. */
static int follow(struct bl_http *http, const struct bl_http_request *request, struct bl_buf *body,
		  bool *authorized, bool *passing, struct bl_err *err)
{
	unsigned left = request->body ? 0 : request->max_redirects;
	const char *location = NULL;
	int rc = one_hop(http, request->url, NULL, request, body, passing, err);

	*authorized = http->wire.authorized;
	while (rc >= 0 && request->max_redirects && bl_wire_is_redirect(http->wire.status) &&
	       (location = bl_http_headers_get(&http->wire.answer, "Location"))) {
		if (left-- == 0)
			return bl_err_set(err, BL_EX_RETRY, EIO,
					  "more than %u redirects, the last by %.200s; they may go "
					  "round in a circle: check the URL, or the endpoint",
					  request->max_redirects, http->wire.url.origin);
		if (request->redirected &&
		    (rc = request->redirected(request->ctx, &http->wire.answer, err)) < 0)
			return rc;
		/* prepare() forgets the answer that these two lie in */
		auto_free char *target = strdup(location);
		auto_url base = http->wire.url;
		http->wire.url = (struct bl_url){0};
		if (!target)
			return bl_err_nomem(err);
		rc = one_hop(http, target, &base, request, body, passing, err);
	}
	return rc;
}

static void pause_for(const struct bl_http *http, int64_t milliseconds)
{
	struct timespec rest = {.tv_sec = milliseconds / 1000,
				.tv_nsec = milliseconds % 1000 * 1000000};
	int64_t until = bl_retry_now() + milliseconds;

	while (http->meanwhile && bl_retry_now() < until)
		http->meanwhile(http->ctx, MEANWHILE);
	while (!http->meanwhile && nanosleep(&rest, &rest) < 0 && errno == EINTR)
		;
}

int bl_http_perform(struct bl_http *http, const struct bl_http_request *request,
		    struct bl_http_answer *ret, struct bl_err *err)
{
	auto_buf body = BL_BUF_INIT(request->max_body ? request->max_body : BL_HTTP_MAX_BODY);
	bool repeatable = !request->body || request->retry_post;
	bool authorized = false, passing = false;
	int64_t waited = 0;
	int rc;

	for (unsigned tries = 1;; tries++) {
		rc = follow(http, request, &body, &authorized, &passing, err);
		if (rc < 0 ? !passing : !bl_wire_is_busy(http->wire.status))
			break;
		int64_t wait = bl_retry_pause(tries, rc < 0 ? NULL : &http->wire.answer);
		waited += wait;
		if (!repeatable || tries == MAX_TRIES || waited > MAX_WAITING * 1000)
			break;
		pause_for(http, wait);
	}
	if (rc < 0)
		return rc;
	*ret = (struct bl_http_answer){
		.status = http->wire.status,
		.headers = http->wire.answer,
		.body = body,
		.url = http->wire.url,
		.authorized = authorized,
	};
	http->wire.answer = (struct bl_http_headers){0};
	http->wire.url = (struct bl_url){0};
	body = (struct bl_buf){0};
	return 0;
}

const char *bl_http_status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
		{200, "200 OK"},
		{206, "206 Partial Content"},
		{301, "301 Moved Permanently"},
		{302, "302 Found"},
		{304, "304 Not Modified"},
		{307, "307 Temporary Redirect"},
		{308, "308 Permanent Redirect"},
		{400, "400 Bad Request"},
		{401, "401 Unauthorized"},
		{403, "403 Forbidden"},
		{404, "404 Not Found"},
		{405, "405 Method Not Allowed"},
		{408, "408 Request Timeout"},
		{409, "409 Conflict"},
		{410, "410 Gone"},
		{412, "412 Precondition Failed"},
		{416, "416 Range Not Satisfiable"},
		{429, "429 Too Many Requests"},
		{451, "451 Unavailable For Legal Reasons"},
		{500, "500 Internal Server Error"},
		{502, "502 Bad Gateway"},
		{503, "503 Service Unavailable"},
		{504, "504 Gateway Timeout"},
	};
	static char number[16];

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	snprintf(number, sizeof(number), "%d", status);
	return number;
}
