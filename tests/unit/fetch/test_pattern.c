// SPDX-License-Identifier: Apache-2.0
/* Patterns: what each sign means, that none takes exponential time, and what is told of them. */
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
#include "fetch/pattern.h"

struct row {
	const char *pattern, *name;
	bool glob, fnmatch;
};

static const struct row rows[] = {
	{"config.json", "config.json", true, true},
	{"config.json", "configXjson", false, false},
	{"config.json", "a/config.json", false, false},
	{"*.json", "config.json", true, true},
	{"*.json", ".json", true, true},
	{"*.json", "a/config.json", false, true},
	{"*", "a", true, true},
	{"*", "a/b", false, true},
	{"*", ".gitattributes", true, true},
	{"a*", "a", true, true},
	{"*a*b*", "xxaxxbxx", true, true},
	{"*a*b*", "xxbxxaxx", false, false},
	{"*ab", "aab", true, true},
	{"*aab", "aaab", true, true},
	{"?", "a", true, true},
	{"?", "", false, false},
	{"?", "ab", false, false},
	{"?", "\xc3\xa9", true, true},
	{"??", "\xc3\xa9", false, false},
	{"a?b", "a/b", false, true},
	/* directories */
	{"**/*.bin", "x.bin", true, false},
	{"**/*.bin", "a/x.bin", true, true},
	{"**/*.bin", "a/b/c/x.bin", true, true},
	{"**/*.bin", "a/x.bin/y", false, false},
	{"a/**/x", "a/x", true, false},
	{"a/**/x", "a/b/x", true, true},
	{"a/**/x", "a/b/c/x", true, true},
	{"a/**/x", "ab/x", false, false},
	{"a/**/x", "a/bx", false, false},
	{"**/a/**/b", "a/b", true, false},
	{"**/a/**/b", "x/a/y/a/b", true, true},
	{"**/**/x", "x", true, false},
	{"a/**", "a/b", true, true},
	{"a/**", "a/b/c", true, true},
	{"a/**", "a", false, false},
	{"**", "a/b/c", true, true},
	{"**", "a", true, true},
	{"a**", "a/b", false, true},
	{"a**b", "axb", true, true},
	{"a**/b", "ax/b", true, true},
	{"a**/b", "a/x/b", false, true},
	{"x**/y", "x/y", true, true},
	{"***/x", "a/x", true, true},
	{"***/x", "x", false, false},
	{"a/", "a/b", false, true},
	/* sets */
	{"[abc]", "b", true, true},
	{"[abc]", "d", false, false},
	{"[a-c]x", "bx", true, true},
	{"[!a-c]", "b", false, false},
	{"[!a-c]", "d", true, true},
	{"[^a-c]", "d", true, true},
	{"[]]", "]", true, true},
	{"[!]]", "]", false, false},
	{"[]-]", "-", true, true},
	{"[a-]", "-", true, true},
	{"[-a]", "-", true, true},
	{"[!a]", "/", false, true},
	{"a[!b]c", "a/c", false, true},
	{"model-[0-9][0-9].bin", "model-07.bin", true, true},
	{"[[:digit:]]", "5", true, true},
	{"[[:digit:]]", "x", false, false},
	{"[![:digit:]]", "x", true, true},
	{"[[:upper:][:digit:]_]", "_", true, true},
	{"[[:nonsense:]]", "n]", true, true},
	{"[[.a.]]", "a", true, true},
	{"[[=a=]]", "a", true, true},
	{"[\\]]", "]", true, true},
	{"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true, true},
	{"[a", "[a", true, true},
	{"[", "[", true, true},
	{"[a/b]", "[a/b]", true, true},
	{"[!", "[!", true, true},
	/* escapes */
	{"\\*", "*", true, true},
	{"\\*", "x", false, false},
	{"\\[a]", "[a]", true, true},
	{"a\\", "a\\", true, true},
	/* bytes that are no UTF-8 stand for themselves */
	{"\xff", "\xff", true, true},
	{"\xff", "\xfe", false, false},
	{"?", "\xff", true, true},
};

static bool matches(const char *text, enum bl_pattern_style style, const char *name)
{
	auto_pattern pattern = NULL;
	struct bl_err err;

	assert_int_equal(bl_pattern_compile(text, style, &pattern, &err), 0);
	return bl_pattern_match(pattern, name);
}

static void meaning(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		if (matches(row->pattern, BL_PATTERN_GLOB, row->name) != row->glob ||
		    matches(row->pattern, BL_PATTERN_FNMATCH, row->name) != row->fnmatch)
			fail_msg("row %zu: \"%s\" against '%s'", i, row->pattern, row->name);
	}
}

