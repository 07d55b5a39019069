// SPDX-License-Identifier: Apache-2.0
#include "common/mount.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define PLACEHOLDER_FILE  "empty"
#define PLACEHOLDER_BYTES 4096
/* A tmpfs counts pages, also for directory entries: a few more than the content. */
#define TMPFS_SPARE  65536
#define TMPFS_INODES "1024"

int bl_mount_err(struct bl_err *err, int errnum, const char *call)
{
	if (errnum == ENOSYS || errnum == EPERM || errnum == EOPNOTSUPP)
		return bl_err_set(err, BL_EX_REFUSED, errnum,
				  "%s: %s; Linux 5.12 or later is needed, and nothing weaker is "
				  "used in its place",
				  call, strerror(errnum));
	return bl_err_sys(err, errnum, "%s", call);
}

/* ---- Trees and files of the agent ---- */

/* Opens a path of the agent's answer; it must be as the agent publishes: root's, nobody else's. */
static int open_published(const char *path, bool directory, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat2(AT_FDCWD, path, O_PATH | (directory ? O_DIRECTORY : O_NOFOLLOW),
				    0, BL_RESOLVE_NO_SYMLINKS | BL_RESOLVE_NO_MAGICLINKS);
	struct stat st;
	int r;

	if (fd == -ENOSYS || fd == -EPERM)
		return bl_mount_err(err, -fd, "openat2");
	if (fd == -ELOOP)
		return bl_err_refuse(err, "'%s': a symbolic link is in the agent's path", path);
	if (fd < 0)
		return bl_err_sys(err, -fd, "open '%s'", path);
	r = bl_sys_fstat(fd, &st);
	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s'", path);
	if (directory ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode))
		return bl_err_refuse(err, "'%s' of the agent's answer is no %s", path,
				     directory ? "directory" : "regular file");
	if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return bl_err_refuse(err,
				     "'%s' of the agent's answer can be written by others "
				     "than root",
				     path);
	return TAKE_FD(fd);
}

static uint64_t attributes(bool exec)
{
	return BL_MOUNT_RDONLY | BL_MOUNT_NOSUID | BL_MOUNT_NODEV | (exec ? 0 : BL_MOUNT_NOEXEC);
}

/* A detached clone of what the handle is, with our attributes. */
static int clone_of(int handle, bool exec, struct bl_err *err)
{
	auto_fd mount = bl_sys_open_tree_clone(handle, "", false);
	int r;

	/* Kernels that take no clone of what is not mounted anywhere yet: one file of our overlay. */
	if (mount == -EINVAL)
		return bl_err_refuse(err,
				     "this kernel cannot mount one file of a file system of its "
				     "own: let the source be a directory, or use a newer "
				     "kernel");
	if (mount < 0)
		return bl_mount_err(err, -mount, "open_tree");
	r = bl_sys_mount_setattr(mount, attributes(exec), 0, false);
	return r < 0 ? bl_mount_err(err, -r, "mount_setattr") : TAKE_FD(mount);
}

/* A layer as a path: by its descriptor, so that no name is resolved again nor shown inside. */
static void layer_path(char *to, size_t size, int fd)
{
	(void)snprintf(to, size, "/proc/self/fd/%d", fd);
}

/* An overlay of two lower layers and no upper: a superblock that no remount makes writable. */
static int overlay_of(int tree, int empty, bool exec, struct bl_err *err)
{
	auto_fd fs = bl_sys_fsopen("overlay");
	char layer[2][32];
	char lower[80];
	int mount;
	int r;

	if (fs < 0)
		return bl_mount_err(err, -fs, "fsopen overlay");
	layer_path(layer[0], sizeof(layer[0]), tree);
	layer_path(layer[1], sizeof(layer[1]), empty);
	(void)snprintf(lower, sizeof(lower), "%s:%s", layer[0], layer[1]);
	r = bl_sys_fsconfig_string(fs, "source", BL_MOUNT_NAME);
	if (r == 0)
		r = bl_sys_fsconfig_string(fs, "lowerdir", lower);
	if (r == 0)
		r = bl_sys_fsconfig_create(fs);
	if (r < 0)
		return bl_mount_err(err, -r, "fsconfig overlay");
	mount = bl_sys_fsmount(fs, (unsigned)attributes(exec));
	return mount < 0 ? bl_mount_err(err, -mount, "fsmount overlay") : mount;
}

/* The directory part of an absolute path of the agent. */
static int parent_of(const char *path, char *to, size_t size, const char **name, struct bl_err *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash && slash > path ? (size_t)(slash - path) : 0;

	if (len == 0 || len >= size || !slash[1])
		return bl_err_refuse(err, "'%s' of the agent's answer is no file in a tree", path);
	memcpy(to, path, len);
	to[len] = '\0';
	*name = slash + 1;
	return 0;
}

