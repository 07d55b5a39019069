/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Works: what is being brought to the node, each distinct one once, however many wait for it. A
 * work is (tenant, source, patterns, credential); it has one fetch process at a time, is tried
 * again where that may help, and tells everyone who claims it how it ended. The last claim that is
 * given up cancels it; what has arrived stays on disk for the next.
 *
 * Who may have what (docs/agent-api.md, "Who is given what"):
 *   - a tenant's own ref, or the shared ref of content that asked nobody for a credential, serves
 *     at once;
 *   - where a credential was wanted, only while the tenant's recorded authorisation holds; else a
 *     job in mode "resolve" has the origin say it again, with the tenant's own credential;
 *   - a digest that a listing promises spares a download only where a ref says that the tenant may
 *     have that content already: its own, the shared one, or one of this very source, which the
 *     origin has just shown this tenant too.
 */
#ifndef BL_AGENT_WORK_H
#define BL_AGENT_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/digest.h"
#include "agent/problem.h"

#define BL_WORKS_MAX	4096 /* at once ... */
#define BL_WORKS_TENANT 2048 /* ... and of one tenant: two containers with as much as may be */

struct bl_claim;
struct bl_collector;
struct bl_config;
struct bl_err;
struct bl_loop;
struct bl_pool;
struct bl_spawn;
struct bl_store;
struct bl_weights_item;
struct bl_work;

/* How a work ended. */
struct bl_outcome {
	struct bl_problem problem; /* status 0: good, `tree` is there and held for this moment */
	struct bl_digest tree;
};

typedef void bl_claim_fn(struct bl_claim *claim, const struct bl_outcome *outcome);

/* One who waits for a work; a member of what it is claimed for. */
struct bl_claim {
	struct bl_work *work; /* NULL: it claims nothing */
	struct bl_claim *prev, *next;
	bl_claim_fn *settled; /* once, unless given up before; the claim is idle by then */
	void *data;
};

/* Figures for metrics, since the start. */
struct bl_work_figures {
	uint64_t hits, misses;	/* look-ups that were served at once, and not */
	uint64_t bytes_fetched; /* by jobs that are over, as they say */
	uint64_t files_fetched, files_spared;
	uint64_t jobs, retries;
	uint64_t failures[10]; /* by class, in the order of bl_problem_class_name() */
};

struct bl_works {
	struct bl_loop *loop;
	struct bl_pool *pool;
	struct bl_pool *quick; /* for what waits for a disk, and never for long */
	struct bl_store *store;
	struct bl_collector *collector;
	const struct bl_spawn *spawn;
	const struct bl_config *config;
	const char *secrets_dir;
	struct bl_work *first;
	int running; /* jobs */
	bool stopping;
	struct bl_work_figures figures;
};

/* Bytes that came from origins since the start, with those of running jobs. */
uint64_t bl_works_fetched(const struct bl_works *works);

/*
 * Looks whether the tenant can have the item's tree at once. 0: *ret is there (and was used now);
 * -EAGAIN: bl_works_claim() it; another failure is final, *problem says what it is.
 */
int bl_works_lookup(struct bl_works *works, const char *tenant, const struct bl_weights_item *item,
		    struct bl_digest *ret, struct bl_problem *problem);

/* 0, or -EINVAL and *problem where the item pins another tree. */
int bl_works_check_pin(const struct bl_weights_item *item, const struct bl_digest *tree,
		       struct bl_problem *problem);

/*
 * Joins the work of that kind, or begins it. refresh: the origin is to be looked at again even
 * where a ref stands. `settled` is never called from within. -EAGAIN: there are too many.
 */
int bl_works_claim(struct bl_works *works, const char *tenant, const struct bl_weights_item *item,
		   bool refresh, struct bl_claim *claim, struct bl_err *err);
/* What a bl_works_claim() that failed means for who asked. */
void bl_works_problem(struct bl_problem *problem, int r, const struct bl_err *err);
/* Gives the claim up; nothing happens where it is idle. */
void bl_works_give_up(struct bl_claim *claim);

/* How far a work is. Totals are 0 as long as the listing is not known. */
struct bl_progress {
	uint64_t bytes_done, bytes_total, files_done, files_total, bytes_per_second;
};
/* Adds a claim's progress to *sum. */
void bl_works_add_progress(const struct bl_claim *claim, struct bl_progress *sum);

/* Ends all jobs, tells nobody; what has arrived stays on disk. The loop must still run the pool's
 * tasks to their end (bl_pool_done()) before bl_works_done(). */
void bl_works_stop(struct bl_works *works);
void bl_works_done(struct bl_works *works);

#endif