static void length_is_bounded(void **state)
{
	struct bl_err err;
	auto_pattern pattern = NULL;
	char text[1026];

	(void)state;
	memset(text, 'a', sizeof(text));
	text[1025] = '\0';
	assert_int_equal(bl_pattern_compile(text, BL_PATTERN_GLOB, &pattern, &err), -EINVAL);
	text[1024] = '\0';
	assert_int_equal(bl_pattern_compile(text, BL_PATTERN_GLOB, &pattern, &err), 0);
	bl_pattern_free(&pattern);
	assert_int_equal(bl_pattern_compile("", BL_PATTERN_GLOB, &pattern, &err), -EINVAL);
}

/* With backtracking this would take longer than the universe has; here it is a few million steps. */
static void no_pattern_explodes(void **state)
{
	char pattern[1024] = "";
	char name[3000];

	(void)state;
	for (size_t i = 0; i < 300; i++)
		strcat(pattern, i % 3 ? "*a" : "*?");
	strcat(pattern, "b");
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_false(matches(pattern, BL_PATTERN_GLOB, name));

	pattern[0] = '\0';
	for (size_t i = 0; i < 200; i++)
		strcat(pattern, "**/a/");
	strcat(pattern, "b");
	for (size_t i = 1; i < sizeof(name) - 1; i += 2)
		name[i] = '/';
	assert_false(matches(pattern, BL_PATTERN_GLOB, name));
}

static void judge(struct bl_pattern_filter *filter, const char *name, bool taken, const char *why)
{
	struct bl_pattern_verdict verdict;
	struct bl_err err;
	auto_buf text = BL_BUF_INIT(1000);

	assert_int_equal(bl_pattern_filter_judge(filter, name, &verdict, &err), 0);
	assert_int_equal(verdict.taken, taken);
	assert_int_equal(bl_pattern_verdict_text(&verdict, &text, &err), 0);
	assert_string_equal(bl_buf_str(&text), why);
}

static void ignore_wins_and_verdicts_tell(void **state)
{
	const char *allow[] = {"*.json", "*.safetensors", "*.pt", NULL};
	const char *ignore[] = {"tokenizer*", "*.md", NULL};
	auto_pattern_filter filter = {0};
	auto_buf notes = BL_BUF_INIT(4096);
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_pattern_filter_init(&filter, allow, ignore, &err), 0);
	judge(&filter, "config.json", true, "allowed by \"*.json\"");
	judge(&filter, "tokenizer.json", false, "ignored by \"tokenizer*\"");
	judge(&filter, "x.bin", false, "no allow pattern matches");
	judge(&filter, "unet/x.safetensors", false, "no allow pattern matches");
	assert_int_equal(filter.seen, 4);
	assert_int_equal(filter.taken, 1);
	assert_int_equal(bl_pattern_filter_check(&filter, &err), 0);
	assert_int_equal(bl_pattern_filter_notes(&filter, &notes, &err), 0);
	assert_string_equal(
		bl_buf_str(&notes),
		"allow_patterns: \"*.safetensors\" leaves out 1 files in subdirectories, such as "
		"'unet/x.safetensors', that Python's fnmatch would match: '*' does not cross '/' "
		"here, write \"**/\" where directories may stand\n"
		"allow_patterns: \"*.pt\" matches nothing\n"
		"ignore_patterns: \"*.md\" matches nothing\n");
}

static void without_patterns_all_is_taken(void **state)
{
	auto_pattern_filter filter = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_pattern_filter_init(&filter, NULL, NULL, &err), 0);
	judge(&filter, "a/b", true, "no allow patterns");
}

static void nothing_left_names_patterns_and_counts(void **state)
{
	const char *allow[] = {"*.safetensors", "*.json", NULL};
	const char *ignore[] = {"*.json", NULL};
	auto_pattern_filter filter = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_pattern_filter_init(&filter, allow, ignore, &err), 0);
	judge(&filter, "config.json", false, "ignored by \"*.json\"");
	judge(&filter, "unet/a.safetensors", false, "no allow pattern matches");
	assert_int_equal(bl_pattern_filter_check(&filter, &err), -ENOENT);
	assert_int_equal(err.code, BL_EX_CONFIG);
	assert_string_equal(err.msg,
			    "the patterns leave nothing of the source's 2 files; allow_patterns: "
			    "\"*.safetensors\" matches 0, \"*.json\" matches 1; ignore_patterns: "
			    "\"*.json\" matches 1; '*' does not cross '/': write "
			    "\"**/*.safetensors\" for files in subdirectories (1 of them)");
}

