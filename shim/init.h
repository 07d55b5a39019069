/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim as init: the server is its child in a process group of its own; every signal that can
 * be forwarded goes to that group (so `cd /x && server` ends on SIGTERM, shell and server alike),
 * whatever dies is reaped, and the shim ends when the server does.
 */
#ifndef BL_SHIM_INIT_H
#define BL_SHIM_INIT_H

#include <sys/types.h>

struct bl_err;

struct bl_init {
	pid_t child;
	int signals; /* owned: a signalfd; all signals are blocked */
};

/*
 * Starts server(arg) as a child in a process group of its own (the terminal's foreground one where
 * the shim was), on a stack of its own in this process's memory: it must execute something, or
 * return the status to end with, and the shim stands still until then. All signals must be blocked:
 * none is lost that way between here and the server's own handlers.
 */
int bl_init_start(struct bl_init *ret, int (*server)(void *arg), void *arg, struct bl_err *err);

/*
 * Serves until the child has ended, and, where it died of a signal that was forwarded, everything
 * else in its group. Returns its exit status, or 128 + the number of the signal that
 * it died of. Cannot fail: nobody would be left to reap and to forward.
 */
int bl_init_serve(const struct bl_init *init);

#endif
