// SPDX-License-Identifier: Apache-2.0
/* The plan: annotations, config.json and options in, what is to be done (or why not) out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"
#include "hook/annotations.h"
#include "hook/bundle.h"
#include "hook/options.h"
#include "hook/plan.h"

#define CAPS                                                                                   \
	"\"capabilities\":{\"bounding\":[\"CAP_SETUID\",\"CAP_SETGID\"],\"effective\":[\"CAP_" \
	"SETUID\",\"CAP_SETGID\"]" MORE_CAPS "}"
#define MORE_CAPS                                                                               \
	",\"permitted\":[\"CAP_SETUID\",\"CAP_SETGID\"],\"inheritable\":[\"CAP_SETUID\",\"CAP_" \
	"SETGID\"],\"ambient\":[\"CAP_SETUID\",\"CAP_SETGID\"]"
#define IDS    "[\"CAP_SETUID\",\"CAP_SETGID\"]"
#define MOUNTS "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]},\"root\":{\"path\":\"rootfs\"}"
#define WEIGHTS(location) \
	"[{\\\"source\\\":\\\"hf://o/r\\\",\\\"mount_location\\\":\\\"" location "\\\"}]"

/* A config.json whose process has these args and user, with these annotations (members of JSON). */
static char config[16384];

static const char *with(const char *args, int uid, const char *annotations)
{
	(void)snprintf(config, sizeof(config),
		       "{\"process\":{\"args\":[%s],\"user\":{\"uid\":%d,\"gid\":%d}," CAPS
		       "}," MOUNTS ",\"annotations\":{%s}}",
		       args, uid, uid, annotations);
	return config;
}

struct made {
	struct bl_bundle bundle;
	struct bl_annotations annotations;
	struct bl_plan plan;
	struct bl_err err;
	int ret;
};

static struct bl_options options_of(const char *argument)
{
	char *argv[] = {(char *)"ballast-hook", (char *)argument, NULL};
	struct bl_options options;
	struct bl_err err;

	assert_int_equal(bl_options_parse(argument ? 2 : 1, argv, &options, &err), 0);
	return options;
}

static void make(struct made *made, const char *text, const char *argument)
{
	struct bl_options options = options_of(argument);

	memset(made, 0, sizeof(*made));
	made->ret = bl_bundle_parse(text, strlen(text), "/b", &made->bundle, &made->err);
	if (made->ret >= 0)
		made->ret = bl_annotations_read(made->bundle.annotations, &options,
						&made->annotations, &made->err);
	if (made->ret >= 0)
		made->ret = bl_plan_make(&made->annotations, &made->bundle, &options, &made->plan,
					 &made->err);
}

static void done(struct made *made)
{
	bl_plan_done(&made->plan);
	bl_bundle_done(&made->bundle);
}

#define SHIM	     "\"/run/ballast/shim\""
#define SERVER(text) "\"docker-server.ballast.dev\":\"" text "\""
#define POD                                                                                      \
	"\"io.kubernetes.cri.sandbox-id\":\"s\",\"io.kubernetes.cri.container-type\":"           \
	"\"container\","                                                                         \
	"\"io.kubernetes.cri.sandbox-namespace\":\"team\",\"io.kubernetes.cri.container-name\":" \
	"\"web\""

#define IN_NAMESPACE(name)                                                             \
	"\"io.kubernetes.cri.sandbox-id\":\"s\",\"io.kubernetes.cri.container-type\":" \
	"\"container\",\"io.kubernetes.cri.sandbox-namespace\":\"" name "\""

