// SPDX-License-Identifier: Apache-2.0
/*
 * A container whose hook has gone before its weights were there: between the container and its
 * late attach (agent/late.h).
 */
#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/container_state.h"
#include "agent/late.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/job.h"
#include "common/sys.h"

static void late_progress(void *data, unsigned long long *done, unsigned long long *total)
{
	const struct bl_container *container = data;
	struct bl_progress sum = {0};

	bl_container_progress(container, &sum);
	*done = sum.bytes_done;
	*total = sum.bytes_total;
}

static void late_over(void *data, const char *failure)
{
	struct bl_container *container = data;

	bl_container_tell(container, failure ? failure : "attached late");
}

static void attach(struct bl_container *container)
{
	struct bl_store *store = container->containers->store;
	size_t count = container->weights.count;
	auto_free char(*paths)[BL_CONTAINER_PATH] = calloc(count + 1, sizeof(*paths));
	auto_free struct bl_late_tree *trees = calloc(count + 1, sizeof(*trees));
	char empty[PATH_MAX];
	struct bl_err err = {0};

	for (size_t i = 0; paths && trees && i < count; i++) {
		if (bl_container_item_path(container, i, paths[i]) < 0)
			return;
		trees[i].path = paths[i];
	}
	if (bl_store_paths_check(store, &err) < 0)
		bl_late_fail(container->late, err.msg);
	else if (paths && trees && bl_store_empty_path(store, empty) == 0)
		bl_late_attach(container->late, trees, &container->weights, empty);
	else
		bl_late_fail(container->late, "out of memory; start the container again");
}

int bl_container_begin_late(struct bl_container *container, const bl_json *mounts,
			    struct bl_err *err)
{
	const struct bl_late_owner owner = {
		.loop = container->containers->loop,
		.pid = container->pid,
		.start_time = container->start_time,
		.progress = late_progress,
		.over = late_over,
		.data = container,
	};

	return bl_late_new(&owner, mounts, &container->weights, &container->late, err);
}

void bl_container_attach_late(struct bl_container *container)
{
	if (container->state == BL_CONTAINER_READY)
		attach(container);
	else if (container->state == BL_CONTAINER_FAILED)
		bl_late_fail(container->late, container->problem.detail);
}

/* Who may not enter a mount namespace (setns(2)) must not take over a wait that would never end. */
static bool may_enter(void)
{
	const uint64_t needed = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SYS_CHROOT;
	struct bl_sys_caps caps;

	return bl_sys_capget(&caps) < 0 || (caps.effective & needed) == needed;
}

int bl_containers_defer(struct bl_container *container, const bl_json *mounts,
			struct bl_problem *problem)
{
	struct bl_err err = {0};
	int r;

	if (container->state == BL_CONTAINER_ENDED)
		return bl_container_conflict(problem, "the container's process has ended");
	if (container->late && !bl_late_is_same(container->late, mounts))
		return bl_container_conflict(
			problem, "that container has already been handed over with other "
				 "mounts");
	if (container->late)
		return 0;
	if (!may_enter()) {
		*problem = (struct bl_problem){.status = 403, .class = "forbidden"};
		(void)snprintf(
			problem->detail, sizeof(problem->detail),
			"this agent may not enter containers, so it attaches nothing late: run "
			"ballastd with CAP_SYS_ADMIN and CAP_SYS_CHROOT, or the hook with "
			"--on-timeout=fail");
		return -EPERM;
	}
	r = bl_container_begin_late(container, mounts, &err);
	if (r < 0) {
		*problem = (struct bl_problem){.status = 400, .class = "request"};
		(void)snprintf(problem->detail, sizeof(problem->detail), "%s", err.msg);
		return r;
	}
	r = bl_container_put_lease(container, problem);
	if (r < 0) {
		bl_late_free(TAKE_PTR(container->late));
		return r;
	}
	bl_container_tell(container, "handed over by its hook");
	bl_container_attach_late(container);
	return 0;
}
