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

#define LINKS_MOST 40  /* as the kernel has it */
#define UPS_MOST   256 /* each ".." begins the way anew */

/*
 * The mount that a handle lies on; of the root's own its id alone, which need not be in the table. -EXDEV where
 * the table does not know it, or where it may not even be asked for what it is: the root of a FUSE mount asks
 * its daemon.
 */
static int find_mount(const struct bl_attach *place, int handle, struct bl_mount_entry *ret)
{
	uint64_t id = 0;
	int r = bl_sys_mount_id(handle, "", &id);

	if (r < 0)
		return r;
	*ret = (struct bl_mount_entry){.id = id};
	if (id == place->root_mount)
		return 0;
	return bl_mount_table_find(&place->table, id, ret) && strncmp(ret->type, "fuse", 4) != 0
		       ? 0
		       : -EXDEV;
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

/* Whether the way may lead on through a directory of that mount. */
static bool may_cross(const struct bl_attach *place, const struct bl_mount_entry *mount,
		      bool on_tmpfs)
{
	return mount->id == place->root_mount ||
	       (on_tmpfs && (strcmp(mount->type, "tmpfs") == 0 || is_of_root(place, mount)));
}

/* Where the next name begins: "." is none. */
static const char *next_name(const char *at)
{
	while (*at == '/' || (*at == '.' && (at[1] == '/' || at[1] == '\0')))
		at++;
	return at;
}

/* Puts where the link leads before `rest`, after the part of path[PATH_MAX] that has been walked. */
static int put_link(char *path, size_t walked, int link, const char *rest)
{
	char text[PATH_MAX];
	char whole[2 * PATH_MAX];
	ssize_t n = bl_sys_readlinkat(link, "", text, sizeof(text) - 1);
	int len;

	if (n <= 0)
		return n < 0 ? (int)n : -ENOENT;
	text[n] = '\0';
	len = snprintf(whole, sizeof(whole), "%.*s/%s/", text[0] == '/' ? 0 : (int)walked, path,
		       text);
	if ((size_t)len + strlen(rest) >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(whole + len, rest, strlen(rest) + 1);
	memcpy(path, whole, (size_t)len + strlen(rest) + 1);
	return 0;
}

/* Takes the last name that has been walked, and the ".." behind it, out of the path. */
static void go_up(char *path, size_t walked, const char *rest)
{
	while (walked > 0 && path[walked - 1] != '/')
		walked--;
	while (walked > 0 && path[walked - 1] == '/')
		walked--;
	path[walked] = '/';
	memmove(path + walked + 1, rest, strlen(rest) + 1);
}

/*
 * Goes along path[PATH_MAX] name by name. -ELOOP where a link was met and -EAGAIN where a ".." was: the
 * path is then as that makes it, to be walked from its beginning.
 */
static int walk(const struct bl_attach *place, char *path, bool on_tmpfs)
{
	auto_fd here =
		bl_sys_openat2(place->root, ".", O_PATH | O_DIRECTORY, 0, BL_RESOLVE_BENEATH);
	size_t walked = 0;

	while (here >= 0) {
		size_t from = (size_t)(next_name(path + walked) - path);
		size_t len = strcspn(path + from, "/");
		const char *rest = next_name(path + from + len);
		char name[NAME_MAX + 1];
		struct bl_mount_entry mount;
		auto_fd next = -1;
		struct stat st;
		int r;

		if (len == 0)
			break;
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path + from, len);
		name[len] = '\0';
		if (strcmp(name, "..") == 0) {
			go_up(path, walked, rest);
			return -EAGAIN;
		}
		next = bl_sys_openat2(here, name, O_PATH | O_NOFOLLOW, 0,
				      BL_RESOLVE_BENEATH | BL_RESOLVE_NO_MAGICLINKS);
		r = next < 0 ? next : find_mount(place, next, &mount);
		if (r == 0)
			r = bl_sys_fstat(next, &st);
		if (r == 0 && S_ISLNK(st.st_mode)) {
			r = put_link(path, walked, next, rest);
			return r < 0 ? r : -ELOOP;
		}
		if (r == 0 && *rest && !may_cross(place, &mount, on_tmpfs))
			r = -EXDEV;
		if (r < 0)
			return r;
		bl_cleanup_fd(&here);
		here = TAKE_FD(next);
		walked = from + len;
	}
	return TAKE_FD(here);
}

int bl_attach_cross(const struct bl_attach *place, const char *location, bool on_tmpfs)
{
	char path[PATH_MAX];
	int links = 0;
	int ups = 0;
	int r;

	if ((size_t)snprintf(path, sizeof(path), "%s", location) >= sizeof(path))
		return -ENAMETOOLONG;
	do
		r = walk(place, path, on_tmpfs);
	while ((r == -EAGAIN && ++ups < UPS_MOST) || (r == -ELOOP && ++links < LINKS_MOST));
	return r == -EAGAIN ? -ELOOP : r;
}
