// SPDX-License-Identifier: Apache-2.0
#include "shim/user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/spec.h"
#include "common/sys.h"
#include "shim/orders.h"

#define PASSWD_FIELDS 7
#define GROUP_FIELDS  4
#define FIELDS_MOST   7

struct field {
	const char *at;
	size_t len;
};

/* The next line without its newline; false at the end. */
static bool next_line(struct field *rest, struct field *ret)
{
	const char *end;

	if (rest->len == 0)
		return false;
	end = memchr(rest->at, '\n', rest->len);
	ret->at = rest->at;
	ret->len = end ? (size_t)(end - rest->at) : rest->len;
	rest->at += ret->len + (end ? 1 : 0);
	rest->len -= ret->len + (end ? 1 : 0);
	return true;
}

/* Splits at colons; how many fields there are, where more than `most` count as most + 1. */
static size_t split(struct field line, struct field *fields, size_t most)
{
	for (size_t n = 0; n < most; n++) {
		const char *colon = line.len ? memchr(line.at, ':', line.len) : NULL;

		fields[n].at = line.at;
		fields[n].len = colon ? (size_t)(colon - line.at) : line.len;
		if (!colon)
			return n + 1;
		line.len -= fields[n].len + 1;
		line.at = colon + 1;
	}
	return most + 1;
}

/* An id in plain decimal digits; 4294967295 is none. */
static bool parse_id(struct field text, uint32_t *ret)
{
	uint64_t value = 0;

	if (text.len == 0 || text.len > 10)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(text.at[i] - '0');
	}
	if (value >= UINT32_MAX)
		return false;
	*ret = (uint32_t)value;
	return true;
}

/* Whether a field may become part of an environment: no control characters, and it fits. */
static bool is_fit(struct field text, size_t size)
{
	if (text.len >= size)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7f)
			return false;
	return true;
}

static void copy(char *to, struct field from)
{
	memcpy(to, from.at, from.len);
	to[from.len] = '\0';
}

int bl_user_find_passwd(struct bl_user *ret, const char *data, size_t len)
{
	struct field rest = {data, len};
	struct field line;
	struct field fields[FIELDS_MOST];

	while (next_line(&rest, &line)) {
		uint32_t uid;
		uint32_t gid;

		if (split(line, fields, PASSWD_FIELDS) != PASSWD_FIELDS ||
		    !parse_id(fields[2], &uid) || uid != ret->uid || !parse_id(fields[3], &gid) ||
		    fields[0].len == 0 || !is_fit(fields[0], sizeof(ret->name)) ||
		    !is_fit(fields[5], sizeof(ret->home)))
			continue;
		ret->gid = gid;
		copy(ret->name, fields[0]);
		copy(ret->home, fields[5]);
		return 1;
	}
	return 0;
}

static bool is_member(struct field members, const char *name)
{
	size_t len = strlen(name);

	while (members.len > 0) {
		const char *comma = memchr(members.at, ',', members.len);
		size_t one = comma ? (size_t)(comma - members.at) : members.len;

		if (one == len && memcmp(members.at, name, len) == 0)
			return true;
		members.len -= one + (comma ? 1 : 0);
		members.at += one + (comma ? 1 : 0);
	}
	return false;
}

static int add_group(struct bl_user *user, gid_t gid, struct bl_err *err)
{
	if (gid == user->gid)
		return 0;
	for (size_t i = 0; i < user->group_count; i++)
		if (user->groups[i] == gid)
			return 0;
	if (user->group_count == BL_USER_GROUPS_MAX)
		return bl_err_set(err, BL_EX_CONFIG, E2BIG, "user '%s' is in more than %d groups",
				  user->name, BL_USER_GROUPS_MAX);
	user->groups[user->group_count++] = gid;
	return 0;
}

int bl_user_find_groups(struct bl_user *ret, const char *data, size_t len, struct bl_err *err)
{
	struct field rest = {data, len};
	struct field line;
	struct field fields[FIELDS_MOST];

	if (!ret->name[0])
		return 0;
	while (next_line(&rest, &line)) {
		uint32_t gid;
		int r;

		if (split(line, fields, GROUP_FIELDS) != GROUP_FIELDS || fields[0].len == 0 ||
		    !parse_id(fields[2], &gid) || !is_member(fields[3], ret->name))
			continue;
		r = add_group(ret, gid, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Reads one of the image's files. One that is missing, or no file, is as good as an empty one. */
static int read_file(const char *path, struct bl_buf *buf, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	struct stat st;
	int ret;

	if (fd < 0 || bl_sys_fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	/* As large as it is, and a byte for the end; what cannot be had at once may still be. */
	if (st.st_size < BL_USER_FILE_MAX)
		(void)bl_buf_reserve(buf, (size_t)st.st_size + 1, NULL);
	ret = bl_buf_read(buf, fd, err);
	if (ret < 0)
		bl_err_wrap(err, "%s: ", path);
	return ret;
}

static int look_up(struct bl_user *user, bool groups_too, struct bl_err *err)
{
	auto_buf buf = BL_BUF_INIT(BL_USER_FILE_MAX);
	int ret = read_file("/etc/passwd", &buf, err);

	if (ret < 0)
		return ret;
	if (bl_user_find_passwd(user, bl_buf_str(&buf), buf.len) == 0 || !groups_too)
		return 0;
	buf.len = 0;
	ret = read_file("/etc/group", &buf, err);
	return ret < 0 ? ret : bl_user_find_groups(user, bl_buf_str(&buf), buf.len, err);
}

/* The uid that is wanted, and whether the gid and groups are process.user's rather than the image's. */
static bool choose(const struct bl_orders *orders, const struct bl_sys_ids *now, bool root,
		   struct bl_user *ret)
{
	if (orders->has_run_as) {
		ret->uid = orders->run_as;
		ret->gid = orders->run_as;
		return false;
	}
	if ((orders->flags & BL_SPEC_FLAG_NO_BUILD) || !root) {
		ret->uid = orders->has_user ? orders->user_uid : now->real_uid;
		ret->gid = orders->has_user ? orders->user_gid : now->real_gid;
		return true;
	}
	ret->uid = BL_UID_DEFAULT;
	ret->gid = BL_UID_DEFAULT;
	return false;
}

int bl_user_resolve(struct bl_user *ret, const struct bl_orders *orders, struct bl_err *err)
{
	const uint64_t needed = 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;
	struct bl_sys_ids now;
	struct bl_sys_caps caps;
	bool able;
	bool as_given;
	gid_t gid;
	int r = bl_sys_get_ids(&now);

	if (r >= 0)
		r = bl_sys_capget(&caps);
	if (r < 0)
		return bl_err_sys(err, -r, "reading who this process is");
	able = (caps.effective & needed) == needed;
	as_given = choose(orders, &now, now.effective_uid == 0, ret);
	gid = ret->gid;
	ret->overrides = caps.effective >> CAP_DAC_OVERRIDE & 1;
	ret->unchanged = ret->uid == now.real_uid && (!able || (as_given && gid == now.real_gid));
	if (ret->uid != now.real_uid && !able)
		return bl_err_config(
			err,
			"the server is to run as uid %u, but the container runs as uid "
			"%u without CAP_SETUID and CAP_SETGID: let it have both, or "
			"set its user to that uid",
			(unsigned)ret->uid, (unsigned)now.real_uid);
	r = look_up(ret, !ret->unchanged, err);
	if (as_given)
		ret->gid = gid;
	if (ret->unchanged)
		ret->gid = now.real_gid;
	return r;
}
