/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/pace.h"

#define FIRST_LANES	  16
#define FIRST_LANES_SMALL BL_PACE_MAX_LANES  /* where files are so small that latency rules */
#define SMALL_FILE	  (INT64_C(1) << 20) /* bytes */
#define WINDOW		  400		     /* ms over which a rate is taken, ... */
#define WINDOW_CLEAR	  50		     /* ... and after which it may be clear already */
#define SETTLING	  2000		     /* ms that new connections have to bring something */
#define REST		  5000		     /* ms between tries once one brought nothing */
#define REST_LIMITED	  10000		     /* ms after the origin asked for less */
#define WORTH		  1.08		     /* more connections must bring this much more, ... */
#define WORTH_CLEAR	  1.3		     /* ... which is clear from here on */
#define MIN_CHUNK	  (INT64_C(1) << 20) /* bytes; also while no rate is known */
#define MAX_CHUNK	  (INT64_C(256) << 20)
#define LATENCY_ANSWERS	  32 /* of which the fastest says what a request costs */
#define CHUNK_LATENCIES	  20 /* that a range should take, so that no more than that is lost, ... */
#define CHUNK_SOONEST	  50 /* ... ms, but not less ... */
#define CHUNK_LATEST	  2000 /* ... and not more */

void bl_pace_init(struct bl_pace *pace, size_t files, int64_t bytes, int64_t now)
{
	bool small = files && bytes / (int64_t)files < SMALL_FILE;

	*pace = (struct bl_pace){
		.lanes = small ? FIRST_LANES_SMALL : FIRST_LANES,
		.most = small ? BL_PACE_MAX_LANES : BL_PACE_MAX_LANES / 2,
		.began = now,
		.stepped = now,
		.latency = -1,
	};
	pace->before = pace->lanes;
}

/* Twice as many: what a connection brings is the same for all, or the origin's sum is. */
static void step(struct bl_pace *pace, int64_t now)
{
	pace->before = pace->lanes;
	pace->lanes *= 2;
	if (pace->lanes > pace->most)
		pace->lanes = pace->most;
	pace->trying = pace->lanes > pace->before;
	pace->stepped = now;
	pace->settled = !pace->trying;
}

static void judge(struct bl_pace *pace, double rate, int64_t now)
{
	if (pace->trying && rate < pace->rate * WORTH) {
		pace->lanes = pace->before;
		pace->trying = false;
		pace->rest_until = now + REST;
		return;
	}
	pace->trying = false;
	pace->rate = rate;
	if (now >= pace->rest_until)
		step(pace, now);
}

/* Whether the window says enough before its end: there is a first rate, or a far better one. */
static bool is_clear(const struct bl_pace *pace, int64_t time, double rate)
{
	return time >= WINDOW_CLEAR &&
	       (!pace->trying ? pace->rate <= 0 && rate > 0 : rate >= pace->rate * WORTH_CLEAR);
}

void bl_pace_tick(struct bl_pace *pace, int64_t now, int64_t arrived, unsigned busy,
		  unsigned flowing)
{
	/* While connections are made the rate says nothing of what they will bring. */
	if (flowing >= pace->lanes || now - pace->stepped >= SETTLING)
		pace->settled = true;
	if (!pace->settled && busy >= pace->lanes) {
		pace->began = now;
		pace->began_bytes = arrived;
		return;
	}
	int64_t time = now - pace->began;
	double rate = time > 0 ? (double)(arrived - pace->began_bytes) / (double)time : 0;

	if (time < WINDOW && !is_clear(pace, time, rate))
		return;
	pace->began = now;
	pace->began_bytes = arrived;
	if (busy == 0)
		return;
	double of_lane = rate / busy;
	pace->lane_rate = pace->lane_rate > 0 ? (pace->lane_rate + of_lane) / 2 : of_lane;
	/* With idle connections the number of them is not what limits. */
	if (busy >= pace->lanes)
		judge(pace, rate, now);
}

/* The least of the last ones: others have a connection to be made in them, or our own waiting where the
 * processor is what is scarce, and a range that is long for their sake holds up the file's front. */
void bl_pace_answered(struct bl_pace *pace, int64_t latency)
{
	double ms = (double)latency;

	if (pace->answers == 0 || ms < pace->least)
		pace->least = ms;
	if (++pace->answers == LATENCY_ANSWERS) {
		pace->answers = 0;
		pace->latency = pace->least;
	}
	if (pace->latency < 0 || ms < pace->latency)
		pace->latency = ms;
}

void bl_pace_limited(struct bl_pace *pace, unsigned at_work, int64_t now)
{
	unsigned fewer = pace->lanes / 2 > at_work ? pace->lanes / 2 : at_work;

	if (fewer > 0 && fewer < pace->lanes)
		pace->lanes = fewer;
	pace->before = pace->lanes;
	pace->trying = false;
	pace->rate = 0;
	pace->rest_until = now + REST_LIMITED;
}

static double chunk_time(const struct bl_pace *pace)
{
	double time = pace->latency * CHUNK_LATENCIES;

	if (pace->latency < 0 || time > CHUNK_LATEST)
		return CHUNK_LATEST;
	return time < CHUNK_SOONEST ? CHUNK_SOONEST : time;
}

int64_t bl_pace_chunk(const struct bl_pace *pace, int64_t left)
{
	int64_t chunk =
		pace->lane_rate > 0 ? (int64_t)(pace->lane_rate * chunk_time(pace)) : MIN_CHUNK;
	int64_t share = left / (2 * (int64_t)pace->lanes);

	if (chunk > MAX_CHUNK)
		chunk = MAX_CHUNK;
	if (chunk > share)
		chunk = share;
	return chunk < MIN_CHUNK ? MIN_CHUNK : chunk;
}
