// SPDX-License-Identifier: Apache-2.0
#include "agent/late.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/late_child.h"
#include "agent/reap.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/log.h"
#include "common/sys.h"

#define LINE_MAX_BYTES 4400 /* of a line of the gate, by contract with the shim */
#define LINES_MAX      (8 * 1024 * 1024)
#define PROGRESS_MS    1000
#define LOOK_FIRST_MS  50   /* for a container that has not started yet ... */
#define LOOK_MOST_MS   2000 /* ... again and again, this seldom at last */
#define CHILD_MS       60000

struct bl_late {
	struct bl_late_owner owner;
	bl_json *mounts;
	size_t count;

	int gate; /* the FIFO, read-write; -1 while it is not there */
	struct bl_watch room;
	struct bl_buf lines; /* still to be written */
	bool said;	     /* ready or failed is among them, or was written */
	struct bl_timer progress;

	bl_json *order; /* for the child, once the trees are there */
	bool attached;
	bool told;     /* the log has why the gate cannot be opened */
	char *failure; /* to be said when the gate is there */

	struct bl_timer again;
	unsigned pause;
	pid_t child;
	int child_fd, child_socket;
	struct bl_watch child_gone;
	struct bl_timer child_overdue;
};

static void start_child(struct bl_late *late);

/* ---- The request ---- */

static int check_mount(const bl_json *mount, const struct bl_weights_item *item, struct bl_err *err)
{
	static const char *const keys[] = {
		"mount_location",  "kind", "readonly_superblock", "exec", "placeholder_dev",
		"placeholder_ino", NULL};
	const char *kind = "directory";
	int64_t number = -1;
	bool flag;
	int r;

	if (!bl_json_is_object(mount))
		return bl_err_config(err, "mounts: expected objects");
	r = bl_json_only_keys(mount, keys, err);
	if (r >= 0)
		r = bl_json_get_string(mount, "kind", &kind, err);
	if (r >= 0)
		r = bl_json_get_bool(mount, "readonly_superblock", &flag, err);
	if (r >= 0)
		r = bl_json_get_bool(mount, "exec", &flag, err);
	if (r >= 0)
		r = bl_json_get_int(mount, "placeholder_dev", 0, BL_JSON_INT_MAX, &number, err);
	if (r > 0)
		r = bl_json_get_int(mount, "placeholder_ino", 0, BL_JSON_INT_MAX, &number, err);
	if (r == 0)
		r = bl_err_config(err, "placeholder_dev and placeholder_ino are required");
	if (r > 0 && strcmp(kind, item->single_file ? "file" : "directory") != 0)
		r = bl_err_config(err, "kind: '%s' is not what the source is", kind);
	if (r < 0)
		bl_err_wrap(err, "mounts: %s: ", item->mount_location);
	return r < 0 ? r : 0;
}

/* The mount of that location, or NULL. */
static const bl_json *find_mount(const bl_json *mounts, const char *location)
{
	for (const bl_json *at = bl_json_first(mounts); at; at = bl_json_next(at)) {
		const char *text = NULL;

		if (bl_json_is_object(at) &&
		    bl_json_get_string(at, "mount_location", &text, NULL) > 0 &&
		    strcmp(text, location) == 0)
			return at;
	}
	return NULL;
}

/* As many as there are locations, and one for each: so none is there twice. */
static int check_mounts(const bl_json *mounts, const struct bl_weights *weights, struct bl_err *err)
{
	int r = 0;

	if (bl_json_length(mounts) != weights->count)
		return bl_err_config(err,
				     "mounts: expected one for each of the container's %zu "
				     "weights",
				     weights->count);
	for (size_t i = 0; i < weights->count && r == 0; i++) {
		const struct bl_weights_item *item = &weights->items[i];
		const bl_json *mount = find_mount(mounts, item->mount_location);

		r = mount ? check_mount(mount, item, err)
			  : bl_err_config(err, "mounts: '%s' must be there once",
					  item->mount_location);
	}
	return r;
}

/* ---- Lines ---- */

static void gate_has_room(struct bl_watch *watch, uint32_t events);

static void write_lines(struct bl_late *late)
{
	struct bl_loop *loop = late->owner.loop;

	while (late->gate >= 0 && late->lines.len > 0) {
		/* A write of at most PIPE_BUF is whole or not at all; lines may be longer. */
		ssize_t n = write(late->gate, late->lines.data, late->lines.len);

		if (n > 0)
			bl_buf_consume(&late->lines, (size_t)n);
		else if (errno != EINTR)
			break;
	}
	if (late->gate >= 0 && late->lines.len > 0) {
		if (late->room.fd < 0)
			(void)bl_loop_watch(loop, &late->room, late->gate, EPOLLOUT, gate_has_room,
					    late, NULL);
		return;
	}
	bl_loop_unwatch(loop, &late->room);
	if (late->gate >= 0 && late->said)
		bl_loop_cancel(&late->progress);
}

