// SPDX-License-Identifier: Apache-2.0
#include "shim/privileges.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"
#include "shim/user.h"

#define CAPS	     64 /* bits of a set; a kernel knows fewer */
#define ALL	     UINT64_MAX
#define CAP_BIT(cap) (1ULL << (cap))

/* What must hold at the end. */
struct goal {
	const struct bl_user *user;
	uint64_t keep;
	uint64_t bounding; /* no more than this may be left of the bounding set */
	bool filtered;
};

static int not_as_meant(const char *what, struct bl_err *err)
{
	return bl_err_refuse(err, "%s: read back, it is not as it was set: the server is not run",
			     what);
}

/* Those of `among` for which read_one() says 1, into *ret. */
static int read_set(int (*read_one)(unsigned cap), uint64_t among, uint64_t *ret)
{
	uint64_t set = 0;

	for (unsigned cap = 0; cap < CAPS; cap++) {
		int r;

		if (!(among & CAP_BIT(cap)))
			continue;
		r = read_one(cap);
		if (r == -EINVAL && cap > 0)
			break; /* the kernel knows no more */
		if (r < 0)
			return r;
		if (r > 0)
			set |= CAP_BIT(cap);
	}
	*ret = set;
	return 0;
}

/*
 * Narrows the bounding set to goal->keep. Who lacks CAP_SETPCAP cannot: then nothing is kept in the
 * other sets either, and no_new_privs keeps what is left in this one out of reach.
 */
static int drop_bounding(struct goal *goal, const struct bl_sys_caps *now, struct bl_err *err)
{
	uint64_t there;
	int r = read_set(bl_sys_capbset_read, ALL, &there);

	if (r < 0)
		return bl_err_sys(err, -r, "reading the bounding set");
	goal->bounding = there;
	if (!(now->effective & CAP_BIT(CAP_SETPCAP))) {
		if (there & ~goal->keep)
			goal->keep = 0;
		return 0;
	}
	goal->bounding &= goal->keep;
	/* Only what is there: each makes new credentials, ten times what a look takes. */
	for (unsigned cap = 0; cap < CAPS; cap++) {
		if (!(there & ~goal->keep & CAP_BIT(cap)))
			continue;
		r = bl_sys_capbset_drop(cap);
		if (r < 0)
			return bl_err_sys(err, -r, "dropping capability %u from the bounding set",
					  cap);
	}
	return 0;
}

static int change_user(const struct bl_user *user, struct bl_err *err)
{
	int r = bl_sys_setgroups(user->groups, user->group_count);

	/* They come first, so that a uid that is not mapped may show in its groups. */
	if (r == -EINVAL)
		return bl_err_config(
			err,
			"uid %u or one of its groups does not exist in this container's "
			"user namespace: map it, or choose another run_as_user_id",
			(unsigned)user->uid);
	if (r < 0)
		return bl_err_sys(err, -r, "setting the groups of uid %u", (unsigned)user->uid);
	r = bl_sys_setresgid(user->gid);
	if (r >= 0)
		r = bl_sys_setresuid(user->uid);
	if (r == -EINVAL)
		return bl_err_config(err,
				     "uid %u or gid %u does not exist in this container's user "
				     "namespace: map it, or choose another run_as_user_id",
				     (unsigned)user->uid, (unsigned)user->gid);
	if (r < 0)
		return bl_err_sys(err, -r, "becoming uid %u, gid %u", (unsigned)user->uid,
				  (unsigned)user->gid);
	return 0;
}

static int set_capabilities(uint64_t keep, struct bl_err *err)
{
	struct bl_sys_caps caps = {.effective = keep, .permitted = keep, .inheritable = keep};
	int r = bl_sys_capset(&caps);

	if (r < 0)
		return bl_err_sys(err, -r, "dropping capabilities");
	for (unsigned cap = 0; cap < CAPS; cap++) {
		if (!(keep & CAP_BIT(cap)))
			continue;
		r = bl_sys_ambient_raise(cap);
		if (r < 0)
			return bl_err_sys(err, -r, "keeping capability %u", cap);
	}
	return 0;
}

/* ---- Reading back ---- */

