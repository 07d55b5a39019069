// SPDX-License-Identifier: Apache-2.0
#include "common/sys.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/fsuid.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"

/* From <linux/stat.h>, which cannot stand beside every C library's <sys/stat.h>. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif

#define OPENAT2_TRIES 64

/* ---- The seam ---- */

#ifdef BL_FAULTS

static const struct {
	const char *name;
	int number;
} fault_errnos[] = {
	{"EPERM", EPERM},	    {"ENOENT", ENOENT},	  {"EIO", EIO},
	{"EBADF", EBADF},	    {"EAGAIN", EAGAIN},	  {"ENOMEM", ENOMEM},
	{"EACCES", EACCES},	    {"EBUSY", EBUSY},	  {"EEXIST", EEXIST},
	{"EXDEV", EXDEV},	    {"ENODEV", ENODEV},	  {"ENOTDIR", ENOTDIR},
	{"EISDIR", EISDIR},	    {"EINVAL", EINVAL},	  {"ENFILE", ENFILE},
	{"EMFILE", EMFILE},	    {"EFBIG", EFBIG},	  {"ENOSPC", ENOSPC},
	{"EROFS", EROFS},	    {"EMLINK", EMLINK},	  {"ELOOP", ELOOP},
	{"ENOSYS", ENOSYS},	    {"EDQUOT", EDQUOT},	  {"EOVERFLOW", EOVERFLOW},
	{"ESRCH", ESRCH},	    {"EINTR", EINTR},	  {"ESTALE", ESTALE},
	{"EOPNOTSUPP", EOPNOTSUPP}, {"EUSERS", EUSERS},	  {"EPIPE", EPIPE},
	{"ETXTBSY", ETXTBSY},	    {"ENXIO", ENXIO},	  {"ECONNREFUSED", ECONNREFUSED},
	{"ECONNRESET", ECONNRESET}, {"ENOBUFS", ENOBUFS},
};

#define FAULT_RULES 16
#define FAULT_SKIP  (-1)
#define FAULT_SHORT (-2)

static struct fault_rule {
	char call[32];
	char what[16];
	unsigned long nth; /* 0: every */
	unsigned long seen;
} fault_rules[FAULT_RULES];
static size_t fault_count;

/* Tells who opens the gate for writing that this thread is here, and goes on when they close it. */
static void wait_at_gate(void)
{
	const char *gate = getenv("BL_FAULT_GATE");
	auto_fd fd = gate ? open(gate, O_RDONLY | O_CLOEXEC) : -1;
	char byte;

	while (fd >= 0 && read(fd, &byte, 1) > 0)
		;
}

__attribute__((constructor)) static void fault_init(void)
{
	const char *text = getenv("BL_FAULT");
	auto_free char *copy = text ? strdup(text) : NULL;
	char *save = NULL;

	for (char *rule = copy ? strtok_r(copy, ",", &save) : NULL;
	     rule && fault_count < FAULT_RULES; rule = strtok_r(NULL, ",", &save)) {
		struct fault_rule *to = &fault_rules[fault_count];
		char *what = strchr(rule, ':');
		char *nth = what ? strchr(what + 1, ':') : NULL;

		if (!what)
			continue;
		*what++ = '\0';
		if (nth)
			*nth++ = '\0';
		strncpy(to->call, rule, sizeof(to->call) - 1);
		strncpy(to->what, what, sizeof(to->what) - 1);
		to->nth = nth ? strtoul(nth, NULL, 10) : 0;
		fault_count++;
	}
}

