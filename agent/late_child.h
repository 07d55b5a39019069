/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the agent and its child of a late attach: descriptor 0 is one JSON object
 *
 *   {"pid","start_time"}                                 open the gate
 *   {"pid","start_time","empty","mounts":[...]}          attach, too; each mount is that of the defer
 *                                                        request with the "path" of its content
 *
 * and descriptor 3 a SOCK_SEQPACKET for one answer: {"mounts":[{"dev","ino"}...]} or {} with the
 * gate's descriptor (SCM_RIGHTS), or {"error","retry"}; retry: the container has not started yet.
 */
#ifndef BL_AGENT_LATE_CHILD_H
#define BL_AGENT_LATE_CHILD_H

#include <stddef.h>
#include <sys/types.h>

#define BL_LATE_MESSAGE \
	(16 * 1024 * 1024) /* bytes of an order: what a hook hands over, and a path for each */
#define BL_LATE_ANSWER (128 * 1024) /* bytes of an answer */

/* Receives one message without waiting; its descriptor, if any, goes to *ret_fd. Bytes, or <= 0. */
ssize_t bl_late_receive(int socket_fd, char *text, size_t size, int *ret_fd);

#endif
