/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client of the node agent: one small, bounded dialect of HTTP/1.1 over a UNIX socket. One
 * connection a request, Content-Length only, no redirects, every size and every wait bounded. It
 * exists because loading an HTTP library costs a hook ten times all else that it does.
 *
 * What goes wrong becomes an exit status (common/err.h):
 *
 *   no socket, nobody listens, the listener is not root's        BL_EX_UNAVAILABLE
 *   the connection broke; after the first contact it is tried
 *   again until the deadline                                     BL_EX_UNAVAILABLE
 *   no answer by the deadline, a watched descriptor reported     BL_EX_RETRY
 *   400, 404, 422 and every other 4xx but those below            BL_EX_CONFIG
 *   401, 403, 409                                                BL_EX_REFUSED
 *   429, 5xx                                                     BL_EX_RETRY
 *   an answer that is malformed or too large                     BL_EX_INTERNAL
 */
#ifndef BL_AGENT_CLIENT_H
#define BL_AGENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/json.h"

struct bl_err;

#define BL_AGENT_WATCH_MAX 4

struct bl_agent {
	const char *socket;	       /* borrowed: the socket's path */
	uid_t owner;		       /* who must listen there; 0 in every real use */
	int64_t deadline;	       /* on bl_agent_now()'s clock */
	int watch[BL_AGENT_WATCH_MAX]; /* borrowed: give up at once when one is readable (pidfds) */
	size_t watch_count;
	size_t max_values; /* of an answer's JSON; 0: BL_MAX_JSON_VALUES */
	bool contacted;	   /* a request was taken: a broken connection is tried again */
	bool repeated;	   /* a connection broke, and the request was made again */
	pid_t pid;	   /* who listens there; 0 where it is not to be seen from here */
	/* Called once, between a request and its answer: what can be done while the agent works. */
	void (*meanwhile)(void *data);
	void *data;
};

struct bl_agent_answer {
	int status;	    /* 100 to 599; 0 where there was no answer */
	struct bl_buf body; /* the bytes as they came */
	bl_json *json;	    /* owned; the body where it is JSON, else NULL */
};

#define BL_AGENT_ANSWER_INIT ((struct bl_agent_answer){.body = BL_BUF_INIT(0)})
#define auto_agent_answer    __attribute__((cleanup(bl_agent_answer_done))) struct bl_agent_answer
void bl_agent_answer_done(struct bl_agent_answer *answer);

/* Milliseconds of CLOCK_BOOTTIME: the clock of deadlines, which a change of the date leaves be. */
int64_t bl_agent_now(void);

/*
 * "unix:/path" or "/path" into *ret (borrowed from text). BL_EX_CONFIG where it is no absolute
 * path that fits a socket address.
 */
int bl_agent_parse_address(const char *text, const char **ret, struct bl_err *err);

/*
 * Sends one request and reads its answer. `path` is sent as it is; body may be NULL. With
 * `repeat`, a request whose connection broke before its answer is sent again (only for what can
 * be repeated without harm, and only once `contacted`). Returns the status, 200 to 299, or
 * -errno with *err filled; *ret holds what was received also where the status is an error.
 */
int bl_agent_request(struct bl_agent *agent, const char *method, const char *path, const char *body,
		     bool repeat, struct bl_agent_answer *ret, struct bl_err *err);

/* Waits until `until`, or less where a watched descriptor reports: then -ECANCELED. Returns 0. */
int bl_agent_pause(const struct bl_agent *agent, int64_t until, struct bl_err *err);

/* Appends text percent-encoded, as one segment of a path or one value of a query. */
int bl_agent_escape(struct bl_buf *buf, const char *text, struct bl_err *err);

/*
 * The head of an answer, taken apart; apart from its reading so that tests and fuzzing reach it.
 * `head` ends with the empty line. -EPROTO where it is not of our dialect.
 */
struct bl_agent_head {
	int status;
	size_t length; /* of the body */
	bool json;     /* application/json or application/problem+json */
};

int bl_agent_parse_head(const char *head, size_t len, struct bl_agent_head *ret,
			struct bl_err *err);

/* What an answer with a status of 400 or more means: fills *err, returns -errno. */
int bl_agent_problem(const struct bl_agent_answer *answer, struct bl_err *err);

#endif
