/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: what the agent knows of its cache in memory (trees, their last use and pins, leases,
 * space), over the files of agent/cachedir.h. The loop's thread alone calls it; what blocks is
 * done by worker threads on bl_store_dirs() with agent/{partial,blob,tree,gc,scrub}.h.
 *
 * The way of a download:
 *
 *   loop    bl_store_reserve(bytes that are missing)       perhaps wait for a collect on a worker
 *   loop    bl_blob_check() and bl_cachedir_hold()         a file whose promised digest is there
 *   loop    bl_store_allocate()                            a file that is to be brought
 *   worker  bl_partial_open(), bl_partial_writer()
 *   loop    bl_store_allocated(), bl_store_unreserve(), bl_store_grew()
 *   worker  bl_partial_note(), bl_partial_hash() ...       now and then
 *   worker  bl_blob_publish()                              on `done`; the blob is held
 *   loop    bl_manifest_sort(), bl_manifest_digest(), bl_store_tree_hold()
 *   worker  bl_tree_publish()
 *   loop    bl_store_tree_added(), bl_ref_save(), bl_store_lease_put()
 *   loop    bl_cachedir_unhold() each blob, bl_store_tree_unhold(), bl_store_unreserve()
 *
 * Eviction takes trees that no lease, pin or hold protects, oldest use first, only ever from the
 * loop's thread: so a lease that was put is seen by every eviction after it.
 */
#ifndef BL_STORE_H
#define BL_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "agent/digest.h"
#include "common/json.h"

struct bl_err;
struct bl_cachedir;
struct bl_gc_options;
struct bl_gc_result;
struct bl_gc_size;
struct bl_store;

struct bl_store_options {
	const char *path;
	uint64_t max_bytes;	 /* the cache's quota; 0: what the filesystem has */
	uint64_t min_free_bytes; /* never use the filesystem's last so many bytes */
	unsigned high_percent; /* of max_bytes (or the filesystem): above it eviction begins; 0: off
				*/
	unsigned low_percent;  /* ... and goes on down to this */
	int64_t lease_grace;   /* seconds that an ended lease still protects */
	int64_t partial_ttl;   /* seconds that an unfinished download is kept; 0: 7 days */
	/* Called after a lease was written, to have bl_store_leases_sync() run on a worker; or NULL. */
	void (*unsynced)(void *data);
	void *data;
	const char *boot_id;		/* NULL: this boot's (tests give another) */
	int64_t (*clock)(clockid_t id); /* milliseconds; NULL: clock_gettime(2) */
};

/*
 * Opens the cache (see bl_cachedir_open() for what is refused). Reads names and leases, no content:
 * ten thousand trees take well under a second. Leftovers are removed by the first bl_gc_collect().
 */
int bl_store_open(const struct bl_store_options *options, struct bl_store **ret,
		  struct bl_err *err);
void bl_store_close(struct bl_store **store);
#define auto_store __attribute__((cleanup(bl_store_close))) struct bl_store *

/* The handles, for worker threads; the store's until it is closed. */
struct bl_cachedir *bl_store_dirs(const struct bl_store *store);

/* ---- Trees ---- */

struct bl_store_tree {
	struct bl_digest name;
	uint64_t files, bytes;
	int64_t last_used; /* unix seconds */
	unsigned leases;   /* live ones and those in their grace */
	bool pinned;
};

/* 0, or -ENOENT (err untouched). Sizes are read from the manifest the first time. */
int bl_store_tree_find(struct bl_store *store, const struct bl_digest *name,
		       struct bl_store_tree *ret);
bool bl_store_tree_is_there(const struct bl_store *store, const struct bl_digest *name);
/* Whether its directory is there, known to the store or not. */
bool bl_store_tree_is_on_disk(const struct bl_store *store, const struct bl_digest *name);
size_t bl_store_tree_count(const struct bl_store *store);
/* Every tree once, in no order: *position starts as 0. 1 and *ret, or 0 at the end. Sizes are as far as
 * they are known: see bl_store_sizes_begin(). */
int bl_store_tree_next(struct bl_store *store, size_t *position, struct bl_store_tree *ret);

/*
 * The trees whose sizes nobody has read since the start: how many, with their names in *ret, the
 * caller's. bl_gc_sizes() fills them in on a worker, then the store takes them.
 */
size_t bl_store_sizes_begin(struct bl_store *store, struct bl_gc_size **ret);
void bl_store_sizes_take(struct bl_store *store, const struct bl_gc_size *sizes, size_t count);

