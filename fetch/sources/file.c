/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file:///path: a directory of this node, below a root that the operator allows. Links are followed
 * as long as they stay below that root (a Hub client's own cache consists of them). What a file
 * promises is its inode, time and size, looked at again when its bytes are taken.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"
#include "fetch/name.h"
#include "fetch/shelf.h"
#include "fetch/sources/source.h"

#define MAX_VISITED BL_MAX_FILES /* links can make few directories into any number */

struct local {
	const struct bl_source_input *input;
	int root;	/* the root it lies beneath */
	char *relative; /* path below the root; "." for the root itself */
	bool single;	/* the path is a file, not a directory */
	size_t visited; /* entries of directories, in one listing */
};

static void local_close(void *state)
{
	struct local *local = state;

	bl_cleanup_fd(&local->root);
	free(local->relative);
	free(local);
}

static void local_free(struct local **local)
{
	if (*local)
		local_close(*local);
}

/* What follows the root in path, NULL where path does not lie in it. */
static const char *below(const char *path, const char *root)
{
	size_t len = strlen(root);

	while (len > 1 && root[len - 1] == '/')
		len--;
	if (strncmp(path, root, len) != 0 || (len > 1 && path[len] && path[len] != '/'))
		return NULL;
	path += len;
	return path + strspn(path, "/");
}

static int choose_root(struct local *local, const char *path, struct bl_err *err)
{
	const char *const *roots = bl_net_file_roots(bl_http_net(local->input->http));
	const char *best = NULL, *rest = NULL;

	for (; roots && *roots; roots++) {
		const char *candidate = below(path, *roots);

		if (candidate && (!rest || strlen(candidate) < strlen(rest))) {
			rest = candidate;
			best = *roots;
		}
	}
	if (!best)
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "file://%.300s lies in no directory that the operator allows; "
				  "add one to file_roots in the agent's configuration",
				  path);
	local->root = bl_sys_openat(AT_FDCWD, best, O_PATH | O_DIRECTORY, 0);
	if (local->root < 0)
		return bl_err_set(err, BL_EX_CONFIG, EINVAL, "file_roots: '%.200s': %s", best,
				  strerror(-local->root));
	local->relative = strdup(*rest ? rest : ".");
	return local->relative ? 0 : bl_err_nomem(err);
}

static int open_at(const struct local *local, const char *path, int flags, struct bl_err *err)
{
	int fd = bl_sys_openat2(local->root, path, flags, 0,
				BL_RESOLVE_BENEATH | BL_RESOLVE_NO_MAGICLINKS);

	if (fd >= 0)
		return fd;
	switch (-fd) {
	case ENOENT:
	case ENOTDIR:
		return bl_err_set(err, BL_EX_CONFIG, ENOENT,
				  "there is no '%.300s' below its file root; check the path", path);
	case EXDEV:
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "'%.300s' leads out of its file root by a link: refused", path);
	case ELOOP:
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "'%.300s' goes round in a circle of links, or through more than "
				  "the kernel follows: refused; take the link away",
				  path);
	case EACCES:
		return bl_err_set(err, BL_EX_REFUSED, EPERM,
				  "'%.300s' may not be read by the fetching user; give it read "
				  "access",
				  path);
	default:
		return bl_err_set(err, BL_EX_RETRY, EIO, "'%.300s': %s", path, strerror(-fd));
	}
}

static int local_open(const struct bl_source_input *input, void **ret, struct bl_err *err)
{
	__attribute__((cleanup(local_free))) struct local *local = calloc(1, sizeof(*local));
	struct stat st;

	if (!local)
		return bl_err_nomem(err);
	local->input = input;
	local->root = -1;
	int rc = choose_root(local, input->item->source.path, err);
	if (rc < 0)
		return rc;
	auto_fd fd = open_at(local, local->relative, O_PATH, err);
	if (fd < 0)
		return fd;
	if ((rc = bl_sys_fstat(fd, &st)) < 0)
		return bl_err_sys(err, -rc, "stat '%.200s'", local->relative);
	local->single = S_ISREG(st.st_mode);
	if (!local->single && !S_ISDIR(st.st_mode))
		return bl_err_config(err, "file://%.300s is neither a directory nor a file",
				     input->item->source.path);
	*ret = TAKE_PTR(local);
	return 0;
}

/* ---- Listing ---- */

static void describe(const struct stat *st, char *etag, size_t size)
{
	snprintf(etag, size, "\"%llx-%llx-%lld.%09ld\"", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino, (long long)st->st_mtim.tv_sec,
		 st->st_mtim.tv_nsec);
}

static int add_file(struct bl_manifest *manifest, const char *path, const struct stat *st,
		    struct bl_err *err)
{
	char etag[80];
	struct bl_entry entry = {.path = path, .size = st->st_size, .etag = etag};

	describe(st, etag, sizeof(etag));
	return bl_manifest_add(manifest, &entry, err);
}

