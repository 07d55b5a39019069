// SPDX-License-Identifier: Apache-2.0
#include "shim/owned.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/sys.h"
#include "shim/user.h"
#include "shim/walk.h"

#define RESOLVE                                                             \
	(BL_RESOLVE_NO_XDEV | BL_RESOLVE_BENEATH | BL_RESOLVE_NO_SYMLINKS | \
	 BL_RESOLVE_NO_MAGICLINKS)
#define NAMED 4 /* directories at most */

struct named {
	struct stat top; /* of / */
	const char *path[NAMED];
	struct bl_walk_root roots[NAMED]; /* fd is owned */
	size_t count;
};

static void named_done(struct named *named)
{
	for (size_t i = 0; i < named->count; i++)
		bl_cleanup_fd(&named->roots[i].fd);
}

/* First components of paths that belong to the system, whatever a passwd line makes of them
 * (Debian's `daemon` lives in /usr/sbin). */
static bool is_system(const char *path)
{
	static const char *const list[] = {"bin",    "boot", "dev", "etc",  "lib", "lib32", "lib64",
					   "libx32", "proc", "run", "sbin", "sys", "usr"};
	size_t len;

	path += strspn(path, "/");
	len = strcspn(path, "/");
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
		if (strlen(list[i]) == len && memcmp(path, list[i], len) == 0)
			return true;
	return false;
}

/* An absolute path without `.` and `..` that names something below /. */
static bool is_plain(const char *path)
{
	bool named = false;

	if (path[0] != '/' || strlen(path) > BL_MAX_PATH)
		return false;
	while (*path) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		named = named || len > 0;
		path += len;
	}
	return named;
}

static int open_dir(int root, const char *path)
{
	return bl_sys_openat2(root, path + strspn(path, "/"), O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			      RESOLVE);
}

/* Makes each missing directory of path on the handle of the one above it. 0, or -errno. */
static int make_dirs(int root, const char *path)
{
	auto_fd at = bl_sys_openat2(root, ".", O_PATH | O_DIRECTORY, 0, RESOLVE);
	char name[NAME_MAX + 1];

	while (at >= 0 && *(path += strspn(path, "/"))) {
		size_t len = strcspn(path, "/");
		int next;
		int ret;

		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, len);
		name[len] = '\0';
		path += len;
		ret = bl_sys_mkdirat(at, name, 0755);
		if (ret < 0 && ret != -EEXIST)
			return ret;
		next = bl_sys_openat2(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE);
		bl_cleanup_fd(&at);
		at = next;
	}
	return at < 0 ? at : 0;
}

/* A handle of the home directory, which is made where it is missing; or -errno. */
static int open_home(int root, const char *home, bl_say_fn *say)
{
	int fd = open_dir(root, home);
	mode_t mask;
	int ret;

	if (fd != -ENOENT)
		return fd;
	mask = umask(022);
	ret = make_dirs(root, home);
	(void)umask(mask);
	if (ret < 0) {
		say("%s: the home directory cannot be made: %s", home, strerror(-ret));
		return fd;
	}
	return open_dir(root, home);
}

static void say_why_not(const char *path, int errnum, bl_say_fn *say)
{
	if (errnum == EXDEV)
		say("%s: is on a mount of its own: its owner is left as it is", path);
	else if (errnum == ELOOP || errnum == ENOTDIR)
		say("%s: is no directory, or lies behind a link: its owner is left as it is", path);
	else if (errnum != ENOENT)
		say("%s: its owner is left as it is: %s", path, strerror(errnum));
}

/* Adds a directory that is there (handle: as open_dir() gives it, and ours from here on), is not /,
 * and has not been added. */
static void add(struct named *named, int handle, const char *path, bl_say_fn *say)
{
	auto_fd fd = handle;
	struct stat st;
	int ret = fd < 0 ? fd : bl_sys_fstat(fd, &st);

	if (ret < 0) {
		say_why_not(path, -ret, say);
		return;
	}
	if (st.st_dev == named->top.st_dev && st.st_ino == named->top.st_ino)
		return;
	for (size_t i = 0; i < named->count; i++)
		if (named->roots[i].dev == st.st_dev && named->roots[i].ino == st.st_ino)
			return;
	named->path[named->count] = path;
	named->roots[named->count++] =
		(struct bl_walk_root){.fd = TAKE_FD(fd), .dev = st.st_dev, .ino = st.st_ino};
}

static void report(const char *path, const struct bl_walk_result *result,
		   const struct bl_user *user, bl_say_fn *say)
{
	if (result->first_error == EROFS)
		say("%s: the filesystem is read-only: its owner is left as it is", path);
	else if (result->failed)
		say("%s: %zu entries could not be given to uid %u: %s", path, result->failed,
		    (unsigned)user->uid, strerror(result->first_error));
	if (result->linked)
		say("%s: %zu files have a name elsewhere too: their owner is left as it is", path,
		    result->linked);
}

static void give(const struct named *named, const struct bl_user *user, bl_say_fn *say)
{
	struct bl_walk_result results[NAMED] = {0};
	struct bl_walk *walk = bl_walk_new(named->roots, named->count, user->uid, user->gid,
					   user->overrides, NULL);

	if (!walk) {
		say("owners are left as they are: out of memory");
		return;
	}
	for (size_t i = 0; i < named->count; i++)
		bl_walk_give(walk, i, &results[i]);
	for (size_t i = 0; i < named->count; i++)
		bl_walk_give_linked(walk, i, &results[i]);
	bl_walk_free(walk);
	for (size_t i = 0; i < named->count; i++)
		report(named->path[i], &results[i], user, say);
}

void bl_owned_give(const struct bl_user *user, const char *home, bl_say_fn *say)
{
	static const char *const fixed[] = {"/app", "/workspace", "/packages"};
	__attribute__((cleanup(named_done))) struct named named = {.count = 0};
	auto_fd root = bl_sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
	auto_fd at_home = -ENOENT;
	bool home_ours = is_plain(home) && !is_system(home);

	if (root < 0 || bl_sys_fstat(root, &named.top) < 0)
		return;
	if (home_ours)
		at_home = open_home(root, home, say);
	else
		say("HOME=%s: is not a directory that is given to the server's user", home);
	if (geteuid() != 0 || user->uid == 0)
		return;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		add(&named, open_dir(root, fixed[i]), fixed[i], say);
	if (home_ours)
		add(&named, TAKE_FD(at_home), home, say);
	if (named.count)
		give(&named, user, say);
}
