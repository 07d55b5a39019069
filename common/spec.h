/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's orders: /run/ballast/spec, written by the hook (or `ballast`), read by the shim.
 *
 *   "BLSPEC" u8 version=1 u8 0, then records: u16 type, u16 0, u32 length, length bytes; little
 *   endian, no padding; the last record is BL_SPEC_END with length 0 and nothing follows it.
 *
 * Policy is compiled on the host: the shim gets masks, a BPF program and finished text. An unknown
 * or repeated record (but for those marked "many") is a refusal, so that an old shim never runs a
 * newer policy in part. This file and spec.c use neither JSON nor any library: the shim is static
 * and small.
 */
#ifndef BL_SPEC_H
#define BL_SPEC_H

#include <stddef.h>
#include <stdint.h>

struct bl_buf;
struct bl_err;

#define BL_SPEC_VERSION 1
#define BL_SPEC_MAX	(16 * 1024 * 1024) /* bytes of a spec */

enum bl_spec_type {
	BL_SPEC_END = 0,
	BL_SPEC_START_COMMAND = 1, /* text for `sh -c` */
	BL_SPEC_RUN_AS = 2,	   /* u32: run_as_user_id (1 to 2^31-1, not 60000) */
	BL_SPEC_FLAGS = 3,	   /* u32: BL_SPEC_FLAG_* */
	BL_SPEC_ENV = 4,	   /* many: NAME=VALUE, in the order to apply */
	BL_SPEC_KEEP_CAPS = 5,	   /* u64: mask of capabilities that the operator keeps */
	BL_SPEC_SECCOMP = 6,	   /* struct sock_filter[]: the BPF program, host byte order */
	BL_SPEC_MOUNT = 7, /* many: mount_location of each weights set, to be left alone and,
				      when deferred, to be checked against the gate's lines */
	BL_SPEC_HOME = 8,  /* HOME of config.json's process.env, where it counts */
	BL_SPEC_USER = 9,  /* u32 uid, u32 gid: process.user as config.json has it */
};

enum bl_spec_flags {
	BL_SPEC_FLAG_INIT = 1U << 0,	 /* stay as PID 1 */
	BL_SPEC_FLAG_NO_BUILD = 1U << 1, /* no_build: without run_as keep process.user */
	BL_SPEC_FLAG_DEFERRED = 1U << 2, /* wait at the gate before anything else */
	BL_SPEC_FLAG_NO_CHOWN = 1U << 3, /* leave /app and the others as they are */
};

/* ---- Writing: append to a buffer whose maximum is BL_SPEC_MAX ---- */

/*
 * What the reader would refuse is refused here too: BL_EX_CONFIG and -EINVAL for a misshapen
 * value (an empty text, a NUL, an environment variable without a name, a wrong run_as_user_id),
 * -EFBIG where it does not fit.
 */
int bl_spec_begin(struct bl_buf *buf, struct bl_err *err);
int bl_spec_add(struct bl_buf *buf, enum bl_spec_type type, const void *data, size_t len,
		struct bl_err *err);
int bl_spec_add_text(struct bl_buf *buf, enum bl_spec_type type, const char *text,
		     struct bl_err *err);
int bl_spec_add_u32(struct bl_buf *buf, enum bl_spec_type type, uint32_t value, struct bl_err *err);
int bl_spec_add_u64(struct bl_buf *buf, enum bl_spec_type type, uint64_t value, struct bl_err *err);
int bl_spec_add_user(struct bl_buf *buf, uint32_t uid, uint32_t gid, struct bl_err *err);
int bl_spec_end(struct bl_buf *buf, struct bl_err *err);

/* ---- Reading: one record after the other out of a caller's bytes ---- */

struct bl_spec_reader {
	const uint8_t *at;
	size_t left;
	uint32_t seen; /* types that have come, to refuse a repetition */
};

struct bl_spec_record {
	enum bl_spec_type type;
	const uint8_t *data; /* borrowed from the reader's bytes */
	uint32_t len;
};

/* Checks the header. -EINVAL where it is not ours, is another version, or is too large. */
int bl_spec_open(struct bl_spec_reader *reader, const void *data, size_t len, struct bl_err *err);

/*
 * 1 with *ret filled, 0 at BL_SPEC_END, -EINVAL for an unknown, repeated, truncated or misshapen
 * record: numbers have their exact length, texts are not empty and hold no NUL.
 */
int bl_spec_next(struct bl_spec_reader *reader, struct bl_spec_record *ret, struct bl_err *err);
uint32_t bl_spec_u32(const struct bl_spec_record *record);
uint64_t bl_spec_u64(const struct bl_spec_record *record);

#endif
