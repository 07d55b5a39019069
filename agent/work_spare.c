// SPDX-License-Identifier: Apache-2.0
/*
 * After the listing and before the first byte: which files are on the node already and may be
 * given to this tenant, and whether there is room for the rest.
 *
 *   a file is spared where                                      by what
 *   its promised SHA-256 is that of a file of a ref of          the digest
 *   this tenant, or of public content
 *   its whole promise is that of the same path in a ref of      path and promise
 *   this very source, and this tenant may have that ref's
 *   content: its own, public, or the origin has just
 *   shown that it gives this tenant what it lists
 *   it was published for this very work before a restart        the memo
 *
 * A digest that a listing merely claims opens nothing else: a listing must not be a way to get at
 * another tenant's content. Whether a digest is there is not looked at before it is settled that
 * the tenant may know, so that the time it takes tells nothing either.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/blob.h"
#include "agent/cachedir.h"
#include "agent/collector.h"
#include "agent/config.h"
#include "agent/store.h"
#include "agent/work_memo.h"
#include "agent/work_state.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/sys.h"

#define OWN_INODES 16 /* beside its files: tree, manifest, ref, and what they are made of */

/* ---- On a worker: the job waits, so its manifest is this task's ---- */

struct wanted {
	struct bl_digest digest;
	size_t file;
};

struct spare {
	struct bl_work *work;
	struct bl_cachedir *dirs;
	struct bl_manifest *manifest; /* of the listing */
	struct wanted *wanted;	      /* promised digests, sorted */
	size_t wanted_count;
	const bl_json
		*promise; /* the walk's place in the promises of the ref that is looked at, where
				   they count; borrowed */
	bool same_source, by_digest;
	bool others; /* the ref is another tenant's, and private */
};

static int compare_wanted(const void *a, const void *b)
{
	return bl_digest_compare(&((const struct wanted *)a)->digest,
				 &((const struct wanted *)b)->digest);
}

static int collect_wanted(struct spare *spare)
{
	const struct bl_manifest *manifest = spare->manifest;

	spare->wanted = calloc(manifest->count + 1, sizeof(*spare->wanted));
	if (!spare->wanted)
		return -ENOMEM;
	for (size_t i = 0; i < manifest->count; i++) {
		struct wanted *to = &spare->wanted[spare->wanted_count];

		to->file = i;
		spare->wanted_count += bl_work_promised(&manifest->files[i], &to->digest);
	}
	qsort(spare->wanted, spare->wanted_count, sizeof(*spare->wanted), compare_wanted);
	return 0;
}

/* The tenant may have that content for this file: takes it where it is there and whole. */
static void take(struct spare *spare, struct bl_manifest_file *file, const struct bl_digest *digest)
{
	struct bl_digest promised;

	/* What a listing proves of a Hub's repository it proves of its weights. */
	if (spare->others && bl_work_item(spare->work)->source.scheme == BL_SCHEME_HF &&
	    !bl_work_promised(file, &promised))
		return;
	if (file->has_sha256 || bl_cachedir_hold(spare->dirs, digest, NULL) < 0)
		return;
	if (bl_blob_check(spare->dirs, digest, file->size, NULL) < 0) {
		bl_cachedir_unhold(spare->dirs, digest);
		return;
	}
	file->sha256 = *digest;
	file->has_sha256 = true;
}

/* Every file of the listing that is promised to have this digest. */
static void take_by_digest(struct spare *spare, const struct bl_digest *digest)
{
	size_t low = 0;
	size_t high = spare->wanted_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (bl_digest_compare(&spare->wanted[middle].digest, digest) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < spare->wanted_count && bl_digest_equal(&spare->wanted[low].digest, digest);
	     low++)
		take(spare, &spare->manifest->files[spare->wanted[low].file], digest);
}

/* Both lists are in byte order of the paths, as they were published. */
static void take_by_promise(struct spare *spare, const struct bl_manifest_entry *entry)
{
	struct bl_manifest_file *file = bl_manifest_find(spare->manifest, entry->path);
	auto_buf text = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);
	auto_json promise = NULL;
	const char *path = NULL;

	while (spare->promise) {
		if (bl_json_get_string(spare->promise, "path", &path, NULL) <= 0)
			return;
		if (strcmp(path, entry->path) >= 0)
			break;
		spare->promise = bl_json_next(spare->promise);
	}
	if (!spare->promise || !file || !file->promise || strcmp(path, entry->path) != 0 ||
	    !bl_work_is_strong(spare->promise))
		return;
	promise = bl_json_copy(spare->promise);
	if (!promise)
		return;
	bl_json_remove(promise, "path");
	if (bl_json_write(&text, promise, NULL) < 0)
		return;
	if (strcmp(bl_buf_str(&text), file->promise) == 0 && file->size == entry->size)
		take(spare, file, &entry->digest);
}

