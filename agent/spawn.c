// SPDX-License-Identifier: Apache-2.0
/*
 *   step in the child, in this order           why there
 *   Landlock                                   first: its rules are a descriptor
 *   descriptors 0 to 4, the rest closed        nothing of the agent's is inherited
 *   setsid, signals as at boot                 a terminal's ^C is the agent's alone
 *   rlimits                                    need no privilege, bound all that follows
 *   capability bounding set                    needs CAP_SETPCAP, so before the user changes
 *   groups, gid, uid                           takes the capabilities along
 *   parent-death signal                        is cleared by a change of user
 *   no_new_privs, system call filter           last: the steps before need what it denies
 *   execveat on the handle                     the path need not be open to that user
 */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/confine.h"
#include "agent/filter.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/job.h"
#include "common/program.h"
#include "common/sys.h"

#define FETCH_USER "ballast-fetch"
#define NOBODY	   65534
#define MAX_FILES  1024
#define MAX_MEMORY (2ULL << 30) /* bytes of data */
#define PIPE_SIZE  (1024 * 1024)
#define OOM_SCORE  "500" /* of 1000, proc(5) */

void bl_spawn_user(uid_t *ret_uid, gid_t *ret_gid)
{
	const struct passwd *user = getpwnam(FETCH_USER);

	*ret_uid = user ? user->pw_uid : NOBODY;
	*ret_gid = user ? user->pw_gid : NOBODY;
}

int bl_spawn_init(struct bl_spawn *spawn, const char *program, const bl_json *job, bool noisy,
		  struct bl_err *err)
{
	char room[BL_PROGRAM_PATH_MAX];
	const char *path =
		program ? program : bl_program_find("ballast-fetch", BL_PATH_FETCH, room);
	auto_fd fd = bl_sys_openat(AT_FDCWD, path, O_PATH, 0);
	struct sock_fprog filter;
	auto_fd namespace = -1;
	auto_fd rules = -1;
	struct stat st;
	int r;

	if (fd < 0)
		return bl_err_set(err, BL_EX_CONFIG, -fd,
				  "the fetch program '%s': %s; make install puts it there, "
				  "--fetch=PROGRAM names another",
				  path, strerror(-fd));
	r = bl_sys_fstat(fd, &st);
	if (r < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 022))
		return bl_err_config(
			err,
			"the fetch program '%s' is no regular file, or others than its "
			"owner may write it; chmod 755 it, or name another with --fetch=PROGRAM",
			path);
	namespace = bl_sys_openat(AT_FDCWD, "/proc/self/ns/pid", O_RDONLY, 0);
	if (namespace < 0)
		return bl_err_sys(err, -namespace, "open '/proc/self/ns/pid'");
	/* Each process gets its own: these only show whether there can be any. */
	rules = bl_confine_build(fd, job, false, err);
	if (rules < 0 && rules != -EOPNOTSUPP)
		return rules;
	r = bl_filter_build(&filter, err);
	if (r < 0)
		return r;
	*spawn = (struct bl_spawn){.filter = filter,
				   .namespace = TAKE_FD(namespace),
				   .confined = rules >= 0,
				   .job = job,
				   .program = TAKE_FD(fd),
				   .noisy = noisy};
	bl_spawn_user(&spawn->uid, &spawn->gid);
	return 0;
}

void bl_spawn_done(struct bl_spawn *spawn)
{
	bl_filter_free(&spawn->filter);
	bl_cleanup_fd(&spawn->namespace);
	bl_cleanup_fd(&spawn->program);
	spawn->namespace = spawn->program = -1;
}

/* ---- In the child: nothing here allocates or takes a lock ---- */

static int set_limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) < 0)
		return -errno;
	if (limit.rlim_max < most)
		most = limit.rlim_max;
	limit.rlim_cur = limit.rlim_max = most;
	return setrlimit(what, &limit) < 0 ? -errno : 0;
}

static int limit_resources(bool noisy)
{
	/* It writes to no file; only its messages may go to one. */
	if (!noisy && set_limit(RLIMIT_FSIZE, 0) < 0)
		return -EPERM;
	/* A core would hold the secret. */
	if (set_limit(RLIMIT_CORE, 0) < 0 || set_limit(RLIMIT_NOFILE, MAX_FILES) < 0 ||
	    set_limit(RLIMIT_MEMLOCK, 0) < 0 || set_limit(RLIMIT_MSGQUEUE, 0) < 0)
		return -EPERM;
#ifndef __SANITIZE_ADDRESS__
	if (set_limit(RLIMIT_DATA, MAX_MEMORY) < 0)
		return -EPERM;
#endif
	return 0;
}

static int drop_privilege(uid_t uid, gid_t gid)
{
	uid_t real, effective, saved;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	if (getresuid(&real, &effective, &saved) < 0 || real != uid || effective != uid ||
	    saved != uid || setuid(0) == 0)
		return -EPERM;
	return 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int signal_number = 1; signal_number < NSIG; signal_number++)
		(void)signal(signal_number, SIG_DFL);
	/* A write to a file fails, and is not a crash. */
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

#define PROGRAM (BL_JOB_PIPE_FD + 1)