/* Its absolute path, and that of the overlay's empty lower layer. */
int bl_store_tree_path(const struct bl_store *store, const struct bl_digest *name,
		       char path[PATH_MAX]);
int bl_store_empty_path(const struct bl_store *store, char path[PATH_MAX]);
/* Whether these paths lead to what they say, before any is handed out. The empty layer is made anew where somebody
 * removed it. */
int bl_store_paths_check(const struct bl_store *store, struct bl_err *err);

/*
 * To be called before a tree is handed out: bl_tree_check(), and last use is now. -ENOENT: fetch
 * it; -EBADMSG: it was damaged and is out of the way now (condemned): fetch what is missing of it.
 */
int bl_store_tree_use(struct bl_store *store, const struct bl_digest *name, struct bl_err *err);

/* In flight: neither evicted nor removed, whether it is there already or not. Counted. */
int bl_store_tree_hold(struct bl_store *store, const struct bl_digest *name, struct bl_err *err);
void bl_store_tree_unhold(struct bl_store *store, const struct bl_digest *name);

/* bl_tree_publish() has succeeded on a worker. */
int bl_store_tree_added(struct bl_store *store, const struct bl_digest *name, struct bl_err *err);

int bl_store_tree_pin(struct bl_store *store, const struct bl_digest *name, bool pin,
		      struct bl_err *err); /* durable; -ENOENT */

/* Removes it at an operator's word: -EBUSY while leased, held or pinned. Then its refs are to go, too. */
int bl_store_tree_remove(struct bl_store *store, const struct bl_digest *name, struct bl_err *err);
/* Removes every ref to a tree that was removed, durably: on a worker. */
int bl_store_refs_remove(struct bl_cachedir *dirs, const struct bl_digest *tree,
			 struct bl_err *err);

/*
 * Takes a damaged tree out of the way, leased or not: those who have it mounted keep what they
 * have.
 */
int bl_store_tree_condemn(struct bl_store *store, const struct bl_digest *name, struct bl_err *err);
/* Trees by name; starts as {0}. */
struct bl_store_trees {
	struct bl_digest *list;
	size_t count, room;
};
/* Adds those whose manifests have that blob: on a worker. A manifest that cannot be read does not keep it from
 * the others, and is what is returned. -ECANCELED: `stop` (may be NULL), as in struct bl_digest_pace. */
int bl_store_blob_trees(struct bl_cachedir *dirs, const struct bl_digest *blob, const bool *stop,
			struct bl_store_trees *ret, struct bl_err *err);
/* bl_store_tree_condemn() for each. Returns how many were there. */
int bl_store_trees_condemn(struct bl_store *store, const struct bl_store_trees *trees,
			   struct bl_err *err);
void bl_store_trees_done(struct bl_store_trees *trees);

/* ---- Leases ---- */

/* A lease is (boot id, pid, start_time); id is its label. */
struct bl_store_lease {
	char *id, *tenant, *container;
	char boot_id[40];
	pid_t pid;
	uint64_t start_time;
	struct bl_digest *trees; /* may be none yet */
	size_t tree_count;
	size_t own; /* the store's: so many of them, the first, are what was put; the rest is what the process
		     * had been given before, under another label */
	bl_json *extra;	  /* the caller's own object, kept with the record; or NULL */
	int64_t ended_at; /* unix seconds, 0 while it lives */
	int64_t seen_at;  /* seconds of CLOCK_BOOTTIME when the end was seen, ours */
	size_t place;	  /* the store's own, as is `next` */
	struct bl_store_lease *next;
};

/* This boot's id, as it stands in a lease. */
const char *bl_store_boot_id(const struct bl_store *store);

/*
 * Writes the lease to its file and protects its trees from then on; everything is copied. The file
 * is there, whole, when this returns, whatever becomes of the agent: so a restart finds it. It is
 * not fsync'ed here: a lease is of no use to another boot than its own but for the grace, and a
 * container's start must not wait until a disk is done with the downloads of others. That is for
 * bl_store_leases_sync(), moments later. One with the same boot id, pid and start_time is replaced,
 * ended or not; where it is not, trees that it named stay protected by the new one: the process may
 * have them under another label. -ENOENT where a tree is not there.
 */
int bl_store_lease_put(struct bl_store *store, const struct bl_store_lease *lease,
		       struct bl_err *err);

/*
 * Makes the next lease's file, so that bl_store_lease_put() and _end() need only write and rename it.
 * For a moment at which nobody waits; what cannot be made now is made then.
 */
