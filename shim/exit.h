/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exit statuses of the shim, as a shell gives them; the server's own otherwise. Errors carry
 * them in bl_err.code; any other code there is the shim's own failure.
 */
#ifndef BL_SHIM_EXIT_H
#define BL_SHIM_EXIT_H

#define BL_SHIM_FAILED	       125
#define BL_SHIM_NOT_EXECUTABLE 126
#define BL_SHIM_NOT_FOUND      127
#define BL_SHIM_SIGNALLED      128 /* + the signal's number */

#endif
