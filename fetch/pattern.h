/* SPDX-License-Identifier: Apache-2.0 */
/*
 * allow_patterns and ignore_patterns: `*` and `?` never cross "/", a whole part `**` is zero or
 * more directories, `[...]` as in POSIX. Time is linear in pattern times path, whatever they hold:
 * both come from tenants and origins.
 */
#ifndef BL_FETCH_PATTERN_H
#define BL_FETCH_PATTERN_H

#include <stdbool.h>

/* Whether the whole path matches. A pattern that is not well-formed ("[a") matches only itself. */
bool bl_pattern_matches(const char *pattern, const char *path);

/* Whether it would match if `*` crossed "/", as fnmatch has it: what `plan` warns about. */
bool bl_pattern_matches_flat(const char *pattern, const char *path);

#endif
