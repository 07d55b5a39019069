// SPDX-License-Identifier: Apache-2.0
/*
 * A ref stands also where its tree has gone. Whoever asks for a source with ever other patterns or revisions
 * would leave refs without end: so each tenant keeps its latest ones of those, within a bound. Tenants come and go
 * as well, and ever other patterns may give the same tree: so there is a larger one for all tenants' together,
 * and for a tenant's whose trees are there. By the latest of each of these trees it is known for the tenant's, and
 * counts to its quota: that one stays.
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

#define LARGER 16 /* times the bound of a tenant's refs without a tree */

struct known {
	char name[BL_DIGEST_HEX];
	char *tenant;
	struct bl_digest tree;
	int64_t resolved_at;
	uint64_t bytes;
	bool there;  /* its tree */
	bool latest; /* of its tenant's to that tree */
	bool gone;   /* the ref, by now */
};

struct look {
	struct bl_cachedir *dirs;
	const bool *stop; /* or NULL */
	struct known *list;
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
	int r;

	if (look->stop && __atomic_load_n(look->stop, __ATOMIC_RELAXED))
		return bl_err_set(err, BL_EX_RETRY, ECANCELED, "stopped");
	bl_digest_to_hex(&ref->manifest, hex);
	r = bl_sys_fstatat(look->dirs->trees, hex, &st, AT_SYMLINK_NOFOLLOW);
	if (look->count == look->room) {
		size_t room = look->room * 2 + 64;
		struct known *list = reallocarray(look->list, room, sizeof(*list));

		if (!list)
			return bl_err_nomem(err);
		look->list = list;
		look->room = room;
	}
	look->list[look->count] = (struct known){.tenant = strdup(ref->tenant),
						 .tree = ref->manifest,
						 .resolved_at = ref->resolved_at,
						 .there = r != -ENOENT,
						 .bytes = size_of(look->dirs, ref->name)};
	if (!look->list[look->count].tenant)
		return bl_err_nomem(err);
	memcpy(look->list[look->count++].name, ref->name, BL_DIGEST_HEX);
	return 0;
}

static int by_age(const struct known *x, const struct known *y)
{
	int r = (x->resolved_at < y->resolved_at) - (x->resolved_at > y->resolved_at);

	return r ? r : strcmp(x->name, y->name);
}

/* By tenant and tree, the latest first. */
static int by_tree(const void *a, const void *b)
{
	const struct known *x = a;
	const struct known *y = b;
	int r = strcmp(x->tenant, y->tenant);

	r = r ? r : bl_digest_compare(&x->tree, &y->tree);
	return r ? r : by_age(x, y);
}

/* By tenant, and whether their trees are there; the latest first. */
static int by_tenant(const void *a, const void *b)
{
	const struct known *x = a;
	const struct known *y = b;
	int r = strcmp(x->tenant, y->tenant);

	r = r ? r : x->there - y->there;
	return r ? r : by_age(x, y);
}

/* Those without a tree, the latest first. */
static int by_there(const void *a, const void *b)
{
	const struct known *x = a;
	const struct known *y = b;
	int r = x->there - y->there;

	return r ? r : by_age(x, y);
}

static void find_latest(struct known *list, size_t count)
{
	qsort(list, count, sizeof(*list), by_tree);
	for (size_t i = 0; i < count; i++)
		list[i].latest = i == 0 || strcmp(list[i].tenant, list[i - 1].tenant) != 0 ||
				 !bl_digest_equal(&list[i].tree, &list[i - 1].tree);
}

static bool is_alike(const struct known *x, const struct known *y)
{
	return x->there == y->there && strcmp(x->tenant, y->tenant) == 0;
}

/* Removes of `count` refs, sorted, what is beyond the bound. */
static int trim(struct bl_cachedir *dirs, struct known *list, size_t count,
		const struct bl_ref_bound *bound, uint64_t *removed, struct bl_err *err)
{
	uint64_t kept = 0;
	uint64_t bytes = 0;

	for (size_t i = 0; i < count; i++) {
		int r;

		if (list[i].gone)
			continue;
		kept++;
		bytes += list[i].bytes;
		if ((kept <= bound->count && bytes <= bound->bytes) ||
		    (list[i].there && list[i].latest))
			continue;
		r = bl_ref_remove(dirs, list[i].name, &list[i].tree, list[i].there, err);
		if (r < 0)
			return r;
		list[i].gone = true;
		++*removed;
	}
	return 0;
}

static int trim_all(const struct look *look, const struct bl_ref_bound *bound, uint64_t *removed,
		    struct bl_err *err)
{
	const struct bl_ref_bound larger = {bound->count * LARGER, bound->bytes * LARGER};
	struct known *list = look->list;
	size_t first = 0;
	int r = 0;

	if (look->count == 0)
		return 0;
	find_latest(list, look->count);
	qsort(list, look->count, sizeof(*list), by_tenant);
	for (size_t i = 1; r == 0 && i <= look->count; i++) {
		if (i < look->count && is_alike(&list[first], &list[i]))
			continue;
		r = trim(look->dirs, list + first, i - first, list[first].there ? &larger : bound,
			 removed, err);
		first = i;
	}
	if (r < 0)
		return r;
	qsort(list, look->count, sizeof(*list), by_there);
	for (first = 0; first < look->count && !list[first].there;)
		first++;
	return trim(look->dirs, list, first, &larger, removed, err);
}

int bl_ref_trim(struct bl_cachedir *dirs, const struct bl_ref_bound *bound, const bool *stop,
		uint64_t *removed, struct bl_err *err)
{
	auto_look look = {.dirs = dirs, .stop = stop};
	int r = is_large(dirs, bound);

	if (r <= 0)
		return r < 0 ? bl_cachedir_err(err, -r, "read 'refs'") : 0;
	r = bl_ref_each(dirs, take, &look, err);
	return r < 0 ? r : trim_all(&look, bound, removed, err);
}