static int visit(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	struct spare *spare = context;

	(void)err;
	if (spare->by_digest)
		take_by_digest(spare, &entry->digest);
	if (spare->same_source)
		take_by_promise(spare, entry);
	return 0;
}

/*
 * Whether the job's listing shows that its files may be read: the Hub is asked for the largest of
 * its weights (of a gated repository small files may be open), and an https source is the file. In an object store the right to list is not the right to read.
 */
static bool listing_proves(const struct bl_work *work)
{
	enum bl_scheme scheme = bl_work_item(work)->source.scheme;

	return bl_job_credential(work->job) &&
	       (scheme == BL_SCHEME_HF || scheme == BL_SCHEME_HTTPS);
}

/* What the ref's content may be used for. */
static void look_at_ref(struct spare *spare, const char *name)
{
	const struct bl_work *work = spare->work;
	const struct bl_config *config = work->works->config;
	auto_ref ref = {0};
	auto_json promises = NULL;
	bool may;

	if (bl_ref_load(spare->dirs, name, &ref, NULL) < 0)
		return;
	may = !ref.credential ||
	      (strcmp(ref.tenant, work->tenant) == 0 &&
	       bl_ref_authority(&ref, (int64_t)time(NULL), (int64_t)config->authorisation_ttl,
				(int64_t)config->authorisation_grace) != BL_REF_NONE);
	spare->same_source = strcmp(ref.source, bl_work_item(work)->source.text) == 0 &&
			     (may || listing_proves(work));
	spare->by_digest = may || spare->same_source;
	spare->others = !may;
	if (!spare->by_digest)
		return;
	if (spare->same_source) {
		(void)bl_ref_load_promises(spare->dirs, name, &promises, NULL);
		spare->promise = promises ? bl_json_first(promises) : NULL;
	}
	(void)bl_manifest_walk_tree(spare->dirs, &ref.manifest, visit, spare, NULL);
}

static void look_at_refs(struct spare *spare)
{
	auto_dir dir = NULL;
	const struct dirent *entry;

	(void)bl_fs_list(spare->dirs->refs, ".", &dir);
	while (dir && (entry = readdir(dir))) {
		char name[BL_DIGEST_HEX];

		if (strlen(entry->d_name) != BL_DIGEST_HEX - 1 + strlen(".json"))
			continue;
		(void)snprintf(name, sizeof(name), "%.64s", entry->d_name);
		look_at_ref(spare, name);
	}
}

static void look_at_memo(struct spare *spare)
{
	auto_free struct bl_memo_entry *entries = NULL;
	size_t count = bl_memo_load(spare->dirs, spare->work->name, &entries);

	for (size_t i = 0; count > 0 && i < spare->manifest->count; i++) {
		struct bl_manifest_file *file = &spare->manifest->files[i];
		struct bl_digest key;
		const struct bl_digest *content;

		if (!bl_work_is_pinned(file) || bl_work_file_key(spare->work, file, &key, NULL) < 0)
			continue;
		content = bl_memo_find(entries, count, &key);
		if (content)
			take(spare, file, content);
	}
}

static void spare_run(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct spare spare = {.work = work,
			      .dirs = bl_store_dirs(work->works->store),
			      .manifest = bl_job_manifest(work->job)};

	if (collect_wanted(&spare) == 0) {
		look_at_memo(&spare);
		look_at_refs(&spare);
	}
	free(spare.wanted);
	bl_work_resume_find(work);
}

/* ---- On the loop ---- */

static void admit(struct bl_work *work);

static void room_made(struct bl_collect *collect, const struct bl_gc_result *result, int failure,
		      const char *message)
{
	(void)result;
	(void)failure;
	(void)message;
	/* What could not be removed shows now. */
	admit(collect->data);
}

