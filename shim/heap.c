// SPDX-License-Identifier: Apache-2.0
#include "shim/heap.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA	65536U /* bytes */
#define ALIGNED 16U

/* Before every allocation; as large as the alignment. */
struct block {
	size_t room; /* bytes behind it */
} __attribute__((aligned(ALIGNED)));

static char arena[ARENA] __attribute__((aligned(ALIGNED)));
static size_t used;
static struct block *last; /* in the arena, or NULL */

static bool is_ours(const struct block *block)
{
	uintptr_t at = (uintptr_t)block;

	return at >= (uintptr_t)arena && at < (uintptr_t)arena + ARENA;
}

static size_t round_up(size_t size)
{
	return (size + ALIGNED - 1) & ~(size_t)(ALIGNED - 1);
}

void *bl_heap_alloc(size_t size)
{
	size_t room = round_up(size);
	size_t whole = sizeof(struct block) + room;
	struct block *block;

	if (size > PTRDIFF_MAX / 2) {
		errno = ENOMEM;
		return NULL;
	}
	if (whole <= ARENA - used) {
		block = (struct block *)(void *)(arena + used);
		used += whole;
		last = block;
	} else {
		block = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			     0);
		if (block == MAP_FAILED)
			return NULL;
	}
	block->room = room;
	return block + 1;
}

void *bl_heap_alloc_zeroed(size_t n, size_t size)
{
	size_t whole;
	void *at;

	if (__builtin_mul_overflow(n, size, &whole))
		whole = SIZE_MAX;
	at = bl_heap_alloc(whole);
	/* The kernel's is zeroed already, and large. */
	if (at && is_ours(at))
		memset(at, 0, whole);
	return at;
}

void *bl_heap_grow(void *at, size_t size)
{
	struct block *block = at ? (struct block *)at - 1 : NULL;
	void *grown;

	if (block && size <= block->room)
		return at;
	if (block && block == last && size <= ARENA - used) {
		used += round_up(size) - block->room;
		block->room = round_up(size);
		return at;
	}
	grown = bl_heap_alloc(size);
	if (grown && block) {
		memcpy(grown, at, block->room);
		bl_heap_free(at);
	}
	return grown;
}

void bl_heap_free(void *at)
{
	struct block *block = at ? (struct block *)at - 1 : NULL;
	int saved = errno;

	if (block && !is_ours(block)) {
		(void)munmap(block, sizeof(*block) + block->room);
	} else if (block && block == last) {
		used = (size_t)((char *)block - arena);
		last = NULL;
	}
	errno = saved;
}

void bl_heap_extent(char **ret_from, char **ret_to)
{
	*ret_from = arena;
	*ret_to = arena + used;
}

#ifndef __GLIBC__

void *malloc(size_t size)
{
	return bl_heap_alloc(size);
}

void *calloc(size_t n, size_t size)
{
	return bl_heap_alloc_zeroed(n, size);
}

void *realloc(void *at, size_t size)
{
	return bl_heap_grow(at, size);
}

void free(void *at)
{
	bl_heap_free(at);
}

#endif
