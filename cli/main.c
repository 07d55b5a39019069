// SPDX-License-Identifier: Apache-2.0
/* ballast: what a person at a terminal has of Ballast. Finds the command and says what went wrong.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/log.h"
#include "common/program.h"

static const struct {
	const char *name;
	bl_command *command;
	const char *help;
} commands[] = {
	{"run", bl_run_main, "run a config.yaml's server in a container"},
	{"bundle", bl_bundle_main, "write the container's bundle without running it"},
	{"validate", bl_validate_main, "check a config.yaml"},
	{"migrate", bl_migrate_main, "turn model_cache into weights"},
	{"plan", bl_plan_main, "list what would be brought"},
	{"pull", bl_pull_main, "bring weights onto this node"},
	{"status", bl_status_main, "show the agent, its cache and its containers"},
	{"pin", bl_pin_main, "keep a set of weights in the cache, or no longer"},
	{"rm", bl_rm_main, "remove a set of weights from the cache"},
	{"gc", bl_gc_main, "free what nobody needs"},
	{"verify", bl_verify_main, "read everything in the cache again and compare"},
	{"doctor", bl_doctor_main, "look for what is wrong on this machine"},
};

void bl_say(const char *fmt, ...)
{
	char text[BL_LOG_LINE_MAX];
	char line[BL_LOG_LINE_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)bl_log_escape(line, sizeof(line), text);
	(void)fprintf(stderr, "ballast: %s\n", line);
}

void bl_print(const char *fmt, ...)
{
	auto_free char *text = NULL;
	auto_free char *shown = NULL;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0) {
		text = NULL;
		return;
	}
	/* Line by line: a byte may become four. */
	shown = malloc((size_t)len * 4 + 16);
	for (char *line = text; shown && *line;) {
		size_t n = strcspn(line, "\n");
		bool end = line[n] == '\n';

		line[n] = '\0';
		(void)bl_log_escape(shown, (size_t)len * 4 + 16, line);
		printf("%s%s", shown, end ? "\n" : "");
		line += n + end;
	}
}

void bl_print_json(const char *text)
{
	size_t len = strlen(text);
	const char *end = text + len - (len > 0 && text[len - 1] == '\n');

	while (text < end) {
		uint32_t point = 0;
		size_t n = bl_log_harmful(text, &point);

		/* In JSON such a character stands in a string alone, where it may be escaped. */
		if (n > 0 && point > ' ')
			printf("\\u%04x", (unsigned)point);
		else
			(void)fwrite(text, 1, n = n ? n : 1, stdout);
		text += n;
	}
	(void)putchar('\n');
}

void bl_say_lines(const char *text)
{
	while (*text) {
		size_t len = strcspn(text, "\n");

		bl_say("%.*s", (int)len, text);
		text += len;
		text += *text == '\n';
	}
}

static void print_help(void)
{
	printf("Usage: ballast COMMAND [OPTION...]\n\n"
	       "Puts model weights aboard a container before it sails.\n\nCommands:\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-12s%s\n", commands[i].name, commands[i].help);
	printf("\nballast COMMAND --help tells more of each; the manual is ballast(1).\n");
}

static int dispatch(char **words, struct bl_err *err)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(words[0], commands[i].name) == 0)
			return commands[i].command(words, err);
	return bl_err_config(err, "no such command: %.64s; ballast --help lists them", words[0]);
}

/* What was printed must have been written. A reader who has seen enough is told nothing. */
static int finish(int status)
{
	bool failed = ferror(stdout) != 0;

	errno = 0;
	if (fflush(stdout) == 0 && !failed)
		return status;
	if (errno != EPIPE)
		bl_say("cannot write to standard output: %s", strerror(errno ? errno : EIO));
	return BL_EX_INTERNAL;
}

int main(int argc, char **argv)
{
	struct bl_err err = {0};
	int r;

	bl_program_settle();
	if (argc < 2) {
		print_help();
		return finish(BL_EX_CONFIG);
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    (strcmp(argv[1], "help") == 0 && argc == 2)) {
		print_help();
		return finish(0);
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("ballast %s\n", BL_VERSION);
		return finish(0);
	}
	if (strcmp(argv[1], "help") == 0) {
		char *words[] = {argv[2], (char *)"--help", NULL};

		r = dispatch(words, &err);
	} else {
		r = dispatch(argv + 1, &err);
	}
	if (r >= 0)
		return finish(r);
	(void)fflush(stdout);
	bl_say("%s", err.msg);
	return err.code ? err.code : BL_EX_INTERNAL;
}
