// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/source.h"
#include "common/weights.h"

/* The canonical form of the list, or the error's message; freed by the next call. */
static const char *canonical(const char *text)
{
	static struct bl_buf buf = {.max = BL_MAX_ANNOTATION * 2};
	struct bl_err err = {0};
	auto_weights weights = {0};
	auto_json list = bl_json_new_array();

	bl_buf_done(&buf);
	if (bl_weights_parse(text, strlen(text), &weights, &err) < 0) {
		assert_true(err.code == BL_EX_CONFIG || err.code == BL_EX_REFUSED);
		assert_int_equal(bl_buf_puts(&buf, err.msg, NULL), 0);
		return bl_buf_str(&buf);
	}
	for (size_t i = 0; i < weights.count; i++)
		assert_int_equal(bl_weights_item_to_json(&weights.items[i], list, &err), 0);
	assert_int_equal(bl_json_write(&buf, list, &err), 0);
	return bl_buf_str(&buf);
}

/* The item with this source (and a credential that it takes), and its source as it is written. */
static const char *source_of(const char *source)
{
	static char shown[BL_MAX_SOURCE + 8];
	auto_source parsed = {0};
	auto_buf buf = BL_BUF_INIT(2 * BL_MAX_SOURCE);
	struct bl_err err = {0};

	if (bl_source_parse(source, NULL, &parsed, &err) < 0) {
		(void)snprintf(shown, sizeof(shown), "ERROR %s", err.msg);
		return shown;
	}
	assert_int_equal(bl_source_write(&buf, &parsed, &err), 0);
	(void)snprintf(shown, sizeof(shown), "%s", bl_buf_str(&buf));
	return shown;
}

static void assert_refused(const char *source)
{
	if (strncmp(source_of(source), "ERROR ", 6) != 0)
		fail_msg("accepted: %s", source);
}

static void canonical_form(void **state)
{
	(void)state;
	assert_string_equal(canonical("[]"), "[]");
	assert_string_equal(
		canonical("[{\"source\":\"meta-llama/Llama-2-7b\",\"revision\":\"refs/pr/1\","
			  "\"mount_location\":\"/m\",\"runtime_secret_name\":\"hf_access_token\","
			  "\"allow_patterns\":[\"*.json\",\"**/x\"],\"ignore_patterns\":[]}]"),
		"[{\"allow_patterns\":[\"*.json\",\"**/x\"],"
		"\"auth\":{\"auth_method\":\"CUSTOM_SECRET\",\"auth_secret_name\":\"hf_access_"
		"token\"},"
		"\"mount_location\":\"/m\",\"source\":\"hf://meta-llama/Llama-2-7b@refs/pr/1\"}]");
	assert_string_equal(
		canonical("[{\"source\":\"s3://bucket/a/b/\",\"mount_location\":\"/m\",\"auth\":{"
			  "\"auth_method\":\"aws_oidc\",\"aws_oidc_role_arn\":\"arn:aws:iam::1:"
			  "role/r\","
			  "\"aws_oidc_region\":\"us-west-2\",\"auth_secret_name\":null}}]"),
		"[{\"auth\":{\"auth_method\":\"AWS_OIDC\",\"aws_oidc_region\":\"us-west-2\","
		"\"aws_oidc_role_arn\":\"arn:aws:iam::1:role/r\"},\"mount_location\":\"/m\","
		"\"source\":\"s3://bucket/a/b\"}]");
	assert_string_equal(
		canonical("[{\"source\":\"gs://bucket/a\",\"mount_location\":\"/m\",\"auth\":{"
			  "\"auth_method\":\"Gcp_Oidc\",\"gcp_oidc_service_account\":\"a@b.c\","
			  "\"gcp_oidc_workload_id_provider\":\"projects/1\"}}]"),
		"[{\"auth\":{\"auth_method\":\"GCP_OIDC\",\"gcp_oidc_service_account\":\"a@b.c\","
		"\"gcp_oidc_workload_id_provider\":\"projects/1\"},\"mount_location\":\"/m\","
		"\"source\":\"gs://bucket/a\"}]");
}

static void optional_fields_may_be_null(void **state)
{
	(void)state;
	assert_string_equal(
		canonical("[{\"source\":\"hf://a/b\",\"mount_location\":\"/m\",\"auth\":null,"
			  "\"auth_secret_name\":null,\"allow_patterns\":null,\"revision\":null,"
			  "\"ignore_patterns\":null,\"manifest\":null,\"runtime_secret_name\":null}"
			  "]"),
		"[{\"mount_location\":\"/m\",\"source\":\"hf://a/b\"}]");
}

