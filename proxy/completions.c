/*
 * See completions.h. One writer, the loop, and one reader, the control thread: each owns one of the
 * two positions and reads the other's. As the ring fills up, an entry stands for more and more
 * requests, so that those that are kept remain a representative sample.
 */
#include "proxy/completions.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/measures.h"

#define CACHE_LINES 128 /* a pair of them, as the hardware fetches */

struct completions {
    _Alignas(CACHE_LINES) _Atomic bool resting;
    void (*wake)(void *arg);
    void *arg;
    _Alignas(CACHE_LINES) _Atomic uint32_t written; /* written by the loop only */
    uint32_t kept_back;                             /* requests for the next entry */
    _Alignas(CACHE_LINES) _Atomic uint32_t read;    /* written by the control thread only */
    struct completion ring[COMPLETIONS_ROOM];
};

struct completions *completions_new(void (*wake)(void *arg), void *arg)
{
    struct completions *c = aligned_alloc(_Alignof(struct completions), sizeof(*c));

    CHECK(c != NULL);
    atomic_init(&c->resting, false);
    c->wake = wake;
    c->arg = arg;
    atomic_init(&c->written, 0);
    c->kept_back = 0;
    atomic_init(&c->read, 0);
    return c;
}

void completions_free(struct completions *c)
{
    free(c);
}

/* ---- the loop ---- */

void completions_arrives(struct completions *c)
{
    if (!MEASURES || c == NULL || !atomic_load_explicit(&c->resting, memory_order_relaxed))
        return;
    if (atomic_exchange(&c->resting, false))
        c->wake(c->arg);
}

/* Requests in an entry, with so many entries unread. */
static uint32_t weight_at(uint32_t unread)
{
    if (unread < COMPLETIONS_ROOM / 2)
        return 1;
    if (unread < COMPLETIONS_ROOM / 4 * 3)
        return 16;
    return unread < COMPLETIONS_ROOM ? 256 : UINT32_MAX;
}

/* The clocks of two loops may differ: a time below 0 is none. */
static uint32_t fitted(mono_us inside)
{
    if (inside < 0)
        return 0;
    return inside < UINT32_MAX ? (uint32_t)inside : UINT32_MAX;
}

void completions_put(struct completions *c, mono_us now, mono_us inside)
{
    if (!MEASURES || c == NULL)
        return;
    uint32_t at = atomic_load_explicit(&c->written, memory_order_relaxed);
    uint32_t unread = at - atomic_load_explicit(&c->read, memory_order_acquire);

    if (c->kept_back < UINT32_MAX - 1)
        c->kept_back++;
    if (c->kept_back < weight_at(unread))
        return;
    c->ring[at % COMPLETIONS_ROOM] =
        (struct completion){.at = now, .inside = fitted(inside), .weight = c->kept_back};
    c->kept_back = 0;
    atomic_store_explicit(&c->written, at + 1, memory_order_release);
}

/* ---- the control thread ---- */

void completions_rest(struct completions *c)
{
    atomic_store(&c->resting, true);
}

const struct completion *completions_first(struct completions *c)
{
    uint32_t at = atomic_load_explicit(&c->read, memory_order_relaxed);

    if (at == atomic_load_explicit(&c->written, memory_order_acquire))
        return NULL;
    return &c->ring[at % COMPLETIONS_ROOM];
}

void completions_drop(struct completions *c)
{
    uint32_t at = atomic_load_explicit(&c->read, memory_order_relaxed);

    atomic_store_explicit(&c->read, at + 1, memory_order_release);
}
