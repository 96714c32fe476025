/*
 * Whether the queue is in an overload: waiting has begun to waste slots, or some request will be
 * refused or wait in vain in any order. An overload ends when the queue is empty.
 *
 * It begins with one of three kinds of evidence:
 *
 *   HOPELESS   the queue is full, or takes longer to be served than a newcomer may wait,
 *   CROWDED    the oldest on-time waiter has waited longer than clients do, and the queue takes at
 *              least that long to be served, either of them for one turnover of the queue: a burst
 *              that drains is no overload. A turnover is the time that serving those in the queue
 *              should take, and as many grants as they were: the mean hold that the time comes from
 *              may be that of quicker requests than those that hold the slots now. So none begins
 *              while the app does not respond at all: no other order would help either;
 *   WASTE      slots go to requests whose clients are gone: three or more, and one in 32 of those
 *              that waited.
 *
 *     NORMAL ── evidence ──► MARKED ── still, after a turnover ──► OVER ── queue empty ──► NORMAL
 *       ▲ └───────────────────────────── WASTE ─────────────────────▲
 *       └── the queue is half as long, or empty ──┘ (from MARKED)
 *
 * Sources: one turnover is free of scale; 5 ms is the target delay of folly's CoDel; the other
 * numbers are from sweeps in simulation. The wait that clients accept (`patience`) is learned by
 * limiter/patience.h and computed at most ten times a second.
 * Pure: time is an argument; no locks (the limiter's mutex guards it); nothing is allocated.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"

enum overload_cause { OVERLOAD_HOPELESS, OVERLOAD_CROWDED, OVERLOAD_WASTE, OVERLOAD_CAUSES };

/* The fields may be read; only the functions write them. */
struct overload {
    bool over;
    bool marked; /* evidence since `mark`, when there were `waiters`, and `granted` slots */
    mono_us mark;
    uint32_t waiters;
    uint64_t granted;
    mono_us patience;     /* the wait up to which clients stay; MONO_NEVER: not known */
    mono_us due;          /* when `patience` is to be computed again */
    double waits, wasted; /* releases of those that waited, and how many waited in vain; fading */
};

/* A newcomer finds no slot free. */
struct overload_arrival {
    mono_us now;
    mono_us left;     /* until its deadline; MONO_NEVER: it has none */
    mono_us oldest;   /* age of the oldest on-time waiter; -1: there is none */
    uint64_t hold_x8; /* the mean slot hold, in eighths of a microsecond */
    uint64_t granted; /* slots granted so far, without those that were handed back */
    uint32_t limit;   /* slots */
    uint32_t waiters; /* in the queue ahead of it */
    bool full;        /* the queue has no room for it */
};

/* No overload, no evidence; the patience is unknown and due. */
void overload_init(struct overload *o);

/*
 * Whether the patience is to be computed again before the next call of a function that uses it.
 * Then call overload_begin_refresh(), which sets when it will be due next, and afterwards (maybe
 * without the mutex in between) overload_set_patience().
 */
bool overload_is_due(const struct overload *o, mono_us now);
void overload_begin_refresh(struct overload *o, mono_us now);
void overload_set_patience(struct overload *o, mono_us patience);

/*
 * How long a request may have waited in an overload before it is late: half the patience; while
 * that is not known, a quarter of the mean slot hold, at least 5 ms.
 */
MUST_USE mono_us overload_allowance(const struct overload *o, mono_us hold);

/*
 * A newcomer has to queue. True: an overload begins, with `*cause` (else unchanged). Call it only
 * while slots are granted (not paused) and the mean slot hold is known; in an overload it does
 * nothing. The patience should be fresh.
 */
bool overload_arrives(struct overload *o, const struct overload_arrival *a,
                      enum overload_cause *cause);

/*
 * A slot was released by a request that had waited for it (`waited` > 0) while slots are granted.
 * `gone`: its client had left, or its declared deadline had passed: the slot was of no use; then
 * the patience should be fresh. True: an overload begins; its cause is OVERLOAD_WASTE.
 */
bool overload_releases(struct overload *o, bool gone, mono_us waited, bool queue_empty);

/* The queue is empty: no overload, and no mark. True: an overload ends. */
bool overload_ends(struct overload *o);

/* Slots are granted again after a pause, or the order has changed: what happened before is no
 * evidence. An overload goes on. */
void overload_resumes(struct overload *o);
