/*
 * Timers by the thousand: a hierarchical timing wheel (Varghese and Lauck, 1987). Four levels of 64
 * slots; level 0 holds the next 64 ticks of 1 ms, each higher level 64 times more; a timer moves
 * down when the slot of its level comes up, and what lies beyond 4.6 hours is put in again.
 *
 * Never early, and at most a tick late. Pure: time comes in as an argument. One thread.
 */
#pragma once

#include <stdint.h>

#include "common/clock.h"

typedef void loop_timer_fn(void *arg);

/* Embedded in what has a deadline. */
struct loop_timer {
    struct loop_timer *next, *prev; /* in a slot of the wheel, or NULL */
    mono_us due;                    /* MONO_NEVER: stopped */
    mono_us slot_due;               /* the moment its slot stands for: <= due while linked */
    loop_timer_fn *fn;
    void *arg;
};

void loop_timer_init(struct loop_timer *t, loop_timer_fn *fn, void *arg);
void loop_timer_stop(struct loop_timer *t); /* it may stay linked: see loop_timer_fini */
void loop_timer_fini(struct loop_timer *t); /* before its memory goes */

#define WHEEL_LEVELS 4
#define WHEEL_SLOTS  64

/* Private but for being embedded. */
struct wheel {
    uint64_t tick; /* all timers of this tick and before have fired */
    uint64_t occupied[WHEEL_LEVELS];
    struct loop_timer slot[WHEEL_LEVELS][WHEEL_SLOTS]; /* heads of rings */
};

void wheel_init(struct wheel *wh, mono_us now);

/*
 * Arms or re-arms. Moving a timer to a later moment writes one number: the wheel looks at it when
 * its old slot comes up. So a timer that is pushed on with every request costs nothing.
 */
void wheel_arm(struct wheel *wh, struct loop_timer *t, mono_us due);

/* Calls what is due at `now`. A callback may arm, stop and fini any timer, its own too. */
void wheel_turn(struct wheel *wh, mono_us now);

/* When wheel_turn() next has something to do, if only to move timers down; MONO_NEVER: nothing. */
mono_us wheel_next(const struct wheel *wh);