static int check_ids(const struct bl_user *user, struct bl_err *err)
{
	struct bl_sys_ids ids;
	int r = bl_sys_get_ids(&ids);

	if (r < 0)
		return bl_err_sys(err, -r, "reading the uid and gid back");
	if (ids.real_uid != user->uid || ids.effective_uid != user->uid ||
	    ids.saved_uid != user->uid || ids.fs_uid != user->uid)
		return not_as_meant("uid", err);
	if (ids.real_gid != user->gid || ids.effective_gid != user->gid ||
	    ids.saved_gid != user->gid || ids.fs_gid != user->gid)
		return not_as_meant("gid", err);
	return 0;
}

static bool has_group(const gid_t *groups, size_t n, gid_t gid)
{
	for (size_t i = 0; i < n; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/* The kernel sorts them; user->groups has each once, so equal numbers and one inclusion suffice. */
static int check_groups(const struct bl_user *user, struct bl_err *err)
{
	/* One more than there should be, so that too many are seen. */
	auto_free gid_t *groups = calloc(user->group_count + 1, sizeof(*groups));
	int n = groups ? bl_sys_getgroups(groups, user->group_count + 1) : -ENOMEM;

	if (n == -EINVAL)
		return not_as_meant("groups", err);
	if (n < 0)
		return bl_err_sys(err, -n, "reading the groups back");
	if ((size_t)n != user->group_count)
		return not_as_meant("groups", err);
	for (size_t i = 0; i < user->group_count; i++)
		if (!has_group(groups, (size_t)n, user->groups[i]))
			return not_as_meant("groups", err);
	return 0;
}

/*
 * No capability is ever ambient that is not permitted and inheritable too (capabilities(7)), so the
 * ambient set is asked for those alone.
 */
static int check_capabilities(const struct goal *goal, struct bl_err *err)
{
	struct bl_sys_caps caps;
	uint64_t bounding;
	uint64_t ambient;
	int r = bl_sys_capget(&caps);

	if (r >= 0)
		r = read_set(bl_sys_capbset_read, ALL, &bounding);
	if (r >= 0)
		r = read_set(bl_sys_ambient_read, caps.permitted & caps.inheritable, &ambient);
	if (r < 0)
		return bl_err_sys(err, -r, "reading the capabilities back");
	if (caps.effective != goal->keep || caps.permitted != goal->keep ||
	    caps.inheritable != goal->keep || ambient != goal->keep || (bounding & ~goal->bounding))
		return not_as_meant("capabilities", err);
	return 0;
}

static int check(const struct goal *goal, struct bl_err *err)
{
	int r = check_ids(goal->user, err);

	if (r >= 0 && !goal->user->unchanged)
		r = check_groups(goal->user, err);
	if (r >= 0)
		r = check_capabilities(goal, err);
	if (r < 0)
		return r;
	if (bl_sys_get_no_new_privs() != 1)
		return not_as_meant("no_new_privs", err);
	if (goal->filtered && bl_sys_get_seccomp() != SECCOMP_MODE_FILTER)
		return not_as_meant("seccomp", err);
	return 0;
}

/* Everything up to the filter. */
static int give_up(struct goal *goal, struct bl_err *err)
{
	const struct bl_user *user = goal->user;
	struct bl_sys_caps now;
	int r = bl_sys_capget(&now);

	if (r < 0)
		return bl_err_sys(err, -r, "reading the capabilities");
	goal->keep &= now.permitted;
	r = bl_sys_ambient_clear();
	if (r < 0)
		return bl_err_sys(err, -r, "clearing the ambient capabilities");
	r = drop_bounding(goal, &now, err);
	if (r < 0)
		return r;
	r = bl_sys_set_no_new_privs();
	if (r < 0)
		return bl_err_sys(err, -r, "setting no_new_privs");
	r = goal->keep ? bl_sys_set_keepcaps(true) : 0;
	if (r < 0)
		return bl_err_sys(err, -r, "keeping capabilities over the change of user");
	r = user->unchanged ? 0 : change_user(user, err);
	return r < 0 ? r : set_capabilities(goal->keep, err);
}

int bl_privileges_drop(const struct bl_privileges *want, struct bl_err *err)
{
	struct goal goal = {
		.user = want->user,
		.keep = want->keep,
		.filtered = want->filter != NULL,
	};
	int r = give_up(&goal, err);

	if (r < 0)
		return r;
	if (goal.filtered) {
		r = bl_sys_set_seccomp(want->filter, want->filter_count);
		if (r < 0)
			return bl_err_sys(err, -r, "applying the seccomp filter");
	}
	return check(&goal, err);
}
