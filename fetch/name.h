/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in a listing come from a server that may be hostile or broken, and become paths below a
 * directory of ours. They are refused, never repaired: a name that was normalised is another name.
 * One bad name refuses the whole source, since half a model is no model.
 *
 * Two names that differ by case alone are two files: the cache's filesystems are case-sensitive,
 * and repositories with README.md beside readme.md exist. (Where a directory folds case, linking
 * the second name fails and with it the whole tree: nothing is taken for something else.)
 */
#ifndef BL_NAME_H
#define BL_NAME_H

#include <stddef.h>
#include <stdint.h>

struct bl_err;

#define BL_NAME_MAX	  3072 /* bytes of a name; leaves room below PATH_MAX for the tree's own */
#define BL_NAME_PART_MAX  255  /* bytes between two slashes: NAME_MAX of every Linux filesystem */
#define BL_NAME_DEPTH_MAX 64   /* parts */

/*
 * Whether the len bytes are a relative path that is safe below any directory: UTF-8, no NUL or
 * other control character, no backslash, no leading or trailing slash, no part that is empty, "."
 * or "..", and within the limits above. 0, or -EBADMSG (BL_EX_REFUSED) with the name and the
 * reason.
 */
int bl_name_check(const char *name, size_t len, struct bl_err *err);

/*
 * Whether n names (each fine by bl_name_check) can stand in one directory: none twice, none a file
 * where another has a directory. Uses n pointers of memory. -EBADMSG as above.
 */
int bl_name_check_together(const char *const *names, size_t n, struct bl_err *err);

/*
 * The code point at *at (not the terminating NUL), and *at moved past it. A byte that begins no
 * well-formed UTF-8 sequence is a unit of its own, 0xdc00 + the byte, which equals no code point.
 */
uint32_t bl_name_decode(const char **at);

#endif
