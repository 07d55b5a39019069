/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a source consists of: a list of files with what the origin promises of each. Names come
 * from an origin and are hostile: they are checked here, once, for every source, and refused, never
 * repaired. The patterns of the item are applied as files are added, so that what is not wanted
 * costs no memory; everything kept lies in one arena with a stated maximum.
 */
#ifndef BL_FETCH_MANIFEST_H
#define BL_FETCH_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "fetch/digest.h"
#include "fetch/pattern.h"

struct bl_err;

#define BL_MANIFEST_MAX_MEMORY (18 * 1024 * 1024) /* bytes that a listing may take */
#define BL_MANIFEST_MAX_SIZE   (INT64_C(1) << 52) /* bytes of a file; JSON carries it exactly */

/*
 * One file. Given to bl_manifest_add() everything is borrowed; in a manifest everything is the
 * manifest's. NULL means: not promised. Tens of thousands of them are in memory: it is to stay small.
 */
struct bl_entry {
	const char *path;	/* below the item's directory, as listed */
	int64_t size;		/* bytes */
	const char *etag;	/* strong ETag as the origin writes it, quotes included */
	const char *generation; /* gs: decimal */
	const char *locator;	/* the source's own: a key, a URL; where path does not say it all */
	/* What the origin promises by digests: bl_manifest_promise(), bl_manifest_promised(). */
	unsigned char
		content[32];	/* SHA-256, or a Git SHA-1 over "blob <size>\0" and the content */
	unsigned char md5[16];	/* MD5, or a CRC-64/NVME, big-endian as all CRCs */
	unsigned char crc32[4]; /* CRC-32C, or a CRC-32 */
	unsigned char promised; /* 1 << enum bl_digest_kind of each that is there */
	bool unchanged;		/* same promise as in the last look: needs not be brought */
};

/* Sets a digest (nothing where its len is 0). Of kinds that share a place an entry has one, the last. */
void bl_manifest_promise(struct bl_entry *entry, enum bl_digest_kind kind,
			 const struct bl_digest *digest);
/* Whether there is a promised digest of that kind; *ret (or NULL) is it. */
bool bl_manifest_promised(const struct bl_entry *entry, enum bl_digest_kind kind,
			  struct bl_digest *ret);
/* Whether the entry promises a digest that tells content apart: what was mixed would not have it. */
bool bl_manifest_is_digested(const struct bl_entry *entry);

/* Sees every file of the listing and what the patterns say of it, for `plan`. */
typedef void bl_manifest_watch(void *ctx, const struct bl_entry *entry,
			       const struct bl_pattern_verdict *verdict);

struct bl_manifest;

/* Patterns are NULL-terminated lists or NULL, borrowed for the manifest's life. */
int bl_manifest_new(const char *const *allow, const char *const *ignore, struct bl_manifest **ret,
		    struct bl_err *err);
void bl_manifest_free(struct bl_manifest **manifest);
#define auto_manifest __attribute__((cleanup(bl_manifest_free))) struct bl_manifest *
void bl_manifest_set_watch(struct bl_manifest *manifest, bl_manifest_watch *watch, void *ctx);

/* The patterns with what became of them: bl_pattern_filter_notes(). */
const struct bl_pattern_filter *bl_manifest_filter(const struct bl_manifest *manifest);

/*
 * Adds a copy of the entry unless the patterns drop it. -EBADMSG for a name that is refused
 * (dropped files' names too: a listing is refused whole), -EFBIG where the listing is too long.
 */
int bl_manifest_add(struct bl_manifest *manifest, const struct bl_entry *entry, struct bl_err *err);

/*
 * Sorts by path (bytes) and refuses two of one name and a file that is also a directory. A listing
 * from which patterns leave nothing is -ENOENT with a message that names patterns and counts.
 */
int bl_manifest_finish(struct bl_manifest *manifest, struct bl_err *err);

size_t bl_manifest_count(const struct bl_manifest *manifest);
int64_t bl_manifest_bytes(const struct bl_manifest *manifest); /* sum of the sizes */
/* The i-th file; the caller may set `unchanged`. */
struct bl_entry *bl_manifest_at(struct bl_manifest *manifest, size_t i);
/* The largest file, with `sha256` of those that are promised by one; NULL where all are empty. */
const struct bl_entry *bl_manifest_largest(const struct bl_manifest *manifest, bool sha256);
/* By path, after finish; NULL if it is not there. */
struct bl_entry *bl_manifest_find(struct bl_manifest *manifest, const char *path);

/* What the revision that was listed is called (hf: the commit); NULL where there is none. */
int bl_manifest_set_revision(struct bl_manifest *manifest, const char *revision,
			     struct bl_err *err);
const char *bl_manifest_revision(const struct bl_manifest *manifest);

/* Whether the entry promises what `known` (members as in "files" of common/job.h) did: something that tells
 * content apart agrees, and nothing differs. An ETag or a generation is a word of one source: where `known`
 * is not of the same, only digests count. */
bool bl_manifest_same_promise(const struct bl_entry *entry, const bl_json *known, bool same_source);

/* Adds the entry to the array `list`, with the members that common/job.h gives. */
int bl_manifest_entry_to_json(const struct bl_entry *entry, bl_json *list, struct bl_err *err);

#endif
