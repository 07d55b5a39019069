// SPDX-License-Identifier: Apache-2.0
#include "hook/bundle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/sys.h"
#include "hook/state.h"

#define CONFIG_NAME "config.json"
#define ID_MOST	    4294967295LL

void bl_bundle_done(struct bl_bundle *bundle)
{
	bl_json_free(&bundle->json);
	free(bundle->rootfs);
	*bundle = (struct bl_bundle){0};
}

/* ---- process ---- */

static bool is_capability(const char *text, const char *name)
{
	if (strncasecmp(text, "CAP_", 4) == 0)
		text += 4;
	return strcasecmp(text, name) == 0;
}

static bool holds(const bl_json *names, const char *name)
{
	for (const bl_json *e = names ? bl_json_first(names) : NULL; e; e = bl_json_next(e))
		if (is_capability(bl_json_string(e), name))
			return true;
	return false;
}

/*
 * Sets that are not written count as empty, as runtimes have it; a missing object as unknown. What
 * counts is whether any set has them: a permitted capability is held outside the bounding set too.
 */
static int read_capabilities(const bl_json *process, struct bl_bundle *ret, struct bl_err *err)
{
	enum { BOUNDING, PERMITTED, INHERITABLE, AMBIENT, EFFECTIVE, SETS };
	static const char *const sets[SETS] = {"bounding", "permitted", "inheritable", "ambient",
					       "effective"};
	const bl_json *capabilities = NULL;
	bool ids[SETS]; /* whether it has both */
	int r = bl_json_get_object(process, "capabilities", &capabilities, err);

	if (r <= 0)
		return r;
	ret->may_remount = false;
	for (size_t i = 0; i < SETS; i++) {
		const bl_json *set = NULL;

		r = bl_json_get_strings(capabilities, sets[i], &set, err);
		if (r < 0) {
			bl_err_wrap(err, "capabilities.");
			return r;
		}
		if (holds(set, "SYS_ADMIN") || holds(set, "DAC_READ_SEARCH"))
			ret->may_remount = true;
		ids[i] = holds(set, "SETUID") && holds(set, "SETGID");
	}
	/* Over execve(2) root has what is bounding or inheritable; who is not keeps what is ambient alone, and
	 * so in all the others. */
	ret->may_set_ids =
		ids[EFFECTIVE] && (ret->uid == 0 ? ids[BOUNDING] || ids[INHERITABLE]
						 : ids[AMBIENT] && ids[INHERITABLE] &&
							   ids[PERMITTED] && ids[BOUNDING]);
	return 0;
}

static int read_user(const bl_json *process, struct bl_bundle *ret, struct bl_err *err)
{
	const bl_json *user = NULL;
	int64_t uid = 0;
	int64_t gid = 0;
	int r = bl_json_get_object(process, "user", &user, err);

	if (r <= 0)
		return r;
	r = bl_json_get_int(user, "uid", 0, ID_MOST, &uid, err);
	if (r >= 0)
		r = bl_json_get_int(user, "gid", 0, ID_MOST, &gid, err);
	if (r < 0) {
		bl_err_wrap(err, "user.");
		return r;
	}
	ret->uid = (uint32_t)uid;
	ret->gid = (uint32_t)gid;
	return 0;
}

static int read_process(struct bl_bundle *ret, struct bl_err *err)
{
	const bl_json *process = NULL;
	const bl_json *args = NULL;
	const bl_json *env = NULL;
	int r = bl_json_get_object(ret->json, "process", &process, err);

	ret->may_remount = true;
	if (r <= 0)
		return r;
	r = bl_json_get_strings(process, "args", &args, err);
	if (r == 1 && bl_json_first(args))
		ret->command = bl_json_string(bl_json_first(args));
	if (r >= 0)
		r = bl_json_get_string(process, "cwd", &ret->cwd, err);
	if (r >= 0)
		r = bl_json_get_strings(process, "env", &env, err);
	/* As execve(2) and every libc have it where a name stands twice: runtimes keep the last. */
	for (const bl_json *e = r == 1 ? bl_json_first(env) : NULL; e; e = bl_json_next(e))
		if (strncmp(bl_json_string(e), "HOME=", 5) == 0)
			ret->home = bl_json_string(e) + 5;
	if (r >= 0)
		r = read_user(process, ret, err);
	if (r >= 0)
		r = read_capabilities(process, ret, err);
	if (r < 0)
		bl_err_wrap(err, "process.");
	return r;
}

/* ---- linux ---- */

static int read_namespaces(const bl_json *linux_object, struct bl_bundle *ret, struct bl_err *err)
{
	const bl_json *namespaces = NULL;
	size_t i = 0;
	int r = bl_json_get_array(linux_object, "namespaces", &namespaces, err);

	if (r <= 0)
		return r;
	for (const bl_json *e = bl_json_first(namespaces); e; e = bl_json_next(e), i++) {
		const char *type = NULL;
		const char *path = NULL;

		if (!bl_json_is_object(e))
			return bl_err_config(err, "namespaces: must hold objects");
		r = bl_json_get_string(e, "type", &type, err);
		if (r >= 0)
			r = bl_json_get_string(e, "path", &path, err);
		if (r < 0) {
			bl_err_wrap(err, "namespaces[%zu].", i);
			return r;
		}
		if (type && strcmp(type, "mount") == 0)
			ret->own_mounts = !path || !*path;
	}
	return 0;
}

