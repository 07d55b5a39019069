// SPDX-License-Identifier: Apache-2.0
#include "agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/blob.h"
#include "agent/cachedir.h"
#include "agent/manifest.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"

#define DEPTH_MAX (BL_MANIFEST_PATH_MAX / 2 + 1)

/* ---- Building ---- */

/*
 * The directories from the tree's top down to the file in hand. The files come in byte order of
 * their paths, so those of a directory stand together: on the way out of it, it is complete, and
 * is made read-only, durable and closed.
 */
struct builder {
	struct bl_cachedir *dirs;
	char path[BL_MANIFEST_PATH_MAX + 1]; /* of the innermost directory, "" at the top */
	int *fds;
	size_t depth; /* fds[0] is the top */
};

/* The innermost directory is complete. */
static int leave(struct builder *builder, struct bl_err *err)
{
	int fd = builder->fds[--builder->depth];
	char *slash = strrchr(builder->path, '/');
	int r = bl_sys_fchmod(fd, 0555);

	if (r == 0)
		r = bl_sys_fsync(fd);
	(void)close(fd);
	if (slash)
		*slash = '\0';
	else
		builder->path[0] = '\0';
	return r < 0 ? bl_cachedir_err(err, -r, "fsync of a directory") : 0;
}

static int enter(struct builder *builder, const char *name, size_t len, struct bl_err *err)
{
	int above = builder->fds[builder->depth - 1];
	size_t at = strlen(builder->path);
	char part[256];
	int fd;

	(void)snprintf(part, sizeof(part), "%.*s", (int)len, name);
	fd = bl_sys_mkdirat(above, part, 0755);
	if (fd == 0 || fd == -EEXIST)
		fd = bl_sys_openat(above, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return bl_cachedir_err(err, -fd, "make directory '%s'", part);
	builder->fds[builder->depth++] = fd;
	(void)snprintf(builder->path + at, sizeof(builder->path) - at, "%s%s", at > 0 ? "/" : "",
		       part);
	return 0;
}

/* Whether the innermost directory is one that path lies in (at any depth). */
static bool is_within(const struct builder *builder, const char *path)
{
	size_t len = strlen(builder->path);

	return len == 0 || (strncmp(builder->path, path, len) == 0 && path[len] == '/');
}

/* Goes to the directory of path; its last part is *ret_name. */
static int go_to(struct builder *builder, const char *path, const char **ret_name,
		 struct bl_err *err)
{
	const char *part;
	int r = 0;

	while (r == 0 && !is_within(builder, path))
		r = leave(builder, err);
	part = path + strlen(builder->path);
	part += *part == '/' && part > path;
	for (const char *slash = strchr(part, '/'); r == 0 && slash; slash = strchr(part, '/')) {
		r = enter(builder, part, (size_t)(slash - part), err);
		part = slash + 1;
	}
	*ret_name = part;
	return r;
}

static int fill(struct builder *builder, const struct bl_manifest *manifest, struct bl_err *err)
{
	for (size_t i = 0; i < manifest->count; i++) {
		const struct bl_manifest_file *file = &manifest->files[i];
		const char *name;
		int r = go_to(builder, file->path, &name, err);

		if (r == 0)
			r = bl_blob_place(builder->dirs, &file->sha256, file->size,
					  builder->fds[builder->depth - 1], name, err);
		if (r < 0) {
			bl_err_wrap(err, "'%s': ", file->path);
			return r;
		}
	}
	return 0;
}

/* Fills the new directory `name` in partial/ and makes all of it durable. */
static int build_in(struct builder *builder, const char *name, const struct bl_manifest *manifest,
		    struct bl_err *err)
{
	int r = bl_sys_mkdirat(builder->dirs->partial, name, 0755);
	int fd;

	fd = r < 0 ? r
		   : bl_sys_openat(builder->dirs->partial, name,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return bl_cachedir_err(err, -fd, "make a tree");
	bl_sys_point("tree-begun");
	builder->fds[builder->depth++] = fd;
	r = fill(builder, manifest, err);
	bl_sys_point("tree-filled");
	while (builder->depth > 0) {
		int left = leave(builder, r < 0 ? NULL : err);

		r = r < 0 ? r : left;
	}
	if (r == 0)
		bl_sys_point("tree-synced");
	return r;
}

static int build(struct bl_cachedir *dirs, const char *name, const struct bl_manifest *manifest,
		 struct bl_err *err)
{
	auto_free struct builder *builder = calloc(1, sizeof(*builder));
	auto_free int *fds = calloc(DEPTH_MAX, sizeof(*fds));

	if (!builder || !fds)
		return bl_err_nomem(err);
	builder->dirs = dirs;
	builder->fds = fds;
	return build_in(builder, name, manifest, err);
}

/* Retires what stands in the way of the tree, then gives it the name, durably. */
static int show(struct bl_cachedir *dirs, const char *name, const struct bl_digest *tree,
		struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];
	int r;

	bl_digest_to_hex(tree, hex);
	r = bl_tree_retire(dirs, tree, true, err);
	if (r < 0)
		return r;
	r = bl_cachedir_show(dirs, name, dirs->trees, hex);
	if (r < 0)
		return bl_cachedir_err(err, -r, "name of tree %s", hex);
	bl_sys_point("tree-visible");
	r = bl_sys_fsync(dirs->trees);
	if (r < 0)
		return bl_cachedir_err(err, -r, "fsync of 'trees'");
	bl_sys_point("tree-durable");
	return 0;
}

static int publish(struct bl_cachedir *dirs, const struct bl_manifest *manifest,
		   const struct bl_digest *tree, struct bl_err *err)
{
	char name[BL_CACHEDIR_NAME];
	struct bl_tree_size size;
	uint32_t before = __atomic_load_n(&dirs->quarantined, __ATOMIC_SEQ_CST);
	int r = bl_manifest_publish(dirs, manifest, tree, err);

	if (r < 0)
		return r;
	if (bl_tree_check(dirs, tree, &size, NULL) == 0) {
		/* Whoever gave it the name may have died before this. */
		r = bl_sys_fsync(dirs->trees);
		return r < 0 ? bl_cachedir_err(err, -r, "fsync of 'trees'") : 0;
	}
	bl_cachedir_name(dirs, "tree", name);
	r = build(dirs, name, manifest, err);
	if (r == 0)
		r = show(dirs, name, tree, err);
	if (r < 0)
		(void)bl_fs_remove_tree(dirs->partial, name, NULL);
	/* Whoever found damage looked for trees that have it, and this one may have had no name then. */
	if (r == 0 && __atomic_load_n(&dirs->quarantined, __ATOMIC_SEQ_CST) != before) {
		r = bl_tree_retire(dirs, tree, true, err);
		if (r == 0)
			r = bl_err_set(err, BL_EX_RETRY, EBADMSG,
				       "content was found damaged while the tree was made of it");
	}
	return r;
}

int bl_tree_publish(struct bl_cachedir *dirs, const struct bl_manifest *manifest,
		    struct bl_digest *ret, struct bl_err *err)
{
	struct bl_digest tree;
	int r = bl_manifest_digest(manifest, &tree, err);

	/* Held, so that its manifest is not taken for an orphan before the tree is there. */
	if (r == 0)
		r = bl_cachedir_hold(dirs, &tree, err);
	if (r < 0)
		return r;
	r = publish(dirs, manifest, &tree, err);
	bl_cachedir_unhold(dirs, &tree);
	if (r == 0)
		*ret = tree;
	return r;
}

/* ---- Checking ---- */

struct checker {
	struct bl_cachedir *dirs;
	int top;
	struct bl_tree_size size;
	uint64_t directories;		       /* beneath the top */
	char parent[BL_MANIFEST_PATH_MAX + 1]; /* the directory that was looked at last */
};

static int tree_is(struct bl_err *err, const char *path, const char *wrong)
{
	return bl_err_set(err, BL_EX_RETRY, EBADMSG, "'%s' %s", path, wrong);
}

static int check_directory(const struct checker *checker, const char *path, struct bl_err *err)
{
	struct stat st;
	int r = bl_sys_fstatat(checker->top, path, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);

	if (r < 0)
		return bl_cachedir_err(err, -r, "'%s'", path);
	if (!S_ISDIR(st.st_mode))
		return tree_is(err, path, "is no directory");
	if (st.st_uid != checker->dirs->owner || (st.st_mode & 07777) != 0555)
		return tree_is(err, path, "is not ours with mode 0555");
	return 0;
}

/* In byte order of the paths what lies in a directory stands together: so each is counted once. */
static void count_directory(struct checker *checker, const char *path)
{
	size_t len = strlen(path);
	const char *rest = checker->parent + len;

	checker->directories += strncmp(checker->parent, path, len) != 0 || (*rest && *rest != '/');
}

/* Every directory on the way, once for the files that it has in a row. */
static int check_parents(struct checker *checker, const char *path, struct bl_err *err)
{
	const char *last = strrchr(path, '/');
	size_t len = last ? (size_t)(last - path) : 0;
	char parent[BL_MANIFEST_PATH_MAX + 1];

	memcpy(parent, path, len);
	parent[len] = '\0';
	if (len == 0 || strcmp(parent, checker->parent) == 0)
		return 0;
	for (char *slash = parent; slash; slash = strchr(slash + 1, '/')) {
		int r;

		if (slash == parent)
			continue;
		*slash = '\0';
		count_directory(checker, parent);
		r = check_directory(checker, parent, err);
		*slash = '/';
		if (r < 0)
			return r;
	}
	count_directory(checker, parent);
	memcpy(checker->parent, parent, len + 1);
	return check_directory(checker, parent, err);
}

static int check_entry(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	struct checker *checker = context;
	struct stat st;
	int r = check_parents(checker, entry->path, err);

	if (r == 0)
		r = bl_sys_fstatat(checker->top, entry->path, &st, AT_SYMLINK_NOFOLLOW);
	if (r == -ENOENT || r == -ENOTDIR)
		return tree_is(err, entry->path, "is missing");
	if (r < 0)
		return r == -EBADMSG ? r : bl_cachedir_err(err, -r, "'%s'", entry->path);
	if (!S_ISREG(st.st_mode))
		return tree_is(err, entry->path, "is no regular file");
	if (st.st_uid != checker->dirs->owner || (st.st_mode & 07777) != 0444)
		return tree_is(err, entry->path, "is not ours with mode 0444");
	if ((uint64_t)st.st_size != entry->size)
		return tree_is(err, entry->path, "does not have its size");
	checker->size.files++;
	checker->size.bytes += entry->size;
	return 0;
}

/* Adds up what is in the directory fd and beneath it: what the manifest does not know of was put there by
 * somebody else. */
static int count_entries(int fd, unsigned depth, uint64_t *count, struct bl_err *err)
{
	const struct dirent *entry;
	auto_dir dir = NULL;
	int r = bl_fs_list(fd, ".", &dir);

	if (r < 0)
		return bl_cachedir_err(err, -r, "read directory");
	while ((r = bl_sys_readdir(dir, &entry)) > 0) {
		auto_fd sub = -1;

		sub = depth == 0 || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN)
			      ? -ENOTDIR
			      : bl_sys_openat(fd, entry->d_name,
					      O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		++*count;
		if (sub == -ENOTDIR || sub == -ELOOP)
			continue;
		if (sub < 0)
			return bl_cachedir_err(err, -sub, "'%s'", entry->d_name);
		r = count_entries(sub, depth - 1, count, err);
		if (r < 0)
			return r;
	}
	return r < 0 ? bl_cachedir_err(err, -r, "read directory") : 0;
}

static int open_tree(const struct bl_cachedir *dirs, const struct bl_digest *tree,
		     struct bl_err *err)
{
	char hex[BL_DIGEST_HEX];
	int fd;

	bl_digest_to_hex(tree, hex);
	fd = bl_sys_openat(dirs->trees, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ELOOP || fd == -ENOTDIR)
		return tree_is(err, hex, "is no directory");
	return fd < 0 ? bl_cachedir_err(err, -fd, "tree %s", hex) : fd;
}

int bl_tree_check(struct bl_cachedir *dirs, const struct bl_digest *tree,
		  struct bl_tree_size *ret_size, struct bl_err *err)
{
	auto_free struct checker *checker = calloc(1, sizeof(*checker));
	auto_fd top = open_tree(dirs, tree, err);
	uint64_t found = 0;
	int r;

	if (top < 0)
		return top;
	if (!checker)
		return bl_err_nomem(err);
	checker->dirs = dirs;
	checker->top = top;
	r = check_directory(checker, "", err);
	if (r == 0)
		r = bl_manifest_walk_tree(dirs, tree, check_entry, checker, err);
	/* A tree whose manifest is gone is no tree. */
	if (r == -ENOENT)
		r = -EBADMSG;
	if (r == 0)
		r = count_entries(top, DEPTH_MAX, &found, err);
	if (r == 0 && found != checker->size.files + checker->directories)
		return tree_is(err, "tree", "holds what its manifest does not have");
	if (r == 0)
		*ret_size = checker->size;
	return r;
}

struct verifier {
	struct bl_cachedir *dirs;
	const struct bl_digest_pace *pace;
	int top;
	bool damaged;
};

/* The tree's own file where it is the blob's inode or not: what is mounted is what counts. */
static int verify_entry(void *context, const struct bl_manifest_entry *entry, struct bl_err *err)
{
	struct verifier *verifier = context;
	auto_fd fd =
		bl_sys_openat(verifier->top, entry->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct bl_digest found;
	uint64_t size;
	int r = fd < 0 ? fd : bl_digest_file(fd, verifier->pace, &found, &size, err);

	if (r == -ECANCELED || r == -ENOMEM || r == -EMFILE || r == -ENFILE)
		return fd < 0 ? bl_cachedir_err(err, -r, "'%s'", entry->path) : r;
	if (r == 0 && bl_digest_equal(&found, &entry->digest) && size == entry->size)
		return 0;
	verifier->damaged = true;
	r = bl_blob_verify(verifier->dirs, &entry->digest, verifier->pace, err);
	return r < 0 && r != -EBADMSG && r != -ENOENT ? r : 0;
}

int bl_tree_verify(struct bl_cachedir *dirs, const struct bl_digest *tree,
		   const struct bl_digest_pace *pace, struct bl_err *err)
{
	struct verifier verifier = {.dirs = dirs, .pace = pace};
	struct bl_tree_size size;
	auto_fd top = open_tree(dirs, tree, err);
	int r;

	/* Nobody but a person at the disk takes one away that is held. */
	if (top == -ENOENT)
		return -EBADMSG;
	if (top < 0)
		return top;
	verifier.top = top;
	r = bl_manifest_walk_tree(dirs, tree, verify_entry, &verifier, err);
	if (r == -ENOENT)
		return -EBADMSG;
	if (r < 0)
		return r;
	if (verifier.damaged)
		return bl_err_set(err, BL_EX_RETRY, EBADMSG,
				  "files of the tree do not have their digests");
	return bl_tree_check(dirs, tree, &size, err);
}

/* ---- Retiring ---- */

int bl_tree_retire(struct bl_cachedir *dirs, const struct bl_digest *tree, bool keep_content,
		   struct bl_err *err)
{
	char what[sizeof("trash.") + BL_DIGEST_HEX] = "trash";
	char trash[BL_CACHEDIR_NAME];
	char list[BL_CACHEDIR_NAME + 8];
	char name[BL_CACHEDIR_NAME];
	char hex[BL_DIGEST_HEX];
	int r;

	bl_digest_to_hex(tree, hex);
	if (keep_content && bl_cachedir_is_held(dirs, tree))
		(void)snprintf(what, sizeof(what), "trash.%s", hex);
	bl_cachedir_name(dirs, what, trash);
	(void)snprintf(list, sizeof(list), "%s.json", trash);
	(void)snprintf(name, sizeof(name), "%s.json", hex);
	r = bl_sys_renameat2(dirs->trees, hex, dirs->partial, trash, 0);
	if (r < 0 && r != -ENOENT)
		return bl_cachedir_err(err, -r, "tree %s", hex);
	bl_sys_point("tree-retired");
	if (keep_content)
		return 0;
	r = bl_sys_renameat2(dirs->manifests, name, dirs->partial, list, 0);
	if (r < 0 && r != -ENOENT)
		return bl_cachedir_err(err, -r, "manifest %s", hex);
	bl_sys_point("manifest-retired");
	return 0;
}
