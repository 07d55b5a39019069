/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shim's memory, where it is linked with musl: that library's own allocator takes four system
 * calls and six page faults for the few kilobytes that an ordinary start asks for, a tenth of all
 * the shim's time. Here they come, one behind the other, from an arena of the program's own; what
 * does not fit comes from the kernel, and goes back to it. What is freed in the arena is used again
 * only where it was the last: a start frees little, and is over soon.
 *
 * malloc() and its family are these functions then. With glibc they are not.
 */
#ifndef BL_SHIM_HEAP_H
#define BL_SHIM_HEAP_H

#include <stddef.h>

/* Aligned to 16 bytes; NULL with ENOMEM. */
void *bl_heap_alloc(size_t size);
void *bl_heap_alloc_zeroed(size_t n, size_t size);
void *bl_heap_grow(void *at, size_t size); /* realloc() */
void bl_heap_free(void *at);

/* The arena's part that was used: for who will allocate nothing more, and gives it back. */
void bl_heap_extent(char **ret_from, char **ret_to);

#endif
