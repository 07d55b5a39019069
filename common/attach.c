// SPDX-License-Identifier: Apache-2.0
#include "common/attach.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define STAT_START_TIME 22
#define HANDLE_DIR	(O_PATH | O_DIRECTORY)

/* ---- The process ---- */

int bl_attach_start_time(pid_t pid, uint64_t *ret, struct bl_err *err)
{
	char path[64];
	char text[1024];
	auto_fd fd = -1;
	const char *at;
	char *end;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = bl_sys_openat(AT_FDCWD, path, O_RDONLY, 0);
	n = fd < 0 ? fd : bl_sys_read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return bl_err_refuse(err, "the container's process %d is gone", (int)pid);
	text[n] = '\0';
	/* The name, in parentheses, may hold anything: count from its end, field 2. */
	at = strrchr(text, ')');
	for (int field = 2; at && field < STAT_START_TIME; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	errno = 0;
	*ret = at ? strtoull(at, &end, 10) : 0;
	if (!at || end == at || errno)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "%s is malformed", path);
	return 0;
}

/* After something of the process was opened by its number: the number is still that process's. */
static int still_there(const struct bl_attach_process *process, struct bl_err *err)
{
	struct pollfd fd = {.fd = process->pidfd, .events = POLLIN};
	uint64_t start_time = 0;
	int r;

	if (poll(&fd, 1, 0) != 0)
		return bl_err_refuse(err, "the container's process %d is gone", (int)process->pid);
	r = bl_attach_start_time(process->pid, &start_time, err);
	if (r == 0 && start_time != process->start_time)
		return bl_err_refuse(err, "process %d is not the container's any more",
				     (int)process->pid);
	return r;
}

static int open_of_process(pid_t pid, const char *name, int flags, struct bl_err *err)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = bl_sys_openat(AT_FDCWD, path, flags, 0);
	return fd < 0 ? bl_err_sys(err, -fd, "open '%s'", path) : fd;
}

/* ---- The namespace ---- */

/* What must be opened while this process still sees the host. */
static int open_host(struct bl_attach *place, struct bl_err *err)
{
	place->proc = bl_sys_openat(AT_FDCWD, "/proc/self", HANDLE_DIR, 0);
	if (place->proc < 0)
		return bl_err_sys(err, -place->proc, "open '/proc/self'");
	place->host_ns = bl_sys_openat(place->proc, "ns/mnt", O_RDONLY, 0);
	if (place->host_ns < 0)
		return bl_err_sys(err, -place->host_ns, "open the own mount namespace");
	place->host_table = bl_sys_openat(place->proc, "mountinfo", O_RDONLY, 0);
	if (place->host_table < 0)
		return bl_err_sys(err, -place->host_table, "open mountinfo");
	return 0;
}

