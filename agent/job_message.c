// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/job_state.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"

#define PROMISE_TEXT 1024 /* bytes of an etag, a generation... */

static int breach(struct bl_err *err, const char *what)
{
	return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "%s", what);
}

/* ---- The listing ---- */

/* The texts of a file's promise are kept as they are; they only must not be endless. */
static int check_promise(const bl_json *file, struct bl_err *err)
{
	static const char *const keys[] = {"path",	 "size",     "sha256", "etag",
					   "generation", "git_sha1", "md5",    "crc64nvme",
					   "crc32c",	 "crc32",    NULL};
	static const char *const texts[] = {"sha256",	 "etag",   "generation", "git_sha1", "md5",
					    "crc64nvme", "crc32c", "crc32",	 NULL};
	int r = bl_json_only_keys(file, keys, err);

	for (const char *const *key = texts; r >= 0 && *key; key++) {
		const char *text = "";

		r = bl_json_get_string(file, *key, &text, err);
		if (r > 0 && strlen(text) > PROMISE_TEXT)
			return breach(err, "a promise is too long");
		if (r > 0 && key == texts && bl_digest_from_hex(text, &(struct bl_digest){0}) < 0)
			return breach(err, "a promised sha256 is none");
	}
	return r < 0 ? r : 0;
}

static int take_file(struct bl_job *job, const bl_json *file, struct bl_err *err)
{
	auto_buf promise = BL_BUF_INIT(BL_MAX_JOB_MESSAGE);
	auto_json copy = NULL;
	const char *path = NULL;
	int64_t size = -1;
	int r;

	if (!bl_json_is_object(file))
		return breach(err, "an element of files is no object");
	r = check_promise(file, err);
	if (r == 0)
		r = bl_json_get_string(file, "path", &path, err);
	if (r >= 0)
		r = bl_json_get_int(file, "size", 0, BL_JSON_INT_MAX, &size, err);
	if (r < 0)
		return r;
	if (!path || size < 0)
		return breach(err, "a file without path or size");
	if (job->manifest.bytes + (uint64_t)size > BL_JSON_INT_MAX)
		return breach(err, "a listing of more bytes than there are");
	copy = bl_json_copy(file);
	if (!copy)
		return bl_err_nomem(err);
	bl_json_remove(copy, "path");
	r = bl_json_write(&promise, copy, err);
	return r < 0 ? r
		     : bl_manifest_add(&job->manifest, path, (uint64_t)size, NULL,
				       bl_buf_str(&promise), err);
}

static int take_files(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	const bl_json *files = NULL;
	int r;

	if (job->listed)
		return breach(err, "files after the manifest");
	r = bl_json_get_array(message, "files", &files, err);
	for (const bl_json *file = r > 0 ? bl_json_first(files) : NULL; file && r >= 0;
	     file = bl_json_next(file))
		r = take_file(job, file, err);
	return r;
}

static int take_manifest(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	const char *revision = NULL;
	int64_t files = -1;
	int64_t bytes = -1;
	int r;

	if (job->listed)
		return breach(err, "a second manifest");
	r = bl_json_get_int(message, "files", 1, BL_MAX_FILES, &files, err);
	if (r >= 0)
		r = bl_json_get_int(message, "bytes", 0, BL_JSON_INT_MAX, &bytes, err);
	if (r >= 0)
		r = bl_json_get_bool(message, "credential", &job->credential, err);
	if (r == 0)
		return breach(err, "a manifest that does not say whether a credential was wanted");
	if (r >= 0)
		r = bl_json_get_string(message, "revision", &revision, err);
	if (r < 0)
		return r;
	if (revision && strlen(revision) > BL_MAX_FIELD)
		return breach(err, "a revision that is too long");
	if (job->manifest.count == 0 || (uint64_t)files != job->manifest.count ||
	    (uint64_t)bytes != job->manifest.bytes)
		return breach(err, "a manifest that does not agree with its files");
	job->revision = revision ? strdup(revision) : NULL;
	if (revision && !job->revision)
		return bl_err_nomem(err);
	r = bl_manifest_sort(&job->manifest, err);
	if (r < 0)
		return r;
	job->states = calloc(job->manifest.count, 1);
	if (!job->states)
		return bl_err_nomem(err);
	job->listed = true;
	job->events->listed(job, job->data);
	return 0;
}

/* ---- Files under way ---- */

