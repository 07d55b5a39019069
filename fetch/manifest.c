/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/manifest.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "fetch/pattern.h"

#define BLOCK (256 * 1024) /* bytes of an arena's block */

struct block {
	struct block *next;
	size_t used;
	char data[];
};

struct bl_manifest {
	const char *const *allow, *const *ignore; /* borrowed */
	bl_manifest_watch *watch;
	void *watch_ctx;
	struct block *blocks;
	size_t memory; /* bytes of blocks and of the entries' array */
	struct bl_entry *entries;
	size_t count, room;
	int64_t bytes;
	size_t listed, not_allowed, ignored;
	char *revision;
};

int bl_manifest_new(const char *const *allow, const char *const *ignore, struct bl_manifest **ret,
		    struct bl_err *err)
{
	struct bl_manifest *manifest = calloc(1, sizeof(*manifest));

	if (!manifest)
		return bl_err_nomem(err);
	manifest->allow = allow && *allow ? allow : NULL;
	manifest->ignore = ignore && *ignore ? ignore : NULL;
	*ret = manifest;
	return 0;
}

void bl_manifest_free(struct bl_manifest **pointer)
{
	struct bl_manifest *manifest = *pointer;
	int saved = errno;

	if (!manifest)
		return;
	for (struct block *block = manifest->blocks; block;) {
		struct block *next = block->next;

		free(block);
		block = next;
	}
	free(manifest->entries);
	free(manifest->revision);
	free(manifest);
	*pointer = NULL;
	errno = saved;
}

void bl_manifest_set_watch(struct bl_manifest *manifest, bl_manifest_watch *watch, void *ctx)
{
	manifest->watch = watch;
	manifest->watch_ctx = ctx;
}

/* ---- Names ---- */

