// SPDX-License-Identifier: Apache-2.0
#include "hook/create.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/agent_client.h"
#include "common/attach.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/mount.h"
#include "common/spec.h"
#include "common/sys.h"
#include "hook/ask.h"
#include "hook/bundle.h"
#include "hook/inject.h"
#include "hook/options.h"
#include "hook/plan.h"
#include "hook/state.h"

#define SPARE_MS 300
#define HAND_MS	 5000 /* of the timeout, for handing the waiting over in it */
#define FIRST_MS 2000 /* for the first word of an agent that can take the waiting over */
#define FRESH_MS 1000 /* how old a mount table may be */

/* ---- The container and who runs it ---- */

struct watched {
	int container; /* pidfds */
	int parent;
	uint64_t start_time;
};

static void watched_done(struct watched *watched)
{
	bl_cleanup_fd(&watched->container);
	bl_cleanup_fd(&watched->parent);
}

#define auto_watched __attribute__((cleanup(watched_done))) struct watched

static int open_container(const struct bl_state *state, struct watched *watched, struct bl_err *err)
{
	if (state->pid <= 0)
		return bl_err_config(err, "state: pid: is missing, and without the container's "
					  "process its mount namespace cannot be found: register "
					  "the hook as prestart (youki) or createRuntime");
	if (state->pid == getpid() || state->pid == getppid() || state->pid == 1)
		return bl_err_refuse(err, "state: pid: %d is no container's process",
				     (int)state->pid);
	watched->container = bl_sys_pidfd_open(state->pid);
	if (watched->container == -ESRCH)
		return bl_err_refuse(err, "the container's process %d is gone", (int)state->pid);
	if (watched->container < 0)
		return bl_mount_err(err, -watched->container, "pidfd_open");
	return bl_attach_start_time(state->pid, &watched->start_time, err);
}

/* The runtime; nothing else would tell us of its end, and a hook outlives it. */
static int open_parent(struct watched *watched, struct bl_err *err)
{
	pid_t parent = getppid();

	if (parent == 0) /* in another pid namespace: it cannot be named */
		return 0;
	watched->parent = bl_sys_pidfd_open(parent);
	if (watched->parent < 0 && watched->parent != -ESRCH)
		return bl_mount_err(err, -watched->parent, "pidfd_open");
	if (watched->parent < 0 || getppid() != parent)
		return bl_err_retry(err, "the runtime is gone");
	return 0;
}

static int open_watched(const struct bl_state *state, struct watched *watched, struct bl_err *err)
{
	int r = open_container(state, watched, err);

	return r < 0 ? r : open_parent(watched, err);
}

/* ---- The mounts ---- */

/* Everything that is to be attached: the plan's weights in its order, then our own two. */
struct work {
	struct bl_attach_item *items;
	size_t count;
};

static void work_done(struct work *work)
{
	for (size_t i = 0; i < work->count; i++)
		bl_cleanup_fd(&work->items[i].mount);
	free(work->items);
	*work = (struct work){0};
}

#define auto_work __attribute__((cleanup(work_done))) struct work

static int work_init(struct work *work, const struct bl_plan *plan, struct bl_err *err)
{
	work->items = calloc(plan->weights.count + 2, sizeof(*work->items));
	return work->items ? 0 : bl_err_nomem(err);
}

static int build_weights(const struct bl_create *create, const struct bl_ready *ready, size_t i,
			 struct bl_err *err)
{
	const struct bl_mount_source source = {
		.path = ready->weights[i].path,
		.kind = ready->weights[i].kind,
		.superblock = create->plan->superblock,
		.empty = ready->empty,
		.exec = create->options->allow_exec,
	};

	return bl_mount_build(&source, err);
}

static int add_weights(const struct bl_create *create, const struct bl_ready *ready, bool deferred,
		       struct work *work, struct bl_err *err)
{
	const struct bl_plan *plan = create->plan;

	for (size_t i = 0; i < plan->weights.count; i++) {
		const struct bl_weights_item *weights = &plan->weights.items[i];
		struct bl_attach_item *item = &work->items[work->count];

		item->location = weights->mount_location;
		item->kind = weights->single_file ? BL_MOUNT_FILE : BL_MOUNT_DIRECTORY;
		item->mount = deferred ? bl_mount_placeholder(item->kind,
							      create->bundle->mount_label, err)
				       : build_weights(create, ready, i, err);
		if (item->mount < 0) {
			bl_err_wrap(err, "%.200s: ", item->location);
			return item->mount;
		}
		work->count++;
	}
	return 0;
}

