// SPDX-License-Identifier: Apache-2.0
/* Where the values of one tree lie: a few blocks, each twice as large as the one before. */
#include "common/json_node.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LEAST 512
#define BLOCK_MOST  (256 * 1024)

struct block {
	struct block *before;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

struct bl_json_pool {
	struct block *last;
	size_t next_size;
};

static struct block *add_block(struct bl_json_pool *pool, size_t least)
{
	size_t size = pool->next_size > least ? pool->next_size : least;
	struct block *block;

#ifdef __SANITIZE_ADDRESS__
	size = least; /* a block each, so that a step beyond one is seen */
#endif
	block = malloc(sizeof(*block) + size);
	if (!block)
		return NULL;
	block->before = pool->last;
	block->used = 0;
	block->size = size;
	pool->last = block;
	if (pool->next_size < BLOCK_MOST)
		pool->next_size *= 2;
	return block;
}

/* align: a power of two, at most malloc's. */
static void *take(struct bl_json_pool *pool, size_t len, size_t align)
{
	struct block *block = pool->last;
	size_t at = block ? (block->used + align - 1) & ~(align - 1) : 0;

	if (!block || at > block->size || block->size - at < len) {
		block = add_block(pool, len);
		if (!block)
			return NULL;
		at = 0;
	}
	block->used = at + len;
	return block->bytes + at;
}

struct bl_json_pool *bl_json_pool_new(size_t bytes)
{
	struct bl_json_pool *pool = malloc(sizeof(*pool));

	if (!pool)
		return NULL;
	pool->last = NULL;
	pool->next_size = bytes < FIRST_LEAST  ? FIRST_LEAST
			  : bytes < BLOCK_MOST ? bytes
					       : BLOCK_MOST;
	return pool;
}

void bl_json_pool_free(struct bl_json_pool *pool)
{
	struct block *block = pool->last;

	while (block) {
		struct block *before = block->before;

		free(block);
		block = before;
	}
	free(pool);
}

struct bl_json *bl_json_pool_node(struct bl_json_pool *pool, enum bl_json_type type)
{
	struct bl_json *node = take(pool, sizeof(*node), alignof(struct bl_json));

	if (node)
		*node = (struct bl_json){.pool = pool, .type = type};
	return node;
}

char *bl_json_pool_text(struct bl_json_pool *pool, size_t len)
{
	char *text = take(pool, len + 1, 1);

	if (text)
		text[len] = '\0';
	return text;
}

const char *bl_json_pool_keep(struct bl_json_pool *pool, const char *text)
{
	size_t len = strlen(text);
	char *to = bl_json_pool_text(pool, len);

	return to ? memcpy(to, text, len + 1) : NULL;
}

void bl_json_append(struct bl_json *container, const char *key, struct bl_json *value)
{
	value->key = key;
	if (container->as.inside.last)
		container->as.inside.last->next = value;
	else
		container->as.inside.first = value;
	container->as.inside.last = value;
}
