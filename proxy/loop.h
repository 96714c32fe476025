/*
 * A thread's event loop: libevent's dispatch, timers, the task queue, memory, and deferred frees.
 *
 * Everything except loop_post() and loop_stop() belongs to the loop's own thread. A turn runs: the
 * callbacks of all events that are ready; then the tasks from other threads and those that
 * callbacks have posted to their own loop (never nested in the function that posted); then the
 * deferred frees.
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

/* NULL: out of descriptors or memory; see errno. The calling thread need not be the loop's. */
struct loop *loop_new(unsigned index);
void loop_free(struct loop *lp); /* not running, and no more posts */

/* Runs until loop_stop(); from now on the calling thread is the loop's. */
void loop_run(struct loop *lp);
void loop_stop(struct loop *lp); /* any thread; the current turn is completed */

/*
 * One turn, without waiting, on the calling thread; timers depend only on the clock of loop_tick().
 * For tests and fuzzers, which act between two turns. True: something was done, or remains for the
 * next turn.
 */
bool loop_turn(struct loop *lp);

unsigned loop_index(const struct loop *lp);
struct event_base *loop_base(const struct loop *lp);
struct pool *loop_pool(const struct loop *lp);

/*
 * The time of the last loop_tick(), which each event callback calls first: time stands still within
 * a callback, and each phase of a request ends at the time at which the next one begins.
 */
mono_us loop_now(const struct loop *lp);
mono_us loop_tick(struct loop *lp);

/* Whether any tasks of this turn have yet to run, apart from the one that is running, if any. */
bool loop_has_tasks(const struct loop *lp);

/* Whether epoll has reported the event in this turn and its callback has not run yet. */
bool loop_event_is_pending(const struct event *ev);

/*
 * True if epoll may have had more events than fit in its array, or the process was delayed after
 * epoll reported. False: everything that had happened to a socket when the turn began has been
 * reported, less than 100 ms ago, and its callback has run or the event is pending.
 */
bool loop_may_lag(const struct loop *lp);

wall_us loop_wall(struct loop *lp); /* loop_now() on the wall clock, to within a second's drift */
uint64_t loop_random(struct loop *lp); /* for ids and jitter, not for secrets */

/*
 * Any thread. From the loop's own thread, the task runs later in the same turn. `task` belongs to
 * the loop until it runs.
 */
void loop_post(struct loop *lp, struct task *task);

/* ---- timers: a wheel of 1 ms ticks; never early, late by at most a few milliseconds ---- */

/* Arms or re-arms. wheel.h has the other functions of a timer. */
void loop_timer_arm(struct loop *lp, struct loop_timer *t, mono_us due);

/* ---- deferred frees: nothing is freed inside its own callback ---- */

struct loop_deferred {
    struct loop_deferred *next;
    void (*release)(struct loop_deferred *d, struct loop *lp);
};

void loop_defer_free(struct loop *lp, struct loop_deferred *d);

/* ---- scratch: bytes that are valid during one callback ---- */

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
 * The owner of the bytes in a scratch buffer. Taking the buffer calls the present owner's `evict`,
 * which must move its bytes elsewhere.
 */
struct loop_tenant {
    void (*evict)(struct loop_tenant *tenant);
};
void loop_scratch_take(struct loop *lp, enum loop_scratch which, struct loop_tenant *tenant);
void loop_scratch_leave(struct loop *lp, enum loop_scratch which, const struct loop_tenant *tenant);
