/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballast-fetch: turns a source into a manifest and moves its bytes. The only program of Ballast
 * that speaks with the network. Runs unprivileged, one process a job.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/log.h"
#include "common/program.h"
#include "fetch/job.h"
#include "fetch/plan.h"
#include "fetch/pull.h"

static int run_job(int argc, char **argv, struct bl_err *err)
{
	(void)argv;
	if (argc != 1)
		return bl_err_config(err, "job takes no arguments; the agent runs it");
	return bl_job_run(err);
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct bl_err *err);
} commands[] = {
	{"plan", bl_plan_run},
	{"pull", bl_pull_run},
	{"job", run_job},
};

static const char usage[] =
	"Usage: ballast-fetch plan|pull [OPTION]... SOURCE [DIR]\n"
	"       ballast-fetch job\n"
	"\n"
	"  plan SOURCE      list what would be brought\n"
	"  pull SOURCE DIR  bring it\n"
	"  job              work for the agent (descriptors 0 and 3)\n"
	"\n"
	"  --config=FILE    the operator's configuration (" BL_PATH_CONFIG ")\n"
	"  --secrets-dir=DIR, --tenant=NAME, --auth-secret-name=NAME\n"
	"                   the secret DIR/tenant/NAME (" BL_PATH_SECRETS ", default)\n"
	"  --auth=JSON      the auth object of an item of weights, instead of a secret's name\n"
	"  --allow=GLOB, --ignore=GLOB\n"
	"                   which files; each may be given again\n"
	"  --json           plan: the list as JSON\n"
	"  --quiet          pull: no progress\n"
	"  --help           this text\n"
	"  --version        the version\n";

/*
 * Whatever the caller's environment holds (proxies, key logs, resolver options) is not the
 * operator's configuration; what can be drawn on their terminal is all that it tells. And nobody else
 * of our uid may look into a process with secrets.
 */
static int seal(void)
{
	const char *said = getenv("TERM");
	auto_free char *term = said ? strdup(said) : NULL;

	clearenv();
	if (term && setenv("TERM", term, 1) < 0)
		return -1;
#ifndef __SANITIZE_ADDRESS__ /* whose leak check looks into the process itself */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return -1;
#endif
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -1;
}

static int finish(int status, const struct bl_err *err)
{
	if (status >= 0)
		return status;
	bl_log(BL_LOG_ERROR, "%s", err->msg);
	return err->code ? err->code : BL_EX_INTERNAL;
}

/* Also behind a command: `ballast-fetch plan --help`. */
static bool wants_help(char **argv)
{
	for (char **at = argv + 1; at < argv + 3 && *at; at++)
		if (strcmp(*at, "--help") == 0 || strcmp(*at, "-h") == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	struct bl_err err = {0};

	bl_program_settle();
	bl_log_init("ballast-fetch", BL_LOG_TEXT, BL_LOG_INFO);
	if (argc > 1 && wants_help(argv)) {
		fputs(usage, stdout);
		return fflush(stdout) == 0 ? 0 : BL_EX_INTERNAL;
	}
	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		puts("ballast-fetch " BL_VERSION);
		return fflush(stdout) == 0 ? 0 : BL_EX_INTERNAL;
	}
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		if (seal() < 0)
			return finish(bl_err_set(&err, BL_EX_INTERNAL, EIO, "cannot set up"), &err);
		return finish(commands[i].run(argc - 1, argv + 1, &err), &err);
	}
	if (argc > 1)
		return finish(bl_err_config(&err,
					    "'%.100s' is no command; see ballast-fetch --help",
					    argv[1]),
			      &err);
	fputs(usage, stderr);
	return BL_EX_CONFIG;
}
