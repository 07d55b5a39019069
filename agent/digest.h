/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256, the one digest that names content in the cache. libcrypto computes it (it uses the
 * processor's instructions); no other file of the store calls libcrypto. Everything here is safe
 * on any thread.
 */
#ifndef BL_DIGEST_H
#define BL_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_err;

#define BL_DIGEST_SIZE 32
#define BL_DIGEST_HEX  65 /* bytes of the text, with its NUL */

struct bl_digest {
	uint8_t bytes[BL_DIGEST_SIZE];
};

/* 64 lower-case hexadecimal digits and a NUL. */
void bl_digest_to_hex(const struct bl_digest *digest, char hex[BL_DIGEST_HEX]);
/* 0, or -EINVAL where text is not exactly 64 lower-case hexadecimal digits. */
int bl_digest_from_hex(const char *text, struct bl_digest *ret);
bool bl_digest_equal(const struct bl_digest *a, const struct bl_digest *b);
/* As memcmp(). */
int bl_digest_compare(const struct bl_digest *a, const struct bl_digest *b);

/* Bytes that come piece by piece. A stream is used by one thread at a time. */
struct bl_digest_stream;
struct bl_digest_stream *bl_digest_stream_new(void); /* NULL when memory ran out */
void bl_digest_stream_free(struct bl_digest_stream **stream);
#define auto_digest_stream __attribute__((cleanup(bl_digest_stream_free))) struct bl_digest_stream *
int bl_digest_stream_add(struct bl_digest_stream *stream, const void *data, size_t len,
			 struct bl_err *err);
/* Adds the bytes [from, to) of fd, a regular file; -EIO where it ends before. */
int bl_digest_stream_read(struct bl_digest_stream *stream, int fd, uint64_t from, uint64_t to,
			  struct bl_err *err);
/* The digest of all that was added; the stream can only be freed afterwards. */
int bl_digest_stream_finish(struct bl_digest_stream *stream, struct bl_digest *ret,
			    struct bl_err *err);

/* How fast a file is read: asked after each piece of at most 1 MiB, and while it waits. */
struct bl_digest_pace {
	uint64_t bytes_per_second; /* 0: as fast as it goes */
	const bool *stop; /* where not NULL and true: -ECANCELED. Read with __atomic_load_n */
};

int bl_digest_bytes(const void *data, size_t len, struct bl_digest *ret, struct bl_err *err);

/*
 * The digest of all of fd (a regular file, read from its beginning by pread) and its length.
 * pace may be NULL; with a rate the pages read are dropped from the page cache again.
 */
int bl_digest_file(int fd, const struct bl_digest_pace *pace, struct bl_digest *ret,
		   uint64_t *ret_size, struct bl_err *err);

#endif