/* What a rule makes of the call: an errno, FAULT_SKIP, FAULT_SHORT, or 0. */
static int fault_carry_out(const struct fault_rule *rule)
{
	if (strcmp(rule->what, "KILL") == 0)
		(void)kill(getpid(), SIGKILL);
	if (strcmp(rule->what, "STOP") == 0)
		(void)kill(getpid(), SIGSTOP);
	if (strcmp(rule->what, "WAIT") == 0)
		wait_at_gate();
	if (strcmp(rule->what, "SKIP") == 0)
		return FAULT_SKIP;
	if (strcmp(rule->what, "SHORT") == 0)
		return FAULT_SHORT;
	for (size_t e = 0; e < sizeof(fault_errnos) / sizeof(*fault_errnos); e++)
		if (strcmp(rule->what, fault_errnos[e].name) == 0)
			return fault_errnos[e].number;
	return 0;
}

/* What is to become of this call: the first of its rules that holds says it; all of them count it. */
static int fault(const char *call)
{
	int result = 0;

	for (size_t i = 0; i < fault_count; i++) {
		struct fault_rule *rule = &fault_rules[i];
		unsigned long seen;

		if (strcmp(rule->call, call) != 0)
			continue;
		seen = __atomic_add_fetch(&rule->seen, 1, __ATOMIC_RELAXED);
		if (result == 0 && (rule->nth == 0 || seen == rule->nth))
			result = fault_carry_out(rule);
	}
	return result;
}

void bl_sys_point(const char *name)
{
	(void)fault(name);
}

/* For a call that moves up to len bytes: SHORT makes that one. */
#define FAULT_MOVE(call, len)                                          \
	do {                                                           \
		int bl_fault = fault(call);                            \
		if (bl_fault == FAULT_SHORT)                           \
			(len) = (len) > 0 ? 1 : 0;                     \
		else if (bl_fault)                                     \
			return bl_fault == FAULT_SKIP ? 0 : -bl_fault; \
	} while (0)
#define FAULT(call)                        \
	do {                               \
		size_t bl_none = 0;        \
		FAULT_MOVE(call, bl_none); \
	} while (0)
#else
#define FAULT_MOVE(call, len) \
	do {                  \
	} while (0)
#define FAULT(call) \
	do {        \
	} while (0)
#endif

/* Returns from the caller with the result of a call, or -errno. */
#define RETURN_CALL(call, expression)                           \
	do {                                                    \
		long bl_result;                                 \
		FAULT(call);                                    \
		bl_result = (long)(expression);                 \
		return bl_result < 0 ? -errno : (int)bl_result; \
	} while (0)

/* ---- Mounts ---- */

int bl_sys_open_tree_clone(int dirfd, const char *path, bool recursive)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
			 (recursive ? AT_RECURSIVE : 0U);

	RETURN_CALL("open_tree", syscall(SYS_open_tree, dirfd, path, flags));
}

int bl_sys_mount_setattr(int fd, uint64_t set, uint64_t clear, bool recursive)
{
	struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = MS_PRIVATE};
	unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);

	RETURN_CALL("mount_setattr",
		    syscall(SYS_mount_setattr, fd, "", flags, &attr, sizeof(attr)));
}

int bl_sys_move_mount(int from, int to)
{
	RETURN_CALL("move_mount", syscall(SYS_move_mount, from, "", to, "",
					  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

int bl_sys_fsopen(const char *filesystem)
{
	RETURN_CALL("fsopen", syscall(SYS_fsopen, filesystem, FSOPEN_CLOEXEC));
}

int bl_sys_fsconfig_flag(int fs, const char *key)
{
	RETURN_CALL("fsconfig", syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, key, NULL, 0));
}

int bl_sys_fsconfig_string(int fs, const char *key, const char *value)
{
	RETURN_CALL("fsconfig", syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, key, value, 0));
}

int bl_sys_fsconfig_create(int fs)
{
	RETURN_CALL("fsconfig", syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

int bl_sys_fsmount(int fs, unsigned set)
{
	RETURN_CALL("fsmount", syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, set));
}

int bl_sys_fspick(int fd)
{
	RETURN_CALL("fspick", syscall(SYS_fspick, fd, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH));
}

int bl_sys_fsconfig_reconfigure(int fs)
{
	RETURN_CALL("fsconfig", syscall(SYS_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
}

int bl_sys_umount2(const char *path, int flags)
{
	RETURN_CALL("umount2", syscall(SYS_umount2, path, flags));
}

/* ---- Paths on handles ---- */

int bl_sys_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.mode = mode,
		.resolve = resolve,
	};
	long fd;
	int tries = 0;

	FAULT("openat2");
	do {
		fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < OPENAT2_TRIES)));
	return fd < 0 ? -errno : (int)fd;
}

