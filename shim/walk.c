// SPDX-License-Identifier: Apache-2.0
#include "shim/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define BATCH	       16384 /* bytes of directory entries read at once */
#define RESOLVE	       (BL_RESOLVE_NO_XDEV | BL_RESOLVE_BENEATH | BL_RESOLVE_NO_MAGICLINKS)
#define TYPE_DIRECTORY 4 /* DT_DIR */

/* As getdents64(2) gives it. */
struct entry {
	uint64_t ino;
	int64_t offset;
	uint16_t len;
	uint8_t type;
	char name[];
};

struct level {
	int fd; /* owned while the walk is in it */
	uint16_t at, used;
	char batch[BATCH] __attribute__((aligned(8)));
};

struct names {
	dev_t dev;
	ino_t ino;
	uint64_t count; /* names seen; 0: an empty slot */
};

/* One mapping, touched only as far as it is used, and given back whole: PID 1 stays small. */
struct bl_walk {
	uid_t uid;
	gid_t gid;
	size_t root_count;
	struct bl_walk_root roots[BL_WALK_ROOTS];
	bool linked; /* pass two: only what has several names */
	size_t names_used;
	struct bl_walk_result *result;
	size_t depth;
	struct level levels[BL_WALK_DEPTH];
	struct names names[2 * BL_WALK_LINKS];
};

struct bl_walk *bl_walk_new(const struct bl_walk_root *roots, size_t n, uid_t uid, gid_t gid,
			    struct bl_err *err)
{
	struct bl_walk *walk = mmap(NULL, sizeof(*walk), PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (walk == MAP_FAILED) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	walk->uid = uid;
	walk->gid = gid;
	walk->root_count = n;
	memcpy(walk->roots, roots, n * sizeof(*roots));
	return walk;
}

void bl_walk_free(struct bl_walk *walk)
{
	if (walk)
		(void)munmap(walk, sizeof(*walk));
}

static void note_failure(struct bl_walk *walk, int errnum)
{
	if (walk->result->failed++ == 0)
		walk->result->first_error = errnum;
}

/* The slot of an inode, or the free one for it; NULL where the table is full. */
static struct names *find_names(struct bl_walk *walk, const struct stat *st)
{
	const size_t mask = 2 * BL_WALK_LINKS - 1;
	size_t at = ((uint64_t)st->st_ino * 0x9e3779b97f4a7c15ULL >> 40) & mask;

	while (walk->names[at].count &&
	       (walk->names[at].ino != st->st_ino || walk->names[at].dev != st->st_dev))
		at = (at + 1) & mask;
	if (walk->names[at].count == 0) {
		if (walk->names_used == BL_WALK_LINKS)
			return NULL;
	}
	return &walk->names[at];
}

static void count_name(struct bl_walk *walk, const struct stat *st)
{
	struct names *names = find_names(walk, st);

	if (!names)
		return;
	if (names->count++ == 0) {
		walk->names_used++;
		names->dev = st->st_dev;
		names->ino = st->st_ino;
	}
}

static bool has_names_elsewhere(struct bl_walk *walk, const struct stat *st)
{
	const struct names *names = find_names(walk, st);

	return !names || names->count != (uint64_t)st->st_nlink;
}

/* Gives what the handle is, if it is the kind of thing that is given in this pass. */
static void give(struct bl_walk *walk, int fd, const struct stat *st)
{
	bool several = !S_ISDIR(st->st_mode) && st->st_nlink > 1;
	int ret;

	if (st->st_uid == walk->uid && st->st_gid == walk->gid && !several)
		return;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		return;
	if (several && !walk->linked) {
		count_name(walk, st);
		return;
	}
	if (several != walk->linked || (st->st_uid == walk->uid && st->st_gid == walk->gid))
		return;
	if (several && has_names_elsewhere(walk, st)) {
		walk->result->linked++;
		return;
	}
	ret = bl_sys_fchownat(fd, "", walk->uid, walk->gid, AT_EMPTY_PATH);
	if (ret < 0)
		note_failure(walk, -ret);
	else
		walk->result->given++;
}

static bool is_root(const struct bl_walk *walk, const struct stat *st)
{
	for (size_t i = 0; i < walk->root_count; i++)
		if (walk->roots[i].ino == st->st_ino && walk->roots[i].dev == st->st_dev)
			return true;
	return false;
}

/* Goes down into the directory that the handle is. */
static void enter(struct bl_walk *walk, int handle)
{
	struct level *level;
	int fd;

	if (walk->depth == BL_WALK_DEPTH) {
		note_failure(walk, ENAMETOOLONG);
		return;
	}
	fd = bl_sys_openat(handle, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		note_failure(walk, -fd);
		return;
	}
	level = &walk->levels[walk->depth++];
	level->fd = fd;
	level->at = 0;
	level->used = 0;
}

static void visit(struct bl_walk *walk, int dirfd, const struct entry *entry)
{
	auto_fd fd = -1;
	struct stat st;
	int ret;

	if (walk->linked && entry->type != TYPE_DIRECTORY) {
		/* Few of many: a look without a handle first. */
		if (bl_sys_fstatat(dirfd, entry->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    (!S_ISDIR(st.st_mode) && st.st_nlink < 2))
			return;
	}
	fd = bl_sys_openat2(dirfd, entry->name, O_PATH | O_NOFOLLOW, 0, RESOLVE);
	if (fd == -EXDEV || fd == -ENOENT)
		return; /* a mount; or gone */
	ret = fd < 0 ? fd : bl_sys_fstat(fd, &st);
	if (ret < 0) {
		note_failure(walk, -ret);
		return;
	}
	if (S_ISDIR(st.st_mode) && is_root(walk, &st))
		return;
	give(walk, fd, &st);
	if (S_ISDIR(st.st_mode))
		enter(walk, fd);
}

/* The next entry of a directory, NULL at its end. */
static const struct entry *next_entry(struct bl_walk *walk, struct level *level)
{
	const struct entry *entry;

	if (level->at == level->used) {
		int n = bl_sys_getdents(level->fd, level->batch, BATCH);

		if (n <= 0) {
			if (n < 0)
				note_failure(walk, -n);
			return NULL;
		}
		level->at = 0;
		level->used = (uint16_t)n;
	}
	entry = (const struct entry *)(const void *)(level->batch + level->at);
	level->at = (uint16_t)(level->at + entry->len);
	return entry;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static void leave(struct bl_walk *walk)
{
	bl_cleanup_fd(&walk->levels[--walk->depth].fd);
}

static void walk_root(struct bl_walk *walk, size_t root, struct bl_walk_result *result)
{
	struct stat st;
	int ret = bl_sys_fstat(walk->roots[root].fd, &st);

	walk->result = result;
	if (ret < 0) {
		note_failure(walk, -ret);
		return;
	}
	give(walk, walk->roots[root].fd, &st);
	enter(walk, walk->roots[root].fd);
	while (walk->depth > 0) {
		struct level *level = &walk->levels[walk->depth - 1];
		const struct entry *entry = NULL;

		if (result->first_error != EROFS)
			entry = next_entry(walk, level);
		if (!entry)
			leave(walk);
		else if (!is_dot(entry->name))
			visit(walk, level->fd, entry);
	}
}

void bl_walk_give(struct bl_walk *walk, size_t root, struct bl_walk_result *ret)
{
	walk->linked = false;
	walk_root(walk, root, ret);
}

void bl_walk_give_linked(struct bl_walk *walk, size_t root, struct bl_walk_result *ret)
{
	if (walk->names_used == 0 || ret->first_error == EROFS)
		return;
	walk->linked = true;
	walk_root(walk, root, ret);
}
