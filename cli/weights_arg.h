/* SPDX-License-Identifier: Apache-2.0 */
/* What `pull` and `plan` take: a config.yaml, or a source with its options. */
#ifndef BL_WEIGHTS_ARG_H
#define BL_WEIGHTS_ARG_H

#include "cli/options.h"
#include "common/weights.h"

struct bl_err;

#define BL_WEIGHTS_ARG_PATTERNS 64

struct bl_weights_arg {
	const char *secret; /* --auth-secret-name */
	char *allow[BL_WEIGHTS_ARG_PATTERNS];
	char *ignore[BL_WEIGHTS_ARG_PATTERNS];
};

#define BL_WEIGHTS_ARG_OPTIONS(arg)                                                         \
	BL_OPTION_TEXT("auth-secret-name", "NAME",                                          \
		       "for a SOURCE: the secret that has its credential", &(arg)->secret), \
		BL_OPTION_MANY("allow", "GLOB",                                             \
			       "for a SOURCE: only files that match; may be given again",   \
			       (arg)->allow, BL_WEIGHTS_ARG_PATTERNS),                      \
		BL_OPTION_MANY("ignore", "GLOB",                                            \
			       "for a SOURCE: no files that match; may be given again",     \
			       (arg)->ignore, BL_WEIGHTS_ARG_PATTERNS)

/* Whether the operand is a source, and no file's name. */
bool bl_weights_arg_is_source(const char *operand);

/* The weights of the operand: of the file where there is one of that name, else of that source. */
int bl_weights_arg_read(const struct bl_weights_arg *arg, const char *operand,
			struct bl_weights *ret, struct bl_err *err);

#endif
