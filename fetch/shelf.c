/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/shelf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include <openssl/evp.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"
#include "fetch/shelf_impl.h"
#include "fetch/shelf_journal.h"

#define MAX_RECORD  (32 * 1024 * 1024) /* bytes; a longer one is begun anew */
#define NAME_LENGTH 80		       /* of a file in .ballast-fetch */

int bl_shelf_explain(int r, const struct bl_shelf *shelf, const char *what, const char *path,
		     struct bl_err *err)
{
	static const struct {
		int error, code;
		const char *advice;
	} table[] = {
		{ENOSPC, BL_EX_RETRY, "make room there, or choose another directory"},
		{EDQUOT, BL_EX_RETRY, "make room there, or choose another directory"},
		{EIO, BL_EX_RETRY, "look at its disk"},
		{EROFS, BL_EX_CONFIG, "choose a directory that can be written to"},
		{EACCES, BL_EX_CONFIG, "choose a directory that you may write to"},
		{EPERM, BL_EX_CONFIG, "choose a directory that you may write to"},
		{ENOTDIR, BL_EX_CONFIG, "remove what is in the way, or choose another directory"},
		{EISDIR, BL_EX_CONFIG, "remove what is in the way, or choose another directory"},
		{ENOTEMPTY, BL_EX_CONFIG, "remove what is in the way, or choose another directory"},
		{EEXIST, BL_EX_CONFIG, "remove what is in the way, or choose another directory"},
		{ELOOP, BL_EX_CONFIG, "remove what is in the way, or choose another directory"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].error == -r)
			return bl_err_set(err, table[i].code, -r, "%s '%.200s' in '%.200s': %s; %s",
					  what, path, shelf->name, strerror(-r), table[i].advice);
	return bl_err_sys(err, -r, "%s '%.200s' in '%.200s'", what, path, shelf->name);
}

void bl_shelf_done(struct bl_shelf *shelf)
{
	bl_cleanup_fd(&shelf->record);
	bl_cleanup_fd(&shelf->lock);
	bl_cleanup_fd(&shelf->work);
	bl_cleanup_fd(&shelf->dir);
	*shelf = BL_SHELF_INIT;
}

/* A file of ours in .ballast-fetch. What is no regular file there is not ours: it makes way. */
static int open_own(const struct bl_shelf *shelf, const char *name, int flags, struct bl_err *err)
{
	char path[sizeof(BL_SHELF_NAME) + NAME_LENGTH];
	int fd = -ENOENT;

	(void)snprintf(path, sizeof(path), BL_SHELF_NAME "/%s", name);
	for (int tries = 0; tries < 2; tries++) {
		struct stat st;

		fd = bl_sys_openat(shelf->work, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
				   0600);
		if (fd >= 0 && bl_sys_fstat(fd, &st) >= 0 && S_ISREG(st.st_mode))
			return fd;
		if (fd < 0 && fd != -ELOOP && fd != -ENXIO)
			break;
		bl_cleanup_fd(&fd);
		fd = -EEXIST;
		if (bl_sys_unlinkat(shelf->work, name, 0) < 0)
			break;
	}
	return bl_shelf_explain(fd, shelf, "open", path, err);
}

/* The text's SHA-256, in hexadecimal. */
static int name_by_digest(const char *text, char hex[65], struct bl_err *err)
{
	struct bl_digest digest = {.len = 32};

	if (!EVP_Digest(text, strlen(text), digest.bytes, NULL, EVP_sha256(), NULL))
		return bl_err_set(err, BL_EX_INTERNAL, EIO, "OpenSSL lacks SHA-256");
	bl_digest_to_hex(&digest, hex);
	return 0;
}

