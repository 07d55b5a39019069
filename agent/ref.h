/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refs: (tenant, source, revision asked for, patterns) -> manifest, with what the origin promised
 * and when the tenant's credential was last accepted. The record of one tenant is of no use to
 * another: the tenant is part of the name. Content that asked nobody for a credential may be kept
 * under the tenant "" by the caller, who looks there second: that is how it is shared.
 *
 * A ref outlives its tree: after an eviction it still says which revision this node is on.
 */
#ifndef BL_REF_H
#define BL_REF_H

#include <stdbool.h>
#include <stdint.h>

#include "agent/digest.h"
#include "common/json.h"

struct bl_err;
struct bl_cachedir;
struct bl_manifest;
struct bl_weights_item;

#define BL_REF_FILE_MAX (1024U * 1024 * 1024)

struct bl_ref {
	char name[BL_DIGEST_HEX]; /* refs/<name>.json */
	char *tenant, *source;
	char *revision; /* resolved by the origin, NULL where it has none */
	struct bl_digest manifest;
	bool credential;       /* the origin wanted one */
	int64_t resolved_at;   /* unix seconds; when the origin was last asked */
	int64_t authorised_at; /* unix seconds; when it last accepted this tenant's credential, or 0
				*/
	uint64_t files, bytes; /* of the manifest */
};

void bl_ref_done(struct bl_ref *ref);
#define auto_ref __attribute__((cleanup(bl_ref_done))) struct bl_ref

/* The name of the ref of this tenant ("" for the shared one) and item. */
int bl_ref_name(const char *tenant, const struct bl_weights_item *item, char name[BL_DIGEST_HEX],
		struct bl_err *err);

/* 0; -ENOENT; -EBADMSG where the file is not one of ours (it goes to quarantine: as if absent). */
int bl_ref_load(struct bl_cachedir *dirs, const char *name, struct bl_ref *ret, struct bl_err *err);

/* The promises of the ref as an array, members as in "files" of common/job.h; an empty array without a ref. */
int bl_ref_load_promises(struct bl_cachedir *dirs, const char *name, bl_json **ret,
			 struct bl_err *err);

/* Writes the ref, durably. promises: each file's `promise` becomes its element of "files". */
int bl_ref_save(struct bl_cachedir *dirs, const struct bl_ref *ref,
		const struct bl_manifest *promises, struct bl_err *err);

/* Changes authorised_at alone (0 withdraws), durably. */
int bl_ref_authorise(struct bl_cachedir *dirs, const char *name, int64_t when, struct bl_err *err);

/*
 * Removes the ref if it names that tree and, but for `there`, the tree is not there. A tree that has come back has
 * refs that were written after it did: they stay. Not durable by itself.
 */
int bl_ref_remove(struct bl_cachedir *dirs, const char *name, const struct bl_digest *tree,
		  bool there, struct bl_err *err);

/* Shows `found` every ref that can be read; a failure of it is the last call, and what is returned.
 * It may remove the ref that it is shown. */
typedef int bl_ref_fn(void *context, const struct bl_ref *ref, struct bl_err *err);
int bl_ref_each(struct bl_cachedir *dirs, bl_ref_fn *found, void *context, struct bl_err *err);

/* How many refs without a tree, and how many bytes of them, a tenant keeps: the latest. Sixteen times as much it
 * keeps of those whose tree is there, and in any case the latest of each tree; and all tenants together of the
 * others. */
struct bl_ref_bound {
	uint64_t count, bytes;
};

/* Removes what is beyond the bound, and adds to *removed how many that were. A worker's. -ECANCELED: `stop` (may be
 * NULL), as in struct bl_digest_pace. */
int bl_ref_trim(struct bl_cachedir *dirs, const struct bl_ref_bound *bound, const bool *stop,
		uint64_t *removed, struct bl_err *err);

enum bl_ref_authority {
	BL_REF_NONE,  /* ask the origin, and refuse where it cannot be asked */
	BL_REF_GRACE, /* ask the origin; where it is out of reach, this still holds */
	BL_REF_VALID, /* ask nobody */
};
/* What a recorded authorisation is worth at `now` (unix seconds). One from the future, beyond
 * five minutes, is worth nothing: a clock was wrong, then or now. ttl and grace in seconds, both
 * since the credential was accepted. */
enum bl_ref_authority bl_ref_authority(const struct bl_ref *ref, int64_t now, int64_t ttl,
				       int64_t grace);

#endif
