// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "agent/config.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

static void defaults_are_those_of_the_contract(void **state)
{
	struct bl_config config;

	(void)state;
	assert_int_equal(bl_config_parse("{}", 2, &config, NULL), 0);
	assert_int_equal(config.authorisation_ttl, 24 * 3600);
	assert_int_equal(config.authorisation_grace, 7 * 24 * 3600);
	assert_int_equal(config.lease_grace, 15 * 60);
	assert_true(config.socket_group == (gid_t)-1);
	assert_false(bl_config_group_may(&config, "team-a"));
	assert_int_equal(bl_config_tenant_quota(&config, "team-a"), 0);
	bl_config_done(&config);
}

static void values_have_units(void **state)
{
	static const char text[] =
		"{\"lease_grace\":\"90s\",\"authorisation_ttl\":\"2h\",\"authorisation_grace\":"
		"\"1d\","
		"\"quotas\":{\"cache\":\"2GiB\",\"tenant\":5,\"tenants\":{\"team-a\":\"1KB\"}},"
		"\"watermarks\":{\"high\":70,\"low\":60},\"group_tenants\":[\"team-g\"]}";
	struct bl_config config;

	(void)state;
	assert_int_equal(bl_config_parse(text, strlen(text), &config, NULL), 0);
	assert_int_equal(config.lease_grace, 90);
	assert_int_equal(config.authorisation_ttl, 7200);
	assert_int_equal(config.authorisation_grace, 86400);
	assert_int_equal(config.cache_quota, 2ULL << 30);
	assert_int_equal(bl_config_tenant_quota(&config, "team-a"), 1000);
	assert_int_equal(bl_config_tenant_quota(&config, "team-b"), 5);
	assert_int_equal(config.high_water, 70);
	assert_true(bl_config_group_may(&config, "team-g"));
	assert_false(bl_config_group_may(&config, "team-a"));
	bl_config_done(&config);
}

static void a_job_gets_its_part_alone(void **state)
{
	static const char text[] = "{\"endpoints\":{\"hf\":\"http://h\"},\"lease_grace\":\"1s\","
				   "\"environment\":{\"A\":\"b\"}}";
	const bl_json *value;
	struct bl_config config;

	(void)state;
	assert_int_equal(bl_config_parse(text, strlen(text), &config, NULL), 0);
	assert_int_equal(bl_json_get(config.job, "endpoints", &value, NULL), 1);
	assert_int_equal(bl_json_get(config.job, "lease_grace", &value, NULL), 0);
	assert_int_equal(bl_json_get(config.job, "environment", &value, NULL), 0);
	assert_non_null(config.environment);
	bl_config_done(&config);
}

static void what_is_wrong_names_its_key(void **state)
{
	static const struct {
		const char *text, *key;
	} bad[] = {
		{"{\"lease_grac\":\"1m\"}", "lease_grac"},
		{"{\"lease_grace\":60}", "lease_grace"},
		{"{\"lease_grace\":\"1 m\"}", "lease_grace"},
		{"{\"lease_grace\":\"999999999999999d\"}", "lease_grace"},
		{"{\"endpoints\":{\"hf\":1}}", "endpoints"},
		{"{\"endpoints\":{\"hg\":\"http://x\"}}", "endpoints"},
		{"{\"endpoints\":{\"s3\":\"https://{bucket}.{bucket}.x\"}}", "endpoints"},
		{"{\"endpoints\":{\"hf\":\"https://x/#a\"}}", "endpoints"},
		{"{\"allowed_origins\":[\"https://x/a\"]}", "allowed_origins"},
		{"{\"allowed_origins\":[\"https://u@x\"]}", "allowed_origins"},
		{"{\"allowed_origins\":[\"https://\"]}", "allowed_origins"},
		{"{\"allowed_networks\":[\"10.0.0.0\"]}", "allowed_networks"},
		{"{\"allowed_networks\":[\"::/129\"]}", "allowed_networks"},
		{"{\"allowed_networks\":[\"10.0.0.0/8x\"]}", "allowed_networks"},
		{"{\"file_roots\":[\"srv\"]}", "file_roots"},
		{"{\"proxy\":{\"no_proxy\":[]}}", "proxy"},
		{"{\"proxy\":{\"url\":\"http://p\",\"user\":\"x\"}}", "proxy"},
		{"{\"quotas\":{\"cache\":1.5}}", "byte"},
		{"{\"quotas\":{\"tenant\":\"5 GB\"}}", "quotas: tenant: expected a size"},
		{"{\"quotas\":{\"tenants\":{\"a\":\"x\"}}}", "quotas: tenants.a: expected a size"},
		{"{\"quotas\":{\"tenants\":{\"team a\":1}}}",
		 "quotas: tenants: 'team a' is no tenant's name"},
		{"{\"group_tenants\":[\"team-a\",\"team-*\"]}",
		 "group_tenants: 'team-*' is no tenant's name"},
		{"{\"watermarks\":{\"low\":95}}", "watermarks"},
		{"{\"max_jobs\":0}", "max_jobs"},
		{"{\"environment\":{\"A=B\":\"x\"}}", "environment"},
		{"{\"proxy\":{\"url\":\"http://p\",\"no_proxy\":[1]}}", "proxy: no_proxy: "},
		{"{\"prefetch\":[{\"tenant\":\"a\"}]}", "prefetch: [0]: weights: is missing"},
		{"{\"prefetch\":[{\"weights\":[]},{\"tenant\":\"../a\",\"weights\":[]}]}",
		 "prefetch: [1]: tenant: '../a' is no tenant's name"},
		{"[]", "object"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct bl_config config;
		struct bl_err err = {0};

		assert_true(bl_config_parse(bad[i].text, strlen(bad[i].text), &config, &err) < 0);
		if (!strstr(err.msg, bad[i].key))
			print_error("%s: %s\n", bad[i].text, err.msg);
		assert_non_null(strstr(err.msg, bad[i].key));
		assert_int_equal(err.code, BL_EX_CONFIG);
	}
}

/* fetch takes no longer list: every download would fail. */
static void a_list_is_no_longer_than_fetch_takes(void **state)
{
	for (int more = 0; more < 2; more++) {
		auto_buf text = BL_BUF_INIT(1024 * 1024);
		struct bl_config config;
		struct bl_err err = {0};

		(void)state;
		assert_int_equal(bl_buf_puts(&text, "{\"allowed_networks\":[\"::/0\"", NULL), 0);
		for (int i = 1; i < BL_MAX_CONFIG_LIST + more; i++)
			assert_int_equal(bl_buf_puts(&text, ",\"::/0\"", NULL), 0);
		assert_int_equal(bl_buf_puts(&text, "]}", NULL), 0);
		if (more) {
			assert_true(bl_config_parse(bl_buf_str(&text), text.len, &config, &err) <
				    0);
			assert_string_equal(err.msg, "allowed_networks: more than 1024 entries");
			continue;
		}
		assert_int_equal(bl_config_parse(bl_buf_str(&text), text.len, &config, &err), 0);
		bl_config_done(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_contract),
		cmocka_unit_test(values_have_units),
		cmocka_unit_test(a_job_gets_its_part_alone),
		cmocka_unit_test(what_is_wrong_names_its_key),
		cmocka_unit_test(a_list_is_no_longer_than_fetch_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
