/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a stated maximum. The content is always followed by a NUL that does
 * not count, so that `data` serves as a string once something was appended (bl_buf_str() serves
 * an empty one too).
 */
#ifndef BL_BUF_H
#define BL_BUF_H

#include <stddef.h>

struct bl_err;

struct bl_buf {
	char *data; /* owned; NULL while nothing was appended */
	size_t len; /* bytes in use */
	size_t cap; /* bytes allocated */
	size_t max; /* len never exceeds this */
};

#define BL_BUF_INIT(maximum) ((struct bl_buf){.max = (maximum)})
#define auto_buf	     __attribute__((cleanup(bl_buf_done))) struct bl_buf

/* Frees the content; the buffer is empty and may be used again. Keeps errno. */
void bl_buf_done(struct bl_buf *buf);

/* Appends. -EFBIG where the maximum would be exceeded (nothing is appended then), -ENOMEM. */
int bl_buf_append(struct bl_buf *buf, const void *data, size_t len, struct bl_err *err);
int bl_buf_puts(struct bl_buf *buf, const char *text, struct bl_err *err);
int bl_buf_putf(struct bl_buf *buf, struct bl_err *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Makes room for `len` more bytes and returns where they go, NULL with *err filled on failure. */
char *bl_buf_reserve(struct bl_buf *buf, size_t len, struct bl_err *err);

/* Reads fd to its end. -EFBIG where there is more than the maximum. Returns 0. */
int bl_buf_read(struct bl_buf *buf, int fd, struct bl_err *err);

/* Drops the first n (<= len) bytes. */
void bl_buf_consume(struct bl_buf *buf, size_t n);

/* The content as a string, "" where it is empty; valid until the next call that changes buf. */
const char *bl_buf_str(const struct bl_buf *buf);

/* Hands the content over to the caller, who frees it; NULL when nothing was ever appended. */
char *bl_buf_take(struct bl_buf *buf);

#endif
