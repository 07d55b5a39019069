// SPDX-License-Identifier: Apache-2.0
#include "agent/filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

#define FILTER_MAX (4096 * sizeof(struct sock_filter)) /* the kernel takes no more */

/* By name: libseccomp may be older than a call. */
static const char *const denied[] = {
	"process_vm_readv",
	"process_vm_writev",
	"process_madvise",
	"pidfd_getfd",
	"kcmp",
	"unshare",
	"setns",
	"mount",
	"umount2",
	"pivot_root",
	"chroot",
	"open_tree",
	"move_mount",
	"fsopen",
	"fsconfig",
	"fsmount",
	"fspick",
	"mount_setattr",
	"name_to_handle_at",
	"open_by_handle_at",
	"bpf",
	"perf_event_open",
	"userfaultfd",
	"io_uring_setup",
	"io_uring_enter",
	"io_uring_register",
	/* Room on the disk and in memory that no limit of its counts. */
	"fallocate",
	"memfd_create",
	"memfd_secret",
	"shmget",
	"msgget",
	"semget",
	"keyctl",
	"add_key",
	"request_key",
	"init_module",
	"finit_module",
	"delete_module",
	"kexec_load",
	"kexec_file_load",
	"reboot",
	"swapon",
	"swapoff",
	"acct",
	"quotactl",
	"syslog",
	"fanotify_init",
	"lookup_dcookie",
	"vhangup",
	"iopl",
	"ioperm",
	"modify_ldt",
#ifndef __SANITIZE_ADDRESS__
	/* The sanitizers' leak checker is a process of its own, and traces. */
	"ptrace",
	"fork",
	"vfork",
#endif
};

/* Families of sockets that no client of HTTP needs; each one more kernel. */
static const int denied_families[] = {AF_PACKET, AF_ALG,     AF_VSOCK, AF_BLUETOOTH, AF_TIPC,
				      AF_XDP,	 AF_RDS,     AF_CAN,   AF_KEY,	     AF_NFC,
				      AF_KCM,	 AF_QIPCRTR, AF_SMC};

static int add_rules(scmp_filter_ctx filter)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(denied) / sizeof(*denied); i++) {
		int number = seccomp_syscall_resolve_name(denied[i]);

		if (number != __NR_SCMP_ERROR)
			r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), number, 0);
	}
	for (size_t i = 0; r == 0 && i < sizeof(denied_families) / sizeof(*denied_families); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)denied_families[i], 0));
	/* Shared memory without a file is none of its data, which is what its limit counts. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1,
				     SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED | MAP_ANONYMOUS,
					     MAP_SHARED | MAP_ANONYMOUS));
#ifndef __SANITIZE_ADDRESS__
	/* Threads, but no processes. A filter cannot look into clone3's argument: the C library
	 * goes back to clone where the kernel seems not to have it. */
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
#endif
	return r;
}

static int export(scmp_filter_ctx filter, struct sock_fprog *ret, struct bl_err *err)
{
	auto_buf program = BL_BUF_INIT(FILTER_MAX);
	auto_fd fd = memfd_create("ballast-filter", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return bl_err_sys(err, errno, "memfd_create");
	r = seccomp_export_bpf(filter, fd);
	if (r < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return bl_err_sys(err, r < 0 ? -r : errno, "compile the system call filter");
	r = bl_buf_read(&program, fd, err);
	if (r < 0)
		return r;
	ret->len = (unsigned short)(program.len / sizeof(struct sock_filter));
	ret->filter = (struct sock_filter *)(void *)bl_buf_take(&program);
	return 0;
}

int bl_filter_build(struct sock_fprog *ret, struct bl_err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!filter)
		return bl_err_nomem(err);
	r = add_rules(filter);
	r = r < 0 ? bl_err_sys(err, -r, "make the system call filter") : export(filter, ret, err);
	seccomp_release(filter);
	return r;
}

void bl_filter_free(struct sock_fprog *filter)
{
	free(filter->filter);
	*filter = (struct sock_fprog){0};
}
