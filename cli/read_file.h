/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a file that a person, or the host's configuration, names: through links, unlike
 * bl_fs_read_file(), which is for what somebody else may have put there.
 */
#ifndef BL_READ_FILE_H
#define BL_READ_FILE_H

#include <stdbool.h>

struct bl_buf;
struct bl_err;

/*
 * Appends the file's text to buf, whose maximum bounds it. pipes: a pipe is waited for, as a shell's <(...)
 * wants it, for what the person who runs us has named; else it is refused, for it may have no writer.
 * BL_EX_CONFIG, with the path first; -EISDIR for what is no file.
 */
int bl_read_file(const char *path, bool pipes, struct bl_buf *buf, struct bl_err *err);

#endif
