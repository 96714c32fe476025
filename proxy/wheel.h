/*
 * Timers for thousands of objects: a hierarchical timing wheel (Varghese and Lauck, 1987). Four
 * levels of 64 slots; level 0 holds the next 64 ticks of 1 ms, each higher level 64 times more; a
 * timer moves down when the slot of its level is reached, and timers beyond 4.6 hours are inserted
 * again.
 *
 * Never early, and at most one tick late. Pure: time is an argument. One thread.
 */
#pragma once

#include <stdint.h>

#include "common/clock.h"

typedef void loop_timer_fn(void *arg);

/* Embedded in an object that has a deadline. */
struct loop_timer {
    struct loop_timer *next, *prev; /* links in a slot of the wheel, or NULL */
    mono_us due;                    /* MONO_NEVER: stopped */
    mono_us slot_due;               /* the time of its slot: <= due while linked */
    loop_timer_fn *fn;
    void *arg;
};

void loop_timer_init(struct loop_timer *t, loop_timer_fn *fn, void *arg);
void loop_timer_stop(struct loop_timer *t); /* it may stay linked: see loop_timer_fini */
void loop_timer_fini(struct loop_timer *t); /* before its memory is freed */

#define WHEEL_LEVELS 4
#define WHEEL_SLOTS  64

/* Private; embedded. */
struct wheel {
    uint64_t tick; /* all timers up to this tick have fired */
    uint64_t occupied[WHEEL_LEVELS];
    struct loop_timer slot[WHEEL_LEVELS][WHEEL_SLOTS]; /* list heads */
};

void wheel_init(struct wheel *wh, mono_us now);

/*
 * Arms or re-arms. Moving a timer to a later time writes one number: the wheel checks it when the
 * old slot is reached. So a timer that is postponed with every request costs next to nothing.
 */
void wheel_arm(struct wheel *wh, struct loop_timer *t, mono_us due);

/* Calls the timers that are due at `now`. A callback may arm, stop and fini any timer, including
 * its own. */
void wheel_turn(struct wheel *wh, mono_us now);

/* When wheel_turn() is next needed, if only to move timers down; MONO_NEVER: not at all. */
mono_us wheel_next(const struct wheel *wh);
