// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/oci_config.h"
#include "cli/runtime.h"
#include "cli/truss_config.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

static const struct bl_oci_hook hook = {.path = "/x/ballast-hook",
					.shim = "/x/ballast-shim",
					.agent = "unix:/a.sock",
					.timeout = "5m"};

static bl_json *parse(const char *text)
{
	const struct bl_json_limits limits = {.max_bytes = BL_MAX_CONFIG, .absent_nulls = true};
	bl_json *json = NULL;

	assert_int_equal(bl_json_parse(text, strlen(text), &limits, &json, NULL), 0);
	return json;
}

/* Member after member of the path, as canonical text; valid until the next call. */
static const char *at(const bl_json *json, const char *path)
{
	static struct bl_buf buf = {.max = BL_MAX_CONFIG};
	char key[64];

	bl_buf_done(&buf);
	while (*path) {
		size_t len = strcspn(path, ".");

		(void)snprintf(key, sizeof(key), "%.*s", (int)len, path);
		if (bl_json_get(json, key, &json, NULL) <= 0)
			return "";
		path += len + (path[len] == '.');
	}
	assert_int_equal(bl_json_write(&buf, json, NULL), 0);
	return bl_buf_str(&buf);
}

static void with_a_start_command(void **state)
{
	auto_json config = NULL;
	struct bl_err err = {0};
	struct bl_truss_config truss = {.start_command = (char *)"x", .run_as_user_id = 1000};

	(void)state;
	truss.annotations = parse("{\"weights.ballast.dev\":\"[]\"}");
	assert_int_equal(bl_oci_config_base(&config, &err), 0);
	assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
	assert_string_equal(at(config, "process.args"), "[\"/run/ballast/shim\",\"--\"]");
	assert_string_equal(at(config, "process.capabilities.effective"),
			    "[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_SETGID\",\"CAP_SETUID\","
			    "\"CAP_SETPCAP\"]");
	assert_string_equal(at(config, "process.capabilities.ambient"), "");
	assert_string_equal(at(config, "process.noNewPrivileges"), "true");
	assert_string_equal(at(config, "annotations"), "{\"weights.ballast.dev\":\"[]\"}");
	assert_string_equal(
		at(config, "hooks.createRuntime"),
		"[{\"args\":[\"ballast-hook\",\"--agent=unix:/a.sock\",\"--shim=/x/ballast-shim\","
		"\"--timeout=5m\",\"--runtime=none\",\"createRuntime\"],"
		"\"env\":[\"PATH=/usr/sbin:/usr/bin:/sbin:/bin\"],\"path\":\"/x/ballast-hook\","
		"\"timeout\":330}]");
	bl_json_free(&truss.annotations);
}

static void twice_is_once(void **state)
{
	auto_json config = parse(
		"{\"process\":{\"args\":[\"serve\",\"--x\"],\"user\":{\"uid\":0,\"gid\":0}},"
		"\"annotations\":{\"a\":\"b\",\"weights.ballast.dev\":\"old\"},"
		"\"hooks\":{\"prestart\":[{\"path\":\"/old/ballast-hook\"}],"
		"\"createRuntime\":[{\"path\":\"/other\"},{\"path\":\"/old/ballast-hook\"}]}}");
	struct bl_err err = {0};
	struct bl_truss_config truss = {0};
	auto_free char *once = NULL;

	(void)state;
	truss.annotations = parse("{\"secrets.ballast.dev\":\"[]\"}");
	assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
	once = strdup(at(config, ""));
	assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
	assert_string_equal(at(config, ""), once);
	assert_string_equal(at(config, "process.args"),
			    "[\"/run/ballast/shim\",\"--\",\"serve\",\"--x\"]");
	assert_string_equal(at(config, "annotations"),
			    "{\"a\":\"b\",\"secrets.ballast.dev\":\"[]\"}");
	assert_string_equal(at(config, "hooks.prestart"), "");
	assert_non_null(strstr(at(config, "hooks.createRuntime"), "\"/other\""));
	assert_null(strstr(at(config, "hooks.createRuntime"), "/old/"));
	bl_json_free(&truss.annotations);
}

static void null_is_absent(void **state)
{
	auto_json config =
		parse("{\"process\":{\"args\":[\"serve\"],\"user\":null,\"capabilities\":null},"
		      "\"annotations\":null,\"hooks\":null}");
	auto_json again = NULL;
	struct bl_err err = {0};
	struct bl_truss_config truss = {0};

	(void)state;
	truss.annotations = parse("{}");
	assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
	again = parse(at(config, "")); /* no key stands twice */
	assert_string_equal(at(again, "process.args"), "[\"/run/ballast/shim\",\"--\",\"serve\"]");
	assert_string_equal(at(again, "annotations"), "{\"docker-server.ballast.dev\":\"{}\"}");
	assert_non_null(strstr(at(again, "hooks.createRuntime"), "ballast-hook"));
	bl_json_free(&truss.annotations);
}

static void the_shim_keeps_its_option(void **state)
{
	auto_json config =
		parse("{\"process\":{\"args\":[\"/run/ballast/shim\",\"--init\",\"serve\"]}}");
	struct bl_err err = {0};
	struct bl_truss_config truss = {0};

	(void)state;
	truss.annotations = parse("{}");
	assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
	assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
	assert_string_equal(at(config, "process.args"),
			    "[\"/run/ballast/shim\",\"--init\",\"--\",\"serve\"]");
	bl_json_free(&truss.annotations);
}

