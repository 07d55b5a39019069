/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of an unfinished work are published already: partial/<ref name>.memo, one line each,
 * "<digest of whose bytes of which version of which file> <digest of the bytes>". A work that is
 * taken up again after a crash finds them so; their blobs are in no tree yet, and no ref speaks of
 * them. It is not synced: what a crash of the machine loses of it is brought again.
 */
#ifndef BL_AGENT_WORK_MEMO_H
#define BL_AGENT_WORK_MEMO_H

#include <stddef.h>

#include "agent/digest.h"

struct bl_cachedir;

#define BL_MEMO_MAX (256 * 1024 * 1024) /* bytes of a memo that are read */

struct bl_memo_entry {
	struct bl_digest key, content;
};

/* Notes a file, best effort. */
void bl_memo_add(const struct bl_cachedir *dirs, const char *ref_name, const struct bl_digest *key,
		 const struct bl_digest *content);

/* All that are noted, sorted by key; *ret is the caller's (NULL where there are none). Returns how
 * many. */
size_t bl_memo_load(const struct bl_cachedir *dirs, const char *ref_name,
		    struct bl_memo_entry **ret);

/* The content that is noted for the key, or NULL. */
const struct bl_digest *bl_memo_find(const struct bl_memo_entry *entries, size_t count,
				     const struct bl_digest *key);

/* The work is done. */
void bl_memo_remove(const struct bl_cachedir *dirs, const char *ref_name);

/* Removes memos of works that nobody has taken up again for `age` seconds. */
void bl_memo_collect(const struct bl_cachedir *dirs, long age);

#endif