/* The length of the UTF-8 sequence at c, 0 if it is none (overlong, surrogate, beyond U+10FFFF). */
static size_t utf8_length(const unsigned char *c)
{
	if (c[0] < 0x80)
		return 1;
	if (c[0] >= 0xc2 && c[0] <= 0xdf)
		return (c[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((c[0] & 0xf0) == 0xe0) {
		if ((c[1] & 0xc0) != 0x80 || (c[2] & 0xc0) != 0x80)
			return 0;
		if ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f))
			return 0;
		return 3;
	}
	if (c[0] >= 0xf0 && c[0] <= 0xf4) {
		if ((c[1] & 0xc0) != 0x80 || (c[2] & 0xc0) != 0x80 || (c[3] & 0xc0) != 0x80)
			return 0;
		if ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

static const char *bad_bytes(const char *path)
{
	const unsigned char *c = (const unsigned char *)path;

	while (*c) {
		size_t len = utf8_length(c);

		if (len == 0)
			return "bytes that are no UTF-8";
		if (*c < ' ' || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0))
			return "a control character";
		if (*c == '\\')
			return "a backslash";
		c += len;
	}
	return NULL;
}

static const char *bad_parts(const char *path)
{
	size_t depth = 0;

	if (*path == '/')
		return "an absolute path";
	for (const char *part = path;; part++) {
		size_t len = strcspn(part, "/");

		if (len == 0)
			return "an empty part";
		if ((len == 1 && part[0] == '.') || (len == 2 && part[0] == '.' && part[1] == '.'))
			return "a part '.' or '..'";
		if (len > BL_MANIFEST_MAX_NAME)
			return "a part of more than 255 bytes";
		if (++depth > BL_MANIFEST_MAX_DEPTH)
			return "more than 64 directories";
		part += len;
		if (!*part)
			return NULL;
	}
}

int bl_manifest_check_name(const char *path, struct bl_err *err)
{
	const char *reason = strlen(path) > BL_MANIFEST_MAX_PATH ? "more than 3072 bytes" : NULL;

	if (!reason)
		reason = bad_bytes(path);
	if (!reason)
		reason = bad_parts(path);
	if (!reason)
		return 0;
	return bl_err_set(err, BL_EX_CONFIG, BL_MANIFEST_HOSTILE,
			  "the listing is refused: the name '%.120s' has %s; rename it at the "
			  "source",
			  path, reason);
}

/* ---- Adding ---- */

static enum bl_verdict judge(const struct bl_manifest *manifest, const char *path,
			     const char **pattern)
{
	*pattern = NULL;
	for (const char *const *at = manifest->ignore; at && *at; at++)
		if (bl_pattern_matches(*at, path)) {
			*pattern = *at;
			return BL_IGNORED;
		}
	if (!manifest->allow)
		return BL_KEPT;
	for (const char *const *at = manifest->allow; *at; at++)
		if (bl_pattern_matches(*at, path)) {
			*pattern = *at;
			return BL_KEPT;
		}
	return BL_NOT_ALLOWED;
}

bool bl_manifest_wants(const struct bl_manifest *manifest, const char *path)
{
	const char *pattern;

	return judge(manifest, path, &pattern) == BL_KEPT;
}

static int too_long(struct bl_err *err)
{
	return bl_err_set(err, BL_EX_CONFIG, EFBIG,
			  "the listing is longer than Ballast handles; narrow it with "
			  "allow_patterns or a deeper path");
}

static int make_room(struct bl_manifest *manifest, struct bl_err *err)
{
	if (manifest->count < manifest->room)
		return 0;
	size_t room = manifest->room + manifest->room / 2 + 64;
	size_t more = (room - manifest->room) * sizeof(struct bl_entry);
	if (manifest->count >= BL_MAX_FILES || manifest->memory + more > BL_MANIFEST_MAX_MEMORY)
		return too_long(err);
	void *entries = reallocarray(manifest->entries, room, sizeof(struct bl_entry));
	if (!entries)
		return bl_err_nomem(err);
	manifest->entries = entries;
	manifest->room = room;
	manifest->memory += more;
	return 0;
}

/* Copies text (NULL stays NULL) into the arena. */
static int keep_text(struct bl_manifest *manifest, const char **text, struct bl_err *err)
{
	if (!*text)
		return 0;
	size_t len = strlen(*text) + 1;
	struct block *block = manifest->blocks;
	if (!block || len > BLOCK - block->used) {
		size_t size = sizeof(*block) + BLOCK;

		if (len > BLOCK || manifest->memory + size > BL_MANIFEST_MAX_MEMORY)
			return too_long(err);
		block = malloc(size);
		if (!block)
			return bl_err_nomem(err);
		*block = (struct block){.next = manifest->blocks};
		manifest->blocks = block;
		manifest->memory += size;
	}
	char *copy = block->data + block->used;
	memcpy(copy, *text, len);
	block->used += len;
	*text = copy;
	return 0;
}

static int check_promise(const struct bl_manifest *manifest, const struct bl_entry *entry,
			 struct bl_err *err)
{
	if (entry->size < 0 || entry->size > BL_MANIFEST_MAX_SIZE ||
	    entry->size > BL_MANIFEST_MAX_SIZE - manifest->bytes)
		return bl_err_set(err, BL_EX_CONFIG, BL_MANIFEST_HOSTILE,
				  "the listing is refused: '%.200s' has an impossible size",
				  entry->path);
	return 0;
}

int bl_manifest_add(struct bl_manifest *manifest, const struct bl_entry *entry, struct bl_err *err)
{
	const char *pattern;
	int rc = bl_manifest_check_name(entry->path, err);

	if (rc < 0 || (rc = check_promise(manifest, entry, err)) < 0)
		return rc;
	enum bl_verdict verdict = judge(manifest, entry->path, &pattern);
	manifest->listed++;
	manifest->ignored += verdict == BL_IGNORED;
	manifest->not_allowed += verdict == BL_NOT_ALLOWED;
	if (manifest->watch)
		manifest->watch(manifest->watch_ctx, entry->path, entry->size, verdict, pattern);
	if (verdict != BL_KEPT)
		return 0;
	struct bl_entry copy = *entry;
	if ((rc = make_room(manifest, err)) < 0 ||
	    (rc = keep_text(manifest, &copy.path, err)) < 0 ||
	    (rc = keep_text(manifest, &copy.etag, err)) < 0 ||
	    (rc = keep_text(manifest, &copy.generation, err)) < 0 ||
	    (rc = keep_text(manifest, &copy.locator, err)) < 0)
		return rc;
	manifest->entries[manifest->count++] = copy;
	manifest->bytes += entry->size;
	return 0;
}

/* ---- Finishing ---- */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct bl_entry *)a)->path, ((const struct bl_entry *)b)->path);
}

static int explain_empty(const struct bl_manifest *manifest, struct bl_err *err)
{
	if (manifest->listed == 0)
		return bl_err_set(err, BL_EX_CONFIG, ENOENT,
				  "the source has no files; check its path");
	if (manifest->not_allowed)
		return bl_err_set(err, BL_EX_CONFIG, ENOENT,
				  "none of the %zu files is left: allow_patterns (first: '%.60s') "
				  "took none of %zu, ignore_patterns dropped %zu; '*' does not "
				  "cross '/', '**/' does",
				  manifest->listed, manifest->allow[0], manifest->not_allowed,
				  manifest->ignored);
	return bl_err_set(err, BL_EX_CONFIG, ENOENT,
			  "none of the %zu files is left: ignore_patterns (first: '%.60s') dropped "
			  "them all",
			  manifest->listed, manifest->ignore[0]);
}

static int collision(const char *a, const char *b, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_CONFIG, BL_MANIFEST_HOSTILE,
			  "the listing is refused: '%.150s' and '%.150s' cannot both be files; "
			  "rename one at the source",
			  a, b);
}

