// SPDX-License-Identifier: Apache-2.0
/* ballast run: a config.yaml's server in a container of its own, in the foreground. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli/bundle.h"
#include "cli/command.h"
#include "cli/node.h"
#include "cli/runtime.h"
#include "cli/truss_config.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"

#define AGENT_PATIENCE 5000 /* milliseconds */
#define ID_NAME_MAX    40
#define ID_MAX	       255

/* Whether an agent answers. */
static int check_agent(const char *address, struct bl_err *err)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	int r = bl_node_request(address, "GET", "/healthz", NULL, AGENT_PATIENCE, &answer, err);

	return r < 0 ? r : 0;
}

/* A container's id: the model's name as far as runtimes accept it, and what makes it unique. */
static int make_id(const char *model, char *id, size_t size, struct bl_err *err)
{
	unsigned char random[4];
	size_t n = 0;

	for (const char *c = model ? model : ""; *c && n < ID_NAME_MAX; c++) {
		if (isascii((unsigned char)*c) && isalnum((unsigned char)*c))
			id[n++] = (char)tolower((unsigned char)*c);
		else if (n > 0 && id[n - 1] != '-')
			id[n++] = '-';
	}
	if (n > 0 && id[n - 1] == '-')
		n--;
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return bl_err_sys(err, errno, "getrandom");
	(void)snprintf(id + n, size - n, "%s%02x%02x%02x%02x", n > 0 ? "-" : "ballast-", random[0],
		       random[1], random[2], random[3]);
	return 0;
}

/* What every runtime takes as an id. */
static int check_id(const char *id, struct bl_err *err)
{
	size_t len = strlen(id);

	for (size_t i = 0; i < len; i++)
		if (!isascii((unsigned char)id[i]) ||
		    (!isalnum((unsigned char)id[i]) && !strchr("_+-.", id[i])))
			len = 0;
	if (len > 0 && len <= ID_MAX && id[0] != '-' && strcmp(id, ".") != 0 &&
	    strcmp(id, "..") != 0)
		return 0;
	return bl_err_config(err,
			     "--id: '%.64s' is no container's id: up to %d letters, digits and "
			     "\"_\", \"+\", \".\", and behind one of these \"-\"",
			     id, ID_MAX);
}

/* A directory that is removed with what is in it. */
struct scratch {
	char path[PATH_MAX];
};

static void remove_scratch(struct scratch *scratch)
{
	int saved = errno;

	if (scratch->path[0])
		(void)bl_fs_remove_tree(AT_FDCWD, scratch->path, NULL);
	errno = saved;
}

static int make_scratch(struct scratch *scratch, struct bl_err *err)
{
	const char *parent = getenv("TMPDIR");

	if (!parent || *parent != '/')
		parent = "/tmp";
	(void)snprintf(scratch->path, sizeof(scratch->path), "%s/ballast-run-XXXXXX", parent);
	if (!mkdtemp(scratch->path)) {
		int r = bl_err_set(err, BL_EX_CONFIG, errno,
				   "'%s': %s; TMPDIR names another directory for it", scratch->path,
				   strerror(errno));

		scratch->path[0] = '\0';
		return r;
	}
	return 0;
}

static int run(const struct bl_bundle *bundle, const struct bl_truss_config *truss,
	       char *const *args, const struct bl_runtime *wanted, struct bl_err *err)
{
	struct bl_runtime runtime = *wanted;
	__attribute__((cleanup(remove_scratch))) struct scratch scratch = {{0}};
	char hook_stderr[PATH_MAX + 32];
	char id[128];
	auto_json config = NULL;
	auto_fd dir = -1;
	sigset_t kept;
	int r = bl_bundle_build(bundle, truss, args, &config, err);

	if (r == 0)
		r = check_agent(bundle->hook.agent, err);
	if (r == 0)
		r = bl_runtime_heed(&kept, err);
	if (r == 0)
		r = make_scratch(&scratch, err);
	runtime.id_given = runtime.id != NULL;
	if (r == 0 && !runtime.id) {
		r = make_id(truss->model_name, id, sizeof(id), err);
		runtime.id = id;
	}
	if (r < 0)
		return r;
	(void)snprintf(hook_stderr, sizeof(hook_stderr), "%s/" BL_RUNTIME_HOOK_STDERR,
		       scratch.path);
	r = bl_oci_config_annotate(config, "run.oci.hooks.stderr", hook_stderr, err);
	if (r < 0)
		return r;
	dir = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return bl_err_sys(err, errno, "'%s'", scratch.path);
	r = bl_bundle_write(dir, config, err);
	if (r < 0)
		return r;
	runtime.bundle = scratch.path;
	return bl_runtime_run(&runtime, &kept, err);
}

int bl_run_main(char **words, struct bl_err *err)
{
	struct bl_bundle bundle = {0};
	struct bl_runtime runtime = {0};
	const struct bl_option options[] = {
		BL_OPTION_TEXT("runtime", "PROGRAM", "the OCI runtime (default runc)",
			       &runtime.program),
		BL_OPTION_MANY("runtime-option", "OPTION",
			       "an option of the runtime's own, before its command;\nmay be given "
			       "again: --runtime-option=--root=/tmp/x",
			       runtime.options, BL_RUNTIME_OPTIONS_MAX),
		BL_OPTION_TEXT("id", "NAME",
			       "the container's id (default: the model's name and a number)",
			       &runtime.id),
		BL_BUNDLE_OPTIONS(&bundle),
		{0},
	};
	const struct bl_usage usage = {"ballast run (--rootfs=DIR | --bundle=DIR) [OPTION...] "
				       "CONFIG.yaml [-- COMMAND [ARG...]]",
				       "Runs the server that CONFIG.yaml describes, in a container "
				       "of an unmodified image with\n"
				       "its weights mounted, in the foreground. Signals go on to "
				       "the server; the exit status is\n"
				       "the server's. Before it starts: 64 the config is wrong, 69 "
				       "no agent, 75 the weights are\n"
				       "not there in time or do not verify, 77 refused. COMMAND is "
				       "for a config without a\nstart_command.",
				       options,
				       1,
				       1,
				       true};
	struct bl_operands operands;
	auto_truss_config truss = {0};
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	if (!runtime.program)
		runtime.program = "runc";
	r = runtime.id ? check_id(runtime.id, err) : 0;
	if (r == 0)
		r = bl_bundle_complete(&bundle, err);
	if (r == 0)
		r = bl_truss_config_read(operands.words[0], &truss, err);
	if (r < 0)
		return r;
	bl_say_lines(bl_buf_str(&truss.warnings));
	if (geteuid() != 0)
		return bl_err_config(err,
				     "a container with mounted weights needs root; run it again "
				     "with sudo");
	return run(&bundle, &truss, operands.rest, &runtime, err);
}