static void gate_has_room(struct bl_watch *watch, uint32_t events)
{
	(void)events;
	write_lines(watch->data);
}

/* What is not whole must not be followed by something else, so progress waits for an empty list. */
static void say_progress(struct bl_timer *timer)
{
	struct bl_late *late = timer->data;
	unsigned long long done = 0;
	unsigned long long total = 0;
	char line[64];
	int len;

	bl_loop_after(late->owner.loop, &late->progress, PROGRESS_MS, say_progress, late);
	if (late->gate < 0 || late->lines.len > 0 || late->said)
		return;
	late->owner.progress(late->owner.data, &done, &total);
	if (total == 0) /* nothing is known yet, or not any more, before another try */
		return;
	len = snprintf(line, sizeof(line), "progress %llu %llu\n", done, total);
	/* Less than PIPE_BUF: whole, or dropped because the gate is full. */
	if (write(late->gate, line, (size_t)len) < 0)
		return;
}

static void say_failed(struct bl_late *late)
{
	char text[LINE_MAX_BYTES - sizeof("failed ")];

	(void)bl_log_escape(text, sizeof(text) < 1024 ? sizeof(text) : 1024, late->failure);
	late->said = bl_buf_putf(&late->lines, NULL, "failed %s\n", text) == 0;
	write_lines(late);
}

static void fail(struct bl_late *late, const char *text)
{
	if (late->failure || late->attached)
		return;
	late->failure = strdup(text);
	if (late->gate >= 0 && late->failure)
		say_failed(late);
}

void bl_late_fail(struct bl_late *late, const char *text)
{
	if (!late->order)
		fail(late, text);
}

/* ---- The child ---- */

static void drop_child(struct bl_late *late)
{
	bl_loop_unwatch(late->owner.loop, &late->child_gone);
	bl_loop_cancel(&late->child_overdue);
	if (late->child > 0) {
		/* By its number, which is its own until it is reaped: it may have no pidfd yet. */
		(void)kill(late->child, SIGKILL);
		bl_reap(late->owner.loop, late->child, late->child_fd);
	}
	late->child = 0;
	bl_cleanup_fd(&late->child_fd);
	bl_cleanup_fd(&late->child_socket);
	late->child_fd = late->child_socket = -1;
}

static void look_again(struct bl_timer *timer)
{
	start_child(timer->data);
}

/* There is no event that tells when a runtime has started its container: it is looked at again. */
static void not_yet(struct bl_late *late)
{
	late->pause = late->pause ? late->pause * 2 : LOOK_FIRST_MS;
	if (late->pause > LOOK_MOST_MS)
		late->pause = LOOK_MOST_MS;
	bl_loop_after(late->owner.loop, &late->again, late->pause, look_again, late);
}

/* "mounts" of the child's answer: dev and ino of each, in the order of the request. */
static int say_mounts(struct bl_late *late, const bl_json *mounts)
{
	const bl_json *asked = bl_json_first(late->mounts);

	for (const bl_json *at = bl_json_first(mounts); at && asked;
	     at = bl_json_next(at), asked = bl_json_next(asked)) {
		const char *location = "";
		int64_t dev, ino;

		if (bl_json_get_int(at, "dev", 0, BL_JSON_INT_MAX, &dev, NULL) <= 0 ||
		    bl_json_get_int(at, "ino", 0, BL_JSON_INT_MAX, &ino, NULL) <= 0 ||
		    bl_json_get_string(asked, "mount_location", &location, NULL) <= 0 ||
		    bl_buf_putf(&late->lines, NULL, "mount %lld %lld %s\n", (long long)dev,
				(long long)ino, location) < 0)
			return -EPROTO;
	}
	if (asked)
		return -EPROTO;
	return bl_buf_puts(&late->lines, "ready\n", NULL);
}

/* An agent before us may have died in the middle of a line: that is made void. */
static void take_gate(struct bl_late *late, int fd)
{
	static const char nothing[] = {BL_GATE_VOID, '\n', '\0'};

	bl_loop_unwatch(late->owner.loop, &late->room);
	bl_cleanup_fd(&late->gate);
	late->gate = fd;
	(void)bl_buf_puts(&late->lines, nothing, NULL);
	write_lines(late);
}

