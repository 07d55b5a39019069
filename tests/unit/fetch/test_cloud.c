// SPDX-License-Identifier: Apache-2.0
/* What the object stores share: secrets, keys and names, pages that do not end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/crypto.h"
#include "fetch/auth/token.h"
#include "fetch/sources/cloud.h"

static void secrets(void **state)
{
	auto_json json = NULL;
	auto_secret text = NULL;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_cloud_parse_secret("[1]", "X credentials", &json, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "X credentials must be a JSON object, not an array"));
	assert_int_equal(bl_cloud_parse_secret("s3cr3t", "X credentials", &json, &err), -EINVAL);
	assert_null(strstr(err.msg, "s3cr3t"));
	assert_int_equal(
		bl_cloud_parse_secret("{\"a\":\" x\\n\",\"b\":\"\",\"c\":\"x\\ny\",\"d\":1}\n", "X",
				      &json, &err),
		0);
	assert_int_equal(bl_cloud_secret_text(json, "a", &text, &err), 1);
	assert_string_equal(text, " x");
	assert_int_equal(bl_cloud_secret_text(json, "b", &text, &err), 0);
	assert_int_equal(bl_cloud_secret_text(json, "none", &text, &err), 0);
	assert_int_equal(bl_cloud_secret_text(json, "c", &text, &err), -EINVAL);
	assert_int_equal(bl_cloud_secret_text(json, "d", &text, &err), -EINVAL);
	bl_json_free(&json);
	assert_int_equal(bl_cloud_parse_secret("\xef\xbb\xbf{\"a\":null}", "X", &json, &err), 0);
	assert_int_equal(bl_cloud_secret_text(json, "a", &text, &err), 0);
}

/* A token that could not be sent, or is a document around one, is told before it is sent. */
static void tokens(void **state)
{
	static const char *const bad[] = {
		"",	    "\n",     "hf_a b",	       "hf_a\r\nX: y",
		"\"hf_a\"", "'hf_a'", "{\"token\":1}", "\xef\xbb\xbfhf_a"};
	auto_secret token = NULL;
	auto_secret none = NULL;

	(void)state;
	assert_int_equal(bl_token_take(" \nhf_a\r\n", &token), 0);
	assert_string_equal(token, "hf_a");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (bl_token_take(bad[i], &none) != -EINVAL)
			fail_msg("row %zu was taken", i);
}

static void domains_of_amazon(void **state)
{
	(void)state;
	assert_string_equal(bl_cloud_aws_domain("us-gov-west-1"), "amazonaws.com");
	assert_string_equal(bl_cloud_aws_domain("cn-north-1"), "amazonaws.com.cn");
	assert_string_equal(bl_cloud_aws_domain("eusc-de-east-1"), "amazonaws.eu");
}

static void unescaping(void **state)
{
	static const struct {
		const char *from, *to;
		bool plus;
	} rows[] = {
		{"a%20b+c%2B", "a b+c+", false},
		{"a%20b+c%2B", "a b c+", true},
		{"100%", "100%", false},
		{"%zz%4", "%zz%4", false},
		{"%E6%a8%A1", "\xe6\xa8\xa1", true},
	};
	char text[64] = "a%00b";

	(void)state;
	assert_int_equal(bl_cloud_unescape(text, false), -EINVAL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "%s", rows[i].from);
		assert_int_equal(bl_cloud_unescape(text, rows[i].plus), 0);
		assert_string_equal(text, rows[i].to);
	}
}

static void etags(void **state)
{
	auto_free char *quoted = bl_cloud_etag("\"a\"");
	auto_free char *bare = bl_cloud_etag("0x8D");

	(void)state;
	assert_string_equal(quoted, "\"a\"");
	assert_string_equal(bare, "\"0x8D\"");
	assert_null(bl_cloud_etag(""));
	assert_null(bl_cloud_etag(NULL));
	assert_null(bl_cloud_etag("W/\"a\""));
	assert_null(bl_cloud_etag("a\r\nb"));
}

