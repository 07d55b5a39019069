/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests over libcurl, as every source makes them. libcurl moves bytes and speaks TLS; what
 * has leaked credentials again and again is ours: redirects are followed here, a bounded number,
 * and for each hop the credential is worked out anew, only where scheme, host and port are those
 * it is bound to. No .netrc, no proxy or other setting from the environment.
 *
 * Whole answers in memory, for API calls: the bytes of files go through fetch/transfer.h.
 */
#ifndef BL_FETCH_HTTP_H
#define BL_FETCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "fetch/http_headers.h"
#include "fetch/net.h"

struct bl_err;

#define BL_HTTP_MAX_HEADERS   (64 * 1024)	/* bytes of an answer's head */
#define BL_HTTP_MAX_BODY      (8 * 1024 * 1024) /* bytes of an API answer, if max_body is 0 */
#define BL_HTTP_MAX_REDIRECTS 5

/* What a credential is worked out from: one request to one place. */
struct bl_http_hop {
	const char *method;
	const struct bl_url *url;
	const struct bl_http_headers *headers; /* sent as well: Range, If-Match, ... */
	const void *body;
	size_t body_len;
};

/*
 * A credential. sign() adds headers (Authorization, x-amz-date, ...) and is called for a hop only
 * if the hop's origin is exactly `origin` (as bl_url.origin writes it). It may make requests of
 * its own, to renew a token. The holder owns all.
 */
struct bl_http_auth {
	const char *origin;
	int (*sign)(void *ctx, const struct bl_http_hop *hop, struct bl_http_headers *headers,
		    struct bl_err *err);
	void *ctx;
};

struct bl_http_request {
	const char *method; /* NULL: GET */
	const char *url;
	const struct bl_http_headers *headers; /* sent on every hop: nothing secret; or NULL */
	const struct bl_http_auth *auth;       /* or NULL */
	const void *body;		       /* then redirects are not followed */
	size_t body_len;
	size_t max_body;	/* 0: BL_HTTP_MAX_BODY */
	unsigned max_redirects; /* 0: a 3xx is the answer */
	bool head_only;		/* the body is not wanted: broken off at its first byte */
	bool retry_post;	/* a POST that may be made twice */
	/* Sees each 3xx answer that is about to be followed; negative refuses. Or NULL. */
	int (*redirected)(void *ctx, const struct bl_http_headers *answer, struct bl_err *err);
	void *ctx;
};

struct bl_http_answer {
	int status; /* of the last hop */
	struct bl_http_headers headers;
	struct bl_buf body;
	struct bl_url url; /* of the last hop */
	bool authorized;   /* a credential went with the first hop */
};
void bl_http_answer_done(struct bl_http_answer *answer);
#define auto_answer __attribute__((cleanup(bl_http_answer_done))) struct bl_http_answer

struct bl_http; /* one job's connections; never shared between tenants */

/* `net` is borrowed. */
int bl_http_new(const struct bl_net *net, struct bl_http **ret, struct bl_err *err);
void bl_http_free(struct bl_http **http);
/*
 * Another of the same net, for requests that are made while one of `http` is being prepared (a token
 * is renewed when a request is signed). It waits as http does.
 */
int bl_http_new_beside(const struct bl_http *http, struct bl_http **ret, struct bl_err *err);
#define auto_http __attribute__((cleanup(bl_http_free))) struct bl_http *
const struct bl_net *bl_http_net(const struct bl_http *http);

/* Ends the connection that is kept for another request: an origin may take few, and others are to use them. */
int bl_http_hang_up(struct bl_http *http, struct bl_err *err);

/*
 * What else is done while a call waits for its answer: other connections must not starve. Called
 * again and again, it comes back after about so many milliseconds. NULL: nothing, the default.
 */
typedef void bl_http_meanwhile(void *ctx, int milliseconds);
void bl_http_set_meanwhile(struct bl_http *http, bl_http_meanwhile *meanwhile, void *ctx);

/* What all handles of the job share (libcurl's CURLSH): names looked up, TLS sessions. */
void *bl_http_share(const struct bl_http *http);

/*
 * Makes the request and waits for the whole answer. Any status is success (0): the source says what
 * it means. 408, 429 and 5xx and broken connections are tried again, a bounded number of times
 * over a bounded time, as Retry-After says or with growing, random pauses; the last answer stands.
 * Failure is that of the way there: -EPERM (refused by policy), -EIO (the origin cannot be reached,
 * TLS, name: says which, and the next step), -EFBIG, -ENOMEM.
 */
int bl_http_perform(struct bl_http *http, const struct bl_http_request *request,
		    struct bl_http_answer *ret, struct bl_err *err);

/* The short text that stands for a status in messages: "404 Not Found". */
const char *bl_http_status_text(int status);

#endif
