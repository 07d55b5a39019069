/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up what the server is not to have, once and for all, and making sure of it. What was set
 * is read back by other calls than those that set it; any doubt is an error, after which the
 * caller must not run the server.
 *
 *   what              given up by                        read back by
 *   bounding set      PR_CAPBSET_DROP, what is in it     PR_CAPBSET_READ each
 *   ambient set       PR_CAP_AMBIENT_CLEAR_ALL           capget: it lies within the others;
 *                                                        PR_CAP_AMBIENT_IS_SET, what is kept
 *   groups, gid, uid  setgroups, setresgid, setresuid    getgroups, getresgid, getresuid, setfs*(-1)
 *   other sets        capset                             capget
 *   no_new_privs      PR_SET_NO_NEW_PRIVS                PR_GET_NO_NEW_PRIVS
 *   seccomp           SECCOMP_SET_MODE_FILTER            PR_GET_SECCOMP
 */
#ifndef BL_SHIM_PRIVILEGES_H
#define BL_SHIM_PRIVILEGES_H

#include <stdint.h>

struct bl_err;
struct bl_user;

struct bl_privileges {
	const struct bl_user *user;
	uint64_t keep;	    /* capabilities that the operator keeps, where the process has them */
	const void *filter; /* struct sock_filter[], or NULL */
	unsigned short filter_count;
};

/*
 * Becomes want->user and gives up all else; 0 only where every part was read back and is as wanted.
 * On an error some of it may be done: the process is to end then.
 */
int bl_privileges_drop(const struct bl_privileges *want, struct bl_err *err);

#endif