/* Lays out descriptors 0 to 4 and `program` as 5; everything else is closed. */
static int lay_out(int input, int output, int socket_fd, int bytes, int program)
{
	int from[] = {input, output, output, socket_fd, bytes, program};
	const int count = sizeof(from) / sizeof(*from);

	for (int i = 0; i < count; i++) {
		from[i] = fcntl(from[i], F_DUPFD, 16);
		if (from[i] < 0)
			return -errno;
	}
	for (int i = 0; i < count; i++)
		if (dup2(from[i], i) < 0)
			return -errno;
	return fcntl(count - 1, F_SETFD, FD_CLOEXEC) < 0 ? -errno
							 : bl_sys_close_from((unsigned)count);
}

/* Where memory runs out a download goes before servers do, and before the agent: it can begin again. */
static void be_the_first_to_go(void)
{
	auto_fd fd = bl_sys_openat(AT_FDCWD, "/proc/self/oom_score_adj", O_RDWR, 0);
	char text[16];
	ssize_t n = fd < 0 ? fd : bl_sys_read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	/* In a Pod the agent may be more of a candidate than that, and so is what it starts. */
	if (n > 0 && strtol(text, NULL, 10) < strtol(OOM_SCORE, NULL, 10))
		(void)bl_sys_write_all(fd, OOM_SCORE, strlen(OOM_SCORE));
}

struct child {
	const struct bl_spawn *spawn;
	int input, output, socket, bytes;
	bool files;
};

static _Noreturn void child(const struct child *from)
{
	const struct bl_spawn *spawn = from->spawn;
	static char name[] = "ballast-fetch";
	static char verb[] = "job";
	char *argv[] = {name, verb, NULL};
	char *envp[] = {NULL};

	be_the_first_to_go();
	/* Root needs no no_new_privs for it; what is open already stays so. The rules are made anew, for they
	 * hold what lay at a path then: file roots are mounted later, ca_file is replaced. */
	if (spawn->confined) {
		int rules = bl_confine_build(spawn->program, spawn->job, from->files, NULL);

		if (rules < 0 || bl_sys_landlock_restrict(rules) < 0)
			_exit(125);
	}
	if (lay_out(from->input, from->output, from->socket, from->bytes, spawn->program) < 0)
		_exit(125);
	(void)setsid();
	(void)umask(077);
	reset_signals();
	if (chdir("/") < 0 || limit_resources(spawn->noisy) < 0 ||
	    drop_privilege(spawn->uid, spawn->gid) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &spawn->filter, 0, 0) < 0)
		_exit(125);
	(void)fexecve(PROGRAM, argv, envp);
	_exit(126);
}

/* ---- In the agent ---- */

/*
 * As fork(2) does, but into a process namespace of its own. fork itself, so that the C library's
 * locks and lists are those of a process with one thread; only the loop's thread comes here, and
 * the namespace for children is a thread's own.
 */
static pid_t start(const struct bl_spawn *spawn, const struct child *from)
{
	int r = bl_sys_unshare(CLONE_NEWPID);
	pid_t pid;

	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		child(from);
	if (pid < 0)
		pid = -errno;
	r = bl_sys_setns(spawn->namespace, CLONE_NEWPID);
	if (r < 0 && pid > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	return r < 0 ? r : pid;
}

int bl_spawn_start(const struct bl_spawn *spawn, bool files, struct bl_process *ret,
		   struct bl_err *err)
{
	int input[2] = {-1, -1};
	int sockets[2] = {-1, -1};
	int bytes[2] = {-1, -1};
	auto_fd quiet = spawn->noisy ? -1 : bl_sys_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
	pid_t pid;

	if (!spawn->noisy && quiet < 0)
		return bl_err_sys(err, -quiet, "open /dev/null");
	if (pipe2(input, O_CLOEXEC) < 0)
		return bl_err_sys(err, errno, "pipe");
	auto_fd theirs = input[0];
	auto_fd ours = input[1];
	if (pipe2(bytes, O_CLOEXEC) < 0)
		return bl_err_sys(err, errno, "pipe");
	auto_fd their_bytes = bytes[1];
	auto_fd our_bytes = bytes[0];
	/* A smaller one does as well, a little slower. */
	(void)fcntl(our_bytes, F_SETPIPE_SZ, PIPE_SIZE);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return bl_err_sys(err, errno, "socketpair");
	auto_fd their_socket = sockets[1];
	auto_fd our_socket = sockets[0];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0 || fcntl(our_socket, F_SETFL, O_NONBLOCK) < 0)
		return bl_err_sys(err, errno, "fcntl");
	pid = start(spawn, &(struct child){spawn, theirs, spawn->noisy ? STDERR_FILENO : quiet,
					   their_socket, their_bytes, files});
	if (pid < 0)
		return bl_err_sys(err, -pid, "start the fetch process");
	*ret = (struct bl_process){.pid = pid,
				   .pidfd = bl_sys_pidfd_open(pid),
				   .input = -1,
				   .socket = -1,
				   .bytes = -1};
	if (ret->pidfd < 0) {
		int r = ret->pidfd;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return bl_err_sys(err, -r, "pidfd_open");
	}
	ret->input = TAKE_FD(ours);
	ret->socket = TAKE_FD(our_socket);
	ret->bytes = TAKE_FD(our_bytes);
	return 0;
}
