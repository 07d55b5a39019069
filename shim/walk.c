// SPDX-License-Identifier: Apache-2.0
#include "shim/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
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

struct level {
	int fd; /* owned while the walk is in it */
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

/* One of two that walk the same tree: they share what the kernel keeps, and nothing else. */
struct worker {
	struct bl_walk_result result;
	size_t names_used;
	size_t visited; /* entries */
	size_t depth;
	struct level levels[BL_WALK_DEPTH];
	struct names names[2 * BL_WALK_LINKS];
};

/* One mapping, touched only as far as it is used, and given back whole: PID 1 stays small. Shared,
 * so that a helper's results can be read when it has ended. */
struct bl_walk {
	uid_t uid;
	gid_t gid;
	size_t root_count;
	struct bl_walk_root roots[BL_WALK_ROOTS];
	struct timespec began; /* by the clock that file systems take their times from */
	bool linked;	       /* pass two: only what has several names */
	bool alone;	       /* no helper, or none any more */
	struct worker workers[2];
};

struct bl_walk *bl_walk_new(const struct bl_walk_root *roots, size_t n, uid_t uid, gid_t gid,
			    struct bl_err *err)
{
	struct bl_walk *walk = mmap(NULL, sizeof(*walk), PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (walk == MAP_FAILED) {
		(void)bl_err_nomem(err);
		return NULL;
	}
	(void)clock_gettime(CLOCK_REALTIME_COARSE, &walk->began);
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

static void note_failure(struct worker *worker, int errnum)
{
	if (worker->result.failed++ == 0)
		worker->result.first_error = errnum;
}

/* The slot of an inode, or the free one for it; NULL where the table is full. */
static struct names *find_names(struct worker *worker, const struct stat *st)
{
	const size_t mask = 2 * BL_WALK_LINKS - 1;
	size_t at = ((uint64_t)st->st_ino * 0x9e3779b97f4a7c15ULL >> 40) & mask;

	while (worker->names[at].count &&
	       (worker->names[at].ino != st->st_ino || worker->names[at].dev != st->st_dev))
		at = (at + 1) & mask;
	if (worker->names[at].count == 0 && worker->names_used == BL_WALK_LINKS)
		return NULL;
	return &worker->names[at];
}

static void count_name(struct worker *worker, const struct stat *st)
{
	struct names *names = find_names(worker, st);

	if (names && names->count++ == 0) {
		worker->names_used++;
		names->dev = st->st_dev;
		names->ino = st->st_ino;
	}
}

/* A table that was full has counted too few: such a file is left alone as well. */
static bool has_names_elsewhere(struct bl_walk *walk, const struct stat *st)
{
	uint64_t count = 0;

	for (size_t i = 0; i < 2; i++) {
		const struct names *names = find_names(&walk->workers[i], st);

		count += names ? names->count : 0;
	}
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

/* Gives what the handle is, if it is the kind of thing that is given in this pass. */
static void give(struct bl_walk *walk, struct worker *worker, int fd, const struct stat *st)
{
	bool several = !S_ISDIR(st->st_mode) && st->st_nlink > 1;
	int ret;

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
	ret = bl_sys_fchownat(fd, "", walk->uid, walk->gid, AT_EMPTY_PATH);
	if (ret < 0)
		note_failure(worker, -ret);
	else
		worker->result.given++;
}

static bool is_root(const struct bl_walk *walk, const struct stat *st)
{
	for (size_t i = 0; i < walk->root_count; i++)
		if (walk->roots[i].ino == st->st_ino && walk->roots[i].dev == st->st_dev)
			return true;
	return false;
}

/* Goes down into the directory that the handle is. */
static void enter(struct worker *worker, int handle)
{
	struct level *level;
	int fd;

	if (worker->depth == BL_WALK_DEPTH) {
		note_failure(worker, ENAMETOOLONG);
		return;
	}
	fd = bl_sys_openat(handle, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		note_failure(worker, -fd);
		return;
	}
	level = &worker->levels[worker->depth++];
	level->fd = fd;
	level->at = 0;
	level->used = 0;
	level->skip = false;
	level->share = false;
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
	while (worker->depth > 0 && worker->visited < most) {
		struct level *level = &worker->levels[worker->depth - 1];
		const struct entry *entry = NULL;

		if (worker->result.first_error != EROFS)
			entry = next_entry(worker, level);
		if (entry)
			visit(walk, worker, level->fd, entry);
		else
			bl_cleanup_fd(&worker->levels[--worker->depth].fd);
	}
}

/*
 * Of a large tree a helper does half. Both go on from where the first has come: of the entries that
 * were read already each visits every other one, and of the directories that are open each reads
 * what the other has not (a place in a directory is the kernel's, and shared over fork).
 */
static pid_t start_helper(struct bl_walk *walk)
{
	struct worker *first = &walk->workers[0];
	struct worker *second = &walk->workers[1];
	cpu_set_t cpus;
	pid_t pid;

	if (walk->alone || walk->linked || first->depth == 0 ||
	    sched_getaffinity(0, sizeof(cpus), &cpus) < 0 || CPU_COUNT(&cpus) < 2)
		return -1;
	second->depth = first->depth;
	for (size_t i = 0; i < first->depth; i++) {
		first->levels[i].share = true;
		first->levels[i].skip = false;
		second->levels[i] = first->levels[i];
		second->levels[i].skip = true;
	}
	pid = bl_sys_fork();
	if (pid == 0) {
		walk_levels(walk, second, SIZE_MAX);
		_exit(0);
	}
	if (pid < 0) {
		for (size_t i = 0; i < first->depth; i++)
			first->levels[i].share = false;
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
		note_failure(&walk->workers[1], ECANCELED);
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
	struct worker *worker = &walk->workers[0];
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
	add_result(result, &walk->workers[0].result);
	add_result(result, &walk->workers[1].result);
}

void bl_walk_give(struct bl_walk *walk, size_t root, struct bl_walk_result *ret)
{
	walk->linked = false;
	walk_root(walk, root, ret);
}

void bl_walk_give_linked(struct bl_walk *walk, size_t root, struct bl_walk_result *ret)
{
	bool any = walk->workers[0].names_used || walk->workers[1].names_used;

	if (!any || ret->first_error == EROFS)
		return;
	walk->linked = true;
	walk_root(walk, root, ret);
}
