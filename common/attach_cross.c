// SPDX-License-Identifier: Apache-2.0
/*
 * Looking at what lies on another mount of the container, without asking that mount for a name. Who
 * serves it may be the tenant (a FUSE volume has its daemon in the pod), and one who never answers
 * would keep whoever asked beyond every deadline: not even SIGKILL ends that wait.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/attach.h"
#include "common/cleanup.h"
#include "common/sys.h"

#define LINKS_MOST 40 /* as the kernel has it */

/* The mount that a handle lies on; -EXDEV where the container's table does not know it. */
static int find_mount(const struct bl_attach *place, int handle, struct bl_mount_entry *ret)
{
	uint64_t id = 0;
	int r = bl_sys_mount_id(handle, "", &id);

	if (r < 0)
		return r;
	return bl_mount_table_find(&place->table, id, ret) ? 0 : -EXDEV;
}

/* Whether it may be asked even for what it is: the root of a FUSE mount asks its daemon. */
static int check_mount(const struct bl_attach *place, int handle)
{
	struct bl_mount_entry entry;
	uint64_t id = 0;
	int r = bl_sys_mount_id(handle, "", &id);

	if (r < 0 || id == place->root_mount)
		return r;
	r = find_mount(place, handle, &entry);
	return r == 0 && strncmp(entry.type, "fuse", 4) == 0 ? -EXDEV : r;
}

/*
 * Whether the mount is of the root file system: of a container that has started, a runtime has mounted parts
 * of it over themselves (linux.readonlyPaths). Then a placeholder is known by what it is.
 */
static bool is_of_root(const struct bl_attach *place, const struct bl_mount_entry *entry)
{
	struct bl_mount_entry root;

	return place->host_rootfs < 0 &&
	       bl_mount_table_find(&place->table, place->root_mount, &root) &&
	       root.major == entry->major && root.minor == entry->minor;
}

/* A tmpfs of the container that lies on this path, as a directory. */
static int open_tmpfs(const struct bl_attach *place, const char *path)
{
	struct bl_mount_entry entry;
	auto_fd fd = bl_attach_cross(place, path, false);
	int r = fd < 0 ? fd : find_mount(place, fd, &entry);

	if (r < 0)
		return r;
	if (strcmp(entry.type, "tmpfs") != 0 && !is_of_root(place, &entry))
		return -EXDEV;
	return bl_sys_openat2(fd, ".", O_PATH | O_DIRECTORY, 0,
			      BL_RESOLVE_BENEATH | BL_RESOLVE_NO_XDEV);
}

/* Cuts an absolute path in two: what is left of it is the directory, the last name is returned. */
static const char *cut_name(char *path)
{
	size_t len = strlen(path);
	char *slash;

	while (len > 1 &&
	       (path[len - 1] == '/' || (len > 2 && path[len - 1] == '.' && path[len - 2] == '/')))
		len--;
	path[len] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	return slash + 1;
}

static int open_parent(const struct bl_attach *place, const char *path, bool on_tmpfs)
{
	const char *directory = *path ? path : "/";
	int fd = bl_sys_openat2(place->root, directory, O_PATH | O_DIRECTORY, 0,
				BL_RESOLVE_IN_ROOT | BL_RESOLVE_NO_MAGICLINKS | BL_RESOLVE_NO_XDEV);

	return fd == -EXDEV && on_tmpfs ? open_tmpfs(place, directory) : fd;
}

/* Where the link leads, as a path from the container's root, in place of path[PATH_MAX]. */
static int follow(const struct bl_attach *place, int parent, int link, char *path)
{
	char text[PATH_MAX];
	char above[PATH_MAX] = "";
	ssize_t n = bl_sys_readlinkat(link, "", text, sizeof(text) - 1);
	int len;

	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	text[n] = '\0';
	if (text[0] != '/' && bl_attach_name(place, parent, above, NULL) < 0)
		return -EXDEV;
	len = snprintf(path, PATH_MAX, "%s/%s", above, text);
	return len < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int bl_attach_cross(const struct bl_attach *place, const char *location, bool on_tmpfs)
{
	char path[PATH_MAX];
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s", location) >= sizeof(path))
		return -ENAMETOOLONG;
	for (int links = 0; links < LINKS_MOST; links++) {
		const char *name = cut_name(path);
		auto_fd parent = open_parent(place, path, on_tmpfs);
		auto_fd fd =
			parent < 0
				? parent
				: bl_sys_openat2(parent, *name ? name : ".", O_PATH | O_NOFOLLOW, 0,
						 BL_RESOLVE_BENEATH | BL_RESOLVE_NO_MAGICLINKS);
		struct stat st;

		r = fd < 0 ? fd : check_mount(place, fd);
		if (r == 0)
			r = bl_sys_fstat(fd, &st);
		if (r < 0)
			return r;
		if (!S_ISLNK(st.st_mode))
			return TAKE_FD(fd);
		r = follow(place, parent, fd, path);
		if (r < 0)
			return r;
	}
	return -ELOOP;
}
