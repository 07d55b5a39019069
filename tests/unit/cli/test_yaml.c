// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/yaml.h"
#include "common/buf.h"
#include "common/cleanup.h"
#include "common/err.h"

/* The document as JSON, or the error; valid until the next call. */
static const char *json_of(const char *text)
{
	static struct bl_buf buf = {.max = 1024 * 1024};
	struct bl_err err = {0};
	auto_yaml document = NULL;
	auto_json list = bl_json_new_array();
	int r = bl_yaml_parse("f", text, strlen(text), &document, &err);

	bl_buf_done(&buf);
	if (r == 0)
		r = bl_yaml_to_json(bl_yaml_root(document), list, NULL, &err);
	if (r == 0)
		r = bl_json_write(&buf, bl_json_first(list), &err);
	if (r < 0) {
		assert_int_equal(err.code, BL_EX_CONFIG);
		assert_int_equal(bl_buf_puts(&buf, err.msg, NULL), 0);
	}
	return bl_buf_str(&buf);
}

/* The one scalar as the environment would have it. */
static const char *text_of(const char *text)
{
	static struct bl_buf buf = {.max = 1024};
	auto_yaml document = NULL;
	struct bl_err err;

	bl_buf_done(&buf);
	assert_int_equal(bl_yaml_parse("f", text, strlen(text), &document, &err), 0);
	assert_int_equal(bl_yaml_to_text(bl_yaml_root(document), &buf, &err), 0);
	return bl_buf_str(&buf);
}

static enum bl_yaml_kind kind_of(const char *text)
{
	auto_yaml document = NULL;
	struct bl_err err;

	assert_int_equal(bl_yaml_parse("f", text, strlen(text), &document, &err), 0);
	return bl_yaml_root(document)->kind;
}

static void scalars_are_of_yaml_1_1(void **state)
{
	(void)state;
	assert_string_equal(json_of("[yes, No, ON, off, true, y, n]"),
			    "[true,false,true,false,true,\"y\",\"n\"]");
	assert_string_equal(json_of("[~, null, Null, '']"), "[null,null,null,\"\"]");
	assert_string_equal(json_of("[0x1F, 0b101, 010, 1_000, -7, +3, 1:30, 0o7, 09]"),
			    "[31,5,8,1000,-7,3,90,\"0o7\",\"09\"]");
	assert_string_equal(json_of("['yes', \"0x10\", !!str 12, ! 12, !!int '0x10']"),
			    "[\"yes\",\"0x10\",\"12\",\"12\",16]");
	assert_int_equal(kind_of("1.5"), BL_YAML_FLOAT);
	assert_int_equal(kind_of(".5"), BL_YAML_FLOAT);
	assert_int_equal(kind_of("-.inf"), BL_YAML_FLOAT);
	assert_int_equal(kind_of("1e5"), BL_YAML_STRING);
	assert_int_equal(kind_of("1.0e5"), BL_YAML_STRING);
	assert_int_equal(kind_of("1.0e+5"), BL_YAML_FLOAT);
	assert_int_equal(kind_of("2026-01-31"), BL_YAML_DATE);
	assert_int_equal(kind_of("2026-1-31"), BL_YAML_STRING);
	assert_int_equal(kind_of("2001-12-14t21:59:43.10-05:00"), BL_YAML_DATE);
	assert_int_equal(kind_of("v1.2.3"), BL_YAML_STRING);
	assert_int_equal(kind_of("1.2.3"), BL_YAML_STRING);
}

static void texts_for_the_environment(void **state)
{
	(void)state;
	assert_string_equal(text_of("Yes"), "true");
	assert_string_equal(text_of("0x10"), "16");
	assert_string_equal(text_of("1.50"), "1.5");
	assert_string_equal(text_of("2.0"), "2.0");
	assert_string_equal(text_of("0.1"), "0.1");
	assert_string_equal(text_of("1.0e+20"), "1e+20");
	assert_string_equal(text_of("123456.789"), "123456.789");
	assert_string_equal(text_of("100.0"), "100.0");
	assert_string_equal(text_of("0.0"), "0.0");
	assert_string_equal(text_of("2026-01-31"), "2026-01-31");
	assert_string_equal(text_of("~"), "None");
	assert_string_equal(text_of("'yes'"), "yes");
}

static void aliases_and_merge_keys(void **state)
{
	(void)state;
	assert_string_equal(
		json_of("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: *x\n"),
		"{\"a\":{\"b\":1,\"c\":2},\"d\":{\"b\":1,\"c\":3},\"e\":{\"b\":1,\"c\":2}}");
	assert_string_equal(json_of("- &x {b: 1}\n- &y {b: 2, c: 3}\n- {<<: [*x, *y]}\n"),
			    "[{\"b\":1},{\"b\":2,\"c\":3},{\"b\":1,\"c\":3}]");
	assert_string_equal(json_of("a: &x [*x]"), "f:1: an alias within its own anchor");
	assert_string_equal(json_of("a: *x"), "f:1: an alias without an anchor");
	assert_string_equal(json_of("a: {<<: 3}"), "f:1: only mappings can be merged");
	assert_string_equal(json_of("a: {\"<<\": {b: 1}}"), "{\"a\":{\"<<\":{\"b\":1}}}");
}

