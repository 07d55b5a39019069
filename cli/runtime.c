// SPDX-License-Identifier: Apache-2.0
#include "cli/runtime.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "cli/command.h"
#include "common/agent_client.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/json.h"
#include "common/sys.h"

#define SAID_MAX  (64 * 1024) /* of what a runtime says while it creates */
#define LOG_FILE  "log"	      /* the runtime's, one JSON object a line */
#define PID_FILE  "pid"
#define PATIENCE  3    /* interrupts before the container is killed */
#define STOP_MS	  2000 /* that a runtime has to put away what it has made */
#define HOOK_SAYS "ballast-hook: "

struct session {
	const struct bl_runtime *runtime;
	int signals;  /* signalfd */
	int said;     /* reading end of the stderr of runtime and container; -1 at its end */
	bool holding; /* what is said is kept in `held` */
	bool stuffed; /* our own stderr takes no more for now */
	struct bl_buf held;
	pid_t container;      /* its first process, 0 while it is not known */
	int container_status; /* its exit status once it ended */
	bool container_ended;
	pid_t waiting_for; /* the process that this step waits for */
	int interrupts;
	enum { CREATING, STARTING, STARTED, DELETING } step;
	int stopped_by;	   /* the signal that ended us while creating */
	int64_t stop_end;  /* ms: when the runtime is killed that was told to stop creating */
	bool cut_short;	   /* a signal ended the runtime while it created */
	uint32_t deferred; /* a bit for each signal that came while starting */
};

static const int forwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

/* ---- Processes ---- */

/* Whether a descriptor cannot be used so, because ours was closed: main() has put something in its place. */
static bool is_closed(int fd, int way)
{
	return (fcntl(fd, F_GETFL) & O_ACCMODE) == way;
}