static int add_ours(struct work *work, const char *location, int mount, struct bl_err *err)
{
	if (mount < 0) {
		bl_err_wrap(err, "%s: ", location);
		return mount;
	}
	work->items[work->count++] = (struct bl_attach_item){
		.location = location,
		.kind = BL_MOUNT_DIRECTORY,
		.mount = mount,
		.ours = true,
	};
	return 0;
}

/* Ids of the container as the host has them. */
static int map_owner(pid_t pid, uint32_t uid, uint32_t gid, struct bl_inject_owner *ret,
		     struct bl_err *err)
{
	auto_buf uids = BL_BUF_INIT(0);
	auto_buf gids = BL_BUF_INIT(0);
	int r = bl_inject_read_map(pid, "uid_map", &uids, err);

	if (r == 0)
		r = bl_inject_read_map(pid, "gid_map", &gids, err);
	if (r == 0)
		r = bl_inject_map_id(bl_buf_str(&uids), uid, &ret->uid, err);
	if (r == 0)
		r = bl_inject_map_id(bl_buf_str(&gids), gid, &ret->gid, err);
	return r;
}

static int add_box(const struct bl_create *create, const struct bl_ready *ready, bool deferred,
		   struct work *work, struct bl_err *err)
{
	const struct bl_bundle *bundle = create->bundle;
	auto_buf spec = BL_BUF_INIT(BL_SPEC_MAX);
	struct bl_inject_owner owner;
	int r = map_owner(create->state->pid, bundle->uid, bundle->gid, &owner, err);

	if (r == 0)
		r = bl_inject_spec(create->plan, bundle, create->options, ready->environment,
				   deferred, &spec, err);
	if (r < 0)
		return r;
	return add_ours(work, BL_BOX_DIR,
			bl_inject_box(create->options->shim, &spec, deferred, owner,
				      bundle->mount_label, err),
			err);
}

static int add_secrets(const struct bl_create *create, struct work *work, struct bl_err *err)
{
	const struct bl_bundle *bundle = create->bundle;
	struct bl_inject_owner owner;
	int r = map_owner(create->state->pid, create->plan->server_uid, bundle->gid, &owner, err);

	if (r < 0)
		return r;
	return add_ours(work, BL_BOX_SECRETS,
			bl_inject_secrets(create->options->secrets_dir, create->plan, owner,
					  bundle->mount_label, err),
			err);
}

static int build_all(const struct bl_create *create, const struct bl_ready *ready, bool deferred,
		     struct work *work, struct bl_err *err)
{
	int r = work_init(work, create->plan, err);

	if (r == 0)
		r = add_weights(create, ready, deferred, work, err);
	if (r == 0 && create->plan->shim)
		r = add_box(create, ready, deferred, work, err);
	if (r == 0 && create->plan->secrets && bl_json_first(create->plan->secrets))
		r = add_secrets(create, work, err);
	return r;
}

/* Where everything goes: what can be opened while the agent works is opened then. */
struct target {
	struct bl_attach_process process;
	struct bl_attach place;
	int64_t opened;
};

static void target_done(struct target *target)
{
	bl_attach_leave(&target->place);
}

#define auto_target __attribute__((cleanup(target_done))) struct target

/* What fails here fails again in enter(), which says so. */
static void open_early(void *data)
{
	struct target *target = data;

	target->opened = bl_agent_now();
	if (target->process.rootfs)
		(void)bl_attach_open(&target->process, &target->place, NULL);
}

static int enter(struct target *target, struct bl_err *err)
{
	if (!target->process.rootfs)
		return bl_err_config(err, "config.json: root.path: is missing");
	/* The wait was a long one: the mount table may be another by now. */
	if (bl_agent_now() - target->opened > FRESH_MS)
		bl_attach_leave(&target->place);
	bl_sys_point("enter");
	return bl_attach_enter(&target->process, &target->place, err);
}

/* Registers the placeholders that lie in the container; they are taken back where that fails. */
static int hand_over(const struct bl_create *create, struct bl_agent *agent,
		     const struct bl_ask *ask, struct bl_attach *place, const struct work *work,
		     struct bl_err *err)
{
	int r = bl_attach_step_out(place, err);

	if (r == 0)
		r = bl_ask_defer(agent, ask, create->plan, work->items, create->options->allow_exec,
				 err);
	if (r < 0 && (place->entered || bl_attach_step_in(place, NULL) == 0))
		bl_attach_undo(place, work->items, work->count);
	return r;
}

/* ---- All of it ---- */

