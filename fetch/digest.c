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

/* ---- CRCs: by table, eight bytes a step. ---- */

/* One of which bits are taken from the lowest on, that begins with ones and is inverted at its end. */
struct crc {
	uint64_t polynomial; /* reversed */
	size_t len;	     /* bytes */
	uint64_t table[8][256];
};

static struct crc crc32c = {.polynomial = 0x82f63b78, .len = 4};	    /* Castagnoli */
static struct crc crc32 = {.polynomial = 0xedb88320, .len = 4};		    /* of Ethernet, gzip */
static struct crc crc64nvme = {.polynomial = 0x9a6c9329ac4bc9b5, .len = 8}; /* of NVM Express */

static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void prepare(struct crc *kind)
{
	for (uint64_t i = 0; i < 256; i++) {
		uint64_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ kind->polynomial : crc >> 1;
		kind->table[0][i] = crc;
	}
	for (int t = 1; t < 8; t++)
		for (size_t i = 0; i < 256; i++) {
			uint64_t before = kind->table[t - 1][i];

			kind->table[t][i] = before >> 8 ^ kind->table[0][before & 255];
		}
}

static void crc_prepare(void)
{
	prepare(&crc32c);
	prepare(&crc32);
	prepare(&crc64nvme);
}

static uint64_t crc_update(const struct crc *kind, uint64_t crc, const unsigned char *data,
			   size_t len)
{
	const uint64_t(*table)[256] = kind->table;

	for (; len >= 8; data += 8, len -= 8) {
		for (int i = 0; i < 8; i++)
			crc ^= (uint64_t)data[i] << 8 * i;
		crc = table[7][crc & 255] ^ table[6][crc >> 8 & 255] ^ table[5][crc >> 16 & 255] ^
		      table[4][crc >> 24 & 255] ^ table[3][crc >> 32 & 255] ^
		      table[2][crc >> 40 & 255] ^ table[1][crc >> 48 & 255] ^ table[0][crc >> 56];
	}
	for (; len; data++, len--)
		crc = crc >> 8 ^ table[0][(crc ^ *data) & 255];
	return crc;
}

/* ---- Of a file ---- */

static void free_md(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

/* One pass over the file, into md or, where that is NULL, by the CRC into *crc. */
static int read_through(int fd, int64_t size, EVP_MD_CTX *md, const struct crc *kind, uint64_t *crc,
			struct bl_err *err)
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
		if (!md)
			*crc = crc_update(kind, *crc, chunk, (size_t)n);
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
	int rc = read_through(fd, size, md, NULL, NULL, err);
	if (rc < 0)
		return rc;
	if (!EVP_DigestFinal_ex(md, out, &len) || len > sizeof(ret->bytes))
		return bl_err_set(err, BL_EX_INTERNAL, EIO, "OpenSSL cannot digest");
	memcpy(ret->bytes, out, len);
	ret->len = (unsigned char)len;
	return 0;
}

static int crc_of_file(const struct crc *kind, int fd, int64_t size, struct bl_digest *ret,
		       struct bl_err *err)
{
	uint64_t crc = UINT64_MAX >> (64 - 8 * kind->len);

	pthread_once(&crc_once, crc_prepare);
	int rc = read_through(fd, size, NULL, kind, &crc, err);
	if (rc < 0)
		return rc;
	crc = ~crc;
	*ret = (struct bl_digest){.len = (unsigned char)kind->len};
	for (size_t i = 0; i < kind->len; i++)
		ret->bytes[i] = (unsigned char)(crc >> 8 * (kind->len - 1 - i));
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
		return crc_of_file(&crc32c, fd, size, ret, err);
	case BL_DIGEST_CRC64NVME:
		return crc_of_file(&crc64nvme, fd, size, ret, err);
	case BL_DIGEST_CRC32:
		return crc_of_file(&crc32, fd, size, ret, err);
	}
	return bl_err_set(err, BL_EX_INTERNAL, EINVAL, "unknown digest");
}
