// SPDX-License-Identifier: Apache-2.0
#include "common/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

int bl_fs_open_beneath(int dirfd, const char *path, int flags, struct bl_err *err)
{
	int fd = bl_sys_openat2(dirfd, path, flags, 0,
				BL_RESOLVE_BENEATH | BL_RESOLVE_NO_SYMLINKS |
					BL_RESOLVE_NO_MAGICLINKS);

	return fd < 0 ? bl_err_sys(err, -fd, "open '%s'", path) : fd;
}

static int read_file(int dirfd, const char *path, int flags, struct bl_buf *buf, struct bl_err *err)
{
	/* O_NONBLOCK: a FIFO in the place of the file must not hold us up. */
	auto_fd fd = bl_sys_openat(dirfd, path, O_RDONLY | flags | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;
	int r;

	if (fd < 0)
		return bl_err_sys(err, -fd, "open '%s'", path);
	r = bl_sys_fstat(fd, &st);
	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s'", path);
	if (!S_ISREG(st.st_mode))
		return bl_err_refuse(err, "'%s' is no regular file", path);
	/* As much room as it says, in one go; files of /proc say nothing. */
	if (st.st_size > 0 && (uint64_t)st.st_size <= buf->max - buf->len &&
	    !bl_buf_reserve(buf, (size_t)st.st_size, err))
		return -ENOMEM;
	r = bl_buf_read(buf, fd, err);
	if (r < 0)
		bl_err_wrap(err, "'%s': ", path);
	return r;
}

int bl_fs_read_file(int dirfd, const char *path, struct bl_buf *buf, struct bl_err *err)
{
	return read_file(dirfd, path, O_NOFOLLOW, buf, err);
}

int bl_fs_read_config(const char *path, struct bl_buf *buf, struct bl_err *err)
{
	int r = read_file(AT_FDCWD, path, 0, buf, err);

	if (r < 0 && err && r != -EIO && r != -ENOMEM)
		err->code = BL_EX_CONFIG;
	return r;
}

/* Fills the new file fd; nothing is durable yet. */
static int fill(int fd, const void *data, size_t len, const struct stat *like)
{
	int r = bl_sys_write_all(fd, data, len);

	if (like->st_uid != (uid_t)-1) /* not everybody may give a file away */
		(void)bl_sys_fchownat(fd, "", like->st_uid, like->st_gid, AT_EMPTY_PATH);
	if (r == 0)
		r = bl_sys_fchmod(fd, like->st_mode & 07777);
	return r < 0 ? r : bl_sys_fsync(fd);
}

int bl_fs_write_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		     struct bl_err *err)
{
	const struct stat like = {.st_mode = mode, .st_uid = (uid_t)-1};

	return bl_fs_write_like(dirfd, name, data, len, &like, err);
}

