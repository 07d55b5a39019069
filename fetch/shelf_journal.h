/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in the files of a shelf (fetch/shelf.h), apart from reading and writing them. It outlives
 * crashes, and lies where the caller of `pull` can write: nothing in it is believed that does not fit
 * what the origin promises now.
 */
#ifndef BL_FETCH_SHELF_JOURNAL_H
#define BL_FETCH_SHELF_JOURNAL_H

#include <stddef.h>

#include "fetch/manifest.h"
#include "common/ranges.h"

struct bl_buf;

#define BL_SHELF_LINE_MAX    (64 * 1024)	     /* bytes of a line of the record */
#define BL_SHELF_JOURNAL_MAX (8 * BL_SHELF_LINE_MAX) /* bytes of a journal */

/*
 * The bytes that the journal says are on disk of the entry's partial file, sorted and within its size;
 * none where it is no journal, or one of another promise. *have must be empty. `source` is the digest of the
 * source's text: an ETag or a generation of another source says nothing.
 */
void bl_shelf_journal_read(const char *text, size_t len, const char *source,
			   const struct bl_entry *entry, struct bl_ranges *have);
int bl_shelf_journal_write(const struct bl_entry *entry, const char *source,
			   const struct bl_ranges *have, struct bl_buf *to, struct bl_err *err);

/*
 * A line of the record: which entry it is about, where that still has the same promise, and the SHA-256
 * that was found. NULL for any other line, such as one that a crash has cut.
 */
struct bl_entry *bl_shelf_record_read(const char *line, size_t len, const char *source,
				      struct bl_manifest *manifest, struct bl_digest *found);
/* Appends a line, with its end. */
int bl_shelf_record_write(const struct bl_entry *entry, const char *source,
			  const struct bl_digest *found, struct bl_buf *to, struct bl_err *err);

#endif
