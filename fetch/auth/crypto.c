// SPDX-License-Identifier: Apache-2.0
/* See crypto.h. */
#include "fetch/auth/crypto.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

/* OpenSSL's queue of errors is emptied: what stays there would surface in another call. */
static int failed(const char *what, struct bl_err *err)
{
	ERR_clear_error();
	return bl_err_set(err, BL_EX_INTERNAL, EIO, "OpenSSL cannot compute %s", what);
}

int bl_crypto_sha256_hex(const void *data, size_t len, char to[static BL_CRYPTO_HEX],
			 struct bl_err *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;

	if (!EVP_Digest(data, len, digest, &digest_len, EVP_sha256(), NULL))
		return failed("a SHA-256", err);
	bl_crypto_hex(digest, digest_len, to);
	return 0;
}

int bl_crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
			  unsigned char to[static BL_CRYPTO_SHA256], struct bl_err *err)
{
	unsigned to_len = 0;

	if (key_len > INT_MAX || !HMAC(EVP_sha256(), key, (int)key_len, data, len, to, &to_len))
		return failed("an HMAC", err);
	return 0;
}

void bl_crypto_hex(const void *data, size_t len, char *to)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		to[2 * i] = digits[bytes[i] >> 4];
		to[2 * i + 1] = digits[bytes[i] & 0xf];
	}
	to[2 * len] = '\0';
}

int bl_crypto_base64(struct bl_buf *to, const void *data, size_t len, struct bl_err *err)
{
	size_t need = (len + 2) / 3 * 4;
	/* EVP_EncodeBlock() writes a NUL too. */
	char *room = len < INT_MAX / 2 ? bl_buf_reserve(to, need + 1, err) : NULL;

	if (!room)
		return -EFBIG;
	EVP_EncodeBlock((unsigned char *)room, data, (int)len);
	to->len += need;
	return 0;
}

int bl_crypto_base64url(struct bl_buf *to, const void *data, size_t len, struct bl_err *err)
{
	size_t start = to->len;
	int r = bl_crypto_base64(to, data, len, err);

	if (r < 0)
		return r;
	while (to->len > start && to->data[to->len - 1] == '=')
		to->data[--to->len] = '\0';
	for (size_t i = start; i < to->len; i++) {
		if (to->data[i] == '+')
			to->data[i] = '-';
		else if (to->data[i] == '/')
			to->data[i] = '_';
	}
	return 0;
}

int bl_crypto_unbase64(struct bl_buf *to, const char *text, struct bl_err *err)
{
	size_t len = strlen(text);
	size_t digits = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/");
	char *room;
	int made;

	if (len == 0 || len % 4 != 0 || len > INT_MAX / 2 || len - digits > 2 ||
	    strspn(text + digits, "=") != len - digits)
		return -EINVAL;
	room = bl_buf_reserve(to, len / 4 * 3 + 1, err);
	if (!room)
		return -EFBIG;
	made = EVP_DecodeBlock((unsigned char *)room, (const unsigned char *)text, (int)len);
	if (made < 0)
		return -EINVAL;
	to->len += (size_t)made - (len - digits);
	to->data[to->len] = '\0';
	return 0;
}

/* ---- RS256 ---- */

static void free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void free_context(EVP_MD_CTX **context)
{
	EVP_MD_CTX_free(*context);
}

/* An encrypted key has no passphrase here, and none is asked for on a terminal. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the type is OpenSSL's */
static int no_passphrase(char *to, int size, int writing, void *ctx)
{
	(void)to;
	(void)size;
	(void)writing;
	(void)ctx;
	return 0;
}

static EVP_PKEY *read_key(const char *pem)
{
	size_t len = strlen(pem);
	BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	if (key && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return key;
}

int bl_crypto_rs256(struct bl_buf *to, const char *private_key, const char *text,
		    struct bl_err *err)
{
	__attribute__((cleanup(free_key))) EVP_PKEY *key = read_key(private_key);
	__attribute__((cleanup(free_context))) EVP_MD_CTX *context = EVP_MD_CTX_new();
	const unsigned char *data = (const unsigned char *)text;
	size_t len = 0;
	char *room;

	if (!key) {
		ERR_clear_error();
		return bl_err_config(err, "private_key is no RSA key in PEM");
	}
	if (!context || EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) <= 0 ||
	    EVP_DigestSign(context, NULL, &len, data, strlen(text)) <= 0)
		return failed("a signature", err);
	room = bl_buf_reserve(to, len, err);
	if (!room)
		return -EFBIG;
	if (EVP_DigestSign(context, (unsigned char *)room, &len, data, strlen(text)) <= 0)
		return failed("a signature", err);
	to->len += len;
	to->data[to->len] = '\0';
	return 0;
}

/* ---- Secrets ---- */

void bl_crypto_free_secret(char **secret)
{
	int saved = errno;

	if (*secret)
		OPENSSL_cleanse(*secret, strlen(*secret));
	free(*secret);
	*secret = NULL;
	errno = saved;
}

void bl_crypto_wipe(struct bl_buf *buf)
{
	if (buf->data)
		OPENSSL_cleanse(buf->data, buf->cap);
	bl_buf_done(buf);
}
