// SPDX-License-Identifier: Apache-2.0
#include "cache_fixture.h"

#include "agent/collector.h"
#include "agent/config.h"
#include "agent/prefetch.h"
#include "agent/pulls.h"
#include "agent/work.h"

static void say_nothing(enum bl_log_level level, const char *what)
{
	(void)level;
	(void)what;
}

static void tell_nobody(const struct bl_pull *pull, const char *what)
{
	(void)pull;
	(void)what;
}

/* What takes longer than from one look to the next is waited for once. No loop runs here, so that it is never there. */
static void what_is_under_way_is_not_pulled_once_more(void **state)
{
	static const char text[] =
		"{\"prefetch\":[{\"weights\":[{\"source\":\"hf://a/b\",\"mount_location\":\"/"
		"m\"}]},"
		"{\"weights\":[{\"source\":\"hf://a/c\",\"mount_location\":\"/m\"}]}]}";
	struct cache *cache = *state;
	struct bl_config config;
	struct bl_loop loop;
	struct bl_collector collector = {.loop = &loop, .store = cache->store};
	struct bl_works works = {
		.loop = &loop, .store = cache->store, .collector = &collector, .config = &config};
	struct bl_pulls pulls = {
		.loop = &loop, .store = cache->store, .works = &works, .tell = tell_nobody};
	struct bl_prefetch prefetch = {
		.loop = &loop, .pulls = &pulls, .config = &config, .tell = say_nothing};

	assert_ok(cache, bl_config_parse(text, strlen(text), &config, &cache->err));
	assert_ok(cache, bl_loop_init(&loop, &cache->err));
	bl_prefetch_start(&prefetch);
	for (int i = 0; i < 3; i++)
		prefetch.timer.fire(&prefetch.timer);
	assert_int_equal(pulls.count, 2);
	/* One that was cancelled is asked for again. */
	bl_pulls_cancel(pulls.first);
	prefetch.timer.fire(&prefetch.timer);
	assert_int_equal(pulls.count, 2);
	bl_works_stop(&works);
	bl_prefetch_stop(&prefetch);
	bl_pulls_done(&pulls);
	bl_works_done(&works);
	bl_loop_done(&loop);
	bl_config_done(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_under_way_is_not_pulled_once_more,
						cache_setup, cache_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