/* In the child: never returns. */
static _Noreturn void become(char *const *argv, int stderr_fd, bool quiet, const sigset_t *mask,
			     pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setpgid(0, 0); /* a terminal's Ctrl-C comes to us alone */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) /* it ended before that */
		_exit(127);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGXFSZ, SIG_DFL);
	/* A background process group must not read a terminal; servers do not. */
	if (quiet || isatty(STDIN_FILENO) || is_closed(STDIN_FILENO, O_WRONLY))
		(void)dup2(null, STDIN_FILENO);
	if (quiet || is_closed(STDOUT_FILENO, O_RDONLY))
		(void)dup2(null, STDOUT_FILENO);
	if (stderr_fd >= 0)
		(void)dup2(stderr_fd, STDERR_FILENO);
	execvp(argv[0], argv);
	(void)dprintf(STDERR_FILENO, "ballast: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

#define WORDS_MAX (BL_RUNTIME_OPTIONS_MAX + 16)

/* PROGRAM OPTIONS... WORDS... into argv[WORDS_MAX]. */
static void compose(const struct bl_runtime *runtime, const char *const *words, const char **argv)
{
	size_t n = 0;

	argv[n++] = runtime->program;
	for (size_t i = 0; runtime->options[i]; i++)
		argv[n++] = runtime->options[i];
	while (*words)
		argv[n++] = *words++;
	argv[n] = NULL;
}

static int spawn(const struct session *session, const char *const *words, int stderr_fd, bool quiet,
		 pid_t *ret, struct bl_err *err)
{
	const char *argv[WORDS_MAX];
	pid_t parent = getpid();
	sigset_t none;
	pid_t pid;

	compose(session->runtime, words, argv);
	(void)sigemptyset(&none);
	pid = fork();
	if (pid < 0)
		return bl_err_sys(err, errno, "fork");
	if (pid == 0)
		become((char *const *)argv, stderr_fd, quiet, &none, parent);
	(void)setpgid(pid, pid); /* as it does itself, whoever comes first */
	*ret = pid;
	return 0;
}

/* ---- Events ---- */

#define RELAYED 16384 /* bytes at once */

static bool is_pipe(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/*
 * What was said goes on to our stderr, or is held. Whoever reads that may have stopped to: it is not waited for
 * here, since there are signals and the server's end. A pipe takes what it has room for; others may write to
 * it, too, so that to have found room is not enough.
 */
static void relay(struct session *session)
{
	struct pollfd out = {STDERR_FILENO, POLLOUT, 0};
	char bytes[RELAYED];
	ssize_t n;

	session->stuffed = !session->holding && poll(&out, 1, 0) == 0;
	if (session->stuffed)
		return;
	if (!session->holding && is_pipe(STDERR_FILENO)) {
		n = splice(session->said, NULL, STDERR_FILENO, NULL, RELAYED, SPLICE_F_NONBLOCK);
		session->stuffed = n < 0 && errno == EAGAIN;
		if (n > 0 || session->stuffed)
			return;
	}
	n = bl_sys_read(session->said, bytes, sizeof(bytes));
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		(void)close(session->said);
		session->said = -1;
		return;
	}
	/* More than a runtime ever says while it creates is dropped. */
	if (session->holding)
		(void)bl_buf_append(&session->held, bytes, (size_t)n, NULL);
	else
		(void)bl_sys_write_all(STDERR_FILENO, bytes, (size_t)n);
}

/* Its pid may be another's once we have reaped it. */
static void signal_container(const struct session *session, int number)
{
	if (!session->container_ended)
		(void)kill(session->container, number);
}

/*
 * A runtime whose hook fails puts away what it has made, its cgroups too, as it cannot where it is killed itself.
 * It ignores the signal that ends its hook; where there is no hook yet, or another signal comes, it is killed.
 */
static void stop_creation(struct session *session, int number)
{
	if (session->stopped_by)
		session->stop_end = 0;
	else
		session->stop_end = bl_agent_now() + STOP_MS;
	session->stopped_by = number;
	(void)kill(-session->waiting_for, SIGTERM);
}

/* ms for which a runtime that was told to stop creating is waited for yet; -1: nobody was. */
static int time_to_stop(const struct session *session)
{
	int64_t left = session->stop_end - bl_agent_now();

	if (session->step != CREATING || !session->stopped_by)
		return -1;
	return left > 0 ? (int)left : 0;
}

static void on_signal(struct session *session, int number)
{
	if (session->step == DELETING)
		return; /* nothing is to be left */
	if (number == SIGINT || number == SIGTERM || number == SIGQUIT)
		session->interrupts++;
	if (session->step == CREATING) {
		stop_creation(session, number);
	} else if (session->interrupts >= PATIENCE) {
		signal_container(session, SIGKILL);
		if (session->step == STARTING) /* it may never come to its end */
			(void)kill(session->waiting_for, SIGKILL);
	} else if (session->step == STARTING) {
		/* The runtime's word that it started may come before the server, and after. */
		session->deferred |= UINT32_C(1) << number;
	} else {
		signal_container(session, number);
	}
}

static void read_signals(struct session *session)
{
	struct signalfd_siginfo info;

	while (read(session->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			on_signal(session, (int)info.ssi_signo);
}

/* As a shell has it. */
static int exit_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Waits for session->waiting_for and tells its exit status; others' children are reaped. */
static int wait_for(struct session *session, int *ret, struct bl_err *err)
{
	for (;;) {
		struct pollfd fds[] = {{session->signals, POLLIN, 0}, {session->said, POLLIN, 0}};
		int status;
		pid_t pid;

		if (session->container_ended && session->waiting_for == session->container) {
			*ret = session->container_status;
			return 0;
		}
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
			/* It may end while the runtime still starts it. */
			if (pid == session->container) {
				session->container_ended = true;
				session->container_status = exit_status(status);
			}
			if (pid == session->waiting_for) {
				*ret = exit_status(status);
				return 0;
			}
		}
		if (pid < 0 && errno == ECHILD)
			return bl_err_set(err, BL_EX_INTERNAL, ECHILD,
					  "the container's process is not there");
		if (session->stuffed && session->said >= 0)
			fds[1] = (struct pollfd){STDERR_FILENO, POLLOUT, 0};
		if (poll(fds, 2, time_to_stop(session)) < 0 && errno != EINTR)
			return bl_err_sys(err, errno, "poll");
		if (time_to_stop(session) == 0) {
			session->stop_end = bl_agent_now() + STOP_MS;
			(void)kill(session->waiting_for, SIGKILL);
		}
		if (fds[1].revents)
			relay(session);
		if (fds[0].revents)
			read_signals(session);
	}
}

/* What is still in the pipe; its other end may be held by others. Who reads it is waited for until a signal
 * says that it is enough. */
static void drain(struct session *session)
{
	int interrupts = session->interrupts;

	for (int rounds = 0; session->said >= 0 && rounds < 1024; rounds++) {
		struct pollfd said = {session->said, POLLIN, 0};
		struct pollfd fds[] = {{session->signals, POLLIN, 0}, {STDERR_FILENO, POLLOUT, 0}};

		if (poll(&said, 1, 0) <= 0)
			break;
		relay(session);
		if (session->stuffed && poll(fds, 2, -1) > 0 && fds[0].revents)
			read_signals(session);
		if (session->interrupts != interrupts)
			break;
	}
}

/* ---- What a runtime says of a hook that failed ---- */

/* The number after the last of these words, or -1. */
static int number_after(const char *text, const char *words)
{
	const char *at = NULL;

	for (const char *c = text; (c = strstr(c, words)); c++)
		at = c + strlen(words);
	return at && isdigit((unsigned char)*at) ? (int)strtol(at, NULL, 10) : -1;
}

/* The first line that is no word of our hook's: other hooks, and the runtime, have the rest. */
static const char *first_of_others(const char *said)
{
	while (*said == '\n' || strncmp(said, HOOK_SAYS, strlen(HOOK_SAYS)) == 0) {
		said += strcspn(said, "\n");
		said += *said == '\n';
	}
	return *said ? said : "it did not say why";
}

int bl_runtime_explain(const char *said, struct bl_err *err)
{
	static const char failed[] = HOOK_SAYS "error: ";
	const char *line = NULL;
	int code = number_after(said, "error running hook: exit status "); /* runc */

	if (code < 0)
		code = number_after(said, "(exit code: "); /* crun */
	/* Where it says nothing of the kind the one that failed is somebody else's. */
	for (const char *c = said; (c = strstr(c, failed)); c++)
		line = c + strlen(failed);
	if (line && code > 0 && code < 256) {
		(void)bl_err_set(err, code, EPERM, "the container was not started: %.*s",
				 (int)strcspn(line, "\n"), line);
		return -EPERM;
	}
	said = first_of_others(said);
	return bl_err_set(err, BL_EX_INTERNAL, EIO,
			  "the runtime did not create the container: %.*s",
			  (int)strcspn(said, "\n"), said);
}

/* Appends the messages of the runtime's log. */
static void add_log(struct bl_buf *said, int dir)
{
	const struct bl_json_limits limits = {.max_bytes = SAID_MAX, .fractions = true};
	auto_buf log = BL_BUF_INIT(SAID_MAX);
	const char *msg;

	if (bl_fs_read_file(dir, LOG_FILE, &log, NULL) < 0)
		return;
	for (const char *line = bl_buf_str(&log); *line;) {
		size_t len = strcspn(line, "\n");
		auto_json entry = NULL;

		if (bl_json_parse(line, len, &limits, &entry, NULL) == 0 &&
		    bl_json_is_object(entry) && bl_json_get_string(entry, "msg", &msg, NULL) > 0)
			(void)bl_buf_putf(said, NULL, "%s\n", msg);
		line += len + (line[len] == '\n');
	}
}

static int explain(const struct session *session, struct bl_err *err)
{
	auto_fd dir = open(session->runtime->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_buf said = BL_BUF_INIT(4 * SAID_MAX);

	if (dir >= 0) {
		(void)bl_fs_read_file(dir, BL_RUNTIME_HOOK_STDERR, &said, NULL);
		add_log(&said, dir);
	}
	(void)bl_buf_append(&said, bl_buf_str(&session->held), session->held.len, NULL);
	return bl_runtime_explain(bl_buf_str(&said), err);
}

/* ---- The steps ---- */

static int stopped(const struct session *session, struct bl_err *err)
{
	return bl_err_set(err, 128 + session->stopped_by, EINTR,
			  "stopped before the container was started");
}

/* Runs the runtime with these words to its end: *ret is its exit status. A signal that came to us while
 * the container was not started is an error. */
static int run(struct session *session, const char *const *words, int stderr_fd, bool quiet,
	       int *ret, struct bl_err *err)
{
	int r = spawn(session, words, stderr_fd, quiet, &session->waiting_for, err);

	if (r == 0)
		r = wait_for(session, ret, err);
	if (session->holding)
		drain(session);
	return r == 0 && session->stopped_by ? stopped(session, err) : r;
}

/* What we delete in the end must not be somebody else's. */
static int check_id(struct session *session, struct bl_err *err)
{
	const char *const words[] = {"state", session->runtime->id, NULL};
	auto_fd null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int status;
	int r = run(session, words, null, true, &status, err);

	if (r < 0 || status != 0)
		return r;
	return bl_err_config(err, "--id: there is a container '%s' already", session->runtime->id);
}

static void delete_container(struct session *session)
{
	const char *const words[] = {"delete", "--force", session->runtime->id, NULL};
	auto_fd null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int status;

	session->step = DELETING;
	(void)run(session, words, null, true, &status, NULL);
}

static int read_pid(const struct bl_runtime *runtime, pid_t *ret, struct bl_err *err)
{
	auto_fd dir = open(runtime->bundle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_buf text = BL_BUF_INIT(64);
	int r = dir < 0 ? bl_err_sys(err, errno, "'%s'", runtime->bundle)
			: bl_fs_read_file(dir, PID_FILE, &text, err);
	long pid;

	if (r < 0 && r != -ENOENT)
		return r;
	pid = r < 0 ? 0 : strtol(bl_buf_str(&text), NULL, 10);
	if (pid <= 1)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO,
				  "%s says that it created the container, and wrote no pid; is it "
				  "an OCI runtime, such as runc?",
				  runtime->program);
	*ret = (pid_t)pid;
	return 0;
}

/* After this the container's process exists, is our child, and waits to be started. */
static int create(struct session *session, int stderr_fd, struct bl_err *err)
{
	const struct bl_runtime *runtime = session->runtime;
	auto_buf pid_file = BL_BUF_INIT(4096 + 16);
	auto_buf log = BL_BUF_INIT(4096 + 16);
	int status;
	int r = bl_buf_putf(&pid_file, err, "%s/" PID_FILE, runtime->bundle);

	if (r == 0)
		r = bl_buf_putf(&log, err, "%s/" LOG_FILE, runtime->bundle);
	if (r == 0) {
		const char *const words[] = {"--log",
					     bl_buf_str(&log),
					     "--log-format",
					     "json",
					     "create",
					     "--bundle",
					     runtime->bundle,
					     "--pid-file",
					     bl_buf_str(&pid_file),
					     runtime->id,
					     NULL};

		r = run(session, words, stderr_fd, false, &status, err);
	}
	if (r < 0)
		return r;
	session->cut_short = status > 128;
	if (status == 127 && strstr(bl_buf_str(&session->held), "ballast: "))
		return bl_err_config(err,
				     "%s cannot be run; --runtime=PROGRAM names another runtime",
				     runtime->program);
	if (status != 0)
		return explain(session, err);
	return read_pid(runtime, &session->container, err);
}

/* Lets the container's process run, and waits for its end. */
static int start_and_wait(struct session *session, struct bl_err *err)
{
	const char *const words[] = {"start", session->runtime->id, NULL};
	int status;
	int r;

	session->holding = false;
	session->step = STARTING;
	(void)bl_sys_write_all(STDERR_FILENO, bl_buf_str(&session->held), session->held.len);
	r = run(session, words, -1, true, &status, err);
	if (r < 0)
		return r;
	if (status != 0 && session->interrupts < PATIENCE) {
		drain(session);
		return bl_err_set(err, BL_EX_INTERNAL, EIO,
				  "the runtime did not start the container");
	}
	session->step = STARTED;
	session->waiting_for = session->container;
	for (int number = 1; number < 32; number++)
		if (session->deferred & (UINT32_C(1) << number))
			signal_container(session, number);
	r = wait_for(session, &status, err);
	drain(session);
	return r < 0 ? r : status;
}

/* What is said to the keeper. */
#define THERE	 "+" /* there is a container from now on */
#define ALL_GONE "-"

/* In a process that nobody waits for: where the pipe ends without the last word, whoever held it was killed. */
static _Noreturn void keep(const struct bl_runtime *runtime, int from)
{
	const char *const words[] = {"delete", "--force", runtime->id, NULL};
	const char *argv[WORDS_MAX];
	int null = open("/dev/null", O_RDWR);
	bool there = false;
	pid_t pid = -1;
	sigset_t none;
	ssize_t n;
	char word;

	(void)setsid();
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	while ((n = bl_sys_read(from, &word, 1)) > 0 && word == THERE[0])
		there = true;
	if (n != 0)
		_exit(0);
	if (there)
		pid = fork();
	if (pid == 0) {
		compose(runtime, words, argv);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	(void)bl_fs_remove_tree(AT_FDCWD, runtime->bundle, NULL);
	_exit(0);
}

/*
 * A SIGKILL takes us and the runtime (become()), but the container would live on, and nobody would
 * know of it. So a keeper outlives us, deletes it, and removes the bundle. It is nobody's child by the
 * time that we become the one to whom orphans go: waiting for what is left must come to an end. Returns
 * the pipe to it.
 */
static int start_keeper(const struct bl_runtime *runtime, struct bl_err *err)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return bl_err_sys(err, errno, "pipe");
	pid = fork();
	if (pid == 0) {
		(void)close(ends[1]);
		if (fork() != 0)
			_exit(0);
		keep(runtime, ends[0]);
	}
	(void)close(ends[0]);
	if (pid > 0)
		(void)waitpid(pid, NULL, 0);
	return ends[1];
}

static void release_keeper(int *keeper)
{
	if (*keeper >= 0)
		(void)bl_sys_write_all(*keeper, ALL_GONE, 1);
	bl_cleanup_fd(keeper);
}

/* nohup(1) has the terminal's end kept from us, and so from the server. (What a shell ignores for its jobs in
 * the background is meant where somebody sends it.) */
static bool is_held_back(int number)
{
	struct sigaction now;

	return number == SIGHUP && sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

int bl_runtime_heed(sigset_t *ret, struct bl_err *err)
{
	(void)sigemptyset(ret);
	(void)sigaddset(ret, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++)
		if (!is_held_back(forwarded[i]))
			(void)sigaddset(ret, forwarded[i]);
	return sigprocmask(SIG_BLOCK, ret, NULL) < 0 ? bl_err_sys(err, errno, "block signals") : 0;
}

int bl_runtime_run(const struct bl_runtime *runtime, const sigset_t *heeded, struct bl_err *err)
{
	__attribute__((cleanup(release_keeper))) int keeper = start_keeper(runtime, err);
	struct session session = {
		.runtime = runtime, .signals = -1, .said = -1, .holding = true, .step = CREATING};
	auto_buf held = BL_BUF_INIT(SAID_MAX);
	auto_fd signals = -1;
	int ends[2];
	bool ours = false;
	int r;

	if (keeper < 0)
		return keeper;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return bl_err_sys(err, errno, "prepare to wait");
	signals = signalfd(-1, heeded, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return bl_err_sys(err, errno, "prepare to wait");
	session.signals = signals;
	session.said = ends[0];
	session.held = held;
	r = runtime->id_given ? check_id(&session, err) : 0;
	if (r == 0) {
		(void)bl_sys_write_all(keeper, THERE, 1);
		r = create(&session, ends[1], err);
		/* A given id may be another's since we looked; a runtime that fails leaves nothing itself. */
		ours = r == 0 || !runtime->id_given || session.stopped_by || session.cut_short;
	}
	(void)close(ends[1]);
	if (r == 0)
		r = start_and_wait(&session, err);
	if (ours)
		delete_container(&session);
	if (session.said >= 0)
		(void)close(session.said);
	bl_buf_done(&session.held);
	return r;
}