static int same_file(int a, int b, struct bl_err *err)
{
	struct stat sa;
	struct stat sb;
	int r = bl_sys_fstat(a, &sa);

	if (r == 0)
		r = bl_sys_fstat(b, &sb);
	if (r < 0)
		return bl_err_sys(err, -r, "stat a handle");
	return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

int bl_attach_step_in(struct bl_attach *place, struct bl_err *err)
{
	int r = bl_sys_setns(place->box_ns, CLONE_NEWNS);

	if (r < 0)
		return bl_mount_err(err, -r, "setns");
	place->entered = true;
	return 0;
}

int bl_attach_step_out(struct bl_attach *place, struct bl_err *err)
{
	int r = bl_sys_setns(place->host_ns, CLONE_NEWNS);

	if (r < 0)
		return bl_mount_err(err, -r, "setns back");
	place->entered = false;
	return 0;
}

static int enter_namespace(struct bl_attach *place, struct bl_err *err)
{
	int r = same_file(place->box_ns, place->host_ns, err);

	if (r < 0)
		return r;
	if (r == 1)
		return bl_err_refuse(err, "the container has no mount namespace of its own: add "
					  "{\"type\":\"mount\"} to linux.namespaces");
	return bl_attach_step_in(place, err);
}

/* Whether the directory is the root of a mount: its parent then lies on another one. */
static int is_mount_root(int handle, struct bl_err *err)
{
	uint64_t own = 0;
	uint64_t above = 0;
	int r = bl_sys_mount_id(handle, "", &own);

	if (r == 0)
		r = bl_sys_mount_id(handle, "..", &above);
	return r < 0 ? bl_err_sys(err, -r, "statx") : own != above;
}

/*
 * The root file system, seen from inside: the process's root where it has pivoted already, else
 * the rootfs's path, where the runtime has mounted it. Which of the two is told by identity.
 */
static int find_root(struct bl_attach *place, const struct bl_attach_process *process,
		     struct bl_err *err)
{
	auto_fd inside = -1;
	int r = place->host_rootfs < 0 ? 1 : same_file(place->task_root, place->host_rootfs, err);

	if (r < 0)
		return r;
	if (r == 1) {
		place->root = bl_sys_openat(place->task_root, ".", HANDLE_DIR, 0);
		return place->root < 0 ? bl_err_sys(err, -place->root, "open the container's root")
				       : 0;
	}
	inside = bl_sys_openat2(AT_FDCWD, process->rootfs, HANDLE_DIR, 0, BL_RESOLVE_NO_MAGICLINKS);
	if (inside == -ENOSYS || inside == -EPERM)
		return bl_mount_err(err, -inside, "openat2");
	r = inside < 0 ? 0 : same_file(inside, place->host_rootfs, err);
	if (r == 1)
		r = is_mount_root(inside, err);
	if (r < 0)
		return r;
	if (r == 0)
		return bl_err_refuse(err,
				     "the root file system '%s' is not mounted in the mount "
				     "namespace of process %d",
				     process->rootfs, (int)process->pid);
	place->root = TAKE_FD(inside);
	return 0;
}

/* The mount table of the process's namespace. */
static int read_table(struct bl_attach *place, pid_t pid, struct bl_err *err)
{
	auto_fd table = open_of_process(pid, "mountinfo", O_RDONLY, err);

	return table < 0 ? table : bl_mount_table_read(table, &place->table, err);
}

/* What is known of the root once: its owner, its mount, the kernel's name for it. */
static int know_root(struct bl_attach *place, struct bl_err *err)
{
	char link[32];
	char path[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r = bl_sys_fstat(place->root, &st);

	if (r == 0)
		r = bl_sys_mount_id(place->root, "", &place->root_mount);
	if (r < 0)
		return bl_err_sys(err, -r, "stat the container's root");
	place->uid = st.st_uid;
	place->gid = st.st_gid;
	(void)snprintf(link, sizeof(link), "fd/%d", place->root);
	n = bl_sys_readlinkat(place->proc, link, path, sizeof(path) - 1);
	if (n <= 0 || path[0] != '/')
		return bl_err_sys(err, n < 0 ? (int)-n : ENAMETOOLONG, "name the container's root");
	path[n] = '\0';
	place->prefix = strdup(n == 1 ? "" : path);
	return place->prefix ? 0 : bl_err_nomem(err);
}

/* What would be made in the container's root file system would be made in the host's. */
static int refuse_host(int host_rootfs, struct bl_err *err)
{
	auto_fd host = bl_sys_openat(AT_FDCWD, "/", HANDLE_DIR, 0);
	int r = host < 0 ? bl_err_sys(err, -host, "open '/'") : same_file(host, host_rootfs, err);

	if (r == 1)
		return bl_err_refuse(err, "root.path is the host's own root file system: give the "
					  "container one of its own");
	return r;
}

int bl_attach_open(const struct bl_attach_process *process, struct bl_attach *ret,
		   struct bl_err *err)
{
	auto_attach place = BL_ATTACH_INIT;
	int r = open_host(&place, err);

	if (r < 0)
		return r;
	if (process->rootfs) {
		place.host_rootfs = bl_sys_openat(AT_FDCWD, process->rootfs, HANDLE_DIR, 0);
		if (place.host_rootfs < 0)
			return bl_err_set(err, BL_EX_CONFIG, -place.host_rootfs,
					  "open root.path '%s': %s", process->rootfs,
					  strerror(-place.host_rootfs));
		r = refuse_host(place.host_rootfs, err);
		if (r < 0)
			return r;
	}
	place.box_ns = open_of_process(process->pid, "ns/mnt", O_RDONLY, err);
	if (place.box_ns < 0)
		return place.box_ns;
	place.task_root = open_of_process(process->pid, "root", HANDLE_DIR, err);
	if (place.task_root < 0)
		return place.task_root;
	r = read_table(&place, process->pid, err);
	if (r < 0)
		return r;
	*ret = place;
	place = BL_ATTACH_INIT;
	return 0;
}

int bl_attach_enter(const struct bl_attach_process *process, struct bl_attach *place,
		    struct bl_err *err)
{
	int r = place->proc < 0 ? bl_attach_open(process, place, err) : 0;

	/* Now for all that was opened by the process's number. */
	if (r == 0)
		r = still_there(process, err);
	if (r == 0)
		r = enter_namespace(place, err);
	if (r == 0)
		r = find_root(place, process, err);
	return r < 0 ? r : know_root(place, err);
}

void bl_attach_leave(struct bl_attach *place)
{
	int saved = errno;

	/* To go on in a container's namespace as if it were the host's would be worse than to end.
	 */
	if (place->entered && setns(place->host_ns, CLONE_NEWNS) < 0)
		_exit(BL_EX_INTERNAL);
	bl_cleanup_fd(&place->proc);
	bl_attach_made_done(place, true);
	bl_cleanup_fd(&place->host_ns);
	bl_cleanup_fd(&place->box_ns);
	bl_cleanup_fd(&place->host_table);
	bl_cleanup_fd(&place->task_root);
	bl_cleanup_fd(&place->host_rootfs);
	bl_cleanup_fd(&place->root);
	free(place->prefix);
	bl_mount_table_done(&place->table);
	*place = BL_ATTACH_INIT;
	errno = saved;
}

/* ---- Attaching ---- */

static int attach_one(struct bl_attach_item *item, int handle, struct bl_err *err)
{
	struct stat st;
	int r;

	if (!item->present) {
		bl_sys_point("attach");
		r = bl_sys_move_mount(item->mount, handle);
		if (r < 0)
			return bl_mount_err(err, -r, "move_mount");
	}
	r = bl_sys_fstat(item->present ? handle : item->mount, &st);
	item->dev = st.st_dev;
	item->ino = st.st_ino;
	return r < 0 ? bl_err_sys(err, -r, "stat the mount") : 0;
}

/* Takes the attached mounts away again; each is reached by its own descriptor. */
static void detach(const struct bl_attach *place, const struct bl_attach_item *items, size_t count)
{
	if (count == 0 || bl_sys_fchdir(place->proc) < 0)
		return;
	while (count-- > 0) {
		char link[32];

		if (items[count].present)
			continue;
		(void)snprintf(link, sizeof(link), "fd/%d", items[count].mount);
		(void)bl_sys_umount2(link, MNT_DETACH);
	}
}

static void close_all(int *handles, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bl_cleanup_fd(&handles[i]);
}

/* Whether inner lies in outer, or is it. */
static bool lies_in(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	return strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0');
}

/* A mount that the container has beneath the target would be there and not be seen. */
static int check_hidden(const struct bl_attach *place, const char *name, struct bl_err *err)
{
	char path[2 * PATH_MAX];
	char point[256];

	(void)snprintf(path, sizeof(path), "%s%s", place->prefix, name);
	if (!bl_mount_table_beneath(&place->table, path, point, sizeof(point)))
		return 0;
	return bl_err_config(err,
			     "the weights would hide the container's own mount '%s', which a link "
			     "in the image puts beneath them",
			     point + (lies_in(point, place->prefix) ? strlen(place->prefix) : 0));
}

/*
 * What the locations say is apart may be one in the image, by its links. Then one mount would lie
 * on another, and a container would start without what it declared.
 */
static int check_apart(const struct bl_attach *place, const struct bl_attach_item *items,
		       const int *handles, size_t count, struct bl_err *err)
{
	auto_free char(*names)[PATH_MAX] = calloc(count ? count : 1, sizeof(*names));
	int r = 0;

	if (!names)
		return bl_err_nomem(err);
	for (size_t i = 0; i < count && r == 0; i++) {
		if (items[i].late)
			continue;
		r = bl_attach_name(place, handles[i], names[i], err);
		if (r == 0 && !items[i].present)
			r = check_hidden(place, names[i], err);
		for (size_t j = 0; j < i && r == 0; j++)
			if (lies_in(names[i], names[j]) || lies_in(names[j], names[i]))
				r = bl_err_config(
					err,
					"by a link in the image it lies in the same place "
					"as '%.200s', or one inside the other: choose "
					"another mount_location",
					items[j].location);
		if (r < 0)
			bl_err_wrap(err, "%.200s: ", items[i].location);
	}
	return r;
}

int bl_attach_all(struct bl_attach *place, struct bl_attach_item *items, size_t count,
		  struct bl_err *err)
{
	auto_free int *handles = calloc(count ? count : 1, sizeof(*handles));
	size_t attached = 0;
	size_t i;
	int r = 0;

	if (!handles)
		return bl_err_nomem(err);
	for (i = 0; i < count; i++)
		handles[i] = -1;
	for (i = 0; i < count && r >= 0; i++) {
		r = handles[i] = bl_attach_resolve(place, &items[i], err);
		if (r < 0)
			bl_err_wrap(err, "%.200s: ", items[i].location);
	}
	if (r >= 0)
		r = check_apart(place, items, handles, count, err);
	for (i = 0; i < count && r >= 0; i++) {
		r = attach_one(&items[i], handles[i], err);
		if (r < 0)
			bl_err_wrap(err, "%.200s: ", items[i].location);
		else
			attached++;
	}
	/* The failed one too: its move_mount may have been done when a later step failed. */
	if (r < 0 && attached < count)
		detach(place, items, attached + (handles[attached] >= 0 ? 1 : 0));
	close_all(handles, count);
	if (r < 0)
		bl_attach_made_done(place, false);
	return r < 0 ? r : 0;
}

void bl_attach_undo(struct bl_attach *place, const struct bl_attach_item *items, size_t count)
{
	detach(place, items, count);
	bl_attach_made_done(place, false);
}
