/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system calls that a fetch process does without: what would let it start other processes,
 * look into them, change namespaces or mounts, or reach the parts of the kernel that trouble comes
 * from. Compiled once by libseccomp; the child only has to apply it.
 */
#ifndef BL_AGENT_FILTER_H
#define BL_AGENT_FILTER_H

struct bl_err;
struct sock_fprog;

/* The program is the caller's: bl_filter_free(). */
int bl_filter_build(struct sock_fprog *ret, struct bl_err *err);
void bl_filter_free(struct sock_fprog *filter);

#endif
