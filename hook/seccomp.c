// SPDX-License-Identifier: Apache-2.0
#include "hook/seccomp.h"

#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

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

/* What is done about a call: an errno, or one of these. */
enum { ALLOW = 0, LOOK_AT_FLAGS = -1, LOOK_AT_REQUEST = -2 };

/* EPERM for what is an attempt; ENOSYS for what programs try and can do without. */
static const struct rule {
	int number;
	int answer;
} rules[] = {
	{__NR_clone, LOOK_AT_FLAGS},
	{__NR_unshare, LOOK_AT_FLAGS},
	{__NR_ioctl, LOOK_AT_REQUEST},
	/* mounts and roots */
	{__NR_mount, EPERM},
	{__NR_umount2, EPERM},
	{__NR_pivot_root, EPERM},
	{__NR_chroot, EPERM},
	{__NR_open_tree, EPERM},
	{__NR_move_mount, EPERM},
	{__NR_fsopen, EPERM},
	{__NR_fsconfig, EPERM},
	{__NR_fsmount, EPERM},
	{__NR_fspick, EPERM},
	{__NR_mount_setattr, EPERM},
	{NR_OPEN_TREE_ATTR, EPERM},
	{__NR_setns, EPERM},
	/* Its flags are in memory, where a filter cannot look: the C libraries then use clone. */
	{__NR_clone3, ENOSYS},
	/* the kernel itself */
	{__NR_init_module, EPERM},
	{__NR_finit_module, EPERM},
	{__NR_delete_module, EPERM},
	{__NR_kexec_load, EPERM},
#ifdef __NR_kexec_file_load
	{__NR_kexec_file_load, EPERM},
#endif
	{__NR_reboot, EPERM},
	{__NR_swapon, EPERM},
	{__NR_swapoff, EPERM},
	{__NR_acct, EPERM},
	{__NR_quotactl, EPERM},
	{__NR_quotactl_fd, EPERM},
	{__NR_syslog, EPERM},
	{__NR_settimeofday, EPERM},
	{__NR_clock_settime, EPERM},
	{__NR_sethostname, EPERM},
	{__NR_setdomainname, EPERM},
	{__NR_vhangup, EPERM},
	{__NR_nfsservctl, ENOSYS},
	{__NR_lookup_dcookie, ENOSYS},
	/* ways in that have often been holes */
	{__NR_bpf, EPERM},
	{__NR_perf_event_open, EPERM},
	{__NR_userfaultfd, EPERM},
	{__NR_add_key, ENOSYS},
	{__NR_request_key, ENOSYS},
	{__NR_keyctl, ENOSYS},
	{__NR_open_by_handle_at, EPERM},
	{__NR_fanotify_init, EPERM},
#if defined(__x86_64__)
	{__NR_iopl, EPERM},
	{__NR_ioperm, EPERM},
	{__NR_modify_ldt, ENOSYS},
	{__NR_create_module, ENOSYS},
	{__NR_query_module, ENOSYS},
	{__NR_get_kernel_syms, ENOSYS},
	{__NR_uselib, ENOSYS},
	{__NR__sysctl, ENOSYS},
	{__NR_sysfs, ENOSYS},
	{__NR_ustat, ENOSYS},
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

/* Goes on with the next instruction where the accumulator has one of the bits, else skips some. */
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

/* New namespaces. (For clone the bit of CLONE_NEWTIME is part of the signal's number.) */
static void leaf_flags(struct program *p, int number)
{
	load(p, argument(0));
	if_any_bit(p, NEW_NAMESPACES | (number == __NR_unshare ? NEW_TIME : 0), 1);
	answer(p, failure(EPERM));
	answer(p, SECCOMP_RET_ALLOW);
}

/* Typing into the terminal that started the container. */
static void leaf_request(struct program *p)
{
	load(p, argument(1));
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0));
	emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1));
	answer(p, failure(EPERM));
	answer(p, SECCOMP_RET_ALLOW);
}

/* All numbers from `first` up to the next range's have one answer. */
struct range {
	int first;
	int answer;
};

#define NUMBERS 512 /* more than there are calls: only the tree's balance depends on it */
#define RULES	(sizeof(rules) / sizeof(*rules))
#define RANGES	(2 * RULES + 1)

static void leaf(struct program *p, const struct range *range)
{
	if (range->answer == LOOK_AT_FLAGS)
		leaf_flags(p, range->first);
	else if (range->answer == LOOK_AT_REQUEST)
		leaf_request(p);
	else
		answer(p, range->answer == ALLOW ? SECCOMP_RET_ALLOW : failure(range->answer));
}

/* Instructions that tree() emits for n ranges: a jump between any two, and the leaves. */
static size_t tree_size(const struct range *ranges, size_t n)
{
	size_t size = n - 1;

	for (size_t i = 0; i < n; i++)
		size += ranges[i].answer == LOOK_AT_FLAGS     ? 4
			: ranges[i].answer == LOOK_AT_REQUEST ? 5
							      : 1;
	return size;
}

/*
 * A search for the call's number among those below `end`, halved by numbers rather than by ranges:
 * the kernel runs the program once for every number when it is loaded, and in a list that would be
 * half of the shim's time.
 */
static void tree(struct program *p, const struct range *ranges, size_t n, int end)
{
	int middle = ranges[0].first + (end - ranges[0].first) / 2;
	size_t left = 1;

	if (n == 1) {
		leaf(p, ranges);
		return;
	}
	while (left < n - 1 && ranges[left].first < middle)
		left++;
	/* At most 255 instructions lie between: the whole program is not longer. */
	emit(p,
	     (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)ranges[left].first,
					  (uint8_t)tree_size(ranges, left), 0));
	tree(p, ranges, left, ranges[left].first);
	tree(p, ranges + left, n - left, end);
}

static int by_number(const void *a, const void *b)
{
	return ((const struct rule *)a)->number - ((const struct rule *)b)->number;
}

/* The rules as ranges that cover every number; returns how many. */
static size_t to_ranges(struct range *ranges)
{
	struct rule sorted[RULES];
	size_t n = 0;
	int next = 0;

	memcpy(sorted, rules, sizeof(sorted));
	qsort(sorted, RULES, sizeof(*sorted), by_number);
	for (size_t i = 0; i < RULES; i++) {
		if (sorted[i].number > next)
			ranges[n++] = (struct range){next, ALLOW};
		next = sorted[i].number + 1;
		if (n == 0 || ranges[n - 1].answer != sorted[i].answer || sorted[i].answer < ALLOW)
			ranges[n++] = (struct range){sorted[i].number, sorted[i].answer};
	}
	ranges[n++] = (struct range){next, ALLOW};
	return n;
}

int bl_seccomp_build(struct bl_buf *filter, struct bl_err *err)
{
	struct program p = {.to = filter, .err = err};
	struct range ranges[RANGES];
	size_t n = to_ranges(ranges);

	refuse_foreign(&p);
	tree(&p, ranges, n, NUMBERS);
	return p.ret;
}