int bl_sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	int fd;

	FAULT("openat");
	do {
		fd = openat(dirfd, path, flags | O_CLOEXEC, mode);
	} while (fd < 0 && errno == EINTR);
	return fd < 0 ? -errno : fd;
}

int bl_sys_mkdirat(int dirfd, const char *name, mode_t mode)
{
	RETURN_CALL("mkdirat", mkdirat(dirfd, name, mode));
}

int bl_sys_mkfifoat(int dirfd, const char *name, mode_t mode)
{
	RETURN_CALL("mkfifoat", mkfifoat(dirfd, name, mode));
}

int bl_sys_unlinkat(int dirfd, const char *name, int flags)
{
	RETURN_CALL("unlinkat", unlinkat(dirfd, name, flags));
}

int bl_sys_linkat(int olddir, const char *oldname, int newdir, const char *newname, int flags)
{
	RETURN_CALL("linkat", linkat(olddir, oldname, newdir, newname, flags));
}

int bl_sys_renameat2(int olddir, const char *oldname, int newdir, const char *newname,
		     unsigned flags)
{
	RETURN_CALL("renameat2", syscall(SYS_renameat2, olddir, oldname, newdir, newname, flags));
}

int bl_sys_fstatat(int dirfd, const char *name, struct stat *ret, int flags)
{
	RETURN_CALL("fstatat", fstatat(dirfd, name, ret, flags));
}

int bl_sys_fstat(int fd, struct stat *ret)
{
	RETURN_CALL("fstat", fstat(fd, ret));
}

int bl_sys_fstatvfs(int fd, struct statvfs *ret)
{
	RETURN_CALL("fstatvfs", fstatvfs(fd, ret));
}

ssize_t bl_sys_readlinkat(int dirfd, const char *name, char *ret, size_t size)
{
	ssize_t n;

	FAULT("readlinkat");
	n = readlinkat(dirfd, name, ret, size);
	return n < 0 ? -errno : n;
}

