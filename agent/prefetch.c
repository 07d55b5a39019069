// SPDX-License-Identifier: Apache-2.0
#include "agent/prefetch.h"

#include "agent/config.h"
#include "agent/pulls.h"
#include "common/json.h"

#define AGAIN_MS (10 * 60 * 1000)

static void pull_all(struct bl_timer *timer)
{
	struct bl_prefetch *prefetch = timer->data;
	const bl_json *entry = bl_json_first(prefetch->config->prefetch);

	for (; entry; entry = bl_json_next(entry)) {
		struct bl_pull_request asked = {.tenant = "default"};
		struct bl_problem problem;
		struct bl_pull *pull;

		if (bl_json_get_string(entry, "tenant", &asked.tenant, NULL) < 0 ||
		    bl_json_get_array(entry, "weights", &asked.list, NULL) <= 0)
			continue;
		if (bl_pulls_start(prefetch->pulls, &asked, &pull, &problem) < 0)
			prefetch->tell(problem.detail);
	}
	bl_loop_after(prefetch->loop, &prefetch->timer, AGAIN_MS, pull_all, prefetch);
}

void bl_prefetch_start(struct bl_prefetch *prefetch)
{
	if (prefetch->config->prefetch)
		bl_loop_after(prefetch->loop, &prefetch->timer, 0, pull_all, prefetch);
}

void bl_prefetch_stop(struct bl_prefetch *prefetch)
{
	bl_loop_cancel(&prefetch->timer);
}
