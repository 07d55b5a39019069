/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls, each returning >= 0 or -errno. This file alone uses syscall(2) and <linux/mount.h>:
 * what the C library lacks is here, and so is every call whose failure a test must be able to
 * cause (files, mounts, namespaces, identity). Call these rather than the C library's where they
 * exist; interrupted calls (EINTR) are retried here where that is right, close() never.
 *
 * The seam. Built with -DBL_FAULTS (make FAULTS=1; never installed), BL_FAULT in the environment
 * holds rules "CALL:WHAT[:NTH][,...]": the NTH (default: every) call of bl_sys_CALL fails with the
 * errno WHAT (ENOSPC), or WHAT is KILL (SIGKILL to ourselves before the call), STOP (SIGSTOP), WAIT
 * (this thread alone, until somebody has opened the FIFO BL_FAULT_GATE for writing and closed it),
 * SKIP (the call is not made and says 0: does the caller read back what it set?) or SHORT (send and
 * recv move one byte).
 * bl_sys_point("name") is a place without a call where KILL, STOP and WAIT work just so. In a normal
 * build none of it exists.
 */
#ifndef BL_SYS_H
#define BL_SYS_H

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>

/* ---- Mounts (mount_setattr(2), open_tree(2), fsopen(2) ...; Linux 5.12 and later) ---- */

/* Attributes of bl_sys_mount_setattr(), as in <linux/mount.h>. */
#define BL_MOUNT_RDONLY 0x1U
#define BL_MOUNT_NOSUID 0x2U
#define BL_MOUNT_NODEV	0x4U
#define BL_MOUNT_NOEXEC 0x8U

/* A detached clone of the mount at path (a handle with path ""): close-on-exec descriptor. */
int bl_sys_open_tree_clone(int dirfd, const char *path, bool recursive);
/* Sets attributes on the mount that fd (of open_tree or fsmount) is, and makes it private. */
int bl_sys_mount_setattr(int fd, uint64_t set, uint64_t clear, bool recursive);
/* Attaches the detached mount `from` on the handle `to` (an O_PATH descriptor). */
int bl_sys_move_mount(int from, int to);
int bl_sys_fsopen(const char *filesystem);
int bl_sys_fsconfig_flag(int fs, const char *key);
int bl_sys_fsconfig_string(int fs, const char *key, const char *value);
int bl_sys_fsconfig_create(int fs);
/* A detached mount of the created filesystem with the attributes `set`. */
int bl_sys_fsmount(int fs, unsigned set);
/* The superblock of the mount that fd is the root of, to be configured anew; then make it so. */
int bl_sys_fspick(int fd);
int bl_sys_fsconfig_reconfigure(int fs);
int bl_sys_umount2(const char *path, int flags);

/* ---- Paths on handles ---- */

#define BL_RESOLVE_NO_XDEV	 0x01U
#define BL_RESOLVE_NO_MAGICLINKS 0x02U
#define BL_RESOLVE_NO_SYMLINKS	 0x04U
#define BL_RESOLVE_BENEATH	 0x08U
#define BL_RESOLVE_IN_ROOT	 0x10U

