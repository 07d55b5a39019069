// SPDX-License-Identifier: Apache-2.0
#include "hook/options.h"

#include <string.h>

#include "common/agent_client.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/weights.h"

#define DEFAULT_TIMEOUT_MS 90000
#define MOST_TIMEOUT_MS	   (24LL * 3600 * 1000)

const char bl_options_usage[] =
	"Usage: ballast-hook [OPTION]... [prestart|createRuntime|poststop|precreate]\n"
	"\n"
	"An OCI hook: reads the container's state on standard input, waits until the node agent "
	"has\n"
	"the weights that its annotations name, and attaches them read-only.\n"
	"\n"
	"  --agent=unix:PATH          the agent's socket (" BL_PATH_SOCKET ")\n"
	"  --timeout=TIME             how long to wait, such as 90s or 5m (90s)\n"
	"  --on-timeout=fail|defer    then fail, or let the shim wait (defer where the shim runs)\n"
	"  --shim=PATH                the shim (" BL_PATH_SHIM ")\n"
	"  --secrets-dir=DIR          secrets, by tenant (" BL_PATH_SECRETS ")\n"
	"  --runtime=auto|cri-o|containerd|none   whose identity annotations to believe (auto)\n"
	"  --tenant=NAME              tenant of containers that are in no pod (default)\n"
	"  --required                 a container without our annotations is an error\n"
	"  --seccomp=default|off      the server's system call filter (default)\n"
	"  --keep-capabilities=LIST   capabilities that the server keeps, such as cap_sys_nice\n"
	"  --allow-exec               weights are mounted without noexec\n"
	"  --log-format=text|json     form of the messages on standard error (text)\n"
	"  --version, --help\n"
	"\n"
	"Exit status: 0 done, 64 configuration, 69 no agent, 70 internal, 75 not in time, 77 "
	"refused.\n";

int bl_options_duration(const char *text, int64_t *ret, struct bl_err *err)
{
	static const struct {
		const char *unit;
		int64_t factor;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	int64_t number = 0;
	size_t digits = strspn(text, "0123456789");

	if (digits > 0 && digits <= 9)
		for (size_t i = 0; i < digits; i++)
			number = number * 10 + (text[i] - '0');
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(text + digits, units[i].unit) != 0)
			continue;
		number *= units[i].factor;
		if (number < 1 || number > MOST_TIMEOUT_MS)
			break;
		*ret = number;
		return 0;
	}
	return bl_err_config(err, "'%.64s' is no time from 1ms to 24h, such as \"90s\" or \"5m\"",
			     text);
}

int bl_options_on_timeout(const char *text, enum bl_on_timeout *ret, struct bl_err *err)
{
	if (strcmp(text, "fail") != 0 && strcmp(text, "defer") != 0)
		return bl_err_config(err, "'%.64s' is neither \"fail\" nor \"defer\"", text);
	*ret = text[0] == 'f' ? BL_ON_TIMEOUT_FAIL : BL_ON_TIMEOUT_DEFER;
	return 0;
}

/* ---- The options ---- */

static int set_agent(struct bl_options *options, const char *value, struct bl_err *err)
{
	return bl_agent_parse_address(value, &options->agent, err);
}

static int set_timeout(struct bl_options *options, const char *value, struct bl_err *err)
{
	return bl_options_duration(value, &options->timeout, err);
}

static int set_on_timeout(struct bl_options *options, const char *value, struct bl_err *err)
{
	return bl_options_on_timeout(value, &options->on_timeout, err);
}

static int set_path(const char **to, const char *value, struct bl_err *err)
{
	if (value[0] != '/')
		return bl_err_config(err, "'%.64s' is no absolute path", value);
	*to = value;
	return 0;
}

static int set_shim(struct bl_options *options, const char *value, struct bl_err *err)
{
	return set_path(&options->shim, value, err);
}

static int set_secrets_dir(struct bl_options *options, const char *value, struct bl_err *err)
{
	return set_path(&options->secrets_dir, value, err);
}

static int set_runtime(struct bl_options *options, const char *value, struct bl_err *err)
{
	static const char *const names[] = {
		[BL_FAMILY_AUTO] = "auto",
		[BL_FAMILY_CRIO] = "cri-o",
		[BL_FAMILY_CONTAINERD] = "containerd",
		[BL_FAMILY_NONE] = "none",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (strcmp(value, names[i]) == 0) {
			options->runtime = (enum bl_family)i;
			return 0;
		}
	}
	return bl_err_config(err, "'%.64s' is none of auto, cri-o, containerd, none", value);
}

