/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside a work. work.c has claims and the work's way from one job to the next; work_lookup.c what is
 * there before a job; work_files.c the files that a job brings, work_arrive.c their bytes; work_spare.c finds what need not be
 * brought, work_resume.c what was begun; work_publish.c makes tree and refs. Nobody else includes this.
 */
#ifndef BL_AGENT_WORK_STATE_H
#define BL_AGENT_WORK_STATE_H

#include "agent/collector.h"
#include "agent/intake.h"
#include "agent/job.h"
#include "agent/loop.h"
#include "agent/manifest.h"
#include "agent/partial.h"
#include "agent/pool.h"
#include "agent/ref.h"
#include "agent/store.h"
#include "agent/work.h"
#include "common/buf.h"
#include "common/weights.h"

/* A file that is being written. */
struct bl_flight {
	struct bl_flight *next;
	struct bl_work *work;
	struct bl_manifest_file *file;
	struct bl_partial *partial;
	uint64_t room; /* bytes that were reserved for it */

	struct bl_intake_file intake; /* where its bytes go */
	int writer, reader;	      /* from the task that opens it; -1 before and after */
	bool arriving;		      /* it is the intake's */
	uint64_t had, written, front; /* bytes: there before, there now, without a gap */

	struct bl_task hash_task; /* digests what will not change any more */
	bool hashing;
	uint64_t hash_to, hashed;

	struct bl_task task; /* opens it, keeps the journal, publishes it */
	bool busy;	     /* that task runs, or waits to */
	bool refused;	     /* fetch found another digest than the origin promises */
	bool closing;	     /* fetch is done with it: publish it when the tasks are over */
	uint64_t synced, synced_at, pushed; /* bytes, ms, bytes */
	struct bl_ranges noting;	    /* the task's */

	bool pinned; /* the promise says which version */
	bool has_promised;
	struct bl_digest promised, digest;
	struct bl_digest key; /* of the partial, and for the memo */
	int result;
	char message[256]; /* of a failure */
};

/* A file whose bytes were wrong, and how often. */
struct bl_strike {
	struct bl_strike *next;
	const struct bl_manifest_file *file;
	int count;
};

enum bl_work_stage {
	BL_WORK_WAITS,	   /* for its turn, or before another try */
	BL_WORK_FETCHES,   /* a job runs */
	BL_WORK_PUBLISHES, /* the job is over, the tree is being made */
};

struct bl_work {
	struct bl_works *works;
	struct bl_work *prev, *next;
	struct bl_claim *claims;
	char *key;		   /* what makes it distinct */
	char name[BL_DIGEST_HEX];  /* of its ref */
	char *tenant;		   /* as root's hook said; of a shared one the first's */
	const char *owner;	   /* in names and keys: the tenant, or "" where it is shared */
	bl_json *list;		   /* the array that holds the item's canonical form */
	struct bl_weights weights; /* that one item */
	bool refresh;

	enum bl_work_stage stage;
	bool resolving; /* the job only asks whether the tenant may */
	bool cancelled;
	int tries;
	struct bl_timer again;
	char *revision; /* what the listing resolved to, for the next try */

	struct bl_ref ref; /* that stood when it began; name is "" where none did */
	enum bl_ref_authority authority;

	struct bl_job *job;
	bool counted; /* in works->running */
	bool job_over;
	struct bl_job_end end;
	struct bl_intake *intake; /* counts as a task until its thread has ended: ... */
	bool intake_over;	  /* ... so it has */
	uint64_t began;		  /* ms: when the first file was opened */
	struct bl_flight *flights;
	struct bl_flight *resumed; /* the task's, until it is over */
	struct bl_strike *strikes;
	int tasks;		    /* on the pool; the job is not freed before they are back */
	bool admitted;		    /* there is room for all of its files */
	uint64_t reserved, on_disk; /* bytes: promised to it; what an earlier try left */
	uint64_t files_done, bytes_base; /* spared ones count as done */
	struct bl_collect collect;	 /* it waits for room */
	struct bl_store_refs refs;	 /* for the tenant's quota */

