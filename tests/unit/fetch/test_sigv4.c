// SPDX-License-Identifier: Apache-2.0
/* AWS's published vectors, S3's own examples, and that nothing else of a request is signed. */
#include <dirent.h>
#include <fcntl.h>
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
#include "fetch/auth/sigv4.h"
#include "fetch/url.h"

#define VECTORS "tests/data/sigv4"

static const struct bl_sigv4_key suite_key = {
	.id = (char *)"AKIDEXAMPLE",
	.secret = (char *)"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
	.region = (char *)"us-east-1",
	.service = "service",
};

static void read_vector(const char *name, const char *suffix, struct bl_buf *to)
{
	char path[512];
	struct bl_err err;

	snprintf(path, sizeof(path), VECTORS "/%s.%s", name, suffix);
	auto_fd fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(bl_buf_read(to, fd, &err), 0);
	while (to->len && strchr("\r\n", to->data[to->len - 1]))
		to->data[--to->len] = '\0';
}

/* "GET /path?query HTTP/1.1", headers, an empty line, the body: taken apart in place. */
static void sign_vector(const char *name, char *text, char **ret)
{
	struct bl_err err;
	auto_headers headers = {0};
	char payload[BL_CRYPTO_HEX];
	char *body = strstr(text, "\n\n");
	char *save = NULL;
	char *method;
	char *path;
	struct bl_sigv4_request request = {.payload = payload};

	assert_int_equal(bl_crypto_sha256_hex(body ? body + 2 : "", body ? strlen(body + 2) : 0,
					      payload, &err),
			 0);
	if (body)
		*body = '\0';
	method = strtok_r(text, "\n", &save);
	path = strchr(method, ' ');
	*path++ = '\0';
	*strstr(path, " HTTP/1.1") = '\0';
	for (char *line; (line = strtok_r(NULL, "\n", &save));) {
		char *colon = strchr(line, ':');

		*colon = '\0';
		if (bl_http_headers_add(&headers, line, colon + 1, &err) < 0)
			fail_msg("%s: %s", name, err.msg);
	}
	request.method = method;
	request.query = strchr(path, '?') ? strchr(path, '?') + 1 : NULL;
	path[strcspn(path, "?")] = '\0';
	request.path = path;
	request.headers = &headers;
	request.date = bl_http_headers_get(&headers, "x-amz-date");
	assert_int_equal(bl_sigv4_authorization(&suite_key, &request, ret, &err), 0);
}

static void published_vectors(void **state)
{
	auto_dir dir = opendir(VECTORS);
	size_t n = 0;

	(void)state;
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir)); n++) {
		auto_buf text = BL_BUF_INIT(65536);
		auto_buf wanted = BL_BUF_INIT(65536);
		auto_free char *made = NULL;
		char name[256];
		char *dot;

		snprintf(name, sizeof(name), "%s", entry->d_name);
		dot = strrchr(name, '.');
		if (!dot || strcmp(dot, ".req") != 0)
			continue;
		*dot = '\0';
		read_vector(name, "req", &text);
		read_vector(name, "authz", &wanted);
		sign_vector(name, text.data, &made);
		if (strcmp(made, wanted.data) != 0)
			fail_msg("%s:\n%s\n%s", name, made, wanted.data);
	}
	assert_true(n > 20);
}

/* "Example: GET Object" and "GET Bucket (List Objects)" of the S3 API Reference. */
static void s3_examples(void **state)
{
	static const struct bl_sigv4_key key = {
		.id = (char *)"AKIAIOSFODNN7EXAMPLE",
		.secret = (char *)"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		.region = (char *)"us-east-1",
		.service = "s3",
	};
	auto_headers headers = {0};
	auto_headers range = {0};
	auto_url url = {0};
	struct bl_err err;
	struct bl_http_hop hop = {.method = "GET", .url = &url, .headers = &range};

	(void)state;
	assert_int_equal(bl_url_parse("https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J",
				      NULL, &url, &err),
			 0);
	assert_true(bl_http_headers_add(&range, "If-Match", "\"x\"", &err) >= 0);
	assert_int_equal(bl_sigv4_sign(&key, &hop, 1369353600, &headers, &err), 0);
	assert_string_equal(
		bl_http_headers_get(&headers, "authorization"),
		"AWS4-HMAC-SHA256 "
		"Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
		"Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
	assert_string_equal(bl_http_headers_get(&headers, "x-amz-date"), "20130524T000000Z");
	assert_null(bl_http_headers_get(&headers, "x-amz-security-token"));
}

static void session_token_is_sent_and_signed(void **state)
{
	struct bl_sigv4_key key = suite_key;
	auto_headers headers = {0};
	auto_url url = {0};
	struct bl_err err;
	struct bl_http_hop hop = {.method = "GET", .url = &url};

	(void)state;
	key.session = (char *)"TOKEN";
	assert_int_equal(bl_url_parse("https://h/a%20b//../c", NULL, &url, &err), 0);
	assert_int_equal(bl_sigv4_sign(&key, &hop, 0, &headers, &err), 0);
	assert_string_equal(bl_http_headers_get(&headers, "x-amz-security-token"), "TOKEN");
	assert_non_null(strstr(bl_http_headers_get(&headers, "authorization"),
			       "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"));
}

static void a_line_break_in_a_key_is_refused(void **state)
{
	struct bl_sigv4_key key = suite_key;
	auto_headers headers = {0};
	auto_url url = {0};
	struct bl_err err;
	struct bl_http_hop hop = {.method = "GET", .url = &url};

	(void)state;
	key.session = (char *)"TOKEN\r\nX: y";
	assert_int_equal(bl_url_parse("https://h/", NULL, &url, &err), 0);
	assert_true(bl_sigv4_sign(&key, &hop, 0, &headers, &err) < 0);
	assert_null(strstr(err.msg, "TOKEN"));
	assert_int_equal(headers.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_vectors),
		cmocka_unit_test(s3_examples),
		cmocka_unit_test(session_token_is_sent_and_signed),
		cmocka_unit_test(a_line_break_in_a_key_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
