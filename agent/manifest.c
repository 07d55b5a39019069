// SPDX-License-Identifier: Apache-2.0
#include "agent/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"
#include "common/sys.h"
#include "common/utf8.h"

#define CHUNK (256U * 1024) /* bytes of text that are allocated at once */
#define FLUSH (64U * 1024)  /* bytes that are written at once */

void bl_manifest_init(struct bl_manifest *manifest)
{
	*manifest = (struct bl_manifest){.chunk_used = CHUNK};
}

void bl_manifest_done(struct bl_manifest *manifest)
{
	int saved = errno;

	for (size_t i = 0; i < manifest->chunk_count; i++)
		free(manifest->chunks[i]);
	free(manifest->chunks);
	free(manifest->files);
	bl_manifest_init(manifest);
	errno = saved;
}

/* ---- Paths ---- */

static bool is_text(const char *path)
{
	for (const char *at = path; *at;) {
		uint32_t c = (unsigned char)*at;
		size_t len = c < 0x80 ? 1 : bl_utf8_decode(at, BL_UTF8_MOST, &c);

		if (len == 0 || c < 0x20 || c == 0x7f || c == '\\')
			return false;
		at += len;
	}
	return true;
}

static bool is_part(const char *part, size_t len)
{
	if (len == 0 || len > 255)
		return false;
	return !(part[0] == '.' && (len == 1 || (len == 2 && part[1] == '.')));
}

bool bl_manifest_is_path(const char *path)
{
	const char *part = path;

	if (strlen(path) > BL_MANIFEST_PATH_MAX || !is_text(path))
		return false;
	for (;;) {
		const char *end = strchrnul(part, '/');

		if (!is_part(part, (size_t)(end - part)))
			return false;
		if (!*end)
			return true;
		part = end + 1;
	}
}

/* ---- Making one ---- */

static const char *keep_text(struct bl_manifest *manifest, const char *text, struct bl_err *err)
{
	size_t len = strlen(text) + 1;
	char *to;

	if (len > CHUNK || manifest->text_bytes + len > BL_MANIFEST_PATHS_MAX) {
		(void)bl_err_config(err, "more than %u bytes of file names", BL_MANIFEST_PATHS_MAX);
		return NULL;
	}
	if (manifest->chunk_used + len > CHUNK) {
		char **chunks =
			realloc(manifest->chunks, (manifest->chunk_count + 1) * sizeof(*chunks));

		if (chunks)
			manifest->chunks = chunks;
		to = chunks ? malloc(CHUNK) : NULL;
		if (!to) {
			(void)bl_err_nomem(err);
			return NULL;
		}
		manifest->chunks[manifest->chunk_count++] = to;
		manifest->chunk_used = 0;
	}
	to = manifest->chunks[manifest->chunk_count - 1] + manifest->chunk_used;
	memcpy(to, text, len);
	manifest->chunk_used += len;
	manifest->text_bytes += len;
	return to;
}

static int make_room(struct bl_manifest *manifest, struct bl_err *err)
{
	size_t room = manifest->room ? manifest->room * 2 : 16;
	struct bl_manifest_file *files;

	if (manifest->count >= BL_MAX_FILES)
		return bl_err_config(err, "more than %d files", BL_MAX_FILES);
	if (manifest->count < manifest->room)
		return 0;
	files = realloc(manifest->files, room * sizeof(*files));
	if (!files)
		return bl_err_nomem(err);
	manifest->files = files;
	manifest->room = room;
	return 0;
}

