// SPDX-License-Identifier: Apache-2.0
#include "shim/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"
#include "shim/exit.h"
#include "shim/orders.h"

#define SAY_EVERY 5 /* seconds between two lines of progress */
#define KIB	  1024U
#define MIB	  (1024U * 1024U)

/* Signals that end a server which has no handler for them; the others mean nothing yet. */
#define ENDING                                                                     \
	(BL_SIGNAL_BIT(SIGTERM) | BL_SIGNAL_BIT(SIGINT) | BL_SIGNAL_BIT(SIGQUIT) | \
	 BL_SIGNAL_BIT(SIGHUP))

struct gate {
	const char *path;
	const struct bl_orders *orders;
	bl_say_fn *say;
	int signals;
	int fifo;      /* owned */
	bool *checked; /* owned: one for each mount of the orders */
	time_t said;
	size_t used;
	char line[BL_GATE_LINE_MAX + 1];
};

static void gate_done(struct gate *gate)
{
	bl_cleanup_fd(&gate->fifo);
	bl_cleanup_free(&gate->checked);
}

/* ---- Lines ---- */

static int bad_line(struct bl_err *err)
{
	return bl_err_refuse(err, "the agent said something that is not understood");
}

/* A decimal number and the byte `after` behind it; what follows that, or NULL. */
static const char *take_number(const char *at, char after, uint64_t *ret)
{
	uint64_t value = 0;
	size_t digits = 0;

	for (; at[digits] >= '0' && at[digits] <= '9'; digits++) {
		uint64_t digit = (uint64_t)(at[digits] - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return NULL;
		value = value * 10 + digit;
	}
	if (digits == 0 || at[digits] != after)
		return NULL;
	*ret = value;
	return at + digits + (after ? 1 : 0);
}

static const char *after_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	return strncmp(line, word, len) == 0 ? line + len : NULL;
}

int bl_gate_parse(const char *line, size_t len, struct bl_gate_line *ret, struct bl_err *err)
{
	const char *at;

	if (strlen(line) != len)
		return bad_line(err);
	*ret = (struct bl_gate_line){.text = ""};
	if (strcmp(line, "ready") == 0) {
		ret->kind = BL_GATE_READY;
		return 0;
	}
	at = after_word(line, "failed ");
	if (at) {
		ret->kind = BL_GATE_FAILED;
		ret->text = at;
		return 0;
	}
	at = after_word(line, "progress ");
	if (at) {
		ret->kind = BL_GATE_PROGRESS;
		at = take_number(at, ' ', &ret->first);
		return at && take_number(at, '\0', &ret->second) ? 0 : bad_line(err);
	}
	ret->kind = BL_GATE_MOUNT;
	at = after_word(line, "mount ");
	if (at)
		at = take_number(at, ' ', &ret->first);
	if (at)
		at = take_number(at, ' ', &ret->second);
	if (!at || at[0] != '/')
		return bad_line(err);
	ret->text = at;
	return 0;
}

/* ---- What they mean ---- */

static int check_mount(const struct bl_gate_line *line, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(AT_FDCWD, line->text, O_PATH, 0);
	struct statvfs vfs;
	struct stat st;

	if (fd < 0)
		return bl_err_sys(err, -fd, "mount '%s'", line->text);
	if (bl_sys_fstat(fd, &st) < 0 || fstatvfs(fd, &vfs) < 0)
		return bl_err_sys(err, errno, "mount '%s'", line->text);
	if ((uint64_t)st.st_dev != line->first || (uint64_t)st.st_ino != line->second)
		return bl_err_refuse(err, "mount '%s': what is there is not what the agent mounted",
				     line->text);
	if (!(vfs.f_flag & ST_RDONLY))
		return bl_err_refuse(err, "mount '%s': it is not read-only", line->text);
	return 0;
}

static int on_mount(struct gate *gate, const struct bl_gate_line *line, struct bl_err *err)
{
	for (size_t i = 0; i < gate->orders->mount_count; i++) {
		int ret;

		if (strcmp(gate->orders->mounts[i], line->text) != 0)
			continue;
		ret = check_mount(line, err);
		gate->checked[i] = ret >= 0;
		return ret;
	}
	return bl_err_refuse(err, "mount '%s': the agent mounted what nobody asked for",
			     line->text);
}

static int on_ready(const struct gate *gate, struct bl_err *err)
{
	for (size_t i = 0; i < gate->orders->mount_count; i++)
		if (!gate->checked[i])
			return bl_err_refuse(err, "mount '%s': the agent is ready without it",
					     gate->orders->mounts[i]);
	return 1;
}