/* The file that a message names, which must be in that state; its new one is set. */
static struct bl_manifest_file *find_file(struct bl_job *job, const bl_json *message,
					  enum bl_job_file_state is, enum bl_job_file_state becomes,
					  struct bl_err *err)
{
	const char *path = "";
	struct bl_manifest_file *file = NULL;
	uint8_t *state;

	if (bl_json_get_string(message, "path", &path, err) < 0)
		return NULL;
	if (job->listed)
		file = bl_manifest_find(&job->manifest, path);
	state = file ? &job->states[file - job->manifest.files] : NULL;
	if (!state || *state != is) {
		(void)breach(err, !file ? "a file that was not listed"
					: "a file that is not in that state");
		return NULL;
	}
	*state = (uint8_t)becomes;
	return file;
}

static int take_open(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	struct bl_manifest_file *file;
	int r;

	if (job->under_way >= BL_JOB_UNDER_WAY)
		return breach(err, "too many files at once");
	file = find_file(job, message, BL_JOB_FILE_IDLE, BL_JOB_FILE_OPENING, err);
	if (!file)
		return -EPROTO;
	r = bl_job_owe(job, file, BL_JOB_OPEN, err);
	if (r < 0)
		return r;
	job->under_way++;
	job->events->open(job, file, job->data);
	return 0;
}

static int take_done(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	struct bl_manifest_file *file =
		find_file(job, message, BL_JOB_FILE_WRITTEN, BL_JOB_FILE_CLOSING, err);
	int64_t size = -1;
	bool good = true;
	int r;

	if (!file)
		return -EPROTO;
	r = bl_json_get_int(message, "size", 0, BL_JSON_INT_MAX, &size, err);
	if (r >= 0)
		r = bl_json_get_bool(message, "good", &good, err);
	if (r < 0)
		return r;
	if (size < 0 || (uint64_t)size != file->size)
		return breach(err, "a file that has become another size");
	r = bl_job_owe(job, file, BL_JOB_DONE, err);
	if (r < 0)
		return r;
	job->events->done(job, file, good, job->data);
	return 0;
}

/* ---- The rest ---- */

static int take_progress(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	int64_t bytes = 0;
	int r = bl_json_get_int(message, "bytes", 0, BL_JSON_INT_MAX, &bytes, err);

	if (r >= 0 && (uint64_t)bytes > job->arrived)
		job->arrived = (uint64_t)bytes;
	return r;
}

static int take_error(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	static const char *const classes[] = {BL_JOB_CONFIG,	   BL_JOB_NOT_FOUND,
					      BL_JOB_UNAUTHORIZED, BL_JOB_FORBIDDEN,
					      BL_JOB_ORIGIN,	   BL_JOB_CORRUPT,
					      BL_JOB_HOSTILE,	   BL_JOB_SPACE,
					      BL_JOB_INTERNAL,	   NULL};
	const char *class = "";
	const char *detail = "";
	int r = bl_json_get_string(message, "class", &class, err);

	if (r >= 0)
		r = bl_json_get_string(message, "detail", &detail, err);
	if (r < 0)
		return r;
	for (const char *const *at = classes; *at; at++)
		if (strcmp(class, *at) == 0) {
			bl_job_set_end(job, class, detail);
			return 0;
		}
	return breach(err, "an error of an unknown class");
}

static int take_end(struct bl_job *job, const bl_json *message, struct bl_err *err)
{
	(void)message;
	if (!job->listed || job->under_way > 0)
		return breach(err, "an end before the work is done");
	bl_job_set_end(job, NULL, NULL);
	return 0;
}

int bl_job_take_message(struct bl_job *job, const char *text, size_t len, struct bl_err *err)
{
	static const struct {
		const char *type;
		int (*take)(struct bl_job *job, const bl_json *message, struct bl_err *err);
	} types[] = {
		{"files", take_files},	     {"manifest", take_manifest}, {"open", take_open},
		{"progress", take_progress}, {"done", take_done},	  {"error", take_error},
		{"end", take_end},
	};
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_JOB_MESSAGE, .max_depth = 4};
	auto_json message = NULL;
	const char *type = "";
	int r = bl_json_parse(text, len, &limits, &message, err);

	if (r == 0 && !bl_json_is_object(message))
		r = breach(err, "a message that is no object");
	if (r == 0)
		r = bl_json_get_string(message, "type", &type, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (strcmp(type, types[i].type) == 0) {
			r = types[i].take(job, message, err);
			return r < 0 ? r : 0;
		}
	return breach(err, "a message of an unknown type");
}
