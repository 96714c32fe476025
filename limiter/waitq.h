/*
 * The limiter's queue: one bounded FIFO list per priority class, class 0 first. Both bounds,
 * waiters and bytes, apply to all classes together. Not locked: the limiter's mutex guards it.
 *
 * The lists are linked through the waiters, so nothing is allocated, and in both directions, so
 * that a waiter can leave from the middle, and a policy other than FIFO could pop from the other
 * end. There is one class now; WAITQ_CLASSES sets their number.
 */
#pragma once

#include "limiter/limiter.h"

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
 * Appends `w` to its class: LIMITER_QUEUED. Or refuses it: LIMITER_SHED_FULL, LIMITER_SHED_BYTES.
 * `w->bytes` and `w->class_` must not change while it is queued.
 */
MUST_USE enum limiter_verdict waitq_push(struct waitq *q, struct limiter_waiter *w);

/* Removes and returns the first waiter of the lowest class that has any, or NULL. Its links are
 * cleared. */
MUST_USE struct limiter_waiter *waitq_pop(struct waitq *q);

/* `w` must be in `q`; this cannot be checked. Its links are cleared. */
void waitq_remove(struct waitq *q, struct limiter_waiter *w);

/* The waiter of any class that has waited longest (by `queued_at`), or NULL. */
MUST_USE const struct limiter_waiter *waitq_oldest(const struct waitq *q);
