/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a person gives `plan` and `pull` on the command line, turned into what the agent would give
 * a job: an item, the operator's configuration, a secret, an identity token.
 */
#ifndef BL_FETCH_OPTIONS_H
#define BL_FETCH_OPTIONS_H

#include <stdbool.h>

#include "common/json.h"

struct bl_err;

struct bl_options {
	const char *config_path; /* NULL: the default, which may be missing */
	const char *secrets_dir, *tenant, *secret_name, *auth;
	const char *source, *dir; /* dir: NULL for plan */
	bool as_json, quiet;
	bl_json *item;	 /* owned */
	bl_json *config; /* owned */
	char *secret;	 /* owned; NULL where the item names none */
	char *token;	 /* owned: of identity_dir; NULL where the item wants none */
};

/* Reads everything that the arguments name. argv[0] is the command's name. */
int bl_options_read(struct bl_options *options, int argc, char **argv, struct bl_err *err);
void bl_options_done(struct bl_options *options);
#define auto_options __attribute__((cleanup(bl_options_done))) struct bl_options

#endif
