// SPDX-License-Identifier: Apache-2.0
/*
 * Taking trees away: at an operator's word, with the refs to them, or because they are damaged.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cachedir.h"
#include "agent/manifest.h"
#include "agent/ref.h"
#include "agent/store_impl.h"
#include "agent/tree.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

/* ---- On a worker ---- */

struct removal {
	struct bl_cachedir *dirs;
	const struct bl_digest *tree;
};

static int remove_if_to(void *context, const struct bl_ref *ref, struct bl_err *err)
{
	const struct removal *removal = context;

	return bl_digest_equal(&ref->manifest, removal->tree)
		       ? bl_ref_remove(removal->dirs, ref->name, removal->tree, false, err)
		       : 0;
}

int bl_store_refs_remove(struct bl_cachedir *dirs, const struct bl_digest *tree, struct bl_err *err)
{
	struct removal removal = {.dirs = dirs, .tree = tree};
	int r;

	bl_sys_point("tree-refs");
	r = bl_ref_each(dirs, remove_if_to, &removal, err);
	if (r < 0)
		return r;
	r = bl_sys_fsync(dirs->refs);
	return r < 0 ? bl_cachedir_err(err, -r, "fsync of 'refs'") : 0;
}

static int is_blob(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	(void)err;
	return bl_digest_equal(context, &entry->digest) ? -EEXIST : 0;
}

/* 1 where its manifest has the blob; 0 where it has not, or there is none that could be used; else what keeps it
 * from being read. */
static int has_blob(struct bl_cachedir *dirs, const struct bl_digest *tree,
		    const struct bl_digest *blob, struct bl_err *err)
{
	struct bl_digest wanted = *blob;
	char name[BL_CACHEDIR_NAME];
	int r;

	bl_store_manifest_name(tree, name);
	r = bl_manifest_walk(dirs->manifests, name, NULL, is_blob, &wanted, err);
	if (r == -EEXIST)
		return 1;
	return r == -ENOENT || r == -EBADMSG ? 0 : r;
}

static int add_tree(struct bl_store_trees *trees, const struct bl_digest *tree, struct bl_err *err)
{
	if (trees->count == trees->room) {
		size_t room = trees->room * 2 + 16;
		struct bl_digest *list = reallocarray(trees->list, room, sizeof(*list));

		if (!list)
			return bl_err_nomem(err);
		trees->list = list;
		trees->room = room;
	}
	trees->list[trees->count++] = *tree;
	return 0;
}

int bl_store_blob_trees(struct bl_cachedir *dirs, const struct bl_digest *blob, const bool *stop,
			struct bl_store_trees *ret, struct bl_err *err)
{
	const struct dirent *file;
	auto_dir dir = NULL;
	int unread = 0;
	int r = bl_fs_list(dirs->trees, ".", &dir);

	if (r < 0)
		return bl_err_sys(err, -r, "read 'trees'");
	bl_sys_point("blob-trees");
	while ((r = bl_sys_readdir(dir, &file)) > 0) {
		struct bl_err found = {0};
		struct bl_digest tree;

		if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
			return bl_err_set(err, BL_EX_RETRY, ECANCELED, "stopped");
		if (bl_digest_from_hex(file->d_name, &tree) < 0)
			continue;
		r = has_blob(dirs, &tree, blob, &found);
		if (r > 0)
			r = add_tree(ret, &tree, &found);
		if (r < 0 && unread == 0) {
			unread = r;
			if (err)
				*err = found;
		}
	}
	return r < 0 ? bl_err_sys(err, -r, "read 'trees'") : unread;
}

/* ---- On the loop ---- */

int bl_store_tree_remove(struct bl_store *store, const struct bl_digest *name, struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_present(store, name);
	char hex[BL_DIGEST_HEX];
	int r;

	if (!entry)
		return bl_store_no_tree(name, err);
	bl_digest_to_hex(name, hex);
	if (entry->leases > 0 || entry->holds > 0)
		return bl_err_set(
			err, BL_EX_REFUSED, EBUSY,
			"tree %s is in use, or held for a container that ended less than "
			"lease_grace ago: ballast status tells; try again when it is free",
			hex);
	if (entry->pinned)
		return bl_err_set(err, BL_EX_REFUSED, EBUSY,
				  "tree %s is pinned: unpin it first, by ballast pin --remove",
				  hex);
	r = bl_tree_retire(store->dirs, name, false, err);
	if (r < 0)
		return r;
	store->retired++;
	entry->present = false;
	bl_store_entry_tidy(store, entry);
	return 0;
}

int bl_store_tree_condemn(struct bl_store *store, const struct bl_digest *name, struct bl_err *err)
{
	struct bl_store_entry *entry = bl_store_entry_present(store, name);
	int r;

	if (!entry)
		return 0;
	r = bl_tree_retire(store->dirs, name, true, err);
	if (r < 0)
		return r;
	store->retired++;
	entry->present = false;
	entry->sized = false;
	bl_store_entry_tidy(store, entry);
	return 0;
}

int bl_store_trees_condemn(struct bl_store *store, const struct bl_store_trees *trees,
			   struct bl_err *err)
{
	int condemned = 0;

	for (size_t i = 0; i < trees->count; i++) {
		int r;

		if (!bl_store_entry_present(store, &trees->list[i]))
			continue;
		r = bl_store_tree_condemn(store, &trees->list[i], err);
		if (r < 0)
			return r;
		condemned++;
	}
	return condemned;
}

void bl_store_trees_done(struct bl_store_trees *trees)
{
	free(trees->list);
	*trees = (struct bl_store_trees){0};
}
