// SPDX-License-Identifier: Apache-2.0
/* The server's environment, from the image's, config.json's, passwd's and the spec's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"
#include "common/spec.h"
#include "shim/env.h"
#include "shim/orders.h"

static char said[4096];

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
	size_t len = strlen(said);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(said + len, sizeof(said) - len, fmt, ap);
	va_end(ap);
}

static void build(struct bl_env *env, const char *const *image, const char *const *spec,
		  const char *home, const struct bl_user *user)
{
	struct bl_orders orders = {.env = (const char **)(uintptr_t)spec, .home = home};
	struct bl_err err;

	said[0] = '\0';
	while (spec && spec[orders.env_count])
		orders.env_count++;
	*env = (struct bl_env){0};
	assert_int_equal(bl_env_build(env, image, &orders, user, say, &err), 0);
	assert_null(env->list[env->count]);
}

static void check(const struct bl_env *env, const char *name, const char *value)
{
	const char *got = bl_env_get(env, name);
	size_t times = 0;
	size_t len = strlen(name);

	if (!value)
		return assert_null(got);
	assert_non_null(got);
	assert_string_equal(got, value);
	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->list[i], name, len) == 0 && env->list[i][len] == '=')
			times++;
	assert_int_equal(times, 1);
}

static const char *const no_image[] = {"PATH=/nowhere", NULL};

static void test_defaults(void **state)
{
	struct bl_user user = {.uid = 60000, .gid = 60000};
	auto_env env;

	(void)state;
	build(&env, no_image, NULL, NULL, &user);
	check(&env, "APP_HOME", "/app");
	check(&env, "HOME", "/home/app");
	check(&env, "USER", "app");
	check(&env, "LOGNAME", "app");
	check(&env, "PATH", "/nowhere");
	check(&env, "PYTHON_EXECUTABLE", NULL);
	assert_string_equal(env.home, "/home/app");
}

static void test_image_is_kept(void **state)
{
	static const char *const image[] = {"PATH=/x", "UV_INDEX=1", "APP_HOME=/srv",
					    "USER=me", "PORT=8080",  "HOSTNAME=box",
					    "EMPTY=",  "odd",	     NULL};
	struct bl_user user = {.uid = 1000, .name = "passwd", .home = "/home/passwd"};
	auto_env env;

	(void)state;
	build(&env, image, NULL, NULL, &user);
	check(&env, "UV_INDEX", "1");
	check(&env, "APP_HOME", "/srv");
	check(&env, "USER", "me");
	check(&env, "LOGNAME", "passwd");
	check(&env, "PORT", "8080");
	check(&env, "HOSTNAME", "box");
	check(&env, "EMPTY", "");
	check(&env, "HOME", "/home/passwd");
	assert_string_equal(env.list[7], "odd");
}

static void test_home(void **state)
{
	static const struct {
		const char *config, *passwd;
		uid_t uid;
		const char *expected;
	} cases[] = {
		{"/data", "/home/me", 1000, "/data"},
		{"/", "/home/me", 1000, "/home/me"},
		{"/root", "/home/me", 1000, "/home/me"},
		{"/root", "", 1000, "/home/app"},
		{"/root", "", 0, "/root"},
		{NULL, "/home/me", 1000, "/home/me"},
		{NULL, "/", 1000, "/home/app"},
		{NULL, "relative", 1000, "/home/app"},
		{"relative", "/home/me", 1000, "/home/me"},
		{NULL, "", 0, "/root"},
		{"/srv", "/root", 0, "/srv"},
	};
	static const char *const image[] = {"HOME=/added/by/runtime", NULL};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bl_user user = {.uid = cases[i].uid};
		auto_env env;

		strcpy(user.home, cases[i].passwd);
		build(&env, image, NULL, cases[i].config, &user);
		check(&env, "HOME", cases[i].expected);
	}
}

static void test_spec(void **state)
{
	static const char *const image[] = {"A=image", "B=image", "A=twice", "PATH=/x", NULL};
	static const char *const spec[] = {
		"A=spec",	    "C=one",	       "C=two", "HOME=/mine",
		"LD_PRELOAD=/t.so", "APP_HOME=/other", "E=a=b", NULL};
	struct bl_user user = {.uid = 1000};
	auto_env env;

	(void)state;
	build(&env, image, spec, "/data", &user);
	check(&env, "A", "spec");
	check(&env, "B", "image");
	check(&env, "C", "two");
	check(&env, "HOME", "/mine");
	check(&env, "LD_PRELOAD", "/t.so");
	check(&env, "APP_HOME", "/other");
	check(&env, "E", "a=b");
	assert_string_equal(env.home, "/mine");
	assert_string_equal(env.list[0], "A=spec");
	assert_string_equal(said, "");
}

static void test_reserved(void **state)
{
	static const char *const dropped[] = {
		"PORT=1",	    "HOST=1", "HOSTNAME=1",   "X_SERVICE_HOST=1",
		"X_SERVICE_PORT=1", "PATH=1", "PYTHONPATH=1", "LD_LIBRARY_PATH=1",
		"_SERVICE_PORT=",   NULL};
	static const char *const kept[] = {
		"PORTS=1", "HOSTS=1",	     "MYHOST=1", "port=1", "X_SERVICE_HOSTS=1",
		"PATHS=1", "SERVICE_PORT=1", "Path=1",	 NULL};
	struct bl_user user = {.uid = 1000};
	auto_env env;

	(void)state;
	build(&env, no_image, dropped, NULL, &user);
	assert_int_equal(env.count, 5);
	check(&env, "PATH", "/nowhere");
	assert_non_null(strstr(said, "environment variable LD_LIBRARY_PATH dropped"));
	assert_non_null(strstr(said, "environment variable PORT dropped"));
	assert_null(strstr(said, "=1"));
	bl_env_done(&env);
	build(&env, no_image, kept, NULL, &user);
	assert_int_equal(env.count, 5 + 8);
	assert_string_equal(said, "");
}

static void test_python(void **state)
{
	static const char *const image[] = {"PATH=/nowhere:/usr/bin:/bin", NULL};
	static const char *const own[] = {"PATH=/usr/bin", "PYTHON_EXECUTABLE=/opt/python", NULL};
	struct bl_user user = {.uid = 1000};
	auto_env env;

	(void)state;
	if (access("/usr/bin/python3", X_OK) != 0)
		skip();
	build(&env, image, NULL, NULL, &user);
	check(&env, "PYTHON_EXECUTABLE", "/usr/bin/python3");
	bl_env_done(&env);
	build(&env, own, NULL, NULL, &user);
	check(&env, "PYTHON_EXECUTABLE", "/opt/python");
}

/* Names without end cost no more than their number. */
static void test_many(void **state)
{
	static char names[200000][16];
	static const char *image[200002];
	struct bl_user user = {.uid = 1000};
	auto_env env;

	(void)state;
	for (size_t i = 0; i < 200000; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "N%zu=1", i % 100000);
		image[i] = names[i];
	}
	image[200000] = "PATH=/nowhere";
	build(&env, image, NULL, NULL, &user);
	assert_int_equal(env.count, 100001 + 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_image_is_kept),
		cmocka_unit_test(test_home),	 cmocka_unit_test(test_spec),
		cmocka_unit_test(test_reserved), cmocka_unit_test(test_python),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
