// SPDX-License-Identifier: Apache-2.0
/*
 * The files that a job brings: a partial for each, its bytes from the intake (what has come is digested
 * and journalled while the rest still comes: work_arrive.c), its publication as a blob. What blocks runs
 * on the pool.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/blob.h"
#include "agent/cachedir.h"
#include "agent/store.h"
#include "agent/work_memo.h"
#include "agent/work_state.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"

#define STRIKES_MAX 2 /* wrong bytes of one file, then the work fails */

static struct bl_flight *find_flight(struct bl_work *work, const struct bl_manifest_file *file)
{
	struct bl_flight *flight = work->flights;

	while (flight && flight->file != file)
		flight = flight->next;
	return flight;
}

static void free_flight(struct bl_work *work, struct bl_flight *flight)
{
	struct bl_flight **at = &work->flights;

	while (*at && *at != flight)
		at = &(*at)->next;
	if (*at)
		*at = flight->next;
	if (flight->arriving)
		bl_intake_remove(work->intake, &flight->intake);
	bl_partial_close(&flight->partial);
	bl_cleanup_fd(&flight->writer);
	bl_cleanup_fd(&flight->reader);
	bl_ranges_done(&flight->noting);
	free(flight);
}

void bl_work_files_close(struct bl_work *work)
{
	(void)bl_work_resume_begin(work);
	if (work->intake)
		bl_intake_stop(work->intake);
	if (work->works->stopping)
		(void)bl_work_arrive_keep(work);
	bl_intake_free(TAKE_PTR(work->intake));
	while (work->flights)
		free_flight(work, work->flights);
	while (work->strikes) {
		struct bl_strike *strike = work->strikes;

		work->strikes = strike->next;
		free(strike);
	}
}

/* ---- Open ---- */

bool bl_work_promised(const struct bl_manifest_file *file, struct bl_digest *ret)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_JOB_MESSAGE};
	auto_json promise = NULL;
	const char *text = NULL;

	return file->promise &&
	       bl_json_parse(file->promise, strlen(file->promise), &limits, &promise, NULL) == 0 &&
	       bl_json_get_string(promise, "sha256", &text, NULL) > 0 &&
	       bl_digest_from_hex(text, ret) == 0;
}

bool bl_work_is_strong(const bl_json *promise)
{
	static const char *const keys[] = {"sha256", "etag", "generation", "git_sha1", "md5", NULL};
	const bl_json *value;

	for (const char *const *key = keys; *key; key++)
		if (bl_json_get(promise, *key, &value, NULL) > 0)
			return true;
	return false;
}

bool bl_work_is_pinned(const struct bl_manifest_file *file)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_JOB_MESSAGE};
	auto_json promise = NULL;

	return file->promise &&
	       bl_json_parse(file->promise, strlen(file->promise), &limits, &promise, NULL) == 0 &&
	       bl_work_is_strong(promise);
}

int bl_work_file_key(const struct bl_work *work, const struct bl_manifest_file *file,
		     struct bl_digest *ret, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);
	const char *revision = bl_job_revision(work->job);
	int r = bl_buf_putf(&text, err, "%s\n%s\n%s\n%s\n%s", work->owner,
			    bl_work_item(work)->source.text, revision ? revision : "",
			    file->promise ? file->promise : "", file->path);

	return r < 0 ? r : bl_digest_bytes(text.data, text.len, ret, err);
}

struct bl_flight *bl_work_flight_new(struct bl_work *work, struct bl_manifest_file *file,
				     struct bl_err *err)
{
	struct bl_flight *flight;
	struct bl_digest key;

	if (bl_work_file_key(work, file, &key, err) < 0)
		return NULL;
	flight = calloc(1, sizeof(*flight));
	if (!flight) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	flight->work = work;
	flight->file = file;
	flight->writer = flight->reader = -1;
	flight->key = key;
	flight->room = file->size;
	flight->pinned = bl_work_is_pinned(file);
	flight->has_promised = bl_work_promised(file, &flight->promised);
	return flight;
}

void bl_work_fail_disk(struct bl_work *work, int r, const char *message)
{
	char detail[BL_JOB_DETAIL];
	bool full = r == -ENOSPC || r == -EDQUOT;

	(void)snprintf(detail, sizeof(detail), "%.300s; %s", message,
		       full ? "make room on the node's cache (ballast gc, ballast rm)"
			    : "look at the node's cache disk");
	bl_work_fail(work, full ? BL_JOB_SPACE : BL_JOB_INTERNAL, detail);
}

/* Room was reserved for the file; from now on the disk itself has it. What is taken up again has been
 * counted since it was made. */
static void allocated(struct bl_work *work, const struct bl_flight *flight)
{
	uint64_t part = flight->room < work->reserved ? flight->room : work->reserved;

	bl_store_unreserve(work->works->store, part);
	work->reserved -= part;
	if (flight->partial->is_new)
		bl_store_grew(work->works->store, flight->partial->size);
}

/* Looks for what is there of it, or allocates all of it: a disk may take its time for both. */
static void open_run(struct bl_task *task)
{
	struct bl_flight *flight = task->data;
	struct bl_cachedir *dirs = bl_store_dirs(flight->work->works->store);
	struct bl_err err = {0};

	flight->result = 0;
	/* Bytes of an earlier try may be of another version. */
	if (!flight->partial && !flight->pinned)
		flight->result = bl_partial_forget(dirs, &flight->key, flight->file->size, &err);
	if (flight->result == 0 && !flight->partial)
		flight->result = bl_partial_open_key(dirs, &flight->key, flight->file->size,
						     &flight->partial, &err);
	if (flight->result == 0) {
		flight->writer = bl_partial_writer(flight->partial, &err);
		flight->result = flight->writer < 0 ? flight->writer : 0;
	}
	/* For digests of another kind, which fetch computes. */
	if (flight->result == 0 && !flight->has_promised) {
		flight->reader = bl_partial_reader(flight->partial, &err);
		flight->result = flight->reader < 0 ? flight->reader : 0;
	}
	(void)snprintf(flight->message, sizeof(flight->message), "%.255s", err.msg);
}

