/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/manifest.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "fetch/name.h"

#define BLOCK (256 * 1024) /* bytes of an arena's block */

struct block {
	struct block *next;
	size_t used;
	char data[];
};

struct bl_manifest {
	struct bl_pattern_filter filter;
	bl_manifest_watch *watch;
	void *watch_ctx;
	struct block *blocks;
	size_t memory; /* bytes of blocks and of the entries' array */
	struct bl_entry *entries;
	size_t count, room;
	int64_t bytes;
	char *revision;
};

int bl_manifest_new(const char *const *allow, const char *const *ignore, struct bl_manifest **ret,
		    struct bl_err *err)
{
	auto_manifest manifest = calloc(1, sizeof(*manifest));

	if (!manifest)
		return bl_err_nomem(err);
	int rc = bl_pattern_filter_init(&manifest->filter, allow, ignore, err);
	if (rc < 0)
		return rc;
	*ret = TAKE_PTR(manifest);
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
	bl_pattern_filter_done(&manifest->filter);
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

/* ---- Digests ---- */

/* Where the digest of each kind is, and how long. Of kinds that lie in one place an entry has one. */
static const struct place {
	size_t at, len;
} places[] = {
	[BL_DIGEST_SHA256] = {offsetof(struct bl_entry, content), 32},
	[BL_DIGEST_GIT_SHA1] = {offsetof(struct bl_entry, content), 20},
	[BL_DIGEST_MD5] = {offsetof(struct bl_entry, md5), 16},
	[BL_DIGEST_CRC64NVME] = {offsetof(struct bl_entry, md5), 8},
	[BL_DIGEST_CRC32C] = {offsetof(struct bl_entry, crc32), 4},
	[BL_DIGEST_CRC32] = {offsetof(struct bl_entry, crc32), 4},
};

void bl_manifest_promise(struct bl_entry *entry, enum bl_digest_kind kind,
			 const struct bl_digest *digest)
{
	const struct place *place = &places[kind];
	unsigned promised = entry->promised;

	if (digest->len != place->len)
		return;
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (places[i].at == place->at)
			promised &= ~(1U << i);
	memcpy((char *)entry + place->at, digest->bytes, place->len);
	entry->promised = (unsigned char)(promised | 1U << kind);
}

bool bl_manifest_promised(const struct bl_entry *entry, enum bl_digest_kind kind,
			  struct bl_digest *ret)
{
	const struct place *place = &places[kind];

	if (!(entry->promised & 1U << kind))
		return false;
	if (ret) {
		*ret = (struct bl_digest){.len = (unsigned char)place->len};
		memcpy(ret->bytes, (const char *)entry + place->at, place->len);
	}
	return true;
}

bool bl_manifest_is_digested(const struct bl_entry *entry)
{
	return bl_manifest_promised(entry, BL_DIGEST_SHA256, NULL) ||
	       bl_manifest_promised(entry, BL_DIGEST_GIT_SHA1, NULL) ||
	       bl_manifest_promised(entry, BL_DIGEST_MD5, NULL);
}

/* ---- Adding ---- */

const struct bl_pattern_filter *bl_manifest_filter(const struct bl_manifest *manifest)
{
	return &manifest->filter;
}

static int too_long(const struct bl_manifest *manifest, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_CONFIG, EFBIG,
			  "the listing is longer than Ballast handles: %zu names fill the %d MiB "
			  "that it may take; narrow it with allow_patterns or a deeper path",
			  manifest->count, BL_MANIFEST_MAX_MEMORY >> 20);
}

static int make_room(struct bl_manifest *manifest, struct bl_err *err)
{
	if (manifest->count < manifest->room)
		return 0;
	size_t room = manifest->room + manifest->room / 8 + 64;
	size_t more = (room - manifest->room) * sizeof(struct bl_entry);
	if (manifest->count >= BL_MAX_FILES || manifest->memory + more > BL_MANIFEST_MAX_MEMORY)
		return too_long(manifest, err);
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
			return too_long(manifest, err);
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
		return bl_err_set(err, BL_EX_CONFIG, EBADMSG,
				  "the listing is refused: '%.200s' has an impossible size",
				  entry->path);
	return 0;
}

