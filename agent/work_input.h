/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fetch job is given on its descriptor 0: one JSON object (common/job.h) with the tenant's
 * own credential in it.
 */
#ifndef BL_AGENT_WORK_INPUT_H
#define BL_AGENT_WORK_INPUT_H

struct bl_buf;
struct bl_err;
struct bl_work;

#define BL_WORK_INPUT_MAX (8 * 1024 * 1024) /* an item of a request, the configuration, a secret */

/*
 * Fills the empty buffer. revision: the pin, or NULL. The secret is copied nowhere but into the
 * buffer, which the caller wipes. BL_EX_CONFIG where the credential that the item names is missing.
 */
int bl_work_input(const struct bl_work *work, const char *revision, struct bl_buf *input,
		  struct bl_err *err);

#endif
