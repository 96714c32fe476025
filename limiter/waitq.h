/*
 * The limiter's queue: for each priority class two lanes, on time and late; in each lane a list for
 * each key (a client's share of its class), in the order of the waiters' `place`. Both bounds,
 * waiters and bytes, apply to all together. Not locked: the limiter's mutex guards it.
 *
 *     push, push_back ──► on time ── make_late ──► late        remove: from either
 *                            ▲── make_all_on_time ───┘
 *
 * limiter/choice.h decides which waiter is served, and when one is late. The lists are linked
 * through the waiters, so nothing is allocated, and in both directions, so that a waiter can leave
 * from the middle. Without fair shares, all waiters have key 0.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "limiter/waiter.h"

enum waitq_when { WAITQ_ON_TIME, WAITQ_LATE, WAITQ_LANES };

struct waitq_list {
    struct limiter_waiter *head, *tail;
    uint32_t length;
};

struct waitq_lane {
    struct waitq_list keys[LIMITER_KEYS];
    uint64_t used; /* the set of keys that have waiters */
    uint32_t depth;
    uint64_t bytes;
};

struct waitq_class {
    struct waitq_lane lanes[WAITQ_LANES];
    unsigned turn;      /* the next key in use from here on, around, has its turn */
    mono_us head_start; /* for how much earlier its waiters count as queued */
    mono_us since;      /* the last time that it was served, or became non-empty */
};

/* Zero-initialised is empty and admits nobody. The fields may be read; only the functions write
 * them. */
struct waitq {
    struct waitq_class classes[LIMITER_CLASSES];
    uint32_t used; /* the set of classes that have waiters */
    uint32_t depth, max_depth;
    uint64_t bytes, max_bytes;
};

/* Sets new bounds. Waiters stay in the queue; newcomers are refused until there is room again. */
void waitq_bound(struct waitq *q, uint32_t max_depth, uint64_t max_bytes);

/* Not negative. */
void waitq_set_head_start(struct waitq *q, unsigned class_, mono_us head_start);

/* Whether there is room for one more with `bytes`: LIMITER_QUEUED, or else LIMITER_SHED_FULL or
 * LIMITER_SHED_BYTES. */
MUST_USE enum limiter_verdict waitq_room(const struct waitq *q, uint64_t bytes);

/*
 * Appends `w`, whose place is after all others', to its class and key, on time, whatever the
 * bounds; the sum of bytes must not wrap. A class that was empty is non-empty `since` then.
 * `w->bytes`, `w->class_` and `w->key` must not change while it is queued.
 */
void waitq_push(struct waitq *q, struct limiter_waiter *w, mono_us since);

/* The same for one that has been in the queue or has passed it by: at its place. O(k) when k others
 * that have come back are ahead of it. */
void waitq_push_back(struct waitq *q, struct limiter_waiter *w, mono_us since);

/* `w` must be in `q`; this cannot be checked. Its links are cleared. */
void waitq_remove(struct waitq *q, struct limiter_waiter *w);

/* The same, because it was its turn: then it is that of the next key. */
void waitq_serve(struct waitq *q, struct limiter_waiter *w, mono_us now);

/* Takes `w` out for a moment, to try something, and pushes it onto the stack `lifted`; the reverse,
 * for the last that was lifted. Nothing else may change the queue in between. */
void waitq_lift(struct waitq *q, struct limiter_waiter *w, struct limiter_waiter **lifted);
void waitq_put_back(struct waitq *q, struct limiter_waiter **lifted);

/* Moves `w`, which is on time, to the late lane, at its place. */
void waitq_make_late(struct waitq *q, struct limiter_waiter *w);

/* Moves all who are late back, each at its place. O(depth) if there are any. */
void waitq_make_all_on_time(struct waitq *q);

/* The key whose turn it is, in a class that has waiters. */
MUST_USE unsigned waitq_key_in_turn(const struct waitq_class *class_);

/* The first on-time waiter of these classes (a set) by `place`, or NULL. O(keys in use). */
MUST_USE const struct limiter_waiter *waitq_first_on_time(const struct waitq *q, uint32_t classes);

/* The waiter of any class that has waited longest (by `place`), or NULL. O(keys in use). */
MUST_USE const struct limiter_waiter *waitq_oldest(const struct waitq *q);

static inline uint32_t waitq_class_depth(const struct waitq_class *class_)
{
    return class_->lanes[WAITQ_ON_TIME].depth + class_->lanes[WAITQ_LATE].depth;
}