int bl_manifest_add(struct bl_manifest *manifest, const char *path, uint64_t size,
		    const struct bl_digest *sha256, const char *promise, struct bl_err *err)
{
	struct bl_manifest_file file = {.size = size};
	int r;

	if (!bl_manifest_is_path(path))
		return bl_err_config(err, "file name '%s' is refused", path);
	if (size > BL_JSON_INT_MAX || manifest->bytes > BL_JSON_INT_MAX - size)
		return bl_err_config(err, "file '%s' is too large", path);
	r = make_room(manifest, err);
	if (r < 0)
		return r;
	file.path = keep_text(manifest, path, err);
	if (file.path && promise)
		file.promise = keep_text(manifest, promise, err);
	if (!file.path || (promise && !file.promise))
		return -EFBIG;
	if (sha256) {
		file.sha256 = *sha256;
		file.has_sha256 = true;
	}
	manifest->files[manifest->count++] = file;
	manifest->bytes += size;
	manifest->sorted = false;
	return 0;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct bl_manifest_file *)a)->path,
		      ((const struct bl_manifest_file *)b)->path);
}

static int compare_path(const void *path, const void *file)
{
	return strcmp(path, ((const struct bl_manifest_file *)file)->path);
}

static struct bl_manifest_file *find(const struct bl_manifest *manifest, const char *path)
{
	return manifest->count == 0 ? NULL
				    : bsearch(path, manifest->files, manifest->count,
					      sizeof(*manifest->files), compare_path);
}

struct bl_manifest_file *bl_manifest_find(const struct bl_manifest *manifest, const char *path)
{
	return manifest->sorted ? find(manifest, path) : NULL;
}

/* Refuses a path one of whose directories is a file; those it shares with the path before it in
 * order were looked at there. */
static int check_parents(const struct bl_manifest *manifest, const char *before, const char *path,
			 struct bl_err *err)
{
	char parent[BL_MANIFEST_PATH_MAX + 1];
	size_t same = 0;

	while (before[same] && before[same] == path[same])
		same++;
	for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t len = (size_t)(slash - path);

		if (len < same)
			continue;
		memcpy(parent, path, len);
		parent[len] = '\0';
		if (find(manifest, parent))
			return bl_err_config(err, "'%s' is both a file and a directory", parent);
	}
	return 0;
}

int bl_manifest_sort(struct bl_manifest *manifest, struct bl_err *err)
{
	if (manifest->count > 0)
		qsort(manifest->files, manifest->count, sizeof(*manifest->files), compare_files);
	for (size_t i = 0; i < manifest->count; i++) {
		const char *before = i > 0 ? manifest->files[i - 1].path : "";
		const char *path = manifest->files[i].path;
		int r;

		if (strcmp(before, path) == 0)
			return bl_err_config(err, "file '%s' stands twice", path);
		r = check_parents(manifest, before, path, err);
		if (r < 0)
			return r;
	}
	manifest->sorted = true;
	return 0;
}

/* ---- The canonical form, as a stream ---- */

struct writer {
	struct bl_buf buf;
	struct bl_digest_stream *digest; /* or NULL */
	int fd;				 /* or -1 */
};

static int flush(struct writer *writer, struct bl_err *err)
{
	int r = 0;

	if (writer->digest)
		r = bl_digest_stream_add(writer->digest, bl_buf_str(&writer->buf), writer->buf.len,
					 err);
	if (r == 0 && writer->fd >= 0) {
		r = bl_sys_write_all(writer->fd, bl_buf_str(&writer->buf), writer->buf.len);
		if (r < 0)
			return bl_cachedir_err(err, -r, "write");
	}
	writer->buf.len = 0;
	return r;
}

static int write_file(struct writer *writer, const struct bl_manifest_file *file, bool first,
		      struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];
	int r;

	if (!file->has_sha256)
		return bl_err_set(err, BL_EX_INTERNAL, EINVAL, "file '%s' has no digest yet",
				  file->path);
	bl_digest_to_hex(&file->sha256, hex);
	r = bl_buf_puts(&writer->buf, first ? "{\"path\":" : ",{\"path\":", err);
	if (r == 0)
		r = bl_json_write_string(&writer->buf, file->path, err);
	if (r == 0)
		r = bl_buf_putf(&writer->buf, err, ",\"sha256\":\"%s\",\"size\":%llu}", hex,
				(unsigned long long)file->size);
	return r == 0 && writer->buf.len >= FLUSH ? flush(writer, err) : r;
}

