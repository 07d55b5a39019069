/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane is one connection's place in a transfer: it asks for one range of one file, judges the
 * answer's head before the first byte is written, and writes bytes where they belong.
 */
#ifndef BL_FETCH_LANE_H
#define BL_FETCH_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "fetch/arrival.h"
#include "fetch/wire.h"

#define BL_LANE_HOLD (256 * 1024) /* bytes that are written at once, at such offsets */

enum bl_lane_state { BL_LANE_IDLE, BL_LANE_ON_WIRE, BL_LANE_LOCAL };

struct bl_lane {
	enum bl_lane_state state;
	struct bl_wire wire;
	struct bl_arrival *file; /* borrowed; NULL while idle */
	int64_t from, at, to;	 /* the range, and how far it is written */
	char *held;		 /* BL_LANE_HOLD bytes, once they are wanted: owned, ... */
	size_t n_held;		 /* ... of which so many follow on `at` */
	int64_t asked_to;  /* where the request ends: beyond `to` once a part was given away */
	int64_t began;	   /* ms */
	int64_t last_byte; /* ms of the last byte, or of the start */
	unsigned hops;	   /* redirects followed */
	unsigned way;	   /* file->way when it began */
	bool on_direct;	   /* asks where redirects led last time */
	int64_t sent;	   /* ms of the request */
	bool judged;	   /* the head was accepted, ... */
	int64_t judged_at; /* ms when one was last, also of an earlier request */
	bool counted;	   /* ... and the time until then is in the transfer's pace */
	bool hedge;	   /* asks for what another lane asks for as well */

	bool connecting; /* libcurl only makes a connection for fetch/straight.h */
	int sock;	 /* that connection, while it is used; else -1 */
	bool reused;	 /* it was used before */
	bool heard;	 /* the answer's head has come */
	bool keeps;	 /* another request may follow on it */
	int low_water;	 /* its SO_RCVLOWAT */
	char *head;	 /* of an answer, as far as it came: owned */
	size_t n_head;

	int64_t *arrived; /* the transfer's count of bytes */
	int rc;		  /* why the lane itself broke the request off */
	struct bl_err err;
};

/* How a request ended. */
enum bl_lane_end {
	BL_LANE_DONE,	  /* the range is there */
	BL_LANE_REDIRECT, /* go on with bl_lane_follow() */
	BL_LANE_REFUSED,  /* 401 or 403: locate again */
	BL_LANE_BUSY,	  /* 429, 5xx: pause as the answer says */
	BL_LANE_BROKEN,	  /* a broken connection, a wrong answer: may be tried again */
	BL_LANE_FATAL,	  /* trying again does not help */
};

/*
 * Sets up the request for [from, to) of the file, which is located. The caller hands wire.easy to
 * the multi handle.
 */
int bl_lane_start(struct bl_lane *lane, struct bl_arrival *file, int64_t from, int64_t to,
		  struct bl_err *err);

/*
 * For fetch/straight.h. Judges the head that is in the wire; writes content that follows on `at`, and
 * counts what somebody else wrote there; says that this failed. Negative: lane->rc and lane->err.
 */
int bl_lane_judge(struct bl_lane *lane);
int bl_lane_write(struct bl_lane *lane, const char *data, size_t len);
void bl_lane_count(struct bl_lane *lane, size_t len);
int bl_lane_write_failed(struct bl_lane *lane, int rc);

/* Writes what is held; negative, with lane->rc and lane->err, where it cannot. */
int bl_lane_flush(struct bl_lane *lane);

/* Frees what a lane owns, but for what its wire does with the multi handle. */
void bl_lane_done(struct bl_lane *lane);

/* After BL_LANE_REDIRECT: sets up the request for where the answer points. */
int bl_lane_follow(struct bl_lane *lane, struct bl_err *err);

/* After libcurl is done. Every end but DONE and REDIRECT fills *err and its class into *rc. */
enum bl_lane_end bl_lane_finish(struct bl_lane *lane, CURLcode code, int *rc, struct bl_err *err);

/* Copies the next piece of a local file; BL_LANE_REDIRECT means: not at the end yet. */
enum bl_lane_end bl_lane_copy(struct bl_lane *lane, int *rc, struct bl_err *err);

#endif
