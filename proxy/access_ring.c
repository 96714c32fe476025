/*
 * See access_ring.h. `head` and `tail` count bytes and only grow; what is between them is in use:
 *
 *            tail           head
 *   ─────────┬──────────────┬──────────────
 *    free    │ size │ entry │    free
 *   ─────────┴──────────────┴──────────────
 *
 * An entry follows its size in 8 bytes. A size of 0 means that the rest up to the end of the memory
 * is not used, and the next entry is at its beginning.
 *
 * While the reader keeps up, the memory at the beginning is used again and again, and stays in the
 * cache: a writer that finds the ring empty does not go on to the end.
 */
#include "proxy/access_ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"

#define ALIGN 8u
#define LINE  64 /* bytes of a cache line: each side writes to its own */

struct access_ring {
    char *at;
    size_t size;
    _Alignas(LINE) _Atomic size_t head; /* written by the side that puts entries in */
    size_t known_tail;                  /* as that side has last read it */
    _Atomic uint64_t dropped;
    _Alignas(LINE) _Atomic size_t tail; /* written by the side that takes them out */
};

struct access_ring *access_ring_new(size_t size)
{
    struct access_ring *r = aligned_alloc(LINE, sizeof(*r));

    CHECK(r != NULL && size >= 4 * ALIGN && (size & (size - 1)) == 0);
    memset(r, 0, sizeof(*r));
    r->at = malloc(size);
    CHECK(r->at != NULL);
    r->size = size;
    return r;
}

void access_ring_free(struct access_ring *r)
{
    if (r == NULL)
        return;
    free(r->at);
    free(r);
}

static uint64_t *size_at(const struct access_ring *r, size_t position)
{
    return (uint64_t *)(void *)(r->at + (position & (r->size - 1)));
}

static size_t frame(size_t n)
{
    return ALIGN + ((n + ALIGN - 1) & ~(size_t)(ALIGN - 1));
}

/* ---- putting in ---- */

static size_t head_of(const struct access_ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_relaxed);
}

static bool has_room(struct access_ring *r, size_t n)
{
    size_t head = head_of(r);

    if (head + n - r->known_tail <= r->size)
        return true;
    r->known_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    return head + n - r->known_tail <= r->size;
}

static void publish(struct access_ring *r, size_t head)
{
    atomic_store_explicit(&r->head, head, memory_order_release);
}

static void skip_to_beginning(struct access_ring *r)
{
    size_t head = head_of(r);

    *size_at(r, head) = 0;
    publish(r, (head | (r->size - 1)) + 1);
}

/* How much is left before the end of the memory. */
static size_t left_of(const struct access_ring *r)
{
    return r->size - (head_of(r) & (r->size - 1));
}

/* The reader's side is read only once in a while, and not so early that an entry would not fit
 * before the reader has skipped, too. */
static bool may_begin_again(struct access_ring *r)
{
    size_t left = left_of(r);

    if (left > r->size * 3 / 4 || left == r->size)
        return false;
    r->known_tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    return r->known_tail == head_of(r);
}

void *access_ring_reserve(struct access_ring *r, size_t n)
{
    size_t need = frame(n), left = left_of(r);

    CHECK(n > 0 && need <= r->size / 4);
    if (left < need || may_begin_again(r)) {
        if (!has_room(r, left + need))
            goto full;
        skip_to_beginning(r);
    } else if (!has_room(r, need)) {
        goto full;
    }
    return r->at + (head_of(r) & (r->size - 1)) + ALIGN;
full:
    atomic_store_explicit(&r->dropped, atomic_load_explicit(&r->dropped, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    return NULL;
}

void access_ring_commit(struct access_ring *r, size_t n)
{
    size_t head = head_of(r);

    *size_at(r, head) = n;
    publish(r, head + frame(n));
}

bool access_ring_is_filling(struct access_ring *r)
{
    return !has_room(r, r->size - r->size / 4);
}

/* ---- taking out ---- */

const void *access_ring_peek(struct access_ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    for (;;) {
        if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
            return NULL;
        if (*size_at(r, tail) != 0)
            return r->at + (tail & (r->size - 1)) + ALIGN;
        tail = (tail | (r->size - 1)) + 1;
        atomic_store_explicit(&r->tail, tail, memory_order_release);
    }
}

void access_ring_pop(struct access_ring *r)
{
    size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    atomic_store_explicit(&r->tail, tail + frame(*size_at(r, tail)), memory_order_release);
}

uint64_t access_ring_dropped(const struct access_ring *r)
{
    return atomic_load_explicit(&r->dropped, memory_order_relaxed);
}
