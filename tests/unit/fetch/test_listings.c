// SPDX-License-Identifier: Apache-2.0
/* Listings of Azure, Google and the training API, and STS's answer: as documented, and refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/err.h"
#include "fetch/auth/oidc.h"
#include "fetch/sources/azure_answer.h"
#include "fetch/sources/bt_answer.h"
#include "fetch/sources/gs_answer.h"
#include "fetch/sources/hf_answer.h"
#include "fetch/sources/s3_answer.h"

#define TEXT(literal) (literal), sizeof(literal) - 1

static void azure_page(void **state)
{
	auto_azure_page page = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(
		bl_azure_page_parse(
			TEXT("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"utf-8\"?>"
			     "<EnumerationResults ServiceEndpoint=\"https://a/\" "
			     "ContainerName=\"c\">"
			     "<Blobs><Blob><Name>dir &amp; x/a+b</Name><Properties>"
			     "<Etag>0x8CBFF45D8A29A19</Etag><Content-Length>100</Content-Length>"
			     "<Content-MD5>kAFQmDzST7DWlj99KOF/cg==</Content-MD5>"
			     "<BlobType>BlockBlob</BlobType></Properties><Metadata/></Blob>"
			     "<Blob><Name>dir</Name><Properties><Content-Length>0</Content-Length>"
			     "<ResourceType>directory</ResourceType></Properties></Blob>"
			     "<Blob><Name>dir2</Name><Properties><Content-Length>0</Content-Length>"
			     "</Properties><Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"
			     "</Blob><Blob><Name>dir3</Name><Properties><Content-Length>0</"
			     "Content-Length>"
			     "</Properties><Metadata><Hdi_isfolder>true</Hdi_isfolder></Metadata>"
			     "</Blob></Blobs><NextMarker>2!92!x</NextMarker></EnumerationResults>"),
			&page, &err),
		0);
	assert_int_equal(page.count, 4);
	assert_string_equal(page.blobs[0].name, "dir & x/a+b");
	assert_string_equal(page.blobs[0].etag, "\"0x8CBFF45D8A29A19\"");
	assert_int_equal(page.blobs[0].size, 100);
	assert_int_equal(page.blobs[0].md5.len, 16);
	assert_false(page.blobs[0].folder);
	assert_true(page.blobs[1].folder);
	assert_true(page.blobs[2].folder);
	assert_true(page.blobs[3].folder);
	assert_string_equal(page.next, "2!92!x");
}

static void azure_pages_that_are_none(void **state)
{
	auto_azure_page page = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_azure_page_parse(TEXT("<Error><Code>x</Code></Error>"), &page, &err),
			 -EBADMSG);
	assert_int_equal(bl_azure_page_parse(TEXT("<EnumerationResults><Blobs><Blob><Name>a</Name>"
						  "</Blob></Blobs></EnumerationResults>"),
					     &page, &err),
			 -EBADMSG);
}

static void gs_page(void **state)
{
	auto_gs_page page = {0};
	auto_gs_page empty = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(
		bl_gs_page_parse(TEXT("{\"nextPageToken\":\"t\",\"items\":[{\"name\":\"a b\","
				      "\"size\":\"12\",\"generation\":\"17\",\"md5Hash\":"
				      "\"kAFQmDzST7DWlj99KOF/cg==\",\"crc32c\":\"yZRlqg==\"},"
				      "{\"name\":\"c\",\"size\":\"0\"}]}"),
				 &page, &err),
		0);
	assert_int_equal(page.count, 2);
	assert_string_equal(page.objects[0].name, "a b");
	assert_string_equal(page.objects[0].generation, "17");
	assert_int_equal(page.objects[0].size, 12);
	assert_int_equal(page.objects[0].md5.len, 16);
	assert_memory_equal(page.objects[0].crc32c.bytes, "\xc9\x94\x65\xaa", 4);
	assert_null(page.objects[1].generation);
	assert_string_equal(page.next, "t");
	assert_int_equal(bl_gs_page_parse(TEXT("{}"), &empty, &err), 0);
	assert_int_equal(empty.count, 0);
	assert_null(empty.next);
}

static void gs_pages_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"<html>",
		"{\"items\":{}}",
		"{\"items\":[1]}",
		"{\"items\":[{\"name\":\"a\"}]}",
		"{\"items\":[{\"name\":\"a\",\"size\":12}]}",
		"{\"items\":[{\"name\":\"a\",\"size\":\"-1\"}]}",
		"{\"items\":[{\"name\":\"a\",\"size\":\"1\",\"generation\":\"x&y\"}]}",
		"{\"nextPageToken\":1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		auto_gs_page page = {0};
		struct bl_err err;

		if (bl_gs_page_parse(bad[i], strlen(bad[i]), &page, &err) != -EBADMSG)
			fail_msg("row %zu was taken", i);
	}
}

static void bt_files(void **state)
{
	struct bl_bt_files files = {0};
	auto_free char *next = NULL;
	size_t listed = 0;
	struct bl_err err;

	(void)state;
	assert_int_equal(
		bl_bt_page_parse(
			TEXT("{\"presigned_urls\":[{\"url\":\"https://h/1?s\","
			     "\"relative_file_name\":\"c-1/a/b\",\"size_bytes\":3,"
			     "\"last_modified\":\"2024-01-01T00:00:00Z\"},{\"url\":\"https://h/2\","
			     "\"relative_file_name\":\"c-10/a\",\"size_bytes\":4}],"
			     "\"next_page_token\":\"7\",\"total_count\":2}"),
			"c-1", &files, &next, &listed, &err),
		0);
	assert_int_equal(listed, 2);
	assert_int_equal(files.count, 1);
	assert_string_equal(files.files[0].name, "a/b");
	assert_string_equal(files.files[0].modified, "2024-01-01T00:00:00Z");
	assert_string_equal(next, "7");
	bl_bt_files_done(&files);
	assert_int_equal(bl_bt_page_parse(TEXT("{\"presigned_urls\":[{}]}"), "c", &files, &next,
					  &listed, &err),
			 -EBADMSG);
	bl_bt_files_done(&files);
}

static void bt_next_page(void **state)
{
	static const struct {
		const char *token;
		int result;
	} rows[] = {
		{"null", 0},	    {"\"\"", 0},	   {"2", -EBADMSG},
		{"true", -EBADMSG}, {"[\"2\"]", -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bl_bt_files files = {0};
		auto_free char *next = NULL;
		size_t listed = 0;
		struct bl_err err;
		char text[128];

		int len = snprintf(text, sizeof(text),
				   "{\"presigned_urls\":[],\"next_page_token\":%s}", rows[i].token);
		if (bl_bt_page_parse(text, (size_t)len, "c", &files, &next, &listed, &err) !=
		    rows[i].result)
			fail_msg("row %zu", i);
		assert_null(next);
		bl_bt_files_done(&files);
	}
}

static void bt_picks(void **state)
{
	static const char list[] =
		"{\"jobs\":[{\"id\":\"b\",\"name\":\"x\",\"created_at\":\"2024-05\"},"
		"{\"id\":\"c\",\"name\":\"x\",\"created_at\":\"2024-07\"},"
		"{\"id\":\"x2\",\"name\":\"y\",\"created_at\":\"2024-06\"}]}";
	static const struct {
		const char *wanted, *id;
		int result;
	} rows[] = {
		{NULL, "c", 0},	      {"b", "b", 0},	    {"y", "x2", 0},
		{"x", NULL, -EINVAL}, {"z", NULL, -ENOENT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		auto_free char *id = NULL;
		struct bl_err err;

		assert_int_equal(
			bl_bt_pick(TEXT(list), "jobs", "id", "name", rows[i].wanted, &id, &err),
			rows[i].result);
		if (rows[i].id)
			assert_string_equal(id, rows[i].id);
	}
}

/* The example answer of AssumeRoleWithWebIdentity in AWS's reference. */
static void sts_answer(void **state)
{
	struct bl_sigv4_key key = {.id = strdup("old")};
	int64_t expires = 0;
	struct bl_err err;

	(void)state;
	assert_int_equal(
		bl_oidc_read_aws(
			TEXT("<AssumeRoleWithWebIdentityResponse "
			     "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
			     "<AssumeRoleWithWebIdentityResult><Audience>client.54</Audience>"
			     "<Credentials><SessionToken>AQoDYXdzEE0a8ANXXXXXXXXNO1ewxE5TijQyp</"
			     "SessionToken>"
			     "<SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY</"
			     "SecretAccessKey>"
			     "<Expiration>2014-10-24T23:00:23Z</Expiration>"
			     "<AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId></Credentials>"
			     "</AssumeRoleWithWebIdentityResult></"
			     "AssumeRoleWithWebIdentityResponse>"),
			&key, &expires, &err),
		0);
	assert_string_equal(key.id, "ASgeIAIOSFODNN7EXAMPLE");
	assert_int_equal(expires, 1414191623);
	assert_int_equal(
		bl_oidc_read_aws(TEXT("<a><AccessKeyId>x</AccessKeyId></a>"), &key, &expires, &err),
		-EIO);
	assert_string_equal(key.id, "ASgeIAIOSFODNN7EXAMPLE");
	bl_sigv4_key_done(&key);
}

