// SPDX-License-Identifier: Apache-2.0
#include "agent/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

/* Bytes read at once: what stays in a core's own cache. A mapping instead saves the copy, and takes a
 * third longer for it: what is hashed then comes from memory. */
#define PIECE (256 * 1024)
/* ns of waiting at most until it is asked again whether to stop. */
#define PAUSE (100 * 1000 * 1000)

struct bl_digest_stream {
	EVP_MD_CTX *context;
};

void bl_digest_to_hex(const struct bl_digest *digest, char hex[BL_DIGEST_HEX])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < BL_DIGEST_SIZE; i++) {
		hex[2 * i] = digits[digest->bytes[i] >> 4];
		hex[2 * i + 1] = digits[digest->bytes[i] & 15];
	}
	hex[BL_DIGEST_HEX - 1] = '\0';
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int bl_digest_from_hex(const char *text, struct bl_digest *ret)
{
	struct bl_digest digest;

	for (size_t i = 0; i < BL_DIGEST_SIZE; i++) {
		int high = hex_value(text[2 * i]);
		int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);

		if (low < 0)
			return -EINVAL;
		digest.bytes[i] = (uint8_t)(high << 4 | low);
	}
	if (text[BL_DIGEST_HEX - 1] != '\0')
		return -EINVAL;
	*ret = digest;
	return 0;
}

int bl_digest_compare(const struct bl_digest *a, const struct bl_digest *b)
{
	return memcmp(a->bytes, b->bytes, BL_DIGEST_SIZE);
}

bool bl_digest_equal(const struct bl_digest *a, const struct bl_digest *b)
{
	return bl_digest_compare(a, b) == 0;
}

static int failed(struct bl_err *err)
{
	return bl_err_set(err, BL_EX_INTERNAL, EIO, "libcrypto cannot compute SHA-256");
}

void bl_digest_stream_free(struct bl_digest_stream **stream)
{
	int saved = errno;

	if (*stream) {
		EVP_MD_CTX_free((*stream)->context);
		free(*stream);
		*stream = NULL;
	}
	errno = saved;
}

struct bl_digest_stream *bl_digest_stream_new(void)
{
	auto_digest_stream stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->context = EVP_MD_CTX_new();
	if (!stream->context || EVP_DigestInit_ex(stream->context, EVP_sha256(), NULL) != 1)
		return NULL;
	return TAKE_PTR(stream);
}

int bl_digest_stream_add(struct bl_digest_stream *stream, const void *data, size_t len,
			 struct bl_err *err)
{
	return EVP_DigestUpdate(stream->context, data, len) == 1 ? 0 : failed(err);
}

int bl_digest_stream_read(struct bl_digest_stream *stream, int fd, uint64_t from, uint64_t to,
			  struct bl_err *err)
{
	auto_free char *piece = malloc(PIECE);

	if (!piece)
		return bl_err_nomem(err);
	while (from < to) {
		size_t most = to - from < PIECE ? (size_t)(to - from) : PIECE;
		ssize_t n = bl_sys_pread(fd, piece, most, (off_t)from);
		int r = n > 0 ? bl_digest_stream_add(stream, piece, (size_t)n, err) : -EIO;

		if (n <= 0)
			return bl_err_sys(err, n < 0 ? (int)-n : EIO, "read");
		if (r < 0)
			return r;
		from += (uint64_t)n;
	}
	return 0;
}

int bl_digest_stream_finish(struct bl_digest_stream *stream, struct bl_digest *ret,
			    struct bl_err *err)
{
	struct bl_digest digest;

	if (EVP_DigestFinal_ex(stream->context, digest.bytes, NULL) != 1)
		return failed(err);
	*ret = digest;
	return 0;
}

int bl_digest_bytes(const void *data, size_t len, struct bl_digest *ret, struct bl_err *err)
{
	auto_digest_stream stream = bl_digest_stream_new();
	int r;

	if (!stream)
		return bl_err_nomem(err);
	r = bl_digest_stream_add(stream, data, len, err);
	return r < 0 ? r : bl_digest_stream_finish(stream, ret, err);
}

static int64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Waits until `done` bytes since `began` are within the rate; at a low one that may be for hours. */
static int keep_pace(const struct bl_digest_pace *pace, uint64_t done, int64_t began,
		     struct bl_err *err)
{
	double rate = pace ? (double)pace->bytes_per_second : 0;
	double due = rate > 0 ? (double)done / rate * 1e9 : 0;

	for (;;) {
		double left = due - (double)(now_ns() - began);

		if (pace && pace->stop && __atomic_load_n(pace->stop, __ATOMIC_RELAXED))
			return bl_err_set(err, BL_EX_RETRY, ECANCELED, "stopped");
		if (left <= 0)
			return 0;
		(void)nanosleep(&(struct timespec){.tv_nsec = left < PAUSE ? (long)left : PAUSE},
				NULL);
	}
}

int bl_digest_file(int fd, const struct bl_digest_pace *pace, struct bl_digest *ret,
		   uint64_t *ret_size, struct bl_err *err)
{
	auto_digest_stream stream = bl_digest_stream_new();
	auto_free char *piece = malloc(PIECE);
	int64_t began = now_ns();
	uint64_t done = 0;
	int r;

	if (!stream || !piece)
		return bl_err_nomem(err);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (;;) {
		ssize_t n = bl_sys_pread(fd, piece, PIECE, (off_t)done);

		if (n < 0)
			return bl_err_sys(err, (int)-n, "read");
		if (n == 0)
			break;
		r = bl_digest_stream_add(stream, piece, (size_t)n, err);
		if (r < 0)
			return r;
		if (pace && pace->bytes_per_second > 0)
			(void)posix_fadvise(fd, (off_t)done, n, POSIX_FADV_DONTNEED);
		done += (uint64_t)n;
		r = keep_pace(pace, done, began, err);
		if (r < 0)
			return r;
	}
	r = bl_digest_stream_finish(stream, ret, err);
	if (r == 0)
		*ret_size = done;
	return r;
}