	struct bl_task task; /* sparing, collecting, publishing */
	int result;
	struct bl_digest tree;
	bool knows_tree; /* `tree` is the listing's: all of its files are there */
	char message[512];
};

static inline const struct bl_weights_item *bl_work_item(const struct bl_work *work)
{
	return &work->weights.items[0];
}

/* The job runs no more and no task either: what comes next. */
void bl_work_go_on(struct bl_work *work);
/* Ends the job with a failure of ours. */
void bl_work_fail(struct bl_work *work, const char *class, const char *detail);

/* ---- work_lookup.c ---- */
#define BL_WORK_SHOWN 160 /* bytes of a source in a message */
/* The source as messages and the log may show it: what is signed, or a key, stands in a query. */
const char *bl_work_shown_source(const struct bl_weights_item *item, char to[BL_WORK_SHOWN + 1]);
/* bl_store_tree_use(): what is found damaged by it is counted, and told of. */
int bl_work_use_tree(struct bl_works *works, const struct bl_digest *tree, struct bl_err *err);
/* Whether a ref stands, what it is worth, and so what the first job is for. */
void bl_work_look_at_ref(struct bl_work *work);

/* ---- work_files.c ---- */
/* The SHA-256 that the origin promised for the file, if it did. */
bool bl_work_promised(const struct bl_manifest_file *file, struct bl_digest *ret);
/* Whether a promise says which version of the file it speaks of: bytes of another try are of the same one. */
bool bl_work_is_strong(const bl_json *promise);
bool bl_work_is_pinned(const struct bl_manifest_file *file);
/* A digest of whose bytes of which version of which file these are: the key of its partial. */
int bl_work_file_key(const struct bl_work *work, const struct bl_manifest_file *file,
		     struct bl_digest *ret, struct bl_err *err);
/* The file's, in no list. NULL: err is filled. Any thread. */
struct bl_flight *bl_work_flight_new(struct bl_work *work, struct bl_manifest_file *file,
				     struct bl_err *err);
void bl_work_file_open(struct bl_job *job, struct bl_manifest_file *file, void *data);
void bl_work_file_done(struct bl_job *job, struct bl_manifest_file *file, bool good, void *data);
/* It is closing, and none of its tasks runs. */
void bl_work_file_publish(struct bl_flight *flight);
/* The disk does not play along. */
void bl_work_fail_disk(struct bl_work *work, int r, const char *message);
/* Closes what is still open; what has arrived stays on disk. No task may run. */
void bl_work_files_close(struct bl_work *work);

/* ---- work_arrive.c ---- */
/* Has the bytes of a file that is open come. */
int bl_work_arrive(struct bl_flight *flight, struct bl_err *err);
/* Starts what the file needs next, unless that runs. */
void bl_work_file_step(struct bl_flight *flight);
/* The process is gone: what it has said of bytes is taken up, then the intake ends. */
void bl_work_arrive_end(struct bl_work *work);
/* The download has failed or is cancelled, and no task of it runs: has what came since the last note noted, so that
 * the next try goes on from there. Whether tasks run for that; where the agent stops it is done at once. */
bool bl_work_arrive_keep(struct bl_work *work);

/* ---- work_spare.c ---- */
/* After the listing: holds what need not be brought, reserves room for the rest, lets the job go. */
void bl_work_prepare(struct bl_work *work);

/* ---- work_resume.c ---- */
/* On a worker, after the sparing: takes up what is on disk of files that are to be brought. */
void bl_work_resume_find(struct bl_work *work);
/* On the loop: they are files under way now. Returns bytes that they have on disk. */
uint64_t bl_work_resume_begin(struct bl_work *work);

/* ---- work_publish.c ---- */
/* All files are there: makes the tree and the refs, then bl_work_settle()s. */
void bl_work_publish(struct bl_work *work);
/* Gives back the holds on the files' blobs. */
void bl_work_unhold(struct bl_work *work);

/* Tells everyone and ends the work, which is gone afterwards. problem NULL: good. */
void bl_work_settle(struct bl_work *work, const struct bl_problem *problem);

#endif
