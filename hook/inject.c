// SPDX-License-Identifier: Apache-2.0
#include "hook/inject.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/mount.h"
#include "common/spec.h"
#include "common/sys.h"
#include "hook/bundle.h"
#include "hook/capabilities.h"
#include "hook/options.h"
#include "hook/plan.h"
#include "hook/seccomp.h"

#define SHIM_MAX     (16 * 1024 * 1024)
#define MAP_MAX	     65536
#define SHIM_MODE    0555
#define PRIVATE_MODE 0400
/* What a file costs in a tmpfs beyond its bytes: a page that is not full. */
#define PAGE_SPARE 4096

/* ---- Ids ---- */

int bl_inject_read_map(pid_t pid, const char *name, struct bl_buf *map, struct bl_err *err)
{
	char path[64];

	map->max = MAP_MAX;
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return bl_fs_read_file(AT_FDCWD, path, map, err);
}

int bl_inject_map_id(const char *map, uint32_t id, uint32_t *ret, struct bl_err *err)
{
	while (*map) {
		unsigned long long inside;
		unsigned long long outside;
		unsigned long long length;
		const char *eol = strchr(map, '\n');

		if (sscanf(map, "%llu %llu %llu", &inside, &outside, &length) == 3 &&
		    id >= inside && id - inside < length) {
			*ret = (uint32_t)(outside + (id - inside));
			return 0;
		}
		if (!eol)
			break;
		map = eol + 1;
	}
	return bl_err_config(err,
			     "id %u is not mapped in the container's user namespace: map it "
			     "in linux.uidMappings and linux.gidMappings",
			     id);
}

/* ---- The shim's orders ---- */

