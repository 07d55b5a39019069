// SPDX-License-Identifier: Apache-2.0
#include "agent/prefetch.h"

#include <stdlib.h>
#include <string.h>

#include "agent/config.h"
#include "common/cleanup.h"
#include "common/json.h"

#define AGAIN_MS (10 * 60 * 1000)

/* What takes longer than until the next look is waited for once. */
static bool is_under_way(const struct bl_prefetch *prefetch, size_t i)
{
	const struct bl_pull *pull = bl_pulls_find(prefetch->pulls, prefetch->ids[i]);

	return pull && pull->state == BL_PULL_PENDING;
}

static void pull_all(struct bl_timer *timer)
{
	struct bl_prefetch *prefetch = timer->data;
	const bl_json *entry = bl_json_first(prefetch->config->prefetch);

	if (!prefetch->ids)
		prefetch->ids = calloc(bl_json_length(prefetch->config->prefetch) + 1,
				       sizeof(*prefetch->ids));
	for (size_t i = 0; entry && prefetch->ids; entry = bl_json_next(entry), i++) {
		struct bl_pull_request asked = {.tenant = "default", .quiet = true};
		struct bl_problem problem;
		struct bl_pull *pull;

		if (bl_json_get_string(entry, "tenant", &asked.tenant, NULL) < 0 ||
		    bl_json_get_array(entry, "weights", &asked.list, NULL) <= 0 ||
		    is_under_way(prefetch, i))
			continue;
		if (bl_pulls_start(prefetch->pulls, &asked, &pull, &problem) < 0)
			prefetch->tell(BL_LOG_WARNING, problem.detail);
		else
			memcpy(prefetch->ids[i], pull->id, sizeof(pull->id));
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
	free(TAKE_PTR(prefetch->ids));
}
