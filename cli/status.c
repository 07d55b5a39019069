// SPDX-License-Identifier: Apache-2.0
/* ballast status: the agent, its containers, its cache. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/command.h"
#include "common/human.h"
#include "cli/node.h"
#include "cli/options.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

static int64_t total_of(const bl_json *list, const char *key)
{
	int64_t total = 0;

	for (const bl_json *e = bl_json_first(list); e; e = bl_json_next(e))
		if (bl_json_is_object(e))
			total += bl_node_int(e, key);
	return total;
}

static bool has_ended(const bl_json *container)
{
	return strcmp(bl_node_text(container, "state"), "ended") == 0;
}

/* How many containers have the tree, as far as they run. */
static int64_t users_of(const bl_json *containers, const char *manifest)
{
	const bl_json *weights = NULL;
	int64_t users = 0;

	for (const bl_json *e = bl_json_first(containers); e; e = bl_json_next(e)) {
		bool uses = false;

		if (!bl_json_is_object(e) || has_ended(e) ||
		    bl_json_get_array(e, "weights", &weights, NULL) <= 0)
			continue;
		for (const bl_json *w = bl_json_first(weights); w && !uses; w = bl_json_next(w))
			uses = bl_json_is_object(w) &&
			       strcmp(bl_node_text(w, "manifest"), manifest) == 0;
		users += uses;
	}
	return users;
}

/* Podman's, containerd's and CRI-O's ids are 64 digits, of which people and `podman ps` use twelve. */
static int shown_length(const char *id)
{
	size_t len = strlen(id);

	return len == 64 && strspn(id, "0123456789abcdef") == len ? 12 : (int)len;
}

static void describe_progress(const bl_json *progress, char *to, size_t size)
{
	int64_t total = bl_node_int(progress, "bytes_total");

	if (total <= 0)
		(void)snprintf(to, size, "  asking the origin");
	else
		(void)snprintf(to, size, "  %s of %s, %s/s",
			       bl_human_bytes(bl_node_int(progress, "bytes_done")).text,
			       bl_human_bytes(total).text,
			       bl_human_bytes(bl_node_int(progress, "bytes_per_second")).text);
}

static void print_container(const bl_json *container)
{
	const char *id = bl_node_text(container, "id");
	const char *state = bl_node_text(container, "state");
	const bl_json *more = NULL;
	char rest[256] = "";

	if (strcmp(state, "pending") == 0 &&
	    bl_json_get_object(container, "progress", &more, NULL) > 0)
		describe_progress(more, rest, sizeof(rest));
	else if (bl_json_get_object(container, "problem", &more, NULL) > 0)
		(void)snprintf(rest, sizeof(rest), "  %.250s", bl_node_text(more, "detail"));
	else if (bl_json_get_array(container, "weights", &more, NULL) > 0)
		(void)snprintf(rest, sizeof(rest), "  %zu set%s, %s", bl_json_length(more),
			       bl_json_length(more) == 1 ? "" : "s",
			       bl_human_bytes(total_of(more, "bytes")).text);
	bl_print("  %-24.*s %-12s %-*s%s\n", shown_length(id), id,
		 bl_node_text(container, "tenant"), *rest ? 8 : 0, state, rest);
}

static void print_containers(const bl_json *list)
{
	size_t ended = 0;

	for (const bl_json *e = bl_json_first(list); e; e = bl_json_next(e))
		ended += bl_json_is_object(e) && has_ended(e);
	bl_print("containers: %zu", bl_json_length(list) - ended);
	if (ended > 0)
		bl_print(", %zu more ended", ended);
	bl_print("\n");
	for (const bl_json *e = bl_json_first(list); e; e = bl_json_next(e))
		if (bl_json_is_object(e))
			print_container(e);
}

/* A lease that no running container accounts for is of one that starts, or that has just ended. */
static void print_tree(const bl_json *tree, int64_t users, int64_t now)
{
	int64_t used = bl_node_int(tree, "last_used");
	bool pinned = false;
	char use[64];

	(void)bl_json_get_bool(tree, "pinned", &pinned, NULL);
	if (users > 0)
		(void)snprintf(use, sizeof(use), "in use by %lld", (long long)users);
	else
		(void)snprintf(use, sizeof(use), "last used %s ago%s",
			       bl_human_seconds(now - used).text,
			       bl_node_int(tree, "leases") > 0 ? ", held" : "");
	/* Twenty digits name a tree well enough; every command takes them. */
	bl_print("  %.27s  %10s  %6lld file%s  %s%s\n", bl_node_text(tree, "manifest"),
		 bl_human_bytes(bl_node_int(tree, "bytes")).text,
		 (long long)bl_node_int(tree, "files"), bl_node_int(tree, "files") == 1 ? " " : "s",
		 use, pinned ? ", pinned" : "");
}