static int read_linux(struct bl_bundle *ret, struct bl_err *err)
{
	const bl_json *linux_object = NULL;
	int r = bl_json_get_object(ret->json, "linux", &linux_object, err);

	if (r <= 0)
		return r;
	r = read_namespaces(linux_object, ret, err);
	if (r >= 0)
		r = bl_json_get_string(linux_object, "mountLabel", &ret->mount_label, err);
	if (r >= 0)
		r = bl_json_get_strings(linux_object, "maskedPaths", &ret->masked, err);
	if (r < 0)
		bl_err_wrap(err, "linux.");
	return r;
}

/* ---- The rest ---- */

static int join_root(const char *directory, const char *path, struct bl_bundle *ret,
		     struct bl_err *err)
{
	int n = path[0] == '/' ? asprintf(&ret->rootfs, "%s", path)
			       : asprintf(&ret->rootfs, "%s/%s", directory, path);

	if (n < 0) {
		ret->rootfs = NULL;
		return bl_err_nomem(err);
	}
	return 0;
}

static int read_root(const char *directory, struct bl_bundle *ret, struct bl_err *err)
{
	const bl_json *root = NULL;
	const char *path = NULL;
	int r = bl_json_get_object(ret->json, "root", &root, err);

	if (r <= 0)
		return r;
	r = bl_json_get_string(root, "path", &path, err);
	if (r < 0) {
		bl_err_wrap(err, "root.");
		return r;
	}
	return path && *path ? join_root(directory, path, ret, err) : 0;
}

static int read_mounts(struct bl_bundle *ret, struct bl_err *err)
{
	int r = bl_json_get_array(ret->json, "mounts", &ret->mounts, err);

	for (const bl_json *e = r == 1 ? bl_json_first(ret->mounts) : NULL; e; e = bl_json_next(e))
		if (!bl_json_is_object(e))
			return bl_err_config(err, "mounts: must hold objects");
	return r;
}

int bl_bundle_parse(const char *text, size_t len, const char *directory, struct bl_bundle *ret,
		    struct bl_err *err)
{
	static const struct bl_json_limits limits = {
		.max_bytes = BL_MAX_CONFIG, .fractions = true, .absent_nulls = true};
	auto_bundle bundle = {.may_remount = true};
	int r = bl_json_parse(text, len, &limits, &bundle.json, err);

	if (r == 0 && !bl_json_is_object(bundle.json))
		r = bl_err_config(err, "must be an object, not %s", bl_json_kind(bundle.json));
	if (r >= 0)
		r = bl_json_get_object(bundle.json, "annotations", &bundle.annotations, err);
	if (r >= 0)
		r = read_root(directory, &bundle, err);
	if (r >= 0)
		r = read_mounts(&bundle, err);
	if (r >= 0)
		r = read_process(&bundle, err);
	if (r >= 0)
		r = read_linux(&bundle, err);
	if (r < 0) {
		bl_err_wrap(err, CONFIG_NAME ": ");
		return r;
	}
	*ret = bundle;
	bundle = (struct bl_bundle){0};
	return 0;
}

static int read_config(int directory, struct bl_buf *text, struct bl_err *err)
{
	int r = bl_fs_read_file(directory, CONFIG_NAME, text, err);

	if (r == -ELOOP)
		return bl_err_config(err, CONFIG_NAME " is a symbolic link: put the file itself "
						      "there");
	if (r < 0 && err)
		err->code = r == -EPERM ? BL_EX_REFUSED : BL_EX_CONFIG;
	return r;
}

int bl_bundle_read(const struct bl_state *state, struct bl_bundle *ret, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_CONFIG);
	auto_bundle bundle = {.may_remount = true, .annotations = state->annotations};
	auto_fd directory = -1;
	int r = 0;

	if (bl_state_has_bundle(state)) {
		directory = bl_sys_openat(AT_FDCWD, state->bundle, O_PATH | O_DIRECTORY, 0);
		if (directory < 0)
			return bl_err_set(err, BL_EX_CONFIG, -directory, "bundle '%.200s': %s",
					  state->bundle, strerror(-directory));
		r = read_config(directory, &text, err);
		if (r < 0)
			bl_err_wrap(err, "bundle '%.200s': ", state->bundle);
		if (r == 0)
			r = bl_bundle_parse(bl_buf_str(&text), text.len, state->bundle, &bundle,
					    err);
	}
	if (r == 0 && !bundle.rootfs && state->root)
		r = join_root(state->bundle ? state->bundle : "", state->root, &bundle, err);
	if (r < 0)
		return r;
	*ret = bundle;
	bundle = (struct bl_bundle){0};
	return 0;
}
