/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of capabilities become a mask on the host, so that the shim, which applies it, needs
 * neither names nor a library.
 */
#ifndef BL_CAPABILITIES_H
#define BL_CAPABILITIES_H

#include <stdint.h>

struct bl_err;

/* "cap_sys_nice,CAP_NET_RAW,chown" to a mask. BL_EX_CONFIG. */
int bl_capabilities_parse(const char *list, uint64_t *ret, struct bl_err *err);

#endif
