// SPDX-License-Identifier: Apache-2.0
/* Strict JSON: what RFC 8259 allows goes through, what only a lenient parser allows does not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "common/json.h"

#define MAX_BYTES (1024 * 1024)
#define TEXT(literal)                        \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

struct text {
	const char *text;
	size_t len;
};

static const struct bl_json_limits strict = {.max_bytes = MAX_BYTES};
static const struct bl_json_limits loose = {.max_bytes = MAX_BYTES, .fractions = true};

/* Parses a text that must be right. */
static bl_json *parsed(const char *text)
{
	bl_json *json = NULL;
	struct bl_err err = {0};

	if (bl_json_parse(text, strlen(text), &loose, &json, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return json;
}

static void assert_refused(const char *text, size_t len, const struct bl_json_limits *limits)
{
	bl_json *json = NULL;
	struct bl_err err = {0};

	if (bl_json_parse(text, len, limits, &json, &err) == 0)
		fail_msg("accepted: %.60s", text);
	assert_null(json);
	assert_int_equal(err.code, BL_EX_CONFIG);
	assert_true(err.msg[0] != '\0');
}

static void assert_canonical(const char *text, const char *expected)
{
	auto_json json = parsed(text);
	auto_buf buf = BL_BUF_INIT(MAX_BYTES);
	struct bl_err err;

	assert_int_equal(bl_json_write(&buf, json, &err), 0);
	assert_string_equal(bl_buf_str(&buf), expected);
}

static void grammar_accepted(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		" \t\r\n[ 1 , 2 ] \n",
		"\"\"",
		"null",
		"true",
		"false",
		"0",
		"-0",
		"-1",
		"1.5e-3",
		"1E+2",
		"[[[]]]",
		"{\"\":{\"\":1}}",
		"\"\\u00e9\\n\\/\\\\\\\"\\ud83d\\ude00\"",
		"\"\xf0\x9f\x98\x80\xef\xbf\xbf\xc2\x80\"",
		"\"%n%s\x7f\"",
		"{\"a\":1,\"A\":2}",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		auto_json json = parsed(texts[i]);

		assert_non_null(json);
	}
}

static void grammar_refused(void **state)
{
	static const struct text texts[] = {
		TEXT(""),
		TEXT(" "),
		TEXT("\xef\xbb\xbf{}"),
		TEXT("{} x"),
		TEXT("{}{}"),
		TEXT("[1,]"),
		TEXT("[,1]"),
		TEXT("[1 2]"),
		TEXT("{\"a\":1,}"),
		TEXT("{\"a\" 1}"),
		TEXT("{a:1}"),
		TEXT("{1:1}"),
		TEXT("{\"a\":}"),
		TEXT("[1"),
		TEXT("{\"a\":1"),
		TEXT("[}"),
		TEXT("\"abc"),
		TEXT("'a'"),
		TEXT("nul"),
		TEXT("True"),
		TEXT("NaN"),
		TEXT("Infinity"),
		TEXT("-"),
		TEXT("+1"),
		TEXT("01"),
		TEXT("-01"),
		TEXT("1."),
		TEXT(".5"),
		TEXT("1e"),
		TEXT("0x10"),
		TEXT("1e400"),
		TEXT("-1e400"),
		TEXT("1_000"),
		TEXT("\"\\x41\""),
		TEXT("\"\\"),
		TEXT("\"\\u12\""),
		TEXT("\"\\u12g4\""),
		TEXT("\"\\u0000\""),
		TEXT("{\"a\\u0000b\":1}"),
		TEXT("\"\0\""),
		TEXT("[1]\0"),
		TEXT("\0"),
		TEXT("\"\n\""),
		TEXT("\"\x1f\""),
		TEXT("\"\\ud800\""),
		TEXT("\"\\udc00\""),
		TEXT("\"\\ud800\\u0041\""),
		TEXT("\"\\ud800x\""),
		TEXT("\"\x80\""),
		TEXT("\"\xc0\xaf\""),
		TEXT("\"\xc1\xbf\""),
		TEXT("\"\xe0\x80\xaf\""),
		TEXT("\"\xed\xa0\x80\""),
		TEXT("\"\xf0\x80\x80\xaf\""),
		TEXT("\"\xf4\x90\x80\x80\""),
		TEXT("\"\xf5\x80\x80\x80\""),
		TEXT("\"\xe2\x82\""),
		TEXT("\"\xe2\x82"),
		TEXT("\"\xff\""),
		TEXT("/* */ 1"),
		TEXT("{\"a\":1,\"a\":2}"),
		TEXT("{\"x\":[{\"a\":1,\"b\":2,\"\\u0061\":3}]}"),
		TEXT("1234567890123456789012345678901234567890123456789012345678901234"),
	};
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_refused(texts[i].text, texts[i].len, &loose);
}

/* Bytes behind `len` are never looked at: the copy ends where the heap block does. */
static void nothing_read_beyond_the_end(void **state)
{
	static const char whole[] = "{\"a\":[1,-2.5e3,\"\\ud83d\\ude00\xe2\x82\xac\",true,null]}";
	(void)state;

	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		auto_free char *part = malloc(len ? len : 1);

		assert_non_null(part);
		memcpy(part, whole, len);
		assert_refused(part, len, &loose);
	}
}

