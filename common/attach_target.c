// SPDX-License-Identifier: Apache-2.0
/*
 * Where a mount may go. A target is resolved once, to a handle; what it may be is judged on the
 * name that the kernel has for that handle, so that no link in an image leads anywhere else.
 */
#include "common/attach.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"

/* What lies on another mount is bl_attach_cross()'s. */
#define RESOLVE_INSIDE	    (BL_RESOLVE_IN_ROOT | BL_RESOLVE_NO_MAGICLINKS | BL_RESOLVE_NO_XDEV)
#define MADE_DIRECTORY_MODE 0755
#define MADE_FILE_MODE	    0444

/* ---- Forbidden places ---- */

/* Never a target, nor anything beneath. */
static const char *const forbidden_trees[] = {"/proc", "/sys", "/dev", BL_BOX_DIR, BL_BOX_SECRETS};

/* Never a target: directories that the system lives in, and files of /etc that a runtime owns. */
static const char *const forbidden_places[] = {
	"/",
	"/run",
	"/etc",
	"/etc/hosts",
	"/etc/hostname",
	"/etc/passwd",
	"/etc/group",
	"/etc/resolv.conf",
	"/etc/shadow",
	"/etc/gshadow",
	"/etc/mtab",
	"/etc/localtime",
	"/etc/timezone",
	"/etc/machine-id",
	"/etc/nsswitch.conf",
	"/etc/ld.so.preload",
	"/etc/ld.so.cache",
};

static bool is_beneath(const char *path, const char *tree)
{
	size_t len = strlen(tree);

	return strncmp(path, tree, len) == 0 && (path[len] == '\0' || path[len] == '/');
}

static bool is_ours(const char *path)
{
	return strcmp(path, BL_BOX_DIR) == 0 || strcmp(path, BL_BOX_SECRETS) == 0;
}

/* Where one of our own two places is led to by the image, nobody could choose another. */
static const char *advice(bool ours)
{
	return ours ? "take the link that leads there out of the image"
		    : "choose another directory, such as /models";
}

/* `resolved` is where it leads. Our own two places are judged by the rest of the rules. */
static int check_place(const char *resolved, bool ours, struct bl_err *err)
{
	for (size_t i = 0; i < sizeof(forbidden_trees) / sizeof(*forbidden_trees); i++)
		if (is_beneath(resolved, forbidden_trees[i]) && !(ours && is_ours(resolved)))
			return bl_err_refuse(err, "nothing may be mounted at or beneath %s; %s",
					     forbidden_trees[i], advice(ours));
	for (size_t i = 0; i < sizeof(forbidden_places) / sizeof(*forbidden_places); i++)
		if (strcmp(resolved, forbidden_places[i]) == 0)
			return bl_err_refuse(err, "nothing may be mounted on %s; %s",
					     forbidden_places[i], advice(ours));
	return 0;
}

int bl_attach_check_location(const char *location, struct bl_err *err)
{
	return check_place(location, false, err);
}

int bl_attach_name(const struct bl_attach *place, int handle, char *to, struct bl_err *err)
{
	char link[32];
	char path[PATH_MAX];
	size_t prefix = strlen(place->prefix);
	ssize_t n;

	(void)snprintf(link, sizeof(link), "fd/%d", handle);
	n = bl_sys_readlinkat(place->proc, link, path, sizeof(path) - 1);
	/* A path may be resolved that has no name of this length, seen from the host's root. */
	if (n == -ENAMETOOLONG)
		return bl_err_config(err, "with the path of the root file system before it, it is "
					  "longer than the kernel can name: choose a shorter one");
	if (n <= 0)
		return bl_err_sys(err, n < 0 ? (int)-n : ENAMETOOLONG, "name the target");
	path[n] = '\0';
	if (strncmp(path, place->prefix, prefix) != 0 || (path[prefix] && path[prefix] != '/'))
		return bl_err_refuse(err, "it leads out of the container's root file system");
	(void)snprintf(to, PATH_MAX, "%s", path[prefix] ? path + prefix : "/");
	return 0;
}

/* ---- What was made ---- */

