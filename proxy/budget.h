/*
 * The limit on all buffers together (buffers.budget): bytes of requests that wait for a slot or for
 * the response before theirs, or that the app has not received, and of responses that are
 * incomplete or that clients have not read. Nothing is reserved in advance: owners of buffers
 * report what they hold afterwards, and readers read no more than the rest of the budget; when it
 * is spent, no more than they can forward. So the total may exceed the budget by BUDGET_SPENT_READ
 * for each connection; by heads, which are always read to their end and forwarded whole; and, since
 * another loop may check before the report, by one read for each additional loop.
 *
 * Shared by all loops; any thread. Two atomics off the hot path: bytes that the kernel accepts at
 * once are never counted.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    _Atomic int64_t held;
    _Atomic int64_t size;
};

#define BUDGET_SPENT_READ 8192u /* most bytes per read of a connection when the budget is spent */

static inline void budget_init(struct budget *b, uint64_t bytes)
{
    atomic_init(&b->held, 0);
    atomic_init(&b->size, bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX);
}

/* A smaller budget takes nothing from those who hold more: they stop reading ahead. */
static inline void budget_resize(struct budget *b, uint64_t bytes)
{
    int64_t size = bytes < INT64_MAX ? (int64_t)bytes : INT64_MAX;
    atomic_store_explicit(&b->size, size, memory_order_relaxed);
}

/* How much is left; below 0: more is held than the budget. */
static inline int64_t budget_left(const struct budget *b)
{
    return atomic_load_explicit(&b->size, memory_order_relaxed) -
           atomic_load_explicit(&b->held, memory_order_relaxed);
}

static inline void budget_change(struct budget *b, int64_t change)
{
    atomic_fetch_add_explicit(&b->held, change, memory_order_relaxed);
}

static inline bool budget_is_spent(const struct budget *b)
{
    return budget_left(b) <= 0;
}

/* The backlog of a receiver at which its sender is no longer read: `mark`, or nearly 0 when the
 * budget is spent. */
static inline size_t budget_mark(const struct budget *b, size_t mark)
{
    return budget_is_spent(b) ? 1 : mark;
}

/* Most bytes to read at once: `most`, or the rest of the budget, or a little when it is spent. */
static inline size_t budget_read(const struct budget *b, size_t most)
{
    int64_t left = budget_left(b);

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
