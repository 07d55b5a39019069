// SPDX-License-Identifier: Apache-2.0
/* The example of "Authorize with Shared Key", and what a request of ours signs. */
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
#include "common/err.h"
#include "fetch/auth/sharedkey.h"

/* base64 of "0123456789abcdef" */
#define KEY "MDEyMzQ1Njc4OWFiY2RlZg=="

static void documented_text(void **state)
{
	struct bl_sharedkey key = {0};
	auto_headers headers = {0};
	auto_url url = {0};
	auto_buf text = BL_BUF_INIT(4096);
	struct bl_err err;
	struct bl_http_hop hop = {.method = "GET", .url = &url, .headers = &headers};

	(void)state;
	assert_int_equal(bl_sharedkey_init(&key, "myaccount", KEY, &err), 0);
	assert_int_equal(bl_url_parse("https://myaccount.blob.core.windows.net/mycontainer"
				      "?restype=container&comp=metadata&timeout=20",
				      NULL, &url, &err),
			 0);
	bl_http_headers_add(&headers, "x-ms-version", "2015-02-21", &err);
	bl_http_headers_add(&headers, "X-Ms-Date", "Fri, 26 Jun 2015 23:39:12 GMT", &err);
	assert_int_equal(bl_sharedkey_text(&key, &hop, &headers, &text, &err), 0);
	assert_string_equal(bl_buf_str(&text), "GET\n\n\n\n\n\n\n\n\n\n\n\n"
					       "x-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n"
					       "x-ms-version:2015-02-21\n"
					       "/myaccount/mycontainer\n"
					       "comp:metadata\n"
					       "restype:container\n"
					       "timeout:20");
	bl_sharedkey_done(&key);
}

static void a_range_and_an_encoded_query(void **state)
{
	struct bl_sharedkey key = {0};
	auto_headers headers = {0};
	auto_url url = {0};
	auto_buf text = BL_BUF_INIT(4096);
	struct bl_err err;
	struct bl_http_hop hop = {.method = "GET", .url = &url, .headers = &headers};

	(void)state;
	assert_int_equal(bl_sharedkey_init(&key, "a", KEY, &err), 0);
	assert_int_equal(
		bl_url_parse("https://h/c/x%20y?prefix=a%2Fb%2Bc&Comp=list", NULL, &url, &err), 0);
	bl_http_headers_add(&headers, "Range", "bytes=0-9", &err);
	bl_http_headers_add(&headers, "If-Match", "\"0x1\"", &err);
	bl_http_headers_add(&headers, "x-ms-b-c", "2", &err);
	bl_http_headers_add(&headers, "x-ms-b", "1", &err);
	assert_int_equal(bl_sharedkey_text(&key, &hop, &headers, &text, &err), 0);
	assert_string_equal(bl_buf_str(&text), "GET\n\n\n\n\n\n\n\n\"0x1\"\n\n\nbytes=0-9\n"
					       "x-ms-b:1\nx-ms-b-c:2\n"
					       "/a/c/x%20y\ncomp:list\nprefix:a/b+c");
	bl_sharedkey_done(&key);
}

/* The signature was made with `openssl dgst -sha256 -mac HMAC` from the text above. */
static void signed_request(void **state)
{
	struct bl_sharedkey key = {0};
	auto_headers headers = {0};
	auto_url url = {0};
	struct bl_err err;
	struct bl_http_hop hop = {.method = "GET", .url = &url};

	(void)state;
	assert_int_equal(bl_sharedkey_init(&key, "acct", KEY, &err), 0);
	assert_int_equal(bl_url_parse("https://h/c?comp=list", NULL, &url, &err), 0);
	assert_int_equal(bl_sharedkey_sign(&key, &hop, 1435361952, &headers, &err), 0);
	assert_string_equal(bl_http_headers_get(&headers, "x-ms-date"),
			    "Fri, 26 Jun 2015 23:39:12 GMT");
	assert_string_equal(bl_http_headers_get(&headers, "x-ms-version"), BL_SHAREDKEY_VERSION);
	assert_string_equal(bl_http_headers_get(&headers, "authorization"),
			    "SharedKey acct:+0YifYd7cjLfoS86X62tKnmTb0854Z9rBnTc8ACeCgI=");
	bl_sharedkey_done(&key);
}

static void keys_that_are_none(void **state)
{
	static const char *const bad[] = {"",	      "x",	  "secret!secret!!",
					  "MDE=MDE=", "MDEyM===", "MDEy\nMDEy"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bl_sharedkey key = {0};
		struct bl_err err;

		assert_int_equal(bl_sharedkey_init(&key, "a", bad[i], &err), -EINVAL);
		assert_non_null(strstr(err.msg, "account_key is not base64"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documented_text),
		cmocka_unit_test(a_range_and_an_encoded_query),
		cmocka_unit_test(signed_request),
		cmocka_unit_test(keys_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
