/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's listening sockets. The UNIX socket's name is taken over from an agent that has died,
 * never from one that lives.
 */
#ifndef BL_AGENT_LISTEN_H
#define BL_AGENT_LISTEN_H

#include <sys/types.h>

struct bl_err;

/*
 * A non-blocking listening socket at path, 0600, or 0660 and the group's where group is not -1.
 * The directory is made (0755) where it is missing. -EADDRINUSE where an agent answers there.
 * Returns the descriptor.
 */
int bl_listen_unix(const char *path, gid_t group, struct bl_err *err);

/* Removes the name if it is still this socket's. */
void bl_listen_remove(const char *path, int fd);

/* A non-blocking TCP socket at "ADDR:PORT" or "[ADDR6]:PORT". Returns the descriptor. */
int bl_listen_tcp(const char *address, struct bl_err *err);

#endif