static void fractions_refused_unless_let_through(void **state)
{
	(void)state;
	assert_refused("0.5", 3, &strict);
	assert_refused("[1e9]", 5, &strict);
	assert_refused("1.0", 3, &strict);
}

static void depth_and_size_bounded(void **state)
{
	const size_t depth = 100000;
	const size_t big = 16 * 1024 * 1024;
	auto_free char *text = malloc(big + 1);
	(void)state;

	assert_non_null(text);
	memset(text, '[', depth);
	assert_refused(text, depth, &loose);
	memset(text + depth, ']', depth);
	assert_refused(text, 2 * depth, &loose);

	for (size_t at = 0; at + 5 <= 5 * depth; at += 5)
		memcpy(text + at, "{\"a\":", 5);
	assert_refused(text, 5 * depth, &loose);

	memset(text, ' ', big);
	text[0] = '1';
	assert_refused(text, big, &loose);

	/* Exactly the deepest that goes, and one more. */
	memset(text, '[', BL_MAX_JSON_DEPTH);
	memset(text + BL_MAX_JSON_DEPTH, ']', BL_MAX_JSON_DEPTH);
	text[(size_t)2 * BL_MAX_JSON_DEPTH] = '\0';
	bl_json *json = parsed(text);
	bl_json_free(&json);
	memset(text, '[', BL_MAX_JSON_DEPTH + 1);
	memset(text + BL_MAX_JSON_DEPTH + 1, ']', BL_MAX_JSON_DEPTH + 1);
	assert_refused(text, 2 * (BL_MAX_JSON_DEPTH + 1), &loose);
}

static void values_bounded(void **state)
{
	const struct bl_json_limits few = {.max_bytes = MAX_BYTES, .max_values = 4};
	bl_json *json = NULL;
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_json_parse("[1,2,3]", 7, &few, &json, &err), 0);
	bl_json_free(&json);
	assert_refused("[1,2,3,4]", 9, &few);
	assert_refused("[1,2,[],{}]", 11, &few);
}

static void members_read_by_exact_key(void **state)
{
	auto_json json =
		parsed("{\"name\":\"x\",\"Size\":3,\"on\":true,\"l\":[\"a\",\"b\"],\"o\":{},"
		       "\"mixed\":[1],\"nothing\":null}");
	const bl_json *value = NULL;
	const char *text = NULL;
	int64_t number = 7;
	bool on = false;
	struct bl_err err = {0};
	(void)state;

	assert_int_equal(bl_json_get_string(json, "name", &text, &err), 1);
	assert_string_equal(text, "x");
	assert_int_equal(bl_json_get_int(json, "absent", 0, 9, &number, &err), 0);
	assert_int_equal(number, 7);
	assert_int_equal(bl_json_get_int(json, "size", 0, 9, &number, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "Size"));
	assert_int_equal(bl_json_get_bool(json, "on", &on, &err), 1);
	assert_true(on);
	assert_int_equal(bl_json_get_bool(json, "name", &on, &err), -EINVAL);
	assert_string_equal(err.msg, "name: must be true or false, not a string");
	assert_int_equal(bl_json_get_strings(json, "l", &value, &err), 1);
	assert_int_equal(bl_json_length(value), 2);
	assert_int_equal(bl_json_get_strings(json, "mixed", &value, &err), -EINVAL);
	assert_string_equal(err.msg, "mixed[0]: must be a string, not a number");
	assert_int_equal(bl_json_get_object(json, "o", &value, &err), 1);
	assert_int_equal(bl_json_get_array(json, "o", &value, &err), -EINVAL);
	assert_int_equal(bl_json_get_string(json, "nothing", &text, &err), -EINVAL);
	assert_int_equal(bl_json_get(json, "nothing", &value, &err), 1);
	assert_true(bl_json_is_null(value));
}