static void check_advice(const char *pattern, const char *file, const char *advice)
{
	const char *allow[] = {pattern, NULL};
	auto_pattern_filter filter = {0};
	struct bl_err err;

	assert_int_equal(bl_pattern_filter_init(&filter, allow, NULL, &err), 0);
	judge(&filter, file, false, "no allow pattern matches");
	assert_int_equal(bl_pattern_filter_check(&filter, &err), -ENOENT);
	if (!strstr(err.msg, advice))
		fail_msg("no '%s' in: %s", advice, err.msg);
}

static void what_is_advised_would_match(void **state)
{
	(void)state;
	check_advice("unet/", "unet/a.bin",
		     "; \"unet/\" matches no file: write \"**\" behind it for all beneath it (1 of "
		     "them)");
	check_advice("unet/*.bin", "unet/deep/a.bin",
		     "; '*' does not cross '/': write \"**/\" in \"unet/*.bin\" where directories "
		     "may stand, for 1 "
		     "more");
	check_advice("*.bin", "unet/a.bin", "write \"**/*.bin\"");
}

/* What is cut is never advice to be followed as it stands. */
static void a_long_pattern_is_told_as_cut(void **state)
{
	const char *allow[] = {"*-00001-of-00004.quantised.safetensors", NULL};
	auto_pattern_filter filter = {0};
	struct bl_err err;

	(void)state;
	assert_int_equal(bl_pattern_filter_init(&filter, allow, NULL, &err), 0);
	judge(&filter, "a/x-00001-of-00004.quantised.safetensors", false,
	      "no allow pattern matches");
	assert_int_equal(bl_pattern_filter_check(&filter, &err), -ENOENT);
	assert_string_equal(
		err.msg, "the patterns leave nothing of the source's 1 files; allow_patterns: "
			 "\"*-00001-of-00004.quantis...\" matches 0; '*' does not cross '/': put "
			 "\"**/\" before \"*-00001-of-00004.quantis...\" for files in "
			 "subdirectories (1 of them)");
}

static void a_thousand_patterns_fit_a_message(void **state)
{
	static char texts[1000][1000];
	const char *allow[1001] = {NULL};
	auto_pattern_filter filter = {0};
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		memset(texts[i], 'x', 999);
		allow[i] = texts[i];
	}
	assert_int_equal(bl_pattern_filter_init(&filter, allow, allow, &err), 0);
	judge(&filter, "a", false, "no allow pattern matches");
	assert_int_equal(bl_pattern_filter_check(&filter, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "change the patterns"));
}

/* Linear in the name is not enough where patterns and names are many: a tenant writes both. */
static void work_is_bounded(void **state)
{
	char stars[1001] = "", name[2001] = "";
	const char *const ignore[] = {stars, NULL};
	auto_pattern_filter filter = {0};
	struct bl_pattern_verdict verdict;
	struct bl_err err;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		stars[i] = i % 2 ? 'a' : '*';
	memset(name, 'a', sizeof(name) - 1);
	assert_int_equal(bl_pattern_filter_init(&filter, NULL, ignore, &err), 0);
	assert_int_equal(bl_pattern_filter_judge(&filter, name, &verdict, &err), 0);
	assert_false(verdict.taken);
	assert_true(filter.work > 1000000);
	filter.work = BL_PATTERN_MAX_WORK - 1000000;
	assert_int_equal(bl_pattern_filter_judge(&filter, name, &verdict, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "fewer"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(meaning),
		cmocka_unit_test(length_is_bounded),
		cmocka_unit_test(no_pattern_explodes),
		cmocka_unit_test(ignore_wins_and_verdicts_tell),
		cmocka_unit_test(without_patterns_all_is_taken),
		cmocka_unit_test(nothing_left_names_patterns_and_counts),
		cmocka_unit_test(what_is_advised_would_match),
		cmocka_unit_test(a_long_pattern_is_told_as_cut),
		cmocka_unit_test(a_thousand_patterns_fit_a_message),
		cmocka_unit_test(work_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