/* What the child has said; gate is ours from here on (-1: none). */
static void child_said(struct bl_late *late, const bl_json *answer, int gate)
{
	const bl_json *mounts = NULL;
	const char *error = NULL;
	bool retry = false;

	if (gate >= 0)
		take_gate(late, gate);
	(void)bl_json_get_string(answer, "error", &error, NULL);
	(void)bl_json_get_bool(answer, "retry", &retry, NULL);
	(void)bl_json_get_array(answer, "mounts", &mounts, NULL);
	/* Before its gate is open nobody could tell the shim, and it waits: so it is looked at again. */
	if (error && (retry || late->gate < 0)) {
		if (!retry && !late->told)
			late->owner.over(late->owner.data, error);
		late->told = !retry;
		not_yet(late);
		return;
	}
	if (!error && mounts && say_mounts(late, mounts) < 0)
		error = "out of memory; the container is to be started again";
	if (error) {
		fail(late, error);
		late->owner.over(late->owner.data, error);
		return;
	}
	if (mounts) {
		late->attached = late->said = true;
		/* It is so by now; once the gate has been told the server may run. */
		late->owner.over(late->owner.data, NULL);
		write_lines(late);
		return;
	}
	/* The gate alone. What has come meanwhile? */
	if (late->failure)
		say_failed(late);
	else if (late->order)
		start_child(late);
}

static void child_gone(struct bl_watch *watch, uint32_t events)
{
	struct bl_late *late = watch->data;
	auto_free char *text = malloc(BL_LATE_ANSWER);
	const struct bl_json_limits limits = {.max_bytes = BL_LATE_ANSWER};
	auto_json answer = NULL;
	auto_fd gate = -1;
	ssize_t n = text ? bl_late_receive(late->child_socket, text, BL_LATE_ANSWER, &gate) : 0;

	(void)events;
	drop_child(late);
	if (n <= 0 || bl_json_parse(text, (size_t)n, &limits, &answer, NULL) < 0 ||
	    !bl_json_is_object(answer)) {
		/* It was killed, or time was up: what it may have done is found the next time. */
		not_yet(late);
		return;
	}
	child_said(late, answer, TAKE_FD(gate));
}

static void child_overdue(struct bl_timer *timer)
{
	struct bl_late *late = timer->data;

	(void)bl_sys_pidfd_send_signal(late->child_fd, SIGKILL);
}

/*
 * The child's environment is empty. In a build with the seam of common/sys.h BL_LATE_FAULT has the
 * rules for the first child that is to attach something, BL_LATE_GATE_FAULT those for the first that is
 * to open a gate; those after it are as ever.
 */
static void child_environment(const struct bl_late *late, char *envp[2])
{
	envp[0] = envp[1] = NULL;
#ifdef BL_FAULTS
	static bool used[2];
	static char fault[256];
	bool attaching = late->order && late->gate >= 0;
	const char *rules = getenv(attaching ? "BL_LATE_FAULT" : "BL_LATE_GATE_FAULT");

	if (used[attaching] || !rules)
		return;
	used[attaching] = true;
	(void)snprintf(fault, sizeof(fault), "BL_FAULT=%s", rules);
	envp[0] = fault;
#else
	(void)late;
#endif
}

static _Noreturn void run_child(char **envp, int input, int socket_fd, pid_t parent)
{
	static char name[] = "ballastd";
	static char option[] = BL_LATE_OPTION;
	char *argv[] = {name, option, NULL};
	int in = fcntl(input, F_DUPFD, 16);
	int out = fcntl(socket_fd, F_DUPFD, 16);
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (in < 0 || out < 0 || getppid() != parent || dup2(in, 0) < 0 || dup2(out, 3) < 0 ||
	    bl_sys_close_from(4) < 0)
		_exit(125);
	(void)execve("/proc/self/exe", argv, envp);
	_exit(126);
}