static void times(void **state)
{
	(void)state;
	assert_int_equal(bl_oidc_parse_time("1970-01-02T00:00:01Z"), 86401);
	assert_int_equal(bl_oidc_parse_time("2014-10-02T15:01:23.045123456Z"), 1412262083);
	assert_int_equal(bl_oidc_parse_time("2014-10-02T15:01:23"), -1);
	assert_int_equal(bl_oidc_parse_time("2014-10-02T15:01:23+02:00"), -1);
	assert_int_equal(bl_oidc_parse_time("soon"), -1);
}

/* A mirror of the Hub may leave out what the Hub always says: then a token makes it private. */
static void hub_revision(void **state)
{
#define COMMIT "\"sha\":\"0123456789012345678901234567890123456789\""
	static const struct {
		const char *answer;
		bool token, credential;
	} cases[] = {
		{"{" COMMIT ",\"private\":false,\"gated\":false}", true, false},
		{"{" COMMIT ",\"private\":false,\"gated\":\"auto\"}", false, true},
		{"{" COMMIT ",\"private\":true}", false, true},
		{"{" COMMIT "}", true, true},
		{"{" COMMIT "}", false, false},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool credential = cases[i].token;
		char commit[BL_HF_COMMIT_SIZE];

		assert_int_equal(bl_hf_answer_revision(cases[i].answer, strlen(cases[i].answer),
						       commit, &credential, NULL),
				 0);
		assert_int_equal(credential, cases[i].credential);
	}
}

