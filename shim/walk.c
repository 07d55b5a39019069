// SPDX-License-Identifier: Apache-2.0
#include "shim/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define BATCH	       16384 /* bytes of directory entries read at once */
#define RESOLVE	       (BL_RESOLVE_NO_XDEV | BL_RESOLVE_BENEATH | BL_RESOLVE_NO_MAGICLINKS)
#define TYPE_DIRECTORY 4    /* DT_DIR */
#define HELPED	       4096 /* entries after which a helper is worth starting */

/* As getdents64(2) gives it. */
struct entry {
	uint64_t ino;
	int64_t offset;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* A directory that is being read. */
struct level {
	struct level *above; /* that it lies in; of a spare one, the next spare one */
	int fd;		     /* owned while the walk is in it */
	uint16_t at, used;
	bool share; /* of this batch, every other entry is somebody else's: */
	bool skip;  /* the next one */
	char batch[BATCH] __attribute__((aligned(8)));
};

struct names {
	dev_t dev;
	ino_t ino;
	uint64_t count; /* names seen; 0: an empty slot */
};

#define NAMES	   (2UL * BL_WALK_LINKS)
#define NAMES_SIZE (NAMES * sizeof(struct names))

/* One of two that walk the same tree: they share what the kernel keeps, and nothing else. */
struct worker {
	struct bl_walk_result result;
	struct names *names; /* NAMES of them; NULL: none yet */
	size_t names_used;
	size_t visited; /* entries */
	size_t depth;
	struct level *level; /* the deepest of `depth`, owned */
	struct level *spare; /* owned */
};

/* The helper's, in memory that is shared with it, so that its results can be read when it has ended.
 * (Its levels are its own: it has a copy of those that were there when it began.) */
struct helper {
	struct worker worker;
	struct names names[NAMES];
};

/* Most trees are a home with nothing in it: there is no more of this than a tree asks for. */
struct bl_walk {
	uid_t uid;
	gid_t gid;
	size_t root_count;
	struct bl_walk_root roots[BL_WALK_ROOTS];
	struct timespec began; /* by the clock that file systems take their times from */
	bool linked;	       /* pass two: only what has several names */
	bool alone;	       /* no helper, or none any more */
	/* Without CAP_DAC_OVERRIDE a directory that is given away may be closed to us, as others' are
	 * with mode 0750: pass two then gives the directories, each when it is left. */
	bool from_below;
	struct worker worker;
	struct helper *helper; /* NULL: none was needed yet */
};

struct bl_walk *bl_walk_new(const struct bl_walk_root *roots, size_t n, uid_t uid, gid_t gid,
			    bool overrides, struct bl_err *err)
{
	struct bl_walk *walk = calloc(1, sizeof(*walk));

	if (!walk) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	bl_sys_coarse_time(&walk->began);
	walk->from_below = walk->alone = !overrides;
	walk->uid = uid;
	walk->gid = gid;
	walk->root_count = n;
	memcpy(walk->roots, roots, n * sizeof(*roots));
	return walk;
}

/* Zeroes that take no room until they are written to; NULL where there are none. */
static void *map(size_t size, int sharing)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS | MAP_NORESERVE,
			-1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void bl_walk_free(struct bl_walk *walk)
{
	struct level *level;

	if (!walk)
		return;
	while ((level = walk->worker.spare)) {
		walk->worker.spare = level->above;
		free(level);
	}
	if (walk->worker.names)
		(void)munmap(walk->worker.names, NAMES_SIZE);
	if (walk->helper)
		(void)munmap(walk->helper, sizeof(*walk->helper));
	free(walk);
}

static void note_failure(struct worker *worker, int errnum)
{
	if (worker->result.failed++ == 0)
		worker->result.first_error = errnum;
}

/* The slot of an inode, or the free one for it; NULL where the table is full. */
static struct names *find_names(struct worker *worker, const struct stat *st)
{
	size_t at = ((uint64_t)st->st_ino * 0x9e3779b97f4a7c15ULL >> 40) & (NAMES - 1);
	struct names *names = worker->names;

