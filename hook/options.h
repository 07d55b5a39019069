/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator says: the command line of ballast-hook, by one table.
 */
#ifndef BL_OPTIONS_H
#define BL_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"

struct bl_err;

enum bl_stage { BL_STAGE_AUTO, BL_STAGE_CREATE, BL_STAGE_POSTSTOP, BL_STAGE_PRECREATE };

/* Whose identity annotations are believed. */
enum bl_family { BL_FAMILY_AUTO, BL_FAMILY_CRIO, BL_FAMILY_CONTAINERD, BL_FAMILY_NONE };

enum bl_on_timeout { BL_ON_TIMEOUT_DEFAULT, BL_ON_TIMEOUT_FAIL, BL_ON_TIMEOUT_DEFER };

/* Texts are borrowed from the arguments. */
struct bl_options {
	enum bl_stage stage;
	const char *agent; /* the socket's path */
	int64_t timeout;   /* milliseconds */
	enum bl_on_timeout on_timeout;
	const char *shim;
	const char *secrets_dir;
	enum bl_family runtime;
	const char *tenant; /* of containers that are in no pod */
	bool required;
	bool seccomp;
	const char *keep_capabilities; /* a list of names, NULL without */
	bool allow_exec;
	enum bl_log_format log_format;
	bool help, version;
};

extern const char bl_options_usage[];

/* Fills *ret with the defaults and what argv says. BL_EX_CONFIG. */
int bl_options_parse(int argc, char *const *argv, struct bl_options *ret, struct bl_err *err);

/* "90s", "1m", "500ms", "2h" as milliseconds, 1 ms to 24 h. BL_EX_CONFIG. */
int bl_options_duration(const char *text, int64_t *ret, struct bl_err *err);

/* "fail" or "defer". BL_EX_CONFIG. */
int bl_options_on_timeout(const char *text, enum bl_on_timeout *ret, struct bl_err *err);

#endif
