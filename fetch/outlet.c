/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/job.h"
#include "common/sys.h"

#define PIECE (1024 * 1024) /* bytes copied at once where the kernel cannot */

static int send_frame(const struct bl_arrival *file, size_t len, int64_t at)
{
	const struct bl_job_frame frame = {file->number, (uint32_t)len, (uint64_t)at};

	return bl_sys_write_all(BL_JOB_PIPE_FD, &frame, sizeof(frame));
}

int bl_outlet_write(const struct bl_arrival *file, const void *data, size_t len, int64_t at)
{
	int rc;

	if (!file->framed)
		return bl_sys_pwrite_all(file->fd, data, len, at);
	rc = len ? send_frame(file, len, at) : 0;
	return rc < 0 ? rc : bl_sys_write_all(BL_JOB_PIPE_FD, data, len);
}

/* Its neighbour does not wait, so this one does. */
static ssize_t move_on(int pipe, size_t len)
{
	struct pollfd room = {.fd = BL_JOB_PIPE_FD, .events = POLLOUT};
	ssize_t n;

	while ((n = bl_sys_splice(pipe, BL_JOB_PIPE_FD, len)) == -EAGAIN)
		(void)poll(&room, 1, -1);
	return n;
}

int bl_outlet_move(const struct bl_arrival *file, int pipe, size_t len, int64_t at)
{
	int rc = file->framed && len ? send_frame(file, len, at) : 0;

	while (rc >= 0 && len > 0) {
		ssize_t n = file->framed ? move_on(pipe, len)
					 : bl_sys_splice_to(pipe, file->fd, at, len);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return rc;
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
	return send_frame(file, 0, 0);
}
