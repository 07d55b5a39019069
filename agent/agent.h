/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a running agent has. The loop's thread owns all of it.
 */
#ifndef BL_AGENT_AGENT_H
#define BL_AGENT_AGENT_H

#include "agent/collector.h"
#include "agent/config.h"
#include "agent/containers.h"
#include "agent/http.h"
#include "agent/loop.h"
#include "agent/pool.h"
#include "agent/prefetch.h"
#include "agent/pulls.h"
#include "agent/spawn.h"
#include "agent/work.h"

struct bl_store;

struct bl_node {
	struct bl_loop loop;
	struct bl_pool pool;
	struct bl_pool quick; /* what must not wait behind a digest of gigabytes */
	struct bl_http http;
	struct bl_config config;
	struct bl_spawn spawn;
	struct bl_store *store;
	struct bl_timer prepare; /* to make the next lease's file */
	struct bl_collector collector;
	struct bl_works works;
	struct bl_pulls pulls;
	struct bl_prefetch prefetch;
	struct bl_containers containers;
};

#endif
