/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small acts on files that several programs need, all on handles. None follows a symbolic link in
 * the last component; bl_fs_open_beneath() follows none at all.
 */
#ifndef BL_FS_H
#define BL_FS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

struct bl_buf;
struct bl_err;

/* Opens a path below dirfd without leaving it and without any link. Returns a descriptor. */
int bl_fs_open_beneath(int dirfd, const char *path, int flags, struct bl_err *err);

/* Appends the content of a regular file (name or path below dirfd; the last component is no link)
 * to buf, whose maximum bounds it. -ENOENT is passed on as it is. */
int bl_fs_read_file(int dirfd, const char *path, struct bl_buf *buf, struct bl_err *err);

/* The same of a file that an operator or a person has named: where it is a link, as a ConfigMap's files are, what
 * that leads to. A wrong one is BL_EX_CONFIG. */
int bl_fs_read_config(const char *path, struct bl_buf *buf, struct bl_err *err);

/*
 * Makes the file `name` in dirfd hold exactly these bytes, durably and all or nothing: temporary
 * file, fsync, rename over, fsync of the directory.
 */
int bl_fs_write_file(int dirfd, const char *name, const void *data, size_t len, mode_t mode,
		     struct bl_err *err);

/* The same in the place of a file: with its mode and, where this process may give it away, its owner. */
int bl_fs_write_like(int dirfd, const char *name, const void *data, size_t len,
		     const struct stat *like, struct bl_err *err);

/* Makes the directory if it is missing and opens it (O_DIRECTORY, no link). */
int bl_fs_open_dir(int dirfd, const char *name, mode_t mode, bool create, struct bl_err *err);

/* Opens the directory `name` in dirfd ("." is that itself) to be read from its beginning, with a position of
 * its own: 0, and *ret is the caller's; or -errno. */
int bl_fs_list(int dirfd, const char *name, DIR **ret);

/* Removes name and what is beneath it, never through a link, never into another filesystem.
 * A name that is not there is success. */
int bl_fs_remove_tree(int dirfd, const char *name, struct bl_err *err);

#endif