int bl_manifest_add(struct bl_manifest *manifest, const struct bl_entry *entry, struct bl_err *err)
{
	struct bl_pattern_verdict verdict;
	int rc = bl_name_check(entry->path, strlen(entry->path), err);

	if (rc < 0 || (rc = check_promise(manifest, entry, err)) < 0 ||
	    (rc = bl_pattern_filter_judge(&manifest->filter, entry->path, &verdict, err)) < 0)
		return rc;
	if (manifest->watch)
		manifest->watch(manifest->watch_ctx, entry, &verdict);
	if (!verdict.taken)
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

static int check_collisions(struct bl_manifest *manifest, struct bl_err *err)
{
	auto_free const char **names = calloc(manifest->count, sizeof(*names));

	if (!names)
		return bl_err_nomem(err);
	for (size_t i = 0; i < manifest->count; i++)
		names[i] = manifest->entries[i].path;
	return bl_name_check_together(names, manifest->count, err);
}

int bl_manifest_finish(struct bl_manifest *manifest, struct bl_err *err)
{
	if (manifest->filter.seen == 0)
		return bl_err_set(err, BL_EX_CONFIG, ENOENT,
				  "the source has no files; check its path");
	int rc = bl_pattern_filter_check(&manifest->filter, err);
	if (rc < 0)
		return rc;
	qsort(manifest->entries, manifest->count, sizeof(struct bl_entry), by_path);
	return check_collisions(manifest, err);
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

const struct bl_entry *bl_manifest_largest(const struct bl_manifest *manifest, bool sha256)
{
	const struct bl_entry *largest = NULL;

	for (size_t i = 0; i < manifest->count; i++)
		if (manifest->entries[i].size > (largest ? largest->size : 0) &&
		    (!sha256 ||
		     bl_manifest_promised(&manifest->entries[i], BL_DIGEST_SHA256, NULL)))
			largest = &manifest->entries[i];
	return largest;
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
	enum bl_digest_kind kind;
	bool is_crc;
} promise_digests[] = {
	{"sha256", BL_DIGEST_SHA256, false}, {"git_sha1", BL_DIGEST_GIT_SHA1, false},
	{"md5", BL_DIGEST_MD5, false},	     {"crc64nvme", BL_DIGEST_CRC64NVME, true},
	{"crc32c", BL_DIGEST_CRC32C, true},  {"crc32", BL_DIGEST_CRC32, true},
};
#define N_DIGESTS (sizeof(promise_digests) / sizeof(*promise_digests))

int bl_manifest_entry_to_json(const struct bl_entry *entry, bl_json *list, struct bl_err *err)
{
	bl_json *object = bl_json_set_object(list, NULL);
	struct bl_digest digest;
	char hex[2 * sizeof(digest.bytes) + 1];
	bool ok = object && bl_json_set_string(object, "path", entry->path) &&
		  bl_json_set_int(object, "size", entry->size);

	if (ok && entry->etag)
		ok = bl_json_set_string(object, "etag", entry->etag);
	if (ok && entry->generation)
		ok = bl_json_set_string(object, "generation", entry->generation);
	for (size_t i = 0; ok && i < N_DIGESTS; i++) {
		if (!bl_manifest_promised(entry, promise_digests[i].kind, &digest))
			continue;
		bl_digest_to_hex(&digest, hex);
		ok = bl_json_set_string(object, promise_digests[i].key, hex);
	}
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
bool bl_manifest_same_promise(const struct bl_entry *entry, const bl_json *known, bool same_source)
{
	struct bl_digest digest;
	char hex[2 * sizeof(digest.bytes) + 1];
	int64_t size = -1;
	int agreed = 0;

	if (bl_json_get_int(known, "size", 0, BL_MANIFEST_MAX_SIZE, &size, NULL) <= 0 ||
	    size != entry->size)
		return false;
	int etag = same_source ? same_text(known, "etag", entry->etag) : 0;
	int generation = same_source ? same_text(known, "generation", entry->generation) : 0;
	if (etag < 0 || generation < 0)
		return false;
	agreed = etag + generation;
	for (size_t i = 0; i < N_DIGESTS; i++) {
		if (!bl_manifest_promised(entry, promise_digests[i].kind, &digest))
			continue;
		bl_digest_to_hex(&digest, hex);
		int same = same_text(known, promise_digests[i].key, hex);
		if (same < 0)
			return false;
		agreed += promise_digests[i].is_crc ? 0 : same;
	}
	return agreed > 0;
}
