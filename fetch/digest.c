/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"
#include "fetch/hex.h"

#define CHUNK (256 * 1024) /* bytes read at a time */

int bl_digest_from_hex(const char *hex, size_t len, struct bl_digest *ret)
{
	struct bl_digest digest = {.len = (unsigned char)len};

	if (len > sizeof(digest.bytes) || strlen(hex) != 2 * len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int high = bl_hex_value(hex[2 * i]), low = bl_hex_value(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		digest.bytes[i] = (unsigned char)(high << 4 | low);
	}
	*ret = digest;
	return 0;
}

int bl_digest_from_base64(const char *base64, size_t len, struct bl_digest *ret)
{
	struct bl_digest digest = {.len = (unsigned char)len};
	unsigned char decoded[64];
	size_t text = strlen(base64);

	if (len > sizeof(digest.bytes) || text != (len + 2) / 3 * 4)
		return -EINVAL;
	/* EVP_DecodeBlock counts the padding's bytes as well. */
	int n = EVP_DecodeBlock(decoded, (const unsigned char *)base64, (int)text);
	size_t padding = (3 - len % 3) % 3;
	if (n < 0 || (size_t)n != len + padding || strcspn(base64, "=") != text - padding)
		return -EINVAL;
	memcpy(digest.bytes, decoded, len);
	*ret = digest;
	return 0;
}

void bl_digest_to_hex(const struct bl_digest *digest, char *to)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < digest->len; i++) {
		*to++ = digits[digest->bytes[i] >> 4];
		*to++ = digits[digest->bytes[i] & 15];
	}
	*to = '\0';
}

bool bl_digest_equal(const struct bl_digest *a, const struct bl_digest *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* ---- CRC-32C (Castagnoli): by table, eight bytes a step. ---- */

static uint32_t crc_table[8][256];

static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_prepare(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78U : crc >> 1;
		crc_table[0][i] = crc;
	}
	for (int t = 1; t < 8; t++)
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t before = crc_table[t - 1][i];

			crc_table[t][i] = before >> 8 ^ crc_table[0][before & 255];
		}
}

static uint32_t crc_update(uint32_t crc, const unsigned char *data, size_t len)
{
	for (; len >= 8; data += 8, len -= 8) {
		crc ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 |
		       (uint32_t)data[3] << 24;
		crc = crc_table[7][crc & 255] ^ crc_table[6][crc >> 8 & 255] ^
		      crc_table[5][crc >> 16 & 255] ^ crc_table[4][crc >> 24] ^
		      crc_table[3][data[4]] ^ crc_table[2][data[5]] ^ crc_table[1][data[6]] ^
		      crc_table[0][data[7]];
	}
	for (; len; data++, len--)
		crc = crc >> 8 ^ crc_table[0][(crc ^ *data) & 255];
	return crc;
}

/* ---- Of a file ---- */

static void free_md(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

/* One pass over the file into either of the two; the other is NULL. */
static int read_through(int fd, int64_t size, EVP_MD_CTX *md, uint32_t *crc, struct bl_err *err)
{
	auto_free unsigned char *chunk = malloc(CHUNK);

	if (!chunk)
		return bl_err_nomem(err);
	for (int64_t at = 0; at < size;) {
		size_t want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
		ssize_t n = bl_sys_pread(fd, chunk, want, at);

		if (n < 0)
			return bl_err_sys(err, (int)-n, "read back");
		if (n == 0)
			return bl_err_set(err, BL_EX_RETRY, EILSEQ,
					  "the file is shorter than said");
		if (md && !EVP_DigestUpdate(md, chunk, (size_t)n))
			return bl_err_set(err, BL_EX_INTERNAL, EIO, "OpenSSL cannot digest");
		if (crc)
			*crc = crc_update(*crc, chunk, (size_t)n);
		at += n;
	}
	return 0;
}

static int evp_of_file(const EVP_MD *type, const char *prefix, size_t prefix_len, int fd,
		       int64_t size, struct bl_digest *ret, struct bl_err *err)
{
	__attribute__((cleanup(free_md))) EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!md || !EVP_DigestInit_ex(md, type, NULL) || !EVP_DigestUpdate(md, prefix, prefix_len))
		return bl_err_set(err, BL_EX_INTERNAL, EIO, "OpenSSL lacks a digest");
	int rc = read_through(fd, size, md, NULL, err);
	if (rc < 0)
		return rc;
	if (!EVP_DigestFinal_ex(md, out, &len) || len > sizeof(ret->bytes))
		return bl_err_set(err, BL_EX_INTERNAL, EIO, "OpenSSL cannot digest");
	memcpy(ret->bytes, out, len);
	ret->len = (unsigned char)len;
	return 0;
}

static int crc_of_file(int fd, int64_t size, struct bl_digest *ret, struct bl_err *err)
{
	uint32_t crc = 0xffffffffU;

	pthread_once(&crc_once, crc_prepare);
	int rc = read_through(fd, size, NULL, &crc, err);
	if (rc < 0)
		return rc;
	crc = ~crc;
	*ret = (struct bl_digest){.len = 4};
	for (int i = 0; i < 4; i++)
		ret->bytes[i] = (unsigned char)(crc >> (24 - 8 * i));
	return 0;
}

int bl_digest_of_file(enum bl_digest_kind kind, int fd, int64_t size, struct bl_digest *ret,
		      struct bl_err *err)
{
	char prefix[32];
	int len;

	switch (kind) {
	case BL_DIGEST_GIT_SHA1:
		len = snprintf(prefix, sizeof(prefix), "blob %lld", (long long)size);
		/* the NUL is part of what is hashed */
		return evp_of_file(EVP_sha1(), prefix, (size_t)len + 1, fd, size, ret, err);
	case BL_DIGEST_MD5:
		return evp_of_file(EVP_md5(), "", 0, fd, size, ret, err);
	case BL_DIGEST_SHA256:
		return evp_of_file(EVP_sha256(), "", 0, fd, size, ret, err);
	case BL_DIGEST_CRC32C:
		return crc_of_file(fd, size, ret, err);
	}
	return bl_err_set(err, BL_EX_INTERNAL, EINVAL, "unknown digest");
}
