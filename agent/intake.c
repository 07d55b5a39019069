// SPDX-License-Identifier: Apache-2.0
#include "agent/intake.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/loop.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define PIECE	   (1024 * 1024) /* bytes moved at once: what a pipe holds */
#define STIR_EVERY 20		 /* ms */

struct bl_intake {
	struct bl_loop *loop;
	struct bl_watch watch;
	void (*stirred)(void *data);
	void *data;

	int pipe;
	int own[2];  /* a pipe */
	int nowhere; /* where bytes go that are there already */
	int event;   /* to the loop */
	int orders;  /* to the thread */
	bool started;
	pthread_t thread;
	uint64_t stirred_at; /* ms; the thread's */

	pthread_mutex_t lock;
	struct bl_intake_file *files; /* the one that came last first */
	bool finish, stop, over;
	const char *breach;
};

/* ---- The thread ---- */

static void stir(struct bl_intake *intake)
{
	const uint64_t one = 1;

	intake->stirred_at = bl_loop_now();
	/* It can only fail where the counter is full: then the loop is awake anyway. */
	if (write(intake->event, &one, sizeof(one)) < 0)
		return;
}

/* The pipe is empty: 1 when there is something, or its end; 0 where nothing is to be waited for. */
static int wait_for_more(struct bl_intake *intake)
{
	struct pollfd fds[] = {{.fd = intake->pipe, .events = POLLIN},
			       {.fd = intake->orders, .events = POLLIN}};
	bool finish;
	bool stop;

	(void)pthread_mutex_lock(&intake->lock);
	finish = intake->finish;
	stop = intake->stop;
	(void)pthread_mutex_unlock(&intake->lock);
	if (stop || (finish && poll(fds, 1, 0) <= 0))
		return 0;
	/* Once it was told, the event stays. */
	(void)poll(fds, finish ? 1 : 2, -1);
	return 1;
}

/* All of `size`: 1, or 0 at the end of what there is, also in the middle. */
static int read_whole(struct bl_intake *intake, void *to, size_t size)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = read(intake->pipe, (char *)to + have, size - have);

		if (n > 0)
			have += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait_for_more(intake))
			return 0;
	}
	return 1;
}

