// SPDX-License-Identifier: Apache-2.0
/* ballast gc, verify, rm, pin: what an operator does with the cache, through the agent. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "common/human.h"
#include "cli/node.h"
#include "cli/options.h"
#include "common/cleanup.h"
#include "common/err.h"

#define PATIENCE_MS  (24 * 3600 * 1000LL) /* reading a large cache takes its time */
#define PREFIX	     "sha256:"
#define DIGITS	     64
#define DIGITS_LEAST 6 /* fewer name a tree only by chance */
#define NAME_MAX_LEN (sizeof(PREFIX) + DIGITS)

/* ---- All of it ---- */

/* POST until it is done: the agent answers 202 when it has been waited for long enough. */
static int work(const char *agent, const char *path, struct bl_agent_answer *answer,
		struct bl_err *err)
{
	int r;

	do
		r = bl_node_ask(agent, "POST", path, NULL, PATIENCE_MS, answer, err);
	while (r == 202);
	return r;
}

/*
 * A command that is the agent's work alone: 1 with its answer; 0 where only help was asked for. *json:
 * the answer is to be printed as it is.
 */
static int ask_for_work(char **words, const char *synopsis, const char *summary, const char *path,
			bool *json, struct bl_agent_answer *answer, struct bl_err *err)
{
	const char *agent = NULL;
	const struct bl_option options[] = {
		BL_NODE_OPTION(agent),
		BL_OPTION_FLAG("json", "print the agent's answer, as JSON", json),
		{0},
	};
	const struct bl_usage usage = {synopsis, summary, options, 0, 0, false};
	struct bl_operands operands;
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = work(agent, path, answer, err);
	return r < 0 ? r : 1;
}

int bl_gc_main(char **words, struct bl_err *err)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	long long trees, files, downloads;
	bool json = false;
	int r = ask_for_work(
		words, "ballast gc [OPTION...]",
		"Frees what nobody needs: trees that are neither in use nor pinned, as far as "
		"the agent's\n"
		"watermarks want it, and everything that no tree refers to.",
		"/v1/cache/gc", &json, &answer, err);

	if (r <= 0)
		return r;
	trees = bl_node_int(answer.json, "trees");
	files = bl_node_int(answer.json, "blobs");
	downloads = bl_node_int(answer.json, "partials");
	if (json)
		bl_print_json(bl_buf_str(&answer.body));
	else
		bl_print("freed %s: %lld tree%s, %lld file%s, %lld unfinished download%s\n",
			 bl_human_bytes(bl_node_int(answer.json, "freed")).text, trees,
			 trees == 1 ? "" : "s", files, files == 1 ? "" : "s", downloads,
			 downloads == 1 ? "" : "s");
	return 0;
}

int bl_verify_main(char **words, struct bl_err *err)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	const bl_json *damaged = NULL;
	bool json = false;
	int r = ask_for_work(
		words, "ballast verify [OPTION...]",
		"Has the agent read everything in its cache again and compare it with its "
		"digests. What is\n"
		"damaged is taken out of use and brought anew when it is next asked for. Exit "
		"status 1 then.",
		"/v1/cache/verify", &json, &answer, err);

	if (r <= 0)
		return r;
	if (bl_json_get_array(answer.json, "damaged", &damaged, NULL) <= 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the agent's answer is malformed");
	if (json)
		bl_print_json(bl_buf_str(&answer.body));
	else
		bl_print("%lld tree%s read, %zu damaged\n",
			 (long long)bl_node_int(answer.json, "trees"),
			 bl_node_int(answer.json, "trees") == 1 ? "" : "s",
			 bl_json_length(damaged));
	for (const bl_json *e = bl_json_first(damaged); e && !json; e = bl_json_next(e))
		bl_print("  %s\n", bl_json_string(e) ? bl_json_string(e) : "");
	if (!json && bl_json_length(damaged) > 0)
		bl_print("They are brought anew when they are next asked for; the damaged files "
			 "lie in "
			 "quarantine/ of the\ncache: look at the disk.\n");
	return bl_json_length(damaged) > 0 ? 1 : 0;
}

/* ---- One tree ---- */

