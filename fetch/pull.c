/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/pull.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/human.h"
#include "fetch/options.h"
#include "fetch/progress.h"
#include "fetch/session.h"
#include "fetch/shelf.h"
#include "fetch/transfer.h"
#include "fetch/worker.h"

#define MAX_LOOKS 3 /* at a source that changes while it is read */

struct pull {
	struct bl_shelf shelf;
	struct bl_worker *worker; /* publishes beside the loop */
	struct bl_progress progress;
	int64_t bytes; /* brought in all */
	int64_t had;   /* bytes of unfinished files that were there */
};

/* A file that is being published. */
struct publishing {
	struct bl_task task; /* first */
	struct pull *pull;
	const struct bl_entry *entry;
	bool good;
	int rc;
	struct bl_err err;
};

static int sink_open(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry,
		     struct bl_err *err)
{
	struct pull *pull = ctx;
	auto_ranges have = {0};
	int fd = bl_shelf_take(&pull->shelf, entry, &have, err);

	pull->had += bl_ranges_total(&have);
	return fd < 0 ? fd : bl_transfer_opened(transfer, entry, fd, -1, &have, err);
}

static int sink_have(void *ctx, const struct bl_entry *entry, const struct bl_ranges *ranges,
		     struct bl_err *err)
{
	struct pull *pull = ctx;

	return bl_shelf_note(&pull->shelf, entry, ranges, err);
}

static void run_publish(struct bl_task *task)
{
	struct publishing *publishing = (struct publishing *)task;

	publishing->rc = publishing->good ? bl_shelf_publish(&publishing->pull->shelf,
							     publishing->entry, &publishing->err)
					  : bl_shelf_discard(&publishing->pull->shelf,
							     publishing->entry, &publishing->err);
}

static void drop_publish(struct bl_task *task)
{
	free((struct publishing *)task);
}

static int sink_done(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry,
		     bool good, struct bl_err *err)
{
	struct pull *pull = ctx;
	struct publishing *publishing = calloc(1, sizeof(*publishing));

	(void)transfer;
	if (!publishing)
		return bl_err_nomem(err);
	publishing->task.run = run_publish;
	publishing->task.drop = drop_publish;
	publishing->pull = pull;
	publishing->entry = entry;
	publishing->good = good;
	bl_worker_submit(pull->worker, &publishing->task);
	return 0;
}

static int sink_progress(void *ctx, int64_t bytes, struct bl_err *err)
{
	struct pull *pull = ctx;

	(void)err;
	pull->bytes = bytes;
	bl_progress_tell(&pull->progress, pull->had + bytes);
	return 0;
}

static int sink_readable(void *ctx, struct bl_transfer *transfer, struct bl_err *err)
{
	struct pull *pull = ctx;
	struct bl_task *task;
	int rc = 0;

	while (rc >= 0 && (task = bl_worker_finished(pull->worker))) {
		auto_free struct publishing *publishing = (struct publishing *)task;

		if (publishing->rc < 0) {
			*err = publishing->err;
			return publishing->rc;
		}
		rc = bl_transfer_settled(transfer, publishing->entry, publishing->rc > 0, err);
	}
	return rc;
}

static int64_t missing_bytes(struct bl_manifest *manifest)
{
	int64_t bytes = 0;

	for (size_t i = 0; i < bl_manifest_count(manifest); i++)
		if (!bl_manifest_at(manifest, i)->unchanged)
			bytes += bl_manifest_at(manifest, i)->size;
	return bytes;
}

/* One look at the source, and everything that is missing. */
static int bring(struct pull *pull, struct bl_session *session, bool quiet, struct bl_err *err)
{
	const struct bl_sink sink = {
		.ctx = pull,
		.fd = bl_worker_fd(pull->worker),
		.open = sink_open,
		.have = sink_have,
		.done = sink_done,
		.progress = sink_progress,
		.on_readable = sink_readable,
	};
	auto_transfer transfer = NULL;
	int rc;

	if ((rc = bl_session_list(session, NULL, NULL, err)) < 0 ||
	    (rc = bl_shelf_compare(&pull->shelf, session->manifest, err)) < 0)
		return rc;
	bl_progress_init(&pull->progress, missing_bytes(session->manifest), quiet);
	if ((rc = bl_transfer_new(session->http, session->ops, session->state, session->manifest,
				  &sink, &transfer, err)) < 0)
		return rc;
	return bl_transfer_run(transfer, err);
}

static int pull_all(struct pull *pull, struct bl_session *session, bool quiet, struct bl_err *err)
{
	int rc = -ESTALE, look;

	for (look = 0; rc == -ESTALE && look < MAX_LOOKS; look++) {
		/* its thread must be at rest before the list that its tasks point to goes */
		bl_worker_free(&pull->worker);
		rc = bl_worker_new(&pull->worker, err);
		if (rc >= 0)
			rc = bring(pull, session, quiet, err);
	}
	bl_worker_free(&pull->worker);
	if (rc >= 0)
		rc = bl_shelf_settle(&pull->shelf, session->manifest, look > 1, err);
	bl_progress_clear(&pull->progress);
	return rc;
}

static void say_end(const struct pull *pull, struct bl_session *session)
{
	const char *revision = bl_manifest_revision(session->manifest);
	size_t count = bl_manifest_count(session->manifest);

	printf("%zu file%s, %s, of which %s brought%s%s\n", count, count == 1 ? "" : "s",
	       bl_human_bytes(bl_manifest_bytes(session->manifest)).text,
	       bl_human_bytes(pull->bytes).text, revision ? ", revision " : "",
	       revision ? revision : "");
}

int bl_pull_run(int argc, char **argv, struct bl_err *err)
{
	auto_options options = {0};
	auto_session session = {0};
	struct pull pull = {.shelf = BL_SHELF_INIT};
	int rc;

	if ((rc = bl_options_read(&options, argc, argv, err)) < 0 ||
	    (rc = bl_session_open(&session, options.item, options.config, options.secret,
				  options.token, NULL, err)) < 0 ||
	    (rc = bl_shelf_open(&pull.shelf, options.dir, session.weights.items[0].source.text,
				err)) < 0)
		return rc;
	rc = pull_all(&pull, &session, options.quiet, err);
	bl_shelf_done(&pull.shelf);
	if (rc < 0)
		return rc;
	if (!options.quiet)
		say_end(&pull, &session);
	if (fflush(stdout) != 0 || ferror(stdout))
		return bl_err_sys(err, errno, "all is there; write that");
	return 0;
}
