// SPDX-License-Identifier: Apache-2.0
/*
 * After a restart: the leases on disk become containers again, as far as their processes live.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/container_state.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/err.h"

static int restore_one(struct bl_containers *containers, const struct bl_store_lease *lease)
{
	struct bl_container_request request = {
		.id = lease->id,
		.tenant = lease->tenant,
		.pid = lease->pid,
		.start_time = lease->start_time,
	};
	struct bl_container *container;
	struct bl_problem problem;
	auto_fd pidfd = bl_container_open_process(lease->pid, lease->start_time);
	auto_json extra = lease->extra ? bl_json_copy(lease->extra) : NULL;
	const bl_json *deferred = NULL;
	int r;

	/* A copy: putting the lease anew replaces the one that is looked at. */
	if (pidfd < 0)
		return -ESRCH;
	/* Only death ends a lease, not a word in it that this version does not take. */
	if (!extra || bl_json_get_array(extra, "defer", &deferred, NULL) < 0 ||
	    bl_container_from_json(extra, &request, NULL) < 0)
		return 0;
	container = bl_container_new(containers, &request, NULL);
	if (!container)
		return 0;
	container->pidfd = TAKE_FD(pidfd);
	/* What it has mounted is its own: nobody is asked again. */
	container->leased = lease->tree_count == container->weights.count;
	for (size_t i = 0; container->leased && i < container->weights.count; i++) {
		container->items[i].tree = lease->trees[i];
		container->items[i].ready = true;
	}
	container->deferred = deferred;
	r = bl_container_start(container, &problem);
	container->deferred = NULL;
	if (r < 0) {
		/* It keeps its lease; a hook that waits for it asks again. */
		container->state = BL_CONTAINER_FAILED;
		container->problem = problem;
		r = bl_container_watch(container, NULL);
	}
	bl_container_tell(container, "taken up after a restart");
	if (deferred && bl_container_begin_late(container, deferred, NULL) == 0)
		bl_container_attach_late(container);
	return r;
}

int bl_containers_restore(struct bl_containers *containers, struct bl_err *err)
{
	size_t position = 0;
	size_t count = 0;
	const struct bl_store_lease *lease;
	struct key {
		char boot_id[40];
		pid_t pid;
		uint64_t start_time;
	};
	auto_free struct key *keys = NULL;

	/* The walk must not be disturbed by what restoring writes: first who there is. */
	while ((lease = bl_store_lease_next(containers->store, &position))) {
		struct key *more;

		if (lease->ended_at)
			continue;
		more = reallocarray(keys, count + 1, sizeof(*keys));
		if (!more)
			return bl_err_nomem(err);
		keys = more;
		keys[count] = (struct key){.pid = lease->pid, .start_time = lease->start_time};
		memcpy(keys[count++].boot_id, lease->boot_id, sizeof(lease->boot_id));
	}
	for (size_t i = 0; i < count; i++) {
		bool ours = strcmp(keys[i].boot_id, bl_store_boot_id(containers->store)) == 0;

		position = 0;
		while ((lease = bl_store_lease_next(containers->store, &position)))
			if (lease->pid == keys[i].pid && lease->start_time == keys[i].start_time &&
			    strcmp(lease->boot_id, keys[i].boot_id) == 0)
				break;
		if (!lease || (ours && restore_one(containers, lease) == 0))
			continue;
		(void)bl_store_lease_end(containers->store, keys[i].boot_id, keys[i].pid,
					 keys[i].start_time, NULL);
	}
	return 0;
}
