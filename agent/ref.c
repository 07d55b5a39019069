// SPDX-License-Identifier: Apache-2.0
/*
 * A ref's file is one JSON object whose last member is "files", the promises, one object a file:
 * so that its head is read, and changed, without the million files that may follow.
 */
#include "agent/ref.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/cachedir.h"
#include "agent/manifest.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"
#include "common/weights.h"

#define SCHEMA	    1
#define HEAD_MAX    (32U * 1024) /* bytes of all but the promises: three bounded texts, escaped */
#define FLUSH	    (64U * 1024)
#define FILES_BEGIN ",\"files\":["
#define FILES_END   "]}"

void bl_ref_done(struct bl_ref *ref)
{
	int saved = errno;

	free(ref->tenant);
	free(ref->source);
	free(ref->revision);
	*ref = (struct bl_ref){0};
	errno = saved;
}

/* ---- Names ---- */

static int add_patterns(bl_json *object, const char *key, char *const *patterns)
{
	bl_json *list = patterns ? bl_json_set_array(object, key) : NULL;

	if (!patterns)
		return 0;
	for (; list && *patterns; patterns++)
		if (!bl_json_set_string(list, NULL, *patterns))
			return -ENOMEM;
	return list ? 0 : -ENOMEM;
}

int bl_ref_name(const char *tenant, const struct bl_weights_item *item, char name[BL_DIGEST_HEX],
		struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_API_BODY);
	auto_json key = bl_json_new_object();
	struct bl_digest digest;
	int r;

	if (!key || !bl_json_set_string(key, "tenant", tenant) ||
	    !bl_json_set_string(key, "source", item->source.text) ||
	    (item->source.revision &&
	     !bl_json_set_string(key, "revision", item->source.revision)) ||
	    add_patterns(key, "allow_patterns", item->allow_patterns) < 0 ||
	    add_patterns(key, "ignore_patterns", item->ignore_patterns) < 0)
		return bl_err_nomem(err);
	r = bl_json_write(&text, key, err);
	if (r == 0)
		r = bl_digest_bytes(bl_buf_str(&text), text.len, &digest, err);
	if (r == 0)
		bl_digest_to_hex(&digest, name);
	return r;
}

static void file_name(const char *name, char file[BL_CACHEDIR_NAME])
{
	(void)snprintf(file, BL_CACHEDIR_NAME, "%.64s.json", name);
}

/* ---- Reading ---- */

static int malformed(struct bl_err *err)
{
	return bl_err_set(err, BL_EX_RETRY, EBADMSG, "not a ref");
}

/* Reads the head into text, closed as an object of its own; *ret_files is where the file's
 * promises begin. */
static int read_head(int fd, struct bl_buf *text, off_t *ret_files, struct bl_err *err)
{
	char *to = bl_buf_reserve(text, HEAD_MAX, err);
	const char *files;
	ssize_t n;

	if (!to)
		return -ENOMEM;
	n = bl_sys_pread(fd, to, HEAD_MAX, 0);
	if (n < 0)
		return bl_err_sys(err, (int)-n, "read");
	text->len = (size_t)n;
	/* In a string its quotes would have a backslash before them. */
	files = memmem(to, text->len, FILES_BEGIN, strlen(FILES_BEGIN));
	if (!files)
		return malformed(err);
	*ret_files = (off_t)(files - to);
	text->len = (size_t)(files - to);
	return bl_buf_puts(text, "}", err);
}

/* 1 and a copy, 0 where there is no such member. */
static int copy_member(const bl_json *head, const char *key, char **ret, struct bl_err *err)
{
	const char *value = NULL;
	int r = bl_json_get_string(head, key, &value, err);

	if (r <= 0)
		return r;
	*ret = strdup(value);
	return *ret ? 1 : -ENOMEM;
}

static int copy_texts(const bl_json *head, struct bl_ref *ref, struct bl_err *err)
{
	int tenant = copy_member(head, "tenant", &ref->tenant, err);
	int source = copy_member(head, "source", &ref->source, err);
	int revision = copy_member(head, "revision", &ref->revision, err);

	if (tenant == -ENOMEM || source == -ENOMEM || revision == -ENOMEM)
		return bl_err_nomem(err);
	return tenant > 0 && source > 0 && revision >= 0 ? 0 : malformed(err);
}