static int check_host(struct bl_err *err)
{
	auto_buf map = BL_BUF_INIT(0);
	uint32_t id = 0;
	int r;

	if (geteuid() != 0)
		return bl_err_refuse(err, "not root: rootless runtimes cannot give weights to a "
					  "container, run this one as root");
	r = bl_inject_read_map(getpid(), "uid_map", &map, err);
	if (r < 0)
		return r;
	/* Only the initial namespace maps everything to itself. */
	if (bl_inject_map_id(bl_buf_str(&map), UINT32_MAX - 1, &id, NULL) < 0 ||
	    id != UINT32_MAX - 1)
		return bl_err_refuse(err, "not root of the host, but of a user namespace: rootless "
					  "runtimes cannot give weights to a container");
	return 0;
}

#define DESCRIPTORS 16384 /* several for each weights set and each directory that is made */

/* A macro, since C libraries do not agree on a resource's type. */
#define LIFT(resource)                                                                           \
	do {                                                                                     \
		struct rlimit lifted;                                                            \
		if (getrlimit((resource), &lifted) == 0 && lifted.rlim_cur != lifted.rlim_max) { \
			lifted.rlim_cur = lifted.rlim_max;                                       \
			(void)setrlimit((resource), &lifted);                                    \
		}                                                                                \
	} while (0)

/*
 * Limits are the runtime's, and not ours to obey: as many descriptors as may be had, and no other
 * soft limit in the way.
 */
static void raise_limits(void)
{
	struct rlimit limit;

	LIFT(RLIMIT_FSIZE);
	LIFT(RLIMIT_AS);
	LIFT(RLIMIT_DATA);
	LIFT(RLIMIT_CPU);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
		return;
	limit.rlim_cur = DESCRIPTORS;
	if (limit.rlim_max >= DESCRIPTORS) {
		(void)setrlimit(RLIMIT_NOFILE, &limit);
		return;
	}
	/* Above the hard limit only with CAP_SYS_RESOURCE. */
	if (setrlimit(RLIMIT_NOFILE,
		      &(struct rlimit){.rlim_cur = DESCRIPTORS, .rlim_max = DESCRIPTORS}) < 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Names whichever of the two timeouts was the shorter one. */
static int out_of_time(const struct bl_create *create, struct bl_err *err)
{
	bool own = create->plan->timeout < create->options->timeout;

	return bl_err_retry(err,
			    "the weights are not there after %lld s; the agent goes on, so try "
			    "again, or give %s",
			    (long long)((create->plan->timeout + 999) / 1000),
			    own ? BL_KEY_WAIT " a longer timeout" : "the hook a longer --timeout");
}

static int64_t deadline(const struct bl_create *create)
{
	bool soon = create->plan->defer && create->plan->timeout < FIRST_MS;

	return create->started + (soon ? FIRST_MS : create->plan->timeout);
}

/* The last request is made a little before the deadline, so that its answer comes in time. */
static int64_t last_request(const struct bl_create *create)
{
	int64_t spare = create->plan->timeout / 4;
	int64_t most = create->plan->defer ? HAND_MS : SPARE_MS;

	return create->started + create->plan->timeout - (spare < most ? spare : most);
}

int bl_create_run(const struct bl_create *create, struct bl_err *err)
{
	const struct bl_plan *plan = create->plan;
	const char *bundle = create->state->bundle ? create->state->bundle : "/";
	auto_watched watched = {-1, -1, 0};
	auto_ready ready = {0};
	auto_work work = {0};
	auto_target target = {.place = BL_ATTACH_INIT};
	struct bl_agent agent = {.socket = create->options->agent,
				 .deadline = deadline(create),
				 .meanwhile = open_early,
				 .data = &target};
	struct bl_ask ask = {.id = create->state->id,
			     .bundle = bundle,
			     .pid = create->state->pid,
			     .progress = create->progress};
	bool deferred;
	int r = check_host(err);

	if (r == 0)
		r = open_watched(create->state, &watched, err);
	if (r < 0)
		return r;
	raise_limits();
	ask.start_time = watched.start_time;
	target.process = (struct bl_attach_process){
		.pid = create->state->pid,
		.pidfd = watched.container,
		.start_time = watched.start_time,
		.rootfs = create->bundle->rootfs,
	};
	agent.watch[agent.watch_count++] = watched.container;
	if (watched.parent >= 0)
		agent.watch[agent.watch_count++] = watched.parent;
	r = bl_ask_weights(&agent, &ask, plan, last_request(create), &ready, err);
	if (r < 0)
		return r;
	deferred = r == 0;
	if (deferred && !plan->defer)
		return out_of_time(create, err);
	r = build_all(create, &ready, deferred, &work, err);
	if (r == 0)
		r = enter(&target, err);
	if (r == 0)
		r = bl_attach_all(&target.place, work.items, work.count, err);
	if (r == 0 && deferred)
		r = hand_over(create, &agent, &ask, &target.place, &work, err);
	return r < 0 ? r : deferred ? BL_CREATED_DEFERRED : BL_CREATED_ATTACHED;
}