/* What is refused, with which status, and a part of the message. */
static void test_refused(void **state)
{
	static const struct {
		const char *args;
		int uid;
		const char *annotations;
		int code;
		const char *message;
	} cases[] = {
		{"\"x\"", 0, "\"weights.ballast.dev\":\"" WEIGHTS("/proc/x") "\"", 77,
		 "[0].mount_location: nothing may be"},
		{"\"x\"", 0, "\"weights.ballast.dev\":\"" WEIGHTS("/") "\"", 0,
		 "weights.ballast.dev"},
		{"\"x\"", 0, "\"weights.ballast.dev\":\"" WEIGHTS("/run/ballast/x") "\"", 77,
		 "/run/ballast"},
		{"\"x\"", 0, "\"weights.ballast.dev\":\"{}\"", 64, "weights.ballast.dev: "},
		{"\"x\"", 0, "\"weights.ballast.dev\":1", 64, "must be a string"},
		{"\"x\"", 0, "\"weights.ballast.dev\":\"\"", 64, "weights.ballast.dev"},
		{"\"x\"", 0, "\"wieghts.ballast.dev\":\"[]\"", 64, "unknown annotation"},
		{"\"x\"", 0, "\"weights.Ballast.dev\":\"[]\"", 64, "unknown annotation"},
		{"\"x\"", 0, "\"weights.ballast.dev/web\":\"[]\"", 64, "unknown annotation"},
		{"\"x\"", 0, "\"weights.ballast.dev/container.\":\"[]\"", 64, "unknown annotation"},
		{"\"x\"", 0, "\"weights.ballast.dev/container.web\":\"[]\"", 64,
		 "no container name"},
		{"\"x\"", 0, "\"weights.ballast.dev/pod\":\"[]\"", 64, "no container name"},
		{"\"x\"", 0, SERVER("{\\\"start_command\\\":\\\"s\\\"}"), 64,
		 "begin with \"/run/ballast/shim\""},
		{SHIM, 0, SERVER("{\\\"start_command\\\":\\\"  \\\"}"), 64,
		 "start_command: is empty"},
		{SHIM, 0, SERVER("{\\\"start_comand\\\":\\\"s\\\"}"), 64,
		 "did you mean \"start_command\""},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":0}"), 64, "not allowed"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":60000}"), 64, "not allowed"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":-1}"), 64, "run_as_user_id"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":2147483648}"), 64, "run_as_user_id"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":4294967295}"), 64, "run_as_user_id"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":4294967296}"), 64, "run_as_user_id"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":0.5}"), 64, "fraction"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":1e3}"), 64, "exponent"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":\\\" 1\\\"}"), 64, "must be an integer"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":\\\"root\\\"}"), 64,
		 "must be an integer"},
		{SHIM, 0, SERVER("{\\\"run_as_user_id\\\":null}"), 64, "must be an integer"},
		{"\"x\"", 5, SERVER("{\\\"run_as_user_id\\\":6}"), 64, "process.user.uid is 5"},
		{"\"x\"", 0, SERVER("{\\\"init\\\":true}"), 64, "init: needs the shim"},
		{"\"x\"", 0, "\"environment-variables.ballast.dev\":\"{}\"", 64, "needs the shim"},
		{SHIM, 0, "\"environment-variables.ballast.dev\":\"{\\\"A=\\\":\\\"b\\\"}\"", 64,
		 "no variable's name"},
		{SHIM, 0, "\"environment-variables.ballast.dev\":\"{\\\"A\\\":1}\"", 64,
		 "must be a string"},
		{"\"x\"", 0, "\"secrets.ballast.dev\":\"[\\\"../a\\\"]\"", 64, "no secret's name"},
		{"\"x\"", 0, "\"secrets.ballast.dev\":\"[\\\"a\\\",\\\"a\\\"]\"", 64, "twice"},
		{"\"x\"", 0, "\"secrets.ballast.dev\":\"{}\"", 64, "must be an array"},
		{"\"x\"", 0, "\"wait.ballast.dev\":\"{\\\"on_timeout\\\":\\\"defer\\\"}\"", 64,
		 "needs the shim"},
		{"\"x\"", 0, "\"wait.ballast.dev\":\"{\\\"timeout\\\":\\\"0s\\\"}\"", 64,
		 "wait.ballast.dev: timeout: '0s' is no time"},
		{"\"x\"", 0, "\"wait.ballast.dev\":\"{\\\"on_timeout\\\":\\\"x\\\"}\"", 64,
		 "wait.ballast.dev: on_timeout: 'x' is neither"},
		{"\"x\"", 0, "\"wait.ballast.dev\":\"{\\\"timeout\\\":5}\"", 64,
		 "must be a string"},
		{"\"x\"", 0, POD "," SERVER("{}"), 64, "docker-server.ballast.dev/container.web"},
		/* Whose it is, is not known; not nobody's. */
		{"\"x\"", 0, "\"io.kubernetes.cri-o.SandboxID\":null", 77, "cri-o.ContainerType"},
		{"\"x\"", 0, POD ",\"environment-variables.ballast.dev\":\"{}\"", 64,
		 "environment-variables.ballast.dev/container.web"},
		{"\"x\"", 0, POD ",\"secrets.ballast.dev\":\"[]\"", 64,
		 "secrets.ballast.dev/container.web"},
		{"\"x\"", 0, POD ",\"wait.ballast.dev\":\"{}\"", 64,
		 "wait.ballast.dev/container.web"},
		{"\"x\"", 0,
		 "\"io.kubernetes.cri.sandbox-id\":\"s\",\"weights.ballast.dev\":\"[]\"", 77,
		 "container-type"},
		{"\"x\"", 0, IN_NAMESPACE("..") ",\"weights.ballast.dev\":\"[]\"", 77,
		 "no namespace"},
		{"\"x\"", 0, IN_NAMESPACE("a/b") ",\"weights.ballast.dev\":\"[]\"", 77,
		 "no namespace"},
		{"\"x\"", 0, IN_NAMESPACE("") ",\"weights.ballast.dev\":\"[]\"", 77,
		 "no namespace"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		make(&made, with(cases[i].args, cases[i].uid, cases[i].annotations), NULL);
		if (made.ret >= 0 || (cases[i].code && made.err.code != cases[i].code) ||
		    !strstr(made.err.msg, cases[i].message))
			fail_msg("%s: %d, %d \"%s\", expected %d \"%s\"", cases[i].annotations,
				 made.ret, made.err.code, made.err.msg, cases[i].code,
				 cases[i].message);
		done(&made);
	}
}