static void privileges_only_to_change_the_user(void **state)
{
	static const struct {
		int64_t run_as;
		const char *user, *effective;
	} cases[] = {
		{0, "{\"gid\":5,\"uid\":7}", ""},
		{7, "{\"gid\":5,\"uid\":7}", ""},
		{8, "{\"gid\":0,\"uid\":0}", "CAP_SETUID"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_json config =
			parse("{\"process\":{\"args\":[\"x\"],\"user\":{\"uid\":7,\"gid\":5},"
			      "\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"]}}}");
		struct bl_truss_config truss = {.run_as_user_id = cases[i].run_as};
		struct bl_err err = {0};

		truss.annotations = parse("{}");
		assert_int_equal(bl_oci_config_add_ballast(config, &truss, &hook, &err), 0);
		assert_string_equal(at(config, "process.user"), cases[i].user);
		assert_non_null(
			strstr(at(config, "process.capabilities.effective"), cases[i].effective));
		assert_null(strstr(at(config, "process.capabilities"), "SYS_ADMIN"));
		bl_json_free(&truss.annotations);
	}
}

static void nothing_to_run(void **state)
{
	auto_json config = NULL;
	struct bl_err err = {0};
	struct bl_truss_config truss = {0};

	(void)state;
	assert_int_equal(bl_oci_config_base(&config, &err), 0);
	assert_true(bl_oci_config_add_ballast(config, &truss, &hook, &err) < 0);
	assert_int_equal(err.code, BL_EX_CONFIG);
	assert_non_null(strstr(err.msg, "there is nothing to run"));
}

static void an_image_s_configuration(void **state)
{
	auto_json config = NULL;
	auto_json image =
		parse("{\"config\":{\"Entrypoint\":[\"/serve\"],\"Cmd\":[\"--port\",\"1\"],"
		      "\"Env\":[\"A=1\"],\"WorkingDir\":\"/w\",\"User\":\"1000:100\"}}");
	auto_json named =
		parse("{\"config\":{\"Cmd\":[\"x\"],\"User\":\"app\",\"Entrypoint\":null}}");
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(bl_oci_config_base(&config, &err), 0);
	assert_int_equal(bl_oci_config_take_image(config, image, &err), 0);
	assert_string_equal(at(config, "process.args"), "[\"/serve\",\"--port\",\"1\"]");
	assert_string_equal(at(config, "process.env"),
			    "[\"A=1\",\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
			    "/sbin:/bin\"]");
	assert_string_equal(at(config, "process.cwd"), "\"/w\"");
	assert_string_equal(at(config, "process.user"), "{\"gid\":100,\"uid\":1000}");
	assert_true(bl_oci_config_take_image(config, named, &err) < 0);
	assert_non_null(strstr(
		err.msg, "the image's /etc/passwd has no \"app\"; write its uid and gid there"));
}

static void networks(void **state)
{
	auto_json config = NULL;
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(bl_oci_config_base(&config, &err), 0);
	assert_int_equal(bl_oci_config_set_network(config, false, &err), 0);
	assert_int_equal(bl_oci_config_set_network(config, false, &err), 0);
	assert_string_equal(at(config, "linux.namespaces"),
			    "[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},"
			    "{\"type\":\"mount\"},{\"type\":\"network\"}]");
	assert_int_equal(bl_oci_config_set_network(config, true, &err), 0);
	assert_null(strstr(at(config, "linux.namespaces"), "network"));
}

static void what_a_runtime_says_of_a_hook(void **state)
{
	static const struct {
		const char *said, *message;
		int code;
	} cases[] = {
		{"runc create failed: unable to start container process: error during container "
		 "init: "
		 "error running hook #0: error running hook: exit status 77, stdout: , stderr: "
		 "ballast-hook: error: no\n",
		 "the container was not started: no", 77},
		{"ballast-hook: error: later\n\nerror executing hook `/x` (exit code: 75)\n",
		 "the container was not started: later", 75},
		{"ballast-hook: attached: 1 weights set(s) in 3 ms\n\nerror executing hook `/x` "
		 "(exit "
		 "code: 1)\n",
		 "the runtime did not create the container: error executing hook `/x` (exit code: "
		 "1)",
		 BL_EX_INTERNAL},
		{"ballast-hook: attached: 1 weights set(s) in 3 ms\n",
		 "the runtime did not create the container: it did not say why", BL_EX_INTERNAL},
		{"\nruntime broke\nmore\n",
		 "the runtime did not create the container: runtime broke", BL_EX_INTERNAL},
		{"", "the runtime did not create the container: it did not say why",
		 BL_EX_INTERNAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bl_err err = {0};

		assert_true(bl_runtime_explain(cases[i].said, &err) < 0);
		assert_string_equal(err.msg, cases[i].message);
		assert_int_equal(err.code, cases[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_a_start_command),
		cmocka_unit_test(twice_is_once),
		cmocka_unit_test(null_is_absent),
		cmocka_unit_test(the_shim_keeps_its_option),
		cmocka_unit_test(privileges_only_to_change_the_user),
		cmocka_unit_test(nothing_to_run),
		cmocka_unit_test(an_image_s_configuration),
		cmocka_unit_test(networks),
		cmocka_unit_test(what_a_runtime_says_of_a_hook),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
