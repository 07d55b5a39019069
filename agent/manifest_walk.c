// SPDX-License-Identifier: Apache-2.0
/*
 * Reading a manifest from disk: a scanner for the one form that agent/manifest.c writes, in a fixed
 * buffer, so that a manifest of a million files is walked through without being held.
 */
#include "agent/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/json.h"
#include "common/sys.h"

#define BLOCK (64U * 1024)

struct reader {
	int fd;
	size_t at, len;
	struct bl_digest_stream *digest; /* or NULL */
	struct bl_err *err;
	char path[2][BL_MANIFEST_PATH_MAX + 1]; /* this entry's and the one's before it */
	char hex[BL_DIGEST_HEX];
	char block[BLOCK];
};

static int bad(const struct reader *reader)
{
	return bl_err_set(reader->err, BL_EX_RETRY, EBADMSG, "not a canonical manifest");
}

/* The next byte, -ENODATA at the end, or another -errno with err filled. */
static int next(struct reader *reader)
{
	ssize_t n;

	if (reader->at < reader->len)
		return (unsigned char)reader->block[reader->at++];
	n = bl_sys_read(reader->fd, reader->block, BLOCK);
	if (n < 0)
		return bl_err_sys(reader->err, (int)-n, "read");
	if (n == 0)
		return -ENODATA;
	if (reader->digest) {
		int r = bl_digest_stream_add(reader->digest, reader->block, (size_t)n, reader->err);

		if (r < 0)
			return r;
	}
	reader->at = 1;
	reader->len = (size_t)n;
	return (unsigned char)reader->block[0];
}

static int expect(struct reader *reader, const char *text)
{
	for (; *text; text++) {
		int c = next(reader);

		if (c < 0 && c != -ENODATA)
			return c;
		if (c != (unsigned char)*text)
			return bad(reader);
	}
	return 0;
}

/* A string after its opening quote, with the closing one. */
static int read_string(struct reader *reader, char *to, size_t size)
{
	for (size_t len = 0;; len++) {
		int c = next(reader);

		if (c == '"') {
			to[len] = '\0';
			return 0;
		}
		/* Of all that is escaped in canonical JSON, only a quote may stand in a path. */
		if (c == '\\') {
			c = next(reader);
			if (c >= 0 && c != '"')
				return bad(reader);
		}
		if (c < 0)
			return c == -ENODATA ? bad(reader) : c;
		if (c == 0 || len + 1 >= size)
			return bad(reader);
		to[len] = (char)c;
	}
}

/* Digits, up to and with the closing brace. */
static int read_size(struct reader *reader, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned digits = 0;; digits++) {
		int c = next(reader);

		if (c == '}' && digits > 0) {
			*ret = value;
			return 0;
		}
		if (c < 0 && c != -ENODATA)
			return c;
		if (c < '0' || c > '9' || (digits == 1 && value == 0))
			return bad(reader);
		value = value * 10 + (uint64_t)(c - '0');
		if (value > BL_JSON_INT_MAX)
			return bad(reader);
	}
}

/* An entry after its opening brace. */
static int read_entry(struct reader *reader, size_t number, struct bl_manifest_entry *ret)
{
	char *path = reader->path[number % 2];
	const char *before = number > 0 ? reader->path[(number + 1) % 2] : "";
	int r = expect(reader, "\"path\":\"");

	if (r == 0)
		r = read_string(reader, path, sizeof(reader->path[0]));
	if (r == 0 && (!bl_manifest_is_path(path) || strcmp(before, path) >= 0))
		return bad(reader);
	if (r == 0)
		r = expect(reader, ",\"sha256\":\"");
	if (r == 0)
		r = read_string(reader, reader->hex, sizeof(reader->hex));
	if (r == 0 && (strlen(reader->hex) != BL_DIGEST_HEX - 1 ||
		       bl_digest_from_hex(reader->hex, &ret->digest) < 0))
		return bad(reader);
	if (r == 0)
		r = expect(reader, ",\"size\":");
	if (r == 0)
		r = read_size(reader, &ret->size);
	ret->path = path;
	ret->sha256 = reader->hex;
	return r;
}

static int read_entries(struct reader *reader, bl_manifest_visit *visit, void *context)
{
	for (size_t number = 0;; number++) {
		struct bl_manifest_entry entry;
		int c = next(reader);
		int r;

		if (c == ']' && number == 0)
			return 0;
		if (c != '{')
			return c < 0 && c != -ENODATA ? c : bad(reader);
		r = read_entry(reader, number, &entry);
		if (r == 0)
			r = visit(context, &entry, reader->err);
		if (r < 0)
			return r;
		c = next(reader);
		if (c == ']')
			return 0;
		if (c != ',')
			return c < 0 && c != -ENODATA ? c : bad(reader);
	}
}

static int read_whole(struct reader *reader, bl_manifest_visit *visit, void *context)
{
	int r = expect(reader, "{\"files\":[");

	if (r == 0)
		r = read_entries(reader, visit, context);
	if (r == 0)
		r = expect(reader, ",\"schema\":1}");
	if (r < 0)
		return r;
	r = next(reader);
	if (r == -ENODATA)
		return 0;
	return r < 0 ? r : bad(reader);
}

/* -EBADMSG where what was read has another digest. */
static int check_digest(struct reader *reader, const struct bl_digest *digest)
{
	struct bl_digest found;
	int r = bl_digest_stream_finish(reader->digest, &found, reader->err);

	if (r == 0 && !bl_digest_equal(&found, digest))
		return bl_err_set(reader->err, BL_EX_RETRY, EBADMSG,
				  "its bytes do not have the digest it is named by");
	return r;
}

int bl_manifest_walk(int dirfd, const char *name, const struct bl_digest *digest,
		     bl_manifest_visit *visit, void *context, struct bl_err *err)
{
	auto_free struct reader *reader = malloc(sizeof(*reader));
	auto_digest_stream stream = digest ? bl_digest_stream_new() : NULL;
	auto_fd fd = -1;
	int r;

	if (!reader || (digest && !stream))
		return bl_err_nomem(err);
	fd = bl_sys_openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return bl_err_sys(err, -fd, "manifest '%s'", name);
	reader->fd = fd;
	reader->at = reader->len = 0;
	reader->digest = stream;
	reader->err = err;
	r = read_whole(reader, visit, context);
	if (r == 0 && digest)
		r = check_digest(reader, digest);
	if (r == -EBADMSG)
		bl_err_wrap(err, "manifest '%s': ", name);
	return r;
}

int bl_manifest_walk_tree(const struct bl_cachedir *dirs, const struct bl_digest *tree,
			  bl_manifest_visit *visit, void *context, struct bl_err *err)
{
	char name[BL_CACHEDIR_NAME];
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(tree, hex);
	(void)snprintf(name, sizeof(name), "%s.json", hex);
	return bl_manifest_walk(dirs->manifests, name, tree, visit, context, err);
}
