/*
 * The limiter: at most `limit` holders at once, everybody else in one bounded queue, first come
 * first served.
 *
 * A caller embeds a `struct limiter_waiter` in what it wants to run and moves it through
 *
 *     IDLE ── acquire ──► HOLDING ── release ──► IDLE           a slot was free, nobody waited
 *       └──── acquire ──► WAITING ──┬─ (verdict) ─► HOLDING     ADMITTED, by another's release
 *                                   ├─ (verdict) ─► IDLE        EXPIRED, its deadline had passed
 *                                   └─ cancel ────► IDLE        the caller gave up
 *
 * Laws, at every instant: holders <= limit, unless the limit was lowered under them (then nothing
 * is granted until they are fewer); strict FIFO, a newcomer never takes a slot while someone waits;
 * nobody whose deadline has passed is ever granted a slot; a slot that is released goes straight to
 * the next waiter, so there is no moment in which it could be stolen.
 *
 * Threads: every function may be called from any thread; one mutex inside, held for some tens of
 * nanoseconds. No callback runs under it: functions that end other people's waits return them as a
 * chain, linked by `next`, each with its `verdict`; the caller hands each to its owner. Read `next`
 * before you hand a waiter on, since its owner may reuse it at once.
 *
 * Time comes in as an argument. Threads may read their clocks in one order and take the mutex in
 * another, so the limiter never lets its own time go back: what it writes into a waiter
 * (`queued_at`, `ended_at`, `granted_at`, `released_at`) is the time it counted with. Hence
 * exactly, not nearly: the integral of depth over time is the sum of all (ended_at - queued_at),
 * and the integral of holders over time is the sum of all (released_at - granted_at).
 *
 * Nothing is allocated after limiter_new(); acquire, release and cancel are O(1) (release is O(k)
 * when it meets k expired waiters, each of whom leaves the queue then). Pure: no HTTP, no sockets,
 * no clock of its own, no logs.
 *
 * Words after Netflix concurrency-limits and Knative's breaker (capacity, in flight, pending).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"

#define LIMITER_UNLIMITED UINT32_MAX

struct limiter; /* opaque: defined in limiter.c */

struct limiter_config {
    uint32_t limit;        /* >= 1, or LIMITER_UNLIMITED */
    uint32_t queue_length; /* waiters at most; 0: refuse at once */
    uint64_t queue_bytes;  /* sum of the waiters' `bytes` at most */
};

enum limiter_verdict {
    LIMITER_ADMITTED,   /* holds a slot now */
    LIMITER_QUEUED,     /* waits; exactly one verdict will come in a chain, unless cancelled */
    LIMITER_SHED_FULL,  /* refused: the queue has its full length */
    LIMITER_SHED_BYTES, /* refused: the queue would hold too many bytes */
    LIMITER_EXPIRED,    /* its deadline passed while it waited; holds nothing */
};

enum limiter_waiter_state { LIMITER_IDLE, LIMITER_WAITING, LIMITER_HOLDING };

/*
 * Embedded in the caller's object; zero-initialised is IDLE. Set `bytes` before acquire, and
 * `apart` before release; all other fields are written by the limiter only, and may be read by the
 * owner once it has the verdict. Must not move in memory while WAITING. `class_` is 0: the place
 * for priority classes.
 */
struct limiter_waiter {
    struct limiter_waiter *next, *prev;
    enum limiter_waiter_state state;
    enum limiter_verdict verdict;
    unsigned class_;
    bool apart;          /* its hold is unlike others' (a tunnel's): the mean leaves it out */
    uint64_t bytes;      /* what waiting costs in memory, counted against queue_bytes */
    mono_us deadline;    /* MONO_NEVER: waits for good */
    mono_us queued_at;   /* the moment of acquire */
    mono_us ended_at;    /* the wait's end: granted, expired, shed or cancelled */
    mono_us granted_at;  /* == queued_at when it did not wait at all */
    mono_us released_at; /* when the slot was given back */
};

struct limiter_snapshot {
    uint32_t limit, queue_length;
    uint32_t in_flight; /* slots held */
    uint32_t depth;     /* waiters in the queue */
    uint64_t bytes;     /* theirs */
    bool paused;
    mono_us oldest_wait;   /* age of the head of the queue, 0 when empty */
    mono_us drain;         /* estimate: time until the queue as it is now has been served */
    uint64_t in_flight_us; /* integral of in_flight dt, up to `now` */
    uint64_t queued_us;    /* integral of depth dt */
    uint64_t saturated_us; /* time with no free slot (in_flight >= limit) */
    uint64_t admitted, queued, shed_full, shed_bytes, expired, cancelled, released; /* events */
    uint64_t accounting_errors; /* must stay 0: grants beyond the limit, and snapshots in which
                                   admitted is not released + in_flight */
    uint32_t in_flight_peak, depth_peak; /* since limiter_new or the last reconfigure */
};

/* NULL only without memory. `now` starts the integrals. */
struct limiter *limiter_new(const struct limiter_config *config, mono_us now);

/* The caller has seen to it that nobody holds or waits. NULL is allowed. */
void limiter_free(struct limiter *l);

/*
 * Asks for a slot. `w` must be IDLE. A deadline that is not after `now` with no slot free is
 * LIMITER_EXPIRED at once, without queueing. While paused nobody is admitted: everybody queues.
 */
MUST_USE enum limiter_verdict limiter_acquire(struct limiter *l, struct limiter_waiter *w,
                                              mono_us now, mono_us deadline);

/* Gives the slot of `w` (HOLDING) back. Returns the chain of those whose wait this ended. */
MUST_USE struct limiter_waiter *limiter_release(struct limiter *l, struct limiter_waiter *w,
                                                mono_us now);

/*
 * Whether slots are plentiful: more than max(1, a quarter of the limit) are free and nobody waits.
 * Then who is slow to bring its request may hold one meanwhile. Never while paused.
 */
bool limiter_has_plenty(struct limiter *l);

/* Whether somebody waits for a slot. */
bool limiter_has_waiters(struct limiter *l);

/* Whether who asked now would be refused, whatever it brings: no slot is free, the queue is full.
 */
bool limiter_is_full(struct limiter *l);

/*
 * Leaves the queue. True: `w` is out and IDLE again, no verdict will come. False: too late, its
 * verdict is in a chain that some thread is about to deliver; the owner must wait for it, and if it
 * is ADMITTED give the slot back.
 */
MUST_USE bool limiter_cancel(struct limiter *l, struct limiter_waiter *w, mono_us now);

/* From pause to resume no slot is granted; holders go on, arrivals queue. Idempotent. */
void limiter_pause(struct limiter *l, mono_us now);
MUST_USE struct limiter_waiter *limiter_resume(struct limiter *l, mono_us now);

/*
 * Takes new bounds. A higher limit ends waits: they come back as a chain. A lower one takes nothing
 * from holders. A shorter queue keeps who is in it and refuses newcomers until it is short enough.
 */
MUST_USE struct limiter_waiter *limiter_reconfigure(struct limiter *l,
                                                    const struct limiter_config *config,
                                                    mono_us now);

void limiter_snapshot(struct limiter *l, mono_us now, struct limiter_snapshot *out);

/*
 * How long until the queue as it is now would have been served: (depth + 1) slots' time at the mean
 * slot hold of late (an exponential mean, weight 1/8, RFC 6298's srtt), over `limit` slots. 0
 * before the first release. The figure behind Retry-After.
 */
mono_us limiter_drain_estimate(struct limiter *l);
