/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last line of a failure for the system's log, too: crun and Podman's precreate throw away what
 * a hook writes to standard error, and a person has to find it somewhere.
 */
#ifndef BL_SYSLOG_H
#define BL_SYSLOG_H

#define BL_SYSLOG_SOCKET "/dev/log"

/* Sends an error to the log that listens on the socket, if one does; never waits for it. `container`, if
 * it is known (else ""), is whose: nothing else in that log says so. */
void bl_syslog_send(const char *socket_path, const char *program, const char *text,
		    const char *container);

#endif
