/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The digests by which origins say what a file holds: how they are written, and computing those
 * that nobody else checks.
 */
#ifndef BL_FETCH_DIGEST_H
#define BL_FETCH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_err;

/* A promise's digest; `len` 0 where the origin makes none. */
struct bl_digest {
	unsigned char bytes[32];
	unsigned char len;
};

/* Hexadecimal or base64 text into a digest of exactly len bytes; -EINVAL if it is not one. */
int bl_digest_from_hex(const char *hex, size_t len, struct bl_digest *ret);
int bl_digest_from_base64(const char *base64, size_t len, struct bl_digest *ret);
/* Lower-case hexadecimal into to[2 * len + 1]. */
void bl_digest_to_hex(const struct bl_digest *digest, char *to);
bool bl_digest_equal(const struct bl_digest *a, const struct bl_digest *b);

/* SHA-256 is for `pull` by hand, which publishes by itself; the agent computes its own. */
enum bl_digest_kind {
	BL_DIGEST_GIT_SHA1,
	BL_DIGEST_MD5,
	BL_DIGEST_CRC32C,
	BL_DIGEST_SHA256,
	BL_DIGEST_CRC64NVME,
	BL_DIGEST_CRC32,
};

/* Reads the `size` bytes of fd and computes one digest of them. */
int bl_digest_of_file(enum bl_digest_kind kind, int fd, int64_t size, struct bl_digest *ret,
		      struct bl_err *err);

#endif
