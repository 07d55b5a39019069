// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/truss_config.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

/* Reads the text as a file that messages call by its place alone; 0, or -errno with *err. */
static int read_config(const char *text, struct bl_truss_config *ret, struct bl_err *err)
{
	char path[] = "/tmp/ballast-test-XXXXXX";
	int fd = mkstemp(path);
	char *at;
	int r;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	r = bl_truss_config_read(path, ret, err);
	(void)unlink(path);
	at = strstr(err->msg, path);
	if (r < 0 && at == err->msg)
		memmove(err->msg, err->msg + strlen(path) + 1, strlen(err->msg) - strlen(path));
	return r;
}

static const char *error_of(const char *text)
{
	static struct bl_err err;
	auto_truss_config config = {0};

	err = (struct bl_err){0};
	if (read_config(text, &config, &err) == 0)
		return "accepted";
	assert_true(err.code == BL_EX_CONFIG || err.code == BL_EX_REFUSED);
	return err.msg;
}

static const char *annotation(const struct bl_truss_config *config, const char *key)
{
	const char *text = "";

	return bl_json_get_string(config->annotations, key, &text, NULL) > 0 ? text : "";
}

static void a_whole_config(void **state)
{
	auto_truss_config config = {0};
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(
		read_config("model_name: My model\n"
			    "base_image: {image: a/b:1, python_executable_path: /usr/bin/python3}\n"
			    "docker_server:\n"
			    "  start_command: serve --port 8000\n"
			    "  server_port: 8000\n"
			    "  predict_endpoint: /p\n"
			    "  readiness_endpoint: /h\n"
			    "  liveness_endpoint: /h\n"
			    "  run_as_user_id: 1000\n"
			    "  no_build: yes\n"
			    "environment_variables: {A: 1, B: no, C: x}\n"
			    "secrets: {hf_access_token: null}\n"
			    "resources: {cpu: \"4\", memory: 16Gi, use_gpu: false}\n"
			    "requirements: [torch]\n"
			    "weights:\n"
			    "- {source: a/b, revision: main, mount_location: /m}\n",
			    &config, &err),
		0);
	assert_string_equal(config.model_name, "My model");
	assert_string_equal(config.image, "a/b:1");
	assert_int_equal(config.run_as_user_id, 1000);
	assert_int_equal(config.server_port, 8000);
	assert_true(config.no_build);
	assert_int_equal(config.weights.count, 1);
	assert_string_equal(annotation(&config, BL_KEY_WEIGHTS),
			    "[{\"mount_location\":\"/m\",\"source\":\"hf://a/b@main\"}]");
	assert_string_equal(annotation(&config, BL_KEY_DOCKER_SERVER),
			    "{\"no_build\":true,\"run_as_user_id\":1000,\"start_command\":\"serve "
			    "--port 8000\"}");
	assert_string_equal(annotation(&config, BL_KEY_ENVIRONMENT),
			    "{\"A\":\"1\",\"B\":\"false\",\"C\":\"x\"}");
	assert_string_equal(annotation(&config, BL_KEY_SECRETS), "[\"hf_access_token\"]");
	assert_non_null(strstr(bl_buf_str(&config.warnings), "requirements has no effect"));
}

static void empty_fields_are_no_annotations(void **state)
{
	auto_truss_config config = {0};
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(read_config("weights: []\nsecrets:\nenvironment_variables: {}\n"
				     "model_cache: []\ndocker_server:\n",
				     &config, &err),
			 0);
	assert_int_equal(bl_json_length(config.annotations), 0);
}

static void faults_say_where(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"weights:\n- source: a/b\n  mount_location: m\n",
		 "3: weights[0].mount_location: must be an absolute path (start with /), got: m"},
		{"weights:\n- {source: a/b, mount_location: /m}\n- source: s3://bucket/x\n"
		 "  mount_location: /n\n",
		 "3: weights[1].auth: secret_id is required: s3:// needs credentials; add auth: "
		 "{auth_method: CUSTOM_SECRET, auth_secret_name: NAME}"},
		{"weights: {source: a/b}\n",
		 "1: weights: must be an array of weights items, not an object"},
		{"weights:\n- source: a/b\n  mount_location: 1.5\n",
		 "2: weights: 1.5 is a float in YAML; put it in quotes"},
		{"weight:\n", "1: weight: unknown key, did you mean \"weights\"?"},
		{"docker_server: {start_comand: x}\n",
		 "1: docker_server.start_comand: unknown key, did you mean \"start_command\"?"},
		{"docker_server:\n  run_as_user_id: 0\n",
		 "2: docker_server.run_as_user_id: run_as_user_id cannot be 0. Use a different "
		 "user ID."},
		{"docker_server:\n  run_as_user_id: 60000\n",
		 "2: docker_server.run_as_user_id: run_as_user_id cannot be 60000. Use a different "
		 "user "
		 "ID."},
		{"docker_server:\n  run_as_user_id: \"1000\"\n",
		 "2: docker_server.run_as_user_id: must be an integer, not a string"},
		{"docker_server:\n  run_as_user_id: 4294967296\n",
		 "2: docker_server.run_as_user_id: must be an integer from 1 to 2147483647"},
		{"docker_server:\n  no_build: maybe\n",
		 "2: docker_server.no_build: must be true or false, not a string"},
		{"docker_server:\n  start_command: [a]\n",
		 "2: docker_server.start_command: must be a text, not a list"},
		{"docker_server:\n  start_command: ' '\n",
		 "2: docker_server.start_command: is empty"},
		{"docker_server: {server_port: 70000}\n",
		 "1: docker_server.server_port: must be an integer from 1 to 65535"},
		{"environment_variables: {A: [1]}\n",
		 "1: environment_variables.A: must be a text, not a list"},
		{"environment_variables: {'A=B': x}\n",
		 "1: environment_variables: a name must not be empty or hold \"=\""},
		{"secrets: {../x: null}\n",
		 "1: secrets: ../x is no secret's name (letters, digits, and \".\", \"_\", \"-\" "
		 "between them)"},
		{"model_cache:\n- repo_id: a/b\n",
		 "2: model_cache: is not mounted; `ballast migrate` turns it into weights"},
		{"model_cache:\n- repo_id: a/b\nweights: [{source: a/b, mount_location: /m}]\n",
		 "2: model_cache: Please ensure that only one of `model_cache` and `weights` is "
		 "specified"},
		{"- a\n", "1: the file: must be a mapping, not a list"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(error_of(cases[i].text), cases[i].message);
}

static void a_secret_in_the_file_is_not_used(void **state)
{
	auto_truss_config config = {0};
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(read_config("secrets: {a: TOPSECRET}\n", &config, &err), 0);
	assert_string_equal(annotation(&config, BL_KEY_SECRETS), "[\"a\"]");
	assert_non_null(strstr(bl_buf_str(&config.warnings), "is not used"));
	assert_null(strstr(bl_buf_str(&config.warnings), "TOPSECRET"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_config),
		cmocka_unit_test(empty_fields_are_no_annotations),
		cmocka_unit_test(faults_say_where),
		cmocka_unit_test(a_secret_in_the_file_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
