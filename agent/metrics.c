// SPDX-License-Identifier: Apache-2.0
/*
 * GET /metrics: the Prometheus text format. Names are in docs/operations.md. No label has a value
 * that a tenant could choose.
 */
#include "agent/agent.h"
#include "agent/api.h"
#include "agent/store.h"
#include "common/cleanup.h"
#include "common/contract.h"

#define METRICS_MAX  (256 * 1024)
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

static void metric(struct bl_buf *text, const char *name, const char *type, const char *help,
		   uint64_t value)
{
	(void)bl_buf_putf(text, NULL, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name,
			  type, name, (unsigned long long)value);
}

static void add_cache(struct bl_buf *text, struct bl_store *store)
{
	struct bl_store_usage usage = {0};

	if (bl_store_usage(store, &usage, NULL) < 0)
		return;
	metric(text, "ballast_cache_bytes", "gauge", "Bytes that the cache has on disk.",
	       usage.bytes);
	metric(text, "ballast_cache_reserved_bytes", "gauge",
	       "Bytes promised to downloads and not on disk yet.", usage.reserved);
	metric(text, "ballast_cache_limit_bytes", "gauge", "Bytes that the cache may have.",
	       usage.limit);
	metric(text, "ballast_cache_filesystem_free_bytes", "gauge",
	       "Bytes that the cache's filesystem has left.", usage.free);
	metric(text, "ballast_cache_trees", "gauge", "Trees in the cache.", usage.trees);
	metric(text, "ballast_cache_pinned_trees", "gauge", "Trees that are pinned.", usage.pinned);
	metric(text, "ballast_cache_leased_trees", "gauge", "Trees that a lease protects.",
	       usage.leased);
	metric(text, "ballast_cache_evictions_total", "counter", "Trees evicted to make room.",
	       usage.evictions);
	metric(text, "ballast_cache_evicted_bytes_total", "counter", "Bytes evicted to make room.",
	       usage.evicted_bytes);
}

static void add_containers(struct bl_buf *text, const struct bl_containers *containers)
{
	uint64_t by_state[4] = {0};

	for (const struct bl_container *at = containers->first; at; at = at->next)
		by_state[at->state]++;
	(void)bl_buf_puts(text,
			  "# HELP ballast_containers Containers known, by state.\n"
			  "# TYPE ballast_containers gauge\n",
			  NULL);
	for (int state = BL_CONTAINER_PENDING; state <= BL_CONTAINER_ENDED; state++)
		(void)bl_buf_putf(text, NULL, "ballast_containers{state=\"%s\"} %llu\n",
				  bl_containers_state_name((enum bl_container_state)state),
				  (unsigned long long)by_state[state]);
}

static void add_works(struct bl_buf *text, const struct bl_works *works)
{
	const struct bl_work_figures *figures = &works->figures;

	metric(text, "ballast_lookup_hits_total", "counter",
	       "Weights items that were in the cache when asked for.", figures->hits);
	metric(text, "ballast_lookup_misses_total", "counter",
	       "Weights items that had to be brought, or authorised anew.", figures->misses);
	metric(text, "ballast_fetched_bytes_total", "counter", "Bytes that came from origins.",
	       bl_works_fetched(works));
	metric(text, "ballast_fetched_files_total", "counter", "Files brought and verified.",
	       figures->files_fetched);
	metric(text, "ballast_spared_files_total", "counter",
	       "Files of a listing that were in the cache already.", figures->files_spared);
	metric(text, "ballast_jobs_total", "counter", "Fetch processes started.", figures->jobs);
	metric(text, "ballast_jobs_running", "gauge", "Fetch processes that run.",
	       (uint64_t)works->running);
	metric(text, "ballast_retries_total", "counter", "Works that were tried again.",
	       figures->retries);
	(void)bl_buf_puts(text,
			  "# HELP ballast_failures_total Works that failed, by cause.\n"
			  "# TYPE ballast_failures_total counter\n",
			  NULL);
	for (size_t i = 0; bl_problem_class_name(i); i++)
		(void)bl_buf_putf(text, NULL, "ballast_failures_total{cause=\"%s\"} %llu\n",
				  bl_problem_class_name(i),
				  (unsigned long long)figures->failures[i]);
}

static void add_waits(struct bl_buf *text, const struct bl_wait_histogram *waits)
{
	uint64_t below = 0;

	(void)bl_buf_puts(text,
			  "# HELP ballast_container_wait_seconds From a container's first request "
			  "to ready.\n# TYPE ballast_container_wait_seconds histogram\n",
			  NULL);
	for (size_t i = 0; i < BL_WAIT_BUCKETS; i++) {
		below += waits->counts[i];
		(void)bl_buf_putf(text, NULL,
				  "ballast_container_wait_seconds_bucket{le=\"%s\"} %llu\n",
				  bl_wait_bounds[i].name, (unsigned long long)below);
	}
	(void)bl_buf_putf(
		text, NULL,
		"ballast_container_wait_seconds_bucket{le=\"+Inf\"} %llu\n"
		"ballast_container_wait_seconds_sum %llu.%03llu\n"
		"ballast_container_wait_seconds_count %llu\n",
		(unsigned long long)waits->count, (unsigned long long)waits->sum_ms / 1000,
		(unsigned long long)waits->sum_ms % 1000, (unsigned long long)waits->count);
}

void bl_api_metrics_get(struct bl_request *request, void *data)
{
	struct bl_node *agent = data;
	auto_buf text = BL_BUF_INIT(METRICS_MAX);

	(void)bl_buf_puts(&text,
			  "# HELP ballast_build_info The agent's version.\n"
			  "# TYPE ballast_build_info gauge\n"
			  "ballast_build_info{version=\"" BL_VERSION "\"} 1\n",
			  NULL);
	add_cache(&text, agent->store);
	add_containers(&text, &agent->containers);
	add_works(&text, &agent->works);
	add_waits(&text, &agent->containers.waits);
	metric(&text, "ballast_damaged_blobs_total", "counter",
	       "Files and trees found damaged on disk and put aside.", agent->collector.damaged);
	metric(&text, "ballast_api_connections", "gauge", "Connections to the agent's sockets.",
	       agent->http.count);
	bl_http_answer_text(request, 200, CONTENT_TYPE, bl_buf_str(&text), text.len);
}
