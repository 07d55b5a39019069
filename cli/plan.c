// SPDX-License-Identifier: Apache-2.0
/*
 * ballast plan: what would be brought, and why not the rest. The list is ballast-fetch's, which
 * runs as whoever asks: no agent is needed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "cli/command.h"
#include "cli/options.h"
#include "cli/weights_arg.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/program.h"
#include "common/source.h"

struct plan {
	struct bl_weights_arg arg;
	const char *config;
	const char *secrets_dir;
	const char *tenant;
	bool json;
};

#define WORDS_MAX (2 * BL_MAX_PATTERNS + 16)

/* Command words; each owned. */
struct words {
	char *list[WORDS_MAX + 1];
	size_t count;
	bool failed;
};

static void free_words(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->list[i]);
}

static void add(struct words *words, const char *option, const char *value)
{
	char *word = NULL;

	if (!value)
		return;
	if (words->count >= WORDS_MAX || asprintf(&word, "%s%s", option, value) < 0)
		words->failed = true;
	else
		words->list[words->count++] = word;
}

/* What the item says of its credential, as ballast-fetch takes it. */
static int add_auth(struct words *words, const struct bl_weights_item *item, struct bl_err *err)
{
	auto_buf text = BL_BUF_INIT(BL_MAX_ANNOTATION);
	auto_json list = bl_json_new_array();
	const bl_json *auth = NULL;
	int r = list ? bl_weights_item_to_json(item, list, err) : bl_err_nomem(err);

	if (r == 0)
		r = bl_json_get_object(bl_json_first(list), "auth", &auth, err);
	if (r > 0)
		r = bl_json_write(&text, auth, err);
	if (auth && r == 0)
		add(words, "--auth=", bl_buf_str(&text));
	return r;
}

static int plan_item(const struct plan *plan, const struct bl_weights_item *item,
		     struct bl_err *err)
{
	__attribute__((cleanup(free_words))) struct words words = {0};
	auto_buf source = BL_BUF_INIT(2 * BL_MAX_SOURCE);
	char path[BL_PROGRAM_PATH_MAX];
	pid_t pid;
	int status;
	int r = bl_source_write(&source, &item->source, err);

	if (r < 0)
		return r;
	add(&words, bl_program_find("ballast-fetch", BL_PATH_FETCH, path), "");
	add(&words, "plan", "");
	add(&words, "--config=", plan->config);
	add(&words, "--secrets-dir=", plan->secrets_dir);
	add(&words, "--tenant=", plan->tenant);
	r = add_auth(&words, item, err);
	if (r < 0)
		return r;
	for (size_t i = 0; item->allow_patterns && item->allow_patterns[i]; i++)
		add(&words, "--allow=", item->allow_patterns[i]);
	for (size_t i = 0; item->ignore_patterns && item->ignore_patterns[i]; i++)
		add(&words, "--ignore=", item->ignore_patterns[i]);
	if (plan->json)
		add(&words, "--json", "");
	add(&words, bl_buf_str(&source), "");
	if (words.failed)
		return bl_err_nomem(err);
	(void)fflush(stdout);
	pid = fork();
	if (pid < 0)
		return bl_err_sys(err, errno, "fork");
	if (pid == 0) {
		execv(words.list[0], words.list);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return bl_err_sys(err, errno, "waitpid");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return bl_err_config(err, "%s cannot be run", words.list[0]);
	if (WIFSIGNALED(status))
		return bl_err_set(err, BL_EX_INTERNAL, EINTR, "%s was ended by signal %d",
				  words.list[0], WTERMSIG(status));
	/* It has said itself what went wrong. */
	return WEXITSTATUS(status);
}

int bl_plan_main(char **argv, struct bl_err *err)
{
	struct plan plan = {0};
	const struct bl_option options[] = {
		BL_WEIGHTS_ARG_OPTIONS(&plan.arg),
		BL_OPTION_TEXT("config", "FILE",
			       "the agent's configuration (endpoints, proxy, ...)", &plan.config),
		BL_OPTION_TEXT("secrets-dir", "DIR",
			       "where secrets are (default /etc/ballast/secrets)",
			       &plan.secrets_dir),
		BL_OPTION_TEXT("tenant", "NAME", "whose secrets (default: default)", &plan.tenant),
		BL_OPTION_FLAG("json", "one JSON object for each set of weights", &plan.json),
		{0},
	};
	const struct bl_usage usage = {
		"ballast plan [OPTION...] CONFIG.yaml|SOURCE",
		"Lists what would be brought: every file with its size and what its origin "
		"promises of it,\n"
		"and what the patterns leave out. Nothing is downloaded, and no agent is asked.",
		options,
		1,
		1,
		false};
	struct bl_operands operands;
	auto_weights weights = {0};
	int r = bl_options_parse(&usage, argv, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = bl_weights_arg_read(&plan.arg, operands.words[0], &weights, err);
	for (size_t i = 0; r == 0 && i < weights.count; i++) {
		if (!plan.json && weights.count > 1)
			bl_print("%s%s\n", i ? "\n" : "", weights.items[i].source.text);
		r = plan_item(&plan, &weights.items[i], err);
	}
	return r;
}