int bl_sys_dup(int fd)
{
	RETURN_CALL("dup", fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
}

int bl_sys_fchmod(int fd, mode_t mode)
{
	RETURN_CALL("fchmod", fchmod(fd, mode));
}

int bl_sys_fchownat(int dirfd, const char *name, uid_t uid, gid_t gid, int flags)
{
	RETURN_CALL("fchownat", fchownat(dirfd, name, uid, gid, flags));
}

int bl_sys_readdir(DIR *dir, const struct dirent **ret)
{
	const struct dirent *entry;

	FAULT("readdir");
	do {
		errno = 0;
		entry = readdir(dir);
	} while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	if (!entry)
		return -errno;
	*ret = entry;
	return 1;
}

int bl_sys_getdents(int dirfd, void *entries, size_t len)
{
	RETURN_CALL("getdents", syscall(SYS_getdents64, dirfd, entries, len));
}

int bl_sys_mount_id(int dirfd, const char *path, uint64_t *ret)
{
	/* struct statx of statx(2): stx_mask first, stx_mnt_id at byte 144. */
	union {
		struct {
			uint32_t mask;
			uint8_t skipped[140];
			uint64_t mount_id;
		} as;
		uint8_t whole[256];
	} buf = {.whole = {0}};

	FAULT("statx");
	/* Of the mount alone: whoever serves the file system (a FUSE daemon) is not to be asked. */
	if (syscall(SYS_statx, dirfd, path,
		    AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC,
		    STATX_MNT_ID, &buf) < 0)
		return -errno;
	if (!(buf.as.mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	*ret = buf.as.mount_id;
	return 0;
}

/* ---- Bytes ---- */

int bl_sys_write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	FAULT("write");
	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

int bl_sys_pwrite_all(int fd, const void *data, size_t len, off_t offset)
{
	const char *at = data;

	FAULT("pwrite");
	while (len > 0) {
		ssize_t n = pwrite(fd, at, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		offset += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t bl_sys_read(int fd, void *data, size_t len)
{
	ssize_t n;

	FAULT("read");
	do {
		n = read(fd, data, len);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t bl_sys_pread(int fd, void *data, size_t len, off_t offset)
{
	ssize_t n;

	FAULT("pread");
	do {
		n = pread(fd, data, len, offset);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int bl_sys_fsync(int fd)
{
	RETURN_CALL("fsync", fsync(fd));
}

int bl_sys_fdatasync(int fd)
{
	RETURN_CALL("fdatasync", fdatasync(fd));
}

int bl_sys_write_back(int fd)
{
	RETURN_CALL("write_back", sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
}

ssize_t bl_sys_splice(int from, int to, size_t len)
{
	ssize_t n;

	FAULT("splice");
	do {
		n = splice(from, NULL, to, NULL, len, SPLICE_F_MOVE);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

ssize_t bl_sys_splice_to(int pipe, int fd, off_t offset, size_t len)
{
	loff_t at = offset;
	ssize_t n;

	FAULT("splice_to");
	do {
		n = splice(pipe, NULL, fd, &at, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int bl_sys_ftruncate(int fd, off_t length)
{
	RETURN_CALL("ftruncate", ftruncate(fd, length));
}

int bl_sys_fallocate(int fd, int mode, off_t offset, off_t length)
{
	RETURN_CALL("fallocate", fallocate(fd, mode, offset, length));
}

/* ---- Sockets ---- */

int bl_sys_socket(void)
{
	RETURN_CALL("socket", socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int bl_sys_connect(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len + 1);
	RETURN_CALL("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
}

int bl_sys_peer(int fd, uid_t *ret_uid, pid_t *ret_pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	FAULT("peer");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	if (len != sizeof(peer))
		return -EINVAL;
	*ret_uid = peer.uid;
	*ret_pid = peer.pid;
	return 0;
}

ssize_t bl_sys_send(int fd, const void *data, size_t len)
{
	ssize_t n;

	FAULT_MOVE("send", len);
	n = send(fd, data, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

ssize_t bl_sys_recv(int fd, void *data, size_t len)
{
	ssize_t n;

	FAULT_MOVE("recv", len);
	n = recv(fd, data, len, 0);
	return n < 0 ? -errno : n;
}

int bl_sys_poll(struct pollfd *fds, size_t n, int timeout_ms)
{
	RETURN_CALL("poll", poll(fds, n, timeout_ms));
}

int bl_sys_accept(int listener)
{
	RETURN_CALL("accept", accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

/* ---- Processes and namespaces ---- */

void bl_sys_coarse_time(struct timespec *ret)
{
	(void)syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, ret);
}

int bl_sys_pidfd_open(pid_t pid)
{
	int fd;

	FAULT("pidfd_open");
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd >= 0)
		return fd;
	/* A thread's number is no process's; kernels have said so in two ways. */
	return pid > 0 && (errno == EINVAL || errno == ENOENT) ? -ESRCH : -errno;
}

int bl_sys_pidfd_send_signal(int pidfd, int signal)
{
	RETURN_CALL("pidfd_send_signal", syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

int bl_sys_setns(int fd, int nstype)
{
	RETURN_CALL("setns", setns(fd, nstype));
}

int bl_sys_unshare(int flags)
{
	RETURN_CALL("unshare", unshare(flags));
}

int bl_sys_fchdir(int fd)
{
	RETURN_CALL("fchdir", fchdir(fd));
}

/* Makes every permitted capability effective. */
static int raise_capabilities(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].effective = data[0].permitted;
	data[1].effective = data[1].permitted;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int bl_sys_setfsids(uid_t uid, gid_t gid)
{
	FAULT("setfsids");
	/* Both return the id before, never an error: the second call shows what the first did. */
	(void)setfsgid(gid);
	(void)setfsuid(uid);
	if ((gid_t)setfsgid((gid_t)-1) != gid || (uid_t)setfsuid((uid_t)-1) != uid)
		return -EPERM;
	return raise_capabilities();
}

int bl_sys_fork(void)
{
	RETURN_CALL("fork", syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L));
}

#ifdef SYS_landlock_create_ruleset
int bl_sys_landlock_create(uint64_t access)
{
	/* struct landlock_ruleset_attr of its first version. */
	const uint64_t attr = access;

	RETURN_CALL("landlock", syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0));
}

int bl_sys_landlock_allow(int rules, int beneath, uint64_t access)
{
	/* struct landlock_path_beneath_attr; LANDLOCK_RULE_PATH_BENEATH is 1. */
	const struct __attribute__((packed)) {
		uint64_t allowed;
		int32_t parent;
	} attr = {.allowed = access, .parent = beneath};

	RETURN_CALL("landlock", syscall(SYS_landlock_add_rule, rules, 1, &attr, 0));
}

int bl_sys_landlock_restrict(int rules)
{
	RETURN_CALL("landlock", syscall(SYS_landlock_restrict_self, rules, 0));
}
#else
int bl_sys_landlock_create(uint64_t access)
{
	(void)access;
	return -ENOSYS;
}

int bl_sys_landlock_allow(int rules, int beneath, uint64_t access)
{
	(void)rules;
	(void)beneath;
	(void)access;
	return -ENOSYS;
}

int bl_sys_landlock_restrict(int rules)
{
	(void)rules;
	return -ENOSYS;
}
#endif

int bl_sys_close_from(unsigned first)
{
	struct rlimit limit;

	FAULT("close_range");
	if (syscall(SYS_close_range, first, ~0U, 0) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	/* That many would take longer than anybody waits. (One above a limit that was lowered since is missed.) */
	if (limit.rlim_max > 1048576)
		return -ENOSYS;
	for (unsigned fd = first; fd < limit.rlim_max; fd++)
		(void)close((int)fd);
	return 0;
}

/* ---- Signals ---- */

int bl_sys_sigmask(uint64_t mask)
{
	RETURN_CALL("sigmask", syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask)));
}

int bl_sys_signals_default(void)
{
	/* struct kernel_sigaction of the 64-bit architectures: SIG_DFL, no flags, no mask. */
	static const uint64_t plain[4];

	FAULT("signals_default");
	for (int n = 1; n <= BL_SIGNALS; n++) {
		if (n == SIGKILL || n == SIGSTOP)
			continue;
		if (syscall(SYS_rt_sigaction, n, plain, NULL, sizeof(uint64_t)) < 0)
			return -errno;
	}
	return 0;
}

int bl_sys_signalfd(uint64_t mask)
{
	RETURN_CALL("signalfd", syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC));
}

/* ---- Identity and privileges ---- */

int bl_sys_get_ids(struct bl_sys_ids *ret)
{
	FAULT("getids");
	if (getresuid(&ret->real_uid, &ret->effective_uid, &ret->saved_uid) < 0 ||
	    getresgid(&ret->real_gid, &ret->effective_gid, &ret->saved_gid) < 0)
		return -errno;
	/* An id that does not exist changes nothing and tells the present one. */
	ret->fs_uid = (uid_t)syscall(SYS_setfsuid, -1);
	ret->fs_gid = (gid_t)syscall(SYS_setfsgid, -1);
	return 0;
}

/* The calls themselves, not the C library's: it would look for threads that are not there. */
int bl_sys_setresuid(uid_t uid)
{
	RETURN_CALL("setresuid", syscall(SYS_setresuid, uid, uid, uid));
}

int bl_sys_setresgid(gid_t gid)
{
	RETURN_CALL("setresgid", syscall(SYS_setresgid, gid, gid, gid));
}

int bl_sys_setgroups(const gid_t *groups, size_t n)
{
	RETURN_CALL("setgroups", syscall(SYS_setgroups, n, groups));
}

int bl_sys_getgroups(gid_t *groups, size_t n)
{
	RETURN_CALL("getgroups", syscall(SYS_getgroups, n, groups));
}

int bl_sys_capget(struct bl_sys_caps *ret)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	FAULT("capget");
	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	ret->effective = (uint64_t)data[1].effective << 32 | data[0].effective;
	ret->permitted = (uint64_t)data[1].permitted << 32 | data[0].permitted;
	ret->inheritable = (uint64_t)data[1].inheritable << 32 | data[0].inheritable;
	return 0;
}

int bl_sys_capset(const struct bl_sys_caps *caps)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)caps->effective, (uint32_t)caps->permitted, (uint32_t)caps->inheritable},
		{(uint32_t)(caps->effective >> 32), (uint32_t)(caps->permitted >> 32),
		 (uint32_t)(caps->inheritable >> 32)},
	};

	RETURN_CALL("capset", syscall(SYS_capset, &header, data));
}

int bl_sys_capbset_drop(unsigned cap)
{
	RETURN_CALL("capbset_drop", prctl(PR_CAPBSET_DROP, (unsigned long)cap, 0UL, 0UL, 0UL));
}

int bl_sys_capbset_read(unsigned cap)
{
	RETURN_CALL("capbset_read", prctl(PR_CAPBSET_READ, (unsigned long)cap, 0UL, 0UL, 0UL));
}

int bl_sys_ambient_clear(void)
{
	RETURN_CALL("ambient_clear",
		    prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL));
}

int bl_sys_ambient_raise(unsigned cap)
{
	RETURN_CALL("ambient_raise", prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_RAISE,
					   (unsigned long)cap, 0UL, 0UL));
}

int bl_sys_ambient_read(unsigned cap)
{
	RETURN_CALL("ambient_read", prctl(PR_CAP_AMBIENT, (unsigned long)PR_CAP_AMBIENT_IS_SET,
					  (unsigned long)cap, 0UL, 0UL));
}

int bl_sys_set_keepcaps(bool keep)
{
	RETURN_CALL("set_keepcaps", prctl(PR_SET_KEEPCAPS, keep ? 1UL : 0UL, 0UL, 0UL, 0UL));
}

int bl_sys_set_no_new_privs(void)
{
	RETURN_CALL("set_no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL));
}

int bl_sys_get_no_new_privs(void)
{
	RETURN_CALL("get_no_new_privs", prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL));
}

int bl_sys_set_dumpable(bool dumpable)
{
	RETURN_CALL("set_dumpable", prctl(PR_SET_DUMPABLE, dumpable ? 1UL : 0UL, 0UL, 0UL, 0UL));
}

int bl_sys_set_subreaper(void)
{
	RETURN_CALL("set_subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1UL, 0UL, 0UL, 0UL));
}

int bl_sys_set_seccomp(const void *filter, unsigned short n)
{
	/* The kernel only reads the program, whatever its header says. */
	struct sock_fprog program = {.len = n, .filter = (struct sock_filter *)(uintptr_t)filter};

	RETURN_CALL("set_seccomp", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

int bl_sys_get_seccomp(void)
{
	RETURN_CALL("get_seccomp", prctl(PR_GET_SECCOMP, 0UL, 0UL, 0UL, 0UL));
}
