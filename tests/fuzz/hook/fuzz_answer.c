// SPDX-License-Identifier: Apache-2.0
/* The agent's answer: a head and a body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent_client.h"
#include "common/contract.h"
#include "common/err.h"
#include "hook/ask.h"
#include "hook/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check(const struct bl_ready *ready, const struct bl_plan *plan)
{
	for (size_t i = 0; i < plan->weights.count; i++) {
		const char *path = ready->weights[i].path;

		if (!path || path[0] != '/' || strstr(path, "/../") || strstr(path, "//"))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char list[] = "[{\"source\":\"hf://o/r\",\"mount_location\":\"/models/a\"},"
				   "{\"source\":\"https://h/f\",\"mount_location\":\"/data/f\"}]";
	static const struct bl_json_limits limits = {.max_bytes = BL_MAX_API_ANSWER,
						     .fractions = true};
	const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
	struct bl_agent_head head;
	auto_ready ready = {0};
	auto_plan plan = {0};
	auto_json json = NULL;
	struct bl_err err = {0};

	if (!end ||
	    bl_agent_parse_head((const char *)data, (size_t)(end - data) + 4, &head, &err) < 0)
		return 0;
	end += 4;
	len -= (size_t)(end - data);
	if (bl_weights_parse(list, strlen(list), &plan.weights, &err) < 0)
		abort();
	if (len == 0 || bl_json_parse((const char *)end, len, &limits, &json, &err) < 0)
		return 0;
	if (head.status >= 300) {
		struct bl_agent_answer answer = {.status = head.status, .json = json};

		if (bl_agent_problem(&answer, &err) >= 0 || err.code == 0)
			abort();
	} else if (bl_ask_read(head.status, &json, &plan, &ready, &err) == 1) {
		check(&ready, &plan);
	}
	return 0;
}
