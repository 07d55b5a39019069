// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <errno.h>
#include <string.h>

#include "common/err.h"

#define HELP_COLUMN 28

static void print_help(const struct bl_usage *usage)
{
	printf("Usage: %s\n\n%s\n", usage->synopsis, usage->summary);
	if (usage->options[0].name)
		printf("\nOptions:\n");
	for (const struct bl_option *o = usage->options; o->name; o++) {
		int used = printf("  --%s%s%s", o->name, o->value ? "=" : "",
				  o->value ? o->value : "");

		if (used >= HELP_COLUMN)
			printf("\n%*s", HELP_COLUMN, "");
		else
			printf("%*s", HELP_COLUMN - used, "");
		/* A help text's own lines go on in its column. */
		for (const char *line = o->help; line;) {
			size_t len = strcspn(line, "\n");

			printf("%.*s\n", (int)len, line);
			line = line[len] ? line + len + 1 : NULL;
			if (line)
				printf("%*s", HELP_COLUMN, "");
		}
	}
	printf("  --help%*sshow this\n", HELP_COLUMN - 8, "");
}

static int set_value(const struct bl_option *option, char *value, struct bl_err *err)
{
	if (option->text) {
		*option->text = value;
		return 0;
	}
	for (size_t i = 0; i + 1 < option->room; i++) {
		if (option->many[i])
			continue;
		option->many[i] = value;
		return 0;
	}
	return bl_err_config(err, "--%s: given more than %zu times", option->name,
			     option->room - 1);
}

/* One option at argv[*i]; moves *i over a value of its own. */
static int parse_option(const struct bl_usage *usage, char **argv, size_t *i, struct bl_err *err)
{
	const char *name = argv[*i] + 2;
	size_t len = strcspn(name, "=");
	char *value = name[len] ? argv[*i] + 2 + len + 1 : NULL;

	for (const struct bl_option *o = usage->options; o->name; o++) {
		if (strncmp(o->name, name, len) != 0 || o->name[len] != '\0')
			continue;
		if (!o->value && value)
			return bl_err_config(err, "--%s takes no value", o->name);
		if (!o->value) {
			*o->flag = true;
			return 0;
		}
		if (!value)
			value = argv[++*i];
		if (!value || *value == '\0')
			return bl_err_config(err, "--%s wants a value: --%s=%s", o->name, o->name,
					     o->value);
		return set_value(o, value, err);
	}
	return bl_err_config(err, "unknown option --%.*s; try ballast %s --help",
			     (int)(len > 64 ? 64 : len), name, argv[0]);
}

int bl_options_parse(const struct bl_usage *usage, char **argv, struct bl_operands *ret,
		     struct bl_err *err)
{
	bool plain = false; /* behind "--" */

	*ret = (struct bl_operands){0};
	for (size_t i = 1; argv[i]; i++) {
		bool dash = argv[i][0] == '-' && !plain;
		int r = 0;

		if (dash && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			print_help(usage);
			return 1;
		}
		if (dash && strcmp(argv[i], "--") == 0 && usage->command) {
			ret->rest = argv + i + 1;
			break;
		}
		if (dash && strcmp(argv[i], "--") == 0) {
			plain = true;
			continue;
		}
		if (dash && argv[i][1] == '-')
			r = parse_option(usage, argv, &i, err);
		else if (dash && argv[i][1] != '\0')
			r = bl_err_config(err, "unknown option %.64s; try ballast %s --help",
					  argv[i], argv[0]);
		else if (ret->count < usage->most && ret->count < BL_OPERANDS_MAX)
			ret->words[ret->count++] = argv[i];
		else
			r = bl_err_config(err, "one operand too many: %.64s; usage: %s", argv[i],
					  usage->synopsis);
		if (r < 0)
			return r;
	}
	if (ret->count < usage->least)
		return bl_err_config(err, "an operand is missing; usage: %s", usage->synopsis);
	return 0;
}
