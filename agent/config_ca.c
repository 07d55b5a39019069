// SPDX-License-Identifier: Apache-2.0
/*
 * Whether ca_file can be of use: found out when the agent starts, and not as a TLS error of every
 * download. What the certificates say is for the fetch process alone to read.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/config.h"
#include "agent/spawn.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define CA_MAX (16U * 1024 * 1024) /* bytes; the authorities of a distribution have a quarter MiB */

/* Whether a line of the text begins with any of the forms that OpenSSL reads. */
static bool has_certificate(const char *text, size_t len)
{
	static const char *const begins[] = {
		"-----BEGIN CERTIFICATE-----",
		"-----BEGIN TRUSTED CERTIFICATE-----",
		"-----BEGIN X509 CERTIFICATE-----",
	};
	const char *end = text + len;

	for (const char *line = text; line && line < end;) {
		const char *next = memchr(line, '\n', (size_t)(end - line));

		for (size_t i = 0; i < sizeof(begins) / sizeof(*begins); i++)
			if ((size_t)(end - line) >= strlen(begins[i]) &&
			    memcmp(line, begins[i], strlen(begins[i])) == 0)
				return true;
		line = next ? next + 1 : NULL;
	}
	return false;
}

/* In a process of its own, as downloads are: what they may open, with all that lies on the way. */
static int open_as(uid_t uid, gid_t gid, const char *path)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int fd;

		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 ||
		    setresuid(uid, uid, uid) < 0)
			_exit(0); /* no download will start either, and says why */
		fd = bl_sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
		_exit(fd < 0 ? -fd : 0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

static int check_reader(const char *path, struct bl_err *err)
{
	uid_t uid;
	gid_t gid;
	int r;

	if (geteuid() != 0)
		return 0;
	bl_spawn_user(&uid, &gid);
	r = open_as(uid, gid, path);
	return r < 0 ? bl_err_config(err,
				     "'%s' cannot be opened by uid %u, as whom downloads run: %s; "
				     "let it be "
				     "readable, and the directories above it open, to all",
				     path, (unsigned)uid, strerror(-r))
		     : 0;
}

/* Fetch processes are not root's. */
static int check_mode(const char *path, const struct stat *st, struct bl_err *err)
{
	if (!S_ISREG(st->st_mode))
		return bl_err_config(err, "'%s' is no regular file", path);
	if (geteuid() == 0 && st->st_uid == 0 && (st->st_mode & (S_IRWXG | S_IRWXO)) == 0)
		return bl_err_config(err,
				     "'%s' has mode %04o, and downloads do not run as root: chmod "
				     "0644 it",
				     path, st->st_mode & 07777U);
	return 0;
}

int bl_config_check_ca(const char *path, struct bl_err *err)
{
	/* O_NONBLOCK: a FIFO in the place of the file must not hold us up. */
	auto_fd fd = bl_sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	auto_buf text = BL_BUF_INIT(CA_MAX);
	struct stat st;
	int r = fd < 0 ? fd : bl_sys_fstat(fd, &st);

	if (r < 0)
		return bl_err_config(err, "'%s': %s", path, strerror(-r));
	r = check_mode(path, &st, err);
	if (r < 0)
		return r;
	r = bl_buf_read(&text, fd, err);
	if (r == -EFBIG)
		return bl_err_config(err, "'%s' is longer than %u MiB", path, CA_MAX >> 20);
	if (r < 0)
		return bl_err_config(err, "'%s': %s", path, strerror(-r));
	if (!has_certificate(bl_buf_str(&text), text.len))
		return bl_err_config(err,
				     "'%s' holds no certificate: no line of it begins with "
				     "-----BEGIN CERTIFICATE-----; one in DER is converted by "
				     "openssl x509 -inform der",
				     path);
	return check_reader(path, err);
}