static int add_environment(struct bl_buf *spec, const bl_json *environment, struct bl_err *err)
{
	for (const bl_json *m = environment ? bl_json_first(environment) : NULL; m;
	     m = bl_json_next(m)) {
		auto_free char *text = NULL;
		int r;

		if (asprintf(&text, "%s=%s", bl_json_key(m), bl_json_string(m)) < 0) {
			text = NULL;
			return bl_err_nomem(err);
		}
		r = bl_spec_add_text(spec, BL_SPEC_ENV, text, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_server(struct bl_buf *spec, const struct bl_plan *plan,
		      const struct bl_bundle *bundle, bool deferred, struct bl_err *err)
{
	uint32_t flags = (plan->init ? BL_SPEC_FLAG_INIT : 0) |
			 (plan->no_build ? BL_SPEC_FLAG_NO_BUILD : 0) |
			 (deferred ? BL_SPEC_FLAG_DEFERRED : 0);
	int r = bl_spec_add_u32(spec, BL_SPEC_FLAGS, flags, err);

	if (r == 0 && plan->start_command)
		r = bl_spec_add_text(spec, BL_SPEC_START_COMMAND, plan->start_command, err);
	if (r == 0 && plan->has_run_as)
		r = bl_spec_add_u32(spec, BL_SPEC_RUN_AS, plan->run_as, err);
	if (r == 0)
		r = bl_spec_add_user(spec, bundle->uid, bundle->gid, err);
	if (r == 0 && plan->home && plan->home[0])
		r = bl_spec_add_text(spec, BL_SPEC_HOME, plan->home, err);
	return r;
}

static int add_kept(struct bl_buf *spec, const char *list, struct bl_err *err)
{
	uint64_t mask = 0;
	int r = bl_capabilities_parse(list, &mask, err);

	if (r < 0)
		bl_err_wrap(err, "--keep-capabilities: ");
	return r < 0 ? r : bl_spec_add_u64(spec, BL_SPEC_KEEP_CAPS, mask, err);
}

static int add_filter(struct bl_buf *spec, struct bl_err *err)
{
	auto_buf filter = BL_BUF_INIT(BL_SECCOMP_MAX);
	int r = bl_seccomp_build(&filter, err);

	return r < 0 ? r : bl_spec_add(spec, BL_SPEC_SECCOMP, filter.data, filter.len, err);
}

int bl_inject_spec(const struct bl_plan *plan, const struct bl_bundle *bundle,
		   const struct bl_options *options, const bl_json *environment, bool deferred,
		   struct bl_buf *spec, struct bl_err *err)
{
	int r = bl_spec_begin(spec, err);

	if (r == 0)
		r = add_server(spec, plan, bundle, deferred, err);
	if (r == 0 && options->keep_capabilities)
		r = add_kept(spec, options->keep_capabilities, err);
	if (r == 0 && options->seccomp)
		r = add_filter(spec, err);
	/* The annotation comes after the agent: the later of two wins. */
	if (r == 0)
		r = add_environment(spec, environment, err);
	if (r == 0)
		r = add_environment(spec, plan->environment, err);
	for (size_t i = 0; i < plan->weights.count && r == 0; i++)
		r = bl_spec_add_text(spec, BL_SPEC_MOUNT, plan->weights.items[i].mount_location,
				     err);
	return r < 0 ? r : bl_spec_end(spec, err);
}

/* ---- Files ---- */

static int write_file(int directory, const char *name, const struct bl_buf *content, mode_t mode,
		      struct bl_inject_owner owner, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	int r = fd < 0 ? fd : bl_sys_write_all(fd, content->data, content->len);

	if (r == 0)
		r = bl_sys_fchownat(fd, "", owner.uid, owner.gid, AT_EMPTY_PATH);
	if (r == 0)
		r = bl_sys_fchmod(fd, mode);
	return r < 0 ? bl_err_sys(err, -r, "write '%s'", name) : 0;
}

/*
 * Who owns this very program. Root runs it, so what they own is trusted already; in a directory
 * where a person built Ballast the shim is as much theirs as the hook is.
 */
static uid_t program_owner(void)
{
	struct stat st;

	return bl_sys_fstatat(AT_FDCWD, "/proc/self/exe", &st, 0) < 0 ? 0 : st.st_uid;
}

/* Reads a file of the operator's, which must be root's, or `also`'s, and have none of `forbidden`. */
static int read_owned(int directory, const char *name, uid_t also, mode_t forbidden,
		      struct bl_buf *content, struct bl_err *err)
{
	auto_fd fd = bl_sys_openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	struct stat st;
	int r;

	if (fd < 0)
		return bl_err_set(err, BL_EX_CONFIG, -fd, "'%s': %s", name, strerror(-fd));
	r = bl_sys_fstat(fd, &st);
	if (r < 0)
		return bl_err_sys(err, -r, "stat '%s'", name);
	if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != also) ||
	    (st.st_mode & forbidden & (S_IWGRP | S_IWOTH)))
		return bl_err_refuse(
			err,
			"'%s' is no file that root alone can write: let it be a regular "
			"file, chown root and chmod go-w it",
			name);
	if (st.st_mode & forbidden)
		return bl_err_config(err, "'%s' has mode %04o; chmod it to 0600", name,
				     (unsigned)(st.st_mode & 07777));
	return bl_buf_read(content, fd, err);
}

/* ---- /run/ballast ---- */

static int make_gate(int directory, struct bl_inject_owner owner, struct bl_err *err)
{
	int r = bl_sys_mkfifoat(directory, "gate", PRIVATE_MODE);

	if (r == 0)
		r = bl_sys_fchownat(directory, "gate", owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW);
	return r < 0 ? bl_err_sys(err, -r, "make the gate") : 0;
}

int bl_inject_box(const char *shim, const struct bl_buf *spec, bool gate,
		  struct bl_inject_owner owner, const char *label, struct bl_err *err)
{
	static const struct bl_inject_owner root = {0, 0};
	auto_buf program = BL_BUF_INIT(SHIM_MAX);
	auto_fd mount = -1;
	int r = read_owned(AT_FDCWD, shim, program_owner(), 022, &program, err);

	if (r < 0) {
		bl_err_wrap(err, "the shim (--shim): ");
		return r;
	}
	mount = bl_mount_tmpfs(program.len + spec->len + 3 * PAGE_SPARE, label, err);
	if (mount < 0)
		return mount;
	r = write_file(mount, "shim", &program, SHIM_MODE, root, err);
	if (r == 0)
		r = write_file(mount, "spec", spec, PRIVATE_MODE, owner, err);
	if (r == 0 && gate)
		r = make_gate(mount, owner, err);
	if (r == 0)
		r = bl_mount_seal(mount, true, err);
	return r < 0 ? r : TAKE_FD(mount);
}

/* ---- /secrets ---- */

/* The tenant's directory, or -ENOENT. Whoever can write it could put another's secret there. */
static int open_tenant(const char *directory, const char *tenant, struct bl_err *err)
{
	auto_fd all = bl_sys_openat(AT_FDCWD, directory, O_PATH | O_DIRECTORY, 0);
	auto_fd fd = -1;
	struct stat st;

	if (all < 0)
		return bl_err_set(err, BL_EX_CONFIG, -all, "secrets directory '%s': %s", directory,
				  strerror(-all));
	fd = bl_fs_open_beneath(all, tenant, O_PATH | O_DIRECTORY, err);
	if (fd == -ELOOP || fd == -ENOTDIR)
		return bl_err_config(err, "'%s/%s' is no directory: a tenant's secrets lie in one",
				     directory, tenant);
	if (fd < 0)
		return fd;
	if (bl_sys_fstat(fd, &st) < 0 || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return bl_err_refuse(err,
				     "others than root may write '%s/%s': chown root and chmod "
				     "go-w it",
				     directory, tenant);
	return TAKE_FD(fd);
}

static int copy_secret(int tenant, const char *directory, const struct bl_plan *plan,
		       const char *name, int mount, struct bl_inject_owner owner,
		       struct bl_err *err)
{
	auto_buf content = BL_BUF_INIT(BL_MAX_SECRET);
	int r = tenant < 0 ? -ENOENT : read_owned(tenant, name, 0, 077, &content, err);

	if (r == -ENOENT)
		return bl_err_config(err, "tenant '%s' has no secret '%s': put it into %s/%s/%s",
				     plan->tenant, name, directory, plan->tenant, name);
	if (r == -EFBIG)
		r = bl_err_config(err, "'%s' has more than %d bytes, and is no secret", name,
				  BL_MAX_SECRET);
	if (r == 0)
		r = write_file(mount, name, &content, PRIVATE_MODE, owner, err);
	if (content.data)
		explicit_bzero(content.data, content.len);
	return r;
}

int bl_inject_secrets(const char *directory, const struct bl_plan *plan,
		      struct bl_inject_owner owner, const char *label, struct bl_err *err)
{
	size_t count = bl_json_length(plan->secrets);
	auto_fd tenant = open_tenant(directory, plan->tenant, err);
	auto_fd mount = -1;
	int r = tenant < 0 && tenant != -ENOENT ? tenant : 0;

	if (r == 0) {
		mount = bl_mount_tmpfs(count * (BL_MAX_SECRET + PAGE_SPARE), label, err);
		r = mount < 0 ? mount : 0;
	}
	for (const bl_json *e = r == 0 ? bl_json_first(plan->secrets) : NULL; e && r == 0;
	     e = bl_json_next(e))
		r = copy_secret(tenant, directory, plan, bl_json_string(e), mount, owner, err);
	if (r == 0)
		r = bl_mount_seal(mount, false, err);
	if (r < 0) {
		bl_err_wrap(err, BL_KEY_SECRETS ": ");
		return r;
	}
	return TAKE_FD(mount);
}
