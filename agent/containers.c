// SPDX-License-Identifier: Apache-2.0
#include "agent/containers.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/container_state.h"
#include "agent/late.h"
#include "agent/secrets.h"
#include "agent/store.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"
#include "common/sys.h"
#include "common/weights.h"

const char *bl_containers_state_name(enum bl_container_state state)
{
	static const char *const names[] = {
		[BL_CONTAINER_PENDING] = "pending",
		[BL_CONTAINER_READY] = "ready",
		[BL_CONTAINER_FAILED] = "failed",
		[BL_CONTAINER_ENDED] = "ended",
	};

	return names[state];
}

void bl_container_tell(const struct bl_container *container, const char *what)
{
	if (container->containers->tell)
		container->containers->tell(container, what);
}

const struct bl_wait_bound bl_wait_bounds[BL_WAIT_BUCKETS] = {
	{5, "0.005"},  {20, "0.02"},  {100, "0.1"},    {500, "0.5"},	{2000, "2"},
	{10000, "10"}, {30000, "30"}, {120000, "120"}, {600000, "600"}, {3600000, "3600"},
};

void bl_container_count_wait(struct bl_container *container)
{
	struct bl_wait_histogram *waits = &container->containers->waits;
	uint64_t ms = bl_loop_now() - container->since;

	waits->count++;
	waits->sum_ms += ms;
	for (size_t i = 0; i < BL_WAIT_BUCKETS; i++)
		if (ms <= bl_wait_bounds[i].ms) {
			waits->counts[i]++;
			break;
		}
}

/* ---- Processes ---- */

/* Field 22 of /proc/PID/stat. -ESRCH where there is no such process. */
static int read_start_time(pid_t pid, uint64_t *ret)
{
	auto_buf text = BL_BUF_INIT(4096);
	char path[32];
	const char *at;
	auto_fd fd = -1;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = bl_sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	r = bl_buf_read(&text, fd, NULL);
	if (r < 0)
		return r;
	/* The name in parentheses may hold anything: field 3 follows the last of them. */
	at = strrchr(bl_buf_str(&text), ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	*ret = at ? strtoull(at + 1, NULL, 10) : 0;
	return 0;
}

static bool is_dead(int pidfd)
{
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};

	return poll(&wait, 1, 0) != 0;
}

int bl_container_open_process(pid_t pid, uint64_t start_time)
{
	auto_fd fd = bl_sys_pidfd_open(pid);
	uint64_t found = 0;
	int r;

	if (fd < 0)
		return fd;
	/* The descriptor first: if it still lives afterwards, the start time was its own. */
	r = read_start_time(pid, &found);
	if (r < 0)
		return r;
	return found == start_time && !is_dead(fd) ? TAKE_FD(fd) : -ESRCH;
}

/* ---- Life and death ---- */

/* FNV-1a. */
static struct bl_container **bucket_of(struct bl_containers *containers, const char *id)
{
	uint32_t hash = 2166136261U;

	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619U;
	return &containers->buckets[hash % BL_CONTAINER_BUCKETS];
}

static void forget_id(struct bl_container *container)
{
	struct bl_container **at = bucket_of(container->containers, container->id);

	while (*at && *at != container)
		at = &(*at)->next_of_id;
	if (*at)
		*at = container->next_of_id;
}

static void free_container(struct bl_container *container)
{
	struct bl_containers *containers = container->containers;

	*(container->prev ? &container->prev->next : &containers->first) = container->next;
	if (container->next)
		container->next->prev = container->prev;
	containers->count--;
	if (container->id)
		forget_id(container);
	bl_container_release_items(container);
	bl_late_free(container->late);
	bl_loop_unwatch(containers->loop, &container->death);
	bl_loop_cancel(&container->grace);
	bl_cleanup_fd(&container->pidfd);
	bl_weights_done(&container->weights);
	bl_json_free(&container->list);
	free(container->items);
	free(container->id);
	free(container->tenant);
	free(container->name);
	free(container->bundle);
	free(container->body);
	free(container);
}

void bl_container_answer_waiters(struct bl_container *container)
{
	while (container->waiters.first)
		bl_container_reply(container, container->waiters.first);
}

static void grace_over(struct bl_timer *timer)
{
	struct bl_container *container = timer->data;
	struct bl_store *store = container->containers->store;

	free_container(container);
	(void)bl_store_lease_expire(store);
}

static void end_container(struct bl_container *container)
{
	struct bl_containers *containers = container->containers;
	struct bl_err err = {0};

	if (container->state == BL_CONTAINER_ENDED)
		return;
	if (bl_store_lease_end(containers->store, bl_store_boot_id(containers->store),
			       container->pid, container->start_time, &err) < 0)
		bl_container_tell(container, err.msg);
	bl_loop_unwatch(containers->loop, &container->death);
	bl_cleanup_fd(&container->pidfd);
	container->pidfd = -1;
	bl_late_free(TAKE_PTR(container->late));
	container->state = BL_CONTAINER_ENDED;
	bl_container_tell(container, "its process has ended");
	bl_container_answer_waiters(container);
	/* What is on its way for it goes on for as long as its lease still protects. */
	bl_loop_after(containers->loop, &container->grace, containers->config->lease_grace * 1000,
		      grace_over, container);
}

static void process_died(struct bl_watch *watch, uint32_t events)
{
	(void)events;
	end_container(watch->data);
}

