/*
 * A thread's event loop: libevent's dispatch, timers, the mailbox, memory, and the list of the
 * dead.
 *
 * Everything here but loop_post() and loop_stop() belongs to the loop's own thread. A turn is: the
 * events that are ready, each with its callback; then the mail that has come and that callbacks
 * have posted to their own loop (never nested in the one that posted); then the burial of what
 * died.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/check.h"
#include "common/clock.h"
#include "common/pool.h"
#include "common/task_queue.h"
#include "proxy/wheel.h"

struct event;
struct event_base;
struct loop; /* opaque: defined in loop.c */

/* NULL: no descriptor or no memory left; errno tells. The calling thread need not be the loop's. */
struct loop *loop_new(unsigned index);
void loop_free(struct loop *lp); /* not running, nobody posts any more */

/* Runs until loop_stop(); the calling thread is the loop's from now on. */
void loop_run(struct loop *lp);
void loop_stop(struct loop *lp); /* any thread; the present turn is finished */

/*
 * One turn, without waiting for anything, on the calling thread; timers go by loop_tick()'s clock
 * alone. For tests and fuzzers, which make the world go on between two turns. True: something was
 * done, or is left to be done in the next.
 */
bool loop_turn(struct loop *lp);

unsigned loop_index(const struct loop *lp);
struct event_base *loop_base(const struct loop *lp);
struct pool *loop_pool(const struct loop *lp);

/*
 * The time as of the last loop_tick(), which each event callback calls first: within one callback
 * time stands still, and the phases of a request have common borders.
 */
mono_us loop_now(const struct loop *lp);
mono_us loop_tick(struct loop *lp);

/* The event has been reported by epoll in this turn, and its callback has not run yet. */
bool loop_event_is_pending(const struct event *ev);

/*
 * Epoll may have had more to report than it had room for, or the process has stood still since it
 * reported. False: whatever had happened to a socket when the turn began has been reported, its
 * callback has run or the event is pending, and that is less than 100 ms ago.
 */
bool loop_may_lag(const struct loop *lp);

wall_us loop_wall(
    struct loop *lp); /* loop_now() on the wall clock, right within a second's drift */
uint64_t loop_random(struct loop *lp); /* for ids and jitter, not for secrets */

/*
 * Any thread. From the loop's own thread the mail is delivered later in the same turn. `task` is
 * the loop's until it is delivered.
 */
void loop_post(struct loop *lp, struct task *task);

/* ---- timers: a wheel of 1 ms ticks; never early, late by some milliseconds at most ---- */

/* Arms or re-arms. The rest of a timer's life is in wheel.h. */
void loop_timer_arm(struct loop *lp, struct loop_timer *t, mono_us due);

/* ---- the dead: nothing is freed inside its own callback ---- */

struct loop_deferred {
    struct loop_deferred *next;
    void (*release)(struct loop_deferred *d, struct loop *lp);
};

void loop_defer_free(struct loop *lp, struct loop_deferred *d);

/* ---- scratch: bytes that live for one callback ---- */

#define LOOP_SCRATCH 65536

enum loop_scratch {
    LOOP_SCRATCH_CLIENT,
    LOOP_SCRATCH_UPSTREAM,
    LOOP_SCRATCH_COMPOSE,
    LOOP_SCRATCHES
};

/* LOOP_SCRATCH bytes. */
char *loop_scratch(struct loop *lp, enum loop_scratch which);

/*
 * Who has bytes in a scratch now. Taking it calls the present owner's `evict`, which must move its
 * bytes elsewhere.
 */
struct loop_tenant {
    void (*evict)(struct loop_tenant *tenant);
};
void loop_scratch_take(struct loop *lp, enum loop_scratch which, struct loop_tenant *tenant);
void loop_scratch_leave(struct loop *lp, enum loop_scratch which, const struct loop_tenant *tenant);
