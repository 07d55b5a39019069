// SPDX-License-Identifier: Apache-2.0
/* ballast pull: weights onto this node before anybody needs them, through the agent. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/command.h"
#include "common/human.h"
#include "common/meter.h"
#include "cli/node.h"
#include "cli/options.h"
#include "cli/weights_arg.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

struct pull {
	struct bl_weights_arg arg;
	const char *agent;
	const char *tenant;
	bool refresh;
	bool json;
	bool quiet;
};

static int write_request(const struct pull *pull, const struct bl_weights *weights,
			 struct bl_buf *ret, struct bl_err *err)
{
	auto_json body = bl_json_new_object();
	bl_json *list = body ? bl_json_set_array(body, "weights") : NULL;
	int r = 0;

	if (!list || !bl_json_set_bool(body, "refresh", pull->refresh) ||
	    !bl_json_set_string(body, "tenant", pull->tenant ? pull->tenant : "default"))
		return bl_err_nomem(err);
	for (size_t i = 0; i < weights->count && r == 0; i++)
		r = bl_weights_item_to_json(&weights->items[i], list, err);
	return r < 0 ? r : bl_json_write(ret, body, err);
}

/* The path of a file that is being written now, NULL where there is none. */
static const char *file_under_way(const bl_json *answer)
{
	const bl_json *weights = NULL;
	const bl_json *files = NULL;

	if (bl_json_get_array(answer, "weights", &weights, NULL) <= 0)
		return NULL;
	for (const bl_json *w = bl_json_first(weights); w; w = bl_json_next(w))
		if (bl_json_is_object(w) && bl_json_get_array(w, "under_way", &files, NULL) > 0 &&
		    bl_json_first(files) && bl_json_is_object(bl_json_first(files)))
			return bl_node_text(bl_json_first(files), "path");
	return NULL;
}

static void show(struct bl_meter *meter, const bl_json *answer)
{
	const bl_json *progress = NULL;
	struct bl_meter_state state;

	if (bl_json_get_object(answer, "progress", &progress, NULL) <= 0)
		return;
	state = (struct bl_meter_state){
		.bytes_done = bl_node_int(progress, "bytes_done"),
		.bytes_total = bl_node_int(progress, "bytes_total"),
		.files_done = bl_node_int(progress, "files_done"),
		.files_total = bl_node_int(progress, "files_total"),
		.bytes_per_second = bl_node_int(progress, "bytes_per_second"),
		.file = file_under_way(answer),
	};
	bl_meter_show(meter, &state, bl_agent_now());
}

static void print_result(const bl_json *answer)
{
	const bl_json *weights = NULL;

	if (bl_json_get_array(answer, "weights", &weights, NULL) <= 0)
		return;
	for (const bl_json *w = bl_json_first(weights); w; w = bl_json_next(w))
		if (bl_json_is_object(w))
			bl_print("%s  %lld file%s, %s  %s\n", bl_node_text(w, "source"),
				 (long long)bl_node_int(w, "files"),
				 bl_node_int(w, "files") == 1 ? "" : "s",
				 bl_human_bytes(bl_node_int(w, "bytes")).text,
				 bl_node_text(w, "manifest"));
}

static volatile sig_atomic_t stopped_by;
static int stopping[2] = {-1, -1}; /* a pipe: what waits is told by a byte of it */

static void stop(int number)
{
	int saved = errno;

	stopped_by = number;
	(void)!write(stopping[1], "", 1);
	errno = saved;
}

/* The first Ctrl-C ends the waiting with a word; a second one ends us at once. */
static int heed_signals(struct bl_err *err)
{
	struct sigaction action = {.sa_handler = stop, .sa_flags = (int)SA_RESETHAND};

	if (pipe2(stopping, O_CLOEXEC) < 0)
		return bl_err_sys(err, errno, "pipe");
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	return 0;
}

/* Its next state. An agent that was started anew knows nothing of it: then it is asked for once more. */
static int look(struct bl_node_again *node, const char *body, struct bl_agent_answer *answer,
		struct bl_err *err)
{
	char path[BL_MAX_CONTAINER_ID];
	int r;

