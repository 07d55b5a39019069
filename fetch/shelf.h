/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where `pull` by hand keeps what it works with: DIR/.ballast-fetch, with a partial file and a
 * journal for each file on its way, and a record of what was brought and verified. A file gets its
 * name in DIR only once it is whole, verified and on disk; what the record says of a file is
 * believed only as long as the file still has that SHA-256.
 *
 *   lock            held while a pull works
 *   <hex>.part      bytes of the file whose path has this SHA-256
 *   <hex>.json      what it is to be (members of common/job.h), "source", and "have": [[from,to)...]
 *   record          a line of JSON for each verified file: its promise, "source", and "found": its SHA-256
 */
#ifndef BL_FETCH_SHELF_H
#define BL_FETCH_SHELF_H

#include <stdbool.h>

#include "fetch/manifest.h"
#include "common/ranges.h"

#define BL_SHELF_NAME ".ballast-fetch"

struct bl_shelf {
	int dir;	  /* DIR */
	int work;	  /* DIR/.ballast-fetch */
	int lock;	  /* held */
	int record;	  /* appended to */
	bool unsettled;	  /* an earlier pull ended before bl_shelf_settle() */
	char source[65];  /* SHA-256 of what is pulled: its text may hold a signature */
	const char *name; /* of DIR, for messages; the caller's */
};

/* Makes what is missing; `source` is what is to be pulled. Another pull on the same directory is -EBUSY. */
int bl_shelf_open(struct bl_shelf *shelf, const char *dir, const char *source, struct bl_err *err);
void bl_shelf_done(struct bl_shelf *shelf);
#define auto_shelf    __attribute__((cleanup(bl_shelf_done))) struct bl_shelf
#define BL_SHELF_INIT ((struct bl_shelf){-1, -1, -1, -1, false, "", ""})

/* Marks as unchanged what was brought before, has the same promise and still the same bytes. A list with a
 * name below .ballast-fetch is refused (BL_EX_CONFIG, EBADMSG). */
int bl_shelf_compare(struct bl_shelf *shelf, struct bl_manifest *manifest, struct bl_err *err);

/* The partial file of an entry, and which of its bytes are there. Returns a descriptor. */
int bl_shelf_take(struct bl_shelf *shelf, const struct bl_entry *entry, struct bl_ranges *have,
		  struct bl_err *err);

/* Forgets what came of a file: its content is not what was promised. Returns 0. */
int bl_shelf_discard(struct bl_shelf *shelf, const struct bl_entry *entry, struct bl_err *err);

/* Journals that these bytes are on disk. */
int bl_shelf_note(struct bl_shelf *shelf, const struct bl_entry *entry,
		  const struct bl_ranges *have, struct bl_err *err);

/*
 * Digests the partial file, compares with what is promised and gives it its name. 1: it is there;
 * 0: its content is not what was promised, and is gone. For the worker's thread.
 *
 * A large file is synced before. Of small ones the writing only begins: a sync for each would take
 * longer than to bring it. bl_shelf_settle() makes all durable; until then a loss of power may
 * leave a file that is not whole, which the next look finds by its digest and brings again.
 */
int bl_shelf_publish(struct bl_shelf *shelf, const struct bl_entry *entry, struct bl_err *err);

/*
 * Syncs what was published of this list (what is not `unchanged`), and every name of it. With `all`
 * what is unchanged too, where an earlier look of the same pull may have brought it; so it is after
 * a pull that was killed.
 */
int bl_shelf_settle(struct bl_shelf *shelf, struct bl_manifest *manifest, bool all,
		    struct bl_err *err);

#endif