int bl_shelf_open(struct bl_shelf *shelf, const char *dir, const char *source, struct bl_err *err)
{
	auto_shelf fresh = BL_SHELF_INIT;
	int rc = name_by_digest(source, fresh.source, err);

	if (rc < 0)
		return rc;
	rc = bl_sys_mkdirat(AT_FDCWD, dir, 0777);
	if (rc < 0 && rc != -EEXIST)
		return bl_err_set(err, BL_EX_CONFIG, EINVAL, "make '%.200s': %s", dir,
				  strerror(-rc));
	fresh.dir = bl_sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	if (fresh.dir < 0)
		return bl_err_set(err, BL_EX_CONFIG, EINVAL, "'%.200s': %s", dir,
				  strerror(-fresh.dir));
	fresh.name = dir;
	fresh.work = bl_fs_open_dir(fresh.dir, BL_SHELF_NAME, 0700, true, err);
	if (fresh.work < 0)
		return bl_shelf_explain(fresh.work, &fresh, "make", BL_SHELF_NAME, err);
	fresh.lock = open_own(&fresh, "lock", O_RDWR | O_CREAT, err);
	if (fresh.lock < 0)
		return fresh.lock;
	if (flock(fresh.lock, LOCK_EX | LOCK_NB) < 0)
		return bl_err_set(err, BL_EX_RETRY, EBUSY,
				  "another pull works in '%.200s'; wait for its end", dir);
	fresh.record = open_own(&fresh, "record", O_RDWR | O_CREAT | O_APPEND, err);
	if (fresh.record < 0)
		return fresh.record;
	auto_fd mark =
		bl_sys_openat(fresh.work, BL_SHELF_UNSETTLED, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (mark < 0 && mark != -EEXIST)
		return bl_shelf_explain(mark, &fresh, "make", BL_SHELF_NAME "/" BL_SHELF_UNSETTLED,
					err);
	fresh.unsettled = mark == -EEXIST;
	*shelf = fresh;
	fresh = BL_SHELF_INIT;
	return 0;
}

/* "<SHA-256 of the path>.<suffix>" */
static int name_for(const struct bl_entry *entry, const char *suffix, char name[NAME_LENGTH],
		    struct bl_err *err)
{
	char hex[65];
	int rc = name_by_digest(entry->path, hex, err);

	if (rc >= 0)
		snprintf(name, NAME_LENGTH, "%s.%s", hex, suffix);
	return rc;
}

/* ---- What was brought before ---- */

/* Whether the file that stands in DIR has this SHA-256. */
static bool still_has(const struct bl_shelf *shelf, const struct bl_entry *entry,
		      const struct bl_digest *found)
{
	struct bl_digest digest;
	struct stat st;
	auto_fd fd = bl_fs_open_beneath(shelf->dir, entry->path, BL_SHELF_READ, NULL);

	return fd >= 0 && bl_sys_fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) &&
	       st.st_size == entry->size &&
	       bl_digest_of_file(BL_DIGEST_SHA256, fd, entry->size, &digest, NULL) == 0 &&
	       bl_digest_equal(&digest, found);
}

/* A file of the source must not become one of ours. */
static int check_names(struct bl_manifest *manifest, struct bl_err *err)
{
	const size_t len = strlen(BL_SHELF_NAME);

	for (size_t i = 0; i < bl_manifest_count(manifest); i++) {
		const char *path = bl_manifest_at(manifest, i)->path;

		if (strncmp(path, BL_SHELF_NAME, len) == 0 && (path[len] == '/' || !path[len]))
			return bl_err_set(
				err, BL_EX_CONFIG, EBADMSG,
				"the source has '%.100s', and pull keeps its own state in "
				"'" BL_SHELF_NAME "'; leave it out by --ignore='" BL_SHELF_NAME
				"%s', or remove it from the source",
				path, path[len] ? "/**" : "");
	}
	return 0;
}

int bl_shelf_compare(struct bl_shelf *shelf, struct bl_manifest *manifest, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(MAX_RECORD);
	int rc = check_names(manifest, err);

	if (rc < 0)
		return rc;
	rc = bl_fs_read_file(shelf->work, "record", &text, err);
	if (rc == -EFBIG) {
		rc = bl_sys_ftruncate(shelf->record, 0);
		return rc < 0 ? bl_err_sys(err, -rc, "begin the record anew") : 0;
	}
	if (rc < 0)
		return rc;
	for (const char *line = bl_buf_str(&text); *line;) {
		size_t len = strcspn(line, "\n");
		struct bl_digest found;
		struct bl_entry *entry =
			bl_shelf_record_read(line, len, shelf->source, manifest, &found);

		if (entry && !entry->unchanged)
			entry->unchanged = still_has(shelf, entry, &found);
		line += len + (line[len] == '\n');
	}
	return 0;
}

/* ---- Partial files ---- */

static void read_journal(const struct bl_shelf *shelf, const struct bl_entry *entry,
			 const char *name, struct bl_ranges *have)
{
	auto_buf text = BL_BUF_INIT(BL_SHELF_JOURNAL_MAX);

	if (bl_fs_read_file(shelf->work, name, &text, NULL) >= 0)
		bl_shelf_journal_read(bl_buf_str(&text), text.len, shelf->source, entry, have);
}

int bl_shelf_take(struct bl_shelf *shelf, const struct bl_entry *entry, struct bl_ranges *have,
		  struct bl_err *err)
{
	char part[NAME_LENGTH], journal[NAME_LENGTH];
	auto_ranges found = {0};
	struct stat st;
	int rc;

