/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What common/json*.c share, and nobody else includes: a value as it lies in memory. Every value and
 * text of a tree lies in its pool, which goes as a whole with the tree's root: parsing a text costs
 * a few allocations, freeing as many, and the hook, which does little else before its mounts, spends
 * no time on either.
 */
#ifndef BL_JSON_NODE_H
#define BL_JSON_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"

struct bl_json_pool;

enum bl_json_type {
	BL_JSON_NULL,
	BL_JSON_FALSE,
	BL_JSON_TRUE,
	BL_JSON_INTEGER, /* written as an integer, within +-BL_JSON_INT_MAX */
	BL_JSON_REAL,	 /* any other number */
	BL_JSON_STRING,
	BL_JSON_ARRAY,
	BL_JSON_OBJECT,
};

struct bl_json {
	struct bl_json *next; /* its sibling */
	const char *key;      /* in an object; else NULL */
	union {
		struct {
			struct bl_json *first, *last;
		} inside;	  /* array, object */
		const char *text; /* string; real: as it is written */
		int64_t integer;
	} as;
	struct bl_json_pool *pool;
	enum bl_json_type type;
	bool absent; /* a null that counts as no member */
};

/* An empty pool with room for about `bytes`; NULL when memory ran out. */
struct bl_json_pool *bl_json_pool_new(size_t bytes);
void bl_json_pool_free(struct bl_json_pool *pool);
/* NULL when memory ran out. A text of len bytes gets the NUL behind it. */
struct bl_json *bl_json_pool_node(struct bl_json_pool *pool, enum bl_json_type type);
char *bl_json_pool_text(struct bl_json_pool *pool, size_t len);
const char *bl_json_pool_keep(struct bl_json_pool *pool, const char *text); /* a copy */

/* Appends value, with `key` in an object (NULL in an array); both lie in the container's pool. */
void bl_json_append(struct bl_json *container, const char *key, struct bl_json *value);

#endif