	(void)snprintf(path, sizeof(path), "/v1/pulls/%.200s?wait=1",
		       bl_node_text(answer->json, "id"));
	r = bl_node_ask_again(node, "GET", path, NULL, answer, err);
	/* Of the same agent: somebody has cancelled it. */
	if (r >= 0 || answer->status != 404 || !node->another)
		return r;
	return bl_node_ask_again(node, "POST", "/v1/pulls", body, answer, err);
}

/* Until the pull has ended; *answer is its last state. */
static int follow(const struct pull *pull, struct bl_node_again *node, const char *body,
		  struct bl_agent_answer *answer, struct bl_err *err)
{
	struct bl_meter meter;
	int r = 0;

	bl_meter_init(&meter, "ballast", bl_agent_now());
	while (r >= 0 && !stopped_by &&
	       strcmp(bl_node_text(answer->json, "state"), "pending") == 0) {
		if (!pull->quiet)
			show(&meter, answer->json);
		r = look(node, body, answer, err);
	}
	bl_meter_clear(&meter);
	if (stopped_by && (r < 0 || strcmp(bl_node_text(answer->json, "state"), "pending") == 0))
		return bl_err_set(err, 128 + stopped_by, EINTR,
				  "stopped waiting; the agent goes on, and the same command shows "
				  "how far it is");
	return r;
}

/* The agent says "$[1].source: "; where the list is of a file, that is "weights[1].source: ". */
static void place_error(const char *operand, bool of_file, struct bl_err *err)
{
	const char *rest = of_file ? err->msg + 1 : strstr(err->msg, ": ");

	if (strncmp(err->msg, "$[", 2) != 0 || !rest)
		return;
	rest += of_file ? 0 : 2;
	memmove(err->msg, rest, strlen(rest) + 1);
	if (of_file)
		bl_err_wrap(err, "%.200s: weights", operand);
}

static int run(const struct pull *pull, const struct bl_weights *weights, struct bl_err *err)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	auto_buf body = BL_BUF_INIT(BL_MAX_API_BODY);
	struct bl_node_again node = {.address = pull->agent};
	const bl_json *problem = NULL;
	int r = write_request(pull, weights, &body, err);

	if (r == 0)
		r = heed_signals(err);
	node.stop = stopping[0];
	if (r == 0)
		r = bl_node_ask_first(&node, "POST", "/v1/pulls", bl_buf_str(&body), &answer, err);
	if (r >= 0)
		r = follow(pull, &node, bl_buf_str(&body), &answer, err);
	if (r < 0)
		return r;
	if (pull->json)
		bl_print_json(bl_buf_str(&answer.body));
	if (bl_json_get_object(answer.json, "problem", &problem, NULL) > 0)
		return bl_node_problem(problem, err);
	if (strcmp(bl_node_text(answer.json, "state"), "ready") != 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO,
				  "the agent says neither that the weights are there nor why not");
	if (!pull->json && !pull->quiet)
		print_result(answer.json);
	return 0;
}

int bl_pull_main(char **words, struct bl_err *err)
{
	struct pull pull = {0};
	const struct bl_option options[] = {
		BL_OPTION_TEXT("tenant", "NAME", "on whose behalf (default: default)",
			       &pull.tenant),
		BL_OPTION_FLAG("refresh", "look at the source again, also where a copy stands",
			       &pull.refresh),
		BL_WEIGHTS_ARG_OPTIONS(&pull.arg),
		BL_NODE_OPTION(pull.agent),
		BL_OPTION_FLAG("json", "print the agent's last answer, as JSON", &pull.json),
		BL_OPTION_FLAG("quiet", "print nothing where all is well", &pull.quiet),
		{0},
	};
	const struct bl_usage usage = {
		"ballast pull [OPTION...] CONFIG.yaml|SOURCE",
		"Has the agent bring the weights of a config.yaml, or one source "
		"(hf://owner/repo@rev), and\n"
		"waits until they are verified and on this node. Ended early, the agent goes on.",
		options,
		1,
		1,
		false};
	struct bl_operands operands;
	auto_weights weights = {0};
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = bl_weights_arg_read(&pull.arg, operands.words[0], &weights, err);
	if (r < 0)
		return r;
	r = run(&pull, &weights, err);
	if (r < 0)
		place_error(operands.words[0], !bl_weights_arg_is_source(operands.words[0]), err);
	return r;
}
