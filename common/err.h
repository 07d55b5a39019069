/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error value. A function that can fail takes `struct bl_err *err` as its last parameter and
 * returns >= 0 for success and -Exxx for failure with *err filled; there is no third meaning. The
 * caller owns the value, nothing is allocated. `code` is the exit status that a program ends with
 * if nobody knows better. Context is added once a layer by bl_err_wrap() and names the object, not
 * the function: "mount '/models/llama': ...".
 *
 * Messages may hold bytes from outside as they came: whoever prints one escapes it (common/log.h).
 */
#ifndef BL_ERR_H
#define BL_ERR_H

#include <errno.h>

/* Exit statuses, after sysexits.h; the contract is in docs/errors.md. */
enum bl_exit {
	BL_EX_OK = 0,
	BL_EX_CONFIG = 64,	/* annotation or configuration is wrong; a retry will not help */
	BL_EX_UNAVAILABLE = 69, /* the agent cannot be reached */
	BL_EX_INTERNAL = 70,	/* internal error */
	BL_EX_RETRY = 75,	/* not ready in time, or the origin failed; a retry may help */
	BL_EX_REFUSED = 77,	/* what was asked for would not be safe */
};

#define BL_ERR_MSG_MAX 512

struct bl_err {
	int code;
	char msg[BL_ERR_MSG_MAX];
};

/*
 * Fills *err (which may be NULL) with the exit status `code` and the formatted message, cut at
 * BL_ERR_MSG_MAX - 1 bytes. Returns -errnum (errnum > 0), to be returned by the caller.
 */
int bl_err_set(struct bl_err *err, int code, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Likewise with BL_EX_INTERNAL, and ": <text of errnum>" appended. */
int bl_err_sys(struct bl_err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Puts the formatted prefix, as it is, before err's message: end it with ": " where one is wanted.
 * The end of the message is what is cut when both do not fit.
 */
void bl_err_wrap(struct bl_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define bl_err_config(err, ...) bl_err_set((err), BL_EX_CONFIG, EINVAL, __VA_ARGS__)
#define bl_err_refuse(err, ...) bl_err_set((err), BL_EX_REFUSED, EPERM, __VA_ARGS__)
#define bl_err_retry(err, ...)	bl_err_set((err), BL_EX_RETRY, EAGAIN, __VA_ARGS__)
#define bl_err_nomem(err)	bl_err_set((err), BL_EX_INTERNAL, ENOMEM, "out of memory")

#endif