static int remember(struct bl_attach_made **made, int parent, const char *name, bool directory,
		    struct bl_err *err)
{
	auto_free struct bl_attach_made *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return bl_err_nomem(err);
	entry->parent = bl_sys_dup(parent);
	if (entry->parent < 0)
		return bl_err_sys(err, -entry->parent, "keep a handle");
	entry->directory = directory;
	(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->before = *made;
	*made = TAKE_PTR(entry);
	return 0;
}

void bl_attach_made_done(struct bl_attach *place, bool keep)
{
	struct bl_attach_made **made = &place->made;
	bool switched = !keep && *made && bl_sys_setfsids(place->uid, place->gid) == 0;

	while (*made) {
		struct bl_attach_made *entry = *made;

		*made = entry->before;
		if (!keep)
			(void)unlinkat(entry->parent, entry->name,
				       entry->directory ? AT_REMOVEDIR : 0);
		bl_cleanup_fd(&entry->parent);
		free(entry);
	}
	if (switched)
		(void)bl_sys_setfsids(0, 0);
}

static int make_err(int errnum, const char *name, struct bl_err *err)
{
	if (errnum == EROFS)
		return bl_err_set(err, BL_EX_REFUSED, errnum,
				  "'%s' is missing and the root file system is read-only: create "
				  "the directory in the image",
				  name);
	if (errnum == EOVERFLOW)
		return bl_err_set(
			err, BL_EX_REFUSED, errnum,
			"'%s' is missing and its owner has no id in the root file system: "
			"create the directory in the image",
			name);
	if (errnum == ENOSPC || errnum == EDQUOT)
		return bl_err_set(err, BL_EX_RETRY, errnum,
				  "'%s' is missing and the root file system is full: make room, or "
				  "create the directory in the image",
				  name);
	return bl_err_sys(err, errnum, "make '%s'", name);
}

/* Makes one entry. One that is there already is as good, and is not ours to remove. */
static int make_entry(int parent, const char *name, bool directory, struct bl_attach_made **made,
		      struct bl_err *err)
{
	int r;

	if (directory) {
		r = bl_sys_mkdirat(parent, name, MADE_DIRECTORY_MODE);
	} else {
		auto_fd file = bl_sys_openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
					     MADE_FILE_MODE);
		r = file < 0 ? file : 0;
	}
	if (r == -EEXIST)
		return 0;
	if (r < 0)
		return make_err(-r, name, err);
	r = remember(made, parent, name, directory, err);
	if (r < 0)
		(void)unlinkat(parent, name, directory ? AT_REMOVEDIR : 0);
	return r;
}

/* Opens what make_entry() left, without following anything. */
static int step_into(int parent, const char *name, bool directory, struct bl_err *err)
{
	int fd =
		bl_sys_openat2(parent, name, O_PATH | O_NOFOLLOW | (directory ? O_DIRECTORY : 0), 0,
			       BL_RESOLVE_BENEATH | BL_RESOLVE_NO_SYMLINKS | BL_RESOLVE_NO_XDEV);
	struct stat st;

	/* O_PATH opens a link itself where no directory is asked for. */
	if (fd >= 0 && (bl_sys_fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))) {
		bl_cleanup_fd(&fd);
		fd = -ELOOP;
	}
	if (fd == -ELOOP || fd == -ENOTDIR)
		return bl_err_refuse(err, "'%s' in the image is a symbolic link that leads nowhere",
				     name);
	return fd < 0 ? bl_err_sys(err, -fd, "open '%s'", name) : fd;
}

/* ---- Resolving ---- */

/* Of /run/ballast or /secrets, which nobody has chosen. */
static int foreign_mount(struct bl_err *err)
{
	return bl_err_refuse(err, "it lies on a mount of the container that is no tmpfs of its "
				  "own: mount a tmpfs of the container's own there, or nothing");
}

/* What openat2's failures mean for a mount_location, or for a place of ours. */
static int resolve_err(int errnum, bool ours, struct bl_err *err)
{
	switch (errnum) {
	case EXDEV:
		if (ours)
			return foreign_mount(err);
		return bl_err_refuse(err, "it lies on another mount of the container: choose a "
					  "directory of the image, outside every volume");
	case ENOTDIR:
		return bl_err_config(err, "a part of it is no directory in the image");
	case ENAMETOOLONG:
		return bl_err_config(err,
				     "a part of it has more than %d bytes, which no file "
				     "system takes",
				     NAME_MAX);
	case ELOOP:
		return bl_err_refuse(err, "symbolic links in the image lead round in a circle, or "
					  "to a process's files");
	case ENOSYS:
	case EPERM:
		return bl_mount_err(err, errnum, "openat2");
	default:
		return bl_err_sys(err, errnum, "resolve");
	}
}

/* The longest part of location that is there; *rest is what is missing, without its slash. */
static int open_deepest(const struct bl_attach *place, const char *location, bool ours,
			const char **rest, struct bl_err *err)
{
	char path[PATH_MAX];
	size_t len = strlen(location);

	if (len >= sizeof(path))
		return bl_err_config(err, "longer than %d bytes", PATH_MAX - 1);
	memcpy(path, location, len + 1);
	for (;;) {
		int fd;

		while (len > 1 && path[len - 1] != '/')
			len--;
		while (len > 1 && path[len - 1] == '/')
			len--;
		path[len] = '\0';
		fd = bl_sys_openat2(place->root, path, O_PATH | O_DIRECTORY, 0, RESOLVE_INSIDE);
		if (fd == -EXDEV && ours)
			fd = bl_attach_cross(place, path, true);
		if (fd >= 0) {
			*rest = location + len + (len > 1 ? 1 : 0);
			return fd;
		}
		if (fd != -ENOENT || len <= 1)
			return resolve_err(-fd, ours, err);
	}
}

