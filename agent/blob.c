// SPDX-License-Identifier: Apache-2.0
#include "agent/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <linux/fsverity.h>

#include "agent/cachedir.h"
#include "agent/partial.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define QUIET_TRIES 200		       /* looks for a writer, ... */
#define QUIET_PAUSE (10 * 1000 * 1000) /* ... ns apart */
#define PIECE	    (1024 * 1024)
#define LINK_TRIES  8

/* Where a blob is, below blobs/sha256. */
static void blob_path(const struct bl_digest *digest, char path[BL_CACHEDIR_NAME])
{
	char hex[BL_DIGEST_HEX];

	bl_digest_to_hex(digest, hex);
	(void)snprintf(path, BL_CACHEDIR_NAME, "%.2s/%s", hex, hex);
}

/* Whether the error of a link or rename says that the filesystem cannot do it at all. */
static bool is_unable(int r)
{
	return r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS || r == -EINVAL || r == -EMLINK;
}

/* ---- Checking ---- */

/* Moves the blob to quarantine/; 0 too where it is not there. */
static int quarantine(struct bl_cachedir *dirs, const struct bl_digest *digest, struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	char what[BL_DIGEST_HEX];
	char name[BL_CACHEDIR_NAME];
	int r;

	blob_path(digest, path);
	bl_digest_to_hex(digest, what);
	bl_cachedir_name(dirs, what, name);
	r = bl_sys_renameat2(dirs->blobs, path, dirs->quarantine, name, 0);
	if (r == 0)
		__atomic_add_fetch(&dirs->quarantined, 1, __ATOMIC_SEQ_CST);
	return r < 0 && r != -ENOENT ? bl_cachedir_err(err, -r, "quarantine of blob %s", what) : 0;
}

/* Quarantines the blob and fills err: it is not what its name says, because of `why`. */
static int damaged(struct bl_cachedir *dirs, const struct bl_digest *digest, const char *why,
		   struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];
	int r = quarantine(dirs, digest, err);

	if (r < 0)
		return r;
	bl_digest_to_hex(digest, hex);
	return bl_err_set(err, BL_EX_RETRY, EBADMSG, "blob %s %s: it is in quarantine/ now", hex,
			  why);
}

static const char *what_is_wrong(const struct bl_cachedir *dirs, const struct stat *st,
				 uint64_t size)
{
	if (!S_ISREG(st->st_mode))
		return "is no regular file";
	if (st->st_uid != dirs->owner)
		return "belongs to somebody else";
	if ((st->st_mode & 07777) != 0444)
		return "does not have mode 0444";
	if (size != UINT64_MAX && (uint64_t)st->st_size != size)
		return "does not have its size";
	return NULL;
}

int bl_blob_check(struct bl_cachedir *dirs, const struct bl_digest *digest, uint64_t size,
		  struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	struct stat st;
	const char *wrong;
	int r;

	blob_path(digest, path);
	r = bl_sys_fstatat(dirs->blobs, path, &st, AT_SYMLINK_NOFOLLOW);
	if (r < 0)
		return bl_cachedir_err(err, -r, "blob '%s'", path);
	wrong = what_is_wrong(dirs, &st, size);
	return wrong ? damaged(dirs, digest, wrong, err) : 0;
}

int bl_blob_verify(struct bl_cachedir *dirs, const struct bl_digest *digest,
		   const struct bl_digest_pace *pace, struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	struct bl_digest found;
	auto_fd fd = -1;
	uint64_t size;
	int r = bl_blob_check(dirs, digest, UINT64_MAX, err);

	if (r < 0)
		return r;
	blob_path(digest, path);
	fd = bl_sys_openat(dirs->blobs, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd < 0)
		return bl_cachedir_err(err, -fd, "blob '%s'", path);
	r = bl_digest_file(fd, pace, &found, &size, err);
	if (r == -EIO)
		return damaged(dirs, digest, "cannot be read", err);
	if (r < 0)
		return r;
	return bl_digest_equal(&found, digest)
		       ? 0
		       : damaged(dirs, digest, "does not have its digest", err);
}

/* ---- Publishing ---- */

/*
 * Proves that no descriptor through which the file could be written is open anywhere, not in a
 * process and not on its way through a socket: only then is a read lease given. Nobody but root
 * can open one anew, since the directory is 0700 and the file root's, 0444.
 * -EBUSY where there is one, -EOPNOTSUPP where the filesystem has no leases.
 */
