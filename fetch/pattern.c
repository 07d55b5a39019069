// SPDX-License-Identifier: Apache-2.0
/*
 * A pattern becomes a short list of tokens, each a state of a machine; a name is read once, code
 * point by code point, with the list of states that are alive (Thompson's way). Two tokens stand
 * for "**" before a slash: DIRS, alive at the beginning of a directory's name, and INSIDE, alive
 * within one. Filters built of these live in pattern_filter.c.
 */
#include "fetch/pattern.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"
#include "fetch/name.h"

enum kind {
	LITERAL, /* the code point `code` */
	ANY,	 /* one character */
	SET,	 /* one character of ranges[first .. first + count) */
	STAR,	 /* any characters */
	DIRS,	 /* zero or more directories; INSIDE follows */
	INSIDE,	 /* in the name of one of those directories */
	ONE,	 /* one character or '/'; REST follows */
	REST,	 /* any characters and '/' */
	END,	 /* the name must be over */
};

struct token {
	enum kind kind;
	uint32_t code;	       /* LITERAL */
	uint16_t first, count; /* SET */
	bool negated;	       /* SET */
};

struct range {
	uint32_t from, to;
};

struct states {
	uint16_t *alive; /* indices of tokens */
	size_t count;
};

struct bl_pattern {
	struct token *tokens; /* the last is END */
	size_t n_tokens;
	struct range *ranges;
	size_t n_ranges;
	bool crosses;	  /* '*', '?' and sets match '/' */
	uint16_t *memory; /* of the two lists below */
	uint64_t *seen;	  /* per token: the step at which it came alive last */
	uint64_t step;
	uint64_t work; /* states advanced, since somebody asked */
	struct states now, next;
};

/* ---- Compiling ---- */

