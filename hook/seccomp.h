/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's system call filter: everything is allowed but what a model server never needs and
 * an intruder would like (docs/custom-servers.md lists it). It comes after the runtime's own filter,
 * not instead of it. The table below is short and flat enough to be turned into BPF here: loading
 * libseccomp would cost a start more than all else that the hook does.
 */
#ifndef BL_SECCOMP_H
#define BL_SECCOMP_H

struct bl_buf;
struct bl_err;

#define BL_SECCOMP_MAX 32768 /* bytes: BPF_MAXINSNS instructions */

/*
 * Appends the program (struct sock_filter[]) for this machine's architecture; a foreign one (32-bit
 * programs, x32) is refused by it. The kernel works out once which calls are allowed whatever their
 * arguments, so the program's length costs the server nothing.
 */
int bl_seccomp_build(struct bl_buf *filter, struct bl_err *err);

#endif