static void on_progress(struct gate *gate, const struct bl_gate_line *line)
{
	bool small = line->second < MIB;
	unsigned unit = small ? KIB : MIB;
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (gate->said && now.tv_sec - gate->said < SAY_EVERY)
		return;
	gate->said = now.tv_sec ? now.tv_sec : 1;
	if (line->second == 0)
		gate->say("weights: asking the origin");
	else
		gate->say("weights: %llu of %llu %s", (unsigned long long)(line->first / unit),
			  (unsigned long long)(line->second / unit), small ? "KiB" : "MiB");
}

/* 1: ready; 0: go on. */
static int on_line(struct gate *gate, struct bl_err *err)
{
	struct bl_gate_line line;
	int ret = bl_gate_parse(gate->line, gate->used, &line, err);

	if (ret < 0)
		return ret;
	switch (line.kind) {
	case BL_GATE_PROGRESS:
		on_progress(gate, &line);
		return 0;
	case BL_GATE_MOUNT:
		return on_mount(gate, &line, err);
	case BL_GATE_READY:
		return on_ready(gate, err);
	case BL_GATE_FAILED:
		break;
	}
	return bl_err_retry(err, "weights: %s", line.text);
}

static bool is_void(const struct gate *gate)
{
	return gate->used > 0 && gate->line[gate->used - 1] == BL_GATE_VOID;
}

static int take_bytes(struct gate *gate, const char *bytes, size_t len, struct bl_err *err)
{
	for (size_t i = 0; i < len; i++) {
		int ret;

		if (bytes[i] != '\n') {
			if (gate->used == BL_GATE_LINE_MAX)
				return bad_line(err);
			gate->line[gate->used++] = bytes[i];
			continue;
		}
		gate->line[gate->used] = '\0';
		ret = is_void(gate) ? 0 : on_line(gate, err);
		gate->used = 0;
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* ---- Waiting ---- */

/* Also after every end of file (the agent's restart): only a new opening waits for a new writer. Half
 * a line of the old one is forgotten. */
static int open_fifo(struct gate *gate, struct bl_err *err)
{
	struct stat st;
	int fd = bl_sys_openat(AT_FDCWD, gate->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);

	bl_cleanup_fd(&gate->fifo);
	gate->fifo = fd;
	gate->used = 0;
	if (fd < 0)
		return bl_err_sys(err, -fd, "%s", gate->path);
	if (bl_sys_fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return bl_err_refuse(err, "%s: this is no FIFO", gate->path);
	return 0;
}

static int read_fifo(struct gate *gate, struct bl_err *err)
{
	char bytes[1024];
	ssize_t n = bl_sys_read(gate->fifo, bytes, sizeof(bytes));

	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return bl_err_sys(err, (int)-n, "%s", gate->path);
	if (n == 0) {
		gate->say("the node's agent has gone; waiting for it to come back");
		return open_fifo(gate, err);
	}
	return take_bytes(gate, bytes, (size_t)n, err);
}

static int read_signal(struct gate *gate, struct bl_err *err)
{
	struct signalfd_siginfo info;
	ssize_t n = bl_sys_read(gate->signals, &info, sizeof(info));

	if (n != (ssize_t)sizeof(info))
		return bl_err_sys(err, n < 0 ? (int)-n : EIO, "reading signals");
	return bl_err_set(err, BL_SHIM_SIGNALLED + (int)info.ssi_signo, EINTR,
			  "ended by signal %d before the weights were there", (int)info.ssi_signo);
}

static int serve(struct gate *gate, struct bl_err *err)
{
	int ret = open_fifo(gate, err);

	while (ret == 0) {
		struct pollfd fds[] = {
			{.fd = gate->signals, .events = POLLIN},
			{.fd = gate->fifo, .events = POLLIN},
		};

		if (poll(fds, 2, -1) < 0)
			return bl_err_sys(err, errno, "poll");
		if (fds[0].revents)
			ret = read_signal(gate, err);
		else if (fds[1].revents)
			ret = read_fifo(gate, err);
	}
	return ret < 0 ? ret : 0;
}

int bl_gate_wait(const char *path, const struct bl_orders *orders, bl_say_fn *say,
		 struct bl_err *err)
{
	auto_fd signals = bl_sys_signalfd(ENDING);
	__attribute__((cleanup(gate_done))) struct gate gate = {
		.path = path,
		.orders = orders,
		.say = say,
		.signals = signals,
		.fifo = -1,
		.checked = calloc(orders->mount_count + 1, sizeof(bool)),
	};

	if (signals < 0)
		return bl_err_sys(err, -signals, "signalfd");
	if (!gate.checked)
		return bl_err_nomem(err);
	say("waiting for the weights");
	return serve(&gate, err);
}
