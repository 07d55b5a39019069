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

/* -ESRCH where its process is dead. */
static int restore_one(struct bl_containers *containers, const struct bl_store_lease *lease,
		       struct bl_err *err)
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
	if (pidfd == -ESRCH)
		return -ESRCH;
	if (pidfd < 0)
		return bl_err_sys(err, -pidfd, "look at process %d of container '%s'",
				  (int)lease->pid, lease->id);
	/* Only death ends a lease, not a word in it that this version does not take. */
	if (!extra || bl_json_get_array(extra, "defer", &deferred, NULL) < 0 ||
	    bl_container_from_json(extra, &request, NULL) < 0)
		return 0;
	container = bl_container_new(containers, &request, NULL);
	if (!container)
		return 0;
	container->pidfd = TAKE_FD(pidfd);
	/* What it has mounted is its own: nobody is asked again. */
	container->leased = lease->own == container->weights.count;
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
		r = bl_container_watch(container, err);
	}
	bl_container_tell(container, "taken up after a restart");
	if (deferred && bl_container_begin_late(container, deferred, NULL) == 0)
		bl_container_attach_late(container);
	return r;
}

int bl_containers_restore(struct bl_containers *containers, struct bl_err *err)
{
	struct bl_store *store = containers->store;
	const struct bl_store_lease *lease;
	size_t position = 0;
	int r;

	/* What restoring writes replaces a lease where it stands, and removes none. */
	while ((lease = bl_store_lease_next(store, &position))) {
		bool ours = strcmp(lease->boot_id, bl_store_boot_id(store)) == 0;
		pid_t pid = lease->pid;
		uint64_t start_time = lease->start_time;
		char boot_id[40];

		if (lease->ended_at)
			continue;
		memcpy(boot_id, lease->boot_id, sizeof(boot_id));
		r = ours ? restore_one(containers, lease, err) : -ESRCH;
		if (r == -ESRCH)
			(void)bl_store_lease_end(store, boot_id, pid, start_time, NULL);
		else if (r < 0)
			return r;
	}
	return 0;
}