static void secret_beside_auth(void **state)
{
	(void)state;
	assert_string_equal(
		canonical("[{\"source\":\"hf://a/b\",\"mount_location\":\"/m\","
			  "\"auth\":{\"auth_method\":\"CUSTOM_SECRET\"},\"auth_secret_name\":\"s\"}"
			  "]"),
		"[{\"auth\":{\"auth_method\":\"CUSTOM_SECRET\",\"auth_secret_name\":\"s\"},"
		"\"mount_location\":\"/m\",\"source\":\"hf://a/b\"}]");
}

static void pin_is_written_small(void **state)
{
	const char *text =
		canonical("[{\"source\":\"hf://a/b\",\"mount_location\":\"/m\",\"manifest\":"
			  "\"sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
			  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]");

	(void)state;
	assert_non_null(strstr(text, "\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void sources_taken_apart(void **state)
{
	struct bl_err err;
	auto_source hf = {0};
	auto_source r2 = {0};
	auto_source bt = {0};
	auto_source azure = {0};
	auto_source s3 = {0};
	auto_source https = {0};
	auto_source file = {0};

	(void)state;
	assert_int_equal(bl_source_parse("a-1/b.c@v1/x@y", NULL, &hf, &err), 0);
	assert_string_equal(hf.text, "hf://a-1/b.c");
	assert_string_equal(hf.bucket, "a-1/b.c");
	assert_string_equal(hf.revision, "v1/x@y");
	assert_int_equal(bl_source_parse("r2://abc.my.bucket/p/q", NULL, &r2, &err), 0);
	assert_string_equal(r2.account, "abc");
	assert_string_equal(r2.bucket, "my.bucket");
	assert_string_equal(r2.path, "p/q");
	assert_int_equal(bl_source_parse("bt://proj@job123/checkpoint-1", NULL, &bt, &err), 0);
	assert_string_equal(bt.text, "bt://proj/checkpoint-1");
	assert_string_equal(bt.revision, "job123");
	assert_string_equal(bt.path, "checkpoint-1");
	assert_int_equal(bl_source_parse("azure://acct/cont/x/y/", NULL, &azure, &err), 0);
	assert_string_equal(azure.account, "acct");
	assert_string_equal(azure.bucket, "cont");
	assert_string_equal(azure.path, "x/y");
	assert_int_equal(bl_source_parse("s3://bucket", NULL, &s3, &err), 0);
	assert_string_equal(s3.path, "");
	assert_int_equal(bl_source_parse("https://[::1]:8443/a?b=c", NULL, &https, &err), 0);
	assert_string_equal(https.url, "https://[::1]:8443/a?b=c");
	assert_int_equal(bl_source_parse("file:///srv/w/", NULL, &file, &err), 0);
	assert_string_equal(file.path, "/srv/w");
}

static void sources_written_again(void **state)
{
	static const char *const same[] = {"hf://owner/repo",
					   "hf://owner/repo@refs/pr/7",
					   "hf://o_1/r.2-x@abc%2f",
					   "s3://bucket",
					   "s3://my-bucket/models/x y",
					   "gs://b_x.y/z",
					   "azure://acct/$web/x",
					   "r2://abc.bucket/p",
					   "cw://bucket",
					   "cw://bucket/path",
					   "bt://p",
					   "bt://p@latest",
					   "bt://p@job/ckpt",
					   "bt://p/ckpt",
					   "https://h/x",
					   "https://h.example:1/x?y/../z",
					   "file:///srv/w",
					   "s3://bucket/100%"};

	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		assert_string_equal(source_of(same[i]), same[i]);
}

static void sources_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"gpt2",
		"hf://gpt2",
		"hf://",
		"hf:///b",
		"hf://a/",
		"hf://a/b/c",
		"hf://a/b@",
		"hf://../b",
		"hf://a/..",
		"hf://a/b.git",
		"hf://a/b--c",
		"hf://-a/b",
		"hf://a/b%2f..",
		"hf://a b/c",
		"hf://a/b@../x",
		"hf://a/b@/x",
		"hf://a/b@x/",
		"hf://a/b@x y",
		"hf://a/b@x\r\ny",
		"HF://a/b",
		"http://host/x",
		"ftp://host/x",
		"://x",
		"/srv/w",
		"./w",
		"s3://",
		"s3:///x",
		"s3://ab",
		"s3://bu..cket/x",
		"s3://bucket/a//b",
		"s3://bucket//",
		"s3://bucket/../x",
		"s3://bucket/a@main",
		"gs://bucket/a@main",
		"cw://Bucket",
		"cw://a.bucket",
		"r2://accountbucket/x",
		"r2://Acc.bucket/x",
		"r2://.bucket/x",
		"r2://acc.bu/x",
		"azure://account",
		"azure://account/",
		"azure://Account/cont/x",
		"azure://account/Cont/x",
		"bt://",
		"bt://p@",
		"bt://p/c@j",
		"bt://p@j/../x",
		"https://",
		"https:///x",
		"https://host",
		"https://host/",
		"https://host/x/",
		"https://host?x",
		"https://user:pw@host/x",
		"https://host/x@1",
		"https://host/x#y",
		"https://host:0/x",
		"https://host:65536/x",
		"https://host:/x",
		"https://host:8a/x",
		"https://ho st/x",
		"https://host/x y",
		"https://host/%zz",
		"https://host/%00",
		"https://host/%0d%0a",
		"https://host/a/../b",
		"https://host/a/%2E%2e/b",
		"https://host\\@evil/x",
		"https://[::1/x",
		"file://host/x",
		"file:///",
		"file:///a/../b",
		"file://relative",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(bad[i]);
}

static void secret_names(void **state)
{
	char text[BL_MAX_SECRET_NAME + 2];

	(void)state;
	assert_true(bl_weights_is_secret_name("hf_access_token"));
	assert_true(bl_weights_is_secret_name("a"));
	assert_true(bl_weights_is_secret_name("a..b"));
	assert_false(bl_weights_is_secret_name(""));
	assert_false(bl_weights_is_secret_name("."));
	assert_false(bl_weights_is_secret_name("../x"));
	assert_false(bl_weights_is_secret_name("a/b"));
	assert_false(bl_weights_is_secret_name("a."));
	assert_false(bl_weights_is_secret_name("%2e%2e"));
	assert_false(bl_weights_is_secret_name("\xc3\xa9"));
	memset(text, 'a', sizeof(text));
	text[BL_MAX_SECRET_NAME + 1] = '\0';
	assert_false(bl_weights_is_secret_name(text));
	text[BL_MAX_SECRET_NAME] = '\0';
	assert_true(bl_weights_is_secret_name(text));
	assert_true(bl_weights_is_tenant(text));
	assert_true(bl_weights_is_tenant("team-a"));
	assert_false(bl_weights_is_tenant("-a"));
	assert_false(bl_weights_is_tenant("_a"));
	assert_false(bl_weights_is_tenant("a."));
}

static void a_url_in_an_error_keeps_its_query(void **state)
{
	(void)state;
	assert_null(strstr(source_of("https://host/x%zz?sig=SECRET"), "SECRET"));
}

/* What is too long is told with its limit; what is just as long as may be is taken. */
static void limits_are_exact(void **state)
{
#define ITEM(rest) "[{\"mount_location\":\"/m\"," rest
#define AWS(key, arn) \
	ITEM("\"source\":\"s3://bucket\",\"auth\":{\"auth_method\":\"AWS_OIDC\",") arn key
	static const struct {
		const char *before, *unit, *after;
		size_t most; /* units */
		const char *message;
	} cases[] = {
		{ITEM("\"source\":\"https://h/"), "a", "\"}]", BL_MAX_SOURCE - 10,
		 "$[0].source: is longer than 2048 bytes"},
		{"[{\"source\":\"hf://a/b\",\"mount_location\":\"/a", "/a", "\"}]",
		 BL_MAX_PATH / 2 - 1, "$[0].mount_location: is longer than 4095 bytes"},
		{ITEM("\"source\":\"a/b\",\"allow_patterns\":[\""), "a", "\"]}]", BL_MAX_PATTERN,
		 "$[0].allow_patterns[0]: is longer than 1024 bytes"},
		{ITEM("\"source\":\"a/b\",\"ignore_patterns\":[\"a\""), ",\"a\"", "]}]",
		 BL_MAX_PATTERNS - 1, "$[0].ignore_patterns: has more than 1024 patterns"},
		{AWS("\"aws_oidc_role_arn\":\"arn:", "\"aws_oidc_region\":\"r\","), "a", "\"}}]",
		 BL_MAX_FIELD - 4, "$[0].auth.aws_oidc_role_arn: is longer than 2048 bytes"},
		{AWS("\"aws_oidc_region\":\"", "\"aws_oidc_role_arn\":\"arn:a\","), "a", "\"}}]",
		 40, "$[0].auth.aws_oidc_region: is no region's name, such as us-west-2"},
	};
#undef ITEM
#undef AWS

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_buf good = BL_BUF_INIT(BL_MAX_ANNOTATION);
		auto_buf bad = BL_BUF_INIT(BL_MAX_ANNOTATION);

		assert_int_equal(bl_buf_puts(&good, cases[i].before, NULL), 0);
		for (size_t n = 0; n < cases[i].most; n++)
			assert_int_equal(bl_buf_puts(&good, cases[i].unit, NULL), 0);
		assert_int_equal(bl_buf_puts(&bad, bl_buf_str(&good), NULL), 0);
		assert_int_equal(bl_buf_puts(&bad, cases[i].unit, NULL), 0);
		assert_int_equal(bl_buf_puts(&good, cases[i].after, NULL), 0);
		assert_int_equal(bl_buf_puts(&bad, cases[i].after, NULL), 0);
		if (*canonical(bl_buf_str(&good)) != '[')
			fail_msg("%s", canonical(bl_buf_str(&good)));
		assert_string_equal(canonical(bl_buf_str(&bad)), cases[i].message);
	}
}

static void items_of_a_list_are_counted(void **state)
{
	auto_buf buf = BL_BUF_INIT(BL_MAX_ANNOTATION);

	(void)state;
	for (int i = 0; i < BL_MAX_WEIGHTS; i++)
		assert_int_equal(bl_buf_putf(&buf, NULL,
					     "%c{\"source\":\"hf://a/b\","
					     "\"mount_location\":\"/m%d\"}",
					     i == 0 ? '[' : ',', i),
				 0);
	assert_int_equal(bl_buf_puts(&buf, "]", NULL), 0);
	assert_int_equal(*canonical(bl_buf_str(&buf)), '[');
	buf.data[buf.len - 1] = ',';
	assert_int_equal(
		bl_buf_puts(&buf, "{\"source\":\"hf://a/b\",\"mount_location\":\"/m\"}]", NULL), 0);
	assert_string_equal(canonical(bl_buf_str(&buf)), "$: has 1025 items, the maximum is 1024");
}

/* Every tests/data/bad/weights-X.json must give exactly the message in X.msg. */
static void bad_inputs(void **state)
{
	glob_t found;

	(void)state;
	assert_int_equal(glob("tests/data/bad/weights-*.json", 0, NULL, &found), 0);
	assert_true(found.gl_pathc > 20);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		auto_buf json = BL_BUF_INIT(BL_MAX_ANNOTATION);
		auto_buf wanted = BL_BUF_INIT(BL_ERR_MSG_MAX);
		auto_free char *msg = strdup(found.gl_pathv[i]);
		struct bl_err err = {0};

		memcpy(strrchr(msg, '.'), ".msg", 4);
		msg[strlen(msg) - 1] = '\0';
		assert_int_equal(bl_fs_read_file(AT_FDCWD, found.gl_pathv[i], &json, &err), 0);
		assert_int_equal(bl_fs_read_file(AT_FDCWD, msg, &wanted, &err), 0);
		wanted.data[strcspn(wanted.data, "\n")] = '\0';
		if (strcmp(canonical(bl_buf_str(&json)), bl_buf_str(&wanted)) != 0)
			fail_msg("%s:\n   got %s\nwanted %s", found.gl_pathv[i],
				 canonical(bl_buf_str(&json)), bl_buf_str(&wanted));
	}
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_form),
		cmocka_unit_test(optional_fields_may_be_null),
		cmocka_unit_test(secret_beside_auth),
		cmocka_unit_test(pin_is_written_small),
		cmocka_unit_test(sources_taken_apart),
		cmocka_unit_test(sources_written_again),
		cmocka_unit_test(sources_refused),
		cmocka_unit_test(secret_names),
		cmocka_unit_test(a_url_in_an_error_keeps_its_query),
		cmocka_unit_test(limits_are_exact),
		cmocka_unit_test(items_of_a_list_are_counted),
		cmocka_unit_test(bad_inputs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
