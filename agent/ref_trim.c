// SPDX-License-Identifier: Apache-2.0
/*
 * A ref stands also where its tree has gone. Whoever asks for a source with ever other patterns or revisions
 * would leave refs without end: so each tenant keeps its latest ones of those, within a bound.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/ref.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

/* A ref whose tree is not there. */
struct stale {
	char name[BL_DIGEST_HEX];
	char *tenant;
	struct bl_digest tree;
	int64_t resolved_at;
	uint64_t bytes;
};

struct look {
	struct bl_cachedir *dirs;
	const bool *stop; /* or NULL */
	struct stale *list;
	size_t count, room;
};

static void look_done(struct look *look)
{
	for (size_t i = 0; i < look->count; i++)
		free(look->list[i].tenant);
	free(look->list);
}
#define auto_look __attribute__((cleanup(look_done))) struct look

/* Whether refs/ may hold more than one tenant's bound: refs need not be read to say no. */
static int is_large(const struct bl_cachedir *dirs, const struct bl_ref_bound *bound)
{
	const struct dirent *file;
	uint64_t count = 0;
	uint64_t bytes = 0;
	auto_dir dir = NULL;
	int r = bl_fs_list(dirs->refs, ".", &dir);

	while (r == 0 && (r = bl_sys_readdir(dir, &file)) > 0) {
		struct stat st;

		r = 0;
		if (bl_sys_fstatat(dirs->refs, file->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		count++;
		bytes += (uint64_t)st.st_size;
	}
	return r < 0 ? r : count > bound->count || bytes > bound->bytes;
}

static uint64_t size_of(const struct bl_cachedir *dirs, const char *name)
{
	char file[BL_DIGEST_HEX + sizeof(".json")];
	struct stat st;

	(void)snprintf(file, sizeof(file), "%s.json", name);
	return bl_sys_fstatat(dirs->refs, file, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : (uint64_t)st.st_size;
}

static int take(void *context, const struct bl_ref *ref, struct bl_err *err)
{
	struct look *look = context;
	char hex[BL_DIGEST_HEX];
	struct stat st;

	if (look->stop && __atomic_load_n(look->stop, __ATOMIC_RELAXED))
		return bl_err_set(err, BL_EX_RETRY, ECANCELED, "stopped");
	bl_digest_to_hex(&ref->manifest, hex);
	if (bl_sys_fstatat(look->dirs->trees, hex, &st, AT_SYMLINK_NOFOLLOW) != -ENOENT)
		return 0;
	if (look->count == look->room) {
		size_t room = look->room * 2 + 64;
		struct stale *list = reallocarray(look->list, room, sizeof(*list));

		if (!list)
			return bl_err_nomem(err);
		look->list = list;
		look->room = room;
	}
	look->list[look->count] = (struct stale){.tenant = strdup(ref->tenant),
						 .tree = ref->manifest,
						 .resolved_at = ref->resolved_at,
						 .bytes = size_of(look->dirs, ref->name)};
	if (!look->list[look->count].tenant)
		return bl_err_nomem(err);
	memcpy(look->list[look->count++].name, ref->name, BL_DIGEST_HEX);
	return 0;
}

/* By tenant, the latest first. */
static int compare(const void *a, const void *b)
{
	const struct stale *x = a;
	const struct stale *y = b;
	int r = strcmp(x->tenant, y->tenant);

	if (r == 0)
		r = (x->resolved_at < y->resolved_at) - (x->resolved_at > y->resolved_at);
	return r ? r : strcmp(x->name, y->name);
}

int bl_ref_trim(struct bl_cachedir *dirs, const struct bl_ref_bound *bound, const bool *stop,
		uint64_t *removed, struct bl_err *err)
{
	auto_look look = {.dirs = dirs, .stop = stop};
	uint64_t count = 0;
	uint64_t bytes = 0;
	int r = is_large(dirs, bound);

	if (r <= 0)
		return r < 0 ? bl_cachedir_err(err, -r, "read 'refs'") : 0;
	r = bl_ref_each(dirs, take, &look, err);
	if (look.count)
		qsort(look.list, look.count, sizeof(*look.list), compare);
	for (size_t i = 0; r == 0 && i < look.count; i++) {
		const struct stale *at = &look.list[i];

		if (i == 0 || strcmp(at->tenant, at[-1].tenant) != 0)
			count = bytes = 0;
		count++;
		bytes += at->bytes;
		if (count <= bound->count && bytes <= bound->bytes)
			continue;
		r = bl_ref_remove_stale(dirs, at->name, &at->tree, err);
		*removed += r == 0;
	}
	return r;
}
