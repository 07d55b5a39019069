/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the store share among themselves (store.c: opening, trees; store_entry.c: what is
 * known of each; store_remove.c; store_lease.c, store_lease_file.c; store_space.c; store_tenant.c). Nobody else includes it.
 */
#ifndef BL_STORE_IMPL_H
#define BL_STORE_IMPL_H

#include "agent/cachedir.h"
#include "agent/store.h"

#define BL_STORE_SECOND	       1000000000LL
#define BL_STORE_LEASE_BUCKETS 1024 /* a power of two */

struct bl_store_entry {
	struct bl_store_entry *next; /* of the same bucket */
	struct bl_digest name;
	size_t position;       /* in store->list */
	uint64_t files, bytes; /* valid with sized */
	int64_t used;	       /* nanoseconds, by the order of uses: see bl_store_touch() */
	int64_t noted_at;      /* when a use was last noted on disk, milliseconds of this boot */
	unsigned leases, holds;
	unsigned round; /* of the last look at a tenant's trees that found it, see store_tenant.c */
	bool others;	/* ... and whether another tenant has it too */
	bool present;	/* in trees/; an entry without it is held, or pinned */
	bool pinned, sized;
	bool kept;	 /* leased, and so held in the cache directory, too */
	bool size_tried; /* its size was looked for; where that failed it counts as nothing */
	/* The last whole look at it: when (milliseconds of this boot), and its root then. */
	int64_t checked_at;
	struct bl_store_seen {
		dev_t dev;
		ino_t ino;
		struct timespec changed;
	} seen;
};

struct bl_store {
	struct bl_store_options options;
	struct bl_cachedir *dirs;
	char boot_id[40];

	struct bl_store_entry **buckets, **list;
	size_t bucket_count, count, room;
	int64_t last_use; /* the latest of all uses */

	struct bl_store_lease **leases;
	size_t lease_count, lease_room;
	struct bl_store_lease *lease_buckets[BL_STORE_LEASE_BUCKETS]; /* by pid and start time */
	bool remains;	   /* damaged trees are kept for who has them mounted */
	bool let_go;	   /* some tree is leased no more, since the collect began */
	bool lease_failed; /* the last one could not be written */
	int spare;	   /* the next lease's file, empty, open; -1: there is none */
	char spare_name[BL_CACHEDIR_NAME]; /* in partial/ */

	uint64_t bytes, reserved; /* bytes: valid with measured */
	uint64_t allocating;	  /* of those reserved: the filesystem may count them, too */
	uint64_t grown;		  /* by downloads that were opened since the last collect began */
	uint64_t evictions, evicted_bytes;
	bool measured, drifted; /* drifted: added to and taken from since it was counted */
	int64_t measured_at;	/* milliseconds of CLOCK_BOOTTIME */
	/* A shortage wants a count; the collect that runs has one for it; there was one. */
	bool recount, recounting, recounted;
	struct bl_gc_size *sizes; /* that the collect is to find, and it alone touches them */
	size_t size_count;
	bool sizes_wanted; /* by the next collect */
	unsigned tenant_round;
	uint64_t added; /* trees, since the start */
	/* Retired trees are counted, so that a collect that began before one is not taken for its. */
	uint64_t retired, collecting, collected; /* in all; when the last collect began, ended */
	bool short_of_room, sweeping, swept;	 /* everything that may go is wanted; has gone */
};

int64_t bl_store_now(const struct bl_store *store, clockid_t id); /* milliseconds */

struct bl_store_entry *bl_store_entry_find(const struct bl_store *store,
					   const struct bl_digest *name);
struct bl_store_entry *bl_store_entry_add(struct bl_store *store, const struct bl_digest *name);
/* Forgets an entry that nothing speaks for any more; nothing happens to others. */
void bl_store_entry_tidy(struct bl_store *store, struct bl_store_entry *entry);
void bl_store_entry_size(struct bl_store *store, struct bl_store_entry *entry);
/* The tree's entry if the tree is there, else NULL. */
struct bl_store_entry *bl_store_entry_present(const struct bl_store *store,
					      const struct bl_digest *name);
/* Its last use, as its manifest's time has it. -ENOENT where there is no manifest. */
int bl_store_entry_load(struct bl_store *store, struct bl_store_entry *entry);
/* "<hex>.json" */
void bl_store_manifest_name(const struct bl_digest *tree, char name[BL_CACHEDIR_NAME]);
/* -ENOENT and a message that says which tree is not there. */
int bl_store_no_tree(const struct bl_digest *name, struct bl_err *err);
/* Its last use is now: in memory, and as the time of its manifest, which survives a restart. */
void bl_store_touch(struct bl_store *store, struct bl_store_entry *entry);

/* Whether nothing protects the tree. */
bool bl_store_entry_may_go(const struct bl_store_entry *entry);
/* Retires of the list (which is sorted for it) the oldest until they come to `wanted` bytes. How many
 * went. */
int bl_store_evict_oldest(struct bl_store *store, struct bl_store_entry **list, size_t count,
			  uint64_t wanted, struct bl_err *err);

/* ---- store_lease_file.c ---- */

void bl_store_lease_free(struct bl_store_lease **lease);
#define auto_store_lease __attribute__((cleanup(bl_store_lease_free))) struct bl_store_lease *
/* Writes its file, whole or not at all; bl_store_leases_sync() makes it durable. */
int bl_store_lease_save(struct bl_store *store, const struct bl_store_lease *lease,
			struct bl_err *err);
/* Removes its file. One that stays is found ended, or dead, the next time. */
void bl_store_lease_forget(struct bl_store *store, const struct bl_store_lease *lease);
/*
 * 0 and the lease (NULL where the file went meanwhile), -EINVAL where the content is none of ours, or
 * what keeps it from being read: who knows whether a container uses the trees that it names?
 */
int bl_store_lease_read(const struct bl_store *store, const char *name, struct bl_store_lease **ret,
			struct bl_err *err);

/* ---- store_lease.c ---- */

/* Reads leases/. */
int bl_store_leases_load(struct bl_store *store, struct bl_err *err);
void bl_store_leases_free(struct bl_store *store);

#endif
