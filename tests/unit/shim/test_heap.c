// SPDX-License-Identifier: Apache-2.0
/* The shim's allocator: what is handed out is the caller's alone, keeps what is in it, and is zeroed
 * where that was asked for, whether it lies in the arena or beyond. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shim/heap.h"

#define BLOCKS 64

static void assert_filled(const unsigned char *at, size_t size, unsigned char with)
{
	for (size_t i = 0; i < size; i++)
		if (at[i] != with)
			fail_msg("byte %zu of %zu is %u, not %u", i, size, at[i], with);
}

static void test_sizes(void **state)
{
	unsigned char *blocks[BLOCKS];

	(void)state;
	/* From a byte to more than the arena has; all alive at once. */
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = bl_heap_alloc(i * i * 40);
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)i, i * i * 40);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		assert_filled(blocks[i], i * i * 40, (unsigned char)i);
	for (size_t i = BLOCKS; i > 0; i--)
		bl_heap_free(blocks[i - 1]);
	bl_heap_free(NULL);
}

static void test_grow(void **state)
{
	unsigned char *other = NULL;
	unsigned char *at = NULL;

	(void)state;
	for (size_t size = 1; size < 300000; size *= 3) {
		at = bl_heap_grow(at, size);
		assert_non_null(at);
		assert_filled(at, size / 3, 7);
		memset(at, 7, size);
		/* Now and then something lies behind it, so that it has to move. */
		if (size % 2 == 1 && !other)
			other = bl_heap_alloc(10);
	}
	assert_ptr_equal(bl_heap_grow(at, 5), at);
	bl_heap_free(other);
	bl_heap_free(at);
}

static void test_the_last_is_used_again(void **state)
{
	unsigned char *first = bl_heap_alloc(100);
	unsigned char *again;
	char *from;
	char *to;

	(void)state;
	memset(first, 0xff, 100);
	bl_heap_free(first);
	again = bl_heap_alloc_zeroed(10, 10);
	assert_ptr_equal(again, first);
	assert_filled(again, 100, 0);
	bl_heap_extent(&from, &to);
	assert_true((char *)again > from && (char *)again + 100 <= to);
	bl_heap_free(again);
}

static void test_too_much(void **state)
{
	void *at = bl_heap_alloc(1);

	(void)state;
	errno = 0;
	assert_null(bl_heap_alloc(SIZE_MAX));
	assert_int_equal(errno, ENOMEM);
	assert_null(bl_heap_alloc_zeroed(SIZE_MAX / 2, 3));
	assert_null(bl_heap_grow(at, SIZE_MAX - 8));
	bl_heap_free(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_the_last_is_used_again),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