	if ((rc = name_for(entry, "part", part, err)) < 0 ||
	    (rc = name_for(entry, "json", journal, err)) < 0)
		return rc;
	auto_fd fd = open_own(shelf, part, O_RDWR | O_CREAT, err);
	if (fd < 0)
		return fd;
	if ((rc = bl_sys_fstat(fd, &st)) < 0)
		return bl_err_sys(err, -rc, "stat a partial file");
	read_journal(shelf, entry, journal, &found);
	/* A journal without its file, or a file without its journal, is worth nothing. The journal goes first:
	 * it would be believed once its promise is the origin's again. */
	if (found.count == 0 || found.at[found.count - 1].to > st.st_size) {
		bl_ranges_done(&found);
		if (bl_sys_unlinkat(shelf->work, journal, 0) == 0)
			rc = bl_sys_fsync(shelf->work);
		if (rc >= 0)
			rc = bl_sys_ftruncate(fd, 0);
	}
	if (rc >= 0)
		rc = bl_sys_ftruncate(fd, entry->size);
	if (rc < 0)
		return bl_shelf_explain(rc, shelf, "make room for", entry->path, err);
	*have = found;
	found = (struct bl_ranges){0};
	return TAKE_FD(fd);
}

int bl_shelf_note(struct bl_shelf *shelf, const struct bl_entry *entry,
		  const struct bl_ranges *have, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_SHELF_JOURNAL_MAX);
	char name[NAME_LENGTH];
	int rc;

	if ((rc = bl_shelf_journal_write(entry, shelf->source, have, &text, err)) < 0 ||
	    (rc = name_for(entry, "json", name, err)) < 0)
		return rc;
	return bl_fs_write_file(shelf->work, name, text.data, text.len, 0600, err);
}

/* ---- Publishing ---- */

/* The directory that the file lies in, made where it is missing; `*base` is its name there. */
static int open_parent(const struct bl_shelf *shelf, const char *path, const char **base,
		       struct bl_err *err)
{
	auto_fd dir = bl_sys_dup(shelf->dir);

	if (dir < 0)
		return bl_err_sys(err, -dir, "duplicate a descriptor");
	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
		auto_free char *name = strndup(path, (size_t)(slash - path));

		if (!name)
			return bl_err_nomem(err);
		int next = bl_fs_open_dir(dir, name, 0777, true, err);
		if (next < 0)
			return bl_shelf_explain(next, shelf, "open the directory of", path, err);
		close(dir);
		dir = next;
	}
	*base = path;
	return TAKE_FD(dir);
}

static int record(struct bl_shelf *shelf, const struct bl_entry *entry,
		  const struct bl_digest *found, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_SHELF_LINE_MAX);
	int rc = bl_shelf_record_write(entry, shelf->source, found, &text, err);

	if (rc < 0)
		return rc;
	rc = bl_sys_write_all(shelf->record, text.data, text.len);
	return rc < 0 ? bl_err_sys(err, -rc, "write the record") : 0;
}

static int give_name(struct bl_shelf *shelf, const struct bl_entry *entry, const char *part,
		     struct bl_err *err)
{
	const char *base = NULL;
	char journal[NAME_LENGTH];
	auto_fd parent = open_parent(shelf, entry->path, &base, err);
	int rc;

	if (parent < 0)
		return parent;
	if ((rc = bl_sys_renameat2(shelf->work, part, parent, base, 0)) < 0)
		return bl_shelf_explain(rc, shelf, "put in place", entry->path, err);
	if ((rc = name_for(entry, "json", journal, err)) < 0)
		return rc;
	(void)bl_sys_unlinkat(shelf->work, journal, 0);
	return 0;
}

int bl_shelf_discard(struct bl_shelf *shelf, const struct bl_entry *entry, struct bl_err *err)
{
	char part[NAME_LENGTH], journal[NAME_LENGTH];
	int rc;

	if ((rc = name_for(entry, "part", part, err)) < 0 ||
	    (rc = name_for(entry, "json", journal, err)) < 0)
		return rc;
	(void)bl_sys_unlinkat(shelf->work, journal, 0);
	(void)bl_sys_unlinkat(shelf->work, part, 0);
	return 0;
}

int bl_shelf_publish(struct bl_shelf *shelf, const struct bl_entry *entry, struct bl_err *err)
{
	struct bl_digest found, wanted;
	char part[NAME_LENGTH];
	int rc = name_for(entry, "part", part, err);

	if (rc < 0)
		return rc;
	auto_fd fd = open_own(shelf, part, O_RDONLY, err);
	if (fd < 0)
		return fd;
	if ((rc = bl_digest_of_file(BL_DIGEST_SHA256, fd, entry->size, &found, err)) < 0)
		return rc;
	if (bl_manifest_promised(entry, BL_DIGEST_SHA256, &wanted) &&
	    !bl_digest_equal(&found, &wanted))
		return bl_shelf_discard(shelf, entry, err);
	rc = bl_sys_fchmod(fd, 0644);
	if (rc >= 0 && entry->size >= BL_SHELF_SYNC_ALONE)
		rc = bl_sys_fsync(fd);
	else if (rc >= 0)
		(void)bl_sys_write_back(fd); /* a hint; settle() is what counts */
	if (rc < 0)
		return bl_shelf_explain(rc, shelf, "sync", entry->path, err);
	if ((rc = give_name(shelf, entry, part, err)) < 0 ||
	    (rc = record(shelf, entry, &found, err)) < 0)
		return rc;
	return 1;
}