static void faults_are_placed(void **state)
{
	(void)state;
	assert_string_equal(json_of("a: 1\nb: 2\na: 3\n"), "f:3: the key a stands twice");
	assert_string_equal(json_of("a: 1\n---\nb: 1\n"),
			    "f:2: a second document; the file is to have one");
	assert_string_equal(json_of("on: 1"),
			    "f:1: the key on is a boolean in YAML; put it in quotes");
	assert_string_equal(json_of("? [a]\n: 1"), "f:1: a key must be a text");
	assert_string_equal(json_of("a: !python/object x"),
			    "f:1: a value that is not of its tag, or an unknown tag");
	assert_string_equal(json_of("a: \"\\0\""), "f:1: NUL in a text");
	assert_string_equal(json_of("a: 99999999999999999999"),
			    "f:1: an integer of more than 64 bits");
	assert_string_equal(json_of("a: 1.5"), "1.5 is a float in YAML; put it in quotes");
	assert_non_null(strstr(json_of("a: [1\nb: 2"), "f:2: not valid YAML"));
	assert_string_equal(json_of(""), "null");
}

static void bombs_run_into_the_bounds(void **state)
{
	auto_buf deep = BL_BUF_INIT(4096);
	auto_buf laughs = BL_BUF_INIT(4096);

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(bl_buf_puts(&deep, "[", NULL), 0);
	assert_non_null(strstr(json_of(bl_buf_str(&deep)), "nested deeper than 64 levels"));
	assert_int_equal(bl_buf_puts(&laughs, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n", NULL), 0);
	for (int i = 1; i < 9; i++)
		assert_int_equal(bl_buf_putf(&laughs, NULL,
					     "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i,
					     i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1),
				 0);
	assert_non_null(strstr(json_of(bl_buf_str(&laughs)), "more values than the maximum"));
}

/* A mapping of so many keys, written out, or merged from two with half of them each. */
static const char *with_keys(bool merged, size_t keys)
{
	static struct bl_buf text = {.max = 1024 * 1024};
	auto_buf odd = BL_BUF_INIT(1024 * 1024);
	auto_buf even = BL_BUF_INIT(1024 * 1024);

	bl_buf_done(&text);
	for (size_t i = 0; i < keys; i++)
		assert_int_equal(bl_buf_putf(i % 2 ? &odd : &even, NULL, "k%zu: 1,", i), 0);
	assert_int_equal(
		merged ? bl_buf_putf(&text, NULL, "{<<: [{%s}, {%s}]}", bl_buf_str(&odd),
				     bl_buf_str(&even))
		       : bl_buf_putf(&text, NULL, "{%s %s}", bl_buf_str(&odd), bl_buf_str(&even)),
		0);
	return bl_buf_str(&text);
}

static void the_keys_of_a_mapping_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(*json_of(with_keys(false, 4096)), '{');
	assert_string_equal(json_of(with_keys(false, 4097)),
			    "f:1: a mapping of more than 4096 keys");
	/* Those that come by a merge key are compared, too. */
	assert_int_equal(*json_of(with_keys(true, 4096)), '{');
	assert_string_equal(json_of(with_keys(true, 4097)),
			    "f:1: a mapping of more than 4096 keys");
}

static void nodes_are_found_by_path(void **state)
{
	static const char text[] = "weights:\n- source: a\n- source: b\n  auth:\n    m: 1\n";
	auto_yaml document = NULL;
	struct bl_err err;
	const struct bl_yaml *weights;

	(void)state;
	assert_int_equal(bl_yaml_parse("f", text, strlen(text), &document, &err), 0);
	weights = bl_yaml_get(bl_yaml_root(document), "weights");
	assert_int_equal(bl_yaml_find(weights, "[1].auth.m: wrong")->line, 5);
	assert_int_equal(bl_yaml_find(weights, "[1].auth.none: wrong")->line, 5);
	assert_int_equal(bl_yaml_find(weights, "[0].source")->line, 2);
	assert_int_equal(bl_yaml_find(weights, "[7].source")->line, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scalars_are_of_yaml_1_1),
		cmocka_unit_test(texts_for_the_environment),
		cmocka_unit_test(aliases_and_merge_keys),
		cmocka_unit_test(faults_are_placed),
		cmocka_unit_test(bombs_run_into_the_bounds),
		cmocka_unit_test(the_keys_of_a_mapping_are_bounded),
		cmocka_unit_test(nodes_are_found_by_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