static int build_superblock(const struct bl_mount_source *source, struct bl_err *err)
{
	bool file = source->kind == BL_MOUNT_FILE;
	char directory[4096];
	const char *name = NULL;
	auto_fd tree = -1;
	auto_fd empty = -1;
	auto_fd overlay = -1;
	auto_fd inside = -1;
	int r = file ? parent_of(source->path, directory, sizeof(directory), &name, err) : 0;

	if (r < 0)
		return r;
	if (!source->empty)
		return bl_err_refuse(err, "the container may remount (CAP_SYS_ADMIN or "
					  "CAP_DAC_READ_SEARCH), and the agent names no empty "
					  "directory to build a read-only file system with");
	tree = open_published(file ? directory : source->path, true, err);
	empty = tree < 0 ? -1 : open_published(source->empty, true, err);
	if (tree < 0 || empty < 0)
		return tree < 0 ? tree : empty;
	overlay = overlay_of(tree, empty, source->exec, err);
	if (overlay < 0 || !file)
		return overlay < 0 ? overlay : TAKE_FD(overlay);
	inside = bl_sys_openat2(overlay, name, O_PATH | O_NOFOLLOW, 0,
				BL_RESOLVE_BENEATH | BL_RESOLVE_NO_SYMLINKS);
	if (inside < 0)
		return bl_err_sys(err, -inside, "open '%s'", source->path);
	return clone_of(inside, source->exec, err);
}

int bl_mount_build(const struct bl_mount_source *source, struct bl_err *err)
{
	auto_fd handle = open_published(source->path, source->kind == BL_MOUNT_DIRECTORY, err);

	if (handle < 0)
		return handle;
	if (source->superblock)
		return build_superblock(source, err);
	return clone_of(handle, source->exec, err);
}

/* ---- File systems of our own ---- */

static int configure_tmpfs(int fs, size_t bytes, const char *label)
{
	char size[32];
	int r;

	(void)snprintf(size, sizeof(size), "%zu", bytes + TMPFS_SPARE);
	r = bl_sys_fsconfig_string(fs, "source", BL_MOUNT_NAME);
	if (r == 0)
		r = bl_sys_fsconfig_string(fs, "size", size);
	if (r == 0)
		r = bl_sys_fsconfig_string(fs, "nr_inodes", TMPFS_INODES);
	if (r == 0)
		r = bl_sys_fsconfig_string(fs, "mode", "0755");
	if (r == 0 && label && *label)
		r = bl_sys_fsconfig_string(fs, "context", label);
	return r < 0 ? r : bl_sys_fsconfig_create(fs);
}

int bl_mount_tmpfs(size_t bytes, const char *label, struct bl_err *err)
{
	auto_fd fs = bl_sys_fsopen("tmpfs");
	int mount;
	int r;

	if (fs < 0)
		return bl_mount_err(err, -fs, "fsopen tmpfs");
	r = configure_tmpfs(fs, bytes, label);
	if (r < 0)
		return bl_mount_err(err, -r, "fsconfig tmpfs");
	mount = bl_sys_fsmount(fs, BL_MOUNT_NOSUID | BL_MOUNT_NODEV);
	return mount < 0 ? bl_mount_err(err, -mount, "fsmount tmpfs") : mount;
}

int bl_mount_seal(int mount, bool exec, struct bl_err *err)
{
	auto_fd fs = bl_sys_fspick(mount);
	int r;

	if (fs < 0)
		return bl_mount_err(err, -fs, "fspick");
	r = bl_sys_fsconfig_flag(fs, "ro");
	if (r == 0)
		r = bl_sys_fsconfig_reconfigure(fs);
	if (r < 0)
		return bl_mount_err(err, -r, "fsconfig");
	r = bl_sys_mount_setattr(mount, attributes(exec), 0, false);
	return r < 0 ? bl_mount_err(err, -r, "mount_setattr") : 0;
}

int bl_mount_placeholder(enum bl_mount_kind kind, const char *label, struct bl_err *err)
{
	auto_fd mount = bl_mount_tmpfs(PLACEHOLDER_BYTES, label, err);
	auto_fd file = -1;
	int r;

	if (mount < 0)
		return mount;
	if (kind == BL_MOUNT_FILE) {
		file = bl_sys_openat(mount, PLACEHOLDER_FILE,
				     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444);
		if (file < 0)
			return bl_err_sys(err, -file, "create a placeholder");
		bl_cleanup_fd(&file);
		file = bl_sys_openat(mount, PLACEHOLDER_FILE, O_PATH | O_NOFOLLOW, 0);
		if (file < 0)
			return bl_err_sys(err, -file, "open a placeholder");
	}
	r = bl_mount_seal(mount, false, err);
	if (r < 0)
		return r;
	return kind == BL_MOUNT_FILE ? clone_of(file, false, err) : TAKE_FD(mount);
}