/* Puts the value where the form has an @. */
static void fill(char *to, const char *form, const char *value)
{
	for (; *form; form++)
		to += sprintf(to, *form == '@' ? "%s" : "%.1s", *form == '@' ? value : form);
}

/* Whatever is in a value, what is to be done about it is still said. */
static void test_long_values(void **state)
{
	static const struct {
		const char *annotations, *message;
	} cases[] = {
		{"\"@.ballast.dev\":\"\"", "each alone or with /container.NAME or /pod"},
		{"\"weights.ballast.dev/@\":\"\"", "each alone or with /container.NAME or /pod"},
		{"\"weights.ballast.dev/container.@\":\"\"", "write weights.ballast.dev"},
		{SERVER("{\\\"@\\\":1}"), "unknown key"},
		{SERVER("{\\\"@\\\":1,\\\"@\\\":1}"), "stands twice in one object"},
		{"\"environment-variables.ballast.dev\":\"{\\\"@\\\":1}\"", "write it in quotes"},
		{"\"environment-variables.ballast.dev\":\"{\\\"@=\\\":\\\"\\\"}\"",
		 "is no variable's name"},
		{"\"wait.ballast.dev\":\"{\\\"timeout\\\":\\\"@\\\"}\"",
		 "such as \"90s\" or \"5m\""},
		{"\"wait.ballast.dev\":\"{\\\"on_timeout\\\":\\\"@\\\"}\"",
		 "is neither \"fail\" nor \"defer\""},
	};
	char value[1024];

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char annotations[4096];
		struct made made;

		fill(annotations, cases[i].annotations, value);
		make(&made, with(SHIM, 0, annotations), NULL);
		assert_true(made.ret < 0);
		if (!strstr(made.err.msg, cases[i].message))
			fail_msg("%s: \"%s\"", cases[i].annotations, made.err.msg);
		done(&made);
	}
}

