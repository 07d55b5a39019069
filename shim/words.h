/* SPDX-License-Identifier: Apache-2.0 */
/*
 * start_command in an image without a shell: split into words by the shell's quoting rules
 * (POSIX XCU 2.2). What only a shell can do (operators, expansions, patterns, assignments,
 * reserved words, its own commands) is an error that says so, never passed on as text.
 */
#ifndef BL_SHIM_WORDS_H
#define BL_SHIM_WORDS_H

#include <stddef.h>

struct bl_err;

struct bl_words {
	char **list; /* owned, NULL-terminated */
	size_t count;
	char *bytes; /* owned: where the words lie */
};

#define auto_words __attribute__((cleanup(bl_words_done))) struct bl_words

/* ret is zero-initialised by the caller. BL_EX_CONFIG and -EINVAL for what needs a shell. */
int bl_words_split(struct bl_words *ret, const char *text, struct bl_err *err);

void bl_words_done(struct bl_words *words);

#endif
