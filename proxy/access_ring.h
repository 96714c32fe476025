/*
 * A ring of entries of any size between two threads: one puts them in, one takes them out, and
 * neither waits for the other. Entries are contiguous and aligned to 8 bytes. If the ring is
 * full, the entry is dropped and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct access_ring; /* opaque: defined in access_ring.c */

struct access_ring *access_ring_new(size_t size); /* a power of two */
void access_ring_free(struct access_ring *r);

/* The thread that puts entries in. */

/* Room for an entry of `n` bytes, at most a quarter of the ring; access_ring_commit() follows, with
 * the same `n`. NULL: there is no room, and the entry counts as dropped. */
void *access_ring_reserve(struct access_ring *r, size_t n);
void access_ring_commit(struct access_ring *r, size_t n);

/* Whether more than a quarter of it is used. */
bool access_ring_is_filling(struct access_ring *r);

/* The thread that takes them out. */

/* The oldest entry, which stays until access_ring_pop(). NULL: there is none. */
const void *access_ring_peek(struct access_ring *r);
void access_ring_pop(struct access_ring *r);

/* Any thread. */
uint64_t access_ring_dropped(const struct access_ring *r);
