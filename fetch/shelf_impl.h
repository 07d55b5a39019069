/* SPDX-License-Identifier: Apache-2.0 */
/* A shelf's inside, shared by shelf.c (from a partial file to its name) and shelf_settle.c (durability). */
#ifndef BL_FETCH_SHELF_IMPL_H
#define BL_FETCH_SHELF_IMPL_H

#include <fcntl.h>

#include "fetch/shelf.h"

#define BL_SHELF_UNSETTLED  "unsettled"	       /* there until all that was published is synced */
#define BL_SHELF_SYNC_ALONE (INT64_C(4) << 20) /* bytes from which a file is synced by itself */

/* Whatever stands there, to open it holds nobody up. */
#define BL_SHELF_READ (O_RDONLY | O_NONBLOCK | O_NOCTTY)

/* -errno `r` kept us from doing `what` with `path` below DIR: says so, and what mends it. Returns r. */
int bl_shelf_explain(int r, const struct bl_shelf *shelf, const char *what, const char *path,
		     struct bl_err *err);

#endif
