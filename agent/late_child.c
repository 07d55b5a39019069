// SPDX-License-Identifier: Apache-2.0
/*
 * The child of a late attach: single-threaded, so that it may enter a mount namespace.
 */
#include "agent/late_child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/late.h"
#include "common/attach.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"
#include "common/mount.h"
#include "common/sys.h"

#define SOCKET_FD 3

/* NOLINTNEXTLINE(readability-non-const-parameter): the kernel writes to it */
ssize_t bl_late_receive(int socket_fd, char *text, size_t size, int *ret_fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec piece = {.iov_base = text, .iov_len = size};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	ssize_t n = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	const struct cmsghdr *part = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;

	if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(part), sizeof(int));
	return n;
}

static int send_answer(const bl_json *answer, int gate)
{
	auto_buf text = BL_BUF_INIT(BL_LATE_ANSWER);
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {.bytes = {0}};
	struct iovec piece;
	struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

	if (bl_json_write(&text, answer, NULL) < 0)
		return BL_EX_INTERNAL;
	piece = (struct iovec){.iov_base = text.data, .iov_len = text.len};
	if (gate >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.align), &gate, sizeof(int));
	}
	return sendmsg(SOCKET_FD, &message, MSG_NOSIGNAL) < 0 ? BL_EX_INTERNAL : 0;
}

/* ---- What is to be done ---- */

struct order {
	bl_json *json;
	struct bl_attach_process process;
	const bl_json *mounts; /* or NULL */
	const char *empty;
	struct bl_attach_item *items;
	size_t count;
};

static int read_order(struct order *order, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = BL_LATE_MESSAGE};
	auto_buf text = BL_BUF_INIT(BL_LATE_MESSAGE);
	int64_t pid = 0;
	int64_t start_time = 0;
	int r = bl_buf_read(&text, STDIN_FILENO, err);

	if (r == 0)
		r = bl_json_parse(bl_buf_str(&text), text.len, &limits, &order->json, err);
	if (r == 0)
		r = bl_json_get_int(order->json, "pid", 1, INT32_MAX, &pid, err);
	if (r > 0)
		r = bl_json_get_int(order->json, "start_time", 0, BL_JSON_INT_MAX, &start_time,
				    err);
	if (r > 0)
		r = bl_json_get_string(order->json, "empty", &order->empty, err);
	if (r >= 0)
		r = bl_json_get_array(order->json, "mounts", &order->mounts, err);
	if (r < 0)
		return r;
	order->process.pid = (pid_t)pid;
	order->process.start_time = (uint64_t)start_time;
	order->process.pidfd = bl_sys_pidfd_open((pid_t)pid);
	if (order->process.pidfd < 0)
		return bl_err_sys(err, -order->process.pidfd, "the container's process");
	return 0;
}

/* One mount, detached, and where it goes. */
static int build(const struct order *order, const bl_json *mount, struct bl_attach_item *ret,
		 struct bl_err *err)
{
	struct bl_mount_source source = {.empty = order->empty};
	const char *kind = "directory";
	int64_t dev = -1;
	int64_t ino = -1;
	int r = bl_json_get_string(mount, "path", &source.path, err);

	if (r > 0)
		r = bl_json_get_string(mount, "mount_location", &ret->location, err);
	if (r > 0)
		r = bl_json_get_int(mount, "placeholder_dev", 0, BL_JSON_INT_MAX, &dev, err);
	if (r > 0)
		r = bl_json_get_int(mount, "placeholder_ino", 0, BL_JSON_INT_MAX, &ino, err);
	if (r == 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "an order that lacks something");
	if (r > 0)
		r = bl_json_get_string(mount, "kind", &kind, err);
	if (r >= 0)
		r = bl_json_get_bool(mount, "readonly_superblock", &source.superblock, err);
	if (r >= 0)
		r = bl_json_get_bool(mount, "exec", &source.exec, err);
	if (r < 0)
		return r;
	source.kind = strcmp(kind, "file") == 0 ? BL_MOUNT_FILE : BL_MOUNT_DIRECTORY;
	ret->kind = source.kind;
	ret->late = true;
	ret->placeholder_dev = (dev_t)dev;
	ret->placeholder_ino = (ino_t)ino;
	ret->mount = bl_mount_build(&source, err);
	if (ret->mount < 0)
		bl_err_wrap(err, "%.200s: ", ret->location);
	return ret->mount < 0 ? ret->mount : 0;
}

static int build_all(struct order *order, struct bl_err *err)
{
	int r = 0;

	if (!order->mounts)
		return 0;
	order->items = calloc(bl_json_length(order->mounts) + 1, sizeof(*order->items));
	if (!order->items)
		return bl_err_nomem(err);
	for (const bl_json *at = bl_json_first(order->mounts); at && r == 0; at = bl_json_next(at))
		r = build(order, at, &order->items[order->count++], err);
	return r;
}