/* All of what is in our own pipe: 0, or -errno. */
static int empty_pipe(const struct bl_intake *intake, int fd, int64_t at, size_t len)
{
	while (len > 0) {
		ssize_t n = fd < 0 ? bl_sys_splice(intake->own[0], intake->nowhere, len)
				   : bl_sys_splice_to(intake->own[0], fd, at, len);

		if (n <= 0)
			return n < 0 ? (int)n : -EIO;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * Moves at most `most` bytes to that offset (to nowhere: -1): how many, 0 at the end. By a pipe of our
 * own, since a pipe is locked as long as a file takes what is in it, and the job could put nothing in.
 */
static ssize_t move(struct bl_intake *intake, int fd, int64_t at, size_t most)
{
	ssize_t n;
	int r;

	while ((n = bl_sys_splice(intake->pipe, intake->own[1], most)) == -EAGAIN)
		if (!wait_for_more(intake))
			return 0;
	if (n <= 0)
		return n;
	r = empty_pipe(intake, fd, at, (size_t)n);
	return r < 0 ? r : n;
}

static int add_arrived(struct bl_intake *intake, struct bl_intake_file *file, int64_t from,
		       int64_t to)
{
	int r;

	(void)pthread_mutex_lock(&intake->lock);
	r = bl_ranges_add(&file->arrived, from, to, NULL);
	if (r == 0 && file->arrived.count > file->most_ranges)
		r = -E2BIG;
	if (r == 0 && intake->stop)
		r = -ECANCELED;
	(void)pthread_mutex_unlock(&intake->lock);
	if (bl_loop_now() - intake->stirred_at >= STIR_EVERY)
		stir(intake);
	return r;
}

/* What of the frame is there already (a part that was asked for twice) is read over. 1, or 0 at the end. */
static int take_bytes(struct bl_intake *intake, struct bl_intake_file *file, int64_t at, int64_t to)
{
	while (at < to) {
		/* Only this thread adds to it. */
		struct bl_range gap = bl_ranges_gap(&file->arrived, at, to);
		bool there = at < gap.from;
		int64_t left = (there ? gap.from : gap.to) - at;
		ssize_t n = move(intake, there ? -1 : file->fd, at,
				 left < PIECE ? (size_t)left : PIECE);
		int r = n < 0 ? (int)n : 0;

		if (n == 0)
			return 0;
		if (n > 0 && !there)
			r = add_arrived(intake, file, at, at + n);
		if (r < 0)
			return r;
		at += n;
	}
	return 1;
}

static struct bl_intake_file *find(struct bl_intake *intake, uint32_t number)
{
	struct bl_intake_file *file;

	(void)pthread_mutex_lock(&intake->lock);
	file = intake->files;
	while (file && file->number != number)
		file = file->next;
	if (file && file->whole)
		file = NULL;
	(void)pthread_mutex_unlock(&intake->lock);
	return file;
}

/* Where all of it is there. */
static bool end_file(struct bl_intake *intake, struct bl_intake_file *file)
{
	bool whole;

	(void)pthread_mutex_lock(&intake->lock);
	whole = bl_ranges_front(&file->arrived) == (int64_t)file->size;
	file->whole = whole;
	(void)pthread_mutex_unlock(&intake->lock);
	stir(intake);
	return whole;
}

/* NULL while all is well. *ret_more: whether another frame may follow. */
static const char *take_frame(struct bl_intake *intake, bool *ret_more)
{
	struct bl_job_frame frame;
	struct bl_intake_file *file;
	int r;

	*ret_more = false;
	if (!read_whole(intake, &frame, sizeof(frame)))
		return NULL;
	file = find(intake, frame.file);
	if (!file)
		return "bytes of a file that is not open";
	if (frame.at > file->size || frame.len > file->size - frame.at)
		return "bytes outside of their file";
	if (frame.len == 0) {
		*ret_more = end_file(intake, file);
		return *ret_more ? NULL : "a file that is not whole";
	}
	r = take_bytes(intake, file, (int64_t)frame.at, (int64_t)(frame.at + frame.len));
	*ret_more = r == 1;
	if (r >= 0)
		return NULL;
	if (r == -E2BIG)
		return "a file in too many pieces";
	(void)pthread_mutex_lock(&intake->lock);
	file->result = r;
	(void)pthread_mutex_unlock(&intake->lock);
	return NULL;
}

static void *serve(void *data)
{
	struct bl_intake *intake = data;
	const char *breach;
	bool more = true;

	do
		breach = take_frame(intake, &more);
	while (more);
	(void)pthread_mutex_lock(&intake->lock);
	intake->over = true;
	intake->breach = breach;
	(void)pthread_mutex_unlock(&intake->lock);
	stir(intake);
	return NULL;
}

/* ---- On the loop ---- */

static void ready(struct bl_watch *watch, uint32_t events)
{
	struct bl_intake *intake = watch->data;
	uint64_t count;

	(void)events;
	if (read(intake->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	intake->stirred(intake->data);
}

static int start_thread(struct bl_intake *intake, struct bl_err *err)
{
	sigset_t all;
	sigset_t before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&intake->thread, NULL, serve, intake);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return bl_err_sys(err, r, "start a thread for a download");
	intake->started = true;
	return 0;
}

int bl_intake_start(struct bl_loop *loop, int pipe, void (*stirred)(void *data), void *data,
		    struct bl_intake **ret, struct bl_err *err)
{
	struct bl_intake *intake = calloc(1, sizeof(*intake));
	int r;

	if (!intake) {
		(void)close(pipe);
		return bl_err_nomem(err);
	}
	*intake = (struct bl_intake){.loop = loop,
				     .watch = BL_WATCH_INIT,
				     .stirred = stirred,
				     .data = data,
				     .pipe = pipe,
				     .own = {-1, -1},
				     .nowhere = bl_sys_openat(AT_FDCWD, "/dev/null", O_WRONLY, 0),
				     .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				     .orders = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
				     .lock = PTHREAD_MUTEX_INITIALIZER};
	if (pipe2(intake->own, O_CLOEXEC) < 0 || intake->nowhere < 0 || intake->event < 0 ||
	    intake->orders < 0 || fcntl(pipe, F_SETFL, O_NONBLOCK) < 0)
		r = bl_err_sys(err, errno, "prepare a download");
	else
		r = bl_loop_watch(loop, &intake->watch, intake->event, EPOLLIN, ready, intake, err);
	/* A smaller one does as well, a little slower. */
	if (r == 0)
		(void)fcntl(intake->own[0], F_SETPIPE_SZ, PIECE);
	if (r == 0)
		r = start_thread(intake, err);
	if (r < 0)
		bl_intake_free(intake);
	else
		*ret = intake;
	return r;
}

static void order(struct bl_intake *intake, bool stop)
{
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&intake->lock);
	intake->finish = true;
	intake->stop |= stop;
	(void)pthread_mutex_unlock(&intake->lock);
	if (write(intake->orders, &one, sizeof(one)) < 0)
		return; /* the counter is full: it was told */
}

void bl_intake_finish(struct bl_intake *intake)
{
	order(intake, false);
}

void bl_intake_stop(struct bl_intake *intake)
{
	if (!intake->started)
		return;
	order(intake, true);
	(void)pthread_join(intake->thread, NULL);
	intake->started = false;
}

void bl_intake_free(struct bl_intake *intake)
{
	if (!intake)
		return;
	bl_intake_stop(intake);
	bl_loop_unwatch(intake->loop, &intake->watch);
	bl_cleanup_fd(&intake->pipe);
	bl_cleanup_fd(&intake->own[0]);
	bl_cleanup_fd(&intake->own[1]);
	bl_cleanup_fd(&intake->nowhere);
	bl_cleanup_fd(&intake->event);
	bl_cleanup_fd(&intake->orders);
	(void)pthread_mutex_destroy(&intake->lock);
	free(intake);
}

bool bl_intake_is_over(struct bl_intake *intake, const char **ret_breach)
{
	bool over;

	(void)pthread_mutex_lock(&intake->lock);
	over = intake->over;
	*ret_breach = intake->breach;
	(void)pthread_mutex_unlock(&intake->lock);
	return over;
}

/* ---- Files ---- */

int bl_intake_add(struct bl_intake *intake, struct bl_intake_file *file, uint32_t number, int fd,
		  uint64_t size, const struct bl_ranges *have, struct bl_err *err)
{
	int r;

	*file = (struct bl_intake_file){.number = number, .fd = fd, .size = size};
	r = bl_ranges_copy(have, &file->arrived, err);
	if (r < 0) {
		bl_cleanup_fd(&file->fd);
		return r;
	}
	file->most_ranges = have->count + BL_INTAKE_RANGES;
	(void)pthread_mutex_lock(&intake->lock);
	file->next = intake->files;
	intake->files = file;
	(void)pthread_mutex_unlock(&intake->lock);
	return 0;
}

static void forget(struct bl_intake *intake, const struct bl_intake_file *file)
{
	struct bl_intake_file **at = &intake->files;

	(void)pthread_mutex_lock(&intake->lock);
	while (*at && *at != file)
		at = &(*at)->next;
	if (*at)
		*at = file->next;
	(void)pthread_mutex_unlock(&intake->lock);
}

void bl_intake_remove(struct bl_intake *intake, struct bl_intake_file *file)
{
	if (intake)
		forget(intake, file);
	bl_cleanup_fd(&file->fd);
	file->fd = -1;
	bl_ranges_done(&file->arrived);
}

struct bl_intake_state bl_intake_look(struct bl_intake *intake, const struct bl_intake_file *file)
{
	struct bl_intake_state state;

	(void)pthread_mutex_lock(&intake->lock);
	state = (struct bl_intake_state){(uint64_t)bl_ranges_total(&file->arrived),
					 (uint64_t)bl_ranges_front(&file->arrived), file->whole,
					 file->result};
	(void)pthread_mutex_unlock(&intake->lock);
	return state;
}

int bl_intake_arrived(struct bl_intake *intake, const struct bl_intake_file *file,
		      struct bl_ranges *ret)
{
	int r;

	(void)pthread_mutex_lock(&intake->lock);
	r = bl_ranges_copy(&file->arrived, ret, NULL);
	(void)pthread_mutex_unlock(&intake->lock);
	return r;
}
