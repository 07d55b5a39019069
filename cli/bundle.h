/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a command line's options to a bundle's config.json. `run` and `bundle` share it: what they
 * run is the same.
 */
#ifndef BL_BUNDLE_H
#define BL_BUNDLE_H

#include "cli/oci_config.h"
#include "cli/options.h"
#include "common/program.h"

struct bl_bundle {
	const char *rootfs;	  /* --rootfs */
	const char *bundle;	  /* --bundle: an existing one to start from */
	const char *image_config; /* --image-config: an OCI image's configuration */
	const char *network;	  /* "host" or "none" */
	struct bl_oci_hook hook;
	char hook_path[BL_PROGRAM_PATH_MAX];
	char shim_path[BL_PROGRAM_PATH_MAX];
	char secrets_path[BL_PROGRAM_PATH_MAX];
};

/* The options that fill it; a command puts them in its table. */
#define BL_BUNDLE_OPTIONS(b)                                                                    \
	BL_OPTION_TEXT("rootfs", "DIR", "the container's root filesystem, an unpacked image",   \
		       &(b)->rootfs),                                                           \
		BL_OPTION_TEXT("bundle", "DIR",                                                 \
			       "start from an OCI bundle instead, as `umoci unpack` makes it",  \
			       &(b)->bundle),                                                   \
		BL_OPTION_TEXT("image-config", "FILE",                                          \
			       "the image's configuration (skopeo inspect --config),\nfor its " \
			       "own entrypoint and environment",                                \
			       &(b)->image_config),                                             \
		BL_OPTION_TEXT("network", "host|none",                                          \
			       "host (the default): the server's port answers on this machine", \
			       &(b)->network),                                                  \
		BL_OPTION_TEXT("agent", "unix:PATH",                                            \
			       "the agent's socket (default unix:/run/ballast/agent.sock)",     \
			       &(b)->hook.agent),                                               \
		BL_OPTION_TEXT("tenant", "NAME", "on whose behalf (default: default)",          \
			       &(b)->hook.tenant),                                              \
		BL_OPTION_TEXT("timeout", "TIME",                                               \
			       "how long the hook waits for weights (default 90s)",             \
			       &(b)->hook.timeout),                                             \
		BL_OPTION_TEXT("on-timeout", "fail|defer",                                      \
			       "then fail, or start and let the shim wait (default)",           \
			       &(b)->hook.on_timeout),                                          \
		BL_OPTION_TEXT("secrets-dir", "DIR",                                            \
			       "where /secrets comes from (default /etc/ballast/secrets)",      \
			       &(b)->hook.secrets_dir),                                         \
		BL_OPTION_TEXT("hook", "FILE",                                                  \
			       "ballast-hook (default: beside this program, or as installed)",  \
			       &(b)->hook.path),                                                \
		BL_OPTION_TEXT("shim", "FILE", "ballast-shim (likewise)", &(b)->hook.shim)

/* Completes and checks what the options gave; paths become absolute. BL_EX_CONFIG. */
int bl_bundle_complete(struct bl_bundle *bundle, struct bl_err *err);

/* Builds config.json; args (or NULL) replace the image's own. */
int bl_bundle_build(const struct bl_bundle *bundle, const struct bl_truss_config *truss,
		    char *const *args, bl_json **ret, struct bl_err *err);

/* Writes config.json into the directory. */
int bl_bundle_write(int dirfd, const bl_json *config, struct bl_err *err);

#endif