/* As Go's decoder has it; the tree itself stays what it was, and so do its keys. */
static void nulls_absent(void **state)
{
	static const char whole[] = "{\"a\":null,\"b\":{\"c\":null,\"d\":[null]}}";
	const struct bl_json_limits limits = {.max_bytes = MAX_BYTES, .absent_nulls = true};
	auto_buf buf = BL_BUF_INIT(MAX_BYTES);
	auto_json json = NULL;
	auto_json copy = NULL;
	const bl_json *value = NULL;
	const char *text = NULL;
	struct bl_err err = {0};
	(void)state;

	assert_int_equal(bl_json_parse(whole, strlen(whole), &limits, &json, &err), 0);
	copy = bl_json_copy(json);
	assert_int_equal(bl_json_get(json, "a", &value, &err), 0);
	assert_null(value);
	assert_int_equal(bl_json_get_string(copy, "a", &text, &err), 0);
	assert_int_equal(bl_json_get_object(copy, "b", &value, &err), 1);
	assert_int_equal(bl_json_get_array(value, "c", &value, &err), 0);
	assert_int_equal(bl_json_get_strings(value, "d", &value, &err), -EINVAL);
	assert_string_equal(err.msg, "d[0]: must be a string, not null");
	assert_int_equal(bl_json_get(json, "A", &value, &err), -EINVAL);
	assert_int_equal(bl_json_write(&buf, copy, &err), 0);
	assert_string_equal(bl_buf_str(&buf), whole);
	assert_refused("{\"a\":null,\"a\":1}", 0, &limits);
}

/* Go's decoder folds these letters too, and would take the member that we do not see. */
static void case_variants_refused(void **state)
{
	static const char *const texts[] = {
		"{\"MASKS\":1}",
		"{\"mask\xc5\xbf\":1}",
		"{\"mas\xe2\x84\xaas\":1}",
		"{\"masks\":1,\"Masks\":2}",
		"{\"Masks\":1,\"masks\":2}",
	};
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		auto_json json = parsed(texts[i]);
		const bl_json *value = NULL;
		struct bl_err err;

		if (bl_json_get(json, "masks", &value, &err) != -EINVAL)
			fail_msg("not refused: %s", texts[i]);
	}
}

static void integers_not_rounded(void **state)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} cases[] = {
		{"0", 0, 0},
		{"-0", 0, 0},
		{"9007199254740991", 0, BL_JSON_INT_MAX},
		{"-9007199254740991", 0, -BL_JSON_INT_MAX},
		{"9007199254740992", -EINVAL, 0},
		{"9007199254740993", -EINVAL, 0},
		{"18446744073709551616", -EINVAL, 0},
		{"0.5", -EINVAL, 0},
		{"1e300", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
		{"1e3", -EINVAL, 0},
		{"-9007199254740992", -EINVAL, 0},
		{"999999999999999999999999999999999999999999999999999999999999999", -EINVAL, 0},
		{"\"1\"", -EINVAL, 0},
		{"true", -EINVAL, 0},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_json json = parsed(cases[i].text);
		int64_t value = 0;

		assert_int_equal(bl_json_int(json, &value), cases[i].result);
		assert_int_equal(value, cases[i].value);
	}
}

static void integer_range_kept(void **state)
{
	auto_json json = parsed("{\"n\":10,\"f\":1.5}");
	int64_t number = 0;
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_json_get_int(json, "n", 0, 10, &number, &err), 1);
	assert_int_equal(bl_json_get_int(json, "n", 0, 9, &number, &err), -EINVAL);
	assert_string_equal(err.msg, "n: must be an integer from 0 to 9");
	assert_int_equal(bl_json_get_int(json, "n", 11, 12, &number, &err), -EINVAL);
	assert_int_equal(bl_json_get_int(json, "f", 0, 9, &number, &err), -EINVAL);
}

static void unknown_keys_named(void **state)
{
	static const char *const keys[] = {"source", "mount_location", NULL};
	auto_json good = parsed("{\"source\":1}");
	auto_json near = parsed("{\"mount_locaton\":1}");
	auto_json far = parsed("{\"color\":1}");
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_json_only_keys(good, keys, &err), 0);
	assert_int_equal(bl_json_only_keys(near, keys, &err), -EINVAL);
	assert_string_equal(err.msg,
			    "mount_locaton: unknown key, did you mean \"mount_location\"?");
	assert_int_equal(bl_json_only_keys(far, keys, &err), -EINVAL);
	assert_string_equal(err.msg, "color: unknown key");
}

