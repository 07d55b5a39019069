/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ballast-fetch pull`: brings a source into a directory, without an agent.
 */
#ifndef BL_FETCH_PULL_H
#define BL_FETCH_PULL_H

struct bl_err;

/* Returns the exit status or a negative errno. */
int bl_pull_run(int argc, char **argv, struct bl_err *err);

#endif
