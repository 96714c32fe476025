/*
 * The limiter's queue: one bounded list per priority class, each in the order of the waiters'
 * `place`. Both bounds, waiters and bytes, apply to all classes together. Not locked: the
 * limiter's mutex guards it.
 *
 * Which waiter is next is decided by waitq_next() alone, from the queue and the time: today the
 * first of the lowest class that has any.
 *
 * The lists are linked through the waiters, so nothing is allocated, and in both directions, so
 * that a waiter can leave from the middle. There is one class now; WAITQ_CLASSES sets their number.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "limiter/waiter.h"

#define WAITQ_CLASSES 1u

struct waitq_list {
    struct limiter_waiter *head, *tail;
};

/* Zero-initialised is empty and admits nobody. The fields may be read; only the functions write
 * them. */
struct waitq {
    struct waitq_list lists[WAITQ_CLASSES];
    uint32_t depth, max_depth;
    uint64_t bytes, max_bytes;
};

/* Sets new bounds. Waiters stay in the queue; newcomers are refused until there is room again. */
void waitq_bound(struct waitq *q, uint32_t max_depth, uint64_t max_bytes);

/*
 * Appends `w`, whose place is after all others', to its class: LIMITER_QUEUED. Or refuses it:
 * LIMITER_SHED_FULL, LIMITER_SHED_BYTES. `w->bytes` and `w->class_` must not change while it is
 * queued.
 */
MUST_USE enum limiter_verdict waitq_push(struct waitq *q, struct limiter_waiter *w);

/*
 * Inserts `w`, which has been in the queue or has passed it by, at its place among the waiters of
 * its class, whatever the bounds; the sum of bytes must not wrap. O(k) when k others that have come
 * back are ahead of it.
 */
void waitq_push_back(struct waitq *q, struct limiter_waiter *w);

/*
 * The waiter whose turn it is at `now`, still in the queue, or NULL. `*in_time` (unchanged with
 * NULL): it may have the next slot; else its deadline has passed, and it has to leave without one.
 */
MUST_USE struct limiter_waiter *waitq_next(const struct waitq *q, mono_us now, bool *in_time);

/* `w` must be in `q`; this cannot be checked. Its links are cleared. */
void waitq_remove(struct waitq *q, struct limiter_waiter *w);

/* The waiter of any class that has waited longest (by `queued_at`), or NULL. */
MUST_USE const struct limiter_waiter *waitq_oldest(const struct waitq *q);
