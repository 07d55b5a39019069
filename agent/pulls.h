/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pulls: weights that are brought without a container, at a person's or the configuration's wish.
 * A pull is known until an hour after its end; a restart of the agent forgets it (what it brought
 * stays).
 */
#ifndef BL_AGENT_PULLS_H
#define BL_AGENT_PULLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/http.h"
#include "agent/loop.h"
#include "agent/work.h"
#include "common/json.h"
#include "common/weights.h"

struct bl_err;
struct bl_pull;
struct bl_pulls;

#define BL_PULLS_MAX	1024 /* known at once */
#define BL_PULLS_OTHERS 768  /* of them not root's ... */
#define BL_PULLS_TENANT 256  /* ... of these for one tenant ... */
#define BL_PULLS_USER	64   /* ... and of one user */
#define BL_PULL_ID	17   /* bytes of an id, with its NUL */

enum bl_pull_state { BL_PULL_PENDING, BL_PULL_READY, BL_PULL_FAILED };

struct bl_pull_item {
	struct bl_pull *pull;
	struct bl_claim claim;
	bool ready;
	struct bl_digest tree;
};

struct bl_pull {
	struct bl_pulls *pulls;
	struct bl_pull *prev, *next;
	char id[BL_PULL_ID];
	char *tenant;
	uid_t uid; /* who asked */
	bool refresh;
	bool quiet; /* nothing is told of it unless something was brought, or failed */
	struct bl_weights weights;
	struct bl_pull_item *items;
	enum bl_pull_state state;
	struct bl_problem problem; /* of the first item that failed */
	struct bl_waiters waiters;
	struct bl_timer forget;
};

struct bl_pulls {
	struct bl_loop *loop;
	struct bl_store *store;
	struct bl_works *works;
	struct bl_pull *first;
	size_t count;
	void (*tell)(const struct bl_pull *pull, const char *what);
};

/* What a POST says, and who asks; all is borrowed. */
struct bl_pull_request {
	uid_t uid;
	const char *tenant;
	const bl_json *list;
	bool refresh;
	bool quiet; /* one that comes again and again: told of only where something was brought */
};

/*
 * Begins to bring the list's items. Problems: 422, 5xx, of them 503 where there are too many pulls. Root may
 * have as many as there may be; of others a user, and all of them for one tenant, have a share only, so that nobody
 * keeps the rest out by pulls that never end.
 */
int bl_pulls_start(struct bl_pulls *pulls, const struct bl_pull_request *request,
		   struct bl_pull **ret, struct bl_problem *problem);
struct bl_pull *bl_pulls_find(const struct bl_pulls *pulls, const char *id);
/* Gives it up, whatever its state, and forgets it. */
void bl_pulls_cancel(struct bl_pull *pull);
void bl_pulls_done(struct bl_pulls *pulls);

/* Answers a GET with what there is to say of it. */
void bl_pulls_reply(const struct bl_pull *pull, struct bl_request *request);

#endif