static void names_of_keys(void **state)
{
	struct bl_cloud_path path;
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_cloud_path_init(&path, "models/llama", &err), 0);
	assert_string_equal(bl_cloud_path_name(&path, "models/llama/a/b", 1), "a/b");
	assert_null(bl_cloud_path_name(&path, "models/llama-2/a", 1));
	assert_null(bl_cloud_path_name(&path, "models/llama", 1));
	assert_null(bl_cloud_path_name(&path, "models/llama/", 0));
	/* With content it is no mark: such a name is refused, not left out. */
	assert_string_equal(bl_cloud_path_name(&path, "models/llama/", 1), "");
	assert_null(bl_cloud_path_name(&path, "models/llama/sub/", 0));
	/* With content it is a name that is refused, not a mark to be passed over. */
	assert_string_equal(bl_cloud_path_name(&path, "models/llama/sub/", 1), "sub/");
	assert_int_equal(bl_cloud_path_set_single(&path, &err), 0);
	assert_string_equal(path.prefix, "models/");
	assert_string_equal(path.single, "llama");
	bl_cloud_path_done(&path);
	assert_int_equal(bl_cloud_path_init(&path, "", &err), 0);
	assert_string_equal(bl_cloud_path_name(&path, "a/b", 1), "a/b");
	bl_cloud_path_done(&path);
}

static void pages_end(void **state)
{
	auto_cloud_pages pages = BL_CLOUD_PAGES_INIT;
	auto_cloud_pages empty = BL_CLOUD_PAGES_INIT;
	auto_cloud_pages many = BL_CLOUD_PAGES_INIT;
	auto_cloud_pages slow = BL_CLOUD_PAGES_INIT;
	struct bl_err err;
	char mark[32];
	int r = 0;

	(void)state;
	assert_int_equal(bl_cloud_pages_next(&pages, "a", 10, &err), 0);
	assert_true(pages.more);
	assert_int_equal(bl_cloud_pages_next(&pages, "a", 10, &err), -EIO);
	assert_int_equal(bl_cloud_pages_next(&pages, "", 10, &err), 0);
	assert_false(pages.more);
	for (int i = 0; r == 0; i++) {
		snprintf(mark, sizeof(mark), "%d", i);
		r = bl_cloud_pages_next(&empty, mark, 0, &err);
	}
	assert_int_equal(empty.pages, BL_CLOUD_EMPTY_PAGES);
	r = 0;
	for (int i = 0; r == 0; i++) {
		snprintf(mark, sizeof(mark), "%d", i);
		r = bl_cloud_pages_next(&many, mark, 1, &err);
	}
	assert_int_equal(many.pages, BL_CLOUD_PAGES);
	assert_int_equal(bl_cloud_pages_next(&slow, "a", 1, &err), 0);
	slow.began -= BL_CLOUD_LISTING_TIME + 1;
	assert_int_equal(bl_cloud_pages_next(&slow, "b", 1, &err), -EIO);
}

static void codes(void **state)
{
	(void)state;
	assert_true(bl_cloud_is_code("AccessDenied"));
	assert_true(bl_cloud_is_code("KMS.DisabledException"));
	assert_false(bl_cloud_is_code("hf_abc123"));
	assert_false(bl_cloud_is_code("a b"));
	assert_false(bl_cloud_is_code(""));
	assert_true(bl_cloud_is_word("us-east-1", 40, "-"));
	assert_false(bl_cloud_is_word("evil.example/", 40, "-"));
	assert_false(bl_cloud_is_word("", 40, "-"));
	assert_false(bl_cloud_is_word("aaa", 2, "-"));
}

static void base64(void **state)
{
	auto_buf text = BL_BUF_INIT(100);
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_crypto_base64(&text, "\xfb\xff\xfe\x01", 4, &err), 0);
	assert_string_equal(bl_buf_str(&text), "+//+AQ==");
	bl_buf_done(&text);
	assert_int_equal(bl_crypto_base64url(&text, "\xfb\xff\xfe\x01", 4, &err), 0);
	assert_string_equal(bl_buf_str(&text), "-__-AQ");
	bl_buf_done(&text);
	assert_int_equal(bl_crypto_unbase64(&text, "+//+AQ==", &err), 0);
	assert_int_equal(text.len, 4);
	assert_memory_equal(text.data, "\xfb\xff\xfe\x01", 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets),
		cmocka_unit_test(unescaping),
		cmocka_unit_test(etags),
		cmocka_unit_test(names_of_keys),
		cmocka_unit_test(pages_end),
		cmocka_unit_test(codes),
		cmocka_unit_test(base64),
		cmocka_unit_test(tokens),
		cmocka_unit_test(domains_of_amazon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
