// SPDX-License-Identifier: Apache-2.0
#include "hook/syslog.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/log.h"

#define DAEMON_ERROR   27 /* facility 3 (daemon), severity 3 (error) */
#define LINE_MAX_BYTES 1400
#define ID_MAX_BYTES   (4 * BL_MAX_CONTAINER_ID + 8)

void bl_syslog_send(const char *socket_path, const char *program, const char *text,
		    const char *container)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char escaped[LINE_MAX_BYTES];
	char id[ID_MAX_BYTES];
	char line[LINE_MAX_BYTES + ID_MAX_BYTES + 64];
	int n;

	if (fd < 0 || strlen(socket_path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, socket_path);
	(void)bl_log_escape(escaped, sizeof(escaped), text);
	(void)bl_log_escape(id, sizeof(id), container);
	n = snprintf(line, sizeof(line), "<%d>%s[%d]: %s%s%s", DAEMON_ERROR, program, (int)getpid(),
		     escaped, *id ? " container=" : "", id);
	if (n > 0 && (size_t)n < sizeof(line))
		(void)sendto(fd, line, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&address,
			     sizeof(address));
}
