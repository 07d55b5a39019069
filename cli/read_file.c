// SPDX-License-Identifier: Apache-2.0
#include "cli/read_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

int bl_read_file(const char *path, bool pipes, struct bl_buf *buf, struct bl_err *err)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (pipes ? 0 : O_NONBLOCK));
	struct stat st;
	int r;

	if (fd < 0)
		return bl_err_set(err, BL_EX_CONFIG, errno, "%s: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !(pipes && S_ISFIFO(st.st_mode))))
		return bl_err_set(err, BL_EX_CONFIG, EISDIR, "%s: is no file", path);
	r = bl_buf_read(buf, fd, err);
	if (r < 0) {
		bl_err_wrap(err, "%s: ", path);
		if (err)
			err->code = BL_EX_CONFIG;
	}
	return r;
}
