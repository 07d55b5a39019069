// SPDX-License-Identifier: Apache-2.0
/*
 * What is read back, against a kernel that does as it is told but for one thing: the server must not run,
 * whichever thing that is. (What real kernels do: tests/system/shim_drop.bats.)
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/sys.h"

#define bl_sys_ambient_clear	fake_ambient_clear
#define bl_sys_ambient_raise	fake_ambient_raise
#define bl_sys_ambient_read	fake_ambient_read
#define bl_sys_capbset_drop	fake_capbset_drop
#define bl_sys_capbset_read	fake_capbset_read
#define bl_sys_capget		fake_capget
#define bl_sys_capset		fake_capset
#define bl_sys_get_ids		fake_get_ids
#define bl_sys_get_no_new_privs fake_get_no_new_privs
#define bl_sys_get_seccomp	fake_get_seccomp
#define bl_sys_getgroups	fake_getgroups
#define bl_sys_set_keepcaps	fake_set_keepcaps
#define bl_sys_set_no_new_privs fake_set_no_new_privs
#define bl_sys_set_seccomp	fake_set_seccomp
#define bl_sys_setgroups	fake_setgroups
#define bl_sys_setresgid	fake_setresgid
#define bl_sys_setresuid	fake_setresuid

#define KNOWN 41 /* capabilities */

static struct kernel {
	struct bl_sys_ids ids;
	struct bl_sys_caps caps;
	uint64_t bounding, ambient;
	gid_t groups[8];
	size_t group_count;
	int no_new_privs, seccomp;
} kernel;

/* What comes to be as it should not, once everything was set. */
static void (*spoil)(void);

static int fake_capget(struct bl_sys_caps *ret)
{
	*ret = kernel.caps;
	return 0;
}

static int fake_capset(const struct bl_sys_caps *caps)
{
	kernel.caps = *caps;
	return 0;
}

static int fake_capbset_read(unsigned cap)
{
	return cap < KNOWN ? (int)(kernel.bounding >> cap & 1) : -EINVAL;
}

static int fake_capbset_drop(unsigned cap)
{
	kernel.bounding &= ~(UINT64_C(1) << cap);
	return 0;
}

static int fake_ambient_clear(void)
{
	kernel.ambient = 0;
	return 0;
}

static int fake_ambient_raise(unsigned cap)
{
	kernel.ambient |= UINT64_C(1) << cap;
	return 0;
}

static int fake_ambient_read(unsigned cap)
{
	return cap < KNOWN ? (int)(kernel.ambient >> cap & 1) : -EINVAL;
}

static int fake_set_keepcaps(bool keep)
{
	(void)keep;
	return 0;
}

static int fake_setgroups(const gid_t *groups, size_t n)
{
	memcpy(kernel.groups, groups, n * sizeof(*groups));
	kernel.group_count = n;
	return 0;
}

static int fake_getgroups(gid_t *groups, size_t n)
{
	if (n < kernel.group_count)
		return -EINVAL;
	memcpy(groups, kernel.groups, kernel.group_count * sizeof(*groups));
	return (int)kernel.group_count;
}

static int fake_setresgid(gid_t gid)
{
	kernel.ids.real_gid = kernel.ids.effective_gid = gid;
	kernel.ids.saved_gid = kernel.ids.fs_gid = gid;
	return 0;
}

static int fake_setresuid(uid_t uid)
{
	kernel.ids.real_uid = kernel.ids.effective_uid = uid;
	kernel.ids.saved_uid = kernel.ids.fs_uid = uid;
	return 0;
}

static int fake_get_ids(struct bl_sys_ids *ret)
{
	*ret = kernel.ids;
	return 0;
}

static int fake_set_no_new_privs(void)
{
	kernel.no_new_privs = 1;
	return 0;
}

static int fake_get_no_new_privs(void)
{
	return kernel.no_new_privs;
}

/* The last that is set. */
static int fake_set_seccomp(const void *filter, unsigned short n)
{
	(void)filter;
	(void)n;
	kernel.seccomp = 2;
	if (spoil)
		spoil();
	return 0;
}