static int parse_head(const bl_json *head, struct bl_ref *ref, struct bl_err *err)
{
	const char *manifest = NULL;
	int64_t schema = 0;
	int64_t files = 0;
	int64_t bytes = 0;
	int r = copy_texts(head, ref, err);

	if (r < 0)
		return r;
	if (bl_json_get_int(head, "schema", SCHEMA, SCHEMA, &schema, err) <= 0 ||
	    bl_json_get_string(head, "manifest", &manifest, err) <= 0 ||
	    bl_digest_from_hex(manifest, &ref->manifest) < 0 ||
	    bl_json_get_bool(head, "credential", &ref->credential, err) <= 0 ||
	    bl_json_get_int(head, "resolved_at", 0, BL_JSON_INT_MAX, &ref->resolved_at, err) <= 0 ||
	    bl_json_get_int(head, "authorised_at", 0, BL_JSON_INT_MAX, &ref->authorised_at, err) <=
		    0 ||
	    bl_json_get_int(head, "file_count", 0, BL_MAX_FILES, &files, err) <= 0 ||
	    bl_json_get_int(head, "bytes", 0, BL_JSON_INT_MAX, &bytes, err) <= 0)
		return malformed(err);
	ref->files = (uint64_t)files;
	ref->bytes = (uint64_t)bytes;
	return 0;
}

static int load_from(int fd, struct bl_ref *ref, off_t *ret_files, struct bl_err *err)
{
	const struct bl_json_limits limits = {.max_bytes = HEAD_MAX + 1};
	auto_buf text = BL_BUF_INIT(HEAD_MAX + 1);
	auto_json head = NULL;
	int r = read_head(fd, &text, ret_files, err);

	if (r < 0)
		return r;
	r = bl_json_parse(bl_buf_str(&text), text.len, &limits, &head, err);
	if (r == -ENOMEM)
		return r;
	if (r < 0 || !bl_json_is_object(head))
		return malformed(err);
	return parse_head(head, ref, err);
}

/* Out of the way, for a person to look at. */
static void quarantine(struct bl_cachedir *dirs, const char *file)
{
	char to[BL_CACHEDIR_NAME];

	bl_cachedir_name(dirs, "ref", to);
	(void)bl_sys_renameat2(dirs->refs, file, dirs->quarantine, to, 0);
}