/* Runtimes take it as absent; of capabilities nothing is known then. */
static void test_null_in_config(void **state)
{
	struct made made;

	(void)state;
	make(&made,
	     "{\"process\":{\"args\":null,\"env\":null,\"cwd\":null,\"user\":null,\"capabilities\":"
	     "null},"
	     "\"linux\":{\"namespaces\":[{\"type\":\"mount\",\"path\":null}],\"mountLabel\":null,"
	     "\"maskedPaths\":null},\"root\":{\"path\":\"rootfs\"},\"mounts\":null,\"annotations\":"
	     "{"
	     "\"weights.ballast.dev\":\"" WEIGHTS("/w") "\"}}",
	     NULL);
	assert_int_equal(made.ret, 0);
	assert_true(made.plan.superblock);
	assert_int_equal(made.plan.weights.count, 1);
	done(&made);
	make(&made,
	     "{\"process\":{\"capabilities\":{\"bounding\":null}},\"root\":null,\"annotations\":"
	     "null," MOUNTS "}",
	     NULL);
	assert_true(made.ret < 0); /* root stands twice, null or not */
	done(&made);
	make(&made,
	     "{\"process\":{\"capabilities\":{\"bounding\":null}},\"root\":null,\"annotations\":"
	     "null,"
	     "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}",
	     NULL);
	assert_int_equal(made.ret, 0);
	assert_false(made.plan.superblock);
	assert_null(made.bundle.rootfs);
	done(&made);
}

static void test_places_in_config(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"{\"root\":1}", "config.json: root: must be an object, not a number"},
		{"{\"root\":{\"path\":1}}",
		 "config.json: root.path: must be a string, not a number"},
		{"{\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"mount\",\"path\":1}]}"
		 "}",
		 "config.json: linux.namespaces[1].path: must be a string, not a number"},
		{"{\"linux\":{\"maskedPaths\":[1]}}",
		 "config.json: linux.maskedPaths[0]: must be a string, not a number"},
		{"{\"process\":{\"user\":{\"uid\":-1}}}", "config.json: process.user.uid: must be"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		make(&made, cases[i].text, NULL);
		assert_true(made.ret < 0);
		assert_int_equal(made.err.code, BL_EX_CONFIG);
		if (!strstr(made.err.msg, cases[i].message))
			fail_msg("%s: \"%s\"", cases[i].text, made.err.msg);
		done(&made);
	}
}