/* openat2(2); O_CLOEXEC is added. EAGAIN (a racing rename) is retried a bounded number of times. */
int bl_sys_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve);
int bl_sys_openat(int dirfd, const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
int bl_sys_mkdirat(int dirfd, const char *name, mode_t mode);
int bl_sys_mkfifoat(int dirfd, const char *name, mode_t mode);
int bl_sys_unlinkat(int dirfd, const char *name, int flags);
int bl_sys_linkat(int olddir, const char *oldname, int newdir, const char *newname, int flags);
/* flags: RENAME_NOREPLACE, RENAME_EXCHANGE or 0. */
int bl_sys_renameat2(int olddir, const char *oldname, int newdir, const char *newname,
		     unsigned flags);
int bl_sys_fstatat(int dirfd, const char *name, struct stat *ret, int flags);
int bl_sys_fstat(int fd, struct stat *ret);
int bl_sys_fstatvfs(int fd, struct statvfs *ret);
/* The length of what the link says, which has no NUL at its end. */
ssize_t bl_sys_readlinkat(int dirfd, const char *name, char *ret, size_t size);
int bl_sys_dup(int fd); /* close-on-exec, above 0 to 2 */
int bl_sys_fchmod(int fd, mode_t mode);
int bl_sys_fchownat(int dirfd, const char *name, uid_t uid, gid_t gid, int flags);
/* The next entry but "." and "..": 1 and *ret, 0 at the end, or -errno: the end must be told from a
 * disk that fails. */
int bl_sys_readdir(DIR *dir, const struct dirent **ret);
int bl_sys_getdents(int dirfd, void *entries, size_t len); /* bytes of struct linux_dirent64 */
/* The id of the mount that a path lies on (statx(2), STATX_MNT_ID; it may be used again later). */
int bl_sys_mount_id(int dirfd, const char *path, uint64_t *ret);

/* ---- Bytes ---- */

int bl_sys_write_all(int fd, const void *data, size_t len); /* whole, or -errno */
int bl_sys_pwrite_all(int fd, const void *data, size_t len, off_t offset);
ssize_t bl_sys_read(int fd, void *data, size_t len);
ssize_t bl_sys_pread(int fd, void *data, size_t len, off_t offset);
int bl_sys_fsync(int fd);
int bl_sys_fdatasync(int fd);
int bl_sys_write_back(int fd); /* begins to write it to disk (sync_file_range); waits for nothing */
/* Moves up to len bytes from one pipe to another (splice(2)); how many. */
ssize_t bl_sys_splice(int from, int to, size_t len);
/* The same to a file, at the offset; -EAGAIN where the pipe is empty, 0 where it has ended. */
ssize_t bl_sys_splice_to(int pipe, int fd, off_t offset, size_t len);
int bl_sys_ftruncate(int fd, off_t length);
int bl_sys_fallocate(int fd, int mode, off_t offset, off_t length);

/* ---- Sockets ---- */

struct pollfd;

/* A stream socket of AF_UNIX, non-blocking and close-on-exec. */
int bl_sys_socket(void);
/* To the socket at path. -ENAMETOOLONG where no address can hold it; -EINTR, and -EAGAIN where the
 * listener's backlog is full, are the caller's to wait out, as are those of send, recv and poll. */
int bl_sys_connect(int fd, const char *path);
int bl_sys_peer(int fd, uid_t *ret_uid, pid_t *ret_pid); /* whose the other end is (SO_PEERCRED) */
ssize_t bl_sys_send(int fd, const void *data, size_t len); /* without SIGPIPE */
ssize_t bl_sys_recv(int fd, void *data, size_t len);
int bl_sys_poll(struct pollfd *fds, size_t n, int timeout_ms);
/* accept4(2), non-blocking and close-on-exec. */
int bl_sys_accept(int listener);

/* ---- Processes and namespaces ---- */

/* The clock that file systems take their times from, by a call: the C library's way through the vDSO
 * costs who asks once two page faults. */
void bl_sys_coarse_time(struct timespec *ret);

/* -ESRCH also where the number is a thread's by now. */
int bl_sys_pidfd_open(pid_t pid);
int bl_sys_pidfd_send_signal(int pidfd, int signal);
int bl_sys_setns(int fd, int nstype);
int bl_sys_unshare(int flags);
int bl_sys_fchdir(int fd);
/*
 * The ids that files are made with and checked by (setfsuid(2), this thread's). The capabilities
 * that the kernel takes from a thread whose file system uid is not 0 are made effective again.
 */
int bl_sys_setfsids(uid_t uid, gid_t gid);
/* fork(2) alone, without what the C library does around it: for a process without threads. */
int bl_sys_fork(void);
/*
 * Landlock: a set of rules that handles `access` (LANDLOCK_ACCESS_FS_*), what is allowed beneath an
 * O_PATH descriptor, and its application to this thread and what it executes. -ENOSYS, -EOPNOTSUPP
 * where the kernel lacks it.
 */
int bl_sys_landlock_create(uint64_t access);
int bl_sys_landlock_allow(int rules, int beneath, uint64_t access);
int bl_sys_landlock_restrict(int rules);
/* close_range(2) from first on; where it is lacking or denied, each below the hard limit: -ENOSYS where that
 * is more than 1048576. */
int bl_sys_close_from(unsigned first);

/* ---- Signals as the kernel counts them: all 64, those that the C library keeps too ---- */

#define BL_SIGNALS	 64
#define BL_SIGNAL_BIT(n) (1ULL << ((n)-1))

int bl_sys_sigmask(uint64_t mask);  /* blocks exactly these */
int bl_sys_signals_default(void);   /* every disposition is the default one */
int bl_sys_signalfd(uint64_t mask); /* blocking, close-on-exec */

/* ---- Identity and privileges of this (single-threaded) process ---- */

struct bl_sys_ids {
	uid_t real_uid, effective_uid, saved_uid, fs_uid;
	gid_t real_gid, effective_gid, saved_gid, fs_gid;
};

struct bl_sys_caps {
	uint64_t effective, permitted, inheritable;
};

int bl_sys_get_ids(struct bl_sys_ids *ret);
int bl_sys_setresuid(uid_t uid); /* real, effective and saved; with them the fs uid */
int bl_sys_setresgid(gid_t gid);
int bl_sys_setgroups(const gid_t *groups, size_t n);
int bl_sys_getgroups(gid_t *groups, size_t n); /* returns how many; -EINVAL where n is too few */
int bl_sys_capget(struct bl_sys_caps *ret);
int bl_sys_capset(const struct bl_sys_caps *caps);
int bl_sys_capbset_drop(unsigned cap);
int bl_sys_capbset_read(unsigned cap); /* 0 or 1; -EINVAL for one that the kernel does not know */
int bl_sys_ambient_clear(void);
int bl_sys_ambient_raise(unsigned cap);
int bl_sys_ambient_read(unsigned cap); /* as bl_sys_capbset_read() */
int bl_sys_set_keepcaps(bool keep);
int bl_sys_set_no_new_privs(void);
int bl_sys_get_no_new_privs(void); /* 0 or 1 */
int bl_sys_set_dumpable(bool dumpable);
int bl_sys_set_subreaper(void);
/* filter: n struct sock_filter; needs no_new_privs. */
int bl_sys_set_seccomp(const void *filter, unsigned short n);
int bl_sys_get_seccomp(void); /* SECCOMP_MODE_*; 0 is none */

/* ---- The seam ---- */

#ifdef BL_FAULTS
void bl_sys_point(const char *name);
#else
static inline void bl_sys_point(const char *name)
{
	(void)name;
}
#endif

#endif
