// SPDX-License-Identifier: Apache-2.0
#include "cli/image_user.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/sys.h"

#define FILE_MAX  (16 * 1024 * 1024) /* bytes of passwd or group */
#define NAME_MOST 256		     /* bytes of User before the colon */
#define LINE_MOST \
	(64 * 1024) /* bytes of a line of these: what comes behind a longer one is not read */

struct image_user {
	int64_t uid, gid;
	char name[NAME_MOST]; /* passwd's, "" where there is none */
	bool grouped;	      /* by User itself: then there are no others */
};

/* A file of the image for reading; NULL where it is missing, empty, or no file. */
static FILE *open_file(const char *rootfs, const char *path, struct bl_buf *text)
{
	auto_fd root = bl_sys_openat(AT_FDCWD, rootfs, O_PATH | O_DIRECTORY, 0);
	auto_fd fd = root < 0 ? root
			      : bl_sys_openat2(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
					       BL_RESOLVE_IN_ROOT | BL_RESOLVE_NO_MAGICLINKS);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    bl_buf_read(text, fd, NULL) < 0 || text->len == 0)
		return NULL;
	return fmemopen(text->data, text->len, "r");
}

/* -1 where the text is no id, which is then a name. */
static int64_t id_of(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	int64_t id = digits > 0 && digits <= 10 && !text[digits] ? strtoll(text, NULL, 10) : -1;

	return id <= BL_UID_MAX ? id : -1;
}

static int find_user(const char *rootfs, const char *name, struct image_user *ret,
		     struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(FILE_MAX);
	auto_file file = open_file(rootfs, "etc/passwd", &text);
	struct passwd *entry = NULL;
	struct passwd line;
	char texts[LINE_MOST];

	ret->uid = id_of(name);
	while (file && fgetpwent_r(file, &line, texts, sizeof(texts), &entry) == 0)
		if (strcmp(entry->pw_name, name) == 0 || entry->pw_uid == ret->uid)
			break;
	if (entry) {
		ret->uid = entry->pw_uid;
		ret->gid = entry->pw_gid;
		(void)snprintf(ret->name, sizeof(ret->name), "%s", entry->pw_name);
	}
	/* Images that know no passwd file may still have been made for root. */
	if (ret->uid < 0 && strcmp(name, "root") == 0)
		ret->uid = 0;
	return ret->uid >= 0
		       ? 0
		       : bl_err_config(err,
				       "User: the image's /etc/passwd has no \"%.64s\"; write "
				       "its uid and gid there, as 1000:1000",
				       name);
}

static int find_group(const char *rootfs, const char *name, struct image_user *ret,
		      struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(FILE_MAX);
	auto_file file = open_file(rootfs, "etc/group", &text);
	struct group *entry = NULL;
	struct group line;
	char texts[LINE_MOST];

	ret->grouped = true;
	ret->gid = id_of(name);
	while (ret->gid < 0 && file && fgetgrent_r(file, &line, texts, sizeof(texts), &entry) == 0)
		if (strcmp(entry->gr_name, name) == 0)
			ret->gid = entry->gr_gid;
	return ret->gid >= 0 ? 0
			     : bl_err_config(err,
					     "User: the image's /etc/group has no \"%.64s\"; write "
					     "its gid there, as 1000:1000",
					     name);
}

static bool has_member(const struct group *group, const char *name)
{
	for (char **member = group->gr_mem; *member; member++)
		if (strcmp(*member, name) == 0)
			return true;
	return false;
}

/* The groups that name the user. */
static int add_groups(bl_json *user, const char *rootfs, const char *name, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(FILE_MAX);
	auto_file file = open_file(rootfs, "etc/group", &text);
	bl_json *list = bl_json_set_array(user, "additionalGids");
	struct group *entry = NULL;
	struct group line;
	char texts[LINE_MOST];

	while (list && file && fgetgrent_r(file, &line, texts, sizeof(texts), &entry) == 0)
		if (has_member(entry, name) && !bl_json_set_int(list, NULL, entry->gr_gid))
			return bl_err_nomem(err);
	return list ? 0 : bl_err_nomem(err);
}

int bl_image_user(bl_json *process, const char *rootfs, const char *text, struct bl_err *err)
{
	struct image_user found = {.gid = 0};
	size_t len = strcspn(text, ":");
	char name[NAME_MOST];
	bl_json *user;
	int r;

	if (len >= sizeof(name))
		return bl_err_config(err, "User: \"%.64s...\" is too long", text);
	memcpy(name, text, len);
	name[len] = '\0';
	r = len ? find_user(rootfs, name, &found, err) : 0;
	if (r == 0 && text[len] && text[len + 1])
		r = find_group(rootfs, text + len + 1, &found, err);
	if (r < 0)
		return r;
	bl_json_remove(process, "user");
	user = bl_json_set_object(process, "user");
	if (!user || !bl_json_set_int(user, "uid", found.uid) ||
	    !bl_json_set_int(user, "gid", found.gid))
		return bl_err_nomem(err);
	return found.name[0] && !found.grouped ? add_groups(user, rootfs, found.name, err) : 0;
}