static const struct {
	const char *name;
	struct range ranges[4]; /* ended by one that is empty: from 0 */
} classes[] = {
	{"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}},
	{"alpha", {{'A', 'Z'}, {'a', 'z'}}},
	{"blank", {{'\t', '\t'}, {' ', ' '}}},
	{"cntrl", {{1, 0x1f}, {0x7f, 0x7f}}},
	{"digit", {{'0', '9'}}},
	{"graph", {{'!', '~'}}},
	{"lower", {{'a', 'z'}}},
	{"print", {{' ', '~'}}},
	{"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}},
	{"space", {{'\t', '\r'}, {' ', ' '}}},
	{"upper", {{'A', 'Z'}}},
	{"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}},
};

/* There is room: no character of a pattern gives more than four ranges or more than two tokens. */
static void add_range(struct bl_pattern *pattern, uint32_t from, uint32_t to)
{
	pattern->ranges[pattern->n_ranges++] = (struct range){from, to};
}

static struct token *add_token(struct bl_pattern *pattern, enum kind kind)
{
	struct token *token = &pattern->tokens[pattern->n_tokens++];

	*token = (struct token){.kind = kind};
	return token;
}

/* At "[:name:]": adds the class and returns what follows it, NULL where it is none. */
static const char *parse_class(struct bl_pattern *pattern, const char *at)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		size_t len = strlen(classes[i].name);

		if (strncmp(at + 2, classes[i].name, len) != 0 ||
		    strncmp(at + 2 + len, ":]", 2) != 0)
			continue;
		for (size_t j = 0; j < 4 && classes[i].ranges[j].from; j++)
			add_range(pattern, classes[i].ranges[j].from, classes[i].ranges[j].to);
		return at + 2 + len + 2;
	}
	return NULL;
}

/* One end of a range: a character, an escaped one, [.c.] or [=c=]. */
static const char *parse_set_character(const char *at, uint32_t *ret)
{
	if (at[0] == '[' && (at[1] == '.' || at[1] == '=')) {
		const char *inner = at + 2;
		uint32_t code = *inner ? bl_name_decode(&inner) : 0;

		if (code && inner[0] == at[1] && inner[1] == ']') {
			*ret = code;
			return inner + 2;
		}
	}
	if (at[0] == '\\' && at[1])
		at++;
	*ret = bl_name_decode(&at);
	return at;
}

/*
 * After '[': fills the set and returns what follows its ']'. NULL where it is no set, since it is
 * not closed before the name's next part: then '[' is itself.
 */
static const char *parse_set(struct bl_pattern *pattern, const char *at, struct token *set)
{
	const char *start;

	set->negated = *at == '!' || *at == '^';
	at += set->negated;
	start = at;
	set->first = (uint16_t)pattern->n_ranges;
	while (*at && *at != '/' && (*at != ']' || at == start)) {
		const char *after = at[0] == '[' && at[1] == ':' ? parse_class(pattern, at) : NULL;
		uint32_t from;
		uint32_t to;

		if (after) {
			at = after;
			continue;
		}
		at = parse_set_character(at, &from);
		to = from;
		if (at[0] == '-' && at[1] && at[1] != ']' && at[1] != '/')
			at = parse_set_character(at + 1, &to);
		add_range(pattern, from, to);
	}
	set->count = (uint16_t)(pattern->n_ranges - set->first);
	return *at == ']' ? at + 1 : NULL;
}

static const char *compile_set(struct bl_pattern *pattern, const char *at)
{
	struct token set = {.kind = SET};
	const char *after = parse_set(pattern, at, &set);

	if (!after) {
		/* What was gathered is given back: a row of '[' would outgrow the array. */
		pattern->n_ranges = set.first;
		add_token(pattern, LITERAL)->code = '[';
		return at;
	}
	*add_token(pattern, SET) = set;
	return after;
}

/* At one or more stars. */
static const char *compile_stars(struct bl_pattern *pattern, const char *at, bool part_begins)
{
	size_t n = strspn(at, "*");

	if (!pattern->crosses && n == 2 && part_begins && at[2] == '/') {
		add_token(pattern, DIRS);
		add_token(pattern, INSIDE);
		return at + 3;
	}
	if (!pattern->crosses && n == 2 && part_begins && at[2] == '\0') {
		add_token(pattern, ONE);
		add_token(pattern, REST);
	} else {
		add_token(pattern, STAR);
	}
	return at + n;
}

static void compile(struct bl_pattern *pattern, const char *text)
{
	for (const char *at = text; *at;) {
		bool part_begins = at == text || at[-1] == '/';

		if (*at == '*') {
			at = compile_stars(pattern, at, part_begins);
		} else if (*at == '?') {
			add_token(pattern, ANY);
			at++;
		} else if (*at == '[') {
			at = compile_set(pattern, at + 1);
		} else {
			if (*at == '\\' && at[1])
				at++;
			add_token(pattern, LITERAL)->code = bl_name_decode(&at);
		}
	}
	if (pattern->crosses && text[strlen(text) - 1] == '/')
		add_token(pattern, STAR);
	add_token(pattern, END);
}

static int allocate(struct bl_pattern *pattern, size_t len, struct bl_err *err)
{
	/* One more for END, one for the star behind a slash. */
	pattern->tokens = calloc(len + 2, sizeof(*pattern->tokens));
	pattern->ranges = calloc(4 * len + 1, sizeof(*pattern->ranges));
	pattern->seen = calloc(len + 2, sizeof(*pattern->seen));
	pattern->memory = calloc(2 * (len + 2), sizeof(*pattern->memory));
	if (!pattern->tokens || !pattern->ranges || !pattern->seen || !pattern->memory)
		return bl_err_nomem(err);
	pattern->now.alive = pattern->memory;
	pattern->next.alive = pattern->memory + len + 2;
	return 0;
}

int bl_pattern_compile(const char *text, enum bl_pattern_style style, struct bl_pattern **ret,
		       struct bl_err *err)
{
	size_t len = strlen(text);
	auto_pattern pattern = NULL;
	int r;

	if (len == 0)
		return bl_err_config(err, "a pattern is empty");
	if (len > BL_MAX_PATTERN)
		return bl_err_config(err, "a pattern has %zu bytes, the maximum is %d", len,
				     BL_MAX_PATTERN);
	pattern = calloc(1, sizeof(*pattern));
	if (!pattern)
		return bl_err_nomem(err);
	r = allocate(pattern, len, err);
	if (r < 0)
		return r;
	pattern->crosses = style == BL_PATTERN_FNMATCH;
	compile(pattern, text);
	*ret = TAKE_PTR(pattern);
	return 0;
}

void bl_pattern_free(struct bl_pattern **pattern)
{
	struct bl_pattern *p = *pattern;
	int saved = errno;

	if (p) {
		free(p->tokens);
		free(p->ranges);
		free(p->seen);
		free(p->memory);
		free(p);
	}
	*pattern = NULL;
	errno = saved;
}

/* ---- Matching ---- */

/* Makes a state alive in `next`, and those that it reaches without reading anything. */
static void enter(struct bl_pattern *pattern, size_t state)
{
	for (;;) {
		const struct token *token = &pattern->tokens[state];

		if (pattern->seen[state] == pattern->step)
			return;
		pattern->seen[state] = pattern->step;
		pattern->next.alive[pattern->next.count++] = (uint16_t)state;
		if (token->kind == STAR || token->kind == REST)
			state += 1;
		else if (token->kind == DIRS)
			state += 2;
		else
			return;
	}
}

static bool in_set(const struct bl_pattern *pattern, const struct token *set, uint32_t c)
{
	for (size_t i = set->first; i < (size_t)set->first + set->count; i++)
		if (c >= pattern->ranges[i].from && c <= pattern->ranges[i].to)
			return !set->negated;
	return set->negated;
}

static void advance(struct bl_pattern *pattern, size_t state, uint32_t c)
{
	const struct token *token = &pattern->tokens[state];
	bool ordinary = c != '/' || pattern->crosses;

	switch (token->kind) {
	case LITERAL:
		if (c == token->code)
			enter(pattern, state + 1);
		return;
	case ANY:
		if (ordinary)
			enter(pattern, state + 1);
		return;
	case SET:
		if (ordinary && in_set(pattern, token, c))
			enter(pattern, state + 1);
		return;
	case STAR:
		if (ordinary)
			enter(pattern, state);
		return;
	case DIRS:
		if (c != '/')
			enter(pattern, state + 1);
		return;
	case INSIDE:
		enter(pattern, c == '/' ? state - 1 : state);
		return;
	case ONE:
		enter(pattern, state + 1);
		return;
	case REST:
		enter(pattern, state);
		return;
	case END:
		return;
	}
}

static void turn(struct bl_pattern *pattern)
{
	struct states now = pattern->now;

	pattern->now = pattern->next;
	pattern->next = now;
	pattern->next.count = 0;
	pattern->step++;
}

bool bl_pattern_match(struct bl_pattern *pattern, const char *name)
{
	pattern->next.count = 0;
	pattern->step++;
	enter(pattern, 0);
	for (const char *at = name; *at && pattern->next.count > 0;) {
		uint32_t c = bl_name_decode(&at);

		turn(pattern);
		pattern->work += pattern->now.count + 1;
		for (size_t i = 0; i < pattern->now.count; i++)
			advance(pattern, pattern->now.alive[i], c);
	}
	for (size_t i = 0; i < pattern->next.count; i++)
		if (pattern->tokens[pattern->next.alive[i]].kind == END)
			return true;
	return false;
}

uint64_t bl_pattern_take_work(struct bl_pattern *pattern)
{
	uint64_t work = pattern->work;

	pattern->work = 0;
	return work;
}
