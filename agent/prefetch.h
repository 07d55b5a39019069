/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Weights that the configuration wants on the node whether a container asks for them or not: they
 * are pulled at the start, and looked at again now and then, which brings back what was evicted
 * and keeps the rest from being the oldest.
 */
#ifndef BL_AGENT_PREFETCH_H
#define BL_AGENT_PREFETCH_H

#include "agent/loop.h"
#include "agent/pulls.h"
#include "common/log.h"

struct bl_config;

struct bl_prefetch {
	struct bl_loop *loop;
	struct bl_pulls *pulls;
	const struct bl_config *config;
	struct bl_timer timer;
	char (*ids)[BL_PULL_ID]; /* of each entry's last pull; NULL before the first look */
	/* Tells of something worth a line in the log. */
	void (*tell)(enum bl_log_level level, const char *what);
};

void bl_prefetch_start(struct bl_prefetch *prefetch);
void bl_prefetch_stop(struct bl_prefetch *prefetch);

#endif
