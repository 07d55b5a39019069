/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the shim's parts tell a fact that is no failure (a variable that was dropped, a directory
 * that could not be given): main.c hands them this function, since it alone logs.
 */
#ifndef BL_SHIM_SAY_H
#define BL_SHIM_SAY_H

typedef void bl_say_fn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
