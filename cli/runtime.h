/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One container in the foreground, by any OCI runtime: create, start, wait, delete. We are the
 * subreaper of the container's first process, so that its exit status and its signals are ours
 * and no runtime stands in between. The runtime's stderr is held back while it creates: what a
 * failed hook said is then told as one line and not inside the runtime's own sentence.
 */
#ifndef BL_RUNTIME_H
#define BL_RUNTIME_H

#include <signal.h>
#include <stdbool.h>

struct bl_err;

#define BL_RUNTIME_OPTIONS_MAX 32

/* In the bundle: where a runtime that would drop it (crun) is to write what hooks say. */
#define BL_RUNTIME_HOOK_STDERR "hook.stderr"

struct bl_runtime {
	const char *program;		       /* "runc" */
	char *options[BL_RUNTIME_OPTIONS_MAX]; /* global ones, before the command; NULL-terminated
						*/
	const char *bundle; /* absolute; where we are killed it is removed, too */
	const char *id;
	bool id_given; /* by the person: another container may have it */
};

/*
 * From here on signals that are the server's, or that end the run, are kept for bl_runtime_run(): whoever has
 * begun something that must be put away again calls it first. *ret: which ones.
 */
int bl_runtime_heed(sigset_t *ret, struct bl_err *err);

/*
 * heeded: what bl_runtime_heed() has given.
 * Returns the server's exit status (128 + n where a signal ended it), or -errno with *err filled:
 * the hook's exit status where it refused the container.
 */
int bl_runtime_run(const struct bl_runtime *runtime, const sigset_t *heeded, struct bl_err *err);

/* What a runtime said when it failed to create, as an error. Apart for its tests. */
int bl_runtime_explain(const char *said, struct bl_err *err);

#endif
