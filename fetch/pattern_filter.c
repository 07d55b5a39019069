// SPDX-License-Identifier: Apache-2.0
/*
 * Both lists of patterns together: the verdict over each name, and after the last name what a
 * person should know about the patterns themselves. See pattern.h.
 */
#include "fetch/pattern.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/contract.h"
#include "common/err.h"

static int init_list(struct bl_pattern_use **ret, size_t *ret_n, const char *const *list,
		     struct bl_err *err)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	*ret = calloc(n ? n : 1, sizeof(**ret));
	if (!*ret)
		return bl_err_nomem(err);
	*ret_n = n;
	for (size_t i = 0; i < n; i++) {
		struct bl_pattern_use *use = &(*ret)[i];
		size_t len = strlen(list[i]);
		int r = bl_pattern_compile(list[i], BL_PATTERN_GLOB, &use->glob, err);

		use->text = list[i];
		if (r == 0 && (strpbrk(list[i], "*?[") || list[i][len - 1] == '/'))
			r = bl_pattern_compile(list[i], BL_PATTERN_FNMATCH, &use->fnmatch, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int bl_pattern_filter_init(struct bl_pattern_filter *filter, const char *const *allow,
			   const char *const *ignore, struct bl_err *err)
{
	auto_pattern_filter made = {0};
	int r = init_list(&made.allow, &made.n_allow, allow, err);

	if (r < 0) {
		bl_err_wrap(err, "allow_patterns: ");
		return r;
	}
	r = init_list(&made.ignore, &made.n_ignore, ignore, err);
	if (r < 0) {
		bl_err_wrap(err, "ignore_patterns: ");
		return r;
	}
	*filter = made;
	made = (struct bl_pattern_filter){0};
	return 0;
}

static void done_list(struct bl_pattern_use *list, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bl_pattern_free(&list[i].glob);
		bl_pattern_free(&list[i].fnmatch);
		free(list[i].example);
	}
	free(list);
}

void bl_pattern_filter_done(struct bl_pattern_filter *filter)
{
	int saved = errno;

	done_list(filter->allow, filter->n_allow);
	done_list(filter->ignore, filter->n_ignore);
	*filter = (struct bl_pattern_filter){0};
	errno = saved;
}

/* Counts the name for each pattern; *ret_by is the first that matches. */
static int judge_list(struct bl_pattern_use *list, size_t n, const char *name, const char **ret_by,
		      uint64_t *work, struct bl_err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct bl_pattern_use *use = &list[i];

		if (bl_pattern_match(use->glob, name)) {
			use->matched++;
			if (!*ret_by)
				*ret_by = use->text;
		} else if (use->fnmatch && bl_pattern_match(use->fnmatch, name)) {
			use->fnmatch_only++;
			if (!use->example && !(use->example = strdup(name)))
				return bl_err_nomem(err);
		}
		*work += bl_pattern_take_work(use->glob);
		if (use->fnmatch)
			*work += bl_pattern_take_work(use->fnmatch);
		if (*work > BL_PATTERN_MAX_WORK)
			return bl_err_config(err,
					     "allow_patterns and ignore_patterns are too much work "
					     "for a listing of so many names: write fewer and "
					     "shorter ones, with fewer '*'");
	}
	return 0;
}

/* The configuration and the tokenizer of a model lie beside its weights. */
static void note_left(struct bl_pattern_filter *filter, const char *name)
{
	if (strcmp(name, "config.json") == 0)
		filter->no_config = true;
	else if (strncmp(name, "tokenizer", strlen("tokenizer")) == 0 && !strchr(name, '/'))
		filter->no_tokenizer = true;
}

int bl_pattern_filter_judge(struct bl_pattern_filter *filter, const char *name,
			    struct bl_pattern_verdict *ret, struct bl_err *err)
{
	const char *allowed = NULL;
	const char *ignored = NULL;
	int r = judge_list(filter->allow, filter->n_allow, name, &allowed, &filter->work, err);

	if (r == 0)
		r = judge_list(filter->ignore, filter->n_ignore, name, &ignored, &filter->work,
			       err);
	if (r < 0)
		return r;
	if (ignored)
		*ret = (struct bl_pattern_verdict){false, BL_PATTERN_IGNORED, ignored};
	else if (allowed)
		*ret = (struct bl_pattern_verdict){true, BL_PATTERN_ALLOWED, allowed};
	else if (filter->n_allow > 0)
		*ret = (struct bl_pattern_verdict){false, BL_PATTERN_UNWANTED, NULL};
	else
		*ret = (struct bl_pattern_verdict){true, BL_PATTERN_NO_ALLOW, NULL};
	filter->seen++;
	filter->taken += ret->taken;
	if (ret->reason == BL_PATTERN_UNWANTED)
		note_left(filter, name);
	return 0;
}

int bl_pattern_verdict_text(const struct bl_pattern_verdict *verdict, struct bl_buf *to,
			    struct bl_err *err)
{
	switch (verdict->reason) {
	case BL_PATTERN_ALLOWED:
		return bl_buf_putf(to, err, "allowed by \"%s\"", verdict->by);
	case BL_PATTERN_IGNORED:
		return bl_buf_putf(to, err, "ignored by \"%s\"", verdict->by);
	case BL_PATTERN_UNWANTED:
		return bl_buf_puts(to, "no allow pattern matches", err);
	default:
		return bl_buf_puts(to, "no allow patterns", err);
	}
}

/* ---- What became of the patterns ---- */

/* How many patterns of a list an error names, and how much of each; the rest are counted. */
#define PATTERNS_TOLD 3
#define PATTERN_TOLD  24

