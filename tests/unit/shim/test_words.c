// SPDX-License-Identifier: Apache-2.0
/* start_command without a shell. What is split here is compared with what sh makes of it. */
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
#include "shim/words.h"

/* The words, each in <>, as printf in a shell would show them. */
static void show(const char *text, struct bl_buf *to)
{
	auto_words words = {0};
	struct bl_err err;

	to->len = 0;
	if (bl_words_split(&words, text, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	for (size_t i = 0; i < words.count; i++)
		assert_int_equal(bl_buf_putf(to, NULL, "<%s>", words.list[i]), 0);
	assert_null(words.list[words.count]);
}

static void show_shell(const char *text, struct bl_buf *to)
{
	char *script = NULL;
	FILE *pipe;
	size_t n;

	to->len = 0;
	assert_true(asprintf(&script, "printf '<%%s>' %s", text) > 0);
	assert_int_equal(setenv("SCRIPT", script, 1), 0);
	free(script);
	pipe = popen("sh -c \"$SCRIPT\"", "r");
	assert_non_null(pipe);
	n = fread(bl_buf_reserve(to, 4096, NULL), 1, 4096, pipe);
	to->len = n;
	to->data[n] = '\0';
	assert_int_equal(pclose(pipe), 0);
}

static void test_as_the_shell_does(void **state)
{
	static const char *const texts[] = {
		"server",
		"  server\t--port  80 ",
		"server 'a b' \"c d\" e\\ f",
		"server ''",
		"server \"\" '' x",
		"server a'b'\"c\"d",
		"server \"a\\\"b\" \"a\\\\b\" \"a\\nb\" \"a\\$b\" 'a\\b'",
		"server 'it'\\''s'",
		"server '$HOME' '`x`' '*' \"a*b\" \"x&&y\" 'a;b' \"#no\"",
		"server a#b c\\#d '#e'",
		"server # the rest is a comment && so",
		"server a \\\n b",
		"server \"a\\\nb\"",
		"server \"a\nb\" 'c\nd'",
		"server --opt=a=b x{y}z a!b",
		"server a~b \\~ '~' --x=1",
		"server \\a\\b \\\\",
		"server \"a\\\\\nb\"",
		"server x\\",
	};
	auto_buf ours = BL_BUF_INIT(65536);
	auto_buf shell = BL_BUF_INIT(65536);

	(void)state;
	/* The last has no end here, while a shell takes the backslash itself. */
	for (size_t i = 0; i + 1 < sizeof(texts) / sizeof(*texts); i++) {
		show(texts[i], &ours);
		show_shell(texts[i], &shell);
		assert_string_equal(ours.data, shell.data);
	}
}

static void test_exec_is_dropped(void **state)
{
	auto_buf ours = BL_BUF_INIT(65536);

	(void)state;
	show("exec server --x", &ours);
	assert_string_equal(ours.data, "<server><--x>");
	show("\n # a comment\n  server --x \n# another\n\n", &ours);
	assert_string_equal(ours.data, "<server><--x>");
}

static void test_needs_a_shell(void **state)
{
	static const struct {
		const char *text;
		const char *what;
	} cases[] = {
		{"cd /x && server", "'cd' is a command of the shell itself"},
		{"server && other", "'&&' is an operator"},
		{"server&", "'&' is an operator"},
		{"server | tee", "'|' is an operator"},
		{"server; other", "';' is an operator"},
		{"server > log", "'>' is an operator"},
		{"server 2>&1", "'>&' is an operator"},
		{"(server)", "'(' is an operator"},
		{"server $PORT", "'$' is an expansion"},
		{"server \"$PORT\"", "'$' is an expansion"},
		{"server `port`", "'`' is an expansion"},
		{"server \"`port`\"", "'`' is an expansion"},
		{"server ~/x", "'~' is an expansion"},
		{"server *.py", "'*' is a pattern"},
		{"server [ab]", "'[' is a pattern"},
		{"server a?", "'?' is a pattern"},
		{"A=1 server", "'A=' is an assignment"},
		{"exec A=1 server", "'A=' is an assignment"},
		{"if true", "'if' is a reserved word"},
		{"{ server", "'{' is a reserved word"},
		{"export A", "'export' is a command of the shell itself"},
		{"server\nother", "more than one line"},
		{"server\n# x\nother", "more than one line"},
		{"server 'x", "a single quote has no end"},
		{"server \"x", "a double quote has no end"},
		{"server x\\", "backslash at the end"},
		{"", "there is no command"},
		{" \t\n", "there is no command"},
		{"# only", "there is no command"},
		{"exec", "there is no command"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		auto_words words = {0};
		struct bl_err err = {.msg = ""};

		assert_int_equal(bl_words_split(&words, cases[i].text, &err), -EINVAL);
		if (!strstr(err.msg, cases[i].what))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_the_shell_does),
		cmocka_unit_test(test_exec_is_dropped),
		cmocka_unit_test(test_needs_a_shell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
