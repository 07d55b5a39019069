// SPDX-License-Identifier: Apache-2.0
#include "common/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define BL_BUF_FIRST 256
/* Most files are small, and memory that is asked for is memory that the kernel has to give. */
#define BL_BUF_READ_FIRST 4000
#define BL_BUF_READ_STEP  16384

void bl_buf_done(struct bl_buf *buf)
{
	int saved = errno;

	free(buf->data);
	*buf = BL_BUF_INIT(buf->max);
	errno = saved;
}

char *bl_buf_reserve(struct bl_buf *buf, size_t len, struct bl_err *err)
{
	size_t need;
	size_t cap;
	char *data;

	if (len > buf->max || buf->len > buf->max - len) {
		(void)bl_err_set(err, BL_EX_INTERNAL, EFBIG, "more than the maximum of %zu bytes",
				 buf->max);
		return NULL;
	}
	need = buf->len + len + 1;
	if (need <= buf->cap)
		return buf->data + buf->len;
	cap = buf->cap ? buf->cap : BL_BUF_FIRST;
	while (cap < need)
		cap *= 2;
	data = realloc(buf->data, cap);
	if (!data) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	buf->data = data;
	buf->cap = cap;
	buf->data[buf->len] = '\0';
	return buf->data + buf->len;
}

int bl_buf_append(struct bl_buf *buf, const void *data, size_t len, struct bl_err *err)
{
	char *to = bl_buf_reserve(buf, len, err);

	if (!to)
		return len > buf->max || buf->len > buf->max - len ? -EFBIG : -ENOMEM;
	if (len > 0)
		memcpy(to, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int bl_buf_puts(struct bl_buf *buf, const char *text, struct bl_err *err)
{
	return bl_buf_append(buf, text, strlen(text), err);
}

int bl_buf_putf(struct bl_buf *buf, struct bl_err *err, const char *fmt, ...)
{
	auto_free char *text = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0) {
		text = NULL;
		return bl_err_nomem(err);
	}
	return bl_buf_append(buf, text, (size_t)len, err);
}

int bl_buf_read(struct bl_buf *buf, int fd, struct bl_err *err)
{
	for (;;) {
		/* One byte past the maximum is asked for, so that "exactly full" and "too much" differ. */
		size_t room = buf->max - buf->len;
		char spare;
		ssize_t n;

		if (room == 0) {
			n = bl_sys_read(fd, &spare, 1);
		} else {
			/* What the caller has reserved is filled before more is. */
			size_t left = buf->cap > buf->len + 1 ? buf->cap - buf->len - 1 : 0;
			size_t want = left > 0	     ? left
				      : buf->len > 0 ? BL_BUF_READ_STEP
						     : BL_BUF_READ_FIRST;
			size_t step = room < want ? room : want;
			char *to = bl_buf_reserve(buf, step, err);

			if (!to)
				return -ENOMEM;
			n = bl_sys_read(fd, to, step);
		}
		if (n < 0)
			return bl_err_sys(err, (int)-n, "read");
		if (n == 0)
			return 0;
		if (room == 0)
			return bl_err_set(err, BL_EX_INTERNAL, EFBIG,
					  "more than the maximum of %zu bytes", buf->max);
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
}

void bl_buf_consume(struct bl_buf *buf, size_t n)
{
	if (n == 0)
		return;
	buf->len -= n;
	memmove(buf->data, buf->data + n, buf->len + 1);
}

const char *bl_buf_str(const struct bl_buf *buf)
{
	return buf->data ? buf->data : "";
}

char *bl_buf_take(struct bl_buf *buf)
{
	char *data = TAKE_PTR(buf->data);

	buf->len = 0;
	buf->cap = 0;
	return data;
}
