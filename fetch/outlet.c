/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/job.h"
#include "common/sys.h"

#define PAGE  4096
#define PIECE (512 * 1024)  /* bytes at once, where they are copied */
#define STAGE (1024 * 1024) /* what a pipe may hold at most */
#define RING  (4 * STAGE)   /* bytes that are lent to pipes */

/*
 * A frame is made in a pipe of our own and then moved as a whole: the agent's is locked for a moment only, not
 * as long as bytes are copied, and wakes its reader once. Empty between any two calls.
 */
static int stage[2] = {-1, -1};

/* What is on the stage goes to the agent. */
static int leave_stage(size_t len)
{
	struct pollfd room = {.fd = BL_JOB_PIPE_FD, .events = POLLOUT};

	while (len > 0) {
		ssize_t n = bl_sys_splice(stage[0], BL_JOB_PIPE_FD, len);

		if (n == -EAGAIN)
			(void)poll(&room, 1, -1);
		else if (n <= 0)
			return -EPIPE;
		else
			len -= (size_t)n;
	}
	return 0;
}

static int stage_head(const struct bl_arrival *file, size_t len, int64_t at)
{
	const struct bl_job_frame frame = {file->number, (uint32_t)len, (uint64_t)at};

	if (stage[0] < 0) {
		if (pipe2(stage, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		/* A smaller one does as well, a little slower. */
		(void)fcntl(stage[1], F_SETPIPE_SZ, STAGE);
	}
	return bl_sys_write_all(stage[1], &frame, sizeof(frame));
}

/*
 * What is copied is lent to the pipe, by vmsplice(2), instead of having the kernel take new pages for it. A
 * place of the ring may be used again when its bytes have left all pipes: they are read in order, and between
 * here and the file there are the agent's pipe and the one by which its thread moves them, of STAGE bytes
 * at most each, so what is a whole ring behind has long been written.
 */
static char *ring;
static size_t ring_at;

static char *take_ring(size_t len)
{
	char *at;

	if (!ring) {
		void *map = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
				 -1, 0);

		ring = map == MAP_FAILED ? NULL : map;
	}
	if (!ring)
		return NULL;
	if (ring_at + len > RING)
		ring_at = 0;
	at = ring + ring_at;
	ring_at += (len + PAGE - 1) / PAGE * PAGE;
	return at;
}

static int write_frame(const struct bl_arrival *file, const char *data, size_t len, int64_t at)
{
	struct iovec lent = {.iov_base = take_ring(len), .iov_len = len};
	size_t staged = sizeof(struct bl_job_frame);
	int rc = lent.iov_base ? stage_head(file, len, at) : -ENOMEM;

	if (rc < 0)
		return rc;
	memcpy(lent.iov_base, data, len);
	while (rc >= 0 && lent.iov_len > 0) {
		ssize_t n = vmsplice(stage[1], &lent, 1, SPLICE_F_NONBLOCK);

		if (n < 0 && errno == EAGAIN && staged > 0) { /* a small stage */
			rc = leave_stage(staged);
			staged = 0;
		} else if (n <= 0) {
			return -EPIPE;
		} else {
			staged += (size_t)n;
			lent.iov_base = (char *)lent.iov_base + n;
			lent.iov_len -= (size_t)n;
		}
	}
	return rc < 0 ? rc : leave_stage(staged);
}

int bl_outlet_write(const struct bl_arrival *file, const void *data, size_t len, int64_t at)
{
	const char *from = data;
	int rc = 0;

	if (!file->framed)
		return bl_sys_pwrite_all(file->fd, data, len, at);
	while (rc >= 0 && len > 0) {
		size_t part = len < PIECE ? len : PIECE;

		rc = write_frame(file, from, part, at);
		from += part;
		at += (int64_t)part;
		len -= part;
	}
	return rc;
}

static int move_frame(const struct bl_arrival *file, int pipe, size_t len, int64_t at)
{
	size_t staged = sizeof(struct bl_job_frame);
	int rc = stage_head(file, len, at);

	while (rc >= 0 && len > 0) {
		ssize_t n = bl_sys_splice(pipe, stage[1], len);

		if (n == -EAGAIN && staged > 0) { /* it is full */
			rc = leave_stage(staged);
			staged = 0;
		} else if (n <= 0) {
			return -EPIPE;
		} else {
			staged += (size_t)n;
			len -= (size_t)n;
		}
	}
	return rc < 0 ? rc : leave_stage(staged);
}

int bl_outlet_move(const struct bl_arrival *file, int pipe, size_t len, int64_t at)
{
	if (file->framed)
		return move_frame(file, pipe, len, at);
	while (len > 0) {
		ssize_t n = bl_sys_splice_to(pipe, file->fd, at, len);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Filesystems that cannot copy by themselves, and frames. */
static ssize_t copy_through(const struct bl_arrival *file, int from, size_t len, int64_t at)
{
	auto_free char *piece = malloc(PIECE);
	ssize_t n;
	int rc;

	if (!piece)
		return -ENOMEM;
	n = bl_sys_pread(from, piece, len < PIECE ? len : PIECE, at);
	if (n <= 0)
		return n;
	rc = bl_outlet_write(file, piece, (size_t)n, at);
	return rc < 0 ? rc : n;
}

ssize_t bl_outlet_copy(const struct bl_arrival *file, int from, size_t len, int64_t at)
{
	off_t in = at, out = at;
	ssize_t n = file->framed ? -1 : copy_file_range(from, &in, file->fd, &out, len, 0);

	if (n >= 0)
		return n;
	if (!file->framed && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP &&
	    errno != ENOSYS)
		return -errno;
	return copy_through(file, from, len, at);
}

int bl_outlet_end(const struct bl_arrival *file)
{
	int rc = stage_head(file, 0, 0);

	return rc < 0 ? rc : leave_stage(sizeof(struct bl_job_frame));
}
