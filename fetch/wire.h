/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One libcurl handle, set up as all of fetch's are, making one request to one place at a time. The
 * policy is here, so that API calls (fetch/http.c) and bytes of files (fetch/transfer.c) cannot
 * differ in it: protocols, addresses, proxy, certificates, no setting from the environment, no
 * redirect followed, and a credential asked for only where it is bound.
 */
#ifndef BL_FETCH_WIRE_H
#define BL_FETCH_WIRE_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "fetch/http.h"

#define BL_WIRE_CONNECT_TIMEOUT 15 /* seconds */
#define BL_WIRE_STALL_TIMEOUT	30 /* seconds with less than a byte a second */

struct bl_wire {
	CURL *easy;		       /* owned */
	const struct bl_net *net;      /* borrowed */
	struct bl_url url;	       /* of the request that is set up */
	struct curl_slist *sent;       /* owned: headers of that request */
	struct bl_http_headers answer; /* of the answer; complete when the body begins */
	size_t answer_bytes;
	int status;	 /* 0 until a status line came */
	bool complete;	 /* all of the answer's head came */
	bool authorized; /* a credential goes with the request */
	bool refused;	 /* an address was refused */
	bool proxied;
	char address[64]; /* the last address tried, for messages */
	char detail[CURL_ERROR_SIZE];
};

/* Does not take ownership of share (may be NULL). */
int bl_wire_init(struct bl_wire *wire, const struct bl_net *net, CURLSH *share, struct bl_err *err);
void bl_wire_done(struct bl_wire *wire);

/*
 * Sets the handle up for one request: passes gate one of fetch/net.h, signs where auth is for this
 * origin, forgets the last answer. The caller sets where the body goes. `text` may be relative to
 * `base`. The request's method and headers are those of `request`, its URL is not used.
 */
int bl_wire_prepare(struct bl_wire *wire, const char *text, const struct bl_url *base,
		    const struct bl_http_request *request, struct bl_err *err);

/*
 * Says what a libcurl code means for a person: -EPERM (policy), -EIO. Where a callback of the
 * caller's broke the transfer off, the caller knows better and does not ask.
 */
int bl_wire_explain(const struct bl_wire *wire, CURLcode code, struct bl_err *err);

/* Takes up one line of an answer's head, as the callback of libcurl does. False: refused. */
bool bl_wire_take_header(struct bl_wire *wire, const char *line, size_t len);

/* Whether the same request may succeed when it is made again. */
bool bl_wire_is_passing(const struct bl_wire *wire, CURLcode code);

bool bl_wire_is_redirect(int status);
/* Statuses that ask for another try: 408, 429, 500, 502, 503, 504. */
bool bl_wire_is_busy(int status);

#endif