/* Whether a directory above this file is a file as well. Sorted: what is above comes before. */
static int check_above(struct bl_manifest *manifest, const char *path, struct bl_err *err)
{
	char above[BL_MANIFEST_MAX_PATH + 1];
	size_t len = strlen(path);

	memcpy(above, path, len + 1);
	for (char *slash = strchr(above, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (bl_manifest_find(manifest, above))
			return collision(above, path, err);
		*slash = '/';
	}
	return 0;
}

int bl_manifest_finish(struct bl_manifest *manifest, struct bl_err *err)
{
	if (manifest->count == 0)
		return explain_empty(manifest, err);
	qsort(manifest->entries, manifest->count, sizeof(struct bl_entry), by_path);
	for (size_t i = 0; i < manifest->count; i++) {
		const char *path = manifest->entries[i].path;

		if (i && strcmp(manifest->entries[i - 1].path, path) == 0)
			return collision(path, path, err);
		int rc = check_above(manifest, path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

size_t bl_manifest_count(const struct bl_manifest *manifest)
{
	return manifest->count;
}

int64_t bl_manifest_bytes(const struct bl_manifest *manifest)
{
	return manifest->bytes;
}

struct bl_entry *bl_manifest_at(struct bl_manifest *manifest, size_t i)
{
	return &manifest->entries[i];
}

struct bl_entry *bl_manifest_find(struct bl_manifest *manifest, const char *path)
{
	struct bl_entry key = {.path = path};

	if (manifest->count == 0)
		return NULL;
	return bsearch(&key, manifest->entries, manifest->count, sizeof(key), by_path);
}

int bl_manifest_set_revision(struct bl_manifest *manifest, const char *revision, struct bl_err *err)
{
	char *copy = strdup(revision);

	if (!copy)
		return bl_err_nomem(err);
	free(manifest->revision);
	manifest->revision = copy;
	return 0;
}

const char *bl_manifest_revision(const struct bl_manifest *manifest)
{
	return manifest->revision;
}

/* ---- Promises as JSON ---- */

static const struct promise_digest {
	const char *key;
	size_t offset, len;
} promise_digests[] = {
	{"sha256", offsetof(struct bl_entry, sha256), 32},
	{"git_sha1", offsetof(struct bl_entry, git_sha1), 20},
	{"md5", offsetof(struct bl_entry, md5), 16},
	{"crc32c", offsetof(struct bl_entry, crc32c), 4},
};
#define N_DIGESTS (sizeof(promise_digests) / sizeof(*promise_digests))

static const struct bl_digest *digest_at(const struct bl_entry *entry, size_t i)
{
	return (const void *)((const char *)entry + promise_digests[i].offset);
}

int bl_manifest_entry_to_json(const struct bl_entry *entry, bl_json *list, struct bl_err *err)
{
	bl_json *object = bl_json_set_object(list, NULL);
	char hex[2 * sizeof(entry->sha256.bytes) + 1];
	bool ok = object && bl_json_set_string(object, "path", entry->path) &&
		  bl_json_set_int(object, "size", entry->size);

	if (ok && entry->etag)
		ok = bl_json_set_string(object, "etag", entry->etag);
	if (ok && entry->generation)
		ok = bl_json_set_string(object, "generation", entry->generation);
	for (size_t i = 0; ok && i < N_DIGESTS; i++) {
		if (!digest_at(entry, i)->len)
			continue;
		bl_digest_to_hex(digest_at(entry, i), hex);
		ok = bl_json_set_string(object, promise_digests[i].key, hex);
	}
	if (ok && entry->unchanged)
		ok = bl_json_set_bool(object, "unchanged", true);
	return ok ? 0 : bl_err_nomem(err);
}

/* 1: promised then and now, the same; 0: one of the two does not say; -1: another. */
static int same_text(const bl_json *known, const char *key, const char *now)
{
	const char *then = NULL;

	if (!now || bl_json_get_string(known, key, &then, NULL) <= 0)
		return 0;
	return strcmp(then, now) == 0 ? 1 : -1;
}

/*
 * At least one promise that identifies content must agree, and none may disagree. A CRC alone or a
 * size alone identifies nothing.
 */
static bool same_promise(const struct bl_entry *entry, const bl_json *known)
{
	char hex[2 * sizeof(entry->sha256.bytes) + 1];
	int64_t size = -1;
	int agreed = 0;

	if (bl_json_get_int(known, "size", 0, BL_MANIFEST_MAX_SIZE, &size, NULL) <= 0 ||
	    size != entry->size)
		return false;
	int etag = same_text(known, "etag", entry->etag);
	int generation = same_text(known, "generation", entry->generation);
	if (etag < 0 || generation < 0)
		return false;
	agreed = etag + generation;
	for (size_t i = 0; i < N_DIGESTS; i++) {
		if (!digest_at(entry, i)->len)
			continue;
		bl_digest_to_hex(digest_at(entry, i), hex);
		int same = same_text(known, promise_digests[i].key, hex);
		if (same < 0)
			return false;
		agreed += promise_digests[i].len > 4 ? same : 0;
	}
	return agreed > 0;
}

int bl_manifest_compare(struct bl_manifest *manifest, const bl_json *known, struct bl_err *err)
{
	for (const bl_json *at = bl_json_first(known); at; at = bl_json_next(at)) {
		const char *path = NULL;

		if (!bl_json_is_object(at) || bl_json_get_string(at, "path", &path, NULL) <= 0)
			return bl_err_config(err, "known: an element has no path");
		struct bl_entry *entry = bl_manifest_find(manifest, path);
		if (entry && same_promise(entry, at))
			entry->unchanged = true;
	}
	return 0;
}
