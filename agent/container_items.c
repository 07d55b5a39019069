// SPDX-License-Identifier: Apache-2.0
/*
 * What a container has asked for, item by item: looked up, claimed where it is missing, held until the
 * lease names it, and told to whoever waits.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/container_state.h"
#include "agent/late.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/job.h"

static int put_lease(struct bl_container *container, struct bl_err *err)
{
	struct bl_store *store = container->containers->store;
	auto_free struct bl_digest *trees = calloc(container->weights.count + 1, sizeof(*trees));
	auto_json extra = bl_container_to_json(container);
	struct bl_store_lease lease = {
		.id = container->id,
		.tenant = container->tenant,
		.container = container->name ? container->name : (char *)"",
		.pid = container->pid,
		.start_time = container->start_time,
		.trees = trees,
		.extra = extra,
	};
	int r;

	if (!trees || !extra)
		return bl_err_nomem(err);
	(void)snprintf(lease.boot_id, sizeof(lease.boot_id), "%s", bl_store_boot_id(store));
	for (size_t i = 0; i < container->weights.count; i++)
		if (container->items[i].ready)
			trees[lease.tree_count++] = container->items[i].tree;
	r = bl_store_lease_put(store, &lease, err);
	for (size_t i = 0; r == 0 && i < container->weights.count; i++) {
		if (container->items[i].held)
			bl_store_tree_unhold(store, &container->items[i].tree);
		container->items[i].held = false;
	}
	container->leased = r == 0 && lease.tree_count == container->weights.count;
	return r;
}

int bl_container_put_lease(struct bl_container *container, struct bl_problem *problem)
{
	struct bl_err err = {0};
	int r = put_lease(container, &err);

	if (r < 0)
		bl_problem_set(problem,
			       r == -ENOSPC || r == -EDQUOT ? BL_JOB_SPACE : BL_JOB_INTERNAL,
			       "the lease cannot be written: %s; look at the node's cache "
			       "disk, and restart ballastd where a directory of it was removed",
			       err.msg);
	return r;
}

/* The first item's failure is the container's; what follows of the others is told to nobody. */
static void fail_container(struct bl_container *container, const struct bl_problem *problem)
{
	if (container->state == BL_CONTAINER_FAILED)
		return;
	container->state = BL_CONTAINER_FAILED;
	container->problem = *problem;
	bl_container_tell(container, problem->detail);
	if (container->late)
		bl_late_fail(container->late, problem->detail);
	bl_container_answer_waiters(container);
}

static bool all_ready(const struct bl_container *container)
{
	for (size_t i = 0; i < container->weights.count; i++)
		if (!container->items[i].ready)
			return false;
	return true;
}

/* What was found damaged meanwhile is to be brought again. */
static bool forget_missing(struct bl_container *container)
{
	struct bl_store *store = container->containers->store;
	bool any = false;

	for (size_t i = 0; i < container->weights.count; i++) {
		struct bl_container_item *item = &container->items[i];

		if (!item->ready || bl_store_tree_is_there(store, &item->tree))
			continue;
		if (item->held)
			bl_store_tree_unhold(store, &item->tree);
		item->ready = item->held = container->leased = false;
		any = true;
	}
	return any;
}

static int start_items(struct bl_container *container, struct bl_problem *problem);

/* Everything is there: the lease gets the trees, then the waiters their answer. */
static void become_ready(struct bl_container *container)
{
	struct bl_problem problem;

	if (forget_missing(container)) {
		int r = start_items(container, &problem);

		if (r < 0)
			fail_container(container, &problem);
		if (r < 0 || !all_ready(container))
			return;
	}
	if (!container->leased && bl_container_put_lease(container, &problem) < 0) {
		fail_container(container, &problem);
		return;
	}
	container->state = BL_CONTAINER_READY;
	bl_container_count_wait(container);
	bl_container_tell(container, "ready");
	if (container->late)
		bl_container_attach_late(container);
	bl_container_answer_waiters(container);
}

static int take_tree(struct bl_container_item *item, const struct bl_digest *tree,
		     struct bl_err *err)
{
	int r = bl_store_tree_hold(item->container->containers->store, tree, err);

	if (r < 0)
		return r;
	item->tree = *tree;
	item->ready = item->held = true;
	return 0;
}

void bl_container_item_settled(struct bl_claim *claim, const struct bl_outcome *outcome)
{
	struct bl_container_item *item = claim->data;
	struct bl_container *container = item->container;
	const struct bl_weights_item *wanted = &container->weights.items[item - container->items];
	struct bl_problem problem = outcome->problem;
	struct bl_err err = {0};

	if (problem.status == 0 && bl_works_check_pin(wanted, &outcome->tree, &problem) == 0 &&
	    take_tree(item, &outcome->tree, &err) < 0)
		bl_problem_set(&problem, BL_JOB_INTERNAL, "%s", err.msg);
	if (container->state == BL_CONTAINER_ENDED)
		return;
	if (problem.status != 0) {
		bl_problem_place(&problem, (size_t)(item - container->items));
		fail_container(container, &problem);
	} else if (all_ready(container))
		become_ready(container);
}

/* Looks every item up, and claims what is not there. */
static int start_items(struct bl_container *container, struct bl_problem *problem)
{
	struct bl_works *works = container->containers->works;
	struct bl_err err = {0};
	int r = 0;

	for (size_t i = 0; i < container->weights.count; i++) {
		struct bl_container_item *item = &container->items[i];
		const struct bl_weights_item *wanted = &container->weights.items[i];
		struct bl_digest tree;

		if (item->ready || item->claim.work)
			continue;
		r = bl_works_lookup(works, container->tenant, wanted, &tree, problem);
		if (r == 0) {
			r = take_tree(item, &tree, &err);
		} else if (r == -EAGAIN) {
			r = bl_works_claim(works, container->tenant, wanted, false, &item->claim,
					   &err);
		} else {
			bl_problem_place(problem, i);
			return r;
		}
		if (r < 0) {
			bl_works_problem(problem, r, &err);
			return r;
		}
	}
	return 0;
}

/* From a container with its items' list to one that is watched, looked after and leased. */
int bl_container_start(struct bl_container *container, struct bl_problem *problem)
{
	struct bl_err err = {0};
	int r = start_items(container, problem);

	if (r == 0 && !container->leased)
		r = bl_container_put_lease(container, problem);
	if (r < 0)
		return r;
	r = bl_container_watch(container, &err);
	if (r < 0) {
		bl_problem_set(problem, BL_JOB_INTERNAL, "%s", err.msg);
		return r;
	}
	container->state = all_ready(container) ? BL_CONTAINER_READY : BL_CONTAINER_PENDING;
	return 0;
}

int bl_container_join(struct bl_container *container, struct bl_problem *problem)
{
	int r;

	if (container->state == BL_CONTAINER_READY ? !forget_missing(container)
						   : container->state != BL_CONTAINER_FAILED)
		return 0;
	container->state = BL_CONTAINER_PENDING;
	container->since = bl_loop_now();
	r = start_items(container, problem);
	if (r < 0)
		fail_container(container, problem);
	else if (all_ready(container))
		become_ready(container);
	return 0;
}

void bl_container_release_items(struct bl_container *container)
{
	for (size_t i = 0; container->items && i < container->weights.count; i++) {
		struct bl_container_item *item = &container->items[i];

		bl_works_give_up(&item->claim);
		if (item->held)
			bl_store_tree_unhold(container->containers->store, &item->tree);
		item->held = false;
	}
}
