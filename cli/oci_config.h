/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json of a bundle: a base (our own, an image's configuration, or an existing bundle's), and
 * what Ballast adds to it: annotations, hooks with an explicit environment, the shim in front of
 * the process, and the capabilities without which the shim could not drop to the server's user.
 */
#ifndef BL_OCI_CONFIG_H
#define BL_OCI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"

struct bl_err;
struct bl_truss_config;

struct bl_oci_hook {
	const char *path;	 /* ballast-hook */
	const char *shim;	 /* ballast-shim */
	const char *agent;	 /* the agent's address, "unix:/path" */
	const char *secrets_dir; /* NULL: the hook's default */
	const char *tenant;	 /* NULL: the hook's default */
	const char *timeout;	 /* as the hook's --timeout, NULL: its default */
	const char *on_timeout;	 /* NULL: its default */
};

/* Our own base: the host's pid, ipc, uts and mount namespaces are left, no capabilities, no args.
 */
int bl_oci_config_base(bl_json **ret, struct bl_err *err);

/* An existing config.json, the caller's. */
int bl_oci_config_read(int dirfd, const char *path, bl_json **ret, struct bl_err *err);

/* Of a config that was changed here: process.user and args are again what they were before. */
int bl_oci_config_restore(bl_json *config, struct bl_err *err);

/* Takes args, env, cwd and user from another bundle's config.json. */
int bl_oci_config_take_process(bl_json *config, const bl_json *from, struct bl_err *err);

/* The same from an OCI or Docker image configuration ("config": Entrypoint, Cmd, Env, ...) of what root.path has. */
int bl_oci_config_take_image(bl_json *config, const bl_json *image, struct bl_err *err);

/* Replaces process.args; what they were is kept. */
int bl_oci_config_set_args(bl_json *config, char *const *args, struct bl_err *err);

/* Sets root.path; root.readonly stays as it is. */
int bl_oci_config_set_rootfs(bl_json *config, const char *rootfs, struct bl_err *err);

/* The host's network, or one of the container's own with nothing in it. */
int bl_oci_config_set_network(bl_json *config, bool host, struct bl_err *err);

/* No terminal: output goes where ours goes. */
int bl_oci_config_set_foreground(bl_json *config, struct bl_err *err);

/* Sets one annotation. */
int bl_oci_config_annotate(bl_json *config, const char *key, const char *value, struct bl_err *err);

/*
 * Adds what Ballast needs, replacing what it added to the same bundle before. BL_EX_CONFIG where
 * there is neither a start_command nor any process to run.
 */
int bl_oci_config_add_ballast(bl_json *config, const struct bl_truss_config *truss,
			      const struct bl_oci_hook *hook, struct bl_err *err);

#endif
