// SPDX-License-Identifier: Apache-2.0
#include "agent/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "common/sys.h"

#define READ_FILE (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE)
#define READ	  (READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

/* Everything that Landlock's first version knows. */
#define HANDLED                                                                 \
	(READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |        \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |            \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |          \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* Programs, libraries, certificates, name services, and where their configuration may really lie. */
static const char *const readable[] = {
	"/usr",
	"/lib",
	"/lib64",
	"/lib32",
	"/etc",
	"/run",
	"/var/lib/ca-certificates",
	"/var/lib/sss",
	"/opt",
	"/nix",
	"/sys/devices/system/cpu",
	"/proc",
	"/dev/null",
	"/dev/urandom",
	"/dev/random",
};

static int allow(int rules, const char *path, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(AT_FDCWD, path, O_PATH, 0);
	struct stat st;
	int r = fd < 0 ? fd : bl_sys_fstat(fd, &st);

	/* What is not there needs no rule. */
	if (r < 0)
		return 0;
	r = bl_sys_landlock_allow(rules, fd, S_ISDIR(st.st_mode) ? READ : READ_FILE);
	return r < 0 ? bl_err_sys(err, -r, "landlock: '%s'", path) : 0;
}

int bl_confine_build(int program, const bl_json *job, bool files, struct bl_err *err)
{
	auto_fd rules = bl_sys_landlock_create(HANDLED);
	const bl_json *roots = NULL;
	const char *ca_file = NULL;
	int r = 0;

	/* -EPERM: a container's filter that does not know it. */
	if (rules == -ENOSYS || rules == -EOPNOTSUPP || rules == -EPERM)
		return -EOPNOTSUPP;
	if (rules < 0)
		return bl_err_sys(err, -rules, "landlock");
	r = bl_sys_landlock_allow(rules, program, READ_FILE);
	if (r < 0)
		return bl_err_sys(err, -r, "landlock: the fetch program");
	for (size_t i = 0; r == 0 && i < sizeof(readable) / sizeof(*readable); i++)
		r = allow(rules, readable[i], err);
	if (r == 0 && bl_json_get_string(job, "ca_file", &ca_file, NULL) > 0)
		r = allow(rules, ca_file, err);
	if (files && bl_json_get_array(job, "file_roots", &roots, NULL) > 0)
		for (const bl_json *at = bl_json_first(roots); r == 0 && at; at = bl_json_next(at))
			r = allow(rules, bl_json_string(at), err);
	return r < 0 ? r : TAKE_FD(rules);
}
