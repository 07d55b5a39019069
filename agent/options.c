// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/contract.h"
#include "common/err.h"

static const char usage[] =
	"Usage: ballastd [OPTION]...\n"
	"The node agent of Ballast: fetches, keeps and leases model weights.\n"
	"\n"
	"  --socket=PATH             where it listens (" BL_PATH_SOCKET ")\n"
	"  --cache-dir=DIR           where weights are kept (" BL_PATH_CACHE ")\n"
	"  --secrets-dir=DIR         tenants' secrets (" BL_PATH_SECRETS ")\n"
	"  --config=FILE             configuration (" BL_PATH_CONFIG ", if it is there)\n"
	"  --fetch=PROGRAM           the fetch program (beside ballastd, or " BL_PATH_FETCH ")\n"
	"  --metrics-listen=ADDR:PORT  serve /metrics by TCP too\n"
	"  --log-format=text|json    form of log lines (text)\n"
	"  --log-level=debug|info|warning|error   least that is logged (info)\n"
	"  --version, --help\n";

static int parse_level(const char *text, enum bl_log_level *ret)
{
	static const char *const names[] = {"debug", "info", "warning", "error"};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum bl_log_level)i;
			return 0;
		}
	return -EINVAL;
}

static const struct option option_table[] = {
	{"socket", required_argument, NULL, 's'},
	{"cache-dir", required_argument, NULL, 'c'},
	{"secrets-dir", required_argument, NULL, 'S'},
	{"config", required_argument, NULL, 'f'},
	{"fetch", required_argument, NULL, 'F'},
	{"metrics-listen", required_argument, NULL, 'm'},
	{"log-format", required_argument, NULL, 'l'},
	{"log-level", required_argument, NULL, 'L'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* Where the value of an option goes as it is; NULL: it is none of these. */
static const char **text_of(struct bl_options *options, int option)
{
	switch (option) {
	case 's':
		return &options->socket;
	case 'c':
		return &options->cache_dir;
	case 'S':
		return &options->secrets_dir;
	case 'f':
		return &options->config;
	case 'F':
		return &options->fetch;
	case 'm':
		return &options->metrics_listen;
	default:
		return NULL;
	}
}

/* 0 to go on, 1 to leave with success, < 0 to leave with an error. */
static int take_option(struct bl_options *options, int option, const char *value,
		       struct bl_err *err)
{
	const char **text = text_of(options, option);

	if (text) {
		*text = value;
		options->config_given |= option == 'f';
		return 0;
	}
	switch (option) {
	case 'l':
		if (bl_log_parse_format(value, &options->log_format) < 0)
			return bl_err_config(err, "--log-format: text or json");
		return 0;
	case 'L':
		if (parse_level(value, &options->log_level) < 0)
			return bl_err_config(err, "--log-level: debug, info, warning or error");
		return 0;
	case 'V':
		(void)printf("ballastd %s\n", BL_VERSION);
		return 1;
	case 'h':
		(void)fputs(usage, stdout);
		return 1;
	default:
		return bl_err_config(err, "see ballastd --help");
	}
}

int bl_options_parse(int argc, char **argv, struct bl_options *options, struct bl_err *err)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", option_table, NULL)) != -1) {
		int r = take_option(options, option, optarg, err);

		if (r != 0)
			return r;
	}
	if (optind < argc)
		return bl_err_config(err, "'%s' is no option; see ballastd --help", argv[optind]);
	return 0;
}