static int join(char *to, size_t size, const char *directory, const char *name, struct bl_err *err)
{
	int len = snprintf(to, size, "%s%s%s", directory, *directory ? "/" : "", name);

	if (len < 0 || (size_t)len >= size)
		return bl_err_set(err, BL_EX_CONFIG, EBADMSG, "'%.100s...': the path is too long",
				  directory);
	return 0;
}

/* What a pull by hand into this directory left there for the next one is none of its files. */
static bool is_pulls(const char *path, const char *name)
{
	return !*path && strcmp(name, BL_SHELF_NAME) == 0;
}

static int too_many(const struct local *local, struct bl_err *err)
{
	return bl_err_set(err, BL_EX_CONFIG, EFBIG,
			  "file://%.200s has more than %d entries, counted again by each link that "
			  "leads to them; name a deeper path",
			  local->input->item->source.path, MAX_VISITED);
}

/* Adds what lies in the directory `path` ("" at first) below the source, deepest last. */
static int walk(struct local *local, struct bl_manifest *manifest, const char *path,
		struct bl_err *err)
{
	char full[2 * BL_NAME_MAX + 2], child[BL_NAME_MAX + BL_NAME_PART_MAX + 2];
	const struct dirent *entry;
	int rc = join(full, sizeof(full), local->relative, *path ? path : ".", err);

	if (rc < 0)
		return rc;
	int fd = open_at(local, full, O_RDONLY | O_DIRECTORY, err);
	if (fd < 0)
		return fd;
	auto_dir dir = fdopendir(fd);
	if (!dir) {
		bl_cleanup_fd(&fd);
		return bl_err_nomem(err);
	}
	while ((rc = bl_sys_readdir(dir, &entry)) > 0) {
		struct stat st;

		if (is_pulls(path, entry->d_name))
			continue;
		if (++local->visited > MAX_VISITED)
			return too_many(local, err);
		if ((rc = join(child, sizeof(child), path, entry->d_name, err)) < 0 ||
		    (rc = bl_name_check(child, strlen(child), err)) < 0 ||
		    (rc = join(full, sizeof(full), local->relative, child, err)) < 0)
			return rc;
		auto_fd found = open_at(local, full, O_PATH, err);
		if (found < 0)
			return found;
		if ((rc = bl_sys_fstat(found, &st)) < 0)
			return bl_err_sys(err, -rc, "stat '%.200s'", child);
		if (S_ISDIR(st.st_mode))
			rc = walk(local, manifest, child, err);
		else if (S_ISREG(st.st_mode))
			rc = add_file(manifest, child, &st, err);
		else
			rc = bl_err_config(err,
					   "'%.200s' is neither a file nor a directory; move "
					   "it away",
					   child);
		if (rc < 0)
			return rc;
	}
	/* Else a disk that fails in the middle would make a tree of what it had told by then. */
	return rc < 0 ? bl_err_set(err, BL_EX_RETRY, EIO, "read directory '%.300s': %s",
				   *path ? path : local->relative, strerror(-rc))
		      : 0;
}

static int local_list(void *state, struct bl_manifest *manifest, bool *credential,
		      struct bl_err *err)
{
	struct local *local = state;
	struct stat st;

	*credential = false;
	local->visited = 0;
	if (!local->single)
		return walk(local, manifest, "", err);
	auto_fd fd = open_at(local, local->relative, O_PATH, err);
	if (fd < 0)
		return fd;
	int rc = bl_sys_fstat(fd, &st);
	if (rc < 0)
		return bl_err_sys(err, -rc, "stat '%.200s'", local->relative);
	const char *slash = strrchr(local->relative, '/');
	return add_file(manifest, slash ? slash + 1 : local->relative, &st, err);
}

/* ---- Bytes ---- */

static int local_locate(void *state, const struct bl_entry *entry, bool again,
			struct bl_location *ret, struct bl_err *err)
{
	struct local *local = state;
	char full[2 * BL_NAME_MAX + 2], etag[80];
	struct stat st;
	int rc;

	(void)again;
	if (local->single)
		rc = join(full, sizeof(full), "", local->relative, err);
	else
		rc = join(full, sizeof(full), local->relative, entry->path, err);
	if (rc < 0)
		return rc;
	auto_fd fd = open_at(local, full, O_RDONLY | O_NONBLOCK, err);
	if (fd < 0)
		return fd;
	if ((rc = bl_sys_fstat(fd, &st)) < 0)
		return bl_err_sys(err, -rc, "stat '%.200s'", entry->path);
	describe(&st, etag, sizeof(etag));
	if (!S_ISREG(st.st_mode) || st.st_size != entry->size || strcmp(etag, entry->etag) != 0)
		return bl_err_set(err, BL_EX_RETRY, ESTALE,
				  "'%.200s' changed while it was read; try again", entry->path);
	*ret = BL_LOCATION_INIT;
	ret->fd = TAKE_FD(fd);
	return 0;
}

const struct bl_source_ops bl_source_file = {
	.scheme = BL_SCHEME_FILE,
	.open = local_open,
	.close = local_close,
	.list = local_list,
	.locate = local_locate,
};
