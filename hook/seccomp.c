// SPDX-License-Identifier: Apache-2.0
#include "hook/seccomp.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include "common/buf.h"
#include "common/err.h"

#if defined(__x86_64__)
#define NATIVE	    AUDIT_ARCH_X86_64
#define FOREIGN_BIT 0x40000000U /* x32 */
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "the filter knows amd64 and arm64"
#endif

#define NEW_NAMESPACES                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET)
#define NEW_TIME 0x00000080 /* CLONE_NEWTIME: unshare only, another meaning for clone */

/* Numbers that are the same on every architecture, for headers that are older than the call. */
#define NR_OPEN_TREE_ATTR 467

/* EPERM for what is an attempt; ENOSYS for what programs try and can do without. */
static const struct {
	int number;
	int answer;
} denied[] = {
	/* mounts and roots */
	{SYS_mount, EPERM},
	{SYS_umount2, EPERM},
	{SYS_pivot_root, EPERM},
	{SYS_chroot, EPERM},
	{SYS_open_tree, EPERM},
	{SYS_move_mount, EPERM},
	{SYS_fsopen, EPERM},
	{SYS_fsconfig, EPERM},
	{SYS_fsmount, EPERM},
	{SYS_fspick, EPERM},
	{SYS_mount_setattr, EPERM},
	{NR_OPEN_TREE_ATTR, EPERM},
	{SYS_setns, EPERM},
	/* Its flags are in memory, where a filter cannot look: the C libraries then use clone. */
	{SYS_clone3, ENOSYS},
	/* the kernel itself */
	{SYS_init_module, EPERM},
	{SYS_finit_module, EPERM},
	{SYS_delete_module, EPERM},
	{SYS_kexec_load, EPERM},
#ifdef SYS_kexec_file_load
	{SYS_kexec_file_load, EPERM},
#endif
	{SYS_reboot, EPERM},
	{SYS_swapon, EPERM},
	{SYS_swapoff, EPERM},
	{SYS_acct, EPERM},
	{SYS_quotactl, EPERM},
	{SYS_quotactl_fd, EPERM},
	{SYS_syslog, EPERM},
	{SYS_settimeofday, EPERM},
	{SYS_clock_settime, EPERM},
	{SYS_sethostname, EPERM},
	{SYS_setdomainname, EPERM},
	{SYS_vhangup, EPERM},
	{SYS_nfsservctl, ENOSYS},
	{SYS_lookup_dcookie, ENOSYS},
	/* ways in that have often been holes */
	{SYS_bpf, EPERM},
	{SYS_perf_event_open, EPERM},
	{SYS_userfaultfd, EPERM},
	{SYS_add_key, ENOSYS},
	{SYS_request_key, ENOSYS},
	{SYS_keyctl, ENOSYS},
	{SYS_open_by_handle_at, EPERM},
	{SYS_fanotify_init, EPERM},
#if defined(__x86_64__)
	{SYS_iopl, EPERM},
	{SYS_ioperm, EPERM},
	{SYS_modify_ldt, ENOSYS},
	{SYS_create_module, ENOSYS},
	{SYS_query_module, ENOSYS},
	{SYS_get_kernel_syms, ENOSYS},
	{SYS_uselib, ENOSYS},
	{SYS__sysctl, ENOSYS},
	{SYS_sysfs, ENOSYS},
	{SYS_ustat, ENOSYS},
#endif
};

/* A program under construction; the buffer's maximum is the kernel's. */
struct program {
	struct bl_buf *to;
	struct bl_err *err;
	int ret;
};

static void emit(struct program *p, struct sock_filter instruction)
{
	if (p->ret >= 0)
		p->ret = bl_buf_append(p->to, &instruction, sizeof(instruction), p->err);
}

static void load(struct program *p, size_t offset)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

/* Goes on with the next instruction where the accumulator is value, else skips `skip` of them. */
static void if_equal(struct program *p, uint32_t value, uint8_t skip)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void if_any_bit(struct program *p, uint32_t bits, uint8_t skip)
{
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, skip));
}

static void answer(struct program *p, uint32_t action)
{
	emit(p, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

static uint32_t failure(int errnum)
{
	return SECCOMP_RET_ERRNO | (uint32_t)errnum;
}

/* Where the low half of an argument lies; amd64 and arm64 are little endian. */
static size_t argument(size_t n)
{
	return offsetof(struct seccomp_data, args) + n * sizeof(uint64_t);
}

static void refuse_foreign(struct program *p)
{
	load(p, offsetof(struct seccomp_data, arch));
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0));
	answer(p, SECCOMP_RET_KILL_PROCESS);
	load(p, offsetof(struct seccomp_data, nr));
#ifdef FOREIGN_BIT
	if_any_bit(p, FOREIGN_BIT, 1);
	answer(p, failure(ENOSYS));
#endif
}

/* Calls whose flags decide. Each block ends, so that the next finds the number loaded. */
static void refuse_by_argument(struct program *p)
{
	if_equal(p, SYS_clone, 4);
	load(p, argument(0));
	if_any_bit(p, NEW_NAMESPACES, 1);
	answer(p, failure(EPERM));
	answer(p, SECCOMP_RET_ALLOW);
	if_equal(p, SYS_unshare, 4);
	load(p, argument(0));
	if_any_bit(p, NEW_NAMESPACES | NEW_TIME, 1);
	answer(p, failure(EPERM));
	answer(p, SECCOMP_RET_ALLOW);
	/* Typing into the terminal that started the container. */
	if_equal(p, SYS_ioctl, 6);
	load(p, argument(1));
	if_equal(p, TIOCSTI, 1);
	answer(p, failure(EPERM));
	if_equal(p, TIOCLINUX, 1);
	answer(p, failure(EPERM));
	answer(p, SECCOMP_RET_ALLOW);
}

int bl_seccomp_build(struct bl_buf *filter, struct bl_err *err)
{
	struct program p = {.to = filter, .err = err};

	refuse_foreign(&p);
	refuse_by_argument(&p);
	for (size_t i = 0; i < sizeof(denied) / sizeof(*denied); i++) {
		if_equal(&p, (uint32_t)denied[i].number, 1);
		answer(&p, failure(denied[i].answer));
	}
	answer(&p, SECCOMP_RET_ALLOW);
	return p.ret;
}
