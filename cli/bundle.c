// SPDX-License-Identifier: Apache-2.0
#include "cli/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/command.h"
#include "cli/truss_config.h"
#include "common/agent_client.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/utf8.h"
#include "common/weights.h"

/* ---- Options ---- */

static int absolute(const char **path, const char *option, char *room, struct bl_err *err)
{
	if (!*path)
		return 0;
	if (!realpath(*path, room))
		return bl_err_set(err, BL_EX_CONFIG, errno, "--%s: '%s': %s", option, *path,
				  strerror(errno));
	*path = room;
	return 0;
}

static int check_executable(const char *path, const char *option, struct bl_err *err)
{
	if (access(path, X_OK) == 0)
		return 0;
	return bl_err_set(err, BL_EX_CONFIG, errno, "'%s': %s; --%s=FILE names another", path,
			  strerror(errno), option);
}

int bl_bundle_complete(struct bl_bundle *bundle, struct bl_err *err)
{
	struct bl_oci_hook *hook = &bundle->hook;
	const char *socket;
	int r;

	if (!bundle->rootfs == !bundle->bundle)
		return bl_err_config(err, "give one of --rootfs=DIR and --bundle=DIR");
	if (!hook->agent)
		hook->agent = "unix:" BL_PATH_SOCKET;
	r = bl_agent_parse_address(hook->agent, &socket, err);
	if (r < 0) {
		bl_err_wrap(err, "--agent: ");
		return r;
	}
	if (bundle->network && strcmp(bundle->network, "host") != 0 &&
	    strcmp(bundle->network, "none") != 0)
		return bl_err_config(err, "--network: must be host or none, not %.64s",
				     bundle->network);
	if (hook->on_timeout && strcmp(hook->on_timeout, "fail") != 0 &&
	    strcmp(hook->on_timeout, "defer") != 0)
		return bl_err_config(err, "--on-timeout: must be fail or defer, not %.64s",
				     hook->on_timeout);
	if (hook->tenant && !bl_weights_is_tenant(hook->tenant))
		return bl_err_config(err, "--tenant: '%.64s' is no tenant's name", hook->tenant);
	/* An absolute one need not be there for a config without secrets. */
	if (hook->secrets_dir && hook->secrets_dir[0] != '/')
		r = absolute(&hook->secrets_dir, "secrets-dir", bundle->secrets_path, err);
	if (r == 0 && hook->path)
		r = absolute(&hook->path, "hook", bundle->hook_path, err);
	else if (r == 0)
		hook->path = bl_program_find("ballast-hook", BL_PATH_HOOK, bundle->hook_path);
	if (r == 0 && hook->shim)
		r = absolute(&hook->shim, "shim", bundle->shim_path, err);
	else if (r == 0)
		hook->shim = bl_program_find("ballast-shim", BL_PATH_SHIM, bundle->shim_path);
	if (r == 0)
		r = check_executable(hook->path, "hook", err);
	return r < 0 ? r : check_executable(hook->shim, "shim", err);
}

/* ---- The bundle ---- */

static int open_dir(const char *path, const char *option, struct bl_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return bl_err_set(err, BL_EX_CONFIG, errno, "--%s: '%s': %s", option, path,
				  strerror(errno));
	return fd;
}

/* An existing bundle, with its rootfs's path made absolute. */
static int start_from_bundle(const char *path, bl_json **ret, struct bl_err *err)
{
	auto_fd dir = open_dir(path, "bundle", err);
	auto_json config = NULL;
	auto_free char *rootfs = NULL;
	auto_buf below = BL_BUF_INIT(PATH_MAX);
	const bl_json *root = NULL;
	const char *text = NULL;
	int r;

	if (dir < 0)
		return dir;
	r = bl_oci_config_read(dir, "config.json", &config, err);
	if (r == 0)
		r = bl_oci_config_restore(config, err);
	if (r == 0)
		r = bl_json_get_object(config, "root", &root, err);
	if (r > 0)
		r = bl_json_get_string(root, "path", &text, err);
	if (r == 0)
		r = bl_err_config(err, "root.path: is missing");
	if (r > 0)
		r = *text == '/' ? bl_buf_puts(&below, text, err)
				 : bl_buf_putf(&below, err, "%s/%s", path, text);
	if (r >= 0) {
		rootfs = realpath(bl_buf_str(&below), NULL);
		r = rootfs ? bl_oci_config_set_rootfs(config, rootfs, err)
			   : bl_err_config(err, "root.path: '%s': %s", bl_buf_str(&below),
					   strerror(errno));
	}
	if (r < 0) {
		bl_err_wrap(err, "--bundle: '%s': ", path);
		return r;
	}
	*ret = TAKE_PTR(config);
	return 0;
}

/* A rootfs; the process is that of the bundle around it (umoci's), where there is one. */
static int start_from_rootfs(const char *path, bl_json **ret, struct bl_err *err)
{
	auto_free char *rootfs = realpath(path, NULL);
	auto_fd dir = open_dir(path, "rootfs", err);
	auto_json config = NULL;
	auto_json around = NULL;
	int r;

	if (dir < 0)
		return dir;
	if (!rootfs)
		return bl_err_sys(err, errno, "'%s'", path);
	if (strcmp(rootfs, "/") == 0)
		return bl_err_refuse(err,
				     "--rootfs: '%s' is this machine's own root file system; "
				     "unpack an image and name its directory",
				     path);
	r = bl_oci_config_base(&config, err);
	if (r == 0)
		r = bl_oci_config_set_rootfs(config, rootfs, err);
	if (r == 0 && strcmp(strrchr(rootfs, '/'), "/rootfs") == 0 &&
	    faccessat(dir, "../config.json", R_OK, 0) == 0) {
		r = bl_oci_config_read(dir, "../config.json", &around, err);
		if (r == 0)
			r = bl_oci_config_restore(around, err);
		if (r == 0)
			r = bl_oci_config_take_process(config, around, err);
	}
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}

