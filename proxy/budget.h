/*
 * What all buffers together may hold (buffers.budget): bytes of requests that wait, also for the
 * answer to one before them, or that the app has not taken, and of responses that have not come
 * whole enough to go on, or that clients have not read. Nobody asks before buffering: who holds
 * more says so, and who reads for others looks how much of the budget is left, and reads no more
 * than that; when it is spent, no more than it can hand on. So the sum may exceed the budget by
 * what each connection reads at once, BUDGET_SPENT_READ; by the heads, which are read to their end
 * and go on whole; and, as another loop may look before we say, by one read for each further loop.
 *
 * Shared by all loops; any thread. Two atomics away from the hot path: bytes that the kernel takes
 * at once are never counted.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    _Atomic int64_t held;
    int64_t size;
};

#define BUDGET_SPENT_READ 8192u /* bytes read at once by a connection when the budget is spent */

static inline void budget_init(struct budget *b, uint64_t bytes)
{
    atomic_init(&b->held, 0);
    b->size = bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
}

static inline void budget_change(struct budget *b, int64_t change)
{
    atomic_fetch_add_explicit(&b->held, change, memory_order_relaxed);
}

static inline bool budget_is_spent(const struct budget *b)
{
    return atomic_load_explicit(&b->held, memory_order_relaxed) >= b->size;
}

/* How much a receiver may have unsent before its sender is read no more: `mark`, or next to none.
 */
static inline size_t budget_mark(const struct budget *b, size_t mark)
{
    return budget_is_spent(b) ? 1 : mark;
}

/* How much may be read at once: `most`, or what is left, and a little when nothing is. */
static inline size_t budget_read(const struct budget *b, size_t most)
{
    int64_t left = b->size - atomic_load_explicit(&b->held, memory_order_relaxed);

    if (left < (int64_t)BUDGET_SPENT_READ)
        left = BUDGET_SPENT_READ;
    return (uint64_t)left < most ? (size_t)left : most;
}

/* The same for who has read `kept` bytes that are not used yet: up to `most` in all. */
static inline size_t budget_read_behind(const struct budget *b, size_t kept, size_t most)
{
    size_t all = kept + budget_read(b, most);

    return all < most ? all : most;
}