static int write_all(const struct bl_manifest *manifest, struct writer *writer, struct bl_err *err)
{
	int r;

	if (!manifest->sorted)
		return bl_err_set(err, BL_EX_INTERNAL, EINVAL, "manifest is not sorted");
	r = bl_buf_puts(&writer->buf, "{\"files\":[", err);
	for (size_t i = 0; r == 0 && i < manifest->count; i++)
		r = write_file(writer, &manifest->files[i], i == 0, err);
	if (r == 0)
		r = bl_buf_puts(&writer->buf, "],\"schema\":1}", err);
	return r < 0 ? r : flush(writer, err);
}

int bl_manifest_digest(const struct bl_manifest *manifest, struct bl_digest *ret,
		       struct bl_err *err)
{
	auto_digest_stream digest = bl_digest_stream_new();
	struct writer writer = {.buf = BL_BUF_INIT(4U * FLUSH), .digest = digest, .fd = -1};
	int r;

	if (!digest)
		return bl_err_nomem(err);
	r = write_all(manifest, &writer, err);
	bl_buf_done(&writer.buf);
	return r < 0 ? r : bl_digest_stream_finish(digest, ret, err);
}

/* Writes the new file fd in full, with the mode of what is published. */
static int write_durably(const struct bl_manifest *manifest, int fd, struct bl_err *err)
{
	struct writer writer = {.buf = BL_BUF_INIT(4U * FLUSH), .fd = fd};
	int r = write_all(manifest, &writer, err);

	bl_buf_done(&writer.buf);
	if (r < 0)
		return r;
	r = bl_sys_fchmod(fd, 0444);
	if (r == 0)
		r = bl_sys_fsync(fd);
	return r < 0 ? bl_cachedir_err(err, -r, "fsync") : 0;
}

static int make_file(struct bl_cachedir *dirs, const struct bl_manifest *manifest,
		     const char *temporary, const char *name, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(dirs->partial, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
	int r;

	if (fd < 0)
		return bl_cachedir_err(err, -fd, "create");
	r = write_durably(manifest, fd, err);
	if (r < 0)
		return r;
	bl_sys_point("manifest-synced");
	r = bl_cachedir_show(dirs, temporary, dirs->manifests, name);
	if (r == 0)
		bl_sys_point("manifest-visible");
	if (r == 0)
		r = bl_sys_fsync(dirs->manifests);
	return r < 0 ? bl_cachedir_err(err, -r, "rename") : 0;
}

static int ignore_entry(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	(void)context;
	(void)entry;
	(void)err;
	return 0;
}

int bl_manifest_publish(struct bl_cachedir *dirs, const struct bl_manifest *manifest,
			const struct bl_digest *name, struct bl_err *err)
{
	char temporary[BL_CACHEDIR_NAME];
	char hex[BL_DIGEST_HEX];
	char file[BL_CACHEDIR_NAME];
	int r;

	bl_digest_to_hex(name, hex);
	(void)snprintf(file, sizeof(file), "%s.json", hex);
	if (bl_manifest_walk_tree(dirs, name, ignore_entry, NULL, NULL) == 0) {
		/* Whoever made it may have died before this. */
		r = bl_sys_fsync(dirs->manifests);
		return r < 0 ? bl_cachedir_err(err, -r, "fsync") : 0;
	}
	bl_cachedir_name(dirs, "json", temporary);
	r = make_file(dirs, manifest, temporary, file, err);
	if (r < 0) {
		(void)bl_sys_unlinkat(dirs->partial, temporary, 0);
		bl_err_wrap(err, "manifest %s: ", hex);
		return r;
	}
	bl_sys_point("manifest-durable");
	return 0;
}