static int prove_quiet(int fd)
{
	if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
		return errno == EAGAIN ? -EBUSY : -EOPNOTSUPP;
	(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	return 0;
}

static int make_quiet(struct bl_partial *partial, struct bl_err *err)
{
	int r = bl_sys_fchmod(partial->data, 0444);

	if (r < 0)
		return bl_cachedir_err(err, -r, "mode of a download");
	/* A process that is just being started has what we have open until it has closed it, and nothing tells
	 * when that is. */
	for (int tries = 0; (r = prove_quiet(partial->data)) == -EBUSY && tries < QUIET_TRIES;
	     tries++)
		(void)nanosleep(&(struct timespec){.tv_nsec = QUIET_PAUSE}, NULL);
	/* Without leases it is known all the same: only this process has ever written to it. */
	if (r == -EBUSY)
		return bl_err_set(err, BL_EX_RETRY, -r, "somebody still has it open for writing");
	return 0;
}

/* No change of the bytes leaves the inode's own time, which nobody can set, as it was. */
static int check_unchanged(const struct bl_partial *partial, const struct stat *before,
			   struct bl_err *err)
{
	struct stat now;
	int r = bl_sys_fstat(partial->data, &now);

	if (r < 0)
		return bl_cachedir_err(err, -r, "stat a download");
	if (before->st_ctim.tv_sec == now.st_ctim.tv_sec &&
	    before->st_ctim.tv_nsec == now.st_ctim.tv_nsec)
		return 0;
	return bl_err_set(err, BL_EX_RETRY, EBADMSG, "it was changed while it was being verified");
}

static int hash(struct bl_partial *partial, const struct bl_digest *promised, struct bl_digest *ret,
		struct bl_err *err)
{
	char found[BL_DIGEST_HEX];
	char wanted[BL_DIGEST_HEX];
	struct stat st;
	int r = bl_sys_fstat(partial->data, &st);

	if (r < 0)
		return bl_cachedir_err(err, -r, "stat a download");
	if ((uint64_t)st.st_size != partial->size)
		return bl_err_set(err, BL_EX_RETRY, EBADMSG, "%llu bytes came, %llu were promised",
				  (unsigned long long)st.st_size,
				  (unsigned long long)partial->size);
	r = bl_partial_hash(partial, partial->size, err);
	if (r == 0)
		r = bl_digest_stream_finish(partial->stream, ret, err);
	bl_partial_hash_drop(partial);
	if (r < 0)
		return r;
	if (!promised || bl_digest_equal(ret, promised))
		return 0;
	bl_digest_to_hex(ret, found);
	bl_digest_to_hex(promised, wanted);
	return bl_err_set(err, BL_EX_RETRY, EBADMSG,
			  "the bytes that came have SHA-256 %s, the origin promised %s", found,
			  wanted);
}

/* Asks the filesystem to check every later read by itself, where it can. */
static void seal(int fd)
{
	struct fsverity_enable_arg arg = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = 4096,
	};

	(void)ioctl(fd, FS_IOC_ENABLE_VERITY, &arg);
}

/* Gives the name to the partial's inode. 1: done, 0: a good blob was there already. */
static int link_or_rename(struct bl_partial *partial, const char *path)
{
	struct bl_cachedir *dirs = partial->dirs;
	char name[BL_CACHEDIR_NAME];
	int r;

	(void)snprintf(name, sizeof(name), "%s.data", partial->name);
	r = bl_sys_linkat(dirs->partial, name, dirs->blobs, path, 0);
	if (is_unable(r))
		r = bl_sys_renameat2(dirs->partial, name, dirs->blobs, path, RENAME_NOREPLACE);
	if (is_unable(r))
		r = bl_sys_renameat2(dirs->partial, name, dirs->blobs, path, 0);
	return r == 0 ? 1 : r;
}

static int give_name(struct bl_partial *partial, const struct bl_digest *digest, bool *ret_new,
		     struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	int r = -EEXIST;

	blob_path(digest, path);
	for (int tries = 0; r < 0 && tries < LINK_TRIES; tries++) {
		r = link_or_rename(partial, path);
		*ret_new = r == 1;
		if (r != -EEXIST)
			break;
		/* What is there is either good, or goes to quarantine, or was just removed. */
		r = bl_blob_check(partial->dirs, digest, partial->size, err);
		if (r < 0 && r != -EBADMSG && r != -ENOENT)
			return r;
	}
	return r < 0 ? bl_cachedir_err(err, -r, "name of blob '%s'", path) : 0;
}

