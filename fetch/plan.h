/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ballast-fetch plan`: lists what would be brought, and what the patterns say of every file.
 */
#ifndef BL_FETCH_PLAN_H
#define BL_FETCH_PLAN_H

struct bl_err;

/* Prints to stdout. Returns the exit status or a negative errno. */
int bl_plan_run(int argc, char **argv, struct bl_err *err);

#endif
