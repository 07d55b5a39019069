// SPDX-License-Identifier: Apache-2.0
#include "agent/listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define BACKLOG 1024

/* Whether somebody answers at the address. */
static bool is_alive(const struct sockaddr_un *address)
{
	auto_fd fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* EAGAIN: there is a queue, and it is full. */
	return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
			   errno == EAGAIN);
}

/*
 * Holds the socket's name against another agent that starts just now. A file of root's alone beside it is
 * locked: a directory can be locked, and kept, by whoever may read it.
 */
static int lock_name(const char *path, struct bl_err *err)
{
	char name[PATH_MAX];
	struct stat st;
	auto_fd fd = -1;
	int r;

	(void)snprintf(name, sizeof(name), "%s.lock", path);
	fd = bl_sys_openat(AT_FDCWD, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
			   0600);
	if (fd < 0)
		return bl_err_sys(err, -fd, "open '%s'", name);
	r = bl_sys_fstat(fd, &st);
	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s'", name);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return bl_err_refuse(err, "'%s' is not ours alone: remove it", name);
	if (flock(fd, LOCK_EX) < 0)
		return bl_err_sys(err, errno, "lock '%s'", name);
	return TAKE_FD(fd);
}

/* Makes the socket's directory, then locks its name. */
static int lock_directory(const char *path, struct bl_err *err)
{
	auto_free char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	auto_fd fd = -1;
	bool made;
	int r;

	if (!copy)
		return bl_err_nomem(err);
	if (!slash)
		return bl_err_config(err, "--socket: '%s' is no absolute path", path);
	*slash = '\0';
	r = bl_sys_mkdirat(AT_FDCWD, *copy ? copy : "/", 0755);
	made = r >= 0;
	if (r == -ENOENT)
		return bl_err_config(
			err, "--socket: '%s' is in no directory that is there: make it first",
			copy);
	if (r < 0 && r != -EEXIST)
		return bl_err_sys(err, -r, "create '%s'", copy);
	fd = bl_sys_openat(AT_FDCWD, *copy ? copy : "/", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return bl_err_sys(err, -fd, "open '%s'", copy);
	/* Whatever the umask: who may use the socket is for the socket's own mode to say. */
	r = made ? bl_sys_fchmod(fd, 0755) : 0;
	if (r < 0)
		return bl_err_sys(err, -r, "chmod '%s'", copy);
	return lock_name(path, err);
}

/* Removes what a dead agent left; what is no socket is somebody's file, and the option a mistake. */
static int remove_socket(const char *path, struct bl_err *err)
{
	struct stat st;
	int r = bl_sys_fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW);

	if (r == 0 && !S_ISSOCK(st.st_mode))
		return bl_err_config(err,
				     "--socket: '%s' is there and is no socket: remove it, "
				     "or choose another path",
				     path);
	if (r == 0)
		r = bl_sys_unlinkat(AT_FDCWD, path, 0);
	return r < 0 && r != -ENOENT ? bl_err_sys(err, -r, "remove '%s'", path) : 0;
}

/* Binds; the mode is right from the first moment on. */
static int bind_socket(int fd, const struct sockaddr_un *address, gid_t group)
{
	bool grouped = group != (gid_t)-1;
	mode_t before = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	(void)umask(before);
	if (r == 0 && grouped &&
	    (chown(address->sun_path, 0, group) < 0 || chmod(address->sun_path, 0660) < 0))
		r = -errno;
	return r;
}

int bl_listen_unix(const char *path, gid_t group, struct bl_err *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_fd fd = -1;
	auto_fd lock = -1;
	int r;

	if (*path != '/' || strlen(path) >= sizeof(address.sun_path))
		return bl_err_config(err, "--socket: '%s' is no absolute path of at most %zu bytes",
				     path, sizeof(address.sun_path) - 1);
	(void)strcpy(address.sun_path, path);
	lock = lock_directory(path, err);
	if (lock < 0)
		return lock;
	if (is_alive(&address))
		return bl_err_set(err, BL_EX_REFUSED, EADDRINUSE,
				  "an agent already serves '%s'; stop it first", path);
	r = remove_socket(path, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return bl_err_sys(err, errno, "socket");
	r = bind_socket(fd, &address, group);
	if (r == 0 && listen(fd, BACKLOG) < 0)
		r = -errno;
	return r < 0 ? bl_err_sys(err, -r, "listen at '%s'", path) : TAKE_FD(fd);
}

void bl_listen_remove(const char *path, int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	auto_fd lock = lock_directory(path, NULL);

	if (lock < 0 || strlen(path) >= sizeof(address.sun_path))
		return;
	(void)strcpy(address.sun_path, path);
	/* Ours no longer listens: where the name still answers, it is another agent's. */
	(void)shutdown(fd, SHUT_RDWR);
	if (!is_alive(&address))
		(void)remove_socket(path, NULL);
}

/* getaddrinfo(3) takes a larger number for what is left of it in 16 bits. */
static bool is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= 5 && !text[digits] && strtoul(text, NULL, 10) <= UINT16_MAX;
}

int bl_listen_tcp(const char *text, struct bl_err *err)
{
	const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
				       .ai_socktype = SOCK_STREAM};
	auto_free char *host = strdup(text);
	char *port = host ? strrchr(host, ':') : NULL;
	struct addrinfo *found = NULL;
	auto_fd fd = -1;
	char *name = host;
	int r = -EINVAL;

	if (port) {
		*port++ = '\0';
		if (*host == '[' && port - host > 2 && port[-2] == ']') {
			port[-2] = '\0';
			name = host + 1;
		}
		r = is_port(port) && getaddrinfo(name, port, &hints, &found) == 0 ? 0 : -EINVAL;
	}
	if (r < 0)
		return bl_err_config(err,
				     "--metrics-listen: '%s' is no ADDR:PORT in numbers, such as "
				     "127.0.0.1:9400 or [::1]:9400",
				     text);
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
	    bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		r = bl_err_set(err, BL_EX_CONFIG, errno,
			       "--metrics-listen: '%s': %s; give an address of this host's, and a "
			       "port that nobody has",
			       text, strerror(errno));
	freeaddrinfo(found);
	return r < 0 ? r : TAKE_FD(fd);
}
