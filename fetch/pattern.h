/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allow_patterns and ignore_patterns: which files of a source are wanted, and why.
 *
 *   *       any characters but '/', perhaps none        ?   one character but '/'
 *   **      followed by '/' (and at the start or after '/'): zero or more directories
 *   **      at the end (and at the start or after '/'): everything beneath
 *   [...]   one character but '/', as in POSIX: ranges, classes such as [[:digit:]], [!...]
 *   \c      the character c itself
 *
 * A pattern describes the whole name. A dot at the beginning of a name is a character like any
 * other, upper and lower case differ, a '[' that is never closed is itself. Characters are code
 * points of UTF-8.
 *
 * Ignore wins over allow; without allow patterns everything is allowed.
 *
 * Matching is linear in the name for a given pattern: all alternatives are followed at once, so
 * that no pattern takes exponential time.
 *
 * In the fnmatch of Python, by which huggingface_hub filters, '*' does cross '/'. Where that would
 * have matched more, it is counted, so that the difference can be told.
 */
#ifndef BL_FETCH_PATTERN_H
#define BL_FETCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bl_buf;
struct bl_err;

/* Steps of matching for a whole listing: minutes of a processor. A thousand patterns such as
 * "*a*a*a...", with many long names, would take days. */
#define BL_PATTERN_MAX_WORK UINT64_C(100000000000)

enum bl_pattern_style {
	BL_PATTERN_GLOB,    /* as above */
	BL_PATTERN_FNMATCH, /* '*', '?' and [...] cross '/'; a '/' at the end means all beneath */
};

/* A compiled pattern. Matching writes scratch memory in it: not for two threads at once. */
struct bl_pattern;

/* The result is the caller's. -EINVAL (BL_EX_CONFIG) where text is empty or too long. */
int bl_pattern_compile(const char *text, enum bl_pattern_style style, struct bl_pattern **ret,
		       struct bl_err *err);
void bl_pattern_free(struct bl_pattern **pattern);
#define auto_pattern __attribute__((cleanup(bl_pattern_free))) struct bl_pattern *
bool bl_pattern_match(struct bl_pattern *pattern, const char *name);
/* How many steps matching took since this was asked last. */
uint64_t bl_pattern_take_work(struct bl_pattern *pattern);

/* One pattern of a list, and what became of it so far. */
struct bl_pattern_use {
	const char *text;	    /* borrowed from the list */
	struct bl_pattern *glob;    /* owned */
	struct bl_pattern *fnmatch; /* owned; NULL where it could make no difference */
	size_t matched;		    /* names it matches */
	size_t fnmatch_only;	    /* names that only fnmatch would have matched */
	char *example;		    /* owned; the first of those, or NULL */
};

struct bl_pattern_filter {
	struct bl_pattern_use *allow, *ignore; /* owned */
	size_t n_allow, n_ignore;
	size_t seen, taken;	      /* names judged, names taken */
	uint64_t work;		      /* steps that this took */
	bool no_config, no_tokenizer; /* no allow pattern takes those of a model */
};

/* Why a name was taken or dropped. */
enum bl_pattern_reason {
	BL_PATTERN_NO_ALLOW, /* taken: there are no allow patterns */
	BL_PATTERN_ALLOWED,  /* taken by `by` */
	BL_PATTERN_IGNORED,  /* dropped by `by`, an ignore pattern */
	BL_PATTERN_UNWANTED, /* dropped: no allow pattern matches */
};

struct bl_pattern_verdict {
	bool taken;
	enum bl_pattern_reason reason;
	const char *by; /* the pattern's text, borrowed; NULL where there is none */
};

/* The lists are NULL-terminated (or NULL) and must outlive the filter. */
int bl_pattern_filter_init(struct bl_pattern_filter *filter, const char *const *allow,
			   const char *const *ignore, struct bl_err *err);
void bl_pattern_filter_done(struct bl_pattern_filter *filter);
#define auto_pattern_filter \
	__attribute__((cleanup(bl_pattern_filter_done))) struct bl_pattern_filter

/* Judges one name of the source and counts it. */
int bl_pattern_filter_judge(struct bl_pattern_filter *filter, const char *name,
			    struct bl_pattern_verdict *ret, struct bl_err *err);

/* A verdict in words, "allowed by \"*.json\"". */
int bl_pattern_verdict_text(const struct bl_pattern_verdict *verdict, struct bl_buf *to,
			    struct bl_err *err);

/*
 * After the last name: -ENOENT (BL_EX_CONFIG) where nothing is left, with the patterns, how many
 * files each matched, and what to write where fnmatch's meaning was probably meant. A source that
 * has no file at all is the caller's to tell.
 */
int bl_pattern_filter_check(const struct bl_pattern_filter *filter, struct bl_err *err);

/*
 * After the last name: appends a line (with its newline) for each pattern that matched nothing, for
 * each that fnmatch would have read otherwise, and for files that most models do not load without.
 */
int bl_pattern_filter_notes(const struct bl_pattern_filter *filter, struct bl_buf *to,
			    struct bl_err *err);

#endif