/* Makes every part of `rest` below the handle `at`, which it closes. Returns the last's handle. */
static int make_path(int at, const char *rest, bool directory, struct bl_attach_made **made,
		     struct bl_err *err)
{
	auto_fd here = at;

	while (*rest) {
		size_t len = strcspn(rest, "/");
		bool last = rest[len] == '\0';
		char name[NAME_MAX + 1];
		int next;
		int r;

		if (len > NAME_MAX)
			return bl_err_config(err, "a name of more than %d bytes", NAME_MAX);
		memcpy(name, rest, len);
		name[len] = '\0';
		r = make_entry(here, name, directory || !last, made, err);
		if (r < 0)
			return r;
		next = step_into(here, name, directory || !last, err);
		if (next < 0)
			return next;
		bl_cleanup_fd(&here);
		here = next;
		rest += len + (last ? 0 : 1);
	}
	return TAKE_FD(here);
}

static int make_missing(struct bl_attach *place, const struct bl_attach_item *item,
			struct bl_err *err)
{
	char resolved[PATH_MAX];
	char whole[2 * PATH_MAX];
	const char *rest = NULL;
	auto_fd deepest = open_deepest(place, item->location, item->ours, &rest, err);
	int fd;
	int r;

	if (deepest < 0)
		return deepest;
	r = bl_attach_name(place, deepest, resolved, err);
	if (r < 0)
		return r;
	/* Judged before anything is made: what is missing has no links in it. */
	(void)snprintf(whole, sizeof(whole), "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved,
		       rest);
	r = check_place(whole, item->ours, err);
	if (r < 0)
		return r;
	r = bl_sys_setfsids(place->uid, place->gid);
	if (r < 0)
		return bl_err_sys(err, -r, "take the ids of the root file system");
	fd = make_path(TAKE_FD(deepest), rest, item->kind == BL_MOUNT_DIRECTORY, &place->made, err);
	r = bl_sys_setfsids(0, 0);
	if (r < 0 && fd >= 0) {
		bl_cleanup_fd(&fd);
		return bl_err_sys(err, -r, "take the own ids again");
	}
	return fd;
}

static int check_kind(int handle, enum bl_mount_kind kind, struct bl_err *err)
{
	struct stat st;
	int r = bl_sys_fstat(handle, &st);

	if (r < 0)
		return bl_err_sys(err, -r, "stat the target");
	if (kind == BL_MOUNT_DIRECTORY && !S_ISDIR(st.st_mode))
		return bl_err_config(err, "the image has %s there, and a directory is wanted",
				     S_ISREG(st.st_mode) ? "a file" : "a special file");
	if (kind == BL_MOUNT_FILE && !S_ISREG(st.st_mode))
		return bl_err_config(err, "the image has %s there, and this source is one file",
				     S_ISDIR(st.st_mode) ? "a directory" : "a special file");
	return 0;
}

/* ---- Mounts that are there ---- */

/* The mount that a handle lies on. */
static int mount_of(const struct bl_attach *place, int handle, struct bl_mount_entry *ret,
		    struct bl_err *err)
{
	uint64_t id = 0;
	int r = bl_sys_mount_id(handle, "", &id);

	if (r < 0)
		return bl_mount_err(err, -r, "statx");
	if (bl_mount_table_find(&place->table, id, ret) == 0)
		return bl_err_refuse(err, "its mount is not in the container's mount table");
	return 0;
}

/* Whether the host has it too: what is ours in a container never is. 1 or 0. */
static int is_on_host(const struct bl_attach *place, const struct bl_mount_entry *entry,
		      struct bl_err *err)
{
	struct bl_mount_table host = BL_MOUNT_TABLE_INIT;
	auto_fd copy = bl_sys_dup(place->host_table);
	int r = copy < 0 ? bl_err_sys(err, -copy, "keep a handle")
			 : bl_mount_table_read(copy, &host, err);

	(void)lseek(place->host_table, 0, SEEK_SET);
	if (r == 0)
		r = bl_mount_table_has_device(&host, entry->major, entry->minor);
	bl_mount_table_done(&host);
	return r;
}

/* Whether what lies there is what was to be attached: ours, and read-only. */
static int is_attached(const struct bl_attach *place, const struct bl_attach_item *item, int handle,
		       struct bl_err *err)
{
	struct bl_mount_entry entry;
	struct statvfs fs;
	struct stat there;
	struct stat wanted;
	int r = mount_of(place, handle, &entry, err);

