// SPDX-License-Identifier: Apache-2.0
#include "agent/scrub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "agent/blob.h"
#include "agent/cachedir.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

void bl_scrub_init(struct bl_scrub *scrub)
{
	*scrub = (struct bl_scrub){0};
}

/* The least name in the directory `fan` that comes after `last` (NULL: the least). 1, or 0. */
static int next_in(struct bl_cachedir *dirs, const char *fan, const struct bl_digest *last,
		   struct bl_digest *ret, struct bl_err *err)
{
	const struct dirent *entry;
	bool found = false;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->blobs, fan, &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read 'blobs/sha256/%s'", fan);
	while ((r = bl_sys_readdir(dir, &entry)) > 0) {
		struct bl_digest digest;

		if (bl_digest_from_hex(entry->d_name, &digest) < 0 ||
		    (last && bl_digest_compare(&digest, last) <= 0) ||
		    (found && bl_digest_compare(&digest, ret) >= 0))
			continue;
		*ret = digest;
		found = true;
	}
	return r < 0 ? bl_err_sys(err, -r, "read 'blobs/sha256/%s'", fan) : found;
}

static int next(struct bl_scrub *scrub, struct bl_cachedir *dirs, struct bl_digest *ret,
		struct bl_err *err)
{
	for (unsigned i = scrub->started ? scrub->last.bytes[0] : 0; i < 256; i++) {
		const struct bl_digest *last =
			scrub->started && i == scrub->last.bytes[0] ? &scrub->last : NULL;
		char fan[3];
		int r;

		(void)snprintf(fan, sizeof(fan), "%02x", i);
		r = next_in(dirs, fan, last, ret, err);
		if (r > 0)
			return r;
		/* The others are looked at all the same. */
		if (r < 0)
			scrub->failed = r;
	}
	return 0;
}

/* Its size, for the count alone. */
static uint64_t size_of(const struct bl_cachedir *dirs, const struct bl_digest *blob)
{
	char hex[BL_DIGEST_HEX];
	char path[BL_CACHEDIR_NAME];
	struct stat st;

	bl_digest_to_hex(blob, hex);
	(void)snprintf(path, sizeof(path), "%.2s/%s", hex, hex);
	return bl_sys_fstatat(dirs->blobs, path, &st, AT_SYMLINK_NOFOLLOW) == 0
		       ? (uint64_t)st.st_size
		       : 0;
}

int bl_scrub_step(struct bl_scrub *scrub, struct bl_cachedir *dirs,
		  const struct bl_digest_pace *pace, struct bl_digest *ret_blob, struct bl_err *err)
{
	struct bl_digest blob;
	uint64_t size;
	int r;

	if (!scrub->started)
		scrub->failed = 0;
	r = next(scrub, dirs, &blob, err);
	if (r == 0) {
		scrub->started = false;
		scrub->rounds++;
		return 0;
	}
	size = size_of(dirs, &blob);
	r = bl_blob_verify(dirs, &blob, pace, err);
	if (r == -ECANCELED)
		return r;
	scrub->last = blob;
	scrub->started = true;
	scrub->blobs++;
	scrub->bytes += size;
	if (r == -EBADMSG) {
		scrub->bad++;
		*ret_blob = blob;
	}
	return r == 0 || r == -ENOENT ? 1 : r;
}
