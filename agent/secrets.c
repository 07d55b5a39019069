// SPDX-License-Identifier: Apache-2.0
#include "agent/secrets.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"
#include "common/weights.h"

/* A directory or file that only root can have made, and that others cannot change. */
static int check_owner(int fd, mode_t type, mode_t forbidden, struct bl_err *err)
{
	struct stat st;
	int r = bl_sys_fstat(fd, &st);

	if (r < 0)
		return bl_err_sys(err, -r, "stat");
	if ((st.st_mode & S_IFMT) != type)
		return bl_err_config(err, "is no regular file");
	if (st.st_uid != 0)
		return bl_err_config(err, "does not belong to root; chown it");
	if (st.st_mode & forbidden)
		return bl_err_config(err, "has mode %04o; chmod it to %04o",
				     (unsigned)(st.st_mode & 07777),
				     (unsigned)(st.st_mode & 07777 & ~forbidden));
	return 0;
}

/* What another try may not meet: it says nothing of the file, or of who named it. */
static bool is_passing(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EIO;
}

/* The tenant's directory below dir; what is said of it in *err is not that there is none. */
static int open_tenant(const char *dir, const char *tenant, struct bl_err *err)
{
	auto_fd base = bl_sys_openat(AT_FDCWD, dir, O_PATH | O_DIRECTORY, 0);
	auto_fd fd = -1;
	int r;

	if (!bl_weights_is_tenant(tenant))
		return bl_err_config(err, "'%s' is no tenant's name", tenant);
	if (base < 0)
		return is_passing(base) ? bl_err_sys(err, -base, "open '%s'", dir) : base;
	fd = bl_sys_openat2(base, tenant, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
			    BL_RESOLVE_BENEATH | BL_RESOLVE_NO_SYMLINKS);
	if (fd == -ELOOP || fd == -ENOTDIR)
		return bl_err_config(err, "'%s/%s' is a link or no directory: let it be one", dir,
				     tenant);
	if (fd < 0)
		return is_passing(fd) ? bl_err_sys(err, -fd, "open '%s/%s'", dir, tenant) : fd;
	r = check_owner(fd, S_IFDIR, 022, err);
	if (r < 0) {
		bl_err_wrap(err, "'%s/%s' ", dir, tenant);
		return r;
	}
	return TAKE_FD(fd);
}

/* Opens, checks and reads; a missing file or directory leaves *err alone and is -ENOENT. */
static int read_below(const char *dir, const char *tenant, const char *name, uint64_t resolve,
		      mode_t forbidden, struct bl_buf *buf, struct bl_err *err)
{
	size_t before = buf->len;
	auto_fd at = open_tenant(dir, tenant, err);
	auto_fd fd = -1;
	int r;

	if (at < 0)
		return at;
	fd = bl_sys_openat2(at, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
			    BL_RESOLVE_BENEATH | BL_RESOLVE_NO_MAGICLINKS | resolve);
	if (fd == -ENOENT)
		return fd;
	if (fd == -ELOOP && (resolve & BL_RESOLVE_NO_SYMLINKS))
		r = bl_err_config(err, "is a link: let it be a file, a copy of what it names");
	else
		r = fd < 0 ? bl_err_sys(err, -fd, "cannot be opened")
			   : check_owner(fd, S_IFREG, forbidden, err);
	if (r == 0)
		r = bl_buf_read(buf, fd, err);
	if (r == -EFBIG)
		r = bl_err_config(
			err, "has more than %zu bytes, and is no secret: put that itself there",
			buf->max);
	if (r == 0 && memchr(buf->data ? buf->data + before : "", '\0', buf->len - before))
		r = bl_err_config(err, "holds a NUL byte");
	if (r < 0) {
		bl_err_wrap(err, "'%s/%s/%s' ", dir, tenant, name);
		if (is_passing(r))
			return r;
		if (err)
			err->code = BL_EX_CONFIG;
		return -EINVAL;
	}
	while (buf->len > before && strchr("\r\n", buf->data[buf->len - 1]))
		buf->data[--buf->len] = '\0';
	return 0;
}

int bl_secrets_read(const char *dir, const char *tenant, const char *name, struct bl_buf *buf,
		    struct bl_err *err)
{
	int r;

	if (!bl_weights_is_secret_name(name))
		return bl_err_config(err, "'%s' is no secret's name", name);
	r = read_below(dir, tenant, name, BL_RESOLVE_NO_SYMLINKS, 077, buf, err);
	if (r == -ENOENT || r == -ENOTDIR)
		return bl_err_set(err, BL_EX_CONFIG, ENOENT,
				  "secret '%s' is not on this node; an operator puts it in "
				  "'%s/%s/%s', root's and mode 0600",
				  name, dir, tenant, name);
	return r;
}

int bl_secrets_read_identity(const char *dir, const char *tenant, const char *kind,
			     struct bl_buf *buf, struct bl_err *err)
{
	int r = dir ? read_below(dir, tenant, kind, 0, 022, buf, err) : -ENOENT;

	if (r == -ENOENT || r == -ENOTDIR)
		return bl_err_config(
			err,
			"there is no %s identity token for tenant '%s'; set identity_dir "
			"in ballastd.json and project the token to <identity_dir>/%s/%s",
			kind, tenant, tenant, kind);
	return r;
}