static int set_tenant(struct bl_options *options, const char *value, struct bl_err *err)
{
	if (!bl_weights_is_tenant(value))
		return bl_err_config(err, "'%.64s' is no tenant's name", value);
	options->tenant = value;
	return 0;
}

static int set_seccomp(struct bl_options *options, const char *value, struct bl_err *err)
{
	if (strcmp(value, "default") != 0 && strcmp(value, "off") != 0)
		return bl_err_config(err, "'%.64s' is neither \"default\" nor \"off\"", value);
	options->seccomp = value[0] == 'd';
	return 0;
}

static int set_keep_capabilities(struct bl_options *options, const char *value, struct bl_err *err)
{
	(void)err; /* judged where it is used */
	options->keep_capabilities = value;
	return 0;
}

static int set_log_format(struct bl_options *options, const char *value, struct bl_err *err)
{
	if (bl_log_parse_format(value, &options->log_format) < 0)
		return bl_err_config(err, "'%.64s' is neither \"text\" nor \"json\"", value);
	return 0;
}

static int set_required(struct bl_options *options, const char *value, struct bl_err *err)
{
	(void)value;
	(void)err;
	options->required = true;
	return 0;
}

static int set_allow_exec(struct bl_options *options, const char *value, struct bl_err *err)
{
	(void)value;
	(void)err;
	options->allow_exec = true;
	return 0;
}

static int set_help(struct bl_options *options, const char *value, struct bl_err *err)
{
	(void)value;
	(void)err;
	options->help = true;
	return 0;
}

static int set_version(struct bl_options *options, const char *value, struct bl_err *err)
{
	(void)value;
	(void)err;
	options->version = true;
	return 0;
}

static const struct {
	const char *name;
	bool has_value;
	int (*set)(struct bl_options *options, const char *value, struct bl_err *err);
} table[] = {
	{"--agent", true, set_agent},
	{"--timeout", true, set_timeout},
	{"--on-timeout", true, set_on_timeout},
	{"--shim", true, set_shim},
	{"--secrets-dir", true, set_secrets_dir},
	{"--runtime", true, set_runtime},
	{"--tenant", true, set_tenant},
	{"--required", false, set_required},
	{"--seccomp", true, set_seccomp},
	{"--keep-capabilities", true, set_keep_capabilities},
	{"--allow-exec", false, set_allow_exec},
	{"--log-format", true, set_log_format},
	{"--help", false, set_help},
	{"-h", false, set_help},
	{"--version", false, set_version},
};

static int parse_option(struct bl_options *options, const char *arg, struct bl_err *err)
{
	size_t len = strcspn(arg, "=");

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		int r;

		if (strlen(table[i].name) != len || strncmp(arg, table[i].name, len) != 0)
			continue;
		if (table[i].has_value != (arg[len] == '='))
			return bl_err_config(err, "%s %s", table[i].name,
					     table[i].has_value ? "needs a value: write it after ="
								: "takes no value");
		r = table[i].set(options, arg[len] ? arg + len + 1 : "", err);
		if (r < 0)
			bl_err_wrap(err, "%s: ", table[i].name);
		return r;
	}
	return bl_err_config(err, "unknown option '%.64s', see --help", arg);
}

static int parse_stage(struct bl_options *options, const char *arg, struct bl_err *err)
{
	static const struct {
		const char *name;
		enum bl_stage stage;
	} stages[] = {
		{"prestart", BL_STAGE_CREATE},
		{"createRuntime", BL_STAGE_CREATE},
		{"poststop", BL_STAGE_POSTSTOP},
		{"precreate", BL_STAGE_PRECREATE},
	};

	if (options->stage != BL_STAGE_AUTO)
		return bl_err_config(err, "more than one stage");
	for (size_t i = 0; i < sizeof(stages) / sizeof(*stages); i++) {
		if (strcmp(arg, stages[i].name) == 0) {
			options->stage = stages[i].stage;
			return 0;
		}
	}
	return bl_err_config(
		err, "stage '%.64s' is none of prestart, createRuntime, poststop, precreate", arg);
}

int bl_options_parse(int argc, char *const *argv, struct bl_options *ret, struct bl_err *err)
{
	struct bl_options options = {
		.agent = BL_PATH_SOCKET,
		.timeout = DEFAULT_TIMEOUT_MS,
		.shim = BL_PATH_SHIM,
		.secrets_dir = BL_PATH_SECRETS,
		.tenant = "default",
		.seccomp = true,
		.log_format = BL_LOG_TEXT,
	};

	for (int i = 1; i < argc; i++) {
		int r = argv[i][0] == '-' ? parse_option(&options, argv[i], err)
					  : parse_stage(&options, argv[i], err);

		if (r < 0)
			return r;
	}
	*ret = options;
	return 0;
}