struct told {
	char text[PATTERN_TOLD + sizeof("...")];
};

static bool is_told_whole(const char *pattern)
{
	return strlen(pattern) <= PATTERN_TOLD;
}

static struct told told(const char *pattern)
{
	struct told told;

	(void)snprintf(told.text, sizeof(told.text), "%.*s%s", PATTERN_TOLD, pattern,
		       is_told_whole(pattern) ? "" : "...");
	return told;
}

static size_t tell_list(char *to, size_t size, const char *key, const struct bl_pattern_use *list,
			size_t n)
{
	size_t at = 0;

	to[0] = '\0';
	for (size_t i = 0; i < n && i < PATTERNS_TOLD && at < size; i++)
		at += (size_t)snprintf(to + at, size - at, "%s\"%s\" matches %zu", i ? ", " : key,
				       told(list[i].text).text, list[i].matched);
	if (n > PATTERNS_TOLD && at < size)
		at += (size_t)snprintf(to + at, size - at, ", and %zu more", n - PATTERNS_TOLD);
	return at;
}

static const struct bl_pattern_use *worst_misread(const struct bl_pattern_filter *filter)
{
	const struct bl_pattern_use *worst = NULL;

	for (size_t i = 0; i < filter->n_allow; i++)
		if (filter->allow[i].fnmatch_only > (worst ? worst->fnmatch_only : 0))
			worst = &filter->allow[i];
	return worst;
}

/* What to write instead, where nothing is left; misread is NULL where that is not why. */
static int advise(const struct bl_pattern_use *misread, struct bl_err *err)
{
	const char *text = misread ? misread->text : "";

	if (!misread)
		return bl_err_set(err, BL_EX_CONFIG, ENOENT, "; change the patterns");
	if (*text && text[strlen(text) - 1] == '/')
		return bl_err_set(
			err, BL_EX_CONFIG, ENOENT,
			"; \"%s\" matches no file: write \"**\" behind it for all beneath it "
			"(%zu of them)",
			told(text).text, misread->fnmatch_only);
	if (strchr(text, '/'))
		return bl_err_set(
			err, BL_EX_CONFIG, ENOENT,
			"; '*' does not cross '/': write \"**/\" in \"%s\" where directories may "
			"stand, for %zu more",
			told(text).text, misread->fnmatch_only);
	if (is_told_whole(text))
		return bl_err_set(err, BL_EX_CONFIG, ENOENT,
				  "; '*' does not cross '/': write \"**/%s\" for files in "
				  "subdirectories (%zu of them)",
				  text, misread->fnmatch_only);
	return bl_err_set(err, BL_EX_CONFIG, ENOENT,
			  "; '*' does not cross '/': put \"**/\" before \"%s\" for files in "
			  "subdirectories (%zu of them)",
			  told(text).text, misread->fnmatch_only);
}

int bl_pattern_filter_check(const struct bl_pattern_filter *filter, struct bl_err *err)
{
	char allow[256];
	char ignore[256];
	int r;

	if (filter->taken > 0)
		return 0;
	tell_list(allow, sizeof(allow), "; allow_patterns: ", filter->allow, filter->n_allow);
	tell_list(ignore, sizeof(ignore), "; ignore_patterns: ", filter->ignore, filter->n_ignore);
	r = advise(worst_misread(filter), err);
	bl_err_wrap(err, "the patterns leave nothing of the source's %zu files%s%s", filter->seen,
		    allow, ignore);
	return r;
}

/* What to write to get what fnmatch would have matched. */
static int note_misread(const struct bl_pattern_use *use, struct bl_buf *to, struct bl_err *err)
{
	size_t len = strlen(use->text);

	if (use->text[len - 1] == '/')
		return bl_buf_putf(to, err,
				   "\"%s\" matches no file; write \"%s**\" for all beneath it (%zu "
				   "files, '%s' is one)\n",
				   use->text, use->text, use->fnmatch_only, use->example);
	return bl_buf_putf(
		to, err,
		"\"%s\" leaves out %zu files in subdirectories, such as '%s', that "
		"Python's fnmatch would match: '*' does not cross '/' here, write \"**/\" "
		"where directories may stand\n",
		use->text, use->fnmatch_only, use->example);
}

static int note_list(const char *key, const struct bl_pattern_use *list, size_t n,
		     struct bl_buf *to, struct bl_err *err)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++) {
		if (list[i].matched > 0 && list[i].fnmatch_only == 0)
			continue;
		r = bl_buf_putf(to, err, "%s: ", key);
		if (r == 0 && list[i].fnmatch_only > 0)
			r = note_misread(&list[i], to, err);
		else if (r == 0)
			r = bl_buf_putf(to, err, "\"%s\" matches nothing\n", list[i].text);
	}
	return r;
}

int bl_pattern_filter_notes(const struct bl_pattern_filter *filter, struct bl_buf *to,
			    struct bl_err *err)
{
	int r = note_list("allow_patterns", filter->allow, filter->n_allow, to, err);

	if (r == 0 && filter->no_config)
		r = bl_buf_puts(to,
				"allow_patterns: config.json is left out; where the model does not "
				"load without it, add \"config.json\"\n",
				err);
	if (r == 0 && filter->no_tokenizer)
		r = bl_buf_puts(
			to,
			"allow_patterns: tokenizer files are left out; where the model does "
			"not load without them, add \"tokenizer*\"\n",
			err);
	return r < 0 ? r : note_list("ignore_patterns", filter->ignore, filter->n_ignore, to, err);
}