static int fake_get_seccomp(void)
{
	return kernel.seccomp;
}

#include "shim/privileges.c" /* NOLINT(bugprone-suspicious-include) */

#define KEPT	  (UINT64_C(1) << 10)
#define SYS_ADMIN (UINT64_C(1) << 21)

/* Root with everything becomes uid 1000 and keeps one capability. */
static int drop(void (*with)(void), struct bl_err *err)
{
	static struct bl_user user = {.uid = 1000, .gid = 1001, .group_count = 2, .groups = {7, 8}};
	static const char filter[8];
	const struct bl_privileges want = {
		.user = &user, .keep = KEPT, .filter = filter, .filter_count = 1};
	const uint64_t all = (UINT64_C(1) << KNOWN) - 1;

	kernel = (struct kernel){.caps = {all, all, all}, .bounding = all, .ambient = all};
	spoil = with;
	return bl_privileges_drop(&want, err);
}

#define SPOILS(name, what)     \
	static void name(void) \
	{                      \
		kernel.what;   \
	}

SPOILS(real_uid, ids.real_uid = 0)
SPOILS(effective_uid, ids.effective_uid = 0)
SPOILS(saved_uid, ids.saved_uid = 0)
SPOILS(fs_uid, ids.fs_uid = 0)
SPOILS(real_gid, ids.real_gid = 0)
SPOILS(effective_gid, ids.effective_gid = 0)
SPOILS(saved_gid, ids.saved_gid = 0)
SPOILS(fs_gid, ids.fs_gid = 0)
SPOILS(no_group, group_count = 0)
SPOILS(one_group_less, group_count = 1)
SPOILS(one_group_more, groups[kernel.group_count++] = 0)
SPOILS(another_group, groups[1] = 0)
SPOILS(effective, caps.effective |= SYS_ADMIN)
SPOILS(permitted, caps.permitted |= SYS_ADMIN)
SPOILS(inheritable, caps.inheritable |= SYS_ADMIN)
SPOILS(not_effective, caps.effective = 0)
SPOILS(not_ambient, ambient = 0)
SPOILS(bounding, bounding |= SYS_ADMIN)
SPOILS(no_new_privs, no_new_privs = 0)
SPOILS(no_filter, seccomp = 0)
SPOILS(strict, seccomp = 1)

static void test_each_thing_is_read_back(void **state)
{
	static const struct {
		void (*with)(void);
		const char *message;
	} cases[] = {
		{real_uid, "uid"},
		{effective_uid, "uid"},
		{saved_uid, "uid"},
		{fs_uid, "uid"},
		{real_gid, "gid"},
		{effective_gid, "gid"},
		{saved_gid, "gid"},
		{fs_gid, "gid"},
		{no_group, "groups"},
		{one_group_less, "groups"},
		{one_group_more, "groups"},
		{another_group, "groups"},
		{effective, "capabilities"},
		{permitted, "capabilities"},
		{inheritable, "capabilities"},
		{not_effective, "capabilities"},
		{not_ambient, "capabilities"},
		{bounding, "capabilities"},
		{no_new_privs, "no_new_privs"},
		{no_filter, "seccomp"},
		{strict, "seccomp"},
	};
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		if (drop(cases[i].with, &err) >= 0)
			fail_msg("case %zu: %s is not as it was set, and the server runs", i,
				 cases[i].message);
		assert_int_equal(err.code, BL_EX_REFUSED);
		assert_true(strncmp(err.msg, cases[i].message, strlen(cases[i].message)) == 0);
	}
}

static void test_as_meant(void **state)
{
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(drop(NULL, &err), 0);
	assert_true(kernel.caps.effective == KEPT && kernel.ambient == KEPT &&
		    kernel.bounding == KEPT);
	assert_int_equal(kernel.ids.fs_uid, 1000);
	assert_int_equal(kernel.group_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_meant),
		cmocka_unit_test(test_each_thing_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