static void canonical_form(void **state)
{
	(void)state;
	assert_canonical("{ \"b\" : [ 1 , true , null ] , \"a\" : { } }",
			 "{\"a\":{},\"b\":[1,true,null]}");
	assert_canonical("[]", "[]");
	assert_canonical("-0", "0");
	assert_canonical("9007199254740991", "9007199254740991");
	/* RFC 8785, 3.2.2.2: short escapes, \u00xx in lower case, all else as it is. */
	assert_canonical("\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\"",
			 "\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"");
	assert_canonical("\"\\b\\f\\t\\r\\u001f\\u007f\\u2028\"",
			 "\"\\b\\f\\t\\r\\u001f\x7f\xe2\x80\xa8\"");
	/* RFC 8785, 3.2.3: its own example of the order. */
	assert_canonical("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\","
			 "\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
			 "\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
			 "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
			 "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
			 "\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\","
			 "\"\xe2\x82\xac\":\"Euro Sign\","
			 "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\","
			 "\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
	assert_canonical("{\"a\\ud83d\\ude00\":1,\"a\":2,\"a\\uffff\":3,\"aa\":4}",
			 "{\"a\":2,\"aa\":4,\"a\xf0\x9f\x98\x80\":1,\"a\xef\xbf\xbf\":3}");
}

static void made_and_changed(void **state)
{
	auto_json json = bl_json_new_object();
	auto_json copy = NULL;
	auto_buf buf = BL_BUF_INIT(1024);
	bl_json *list;
	struct bl_err err;
	(void)state;

	list = bl_json_set_array(json, "list");
	assert_non_null(bl_json_set_int(list, NULL, -5));
	assert_non_null(bl_json_set_bool(list, NULL, false));
	assert_non_null(bl_json_set_null(list, NULL));
	assert_non_null(bl_json_set_string(bl_json_set_object(json, "o"), "k", "v"));
	assert_non_null(bl_json_set_copy(json, "twin", list));
	assert_non_null(bl_json_set_bool(json, "last", true));
	bl_json_remove(json, "absent");
	bl_json_remove(json, "last");
	bl_json_remove(json, "list");
	assert_non_null(bl_json_set_int(json, "x", -5));
	copy = bl_json_copy(json);
	assert_int_equal(bl_json_write(&buf, copy, &err), 0);
	assert_string_equal(bl_buf_str(&buf),
			    "{\"o\":{\"k\":\"v\"},\"twin\":[-5,false,null],\"x\":-5}");
}

/* A config.json's limits have 64 bits, and whoever reads them next takes no "1.8e+19". */
static void numbers_that_would_be_rounded_stay(void **state)
{
	static const char text[] = "[18446744073709551615,-9007199254740993,1.50,-1E+2]";
	auto_json json = NULL;
	auto_json copy = NULL;
	auto_buf buf = BL_BUF_INIT(1024);
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_json_parse(text, strlen(text), &loose, &json, &err), 0);
	copy = bl_json_copy(json);
	bl_json_free(&json);
	assert_int_equal(bl_json_write(&buf, copy, &err), 0);
	assert_string_equal(bl_buf_str(&buf), text);
}

static void writing_bounded(void **state)
{
	auto_json json = parsed("[\"0123456789\",\"0123456789\"]");
	auto_buf buf = BL_BUF_INIT(20);
	struct bl_err err;
	(void)state;

	assert_int_equal(bl_json_write(&buf, json, &err), -EFBIG);
}

/* A text that was cut inside a character must not spoil the whole answer that it stands in. */
static void written_as_utf8(void **state)
{
	static const struct {
		const char *text, *written;
	} cases[] = {
		{"caf\xc3\xa9 \xf0\x9f\x9a\xa2", "\"caf\xc3\xa9 \xf0\x9f\x9a\xa2\""},
		{"caf\xc3", "\"caf\\ufffd\""},
		{"\xf0\x9f\x9a", "\"\\ufffd\\ufffd\\ufffd\""},
		{"\xa9\"x", "\"\\ufffd\\\"x\""},
		{"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_buf buf = BL_BUF_INIT(1024);

		assert_int_equal(bl_json_write_string(&buf, cases[i].text, NULL), 0);
		assert_string_equal(bl_buf_str(&buf), cases[i].written);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar_accepted),
		cmocka_unit_test(grammar_refused),
		cmocka_unit_test(nothing_read_beyond_the_end),
		cmocka_unit_test(fractions_refused_unless_let_through),
		cmocka_unit_test(depth_and_size_bounded),
		cmocka_unit_test(values_bounded),
		cmocka_unit_test(members_read_by_exact_key),
		cmocka_unit_test(nulls_absent),
		cmocka_unit_test(case_variants_refused),
		cmocka_unit_test(integers_not_rounded),
		cmocka_unit_test(integer_range_kept),
		cmocka_unit_test(unknown_keys_named),
		cmocka_unit_test(canonical_form),
		cmocka_unit_test(made_and_changed),
		cmocka_unit_test(numbers_that_would_be_rounded_stay),
		cmocka_unit_test(writing_bounded),
		cmocka_unit_test(written_as_utf8),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
