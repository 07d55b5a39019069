/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the HTTP server: one request from its first header to its answer. http.c and request.c
 * share this; nobody else includes it.
 */
#ifndef BL_AGENT_REQUEST_H
#define BL_AGENT_REQUEST_H

#include <microhttpd.h>

#include "agent/http.h"

/* One connection. */
struct bl_client {
	struct bl_http *http;
	struct bl_client *prev, *next;
	int fd;	    /* libmicrohttpd's */
	bool known; /* libmicrohttpd has taken it */
	struct bl_peer peer;
	struct bl_timer deadline;   /* for what it has to do next; not set while it waits for us */
	struct bl_request *request; /* under way */
};

/* The client has that long to send its next request, or to read its answer. */
void bl_http_expect(struct bl_client *client, uint64_t ms);

/* libmicrohttpd's access handler; its closure is the struct bl_http. */
enum MHD_Result bl_request_access(void *data, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **slot);

/* Ends a held request, and its connection, without an answer. */
void bl_request_break(struct bl_request *request);

void bl_request_free(struct bl_request *request);

#endif
