/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ballast-fetch job`: the agent's side of it is in common/job.h.
 */
#ifndef BL_FETCH_JOB_H
#define BL_FETCH_JOB_H

/*
 * Does the job that descriptor 0 describes, speaking with the agent over descriptor 3. Returns the
 * exit status; what went wrong was told to the agent, and is in *err where that was impossible.
 */
struct bl_err;
int bl_job_run(struct bl_err *err);

#endif