int bl_container_watch(struct bl_container *container, struct bl_err *err)
{
	return bl_loop_watch(container->containers->loop, &container->death, container->pidfd,
			     EPOLLIN, process_died, container, err);
}

/* ---- Making one ---- */

struct bl_container *bl_container_new(struct bl_containers *containers,
				      const struct bl_container_request *request,
				      struct bl_err *err)
{
	struct bl_container *container = calloc(1, sizeof(*container));
	int r;

	if (!container) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	*container = (struct bl_container){
		.containers = containers,
		.next = containers->first,
		.pid = request->pid,
		.start_time = request->start_time,
		.pidfd = -1,
		.death = BL_WATCH_INIT,
		.id = strdup(request->id),
		.tenant = strdup(request->tenant),
		.name = request->name ? strdup(request->name) : NULL,
		.bundle = request->bundle ? strdup(request->bundle) : NULL,
		.since = bl_loop_now(),
	};
	if (container->next)
		container->next->prev = container;
	containers->first = container;
	containers->count++;
	if (container->id) {
		struct bl_container **bucket = bucket_of(containers, container->id);

		container->next_of_id = *bucket;
		*bucket = container;
	}
	r = container->id && container->tenant
		    ? bl_container_set_weights(container, request->weights, err)
		    : bl_err_nomem(err);
	for (size_t i = 0; r == 0 && i < container->weights.count; i++) {
		container->items[i].container = container;
		container->items[i].claim.settled = bl_container_item_settled;
		container->items[i].claim.data = &container->items[i];
	}
	if (r < 0) {
		free_container(container);
		return NULL;
	}
	return container;
}

struct bl_container *bl_containers_find(struct bl_containers *containers, const char *id)
{
	struct bl_container *ended = NULL;

	for (struct bl_container *at = *bucket_of(containers, id); at; at = at->next_of_id) {
		if (strcmp(at->id, id) != 0)
			continue;
		if (at->state != BL_CONTAINER_ENDED)
			return at;
		if (!ended)
			ended = at;
	}
	return ended;
}

int bl_container_conflict(struct bl_problem *problem, const char *detail)
{
	*problem = (struct bl_problem){.status = 409, .class = "conflict"};
	(void)snprintf(problem->detail, sizeof(problem->detail), "%s", detail);
	return -EEXIST;
}

static int check_request(const struct bl_container_request *request, struct bl_problem *problem)
{
	const char *what = NULL;

	if (!bl_container_is_id(request->id))
		what = "the container's id must be letters, digits and any of _.-+,:@, at most "
		       "255, "
		       "and begin with no dot";
	else if (!bl_weights_is_tenant(request->tenant))
		what = "tenant must be letters and digits, and any of _.- between them, at most "
		       "253";
	else if (request->pid < 1)
		what = "pid must be a process's number";
	if (!what)
		return 0;
	*problem = (struct bl_problem){.status = 400, .class = "request"};
	(void)snprintf(problem->detail, sizeof(problem->detail), "%s", what);
	return -EINVAL;
}

int bl_containers_put(struct bl_containers *containers, const struct bl_container_request *request,
		      struct bl_container **ret, struct bl_problem *problem)
{
	struct bl_container *old = bl_containers_find(containers, request->id);
	struct bl_container *container;
	struct bl_err err = {0};
	auto_fd pidfd = -1;
	int r = check_request(request, problem);

	if (r < 0)
		return r;
	pidfd = bl_container_open_process(request->pid, request->start_time);
	if (pidfd < 0 && pidfd != -ESRCH) {
		bl_problem_set(problem, BL_JOB_INTERNAL,
			       "look at the container's process: %s; try again", strerror(-pidfd));
		return pidfd;
	}
	if (pidfd < 0)
		return bl_container_conflict(
			problem, "the container's process is not there (any more); create "
				 "the container again");
	if (old && old->state != BL_CONTAINER_ENDED && is_dead(old->pidfd))
		end_container(old);
	container = bl_container_new(containers, request, &err);
	if (!container) {
		bl_problem_of(problem, &err);
		return -EINVAL;
	}
	if (old && old->state != BL_CONTAINER_ENDED) {
		bool same = old->pid == request->pid && old->start_time == request->start_time;
		bool same_body = strcmp(old->body, container->body) == 0;

		free_container(container);
		if (!same)
			return bl_container_conflict(
				problem, "a living container has that id; remove it first");
		if (!same_body)
			return bl_container_conflict(
				problem, "that container has already asked for something "
					 "else; create it anew");
		*ret = old;
		return bl_container_join(old, problem);
	}
	container->pidfd = TAKE_FD(pidfd);
	r = bl_container_start(container, problem);
	if (r < 0) {
		free_container(container);
		return r;
	}
	if (container->state == BL_CONTAINER_READY)
		bl_container_count_wait(container);
	bl_container_tell(container,
			  container->state == BL_CONTAINER_READY ? "ready at once" : "pending");
	*ret = container;
	return 0;
}

void bl_containers_release(struct bl_containers *containers, const char *id)
{
	struct bl_container *container = bl_containers_find(containers, id);

	if (container && container->state != BL_CONTAINER_ENDED && is_dead(container->pidfd))
		end_container(container);
}

void bl_containers_done(struct bl_containers *containers)
{
	while (containers->first)
		free_container(containers->first);
}
