/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The straight way of a lane's bytes, for plain HTTP without a proxy: once libcurl has made the
 * connection (name, address judged, deadline), the lane asks and listens on it by itself, and the
 * kernel moves the body from the socket to the file. Through libcurl the same bytes are copied three
 * times, 16 KiB at a time, which takes twice the processor.
 *
 * Only what is plain goes this way to its end: an answer whose status, length, range and ETag are
 * judged as any other (fetch/lane.c), and whose body is as long as its Content-Length. Where there
 * is none, the file's ranges go through libcurl.
 */
#ifndef BL_FETCH_STRAIGHT_H
#define BL_FETCH_STRAIGHT_H

#include <stdbool.h>
#include <stddef.h>

#include "fetch/lane.h"
#include "fetch/pace.h"

struct bl_straight {
	int epoll;   /* readable when a lane's connection is */
	int pipe[2]; /* empty between any two calls */
	char *buffer;
	struct {
		int sock;
		char *origin;	   /* owned */
	} idle[BL_PACE_MAX_LANES]; /* connections that wait for another request, the oldest first */
	size_t n_idle;
};

#define BL_STRAIGHT_INIT ((struct bl_straight){.epoll = -1, .pipe = {-1, -1}})

/* Into BL_STRAIGHT_INIT. */
int bl_straight_init(struct bl_straight *straight, struct bl_err *err);
void bl_straight_done(struct bl_straight *straight);

/* Whether the request that the lane's wire is set up for can go this way. */
bool bl_straight_suits(const struct bl_lane *lane);

/* Gives the lane an idle connection to where its request goes: false where there is none. */
bool bl_straight_take(struct bl_straight *straight, struct bl_lane *lane);
/* Gives the lane the connection that its wire has made (CURLOPT_CONNECT_ONLY), before the wire is
 * taken off the multi handle: false where it has none. */
bool bl_straight_adopt(struct bl_lane *lane);

/* Sends the lane's request on its connection. -ECONNRESET: it has ended; -EIO: it does not take the request. */
int bl_straight_send(struct bl_straight *straight, struct bl_lane *lane, struct bl_err *err);

/* Takes the lane off its connection, which is kept where all of the answer was read. */
void bl_straight_release(struct bl_straight *straight, struct bl_lane *lane);

enum bl_straight_end {
	BL_STRAIGHT_MORE,  /* there will be more */
	BL_STRAIGHT_OVER,  /* bl_lane_finish() with *code says how it ended */
	BL_STRAIGHT_STALE, /* the connection had ended before the request: send it on another */
};

/* Reads what the lane's connection has, at most 1 MiB. */
enum bl_straight_end bl_straight_read(struct bl_straight *straight, struct bl_lane *lane,
				      CURLcode *code);
/* The lane is given up: takes what content has come, of which it may not have been told. */
void bl_straight_drain(struct bl_straight *straight, struct bl_lane *lane);

#endif
