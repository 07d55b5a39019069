/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines as tables. A command describes its options once; parsing and --help follow.
 * "--name=value" and "--name value" are the same; options and operands may be mixed; what follows
 * "--" is left alone.
 */
#ifndef BL_OPTIONS_H
#define BL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct bl_err;

/* Exactly one of text, flag and many is set. */
struct bl_option {
	const char *name;
	const char *value; /* what --help calls the value; NULL for a flag */
	const char *help;
	const char **text; /* the last one given counts */
	bool *flag;
	char **many; /* every one given, up to `room`; NULL-terminated by zeroing before */
	size_t room;
};

/* One that takes a value, a flag, and one that may be given again. */
#define BL_OPTION_TEXT(n, v, h, to)                                  \
	{                                                            \
		.name = (n), .value = (v), .help = (h), .text = (to) \
	}
#define BL_OPTION_FLAG(n, h, to)                       \
	{                                              \
		.name = (n), .help = (h), .flag = (to) \
	}
#define BL_OPTION_MANY(n, v, h, to, most)                                            \
	{                                                                            \
		.name = (n), .value = (v), .help = (h), .many = (to), .room = (most) \
	}

struct bl_usage {
	const char *synopsis;		 /* "ballast run [OPTION...] CONFIG.yaml" */
	const char *summary;		 /* paragraphs */
	const struct bl_option *options; /* ends with a NULL name */
	size_t least, most;		 /* operands */
	bool command;			 /* what follows "--" is one, not more operands */
};

#define BL_OPERANDS_MAX 64

struct bl_operands {
	char *words[BL_OPERANDS_MAX + 1]; /* NULL-terminated */
	size_t count;
	char **rest; /* the command after "--", NULL where there is none */
};

/*
 * 0 with *ret filled; 1 where --help was asked for and printed; -EINVAL (BL_EX_CONFIG).
 * argv[0] is the command's name.
 */
int bl_options_parse(const struct bl_usage *usage, char **argv, struct bl_operands *ret,
		     struct bl_err *err);

#endif