static int open_ref(struct bl_cachedir *dirs, const char *name, struct bl_ref *ret,
		    off_t *ret_files, struct bl_err *err)
{
	struct bl_ref ref = {0};
	char file[BL_CACHEDIR_NAME];
	auto_fd fd = -1;
	struct stat st;
	int r;

	file_name(name, file);
	fd = bl_sys_openat(dirs->refs, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return bl_cachedir_err(err, -fd, "ref '%s'", file);
	r = bl_sys_fstat(fd, &st);
	if (r == 0)
		r = S_ISREG(st.st_mode) && st.st_uid == dirs->owner
			    ? load_from(fd, &ref, ret_files, err)
			    : malformed(err);
	if (r < 0) {
		bl_ref_done(&ref);
		if (r == -EBADMSG)
			quarantine(dirs, file);
		bl_err_wrap(err, "ref '%s': ", file);
		return r;
	}
	(void)snprintf(ref.name, sizeof(ref.name), "%.64s", name);
	*ret = ref;
	return TAKE_FD(fd);
}

int bl_ref_load(struct bl_cachedir *dirs, const char *name, struct bl_ref *ret, struct bl_err *err)
{
	off_t files;
	auto_fd fd = open_ref(dirs, name, ret, &files, err);

	return fd < 0 ? fd : 0;
}

/* The promises as a parsed array; 0 bytes of them is an empty one. */
static int parse_files(int fd, off_t files, bl_json **ret, struct bl_err *err)
{
	const struct bl_json_limits limits = {
		.max_bytes = BL_REF_FILE_MAX,
		.max_values = 16U * BL_MAX_FILES,
		.fractions = true,
	};
	auto_buf text = BL_BUF_INIT(BL_REF_FILE_MAX);
	int r;

	if (lseek(fd, files + (off_t)strlen(FILES_BEGIN) - 1, SEEK_SET) < 0)
		return bl_err_sys(err, errno, "seek");
	r = bl_buf_read(&text, fd, err);
	if (r < 0)
		return r;
	if (text.len < 2 || text.data[text.len - 1] != '}')
		return malformed(err);
	r = bl_json_parse(text.data, text.len - 1, &limits, ret, err);
	return r < 0 && r != -ENOMEM ? malformed(err) : r;
}

int bl_ref_load_promises(struct bl_cachedir *dirs, const char *name, bl_json **ret,
			 struct bl_err *err)
{
	auto_ref ref = {0};
	off_t files = 0;
	auto_fd fd = open_ref(dirs, name, &ref, &files, err);
	bl_json *list = NULL;
	int r;

	if (fd == -ENOENT || fd == -EBADMSG) {
		list = bl_json_new_array();
		if (!list)
			return bl_err_nomem(err);
		*ret = list;
		return 0;
	}
	if (fd < 0)
		return fd;
	r = parse_files(fd, files, &list, err);
	if (r == 0)
		*ret = list;
	return r;
}

/* ---- Writing ---- */

static int head_text(const struct bl_ref *ref, struct bl_buf *text, struct bl_err *err)
{
	char manifest[BL_DIGEST_HEX];
	auto_json head = bl_json_new_object();
	int r;

	bl_digest_to_hex(&ref->manifest, manifest);
	if (!head || !bl_json_set_int(head, "schema", SCHEMA) ||
	    !bl_json_set_string(head, "tenant", ref->tenant) ||
	    !bl_json_set_string(head, "source", ref->source) ||
	    (ref->revision && !bl_json_set_string(head, "revision", ref->revision)) ||
	    !bl_json_set_string(head, "manifest", manifest) ||
	    !bl_json_set_bool(head, "credential", ref->credential) ||
	    !bl_json_set_int(head, "resolved_at", ref->resolved_at) ||
	    !bl_json_set_int(head, "authorised_at", ref->authorised_at) ||
	    !bl_json_set_int(head, "file_count", (int64_t)ref->files) ||
	    !bl_json_set_int(head, "bytes", (int64_t)ref->bytes))
		return bl_err_nomem(err);
	r = bl_json_write(text, head, err);
	if (r == 0 && text->len + 1 > HEAD_MAX - strlen(FILES_BEGIN))
		return bl_err_config(err, "tenant, source and revision are too long");
	text->len--; /* the closing brace */
	return r < 0 ? r : bl_buf_puts(text, FILES_BEGIN, err);
}

static int write_out(int fd, struct bl_buf *text, struct bl_err *err)
{
	int r = bl_sys_write_all(fd, bl_buf_str(text), text->len);

	text->len = 0;
	return r < 0 ? bl_cachedir_err(err, -r, "write") : 0;
}

/* The promise, with the path before its first member. */
static int write_promise(struct bl_buf *text, const struct bl_manifest_file *file, bool first,
			 struct bl_err *err)
{
	const char *rest = file->promise + 1;
	int r = bl_buf_puts(text, first ? "{\"path\":" : ",{\"path\":", err);

	if (r == 0)
		r = bl_json_write_string(text, file->path, err);
	if (r == 0)
		r = bl_buf_putf(text, err, "%s%s", *rest == '}' ? "" : ",", rest);
	return r;
}

static int write_promises(int fd, struct bl_buf *text, const struct bl_manifest *promises,
			  struct bl_err *err)
{
	bool first = true;
	int r = 0;

	for (size_t i = 0; r == 0 && promises && i < promises->count; i++) {
		const struct bl_manifest_file *file = &promises->files[i];

		if (!file->promise)
			continue;
		r = write_promise(text, file, first, err);
		first = false;
		if (r == 0 && text->len >= FLUSH)
			r = write_out(fd, text, err);
	}
	if (r == 0)
		r = bl_buf_puts(text, FILES_END, err);
	return r < 0 ? r : write_out(fd, text, err);
}

/* What stands after the head in the old file goes over as it is. */
static int copy_promises(int fd, struct bl_buf *text, int old, off_t at, struct bl_err *err)
{
	int r = write_out(fd, text, err);

	while (r == 0) {
		char *to = bl_buf_reserve(text, FLUSH, err);
		ssize_t n = to ? bl_sys_pread(old, to, FLUSH, at) : -ENOMEM;

		if (n <= 0)
			return n < 0 ? bl_cachedir_err(err, (int)-n, "read") : 0;
		text->len = (size_t)n;
		at += n;
		r = write_out(fd, text, err);
	}
	return r;
}

/* The whole file: head, then the promises given, or those of the old file (old >= 0). */
static int write_ref(int fd, const struct bl_ref *ref, const struct bl_manifest *promises, int old,
		     off_t at, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(4U * FLUSH + HEAD_MAX);
	int r = head_text(ref, &text, err);

	if (r == 0 && old >= 0)
		r = copy_promises(fd, &text, old, at + (off_t)strlen(FILES_BEGIN), err);
	else if (r == 0)
		r = write_promises(fd, &text, promises, err);
	if (r < 0)
		return r;
	r = bl_sys_fsync(fd);
	return r < 0 ? bl_cachedir_err(err, -r, "fsync") : 0;
}

/* Between a look at a ref's name and what is done to it no other thread gives it another file. */
static pthread_mutex_t replacing = PTHREAD_MUTEX_INITIALIZER;

/* Gives the new file the ref's name. Where it was made of an old one (old >= 0) and that has been
 * replaced meanwhile, what replaced it stays. */
static int replace(struct bl_cachedir *dirs, const char *temporary, const char *file, int old)
{
	struct stat was;
	struct stat is;
	int r = old < 0 ? 0 : bl_sys_fstat(old, &was);

	(void)pthread_mutex_lock(&replacing);
	if (r == 0 && old >= 0) {
		r = bl_sys_fstatat(dirs->refs, file, &is, AT_SYMLINK_NOFOLLOW);
		if (r == 0 && (is.st_ino != was.st_ino || is.st_dev != was.st_dev))
			r = -ESTALE;
	}
	if (r == 0)
		r = bl_sys_renameat2(dirs->partial, temporary, dirs->refs, file, 0);
	(void)pthread_mutex_unlock(&replacing);
	return r;
}

static int save(struct bl_cachedir *dirs, const struct bl_ref *ref,
		const struct bl_manifest *promises, int old, off_t at, struct bl_err *err)
{
	char temporary[BL_CACHEDIR_NAME];
	char file[BL_CACHEDIR_NAME];
	auto_fd fd = -1;
	int r;

	file_name(ref->name, file);
	bl_cachedir_name(dirs, "json", temporary);
	fd = bl_sys_openat(dirs->partial, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return bl_cachedir_err(err, -fd, "ref '%s'", file);
	r = write_ref(fd, ref, promises, old, at, err);
	bl_sys_point("ref-synced");
	if (r == 0) {
		r = replace(dirs, temporary, file, old);
		if (r < 0)
			(void)bl_cachedir_err(err, -r, "rename");
	}
	if (r < 0) {
		(void)bl_sys_unlinkat(dirs->partial, temporary, 0);
		bl_err_wrap(err, "ref '%s': ", file);
		return r;
	}
	bl_sys_point("ref-visible");
	r = bl_sys_fsync(dirs->refs);
	if (r < 0)
		return bl_cachedir_err(err, -r, "fsync of 'refs'");
	bl_sys_point("ref-durable");
	return 0;
}

int bl_ref_save(struct bl_cachedir *dirs, const struct bl_ref *ref,
		const struct bl_manifest *promises, struct bl_err *err)
{
	return save(dirs, ref, promises, -1, 0, err);
}

int bl_ref_authorise(struct bl_cachedir *dirs, const char *name, int64_t when, struct bl_err *err)
{
	auto_ref ref = {0};
	off_t files = 0;
	auto_fd fd = open_ref(dirs, name, &ref, &files, err);

	if (fd < 0)
		return fd;
	ref.authorised_at = when;
	return save(dirs, &ref, NULL, fd, files, err);
}

static int remove_ref(struct bl_cachedir *dirs, const char *name, const struct bl_digest *tree,
		      bool there)
{
	auto_ref ref = {0};
	char hex[BL_DIGEST_HEX];
	char file[BL_CACHEDIR_NAME];
	struct stat st;
	int r;

	bl_digest_to_hex(tree, hex);
	r = bl_sys_fstatat(dirs->trees, hex, &st, AT_SYMLINK_NOFOLLOW);
	if (r != -ENOENT && !there)
		return r;
	if (bl_ref_load(dirs, name, &ref, NULL) < 0 || !bl_digest_equal(&ref.manifest, tree))
		return 0;
	file_name(name, file);
	r = bl_sys_unlinkat(dirs->refs, file, 0);
	return r == -ENOENT ? 0 : r;
}

int bl_ref_remove(struct bl_cachedir *dirs, const char *name, const struct bl_digest *tree,
		  bool there, struct bl_err *err)
{
	int r;

	(void)pthread_mutex_lock(&replacing);
	r = remove_ref(dirs, name, tree, there);
	(void)pthread_mutex_unlock(&replacing);
	return r < 0 ? bl_cachedir_err(err, -r, "remove ref '%.64s'", name) : 0;
}

enum bl_ref_authority bl_ref_authority(const struct bl_ref *ref, int64_t now, int64_t ttl,
				       int64_t grace)
{
	const int64_t slack = 300;
	int64_t age = now - ref->authorised_at;

	if (ref->authorised_at <= 0 || age < -slack)
		return BL_REF_NONE;
	if (age < ttl)
		return BL_REF_VALID;
	return age < grace ? BL_REF_GRACE : BL_REF_NONE;
}