static void print_cache(const bl_json *answer, const bl_json *containers)
{
	const bl_json *list = NULL;
	int64_t limit = bl_node_int(answer, "limit");
	size_t in_use = 0;
	size_t held = 0;

	bl_print("cache: %s", bl_human_bytes(bl_node_int(answer, "bytes")).text);
	if (limit > 0)
		bl_print(" of %s", bl_human_bytes(limit).text);
	if (bl_json_get_array(answer, "trees", &list, NULL) <= 0)
		list = NULL;
	for (const bl_json *e = list ? bl_json_first(list) : NULL; e; e = bl_json_next(e)) {
		if (!bl_json_is_object(e) || bl_node_int(e, "leases") <= 0)
			continue;
		if (users_of(containers, bl_node_text(e, "manifest")) > 0)
			in_use++;
		else
			held++;
	}
	bl_print(", %s free on the disk\ntrees: %zu, %zu in use, %zu held, %lld pinned\n",
		 bl_human_bytes(bl_node_int(answer, "free")).text, list ? bl_json_length(list) : 0,
		 in_use, held, (long long)bl_node_int(answer, "pinned"));
	for (const bl_json *e = list ? bl_json_first(list) : NULL; e; e = bl_json_next(e))
		if (bl_json_is_object(e))
			print_tree(e, users_of(containers, bl_node_text(e, "manifest")),
				   (int64_t)time(NULL));
}

/* One object with the three answers. */
static int print_json(const bl_json *version, const bl_json *containers, const bl_json *cache,
		      struct bl_err *err)
{
	auto_json all = bl_json_new_object();
	auto_buf text = BL_BUF_INIT(4 * BL_MAX_API_ANSWER);
	int r;

	if (!all || !bl_json_set_copy(all, "agent", version) ||
	    !bl_json_set_copy(all, "containers", containers) ||
	    !bl_json_set_copy(all, "cache", cache))
		return bl_err_nomem(err);
	r = bl_json_write(&text, all, err);
	if (r == 0)
		bl_print_json(bl_buf_str(&text));
	return r;
}

int bl_status_main(char **words, struct bl_err *err)
{
	const char *agent = NULL;
	const bl_json *list = NULL;
	bool json = false;
	const struct bl_option options[] = {
		BL_NODE_OPTION(agent),
		BL_OPTION_FLAG("json", "as JSON: agent, containers, cache", &json),
		{0},
	};
	const struct bl_usage usage = {"ballast status [OPTION...]",
				       "Shows whether the agent answers, which containers it "
				       "serves, and what its cache holds.",
				       options,
				       0,
				       0,
				       false};
	struct bl_operands operands;
	auto_agent_answer version = BL_AGENT_ANSWER_INIT;
	auto_agent_answer containers = BL_AGENT_ANSWER_INIT;
	auto_agent_answer cache = BL_AGENT_ANSWER_INIT;
	int r = bl_options_parse(&usage, words, &operands, err);

	if (r != 0)
		return r < 0 ? r : 0;
	r = bl_node_ask(agent, "GET", "/v1/version", NULL, BL_NODE_PATIENCE_MS, &version, err);
	if (r >= 0)
		r = bl_node_ask(agent, "GET", "/v1/containers", NULL, BL_NODE_PATIENCE_MS,
				&containers, err);
	if (r >= 0)
		r = bl_node_ask(agent, "GET", "/v1/cache", NULL, BL_NODE_PATIENCE_MS, &cache, err);
	if (r < 0)
		return r;
	if (bl_json_get_array(containers.json, "containers", &list, NULL) <= 0)
		return bl_err_set(err, BL_EX_INTERNAL, EPROTO, "the agent names no containers");
	if (json)
		return print_json(version.json, list, cache.json, err);
	bl_print("agent: ballastd %s at %s\n", bl_node_text(version.json, "version"),
		 agent ? agent : "unix:" BL_PATH_SOCKET);
	print_containers(list);
	print_cache(cache.json, list);
	return 0;
}
