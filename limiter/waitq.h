/*
 * The limiter's queue: one bounded first-come list per priority class, class 0 first. Both bounds,
 * waiters and bytes, hold over all classes together. Not locked: the limiter's mutex guards it.
 *
 * The lists are linked through the waiters, so nothing is allocated, and in both directions, so
 * that anyone may leave from the middle, and so that another order than first come could pop from
 * the other end. Here is one class; more are a larger WAITQ_CLASSES.
 */
#pragma once

#include "limiter/limiter.h"

#define WAITQ_CLASSES 1u

struct waitq_list {
    struct limiter_waiter *head, *tail;
};

/* Zero-initialised is empty and takes nobody. Read the numbers, write them with the functions. */
struct waitq {
    struct waitq_list lists[WAITQ_CLASSES];
    uint32_t depth, max_depth;
    uint64_t bytes, max_bytes;
};

/* New bounds. Whoever is in stays in; newcomers are refused until there is room again. */
void waitq_bound(struct waitq *q, uint32_t max_depth, uint64_t max_bytes);

/*
 * Takes `w` in as the last of its class: LIMITER_QUEUED. Or leaves it out: LIMITER_SHED_FULL,
 * LIMITER_SHED_BYTES. `w->bytes` and `w->class_` must not change while it is in.
 */
MUST_USE enum limiter_verdict waitq_push(struct waitq *q, struct limiter_waiter *w);

/* The first of the lowest class that has any, or NULL. It comes out with no links. */
MUST_USE struct limiter_waiter *waitq_pop(struct waitq *q);

/* `w` must be in `q`: the queue cannot tell. It comes out with no links. */
void waitq_remove(struct waitq *q, struct limiter_waiter *w);

/* Who has waited longest (by `queued_at`), in whatever class, or NULL. */
MUST_USE const struct limiter_waiter *waitq_oldest(const struct waitq *q);
