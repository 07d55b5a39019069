/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A manifest: the files of a tree with their digests, in byte order of their paths. Its canonical
 * form (RFC 8785, no newline) is
 *
 *   {"files":[{"path":"a/b","sha256":"<hex>","size":12}...],"schema":1}
 *
 * and its SHA-256 names the tree. Content only. It is written and read as a stream, so that a
 * million files cost their paths and 64 bytes each, and a check costs no more than one entry.
 */
#ifndef BL_MANIFEST_H
#define BL_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/digest.h"

struct bl_err;
struct bl_cachedir;

#define BL_MANIFEST_PATH_MAX  3500 /* bytes of a path in a tree; leaves room for trees/<hex>/ */
#define BL_MANIFEST_PATHS_MAX (256U * 1024 * 1024) /* bytes of all paths together */

struct bl_manifest_file {
	const char *path; /* the manifest's */
	/* What the origin promised: text of one JSON object without the path, or NULL. */
	const char *promise;
	uint64_t size;
	struct bl_digest sha256; /* valid with has_sha256 */
	bool has_sha256;
};

struct bl_manifest {
	struct bl_manifest_file *files;
	size_t count, room;
	uint64_t bytes; /* of all files */
	char **chunks;	/* where the texts are */
	size_t chunk_count, chunk_used, text_bytes;
	bool sorted;
};

void bl_manifest_init(struct bl_manifest *manifest);
void bl_manifest_done(struct bl_manifest *manifest);
#define auto_manifest __attribute__((cleanup(bl_manifest_done))) struct bl_manifest

/* Whether path may stand in a manifest: relative, no empty, "." or ".." part, no backslash or
 * control character, UTF-8, every part at most 255 bytes, all at most BL_MANIFEST_PATH_MAX. */
bool bl_manifest_is_path(const char *path);

/*
 * Adds a file; path and promise are copied (promise may be NULL). sha256 may be NULL: set later
 * through bl_manifest_find(). Errors are BL_EX_CONFIG: a bad path, more than BL_MAX_FILES files.
 */
int bl_manifest_add(struct bl_manifest *manifest, const char *path, uint64_t size,
		    const struct bl_digest *sha256, const char *promise, struct bl_err *err);

/* Sorts and refuses a path that stands twice or is both a file and a directory ("a", "a/b"). To be
 * called once all are added; pointers to files are good only after it. */
int bl_manifest_sort(struct bl_manifest *manifest, struct bl_err *err);

/* The file of that path, or NULL. The manifest must be sorted. The entry may be filled in. */
struct bl_manifest_file *bl_manifest_find(const struct bl_manifest *manifest, const char *path);

/* The tree's name. The manifest must be sorted and have every digest (else -EINVAL). */
int bl_manifest_digest(const struct bl_manifest *manifest, struct bl_digest *ret,
		       struct bl_err *err);

/* Makes manifests/<hex>.json, durably. A file already there is kept if it has the right digest and
 * replaced if not. Any thread. */
int bl_manifest_publish(struct bl_cachedir *dirs, const struct bl_manifest *manifest,
			const struct bl_digest *name, struct bl_err *err);

/* What a walk through a manifest on disk shows; borrowed for the call. */
struct bl_manifest_entry {
	const char *path;
	const char *sha256; /* 64 hexadecimal digits */
	struct bl_digest digest;
	uint64_t size;
};
/* Returns < 0 (with err filled) to end the walk with that. */
typedef int bl_manifest_visit(void *context, const struct bl_manifest_entry *entry,
			      struct bl_err *err);

/*
 * Walks through the manifest file `name` in directory dirfd, entry by entry, in order. Only the
 * canonical form is accepted: -EBADMSG for anything else, and at the end where digest is not NULL
 * and the file has another one. -ENOENT where there is none. Any thread.
 */
int bl_manifest_walk(int dirfd, const char *name, const struct bl_digest *digest,
		     bl_manifest_visit *visit, void *context, struct bl_err *err);

/* The same for manifests/<hex>.json. */
int bl_manifest_walk_tree(const struct bl_cachedir *dirs, const struct bl_digest *tree,
			  bl_manifest_visit *visit, void *context, struct bl_err *err);

#endif
