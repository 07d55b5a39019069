/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/job.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"
#include "common/log.h"
#include "common/sys.h"
#include "fetch/session.h"
#include "fetch/transfer.h"

#define MOST_INPUT	(16 * 1024 * 1024) /* bytes of descriptor 0 */
#define MOST_VALUES	(512 * 1024)
#define MAX_REQUESTS	512	    /* of either kind under way at once */
#define FILES_PER_BATCH (64 * 1024) /* bytes after which a `files` message is sent */

/* A ring of what was asked: the agent answers each kind in order. */
struct requests {
	const struct bl_entry *entries[MAX_REQUESTS];
	size_t first, count;
};

struct job {
	struct requests opens, dones;
	int64_t arrived; /* bytes from the origin, of the whole job once it is over */
};

/* ---- Messages ---- */

static int send_json(const bl_json *message, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);
	ssize_t n;
	int rc = bl_json_write(&text, message, err);

	if (rc < 0)
		return rc;
	do {
		n = send(BL_JOB_FD, text.data, text.len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? bl_err_sys(err, errno, "tell the agent") : 0;
}

static bl_json *new_message(const char *type)
{
	bl_json *message = bl_json_new_object();

	if (message && !bl_json_set_string(message, "type", type))
		bl_json_free(&message);
	return message;
}

static int send_files(struct bl_manifest *manifest, struct bl_err *err)
{
	size_t i = 0;

	while (i < bl_manifest_count(manifest)) {
		auto_json message = new_message("files");
		bl_json *files = message ? bl_json_set_array(message, "files") : NULL;
		size_t bytes = 0;

		if (!files)
			return bl_err_nomem(err);
		for (; i < bl_manifest_count(manifest) && bytes < FILES_PER_BATCH; i++) {
			const struct bl_entry *entry = bl_manifest_at(manifest, i);
			int rc = bl_manifest_entry_to_json(entry, files, err);

			if (rc < 0)
				return rc;
			/* an escape can make six bytes of one; the rest has a bound */
			bytes += 512 + 2 * strlen(entry->path) +
				 (entry->etag ? strlen(entry->etag) : 0);
		}
		int rc = send_json(message, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int send_manifest(const struct bl_session *session, struct bl_err *err)
{
	const struct bl_manifest *manifest = session->manifest;
	const char *revision = bl_manifest_revision(manifest);
	auto_json message = new_message("manifest");

	if (!message || !bl_json_set_int(message, "files", (int64_t)bl_manifest_count(manifest)) ||
	    !bl_json_set_int(message, "bytes", bl_manifest_bytes(manifest)) ||
	    !bl_json_set_bool(message, "credential", session->credential) ||
	    (revision && !bl_json_set_string(message, "revision", revision)))
		return bl_err_nomem(err);
	return send_json(message, err);
}

static int send_error(int rc, const struct bl_err *why)
{
	char detail[2 * BL_ERR_MSG_MAX];
	auto_json message = new_message("error");

	bl_log_escape(detail, sizeof(detail), why->msg);
	if (!message || !bl_json_set_string(message, "class", bl_source_error_class(rc)) ||
	    !bl_json_set_string(message, "detail", detail))
		return -ENOMEM;
	return send_json(message, NULL);
}

/* ---- The sink ---- */

static int ask(struct requests *requests, const bl_json *message, const struct bl_entry *entry,
	       struct bl_err *err)
{
	if (requests->count == MAX_REQUESTS)
		return bl_err_set(err, BL_EX_INTERNAL, EOVERFLOW, "too many requests to the agent");
	requests->entries[(requests->first + requests->count++) % MAX_REQUESTS] = entry;
	return send_json(message, err);
}

/* The one that is answered now; NULL where nothing was asked. */
static const struct bl_entry *take(struct requests *requests)
{
	if (requests->count == 0)
		return NULL;
	const struct bl_entry *entry = requests->entries[requests->first];
	requests->first = (requests->first + 1) % MAX_REQUESTS;
	requests->count--;
	return entry;
}

static int sink_open(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry,
		     struct bl_err *err)
{
	auto_json message = new_message("open");
	struct job *job = ctx;

	(void)transfer;
	if (!message || !bl_json_set_string(message, "path", entry->path))
		return bl_err_nomem(err);
	return ask(&job->opens, message, entry, err);
}

static int sink_done(void *ctx, struct bl_transfer *transfer, const struct bl_entry *entry,
		     bool good, struct bl_err *err)
{
	auto_json message = new_message("done");
	struct job *job = ctx;

	(void)transfer;
	if (!message || !bl_json_set_string(message, "path", entry->path) ||
	    !bl_json_set_int(message, "size", entry->size) ||
	    (!good && !bl_json_set_bool(message, "good", false)))
		return bl_err_nomem(err);
	return ask(&job->dones, message, entry, err);
}

static int sink_progress(void *ctx, int64_t bytes, struct bl_err *err)
{
	struct job *job = ctx;
	auto_json message = new_message("progress");

	job->arrived = bytes;
	if (!message || !bl_json_set_int(message, "bytes", bytes))
		return bl_err_nomem(err);
	return send_json(message, err);
}

/* One message and the descriptor that came with it (-1 without). 0: there is none now. */
/* NOLINTNEXTLINE(readability-non-const-parameter): recvmsg() writes there */
static int receive(char *to, size_t size, size_t *len, int *ret_fd, struct bl_err *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = to, .iov_len = size};
	struct msghdr header = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = &control,
				.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(BL_JOB_FD, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return bl_err_sys(err, errno, "hear from the agent");
	*ret_fd = -1;
	const struct cmsghdr *part = CMSG_FIRSTHDR(&header);
	if (part && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(part), sizeof(int));
	if (n == 0 || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		bl_cleanup_fd(ret_fd);
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO,
				  n == 0 ? "the agent is gone" : "a message of the agent is cut");
	}
	*len = (size_t)n;
	return 1;
}

static int get_number(const bl_json *message, int64_t *ret, struct bl_err *err)
{
	int rc = bl_json_get_int(message, "number", 0, BL_MAX_FILES, ret, err);

	return rc != 0 ? rc
		       : bl_err_set(err, BL_EX_INTERNAL, EPROTO,
				    "the agent speaks of a file without its number");
}

/* `fd` is ours to close or hand on. */
static int answer_open(struct bl_transfer *transfer, const struct bl_entry *entry,
		       const bl_json *message, const char *type, int fd, struct bl_err *err)
{
	auto_fd owned = fd;
	auto_ranges have = {0};
	const bl_json *list = NULL;
	int64_t number;
	int rc;

	if (strcmp(type, "skip") == 0)
		return bl_transfer_skipped(transfer, entry, err);
	if ((rc = get_number(message, &number, err)) < 0)
		return rc;
	if ((rc = bl_json_get_array(message, "have", &list, err)) < 0)
		return rc;
	if (list && (rc = bl_ranges_from_json(list, entry->size, &have, err)) < 0)
		return rc;
	return bl_transfer_opened(transfer, entry, TAKE_FD(owned), number, &have, err);
}

/* `fd` is ours to close or hand on. */
static int handle(struct job *job, struct bl_transfer *transfer, const bl_json *message, int fd,
		  struct bl_err *err)
{
	const char *type = "";
	const struct bl_entry *entry = NULL;
	auto_fd owned = fd;
	int rc = bl_json_get_string(message, "type", &type, err);
	bool good = strcmp(type, "ok") == 0;
	int64_t number;

	if (rc > 0 && strcmp(type, "written") == 0) {
		rc = get_number(message, &number, err);
		return rc < 0 ? rc : bl_transfer_written(transfer, number, err);
	}
	if (rc > 0 && (good || strcmp(type, "again") == 0)) {
		entry = take(&job->dones);
		if (entry)
			return bl_transfer_settled(transfer, entry, good, err);
	} else if (rc > 0 && (strcmp(type, "file") == 0 || strcmp(type, "skip") == 0)) {
		entry = take(&job->opens);
		if (entry)
			return answer_open(transfer, entry, message, type, TAKE_FD(owned), err);
	}
	return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "an answer that nobody asked for");
}

static int sink_readable(void *ctx, struct bl_transfer *transfer, struct bl_err *err)
{
	auto_free char *text = malloc(BL_MAX_JOB_MESSAGE);
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_JOB_MESSAGE};
	size_t len = 0;
	int fd = -1, rc;

	if (!text)
		return bl_err_nomem(err);
	while ((rc = receive(text, BL_MAX_JOB_MESSAGE, &len, &fd, err)) > 0) {
		auto_json message = NULL;

		rc = bl_json_parse(text, len, &limits, &message, err);
		if (rc < 0) {
			bl_cleanup_fd(&fd);
			return rc;
		}
		if ((rc = handle(ctx, transfer, message, fd, err)) < 0)
			return rc;
	}
	return rc;
}

/* ---- The job ---- */

static int read_input(bl_json **ret, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(MOST_INPUT);
	const struct bl_json_limits limits = {.max_bytes = MOST_INPUT, .max_values = MOST_VALUES};
	int64_t schema = 0;
	int rc = bl_buf_read(&text, STDIN_FILENO, err);

	if (rc >= 0)
		rc = bl_json_parse(bl_buf_str(&text), text.len, &limits, ret, err);
	if (text.data)
		explicit_bzero(text.data, text.len); /* secrets lie in it */
	if (rc < 0)
		return rc;
	if (!bl_json_is_object(*ret) ||
	    bl_json_get_int(*ret, "schema", BL_JOB_SCHEMA, BL_JOB_SCHEMA, &schema, err) <= 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO,
				  "the job is not one of schema %d; agent and fetch are of "
				  "different versions",
				  BL_JOB_SCHEMA);
	return 0;
}

static int open_session(struct bl_session *session, const bl_json *input, struct bl_err *err)
{
	const bl_json *item = NULL, *config = NULL;
	const char *secret = NULL, *token = NULL, *revision = NULL;
	int rc;

	if ((rc = bl_json_get_object(input, "item", &item, err)) < 0 ||
	    (rc = bl_json_get_object(input, "config", &config, err)) < 0 ||
	    (rc = bl_json_get_string(input, "secret", &secret, err)) < 0 ||
	    (rc = bl_json_get_string(input, "identity_token", &token, err)) < 0 ||
	    (rc = bl_json_get_string(input, "revision", &revision, err)) < 0)
		return rc;
	if (!item || !config)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the job has no item or config");
	return bl_session_open(session, item, config, secret, token, revision, err);
}

static int list(struct bl_session *session, struct bl_err *err)
{
	int rc = bl_session_list(session, NULL, NULL, err);

	if (rc < 0 || (rc = send_files(session->manifest, err)) < 0)
		return rc;
	return send_manifest(session, err);
}

static int bring(struct bl_session *session, struct bl_err *err)
{
	struct job job = {0};
	const struct bl_sink sink = {
		.ctx = &job,
		.fd = BL_JOB_FD,
		.open = sink_open,
		.done = sink_done,
		.progress = sink_progress,
		.on_readable = sink_readable,
	};
	auto_transfer transfer = NULL;
	int rc = bl_transfer_new(session->http, session->ops, session->state, session->manifest,
				 &sink, &transfer, err);

	if (rc >= 0)
		rc = bl_transfer_run(transfer, err);
	return rc < 0 || job.arrived > 0 ? rc : bl_session_prove(session, err);
}

static int work(struct bl_err *err)
{
	auto_json input = NULL;
	auto_session session = {0};
	const char *mode = NULL;
	int rc;

	if ((rc = read_input(&input, err)) < 0 || (rc = open_session(&session, input, err)) < 0 ||
	    (rc = list(&session, err)) < 0 ||
	    (rc = bl_json_get_string(input, "mode", &mode, err)) < 0)
		return rc;
	if (mode && strcmp(mode, "resolve") == 0)
		return bl_session_prove(&session, err);
	return bring(&session, err);
}

int bl_job_run(struct bl_err *err)
{
	int rc = work(err);

	if (rc < 0)
		return send_error(rc, err) < 0 ? BL_EX_INTERNAL : 1;
	auto_json end = new_message("end");
	return end && send_json(end, err) >= 0 ? 0 : BL_EX_INTERNAL;
}