/* A sealed file in memory with what the child is to do: it may be larger than a pipe. */
static int write_order(const bl_json *order)
{
	auto_buf text = BL_BUF_INIT(BL_LATE_MESSAGE);
	auto_fd fd = memfd_create("ballast-late", MFD_CLOEXEC);

	if (fd < 0 || bl_json_write(&text, order, NULL) < 0 ||
	    bl_sys_write_all(fd, text.data, text.len) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -EIO;
	return TAKE_FD(fd);
}

static bl_json *gate_order(const struct bl_late *late)
{
	auto_json order = bl_json_new_object();

	if (!order || !bl_json_set_int(order, "pid", late->owner.pid) ||
	    !bl_json_set_int(order, "start_time", (int64_t)late->owner.start_time))
		return NULL;
	return TAKE_PTR(order);
}

static void start_child(struct bl_late *late)
{
	auto_json simple = late->order && late->gate >= 0 ? NULL : gate_order(late);
	const bl_json *order = simple ? simple : late->order;
	auto_fd input = order ? write_order(order) : -1;
	int sockets[2];
	pid_t parent = getpid();
	char *envp[2];

	if (late->child > 0 || late->attached)
		return;
	if (input < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
		not_yet(late);
		return;
	}
	auto_fd theirs = sockets[1];
	late->child_socket = sockets[0];
	child_environment(late, envp);
	late->child = fork();
	if (late->child == 0)
		run_child(envp, input, theirs, parent);
	late->child_fd = late->child > 0 ? bl_sys_pidfd_open(late->child) : -1;
	if (late->child < 0 || late->child_fd < 0 ||
	    bl_loop_watch(late->owner.loop, &late->child_gone, late->child_fd, EPOLLIN, child_gone,
			  late, NULL) < 0) {
		drop_child(late);
		not_yet(late);
		return;
	}
	bl_loop_after(late->owner.loop, &late->child_overdue, CHILD_MS, child_overdue, late);
}

/* ---- From outside ---- */

int bl_late_new(const struct bl_late_owner *owner, const bl_json *mounts,
		const struct bl_weights *weights, struct bl_late **ret, struct bl_err *err)
{
	struct bl_late *late;
	int r = check_mounts(mounts, weights, err);

	if (r < 0)
		return r;
	late = calloc(1, sizeof(*late));
	if (!late)
		return bl_err_nomem(err);
	*late = (struct bl_late){.owner = *owner,
				 .mounts = bl_json_copy(mounts),
				 .count = weights->count,
				 .gate = -1,
				 .room = BL_WATCH_INIT,
				 .lines = BL_BUF_INIT(LINES_MAX),
				 .child_fd = -1,
				 .child_socket = -1,
				 .child_gone = BL_WATCH_INIT};
	if (!late->mounts) {
		bl_late_free(late);
		return bl_err_nomem(err);
	}
	bl_loop_after(owner->loop, &late->progress, PROGRESS_MS, say_progress, late);
	bl_loop_after(owner->loop, &late->again, 0, look_again, late);
	*ret = late;
	return 0;
}

void bl_late_free(struct bl_late *late)
{
	if (!late)
		return;
	drop_child(late);
	bl_loop_cancel(&late->again);
	bl_loop_cancel(&late->progress);
	bl_loop_unwatch(late->owner.loop, &late->room);
	bl_cleanup_fd(&late->gate);
	bl_buf_done(&late->lines);
	bl_json_free(&late->mounts);
	bl_json_free(&late->order);
	free(late->failure);
	free(late);
}

const bl_json *bl_late_mounts(const struct bl_late *late)
{
	return late->mounts;
}

bool bl_late_is_same(const struct bl_late *late, const bl_json *mounts)
{
	auto_buf a = BL_BUF_INIT(BL_MAX_API_BODY);
	auto_buf b = BL_BUF_INIT(BL_MAX_API_BODY);

	return bl_json_write(&a, late->mounts, NULL) == 0 && bl_json_write(&b, mounts, NULL) == 0 &&
	       strcmp(bl_buf_str(&a), bl_buf_str(&b)) == 0;
}

void bl_late_attach(struct bl_late *late, const struct bl_late_tree *trees,
		    const struct bl_weights *weights, const char *empty)
{
	auto_json order = gate_order(late);
	bl_json *list = order && bl_json_set_string(order, "empty", empty)
				? bl_json_set_array(order, "mounts")
				: NULL;

	if (late->order || late->failure)
		return;
	/* In the order of the request, each with the path of its weights. */
	for (const bl_json *at = bl_json_first(late->mounts); list && at; at = bl_json_next(at)) {
		bl_json *to = bl_json_set_copy(list, NULL, at);
		const char *location = "";

		(void)bl_json_get_string(at, "mount_location", &location, NULL);
		for (size_t i = 0; to && i < weights->count; i++)
			if (strcmp(weights->items[i].mount_location, location) == 0 &&
			    !bl_json_set_string(to, "path", trees[i].path))
				list = NULL;
		if (!to)
			list = NULL;
	}
	if (!list) {
		fail(late, "out of memory; the container is to be started again");
		return;
	}
	late->order = TAKE_PTR(order);
	if (late->gate >= 0)
		start_child(late);
}
