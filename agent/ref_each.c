// SPDX-License-Identifier: Apache-2.0
/*
 * A look at all refs: who has what of the cache stands nowhere else.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/ref.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

/* "<hex>.json" */
static bool is_name(const char *file, char hex[BL_DIGEST_HEX])
{
	struct bl_digest digest;

	(void)snprintf(hex, BL_DIGEST_HEX, "%.64s", file);
	return bl_digest_from_hex(hex, &digest) == 0 &&
	       strcmp(file + BL_DIGEST_HEX - 1, ".json") == 0;
}

int bl_ref_each(struct bl_cachedir *dirs, bl_ref_fn *found, void *context, struct bl_err *err)
{
	const struct dirent *file;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->refs, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read 'refs'");
	while ((r = bl_sys_readdir(dir, &file)) > 0) {
		auto_ref ref = {0};
		char hex[BL_DIGEST_HEX];

		/* What cannot be read says nothing of any tree. */
		if (!is_name(file->d_name, hex) || bl_ref_load(dirs, hex, &ref, NULL) < 0)
			continue;
		r = found(context, &ref, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? bl_err_sys(err, -r, "read 'refs'") : 0;
}