int bl_fs_write_like(int dirfd, const char *name, const void *data, size_t len,
		     const struct stat *like, struct bl_err *err)
{
	char temporary[NAME_MAX + 1];
	auto_fd fd = -1;
	int n;
	int r;

	n = snprintf(temporary, sizeof(temporary), ".%s.%d", name, (int)getpid());
	if (n < 0 || (size_t)n >= sizeof(temporary))
		return bl_err_sys(err, ENAMETOOLONG, "write '%s'", name);
	(void)bl_sys_unlinkat(dirfd, temporary, 0);
	fd = bl_sys_openat(dirfd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return bl_err_sys(err, -fd, "create '%s'", temporary);
	r = fill(fd, data, len, like);
	if (r == 0)
		r = bl_sys_renameat2(dirfd, temporary, dirfd, name, 0);
	if (r < 0) {
		(void)unlinkat(dirfd, temporary, 0);
		return bl_err_sys(err, -r, "write '%s'", name);
	}
	r = bl_sys_fsync(dirfd);
	return r < 0 ? bl_err_sys(err, -r, "fsync the directory of '%s'", name) : 0;
}

int bl_fs_open_dir(int dirfd, const char *name, mode_t mode, bool create, struct bl_err *err)
{
	int fd;

	if (create) {
		int r = bl_sys_mkdirat(dirfd, name, mode);

		if (r < 0 && r != -EEXIST)
			return bl_err_sys(err, -r, "create directory '%s'", name);
	}
	fd = bl_sys_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd < 0 ? bl_err_sys(err, -fd, "open directory '%s'", name) : fd;
}

/*
 * One removal. A tree may be deeper than there are descriptors, so directories that lie DEEPEST
 * below the top are lifted into it, to be removed by the next pass.
 */
struct removal {
	int top;
	dev_t device;
	unsigned lifted;
	bool again;
};

#define DEEPEST 32

static int lift(struct removal *removal, int fd, const char *name)
{
	char to[32];
	int r;

	do {
		(void)snprintf(to, sizeof(to), "lifted-%u", removal->lifted++);
		/* An empty directory of that name is replaced: it was to go anyway. */
		r = bl_sys_renameat2(fd, name, removal->top, to, 0);
	} while (r == -EEXIST || r == -ENOTEMPTY || r == -ENOTDIR);
	removal->again = true;
	return r;
}

static int remove_inside(struct removal *removal, int fd, int depth, struct bl_err *err);

/* Removes what is in the directory `name` of fd, and then itself. */
static int remove_directory(struct removal *removal, int fd, const char *name, int depth,
			    struct bl_err *err)
{
	auto_fd sub = bl_fs_open_dir(fd, name, 0, false, err);
	struct stat st;
	int r;

	if (sub < 0)
		return sub;
	r = bl_sys_fstat(sub, &st);
	if (r < 0 || st.st_dev != removal->device)
		return bl_err_sys(err, r < 0 ? -r : EXDEV, "remove '%s'", name);
	r = remove_inside(removal, sub, depth, err);
	if (r < 0)
		return r;
	r = bl_sys_unlinkat(fd, name, AT_REMOVEDIR);
	return r < 0 && r != -ENOENT ? bl_err_sys(err, -r, "remove '%s'", name) : 0;
}

int bl_fs_list(int dirfd, const char *name, DIR **ret)
{
	auto_fd fd = bl_sys_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir)
		return fd < 0 ? fd : -errno;
	(void)TAKE_FD(fd);
	*ret = dir;
	return 0;
}

/* Removes what is in the directory fd, which stays the caller's; recursion ends at DEEPEST. */
static int remove_inside(struct removal *removal, int fd, int depth, struct bl_err *err)
{
	const struct dirent *entry;
	auto_dir dir = NULL;
	int listed = bl_fs_list(fd, ".", &dir);

	if (listed < 0)
		return bl_err_sys(err, -listed, "read directory");
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;
		int r;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		r = bl_sys_unlinkat(fd, name, 0);
		if (r == 0 || r == -ENOENT)
			continue;
		if (r != -EISDIR && r != -EPERM)
			return bl_err_sys(err, -r, "remove '%s'", name);
		if (depth < DEEPEST)
			r = remove_directory(removal, fd, name, depth + 1, err);
		else if ((r = lift(removal, fd, name)) < 0)
			r = bl_err_sys(err, -r, "remove '%s'", name);
		if (r < 0)
			return r;
	}
	return 0;
}

int bl_fs_remove_tree(int dirfd, const char *name, struct bl_err *err)
{
	auto_fd fd = -1;
	struct removal removal;
	struct stat st;
	int r = bl_sys_fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s'", name);
	if (!S_ISDIR(st.st_mode)) {
		r = bl_sys_unlinkat(dirfd, name, 0);
		return r < 0 && r != -ENOENT ? bl_err_sys(err, -r, "remove '%s'", name) : 0;
	}
	fd = bl_fs_open_dir(dirfd, name, 0, false, err);
	if (fd < 0)
		return fd;
	removal = (struct removal){.top = fd, .device = st.st_dev};
	do {
		removal.again = false;
		r = remove_inside(&removal, fd, 0, err);
	} while (r == 0 && removal.again);
	if (r < 0)
		return r;
	r = bl_sys_unlinkat(dirfd, name, AT_REMOVEDIR);
	return r < 0 ? bl_err_sys(err, -r, "remove '%s'", name) : 0;
}
