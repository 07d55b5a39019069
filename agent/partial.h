/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is on its way, with the journal of what of it is on disk for certain.
 *
 *   partial/<key>.<nonce>.data      the bytes, full length from the start (so length says nothing)
 *   partial/<key>.<nonce>.ranges    records of 32 bytes: from, to, nonce, check
 *
 * A record is written only after fdatasync() of the data, and names the nonce of the data file that
 * it speaks of; so whatever a crash leaves of the two, a range that is read back was written. A
 * torn or foreign record ends the journal. Losing records loses progress, nothing else.
 *
 * Once a sync of the data has failed nothing is known of any of it (the kernel tells an error once,
 * and drops the pages): such a partial is spoilt, and is thrown away when it is closed. So is one
 * that could not be read back when it was to be published.
 *
 * A partial is locked while it is open. Functions may be called from any thread, for one partial
 * from one thread at a time.
 */
#ifndef BL_PARTIAL_H
#define BL_PARTIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/digest.h"
#include "common/ranges.h"

struct bl_err;
struct bl_cachedir;

struct bl_partial {
	struct bl_cachedir *dirs; /* borrowed */
	int data;		  /* read-only */
	int journal;
	uint64_t size;
	uint64_t nonce;
	char name[96];			 /* "<key>.<nonce>", without the suffix */
	struct bl_ranges have;		 /* on disk for certain */
	uint64_t records;		 /* in the journal */
	struct bl_digest_stream *stream; /* of the first `hashed` bytes; NULL before */
	uint64_t hashed;
	bool spoilt;
	bool is_new;	  /* made, not taken up: its room has been allocated just now */
	uint64_t on_disk; /* bytes that were allocated when it was taken up */
};

/*
 * Opens the partial of `key` and `size`, the one with most on disk that nobody has open, or makes
 * one (space for it is allocated: -ENOSPC or -EDQUOT, BL_EX_RETRY). The key is any text that says
 * whose bytes of which version of which file these are: tenant, source, path, size and what the
 * origin promised; only its digest is kept. A file of another size is not taken up.
 */
int bl_partial_open(struct bl_cachedir *dirs, const char *key, uint64_t size,
		    struct bl_partial **ret, struct bl_err *err);

/* The same, by the digest of the key. */
int bl_partial_open_key(struct bl_cachedir *dirs, const struct bl_digest *key, uint64_t size,
			struct bl_partial **ret, struct bl_err *err);

/* Takes up one that is there and that nobody has open; *ret is NULL where there is none. */
int bl_partial_find(struct bl_cachedir *dirs, const struct bl_digest *key, uint64_t size,
		    struct bl_partial **ret, struct bl_err *err);

/* Removes those of that key and size that nobody has open. */
int bl_partial_forget(struct bl_cachedir *dirs, const struct bl_digest *key, uint64_t size,
		      struct bl_err *err);

/* The keys of all that are there, open or not, sorted; the caller's to free. */
int bl_partial_keys(const struct bl_cachedir *dirs, struct bl_digest **ret, size_t *ret_count,
		    struct bl_err *err);

/* Closes it and leaves it on disk, to be opened again. */
void bl_partial_close(struct bl_partial **partial);
#define auto_partial __attribute__((cleanup(bl_partial_close))) struct bl_partial *

/* A new descriptor, read-write: while there is one, the partial cannot be published. */
int bl_partial_writer(const struct bl_partial *partial, struct bl_err *err);
/* A new descriptor to read by, which may be given to others. */
int bl_partial_reader(const struct bl_partial *partial, struct bl_err *err);

/*
 * Digests what is there up to byte `to` and was not digested yet, while the rest may still be written: the
 * caller says that nobody will write those bytes again. Beside bl_partial_note() it may run on another
 * thread. Blocks: on a worker.
 */
int bl_partial_hash(struct bl_partial *partial, uint64_t to, struct bl_err *err);
/* Forgets what was digested. */
void bl_partial_hash_drop(struct bl_partial *partial);

/* Notes ranges as durable: one fdatasync() of the data, then the journal. Blocks: on a worker. A
 * range beyond the size is BL_EX_CONFIG. */
int bl_partial_note(struct bl_partial *partial, const struct bl_range *ranges, size_t count,
		    struct bl_err *err);

/* fsync() of the data; a failure spoils the partial. */
int bl_partial_sync(struct bl_partial *partial, struct bl_err *err);

/* Bytes that the journal has. */
uint64_t bl_partial_have(const struct bl_partial *partial);

/* Removes it from disk and closes it. */
void bl_partial_discard(struct bl_partial **partial);

/* What bl_partial_collect() adds to: unfinished downloads that went, and their bytes on disk. */
struct bl_partial_collected {
	uint64_t count, bytes;
};

/*
 * Removes downloads that nobody has open: those last written before `older_than` (unix seconds),
 * or every one. Any thread.
 */
int bl_partial_collect(struct bl_cachedir *dirs, int64_t older_than,
		       struct bl_partial_collected *collected, struct bl_err *err);

#endif
