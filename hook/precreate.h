/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Podman's stage precreate: a config.json comes in and goes out, with the shim in front of the
 * process. So `podman run --annotation ...` with an ordinary image needs no other option.
 */
#ifndef BL_PRECREATE_H
#define BL_PRECREATE_H

#include <stddef.h>

struct bl_buf;
struct bl_err;
struct bl_options;

/* Appends to `to` what the configuration is to be; where nothing is asked for, it is the same. */
int bl_precreate_run(const char *text, size_t len, const struct bl_options *options,
		     struct bl_buf *to, struct bl_err *err);

#endif
