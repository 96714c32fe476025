/*
 * Memory blocks for one thread: free lists by size class on top of malloc, so that a warmed-up path
 * does not allocate. Owner's thread only. Under a sanitizer each get and put is a malloc and a
 * free, so that the sanitizer sees them.
 *
 * Classes: every 64 bytes from 128 to 768, every 128 to 1024, every 256 to 2048, then every 4096 to
 * 65536. Larger blocks are plain malloc. A class of up to 2048 bytes keeps at most 1 MiB of free
 * blocks; the larger classes together keep POOL_LARGE_KEPT. Other blocks are freed.
 */
#pragma once

#include <stddef.h>

#define POOL_LARGE_KEPT (4 * 1024 * 1024)

struct pool; /* opaque: defined in pool.c */

struct pool *pool_new(void);
void pool_free(struct pool *p); /* frees the free blocks; all others must have been returned */

/* Never NULL: aborts when out of memory. The block has at least `size` bytes, and is not
 * cleared. */
void *pool_get(struct pool *p, size_t size);

/* `size` as passed to pool_get(). NULL is allowed. */
void pool_put(struct pool *p, void *block, size_t size);

/* The usable size of a block of `size` bytes. */
size_t pool_room(size_t size);
