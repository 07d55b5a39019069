/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers: who has asked for weights, what became of it, and the lease that protects it. A
 * container is (boot id, pid, start_time); its id is a label. Its lease is on disk before anybody
 * is told of it, lasts until its process is dead (pidfd), and protects for lease_grace more.
 */
#ifndef BL_AGENT_CONTAINERS_H
#define BL_AGENT_CONTAINERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/http.h"
#include "agent/loop.h"
#include "agent/work.h"
#include "common/json.h"
#include "common/weights.h"

struct bl_config;
struct bl_container;
struct bl_err;
struct bl_late;
struct bl_store;

enum bl_container_state {
	BL_CONTAINER_PENDING, /* something is on its way */
	BL_CONTAINER_READY,
	BL_CONTAINER_FAILED, /* `problem` says why; another PUT tries again */
	BL_CONTAINER_ENDED,  /* its process is dead; the grace runs */
};

/* One weights item of a container. */
struct bl_container_item {
	struct bl_container *container;
	struct bl_claim claim;
	bool ready, held; /* the tree is there; it is held until the lease has it */
	struct bl_digest tree;
};

struct bl_container {
	struct bl_containers *containers;
	struct bl_container *prev, *next;
	struct bl_container *next_of_id;   /* in its bucket */
	char *id, *tenant, *name, *bundle; /* name and bundle may be NULL */
	pid_t pid;
	uint64_t start_time;
	char *body; /* canonical: what makes a second PUT the same */
	bl_json *list;
	struct bl_weights weights;
	struct bl_container_item *items;
	enum bl_container_state state;
	bool leased; /* the lease on disk names every tree */
	struct bl_problem problem;
	int pidfd;
	struct bl_watch death;
	struct bl_timer grace;
	struct bl_waiters waiters;
	struct bl_late *late;	 /* or NULL: its shim waits at the gate */
	const bl_json *deferred; /* borrowed while it is restored: what `late` will be made of */
	uint64_t since;		 /* when it was asked for, ms of bl_loop_now() */
};

/* How long containers waited, from their first request to ready. */
#define BL_WAIT_BUCKETS 10
struct bl_wait_histogram {
	uint64_t counts[BL_WAIT_BUCKETS], count, sum_ms;
};
extern const struct bl_wait_bound {
	uint64_t ms;
	const char *name; /* in seconds */
} bl_wait_bounds[BL_WAIT_BUCKETS];

#define BL_CONTAINER_BUCKETS 1024

struct bl_containers {
	struct bl_loop *loop;
	struct bl_store *store;
	struct bl_works *works;
	const struct bl_config *config;
	struct bl_container *first;
	struct bl_container *buckets[BL_CONTAINER_BUCKETS]; /* by id, the newest first */
	size_t count;
	struct bl_wait_histogram waits;
	/* Tells of something worth a line in the log. */
	void (*tell)(const struct bl_container *container, const char *what);
};

/* Takes up the leases on disk: living ones go on, the others end. */
int bl_containers_restore(struct bl_containers *containers, struct bl_err *err);
/* Forgets all, without ending any lease. */
void bl_containers_done(struct bl_containers *containers);

/* What a PUT says. Everything is borrowed. */
struct bl_container_request {
	const char *id, *tenant, *name, *bundle;
	pid_t pid;
	uint64_t start_time;
	const bl_json *weights; /* the list */
};

/*
 * The container of the request: joined, or made, with its lease on disk. The failure's problem is
 * for the client: 400 (malformed), 409 (another body, a living process under that id, or a process
 * that is not there), 5xx.
 */
int bl_containers_put(struct bl_containers *containers, const struct bl_container_request *request,
		      struct bl_container **ret, struct bl_problem *problem);

/* The one of that id that lives, else the one that ended last; NULL. */
struct bl_container *bl_containers_find(struct bl_containers *containers, const char *id);

/*
 * Its hook has left placeholders and gone: `mounts` is what it says of them. 400, 409 (something
 * else was registered, or the container has ended), 5xx.
 */
int bl_containers_defer(struct bl_container *container, const bl_json *mounts,
			struct bl_problem *problem);

/* Ends its lease if its process is dead; else nothing happens. */
void bl_containers_release(struct bl_containers *containers, const char *id);

/* What GET says of it; the caller's. NULL when memory ran out. */
bl_json *bl_containers_describe(const struct bl_container *container);

const char *bl_containers_state_name(enum bl_container_state state);

#endif