static int sync_directory_of(const struct bl_cachedir *dirs, const struct bl_digest *digest,
			     struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	auto_fd dir = -1;
	int r;

	blob_path(digest, path);
	path[2] = '\0';
	dir = bl_sys_openat(dirs->blobs, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	r = dir < 0 ? dir : bl_sys_fsync(dir);
	return r < 0 ? bl_cachedir_err(err, -r, "fsync of 'blobs/sha256/%s'", path) : 0;
}

/* From hashed bytes, which were as `before`, to a durable name. The blob is held. */
static int publish_hashed(struct bl_partial *partial, const struct stat *before,
			  const struct bl_digest *digest, bool *ret_new, struct bl_err *err)
{
	int r = bl_partial_sync(partial, err);

	if (r == 0)
		r = check_unchanged(partial, before, err);
	if (r < 0)
		return r;
	seal(partial->data);
	bl_sys_point("blob-synced");
	r = give_name(partial, digest, ret_new, err);
	if (r < 0)
		return r;
	bl_sys_point("blob-linked");
	r = sync_directory_of(partial->dirs, digest, err);
	if (r == 0)
		bl_sys_point("blob-durable");
	return r;
}

int bl_blob_publish(struct bl_partial **partial, const struct bl_digest *promised,
		    struct bl_digest *ret, bool *ret_new, struct bl_err *err)
{
	struct bl_cachedir *dirs = (*partial)->dirs;
	struct bl_digest digest;
	struct stat before;
	bool is_new = false;
	int r = make_quiet(*partial, err);

	if (r < 0)
		return r;
	bl_sys_point("blob-quiet");
	(void)bl_sys_write_back((*partial)->data); /* so that the sync finds little to wait for */
	r = bl_sys_fstat((*partial)->data, &before);
	if (r < 0)
		return bl_cachedir_err(err, -r, "stat a download");
	r = hash(*partial, promised, &digest, err);
	/* Bytes that cannot be read back would be in the way of every later try. */
	if (r == -EIO)
		(*partial)->spoilt = true;
	if (r == -EBADMSG)
		bl_partial_discard(partial);
	if (r < 0)
		return r;
	bl_sys_point("blob-hashed");
	/* Held before it can be seen, so that no collect comes in between. */
	r = bl_cachedir_hold(dirs, &digest, err);
	if (r < 0)
		return r;
	r = publish_hashed(*partial, &before, &digest, &is_new, err);
	if (r < 0)
		bl_cachedir_unhold(dirs, &digest);
	if (r == -EBADMSG)
		bl_partial_discard(partial);
	if (r < 0)
		return r;
	bl_partial_discard(partial);
	bl_sys_point("blob-clean");
	*ret = digest;
	*ret_new = is_new;
	return 0;
}

/* ---- Placing in a tree ---- */

static int copy_bytes(int from, int to, struct bl_digest *ret, struct bl_err *err)
{
	auto_digest_stream stream = bl_digest_stream_new();
	auto_free char *piece = malloc(PIECE);

	if (!stream || !piece)
		return bl_err_nomem(err);
	for (;;) {
		ssize_t n = bl_sys_read(from, piece, PIECE);
		int r = n > 0 ? bl_sys_write_all(to, piece, (size_t)n) : (int)n;

		if (r < 0)
			return bl_cachedir_err(err, -r, "copy of a blob");
		if (n == 0)
			return bl_digest_stream_finish(stream, ret, err);
		r = bl_digest_stream_add(stream, piece, (size_t)n, err);
		if (r < 0)
			return r;
	}
}

static int copy_checked(struct bl_cachedir *dirs, const struct bl_digest *digest, int to,
			struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	struct bl_digest found;
	auto_fd from = -1;
	int r;

	blob_path(digest, path);
	from = bl_sys_openat(dirs->blobs, path, O_RDONLY | O_NOFOLLOW, 0);
	if (from < 0)
		return bl_cachedir_err(err, -from, "blob '%s'", path);
	r = copy_bytes(from, to, &found, err);
	if (r < 0)
		return r;
	if (!bl_digest_equal(&found, digest))
		return damaged(dirs, digest, "does not have its digest", err);
	r = bl_sys_fchmod(to, 0444);
	if (r == 0)
		r = bl_sys_fsync(to);
	return r < 0 ? bl_cachedir_err(err, -r, "copy of a blob") : 0;
}

static int place_copy(struct bl_cachedir *dirs, const struct bl_digest *digest, int dirfd,
		      const char *name, struct bl_err *err)
{
	auto_fd to = bl_sys_openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	int r;

	if (to < 0)
		return bl_cachedir_err(err, -to, "create a copy");
	r = copy_checked(dirs, digest, to, err);
	if (r < 0)
		(void)bl_sys_unlinkat(dirfd, name, 0);
	return r;
}

/* The copy at `name` becomes the blob that later trees link to. Where it fails, they copy too. */
static void renew(struct bl_cachedir *dirs, const struct bl_digest *digest, int dirfd,
		  const char *name)
{
	char temporary[BL_CACHEDIR_NAME];
	char path[BL_CACHEDIR_NAME];

	blob_path(digest, path);
	bl_cachedir_name(dirs, "file", temporary);
	if (bl_sys_linkat(dirfd, name, dirs->partial, temporary, 0) < 0)
		return;
	bl_sys_point("blob-renewed");
	if (bl_sys_renameat2(dirs->partial, temporary, dirs->blobs, path, 0) < 0)
		(void)bl_sys_unlinkat(dirs->partial, temporary, 0);
}

int bl_blob_place(struct bl_cachedir *dirs, const struct bl_digest *digest, uint64_t size,
		  int dirfd, const char *name, struct bl_err *err)
{
	char path[BL_CACHEDIR_NAME];
	int r = bl_blob_check(dirs, digest, size, err);
	int linked;

	if (r < 0)
		return r;
	blob_path(digest, path);
	linked = bl_sys_linkat(dirs->blobs, path, dirfd, name, 0);
	if (linked == 0)
		return 0;
	if (!is_unable(linked))
		return bl_cachedir_err(err, -linked, "link to blob '%s'", path);
	r = place_copy(dirs, digest, dirfd, name, err);
	if (r == 0 && linked == -EMLINK)
		renew(dirs, digest, dirfd, name);
	return r;
}