static void open_done(struct bl_task *task)
{
	struct bl_flight *flight = task->data;
	struct bl_work *work = flight->work;
	struct bl_err err = {0};

	flight->busy = false;
	work->tasks--;
	bl_store_allocated(work->works->store, flight->room);
	if (flight->partial)
		allocated(work, flight);
	if (work->job_over) {
		free_flight(work, flight);
		bl_work_go_on(work);
		return;
	}
	if (flight->result < 0) {
		bl_work_fail_disk(work, flight->result, flight->message);
		return;
	}
	if (bl_work_arrive(flight, &err) < 0) {
		bl_work_fail(work, BL_JOB_INTERNAL, err.msg);
		return;
	}
	bl_job_send_file(work->job, flight->file, flight->reader, &flight->partial->have);
	bl_cleanup_fd(&flight->reader);
	flight->reader = -1;
}

void bl_work_file_open(struct bl_job *job, struct bl_manifest_file *file, void *data)
{
	struct bl_work *work = data;
	struct bl_flight *flight;
	struct bl_err err = {0};

	/* Neither the quota nor the room was looked at for what is only asked about. */
	if (!work->admitted) {
		bl_work_fail(work, BL_JOB_INTERNAL,
			     "the fetch process brings a file where it was only to ask, and was "
			     "stopped; report this, with the agent's log");
		return;
	}
	if (file->has_sha256) {
		bl_job_send_skip(job, file);
		return;
	}
	flight = find_flight(work, file);
	if (!flight) {
		flight = bl_work_flight_new(work, file, &err);
		if (!flight) {
			bl_work_fail(work, BL_JOB_INTERNAL, err.msg);
			return;
		}
		flight->next = work->flights;
		work->flights = flight;
	}
	flight->busy = true;
	work->tasks++;
	bl_store_allocate(work->works->store, flight->room);
	bl_pool_run(work->works->quick, &flight->task, open_run, open_done, flight);
}

/* ---- Publish ---- */

/* Counts a file whose bytes were wrong; whether it may be tried again. */
static bool may_try_again(struct bl_work *work, const struct bl_manifest_file *file)
{
	struct bl_strike *strike = work->strikes;

	while (strike && strike->file != file)
		strike = strike->next;
	if (!strike) {
		strike = calloc(1, sizeof(*strike));
		if (!strike)
			return false;
		strike->file = file;
		strike->next = work->strikes;
		work->strikes = strike;
	}
	return ++strike->count < STRIKES_MAX;
}

static void publish_run(struct bl_task *task)
{
	struct bl_flight *flight = task->data;
	struct bl_err err = {0};
	bool is_new;

	if (flight->refused) {
		bl_partial_discard(&flight->partial);
		flight->result = -EBADMSG;
		return;
	}
	flight->result =
		bl_blob_publish(&flight->partial, flight->has_promised ? &flight->promised : NULL,
				&flight->digest, &is_new, &err);
	(void)snprintf(flight->message, sizeof(flight->message), "%.255s", err.msg);
	if (flight->result == 0 && flight->pinned)
		bl_memo_add(bl_store_dirs(flight->work->works->store), flight->work->name,
			    &flight->key, &flight->digest);
}

static void wrong_bytes(struct bl_work *work, struct bl_flight *flight)
{
	struct bl_manifest_file *file = flight->file;
	char detail[BL_JOB_DETAIL];

	(void)snprintf(
		detail, sizeof(detail),
		"the bytes of '%.200s' are not what the origin promised: they were "
		"changed at the origin or on the way; nothing of it was kept, try again later",
		file->path);
	free_flight(work, flight);
	if (may_try_again(work, file))
		bl_job_send_again(work->job, file, detail);
	else
		bl_work_fail(work, BL_JOB_CORRUPT, detail);
}

static void published(struct bl_work *work, struct bl_flight *flight)
{
	struct bl_manifest_file *file = flight->file;

	file->sha256 = flight->digest;
	file->has_sha256 = true;
	work->files_done++;
	work->works->figures.files_fetched++;
	free_flight(work, flight);
	bl_job_send_ok(work->job, file);
}

static void publish_done(struct bl_task *task)
{
	struct bl_flight *flight = task->data;
	struct bl_work *work = flight->work;

	flight->busy = false;
	work->tasks--;
	if (flight->result == 0)
		published(work, flight);
	else if (work->job_over)
		free_flight(work, flight);
	else if (flight->result == -EBADMSG)
		wrong_bytes(work, flight);
	else
		bl_work_fail_disk(work, flight->result, flight->message);
	if (work->job_over && work->tasks == 0)
		bl_work_go_on(work);
}

void bl_work_file_publish(struct bl_flight *flight)
{
	struct bl_work *work = flight->work;

	flight->busy = true;
	work->tasks++;
	bl_pool_run(work->works->pool, &flight->task, publish_run, publish_done, flight);
}

void bl_work_file_done(struct bl_job *job, struct bl_manifest_file *file, bool good, void *data)
{
	struct bl_flight *flight = find_flight(data, file);

	if (!flight) {
		bl_job_fail(job, BL_JOB_INTERNAL, "a file that is not open; report this");
		return;
	}
	flight->refused = !good;
	flight->closing = true;
	bl_work_file_step(flight);
}
