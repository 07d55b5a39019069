/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's HTTP server: libmicrohttpd's parser, driven by our loop, behind listening sockets of
 * our own, so that a client's identity is known and counted before a byte of it is read. What a
 * request means is agent/api.c's; here are connections, limits, deadlines, and answers.
 *
 * A handler answers at once (bl_http_answer, bl_http_problem) or puts the request on a list of
 * waiters (bl_http_hold): the connection sleeps until somebody answers it, its time is over, or
 * its client goes away.
 *
 *   what is bounded                  by
 *   connections in all               BL_HTTP_CLIENTS
 *     not root's, and a user's        BL_HTTP_OTHERS, BL_HTTP_USER
 *     of the TCP socket              BL_HTTP_TCP
 *   request line and headers         BL_HTTP_HEADERS bytes
 *   a body                           BL_MAX_API_BODY bytes
 *   a request's arrival              BL_HTTP_REQUEST_MS from its connection's start or last answer
 *   an answer's way out              BL_HTTP_ANSWER_MS
 */
#ifndef BL_AGENT_HTTP_H
#define BL_AGENT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/json.h"
#include "agent/loop.h"

struct bl_err;
struct bl_http;
struct bl_request;
struct MHD_Connection;
struct MHD_Daemon;

#define BL_HTTP_CLIENTS	   2048
#define BL_HTTP_OTHERS	   128
#define BL_HTTP_USER	   64
#define BL_HTTP_TCP	   32
#define BL_HTTP_HEADERS	   (16 * 1024)
#define BL_HTTP_REQUEST_MS 15000
#define BL_HTTP_ANSWER_MS  30000
#define BL_HTTP_WAIT_MAX   86400 /* seconds of ?wait= */

/* Who may use a route. */
enum bl_http_who {
	BL_HTTP_ROOT,	/* uid 0 */
	BL_HTTP_GROUP,	/* uid 0, and the configured group */
	BL_HTTP_PUBLIC, /* these, and clients of the TCP socket for metrics */
};

/* Who asks, from SO_PEERCRED and SO_PEERGROUPS as they were when it connected. */
struct bl_peer {
	uid_t uid;
	bool root;  /* uid 0 */
	bool group; /* of the configured group */
	bool tcp;   /* from the TCP socket: nobody in particular */
};

typedef void bl_http_handler(struct bl_request *request, void *data);

/* A table of these, ended by one without a method. */
struct bl_route {
	const char *method;
	const char *path; /* a part "*" stands for one name, the request's `name` */
	enum bl_http_who who;
	bl_http_handler *handler;
};

/* A ring of held requests. */
struct bl_waiters {
	struct bl_request *first, *last;
};

struct bl_request {
	struct bl_http *http;
	struct MHD_Connection *connection;
	struct bl_client *client;
	const struct bl_peer *peer;
	const struct bl_route *route;
	char name[256];	  /* what stood for "*" */
	char allowed[32]; /* methods of the path, where the request's is none of them */
	uint64_t wait_ms; /* ?wait= */
	bool waits;	  /* it was given */
	struct bl_buf body;
	bool spoiled; /* an answer stands before the body is read: what comes is dropped */

	struct bl_waiters *waiters; /* the list that holds it */
	struct bl_request *prev, *next;
	struct bl_timer deadline;
	void (*expired)(struct bl_request *request);
	void *data; /* the holder's */

	int status; /* of the answer; 0: none yet */
	const char *type;
	struct bl_buf answer;
	struct bl_watch hangup; /* of the client, while held */
};

struct bl_http {
	struct bl_loop *loop;
	struct MHD_Daemon *daemon;
	const struct bl_route *routes;
	void *data;
	struct bl_watch engine; /* libmicrohttpd's own epoll descriptor */
	struct bl_watch local, tcp;
	bool stopping; /* nobody is answered any more */
	bool resumed;  /* a request goes on that was held */
	bool full;     /* the local socket is not watched: too many clients */
	bool starved;  /* neither listening socket is: there was no descriptor for a client */
	struct bl_timer breath; /* until they are watched again */
	struct bl_client *clients;
	size_t count, others, tcps; /* others: on the local socket, not root's */
	gid_t group;
	bool has_group;
	void (*answered)(const struct bl_request *request,
			 void *data); /* may be NULL: for metrics */
};

/*
 * Starts serving on the listening socket `local`, and on `tcp` (-1: none) for BL_HTTP_PUBLIC; both
 * stay the caller's. group: whose members may use BL_HTTP_GROUP routes, -1 for none.
 */
int bl_http_start(struct bl_http *http, struct bl_loop *loop, int local, int tcp, gid_t group,
		  const struct bl_route *routes, void *data, struct bl_err *err);
/* Ends every connection. */
void bl_http_stop(struct bl_http *http);

/* Answers with JSON (borrowed; NULL: without a body). */
void bl_http_answer(struct bl_request *request, int status, const bl_json *json);
/* Answers with a text of that content type. */
void bl_http_answer_text(struct bl_request *request, int status, const char *type, const char *text,
			 size_t len);
/*
 * Answers with application/problem+json (RFC 9457). title: what kind of problem it is; detail: one
 * line for a person that ends with the next step. class: a word for programs, or NULL.
 */
void bl_http_problem(struct bl_request *request, int status, const char *class, const char *title,
		     const char *detail);

/*
 * Puts the request on the list for at most ms; then `expired` has to answer it. Answering takes it
 * off the list; so does a client that goes away.
 */
void bl_http_hold(struct bl_request *request, struct bl_waiters *waiters, uint64_t ms,
		  void (*expired)(struct bl_request *request), void *data);

#endif
