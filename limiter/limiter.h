/*
 * The limiter: instances of an app with some slots each, and one bounded queue for those that find
 * no slot free, first come, first served.
 *
 * A caller embeds a `struct limiter_waiter` in its own object, and moves it through these states:
 *
 *     IDLE ── acquire ──► HOLDING ── release ──► IDLE           a slot was free, nobody waited
 *       └──── acquire ──► WAITING ──┬─ (verdict) ─► HOLDING     ADMITTED, by another's call
 *                            ▲      ├─ (verdict) ─► IDLE        EXPIRED, its deadline had passed;
 *                            │      │                           EVICTED, it made room for another
 *                            │      └─ cancel ────► IDLE        the caller gave up
 *     HOLDING ─── requeue ───┘                                  the slot was of no use
 *
 * Invariants: an instance has no more holders than slots, unless its slots were lowered below the
 * number of holders (then it grants nothing until there are fewer); a newcomer never takes a slot
 * while another of its class waits; a waiter whose deadline has passed is never granted a slot; a
 * released slot goes straight to the next waiter, so no newcomer can take it in between; while any
 * reason to pause is set, no slot is granted.
 *
 * Order: strict FIFO in a class, and a requeued waiter keeps its place. In an overload (overload.h
 * says when one begins; it ends when the queue is empty), FIFO among those on time: those that have
 * waited longer than clients accept are late, and get only slots that no other needs (choice.h).
 * With LIMITER_FIFO there are no overloads. Classes and keys, if there are several: choice.h.
 *
 * Threads: any, for every function; one mutex, held for a few tens of nanoseconds. No callback runs
 * under it: functions that end waits return the waiters as a chain, linked by `next`, each with its
 * `verdict`; the caller hands each to its owner, and reads `next` before that.
 *
 * Time is an argument. Threads may read their clocks in one order and take the mutex in another, so
 * the limiter never lets its own time go backwards: the times that it writes into a waiter
 * (`queued_at`, `ended_at`, `granted_at`, `released_at`) are those it used in its own sums.
 * Therefore the integral of depth over time is exactly the sum of all (ended_at - queued_at -
 * requeued_us), and the integral of holders over time exactly the sum of all (released_at -
 * granted_at) and all requeued_us.
 *
 * Nothing is allocated after limiter_new(). acquire, release and cancel are O(1), amortised, but
 * for a check of each instance that has slots if there are several, and of each class and key in
 * use. Pure: no HTTP, no sockets, no clock of its own, no logs. The terms follow Netflix's
 * concurrency-limits and Knative's breaker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "limiter/config.h"
#include "limiter/patience.h"
#include "limiter/snapshot.h"
#include "limiter/waiter.h"

struct limiter; /* opaque: defined in limiter.c */

/* NULL only when out of memory. No instance has slots yet. The integrals start at `now`. */
struct limiter *limiter_new(const struct limiter_config *config, mono_us now);

/* The caller makes sure that there are no holders and no waiters. NULL is allowed. */
void limiter_free(struct limiter *l);

/*
 * Gives an instance `slots` slots: 0, the initial value, takes it out of use, and LIMITER_UNLIMITED
 * means no bound. Additional slots end waits: those waiters are returned as a chain. A lower number
 * takes no slot from a holder.
 */
MUST_USE struct limiter_waiter *limiter_set_slots(struct limiter *l, unsigned instance,
                                                  uint32_t slots, mono_us now);

/*
 * Requests a slot. `w` must be IDLE; `deadline` is not after its `declared` one. If no slot is free
 * and the deadline is not after `now`, returns LIMITER_EXPIRED without queueing; LIMITER_SHED_LATE
 * if those ahead take too long for the declared one. While paused, nobody is admitted: all are
 * queued.
 *
 * If the queue has no room for `w`, waiters at its head whose deadline has passed are removed
 * first; then one that has to give way (choice.h), or as many as its bytes require. `*ended` is set
 * to the chain of those, or NULL; `w` is never in it.
 */
MUST_USE enum limiter_verdict limiter_acquire(struct limiter *l, struct limiter_waiter *w,
                                              mono_us now, mono_us deadline,
                                              struct limiter_waiter **ended);

/*
 * Returns the slot of `w` (HOLDING), and learns from it unless `w` is `apart`. The result is the
 * chain of waiters whose wait is over: those at the head of the queue whose deadline has passed,
 * and as many as there are free slots.
 */
MUST_USE struct limiter_waiter *limiter_release(struct limiter *l, struct limiter_waiter *w,
                                                mono_us now);

/*
 * Hands back a slot that was of no use to `w` (HOLDING), which then waits again at its place, ahead
 * of all that arrived after it, until its deadline, which may be a new one; the queue's bounds do
 * not apply to it. The hold does not count towards the mean. The result is a chain, as for release,
 * and `w` is in it if a slot is free for it or its deadline has passed: a caller that expects the
 * next slot to be of no use as well must pause the limiter first. One verdict follows, unless `w`
 * is cancelled.
 */
MUST_USE struct limiter_waiter *limiter_requeue(struct limiter *l, struct limiter_waiter *w,
                                                mono_us now);

/* Whether slots are plentiful: more than max(1, a quarter of the limit) are free, and nobody waits
 * but for a pool. A client that sends its request slowly may then hold a slot while it does so.
 * False while paused. */
bool limiter_has_plenty(struct limiter *l);

bool limiter_has_waiters(struct limiter *l); /* for a slot */
/* Whether no slot is free and the queue is full: an acquire would be refused, unless others of a
 * lower class or a longer key make room for it. False in an overload and while some wait for a
 * pool, as those do. */
bool limiter_is_full(struct limiter *l);

/*
 * Leaves the queue. True: `w` has left and is IDLE; no verdict will follow. False: too late; its
 * verdict is in a chain that another thread is about to hand over; the owner must wait for it, and
 * release the slot if it is ADMITTED.
 */
MUST_USE bool limiter_cancel(struct limiter *l, struct limiter_waiter *w, mono_us now,
                             enum limiter_leave why);

/*
 * Sets a reason to pause: until every reason is cleared, no slot is granted; holders continue, and
 * new waiters are queued. Resume clears one reason; clearing the last ends waits. Both are
 * idempotent.
 */
void limiter_pause(struct limiter *l, enum limiter_pause_reason reason, mono_us now);
MUST_USE struct limiter_waiter *limiter_resume(struct limiter *l, enum limiter_pause_reason reason,
                                               mono_us now);

/*
 * Sets new bounds and a new order, from the next grant on. A shorter queue keeps its waiters, and
 * has no room until there are fewer. A higher maximum of a pool ends waits. The number of classes
 * and their pools may change only while there are no holders and no waiters.
 */
MUST_USE struct limiter_waiter *limiter_reconfigure(struct limiter *l,
                                                    const struct limiter_config *config,
                                                    mono_us now);

void limiter_snapshot(struct limiter *l, mono_us now, struct limiter_snapshot *out);
/* In addition, the peaks begin anew. */
void limiter_take_peaks(struct limiter *l, mono_us now, struct limiter_snapshot *out);

/* Copies what has been learned about clients' patience. */
void limiter_patience(struct limiter *l, struct patience *out);

/* Estimated time to serve the current queue: (depth + 1) times the recent mean slot hold of plain
 * classes (exponential, weight 1/8, like srtt in RFC 6298), divided by `limit`, or by 1 while
 * `limit` is 0. 0 before the first release. Used for Retry-After. */
mono_us limiter_drain_estimate(struct limiter *l);
