/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few acts of OpenSSL that signatures are made of, and how a secret is given back.
 */
#ifndef BL_FETCH_AUTH_CRYPTO_H
#define BL_FETCH_AUTH_CRYPTO_H

#include <stddef.h>

struct bl_buf;
struct bl_err;

#define BL_CRYPTO_SHA256 32			    /* bytes of a SHA-256 */
#define BL_CRYPTO_HEX	 (2 * BL_CRYPTO_SHA256 + 1) /* its hexadecimal text, with the NUL */

int bl_crypto_sha256_hex(const void *data, size_t len, char to[static BL_CRYPTO_HEX],
			 struct bl_err *err);
int bl_crypto_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len,
			  unsigned char to[static BL_CRYPTO_SHA256], struct bl_err *err);
/* Lower-case hexadecimal into to[2 * len + 1]. */
void bl_crypto_hex(const void *data, size_t len, char *to);

/* Appends base64 with padding, or the form for URLs (RFC 4648, 5) without. */
int bl_crypto_base64(struct bl_buf *to, const void *data, size_t len, struct bl_err *err);
int bl_crypto_base64url(struct bl_buf *to, const void *data, size_t len, struct bl_err *err);
/* Appends the bytes of strict base64 text; -EINVAL (err untouched) where it is none. */
int bl_crypto_unbase64(struct bl_buf *to, const char *text, struct bl_err *err);

/* Appends the RS256 signature of the text by a private key in PEM (PKCS #8 or PKCS #1). -EINVAL
 * (BL_EX_CONFIG) where the text is no RSA key; the message shows none of it. */
int bl_crypto_rs256(struct bl_buf *to, const char *private_key, const char *text,
		    struct bl_err *err);

/* Overwrites and frees a secret text, keeps errno; the pointer is NULL afterwards. */
void bl_crypto_free_secret(char **secret);
#define auto_secret __attribute__((cleanup(bl_crypto_free_secret))) char *
/* Overwrites a buffer's content and frees it. */
void bl_crypto_wipe(struct bl_buf *buf);
#define auto_secret_buf __attribute__((cleanup(bl_crypto_wipe))) struct bl_buf

#endif
