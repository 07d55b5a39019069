/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a container as an OCI runtime hands it to its hooks on standard input (runtime
 * specification, "State"), and what runtimes make of it: runc, crun, youki, and above them CRI-O,
 * containerd and Podman.
 */
#ifndef BL_STATE_H
#define BL_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/json.h"

struct bl_err;

/* Texts are borrowed from json. */
struct bl_state {
	bl_json *json; /* owned */
	const char *id;
	pid_t pid; /* 0 where there is none (any more) */
	bool stopped;
	const char *bundle;	    /* absolute; "/" or NULL where there is none */
	const char *root;	    /* the root file system, where the runtime says it */
	const bl_json *annotations; /* an object, or NULL */
};

void bl_state_done(struct bl_state *state);
#define auto_state __attribute__((cleanup(bl_state_done))) struct bl_state

/* Parses and checks. BL_EX_CONFIG. */
int bl_state_parse(const char *text, size_t len, struct bl_state *ret, struct bl_err *err);

/* Whether there is a bundle with a config.json in it. */
bool bl_state_has_bundle(const struct bl_state *state);

#endif