/*
 * The gate in the container, which must be a FIFO on the read-only tmpfs that the hook made for
 * it. It is looked at before it is opened: to open a device may do something, and no name is looked
 * up where a tenant's daemon would have to answer. -ENOENT: the container has not started yet.
 */
static int find_gate(const struct bl_attach *place, struct bl_err *err)
{
	auto_fd box = bl_attach_cross(place, BL_BOX_DIR, true);
	struct bl_mount_entry entry;
	uint64_t id = 0;
	int fd;
	int r = box < 0 ? box : bl_sys_mount_id(box, "", &id);

	if (r < 0)
		return bl_err_sys(err, -r, "open %s", BL_BOX_DIR);
	if (!bl_mount_table_find(&place->table, id, &entry) ||
	    (id != place->root_mount && strcmp(entry.type, "tmpfs") != 0))
		return bl_err_refuse(err, "%s is not the one that the hook made", BL_BOX_DIR);
	fd = bl_sys_openat2(box, &BL_BOX_GATE[sizeof(BL_BOX_DIR)], O_PATH | O_NOFOLLOW, 0,
			    BL_RESOLVE_BENEATH | BL_RESOLVE_NO_XDEV | BL_RESOLVE_NO_SYMLINKS);
	if (fd < 0)
		return bl_err_sys(err, -fd, "open %s", BL_BOX_GATE);
	if (strcmp(entry.type, "tmpfs") != 0 || strcmp(entry.source, BL_MOUNT_NAME) != 0) {
		bl_cleanup_fd(&fd);
		return bl_err_refuse(err, "%s is not the one that the hook made", BL_BOX_GATE);
	}
	return fd;
}

static int open_gate(const struct bl_attach *place, struct bl_err *err)
{
	auto_fd found = find_gate(place, err);
	struct stat st;
	char link[32];
	int fd;
	int r;

	if (found < 0)
		return found;
	r = bl_sys_fstat(found, &st);
	if (r < 0)
		return bl_err_sys(err, -r, "stat %s", BL_BOX_GATE);
	if (!S_ISFIFO(st.st_mode))
		return bl_err_refuse(err, "%s is not the one that the hook made", BL_BOX_GATE);
	(void)snprintf(link, sizeof(link), "fd/%d", found);
	fd = bl_sys_openat(place->proc, link, O_RDWR | O_NONBLOCK | O_NOCTTY, 0);
	return fd < 0 ? bl_err_sys(err, -fd, "open %s", BL_BOX_GATE) : fd;
}

static int add_mounts(bl_json *answer, const struct order *order, struct bl_err *err)
{
	bl_json *list = bl_json_set_array(answer, "mounts");

	for (size_t i = 0; list && i < order->count; i++) {
		bl_json *to = bl_json_set_object(list, NULL);

		if (!to || !bl_json_set_int(to, "dev", (int64_t)order->items[i].dev) ||
		    !bl_json_set_int(to, "ino", (int64_t)order->items[i].ino))
			list = NULL;
	}
	return list ? 0 : bl_err_nomem(err);
}

static int carry_out(struct order *order, bl_json *answer, int *ret_gate, bool *ret_retry,
		     struct bl_err *err)
{
	auto_attach place = BL_ATTACH_INIT;
	auto_fd gate = -1;
	int r = build_all(order, err);

	if (r == 0)
		r = bl_attach_enter(&order->process, &place, err);
	if (r < 0)
		return r;
	gate = open_gate(&place, err);
	*ret_retry = gate == -ENOENT || gate == -ENOTDIR; /* the container has not started yet */
	if (gate < 0)
		return gate;
	if (order->mounts) {
		r = bl_attach_all(&place, order->items, order->count, err);
		if (r == 0)
			r = add_mounts(answer, order, err);
	}
	if (r == 0)
		*ret_gate = TAKE_FD(gate);
	return r;
}

/* What another look may not meet. */
static bool is_passing(int r)
{
	return r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -EAGAIN ||
	       r == -EBUSY || r == -EINTR;
}

int bl_late_child(void)
{
	struct order order = {.process = {.pidfd = -1}};
	auto_json answer = bl_json_new_object();
	auto_fd gate = -1;
	struct bl_err err = {0};
	bool retry = false;
	int r = answer ? read_order(&order, &err) : bl_err_nomem(&err);

	if (r == 0)
		r = carry_out(&order, answer, &gate, &retry, &err);
	/* Nobody could tell the shim before its gate is open: until then nothing is given up. */
	if (r < 0 && !order.mounts && is_passing(r))
		retry = true;
	if (r < 0 && answer &&
	    (!bl_json_set_string(answer, "error", err.msg) ||
	     !bl_json_set_bool(answer, "retry", retry)))
		return BL_EX_INTERNAL;
	r = answer ? send_answer(answer, gate) : BL_EX_INTERNAL;
	for (size_t i = 0; i < order.count; i++)
		bl_cleanup_fd(&order.items[i].mount);
	free(order.items);
	bl_cleanup_fd(&order.process.pidfd);
	bl_json_free(&order.json);
	return r;
}