/* The tree's whole name, of which the person gave enough digits to tell it. */
static int find_tree(const char *agent, const char *given, char *name, struct bl_err *err)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	const char *digits =
		strncmp(given, PREFIX, strlen(PREFIX)) == 0 ? given + strlen(PREFIX) : given;
	const bl_json *list = NULL;
	size_t len = strlen(digits);
	size_t found = 0;
	int r;

	if (len < DIGITS_LEAST || len > DIGITS || strspn(digits, "0123456789abcdef") != len)
		return bl_err_config(err,
				     "%.80s: a tree is named by its manifest's digits, %d of them "
				     "or more; `ballast status` lists them",
				     given, DIGITS_LEAST);
	if (len == DIGITS) { /* also of a tree that is not there, whose pin is to go */
		(void)snprintf(name, NAME_MAX_LEN, PREFIX "%s", digits);
		return 0;
	}
	r = bl_node_ask(agent, "GET", "/v1/cache", NULL, BL_NODE_PATIENCE_MS, &answer, err);
	if (r >= 0 && bl_json_get_array(answer.json, "trees", &list, NULL) <= 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the agent's answer is malformed");
	for (const bl_json *e = r >= 0 ? bl_json_first(list) : NULL; e; e = bl_json_next(e)) {
		const char *manifest = bl_json_is_object(e) ? bl_node_text(e, "manifest") : "";

		if (strlen(manifest) != strlen(PREFIX) + DIGITS ||
		    strncmp(manifest + strlen(PREFIX), digits, len) != 0)
			continue;
		(void)snprintf(name, NAME_MAX_LEN, "%s", manifest);
		found++;
	}
	if (r < 0)
		return r;
	if (found != 1)
		return bl_err_config(err,
				     "%.80s: %s tree of that name; `ballast status` lists them",
				     given, found == 0 ? "no" : "more than one");
	return 0;
}

static int change_tree(const char *agent, const char *method, const char *given, const char *rest,
		       struct bl_err *err)
{
	auto_agent_answer answer = BL_AGENT_ANSWER_INIT;
	char name[NAME_MAX_LEN];
	char path[NAME_MAX_LEN + 32];
	int r = find_tree(agent, given, name, err);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "/v1/cache/%s%s", name + strlen(PREFIX), rest);
	r = bl_node_request(agent, method, path, NULL, PATIENCE_MS, &answer, err);
	if (r < 0)
		bl_err_wrap(err, "%s: ", name);
	return r < 0 ? r : 0;
}

/* All of them: one that cannot be changed keeps nobody from the others. The last that failed is *err, those
 * before it are said at once. */
static int change_trees(const char *agent, const char *method, const struct bl_operands *operands,
			const char *rest, struct bl_err *err)
{
	int failed = 0;

	for (size_t i = 0; i < operands->count; i++) {
		struct bl_err found = {0};
		int r = change_tree(agent, method, operands->words[i], rest, &found);

		if (r >= 0)
			continue;
		if (failed < 0)
			bl_say("%s", err->msg);
		failed = r;
		*err = found;
		if (found.code == BL_EX_UNAVAILABLE)
			break;
	}
	return failed;
}

int bl_rm_main(char **words, struct bl_err *err)
{
	const char *agent = NULL;
	const struct bl_option options[] = {BL_NODE_OPTION(agent), {0}};
	const struct bl_usage usage = {"ballast rm [OPTION...] TREE...",
				       "Removes sets of weights from the cache; `ballast status` "
				       "lists them. One that is in use or\n"
				       "pinned is refused: 77.",
				       options,
				       1,
				       BL_OPERANDS_MAX,
				       false};
	struct bl_operands operands;
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	return change_trees(agent, "DELETE", &operands, "", err);
}

int bl_pin_main(char **words, struct bl_err *err)
{
	const char *agent = NULL;
	bool remove = false;
	const struct bl_option options[] = {
		BL_OPTION_FLAG("remove", "take the pin away again", &remove),
		BL_NODE_OPTION(agent),
		{0},
	};
	const struct bl_usage usage = {"ballast pin [OPTION...] TREE...",
				       "Keeps sets of weights in the cache though nobody uses "
				       "them; `ballast status` lists them.",
				       options,
				       1,
				       BL_OPERANDS_MAX,
				       false};
	struct bl_operands operands;
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	return change_trees(agent, remove ? "DELETE" : "PUT", &operands, "/pin", err);
}