	if (r < 0)
		return r;
	r = bl_sys_fstat(handle, &there);
	if (r == 0)
		r = bl_sys_fstat(item->mount, &wanted);
	if (r == 0)
		r = bl_sys_fstatvfs(handle, &fs);
	if (r < 0)
		return bl_err_sys(err, -r, "look at the target");
	if (!(fs.f_flag & ST_RDONLY))
		return 0;
	if (there.st_dev == wanted.st_dev && there.st_ino == wanted.st_ino)
		return 1;
	if (strcmp(entry.source, BL_MOUNT_NAME) != 0)
		return 0;
	/* Anybody may call a file system so: a volume is one of the host's. */
	r = is_on_host(place, &entry, err);
	if (r != 0)
		return r < 0 ? r : 0;
	/* A late attach goes over a tmpfs of ours, and is done where an overlay of ours is. */
	return !item->late || strcmp(entry.type, "overlay") == 0;
}

static int check_shared(const struct bl_attach *place, int handle, struct bl_err *err)
{
	struct bl_mount_entry entry;
	int r = mount_of(place, handle, &entry, err);

	if (r == 0 && entry.shared)
		return bl_err_refuse(err,
				     "the mount that it lies on is shared, and would carry the "
				     "weights to the host: make the container's root "
				     "propagation private or slave");
	return r;
}

/*
 * /run/ballast and /secrets may lie on a tmpfs that is the container's alone: one that is mounted
 * whole and that the host has nowhere.
 */
static int check_ours(const struct bl_attach *place, int handle, struct bl_err *err)
{
	struct bl_mount_entry entry;
	uint64_t id = 0;
	int r = bl_sys_mount_id(handle, "", &id);

	if (r < 0)
		return bl_mount_err(err, -r, "statx");
	if (id == place->root_mount)
		return 0;
	r = mount_of(place, handle, &entry, err);
	if (r < 0)
		return r;
	if (strcmp(entry.type, "tmpfs") != 0 || strcmp(entry.root, "/") != 0)
		return foreign_mount(err);
	r = is_on_host(place, &entry, err);
	if (r == 1)
		return bl_err_refuse(err, "it lies on a tmpfs of the host: mount a tmpfs of the "
					  "container's own there, or nothing");
	return r;
}

/* ---- One target ---- */

static int open_target(struct bl_attach *place, struct bl_attach_item *item, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat2(place->root, item->location, O_PATH, 0, RESOLVE_INSIDE);
	int r;

	if (fd == -EXDEV) {
		fd = bl_attach_cross(place, item->location, item->ours || item->late);
		/* Another's mount, or our own of an earlier run? */
		r = fd < 0 || item->ours || item->late ? 1 : is_attached(place, item, fd, err);
		if (r < 0)
			return r;
		if (r == 0)
			return resolve_err(EXDEV, false, err);
		item->present = fd >= 0 && !item->ours && !item->late;
	}
	if (fd == -ENOENT && !item->late)
		return make_missing(place, item, err);
	return fd < 0 ? resolve_err(-fd, item->ours, err) : TAKE_FD(fd);
}

/* Late: exactly the placeholder that was registered, or what an attempt before has left on it. */
static int check_late(const struct bl_attach *place, struct bl_attach_item *item, int handle,
		      struct bl_err *err)
{
	struct stat st;
	int r = bl_sys_fstat(handle, &st);

	if (r < 0)
		return bl_err_sys(err, -r, "stat the target");
	if (st.st_dev == item->placeholder_dev && st.st_ino == item->placeholder_ino)
		return 0;
	r = is_attached(place, item, handle, err);
	if (r < 0)
		return r;
	item->present = r == 1;
	return item->present ? 0 : bl_err_refuse(err, "the placeholder is not there any more");
}

int bl_attach_resolve(struct bl_attach *place, struct bl_attach_item *item, struct bl_err *err)
{
	char resolved[PATH_MAX];
	auto_fd handle = -1;
	int r;

	item->present = false;
	handle = open_target(place, item, err);
	if (handle < 0)
		return handle;
	r = check_kind(handle, item->kind, err);
	if (r == 0 && item->late)
		r = check_late(place, item, handle, err);
	if (r == 0 && item->ours) {
		r = is_attached(place, item, handle, err);
		item->present = r == 1;
	}
	if (r < 0)
		return r;
	if (item->present || item->late)
		return TAKE_FD(handle);
	r = bl_attach_name(place, handle, resolved, err);
	if (r == 0)
		r = check_place(resolved, item->ours, err);
	if (r == 0 && item->ours)
		r = check_ours(place, handle, err);
	if (r == 0)
		r = check_shared(place, handle, err);
	return r < 0 ? r : TAKE_FD(handle);
}
