/*
 * Blocks of memory for one thread: free lists by size class over malloc, so that a warm path does
 * not allocate. Owner's thread only. Under a sanitizer each get and put is a malloc and a free, so
 * that it sees what it should.
 *
 * Classes: 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, ... 65536 bytes. A larger block is
 * plain malloc. A class keeps at most 1 MiB of free blocks (at least 64 blocks); the rest goes
 * back.
 */
#pragma once

#include <stddef.h>

struct pool; /* opaque: defined in pool.c */

struct pool *pool_new(void);
void pool_free(struct pool *p); /* frees the free blocks; blocks in use must be back */

/* Never NULL: without memory the process stops. The block is at least `size` bytes, not cleared. */
void *pool_get(struct pool *p, size_t size);

/* `size` is the one that was asked for. NULL is allowed. */
void pool_put(struct pool *p, void *block, size_t size);

/* What a block of `size` really holds: the rest may be used too. */
size_t pool_room(size_t size);