	while (names[at].count && (names[at].ino != st->st_ino || names[at].dev != st->st_dev))
		at = (at + 1) & (NAMES - 1);
	if (names[at].count == 0 && worker->names_used == BL_WALK_LINKS)
		return NULL;
	return &names[at];
}

static void count_name(struct worker *worker, const struct stat *st)
{
	struct names *names;

	if (!worker->names)
		worker->names = map(NAMES_SIZE, MAP_PRIVATE);
	if (!worker->names) {
		note_failure(worker, ENOMEM);
		return;
	}
	names = find_names(worker, st);
	if (names && names->count++ == 0) {
		worker->names_used++;
		names->dev = st->st_dev;
		names->ino = st->st_ino;
	}
}

static uint64_t names_seen(struct worker *worker, const struct stat *st)
{
	const struct names *names = worker->names ? find_names(worker, st) : NULL;

	return names ? names->count : 0;
}

/* A table that was full has counted too few: such a file is left alone as well. */
static bool has_names_elsewhere(struct bl_walk *walk, const struct stat *st)
{
	uint64_t count = names_seen(&walk->worker, st);

	if (walk->helper)
		count += names_seen(&walk->helper->worker, st);
	return count != (uint64_t)st->st_nlink;
}

/*
 * Whether a name of it may have come, gone or moved since the walk began: each of these sets the
 * inode's ctime. A name that was moved while it was counted may have been counted twice.
 */
static bool has_changed(const struct bl_walk *walk, const struct stat *st)
{
	return st->st_ctim.tv_sec != walk->began.tv_sec
		       ? st->st_ctim.tv_sec > walk->began.tv_sec
		       : st->st_ctim.tv_nsec >= walk->began.tv_nsec;
}

static void change_owner(const struct bl_walk *walk, struct worker *worker, int fd)
{
	int ret = bl_sys_fchownat(fd, "", walk->uid, walk->gid, AT_EMPTY_PATH);

	if (ret < 0)
		note_failure(worker, -ret);
	else
		worker->result.given++;
}

/* Gives what the handle is, if it is the kind of thing that is given in this pass. */
static void give(struct bl_walk *walk, struct worker *worker, int fd, const struct stat *st)
{
	bool several = !S_ISDIR(st->st_mode) && st->st_nlink > 1;

	if (S_ISDIR(st->st_mode) && walk->from_below)
		return;
	if (st->st_uid == walk->uid && st->st_gid == walk->gid && !several)
		return;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		return;
	if (several && !walk->linked) {
		count_name(worker, st);
		return;
	}
	if (several != walk->linked || (st->st_uid == walk->uid && st->st_gid == walk->gid))
		return;
	if (several && (has_changed(walk, st) || has_names_elsewhere(walk, st))) {
		worker->result.linked++;
		return;
	}
	change_owner(walk, worker, fd);
}

static bool is_root(const struct bl_walk *walk, const struct stat *st)
{
	for (size_t i = 0; i < walk->root_count; i++)
		if (walk->roots[i].ino == st->st_ino && walk->roots[i].dev == st->st_dev)
			return true;
	return false;
}

/* For the next directory; NULL is fine. */
static void put_aside(struct worker *worker, struct level *level)
{
	if (!level)
		return;
	level->above = worker->spare;
	worker->spare = level;
}

/* Goes down into the directory that the handle is. */
static void enter(struct worker *worker, int handle)
{
	struct level *level = worker->spare;
	int fd;

	if (worker->depth == BL_WALK_DEPTH) {
		note_failure(worker, ENAMETOOLONG);
		return;
	}
	if (level)
		worker->spare = level->above;
	else
		level = malloc(sizeof(*level));
	fd = level ? bl_sys_openat(handle, ".", O_RDONLY | O_DIRECTORY, 0) : -ENOMEM;
	if (fd < 0) {
		note_failure(worker, -fd);
		put_aside(worker, level);
		return;
	}
	level->above = worker->level;
	level->fd = fd;
	level->at = 0;
	level->used = 0;
	level->skip = false;
	level->share = false;
	worker->level = level;
	worker->depth++;
}

/* Goes up again. */
static void leave(const struct bl_walk *walk, struct worker *worker)
{
	struct level *level = worker->level;
	struct stat st;

	if (walk->from_below && walk->linked && bl_sys_fstat(level->fd, &st) >= 0 &&
	    (st.st_uid != walk->uid || st.st_gid != walk->gid))
		change_owner(walk, worker, level->fd);
	worker->level = level->above;
	worker->depth--;
	bl_cleanup_fd(&level->fd);
	put_aside(worker, level);
}

static void visit(struct bl_walk *walk, struct worker *worker, int dirfd, const struct entry *entry)
{
	auto_fd fd = -1;
	struct stat st;
	int ret;

	worker->visited++;
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
		note_failure(worker, -ret);
		return;
	}
	if (S_ISDIR(st.st_mode) && is_root(walk, &st))
		return;
	give(walk, worker, fd, &st);
	if (S_ISDIR(st.st_mode))
		enter(worker, fd);
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* The next entry of a directory that is this worker's to visit, NULL at its end. */
static const struct entry *next_entry(struct worker *worker, struct level *level)
{
	for (;;) {
		const struct entry *entry;
		bool skipped;

		if (level->at == level->used) {
			int n = bl_sys_getdents(level->fd, level->batch, BATCH);

			if (n < 0)
				note_failure(worker, -n);
			if (n <= 0)
				return NULL;
			level->at = 0;
			level->used = (uint16_t)n;
			level->share = false;
		}
		entry = (const struct entry *)(const void *)(level->batch + level->at);
		level->at = (uint16_t)(level->at + entry->len);
		skipped = level->share && level->skip;
		level->skip = !level->skip;
		if (!skipped && !is_dot(entry->name))
			return entry;
	}
}

static void walk_levels(struct bl_walk *walk, struct worker *worker, size_t most)
{
	while (worker->level && worker->visited < most) {
		struct level *level = worker->level;
		const struct entry *entry = NULL;

		if (worker->result.first_error != EROFS)
			entry = next_entry(worker, level);
		if (entry)
			visit(walk, worker, level->fd, entry);
		else
			leave(walk, worker);
	}
}

static bool can_be_helped(const struct bl_walk *walk)
{
	cpu_set_t cpus;

	return !walk->alone && !walk->linked && walk->worker.level &&
	       sched_getaffinity(0, sizeof(cpus), &cpus) >= 0 && CPU_COUNT(&cpus) > 1;
}

/* The helper's part. Of the batches that both have, it visits what the other skips. */
_Noreturn static void help(struct bl_walk *walk, struct worker *worker)
{
	for (struct level *level = worker->level; level; level = level->above)
		level->skip = true;
	walk_levels(walk, worker, SIZE_MAX);
	_exit(0);
}

/*
 * Of a large tree a helper does half. Both go on from where the first has come: of the entries that
 * were read already each visits every other one, and of the directories that are open each reads
 * what the other has not (a place in a directory is the kernel's, and shared over fork).
 */
static pid_t start_helper(struct bl_walk *walk)
{
	struct worker *first = &walk->worker;
	struct worker *second;
	pid_t pid;

	if (!can_be_helped(walk))
		return -1;
	if (!walk->helper)
		walk->helper = map(sizeof(*walk->helper), MAP_SHARED);
	if (!walk->helper)
		return -1;
	second = &walk->helper->worker;
	second->names = walk->helper->names;
	second->depth = first->depth;
	second->level = first->level;
	second->spare = first->spare;
	for (struct level *level = first->level; level; level = level->above) {
		level->share = true;
		level->skip = false;
	}
	pid = bl_sys_fork();
	if (pid == 0)
		help(walk, second);
	if (pid < 0) {
		for (struct level *level = first->level; level; level = level->above)
			level->share = false;
	}
	walk->alone = pid < 0;
	return pid;
}

static void end_helper(struct bl_walk *walk, pid_t pid)
{
	int status = 0;
	pid_t ended;

	do {
		ended = waitpid(pid, &status, 0);
	} while (ended < 0 && errno == EINTR);
	if (ended != pid || status != 0)
		note_failure(&walk->helper->worker, ECANCELED);
}

static void add_result(struct bl_walk_result *to, struct bl_walk_result *from)
{
	to->given += from->given;
	to->linked += from->linked;
	if (from->failed && !to->failed)
		to->first_error = from->first_error;
	to->failed += from->failed;
	*from = (struct bl_walk_result){0};
}

static void walk_root(struct bl_walk *walk, size_t root, struct bl_walk_result *result)
{
	struct worker *worker = &walk->worker;
	pid_t helper;
	struct stat st;
	int ret = bl_sys_fstat(walk->roots[root].fd, &st);

	if (ret < 0) {
		note_failure(worker, -ret);
	} else {
		give(walk, worker, walk->roots[root].fd, &st);
		enter(worker, walk->roots[root].fd);
	}
	worker->visited = 0;
	walk_levels(walk, worker, HELPED);
	helper = start_helper(walk);
	walk_levels(walk, worker, SIZE_MAX);
	if (helper > 0)
		end_helper(walk, helper);
	add_result(result, &worker->result);
	if (walk->helper)
		add_result(result, &walk->helper->worker.result);
}

void bl_walk_give(struct bl_walk *walk, size_t root, struct bl_walk_result *ret)
{
	walk->linked = false;
	walk_root(walk, root, ret);
}

void bl_walk_give_linked(struct bl_walk *walk, size_t root, struct bl_walk_result *ret)
{
	bool any = walk->from_below || walk->worker.names_used ||
		   (walk->helper && walk->helper->worker.names_used);

	if (!any || ret->first_error == EROFS)
		return;
	walk->linked = true;
	walk_root(walk, root, ret);
}
