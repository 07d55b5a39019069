// SPDX-License-Identifier: Apache-2.0
/* Answers of S3's protocol: pages as several servers write them, and errors. */
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
#include "fetch/sources/s3_answer.h"

static int parse(const char *xml, struct bl_s3_page *page, struct bl_err *err)
{
	return bl_s3_page_parse(xml, strlen(xml), page, err);
}

/* As Amazon S3 writes it. */
static void a_page(void **state)
{
	auto_s3_page page = {0};
	struct bl_err err = {0};

	(void)state;
	assert_int_equal(
		parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		      "<Name>b</Name><Prefix>a/</Prefix><EncodingType>url</EncodingType>"
		      "<NextContinuationToken>1x/+=</NextContinuationToken><KeyCount>2</KeyCount>"
		      "<MaxKeys>2</MaxKeys><IsTruncated>true</IsTruncated>"
		      "<Contents><Key>a/with+space%2Bplus%25</Key>"
		      "<LastModified>2024-01-01T00:00:00.000Z</LastModified>"
		      "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag>"
		      "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>"
		      "<Size>12</Size><StorageClass>STANDARD</StorageClass></Contents>"
		      "<Contents><Key>a/%E6%A8%A1</Key><ETag>0f-2</ETag><Size>0</Size>"
		      "<StorageClass>GLACIER</StorageClass></Contents></ListBucketResult>",
		      &page, &err),
		0);
	assert_int_equal(page.count, 2);
	assert_string_equal(page.next, "1x/+=");
	assert_string_equal(page.objects[0].key, "a/with space+plus%");
	assert_string_equal(page.objects[0].etag, "\"d41d8cd98f00b204e9800998ecf8427e\"");
	assert_int_equal(page.objects[0].size, 12);
	assert_true(page.objects[0].has_checksum);
	assert_null(page.objects[0].storage);
	assert_string_equal(page.objects[1].key, "a/\xe6\xa8\xa1");
	assert_string_equal(page.objects[1].etag, "\"0f-2\"");
	assert_string_equal(page.objects[1].storage, "GLACIER");
}

/* Some servers say the encoding behind the keys, some know no encoding at all. */
static void encoding_behind_the_keys(void **state)
{
	auto_s3_page behind = {0};
	auto_s3_page none = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(parse("<ListBucketResult><Contents><Key>a%20b</Key><Size>1</Size>"
			       "</Contents><EncodingType>url</EncodingType></ListBucketResult>",
			       &behind, &err),
			 0);
	assert_string_equal(behind.objects[0].key, "a b");
	assert_null(behind.next);
	assert_int_equal(parse("<ListBucketResult><Contents><Key>a%20b+c</Key><Size>1</Size>"
			       "</Contents><NextContinuationToken>x</NextContinuationToken>"
			       "</ListBucketResult>",
			       &none, &err),
			 0);
	assert_string_equal(none.objects[0].key, "a%20b+c");
	/* Whoever gives a mark and does not say that this was all has more. */
	assert_string_equal(none.next, "x");
}

static void pages_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"{}",
		"<html><body>login</body></html>",
		"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><Contents><Key>a</Key><Size>1e3</Size></Contents>"
		"</ListBucketResult>",
		"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
		"<ListBucketResult><IsTruncated>True</IsTruncated>"
		"<NextContinuationToken>x</NextContinuationToken></ListBucketResult>",
		"<ListBucketResult><IsTruncated></IsTruncated></ListBucketResult>",
		"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>a%00b</Key>"
		"<Size>1</Size></Contents></ListBucketResult>",
		"<!DOCTYPE x [<!ENTITY k \"v\">]><ListBucketResult/>",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		auto_s3_page page = {0};
		struct bl_err err;

		if (parse(bad[i], &page, &err) != -EBADMSG)
			fail_msg("row %zu was taken", i);
	}
}

static void a_page_is_bounded(void **state)
{
	auto_buf text = BL_BUF_INIT(1000000);
	auto_s3_page page = {0};
	struct bl_err err;

	(void)state;
	bl_buf_puts(&text, "<ListBucketResult>", &err);
	for (int i = 0; i <= 1000; i++)
		bl_buf_putf(&text, &err, "<Contents><Key>%d</Key><Size>1</Size></Contents>", i);
	bl_buf_puts(&text, "</ListBucketResult>", &err);
	assert_int_equal(bl_s3_page_parse(text.data, text.len, &page, &err), -EBADMSG);
}

static void errors(void **state)
{
	static const char moved[] =
		"<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' "
		"is "
		"wrong; expecting 'eu-west-1'</Message><Region>eu-west-1</Region></Error>";
	static const char hostile[] =
		"<Error><Code>hf_s3cr3t-t0ken</Code><Region>evil.example/</Region></Error>";
	struct bl_s3_error error;

	(void)state;
	bl_s3_error_parse(moved, strlen(moved), &error);
	assert_string_equal(error.code, "AuthorizationHeaderMalformed");
	assert_string_equal(error.region, "eu-west-1");
	bl_s3_error_parse(hostile, strlen(hostile), &error);
	assert_string_equal(error.code, "");
	assert_string_equal(error.region, "");
	bl_s3_error_parse("", 0, &error);
	assert_string_equal(error.code, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page),
		cmocka_unit_test(encoding_behind_the_keys),
		cmocka_unit_test(pages_that_are_none),
		cmocka_unit_test(a_page_is_bounded),
		cmocka_unit_test(errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
