/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballastd's command line.
 */
#ifndef BL_AGENT_OPTIONS_H
#define BL_AGENT_OPTIONS_H

#include <stdbool.h>

#include "common/log.h"

struct bl_err;

/* Texts are borrowed from the command line. What is there already stands where no option says else. */
struct bl_options {
	const char *socket, *cache_dir, *secrets_dir, *config, *fetch, *metrics_listen;
	enum bl_log_format log_format;
	enum bl_log_level log_level;
	bool config_given;
};

/* 0 to go on, 1 to leave with success (help was printed), < 0 to leave with an error. */
int bl_options_parse(int argc, char **argv, struct bl_options *options, struct bl_err *err);

#endif