void bl_store_lease_prepare(struct bl_store *store);

/* Whether a lease can be written: tried only where the last one could not be. */
int bl_store_leases_try(struct bl_store *store, struct bl_err *err);

/* Makes what was written of leases until now outlive a loss of power, too. On a worker. */
int bl_store_leases_sync(struct bl_cachedir *dirs, struct bl_err *err);

/* Every lease once, in no order; as with bl_store_tree_next(). Between two calls leases may be put and
 * ended, but none may expire. */
const struct bl_store_lease *bl_store_lease_next(const struct bl_store *store, size_t *position);

/* Its process is dead: from now on the grace runs. Trees stay protected until it is over. Nothing
 * happens where it had ended or is not there. */
int bl_store_lease_end(struct bl_store *store, const char *boot_id, pid_t pid, uint64_t start_time,
		       struct bl_err *err);

/* Forgets ended leases whose grace is over. Returns seconds until the next one's is, or 0 when none
 * runs. */
int64_t bl_store_lease_expire(struct bl_store *store);

/* ---- Space ---- */

struct bl_store_usage {
	uint64_t bytes;	   /* of blobs, downloads and what waits to be removed */
	uint64_t reserved; /* promised to downloads and not yet allocated */
	uint64_t limit;	   /* bytes that the cache may have in all, as things are */
	uint64_t free;	   /* bytes that the filesystem has left */
	size_t trees, pinned, leased;
	uint64_t evictions, evicted_bytes; /* since the start */
};
int bl_store_usage(struct bl_store *store, struct bl_store_usage *ret, struct bl_err *err);

/*
 * Reserves bytes before a download. 0: they are yours until bl_store_unreserve(). 1: room is being
 * made: run bl_gc_collect() on a worker, tell bl_store_collected(), ask again. -ENOSPC: all that
 * may be evicted would not do; the message says how much is missing (BL_EX_RETRY), nothing was
 * evicted for it. `files` is how many inodes it will want at the most, directories and journals with them: trees
 * are evicted for those too, but their lack is no refusal.
 */
int bl_store_reserve(struct bl_store *store, uint64_t bytes, uint64_t files, struct bl_err *err);
/* Which trees the refs on this node name, for one tenant. */
struct bl_store_refs {
	struct bl_store_ref *list;
	size_t count, room;
	uint64_t added; /* trees that had been added to the store when the look began */
};
/* Before each look. */
void bl_store_refs_begin(const struct bl_store *store, struct bl_store_refs *refs);
/* Reads every ref: on a worker. */
int bl_store_refs_read(struct bl_cachedir *dirs, const char *tenant, struct bl_store_refs *refs,
		       struct bl_err *err);
void bl_store_refs_done(struct bl_store_refs *refs);

/*
 * Before a reservation, where the tenant has a quota: whether trees of `bytes` more are within it.
 * What a tenant has are the trees on this node that its refs name, but for `same` (or NULL), which is what is to
 * be had. 0, 1 and -ENOSPC as above; only
 * trees that no other tenant has are evicted for it. -EAGAIN: a tree was added since the look at the
 * refs began: look again.
 */
int bl_store_check_tenant(struct bl_store *store, const struct bl_store_refs *refs,
			  const char *tenant, const struct bl_digest *same, uint64_t quota,
			  uint64_t bytes, struct bl_err *err);

/*
 * A worker begins to allocate so many bytes of those reserved, and is done: between the two the
 * filesystem may count them already, and nothing is evicted or refused for what may be counted twice.
 */
void bl_store_allocate(struct bl_store *store, uint64_t bytes);
void bl_store_allocated(struct bl_store *store, uint64_t bytes);

/* Gives bytes back: a partial was opened (its space is allocated then), or the download is over. */
void bl_store_unreserve(struct bl_store *store, uint64_t bytes);

/* What bl_gc_collect() is to be told: the usual ages, or everything where room is short. A collect
 * begins with it and ends with bl_store_collected(), on the loop's thread. */
void bl_store_gc_options(struct bl_store *store, struct bl_gc_options *ret);

/* A partial was made: its bytes count. */
void bl_store_grew(struct bl_store *store, uint64_t bytes);
/* A collect is over, and this is what it did. */
void bl_store_collected(struct bl_store *store, const struct bl_gc_result *result);

/* Retires trees above the high mark. 1: run bl_gc_collect() on a worker; 0: nothing to do. */
int bl_store_trim(struct bl_store *store, struct bl_err *err);

#endif