/* Sizes that no file has: each refuses the listing, by whichever source. */
static void impossible_sizes(void **state)
{
	static const char *const sizes[] = {
		"-1", "9223372036854775808", "18446744073709551616", "0x10", "1e3", "1.5", "",
		" 1", "9007199254740993000"};
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		auto_s3_page s3 = {0};
		auto_azure_page azure = {0};
		auto_gs_page gs = {0};
		char text[512];

		snprintf(text, sizeof(text),
			 "<ListBucketResult><Contents><Key>a</Key><Size>%s</Size></Contents>"
			 "</ListBucketResult>",
			 sizes[i]);
		if (bl_s3_page_parse(text, strlen(text), &s3, &err) != -EBADMSG)
			fail_msg("s3: '%s'", sizes[i]);
		snprintf(text, sizeof(text),
			 "<EnumerationResults><Blobs><Blob><Name>a</"
			 "Name><Properties><Content-Length>"
			 "%s</Content-Length></Properties></Blob></Blobs></EnumerationResults>",
			 sizes[i]);
		if (bl_azure_page_parse(text, strlen(text), &azure, &err) != -EBADMSG)
			fail_msg("azure: '%s'", sizes[i]);
		snprintf(text, sizeof(text), "{\"items\":[{\"name\":\"a\",\"size\":\"%s\"}]}",
			 sizes[i]);
		if (bl_gs_page_parse(text, strlen(text), &gs, &err) != -EBADMSG)
			fail_msg("gs: '%s'", sizes[i]);
	}
}

static void impossible_sizes_of_the_hub(void **state)
{
	static const char *const sizes[] = {
		"-1", "9223372036854775808", "4503599627370497", "1e3", "1.5", "\"1\"", "null"};
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		auto_manifest manifest = NULL;
		char text[512];

		assert_int_equal(bl_manifest_new(NULL, NULL, &manifest, &err), 0);
		snprintf(text, sizeof(text),
			 "[{\"type\":\"file\",\"path\":\"a\",\"size\":%s,\"oid\":"
			 "\"0123456789012345678901234567890123456789\"}]",
			 sizes[i]);
		if (bl_hf_answer_page(text, strlen(text), manifest, &err) >= 0)
			fail_msg("hf: %s", sizes[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(azure_page),
		cmocka_unit_test(azure_pages_that_are_none),
		cmocka_unit_test(gs_page),
		cmocka_unit_test(gs_pages_that_are_none),
		cmocka_unit_test(bt_files),
		cmocka_unit_test(bt_next_page),
		cmocka_unit_test(bt_picks),
		cmocka_unit_test(sts_answer),
		cmocka_unit_test(times),
		cmocka_unit_test(hub_revision),
		cmocka_unit_test(impossible_sizes),
		cmocka_unit_test(impossible_sizes_of_the_hub),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
