/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What S3 promises of an object's content, which a listing does not say: HEAD does ("HeadObject"
 * and "Checking object integrity", Amazon S3 User Guide).
 *
 *   x-amz-checksum-*   of the whole object where x-amz-checksum-type is FULL_OBJECT, or where
 *                      there is no type and no "-N" behind the value; else of its parts' checksums
 *   ETag               the MD5 of an object that was not put in parts ("-N") and is not encrypted
 *                      by a key of KMS or of the customer
 *
 * A request each is worth it only for large files: there are few, and a flipped bit is as likely
 * as they are long.
 */
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/sources/s3.h"

#define LARGE (16 * 1024 * 1024) /* bytes from which a file is asked for */
#define MOST  64		 /* files that are asked for in one listing */

/* Of an object of parts (its ETag has their number) some stores give the checksum of the parts' checksums without a
 * word of that. */
static bool covers_whole(const struct bl_http_headers *headers, const char *value)
{
	const char *type = bl_http_headers_get(headers, "x-amz-checksum-type");
	const char *etag = bl_http_headers_get(headers, "ETag");

	if (type)
		return strcmp(type, "FULL_OBJECT") == 0;
	return !strchr(value, '-') && !(etag && strchr(etag, '-'));
}

static void take_checksum(const struct bl_http_headers *headers, const char *name, size_t len,
			  struct bl_entry *entry, enum bl_digest_kind kind)
{
	const char *value = bl_http_headers_get(headers, name);
	struct bl_digest digest;

	if (value && covers_whole(headers, value) &&
	    bl_digest_from_base64(value, len, &digest) == 0)
		bl_manifest_promise(entry, kind, &digest);
}

/* "d41d8cd98f00b204e9800998ecf8427e" in its quotes, of an object whose ETag is its MD5. */
static void take_md5(const struct bl_http_headers *headers, struct bl_entry *entry)
{
	const char *etag = bl_http_headers_get(headers, "ETag");
	const char *encryption = bl_http_headers_get(headers, "x-amz-server-side-encryption");
	struct bl_digest digest;
	char hex[33];

	if (!etag || strlen(etag) != 34 || !bl_http_is_strong_etag(etag) ||
	    (encryption && strcmp(encryption, "AES256") != 0) ||
	    bl_http_headers_get(headers, "x-amz-server-side-encryption-customer-algorithm"))
		return;
	memcpy(hex, etag + 1, 32);
	hex[32] = '\0';
	if (bl_digest_from_hex(hex, 16, &digest) == 0)
		bl_manifest_promise(entry, BL_DIGEST_MD5, &digest);
}

void bl_s3_take_promises(const struct bl_http_headers *headers, struct bl_entry *entry)
{
	take_checksum(headers, "x-amz-checksum-sha256", 32, entry, BL_DIGEST_SHA256);
	take_checksum(headers, "x-amz-checksum-crc32", 4, entry, BL_DIGEST_CRC32);
	take_checksum(headers, "x-amz-checksum-crc32c", 4, entry, BL_DIGEST_CRC32C);
	take_checksum(headers, "x-amz-checksum-crc64nvme", 8, entry, BL_DIGEST_CRC64NVME);
	take_md5(headers, entry); /* instead of the CRC-64, where it is one */
}

static int ask(struct bl_s3_store *store, struct bl_entry *entry, struct bl_err *err)
{
	auto_free char *key = NULL;
	auto_headers headers = {0};
	auto_answer answer = {0};
	const char *etag;
	int r = bl_http_headers_add(&headers, "x-amz-checksum-mode", "ENABLED", err);

	if (r < 0)
		return r;
	if (asprintf(&key, "%s%s", store->path.prefix, entry->path) < 0) {
		key = NULL;
		return bl_err_nomem(err);
	}
	r = bl_s3_request(store, "HEAD", key, NULL, &headers, &answer, err);
	if (r < 0)
		return r;
	/* It may have changed since it was listed: the ranges' If-Match will tell. */
	etag = bl_http_headers_get(&answer.headers, "ETag");
	if (answer.status != 200 || !etag || !entry->etag || strcmp(etag, entry->etag) != 0)
		return 0;
	bl_s3_take_promises(&answer.headers, entry);
	return 0;
}

int bl_s3_checksums(struct bl_s3_store *store, struct bl_manifest *manifest, struct bl_err *err)
{
	size_t asked = 0;
	int r = 0;

	for (size_t i = 0; i < bl_manifest_count(manifest) && asked < MOST && r >= 0; i++) {
		struct bl_entry *entry = bl_manifest_at(manifest, i);

		if (entry->size < LARGE)
			continue;
		asked++;
		r = ask(store, entry, err);
	}
	return r;
}