/* What lies beneath a mount_location would be hidden; what lies on it is for the attach to judge. */
static void test_mounts_of_the_container(void **state)
{
	static const struct {
		const char *destination;
		bool hidden;
	} cases[] = {
		{"/models/a/b", true}, {"/models/a/b/", true}, {"/models/a", false},
		{"/models/a/", false}, {"/models/ab", false},  {"/models", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		(void)snprintf(
			config, sizeof(config),
			"{\"process\":{\"args\":[\"x\"],\"user\":{\"uid\":0}}," MOUNTS
			",\"mounts\":[{\"destination\":\"%s\"}],"
			"\"annotations\":{\"weights.ballast.dev\":\"" WEIGHTS("/models/a") "\"}}",
			cases[i].destination);
		make(&made, config, NULL);
		if ((made.ret < 0) != cases[i].hidden ||
		    (made.ret < 0 &&
		     !strstr(made.err.msg, "[0].mount_location: the weights would hide")))
			fail_msg("%s: %d \"%s\"", cases[i].destination, made.ret, made.err.msg);
		done(&made);
	}
}

static void test_users(void **state)
{
	static const struct {
		const char *args;
		int uid;
		const char *server;
		uint32_t expected;
	} cases[] = {
		{"\"x\"", 7, "{}", 7},
		{"\"x\"", 7, "{\\\"run_as_user_id\\\":7}", 7},
		{SHIM, 0, "{}", 60000},
		{SHIM, 0, "{\\\"no_build\\\":true}", 0},
		{SHIM, 7, "{}", 7},
		{SHIM, 0, "{\\\"run_as_user_id\\\":1000}", 1000},
		{SHIM, 7, "{\\\"run_as_user_id\\\":2147483647,\\\"no_build\\\":true}", 2147483647},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char annotation[512];
		struct made made;

		(void)snprintf(annotation, sizeof(annotation), SERVER("%s"), cases[i].server);
		make(&made, with(cases[i].args, cases[i].uid, annotation), NULL);
		assert_int_equal(made.ret, 0);
		assert_int_equal(made.plan.server_uid, cases[i].expected);
		done(&made);
	}
}

static void test_no_right_to_set_ids(void **state)
{
	struct made made;

	(void)state;
	make(&made,
	     "{\"process\":{\"args\":[" SHIM "],\"user\":{\"uid\":0},\"capabilities\":{}}," MOUNTS
	     ",\"annotations\":{" SERVER("{\\\"run_as_user_id\\\":5}") "}}",
	     NULL);
	assert_int_equal(made.err.code, BL_EX_CONFIG);
	assert_non_null(strstr(made.err.msg, "CAP_SETUID and CAP_SETGID"));
	done(&made);
}

/* Over execve(2) root has what is bounding or inheritable, whatever was effective before. */
static void test_root_and_nothing_bounding(void **state)
{
	static const struct {
		const char *sets;
		bool may;
	} cases[] = {
		{"\"effective\":" IDS ",\"permitted\":" IDS, false},
		{"\"effective\":" IDS ",\"permitted\":" IDS ",\"bounding\":[\"CAP_SETUID\"]",
		 false},
		{"\"effective\":" IDS ",\"permitted\":" IDS ",\"inheritable\":" IDS, true},
		{"\"effective\":" IDS ",\"bounding\":" IDS, true},
		{"\"bounding\":" IDS, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		(void)snprintf(config, sizeof(config),
			       "{\"process\":{\"args\":[" SHIM
			       "],\"user\":{\"uid\":0},\"capabilities\":{%s}}," MOUNTS "}",
			       cases[i].sets);
		make(&made, config, NULL);
		assert_int_equal(made.ret >= 0, cases[i].may);
		done(&made);
	}
}

/* As Kubernetes and Docker have it for a user that is not root: nothing of it outlives execve(2). */
static void test_not_root_and_nothing_ambient(void **state)
{
	struct made made;

	(void)state;
	make(&made,
	     "{\"process\":{\"args\":[" SHIM
	     "],\"user\":{\"uid\":1000},\"capabilities\":{\"bounding\":["
	     "\"CAP_SETUID\",\"CAP_SETGID\"],\"permitted\":[\"CAP_SETUID\",\"CAP_SETGID\"],"
	     "\"effective\":[\"CAP_SETUID\",\"CAP_SETGID\"]}}," MOUNTS
	     ",\"annotations\":{" SERVER("{\\\"run_as_user_id\\\":2000}") "}}",
	     NULL);
	assert_int_equal(made.err.code, BL_EX_CONFIG);
	assert_non_null(strstr(made.err.msg, "CAP_SETUID and CAP_SETGID"));
	done(&made);
}

#define INSIDE(cwd, wait)                                                                  \
	"{\"process\":{\"args\":[" SHIM "],\"cwd\":\"" cwd "\",\"user\":{\"uid\":0}," CAPS \
	"}," MOUNTS ",\"annotations\":{\"weights.ballast.dev\":\"" WEIGHTS("/a") "\"" wait "}}"

static void test_directory_in_late_weights(void **state)
{
	static const struct {
		const char *config;
		int ret;
		bool defer;
	} cases[] = {
		{INSIDE("/", ""), 0, true},
		{INSIDE("/a", ""), 0, true},
		{INSIDE("/a/", ""), 0, true},
		{INSIDE("/ab", ""), 0, true},
		{INSIDE("/a/b", ""), 0, false},
		{INSIDE("/a/b", ",\"wait.ballast.dev\":\"{\\\"on_timeout\\\":\\\"fail\\\"}\""), 0,
		 false},
		{INSIDE("/a/b", ",\"wait.ballast.dev\":\"{\\\"on_timeout\\\":\\\"defer\\\"}\""),
		 -EINVAL, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		make(&made, cases[i].config, NULL);
		if (made.ret != cases[i].ret ||
		    (made.ret == 0 && made.plan.defer != cases[i].defer))
			fail_msg("%s: %d \"%s\"", cases[i].config, made.ret, made.err.msg);
		done(&made);
	}
}

static void test_null_is_not_set(void **state)
{
	struct made made;

	(void)state;
	make(&made,
	     with("\"x\"", 0,
		  SERVER("{\\\"start_command\\\":null,\\\"no_build\\\":null,\\\"init\\\":null}")),
	     NULL);
	assert_int_equal(made.ret, 0);
	assert_null(made.plan.start_command);
	assert_false(made.plan.no_build || made.plan.init);
	done(&made);
}

static void test_scopes(void **state)
{
	static const struct {
		const char *annotations;
		size_t expected;
	} cases[] = {
		{POD ",\"weights.ballast.dev\":\"" WEIGHTS("/a") "\"", 1},
		{POD ",\"weights.ballast.dev\":\"[]\",\"weights.ballast.dev/pod\":\"" WEIGHTS(
			 "/a") "\"",
		 1},
		{POD ",\"weights.ballast.dev/pod\":\"" WEIGHTS(
			 "/a") "\",\"weights.ballast.dev/container.web\":\"[]\"",
		 0},
		{POD ",\"weights.ballast.dev/container.web\":\"[]\",\"weights.ballast.dev/"
		     "pod\":\"" WEIGHTS("/a") "\"",
		 0},
		{POD ",\"weights.ballast.dev/container.other\":\"" WEIGHTS("/a") "\"", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		make(&made, with("\"x\"", 0, cases[i].annotations), NULL);
		assert_int_equal(made.ret, 0);
		assert_int_equal(made.plan.weights.count, cases[i].expected);
		assert_string_equal(made.plan.tenant, "team");
		assert_string_equal(made.plan.container, "web");
		done(&made);
	}
}

static void test_waiting(void **state)
{
	struct made made;

	(void)state;
	make(&made, with(SHIM, 1, ""), NULL);
	assert_true(made.plan.defer);
	assert_int_equal(made.plan.timeout, 90000);
	done(&made);
	make(&made, with("\"x\"", 1, ""), "--on-timeout=defer");
	assert_false(made.plan.defer);
	done(&made);
	make(&made, with(SHIM, 1, ""), "--on-timeout=fail");
	assert_false(made.plan.defer);
	done(&made);
	make(&made,
	     with(SHIM, 1,
		  "\"wait.ballast.dev\":\"{\\\"on_timeout\\\":\\\"defer\\\",\\\"timeout\\\":"
		  "\\\"2m\\\"}\""),
	     "--on-timeout=fail");
	assert_true(made.plan.defer);
	assert_int_equal(made.plan.timeout, 90000);
	done(&made);
	make(&made, with(SHIM, 1, "\"wait.ballast.dev\":\"{\\\"timeout\\\":\\\"1500ms\\\"}\""),
	     NULL);
	assert_int_equal(made.plan.timeout, 1500);
	done(&made);
}

static void test_superblock(void **state)
{
	static const struct {
		const char *process;
		bool expected;
	} cases[] = {
		{"{\"capabilities\":{}}", false},
		{"{}", true}, /* not known */
		{"{\"capabilities\":{\"bounding\":[\"CAP_CHOWN\"]}}", false},
		{"{\"capabilities\":{\"bounding\":[\"CAP_SYS_ADMIN\"]}}", true},
		{"{\"capabilities\":{\"bounding\":[\"cap_sys_admin\"]}}", true},
		{"{\"capabilities\":{\"bounding\":[\"sys_admin\"]}}", true},
		{"{\"capabilities\":{\"bounding\":[],\"permitted\":[\"CAP_SYS_ADMIN\"]}}", true},
		{"{\"capabilities\":{\"bounding\":[],\"inheritable\":[\"CAP_SYS_ADMIN\"]}}", true},
		{"{\"capabilities\":{\"bounding\":[],\"effective\":[\"CAP_SYS_ADMIN\"]}}", true},
		{"{\"capabilities\":{\"bounding\":[],\"ambient\":[\"CAP_DAC_READ_SEARCH\"]}}",
		 true},
		{"{\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_DAC_READ_SEARCH\"]}}", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		(void)snprintf(config, sizeof(config), "{\"process\":%s," MOUNTS "}",
			       cases[i].process);
		make(&made, config, NULL);
		assert_int_equal(made.ret, 0);
		assert_int_equal(made.plan.superblock, cases[i].expected);
		done(&made);
	}
}

static void test_home(void **state)
{
	static const struct {
		const char *home;
		int uid;
		bool counts;
	} cases[] = {{"/home/me", 5, true},
		     {"/", 5, false},
		     {"/root", 5, false},
		     {"/root", 0, true},
		     {"relative", 5, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct made made;

		(void)snprintf(config, sizeof(config),
			       "{\"process\":{\"user\":{\"uid\":%d},\"env\":[\"HOME=/"
			       "first\",\"HOME=%s\"]}," MOUNTS "}",
			       cases[i].uid, cases[i].home);
		make(&made, config, NULL);
		assert_int_equal(made.ret, 0);
		assert_int_equal(made.plan.home != NULL, cases[i].counts);
		done(&made);
	}
}

static void test_required(void **state)
{
	struct made made;

	(void)state;
	make(&made, with("\"x\"", 0, "\"a\":\"b\""), "--required");
	assert_int_equal(made.err.code, BL_EX_CONFIG);
	assert_non_null(
		strstr(made.err.msg, "pod_annotations = [\"*.ballast.dev\", \"*.ballast.dev/*\"]"));
	done(&made);
	make(&made, with("\"x\"", 0, "\"weights.ballast.dev\":\"[]\""), "--required");
	assert_int_equal(made.ret, 0);
	done(&made);
}

/* Where no runtime is to be believed, what looks like its record says nothing of the tenant. */
static void test_no_family_is_believed(void **state)
{
	struct made made;

	(void)state;
	make(&made, with("\"x\"", 0, POD ",\"secrets.ballast.dev\":\"[\\\"a\\\"]\""),
	     "--runtime=none");
	assert_int_equal(made.ret, 0);
	assert_string_equal(made.annotations.tenant, "default");
	done(&made);
	make(&made, with("\"x\"", 0, POD), "--runtime=containerd");
	assert_int_equal(made.ret, 0);
	assert_string_not_equal(made.annotations.tenant, "default");
	done(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_family_is_believed),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_users),
		cmocka_unit_test(test_not_root_and_nothing_ambient),
		cmocka_unit_test(test_directory_in_late_weights),
		cmocka_unit_test(test_null_is_not_set),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_superblock),
		cmocka_unit_test(test_home),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_no_right_to_set_ids),
		cmocka_unit_test(test_root_and_nothing_bounding),
		cmocka_unit_test(test_null_in_config),
		cmocka_unit_test(test_places_in_config),
		cmocka_unit_test(test_mounts_of_the_container),
		cmocka_unit_test(test_long_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