/* r: as bl_store_reserve() has it. */
static void go_or_wait(struct bl_work *work, int r, const struct bl_err *err)
{
	if (r > 0)
		bl_collector_want(work->works->collector, &work->collect, false, room_made, work);
	else if (r < 0)
		bl_work_fail(work, r == -ENOSPC ? BL_JOB_SPACE : BL_JOB_INTERNAL, err->msg);
	else
		bl_job_go(work->job);
}

/* Whether the file is in another directory than the one before it. */
static bool is_elsewhere(const struct bl_manifest_file *file, const struct bl_manifest_file *before)
{
	const char *slash = strrchr(file->path, '/');

	return slash && (!before ||
			 strncmp(file->path, before->path, (size_t)(slash - file->path + 1)) != 0);
}

static int reserve(struct bl_work *work, struct bl_err *err)
{
	const struct bl_manifest *manifest = bl_job_manifest(work->job);
	uint64_t missing = 0;
	uint64_t files = 0;
	uint64_t inodes = OWN_INODES;
	int r;

	for (size_t i = 0; i < manifest->count; i++) {
		const struct bl_manifest_file *file = &manifest->files[i];

		missing += file->has_sha256 ? 0 : file->size;
		files += !file->has_sha256;
		inodes += is_elsewhere(file, i > 0 ? file - 1 : NULL);
	}
	inodes += files + (files < BL_JOB_UNDER_WAY ? files : BL_JOB_UNDER_WAY);
	r = bl_store_reserve(work->works->store, missing - work->on_disk, inodes, err);
	if (r != 0)
		return r;
	work->admitted = true;
	work->reserved = missing - work->on_disk;
	work->bytes_base += manifest->bytes - missing; /* beside what is there in part */
	return 0;
}

static void refs_run(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct bl_err err = {0};

	work->result = bl_store_refs_read(bl_store_dirs(work->works->store), work->tenant,
					  &work->refs, &err);
	(void)snprintf(work->message, sizeof(work->message), "%.500s", err.msg);
	work->knows_tree = bl_manifest_digest(bl_job_manifest(work->job), &work->tree, NULL) == 0;
}

/* What the tenant would have in the cache with this and with what else is on its way for it. */
static int check_quota(struct bl_work *work, struct bl_err *err)
{
	uint64_t quota = bl_config_tenant_quota(work->works->config, work->tenant);
	uint64_t bytes = bl_job_manifest(work->job)->bytes;

	if (work->result < 0)
		return bl_err_set(err, BL_EX_RETRY, -work->result, "%s", work->message);
	for (const struct bl_work *other = work->works->first; other; other = other->next)
		if (other->admitted && strcmp(other->tenant, work->tenant) == 0)
			bytes += bl_job_manifest(other->job)->bytes;
	return bl_store_check_tenant(work->works->store, &work->refs, work->tenant,
				     work->knows_tree ? &work->tree : NULL, quota, bytes, err);
}

static void refs_done(struct bl_task *task)
{
	struct bl_work *work = task->data;
	struct bl_err err = {0};
	int r;

	work->tasks--;
	if (work->job_over) {
		bl_work_go_on(work);
		return;
	}
	r = check_quota(work, &err);
	if (r == 0)
		r = reserve(work, &err);
	if (r == -EAGAIN)
		admit(work);
	else
		go_or_wait(work, r, &err);
}

/* Within the tenant's quota, if it has one, and with room for all of it the job may go on. */
static void admit(struct bl_work *work)
{
	struct bl_err err = {0};

	if (work->job_over)
		return;
	if (bl_config_tenant_quota(work->works->config, work->tenant) == 0) {
		go_or_wait(work, reserve(work, &err), &err);
		return;
	}
	bl_store_refs_begin(work->works->store, &work->refs);
	work->tasks++;
	bl_pool_run(work->works->quick, &work->task, refs_run, refs_done, work);
}

static void spare_done(struct bl_task *task)
{
	struct bl_work *work = task->data;
	const struct bl_manifest *manifest = bl_job_manifest(work->job);

	work->tasks--;
	work->on_disk = bl_work_resume_begin(work);
	for (size_t i = 0; i < manifest->count; i++)
		work->files_done += manifest->files[i].has_sha256;
	work->works->figures.files_spared += work->files_done;
	if (work->job_over)
		bl_work_go_on(work);
	else
		admit(work);
}

void bl_work_prepare(struct bl_work *work)
{
	work->tasks++;
	bl_pool_run(work->works->pool, &work->task, spare_run, spare_done, work);
}
