// SPDX-License-Identifier: Apache-2.0
#include "shim/words.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

/* A text on its way into words. */
struct splitter {
	const char *at;
	char *to; /* where the next byte of the present word goes */
	bool in_word;
	bool quoted; /* part of the present word was quoted: no reserved word, no assignment */
	struct bl_words *words;
};

static int needs_shell(const char *what, size_t len, const char *why, struct bl_err *err)
{
	return bl_err_config(err,
			     "start_command: '%.*s' %s, and the image has no /bin/sh: use a plain "
			     "command, or an image with a shell",
			     (int)len, what, why);
}

static int unfinished(const char *what, struct bl_err *err)
{
	return bl_err_config(err, "start_command: a %s has no end", what);
}

static void begin_word(struct splitter *s)
{
	if (!s->in_word)
		s->words->list[s->words->count++] = s->to;
	s->in_word = true;
}

static void put(struct splitter *s, char c)
{
	begin_word(s);
	*s->to++ = c;
}

static bool is_name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static bool is_assignment(const char *word)
{
	size_t len = 0;

	while (is_name_char(word[len], len == 0))
		len++;
	return len > 0 && word[len] == '=';
}

static bool is_one_of(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(word, *list) == 0)
			return true;
	return false;
}

/* The first word decides what a shell would make of the rest. */
static int check_first(const char *word, bool quoted, struct bl_err *err)
{
	static const char *const reserved[] = {"!",    "{",    "}",	"case",	 "do",	"done",
					       "elif", "else", "esac",	"fi",	 "for", "if",
					       "in",   "then", "until", "while", NULL};
	static const char *const builtin[] = {
		".",	 ":",	 "alias",  "bg",       "cd",	 "eval", "exit",  "export",
		"fg",	 "jobs", "read",   "readonly", "return", "set",	 "shift", "source",
		"times", "trap", "ulimit", "umask",    "unset",	 "wait", NULL};

	if (!quoted && is_assignment(word))
		return needs_shell(word, strcspn(word, "=") + 1, "is an assignment", err);
	if (!quoted && is_one_of(word, reserved))
		return needs_shell(word, strlen(word), "is a reserved word of the shell", err);
	if (is_one_of(word, builtin))
		return needs_shell(word, strlen(word), "is a command of the shell itself", err);
	return 0;
}

static int end_word(struct splitter *s, struct bl_err *err)
{
	struct bl_words *words = s->words;
	bool first = words->count == 1;
	const char *word;

	if (!s->in_word)
		return 0;
	word = words->list[words->count - 1];
	*s->to++ = '\0';
	s->in_word = false;
	/* `exec server` is what a shell would be told so as not to stay: nothing stays here. */
	if (first && !s->quoted && strcmp(word, "exec") == 0)
		words->count = 0;
	else if (first && check_first(word, s->quoted, err) < 0)
		return -EINVAL;
	s->quoted = false;
	return 0;
}

static int take_single(struct splitter *s, struct bl_err *err)
{
	const char *end = strchr(++s->at, '\'');

	if (!end)
		return unfinished("single quote", err);
	begin_word(s);
	s->quoted = true;
	while (s->at < end)
		put(s, *s->at++);
	s->at++;
	return 0;
}

static int take_double(struct splitter *s, struct bl_err *err)
{
	begin_word(s);
	s->quoted = true;
	for (s->at++; *s->at != '"'; s->at++) {
		if (!*s->at)
			return unfinished("double quote", err);
		if (*s->at == '$' || *s->at == '`')
			return needs_shell(s->at, 1, "is an expansion", err);
		if (*s->at == '\\' && s->at[1] == '\n') {
			s->at++;
			continue;
		}
		if (*s->at == '\\' && s->at[1] && strchr("$`\"\\", s->at[1]))
			s->at++;
		put(s, *s->at);
	}
	s->at++;
	return 0;
}

static int take_backslash(struct splitter *s, struct bl_err *err)
{
	s->at++;
	if (!*s->at)
		return unfinished("backslash at the end, which", err);
	if (*s->at != '\n') {
		s->quoted = true;
		put(s, *s->at);
	}
	s->at++;
	return 0;
}

/* A newline ends the command: only blanks, newlines and comments may follow. */
static int take_newline(struct splitter *s, struct bl_err *err)
{
	const char *rest = s->at;

	if (end_word(s, err) < 0)
		return -EINVAL;
	while (*rest) {
		rest += strspn(rest, " \t\n");
		if (*rest == '#')
			rest += strcspn(rest, "\n");
		else if (*rest && s->words->count > 0)
			return bl_err_config(err, "start_command: more than one line is more than "
						  "one command, and the image has no /bin/sh");
		else
			break;
	}
	s->at = rest;
	return 0;
}

static int take_plain(struct splitter *s, struct bl_err *err)
{
	char c = *s->at;

	if (strchr("|&;<>()", c))
		return needs_shell(s->at, strspn(s->at, "|&;<>()"), "is an operator", err);
	if (c == '$' || c == '`')
		return needs_shell(s->at, 1, "is an expansion", err);
	if (strchr("*?[", c))
		return needs_shell(s->at, 1, "is a pattern", err);
	if (c == '~' && !s->in_word)
		return needs_shell(s->at, 1, "is an expansion", err);
	put(s, c);
	s->at++;
	return 0;
}

static int step(struct splitter *s, struct bl_err *err)
{
	switch (*s->at) {
	case ' ':
	case '\t':
		s->at++;
		return end_word(s, err);
	case '\n':
		return take_newline(s, err);
	case '\'':
		return take_single(s, err);
	case '"':
		return take_double(s, err);
	case '\\':
		return take_backslash(s, err);
	case '#':
		if (s->in_word)
			break;
		s->at += strcspn(s->at, "\n");
		return 0;
	default:
		break;
	}
	return take_plain(s, err);
}

int bl_words_split(struct bl_words *ret, const char *text, struct bl_err *err)
{
	size_t len = strlen(text);
	struct splitter s = {.at = text, .words = ret};
	int r = 0;

	/* A word of n bytes needs n + 1, and stands in n + 1 of the text but at its end. */
	ret->bytes = malloc(len + 2);
	ret->list = calloc(len / 2 + 2, sizeof(*ret->list));
	if (!ret->bytes || !ret->list)
		return bl_err_nomem(err);
	s.to = ret->bytes;
	while (r >= 0 && *s.at)
		r = step(&s, err);
	if (r >= 0)
		r = end_word(&s, err);
	if (r >= 0 && ret->count == 0)
		r = bl_err_config(err, "start_command: there is no command in it");
	ret->list[ret->count] = NULL;
	return r;
}

void bl_words_done(struct bl_words *words)
{
	free(words->list);
	free(words->bytes);
	*words = (struct bl_words){0};
}
