/*
 * Which waiter of the queue is next, and which one makes room for a newcomer.
 *
 * Within a class, keys are served in turn, and the waiters of a key in order of arrival. A waiter
 * is late, and all others of its key pass it, if it has waited longer than the allowance in an
 * overload, or if it can no longer be done before the deadline that its client has declared. Turns
 * that no on-time waiter needs go to the late, the newest first: it is the most likely to be still
 * wanted.
 *
 * Between classes, the smallest (queued at - head start) is next. In an overload the age of late
 * waiters says nothing, so a class counts as queued no earlier than it was last served, or became
 * non-empty: even one whose waiters are all late waits no longer than its head start differs from
 * the others'.
 *
 * Pure; the limiter's mutex guards the queue.
 */
#pragma once

#include "limiter/waitq.h"

/* The circumstances that decide, besides the queue. */
struct choice_terms {
    mono_us now;
    bool fifo;         /* nobody is ever late */
    bool over;         /* in an overload */
    mono_us allowance; /* what a waiter may wait in an overload */
    mono_us hold;      /* the mean slot hold */
    uint32_t eligible; /* the set of classes that may have a slot now */
};

/*
 * The waiter whose turn it is, still in the queue, or NULL. `*in_time` (unchanged with NULL): it is
 * of an eligible class, and may have the next slot; else its deadline has passed, and it has to
 * leave without one. Those that it finds late are moved. O(classes in use), amortised.
 */
MUST_USE struct limiter_waiter *choice_next(struct waitq *q, const struct choice_terms *t,
                                            bool *in_time);

/*
 * The waiter that has to make room for `newcomer`, or NULL:
 *
 *   - in an overload, the oldest late one of its class or a lower one;
 *   - the newest one of the lowest class below its own;
 *   - if its class is eligible: the newest one of a class that is not, and not a higher one;
 *   - if that has no waiters at all: the newest one of a higher class;
 *   - the newest one of its class's longest key, if that is longer than its own by two or more.
 *
 * A class is lower if its head start is smaller. The only waiter of another class never makes room.
 * O(classes + keys).
 */
MUST_USE struct limiter_waiter *choice_victim(struct waitq *q, const struct choice_terms *t,
                                              const struct limiter_waiter *newcomer);

/* Whether a waiter that its pool holds back would make room for `newcomer`. */
MUST_USE bool choice_has_held_back(const struct waitq *q, const struct choice_terms *t,
                                   const struct limiter_waiter *newcomer);

/* At most how many bytes the victims for `newcomer` can free together. */
MUST_USE uint64_t choice_spare_bytes(struct waitq *q, const struct choice_terms *t,
                                     const struct limiter_waiter *newcomer);

/* Whether the victims for `newcomer`, which is no larger than the queue may be, free enough bytes:
 * if not, none of them has to leave. O(victims * (classes + keys)), and O(1) if the spare bytes
 * show that it cannot be. */
MUST_USE bool choice_can_fit(struct waitq *q, const struct choice_terms *t,
                             const struct limiter_waiter *newcomer);

/* How many on-time waiters of its class and the higher ones would be served before `newcomer`. */
MUST_USE uint32_t choice_ahead(const struct waitq *q, const struct choice_terms *t,
                               const struct limiter_waiter *newcomer);
