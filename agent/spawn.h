/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts the fetch program with nothing but what its job needs: an unprivileged user, no
 * capabilities, no way to new ones, bounded resources, an empty environment, three descriptors, the
 * job's socket and the pipe for its bytes. It can write to no file. It is alone in a process namespace:
 * it sees and signals no other process, and nothing that it may have started outlives it. It dies with
 * the agent.
 */
#ifndef BL_AGENT_SPAWN_H
#define BL_AGENT_SPAWN_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/json.h"

struct bl_err;

/* The program and whom it runs as; made once. */
struct bl_spawn {
	int program; /* O_PATH descriptor: the way to it need not be open to that user */
	uid_t uid;
	gid_t gid;
	int namespace; /* our own process namespace, to come back to */
	bool confined; /* by rules of what it can open (agent/confine.h): the kernel has such */
	const bl_json *job;	  /* borrowed: the configuration of jobs */
	struct sock_fprog filter; /* the system calls that it does without */
	bool noisy; /* its stderr is ours (for people who look for a fault), else /dev/null */
};

/* As whom fetch processes run. */
void bl_spawn_user(uid_t *ret_uid, gid_t *ret_gid);

/* Opens the program (NULL: where common/program.h finds it) and finds the user. job: the
 * configuration of jobs. */
int bl_spawn_init(struct bl_spawn *spawn, const char *program, const bl_json *job, bool noisy,
		  struct bl_err *err);
void bl_spawn_done(struct bl_spawn *spawn);

/* A running job. */
struct bl_process {
	pid_t pid;
	int pidfd;
	int input;  /* our end of its descriptor 0: a pipe, non-blocking */
	int socket; /* our end of its descriptor 3, non-blocking */
	int bytes;  /* our end of its descriptor 4, a pipe */
};

/* Starts `program job`; files: it may open the file roots. The descriptors in *ret are the caller's. */
int bl_spawn_start(const struct bl_spawn *spawn, bool files, struct bl_process *ret,
		   struct bl_err *err);

#endif