/* What a command line has given may be any bytes; in JSON they would be others, and no error. */
static int check_texts(const bl_json *json, struct bl_err *err)
{
	int r = 0;

	for (const char *at = bl_json_string(json); at && *at;) {
		uint32_t point;
		size_t len = bl_utf8_decode(at, BL_UTF8_MOST, &point);

		if (len == 0)
			return bl_err_config(err,
					     "'%.200s' is not UTF-8: no config.json can hold it",
					     bl_json_string(json));
		at += len;
	}
	for (const bl_json *e = bl_json_first(json); e && r == 0; e = bl_json_next(e))
		r = check_texts(e, err);
	return r;
}

int bl_bundle_build(const struct bl_bundle *bundle, const struct bl_truss_config *truss,
		    char *const *args, bl_json **ret, struct bl_err *err)
{
	auto_json config = NULL;
	auto_json image = NULL;
	int r = bundle->bundle ? start_from_bundle(bundle->bundle, &config, err)
			       : start_from_rootfs(bundle->rootfs, &config, err);

	if (r == 0 && bundle->image_config) {
		r = bl_oci_config_read(AT_FDCWD, bundle->image_config, &image, err);
		if (r == 0)
			r = bl_oci_config_take_image(config, image, err);
		if (r < 0)
			bl_err_wrap(err, "--image-config: ");
	}
	if (args && truss->start_command)
		bl_say("the command after -- does not run: docker_server.start_command of the "
		       "config does");
	if (r == 0 && args)
		r = bl_oci_config_set_args(config, args, err);
	if (r == 0)
		r = bl_oci_config_set_network(
			config, !bundle->network || strcmp(bundle->network, "host") == 0, err);
	if (r == 0)
		r = bl_oci_config_set_foreground(config, err);
	if (r == 0)
		r = bl_oci_config_add_ballast(config, truss, &bundle->hook, err);
	if (r == 0)
		r = check_texts(config, err);
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}

int bl_bundle_write(int dirfd, const bl_json *config, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_CONFIG);
	const mode_t mask = umask(0);
	int r = bl_json_write(&text, config, err);

	(void)umask(mask);
	if (r == 0)
		r = bl_buf_puts(&text, "\n", err);
	return r < 0 ? r
		     : bl_fs_write_file(dirfd, "config.json", text.data, text.len, 0644 & ~mask,
					err);
}

/* ---- ballast bundle ---- */

/* Whether config.json there is one that we wrote: it has an annotation of ours. */
static bool is_ours(int dir)
{
	auto_json config = NULL;
	const bl_json *annotations = NULL;

	if (bl_oci_config_read(dir, "config.json", &config, NULL) < 0 ||
	    bl_json_get_object(config, "annotations", &annotations, NULL) <= 0)
		return false;
	for (const bl_json *at = bl_json_first(annotations); at; at = bl_json_next(at))
		if (strstr(bl_json_key(at), ".ballast.dev"))
			return true;
	return false;
}

/* Where nobody has said where to write, somebody else's file stays as it is. */
static int check_output(int dir, bool named, struct bl_err *err)
{
	if (named || faccessat(dir, "config.json", F_OK, AT_SYMLINK_NOFOLLOW) < 0 || is_ours(dir))
		return 0;
	return bl_err_config(err, "there is a config.json in this directory that ballast did not "
				  "write; name another one with --output");
}

int bl_bundle_main(char **words, struct bl_err *err)
{
	struct bl_bundle bundle = {0};
	const char *output = NULL;
	bool named;
	const struct bl_option options[] = {
		BL_OPTION_TEXT("output", "DIR",
			       "where to write config.json (default: --bundle's own\ndirectory, "
			       "else the present one)",
			       &output),
		BL_BUNDLE_OPTIONS(&bundle),
		{0},
	};
	const struct bl_usage usage = {
		"ballast bundle (--rootfs=DIR | --bundle=DIR) [OPTION...] CONFIG.yaml [-- COMMAND "
		"[ARG...]]",
		"Writes an OCI bundle's config.json for the server that CONFIG.yaml describes:\n"
		"annotations, the hook, the shim in front of the process. COMMAND is for a config "
		"without a\n"
		"start_command. Run it with any runtime: runc run --bundle DIR NAME",
		options,
		1,
		1,
		true};
	struct bl_operands operands;
	auto_truss_config truss = {0};
	auto_json config = NULL;
	auto_fd dir = -1;
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = bl_bundle_complete(&bundle, err);
	if (r == 0)
		r = bl_truss_config_read(operands.words[0], &truss, err);
	if (r < 0)
		return r;
	bl_say_lines(bl_buf_str(&truss.warnings));
	r = bl_bundle_build(&bundle, &truss, operands.rest, &config, err);
	if (r < 0)
		return r;
	named = output || bundle.bundle;
	output = output ? output : bundle.bundle ? bundle.bundle : ".";
	if (mkdir(output, 0755) < 0 && errno != EEXIST)
		return bl_err_set(err, BL_EX_CONFIG, errno, "--output: '%s': %s", output,
				  strerror(errno));
	dir = open_dir(output, "output", err);
	r = dir < 0 ? dir : check_output(dir, named, err);
	return r < 0 ? r : bl_bundle_write(dir, config, err);
}
