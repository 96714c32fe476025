/* What the limiter's unit tests share: situations to begin with, and shorthand. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "limiter/limiter.h"

#define WAITERS 8u

struct fixture {
    struct limiter *limiter;
    struct limiter_waiter w[WAITERS];
};

/* One instance with `slots` slots; the others have none. */
static inline int set_up_bytes(void **state, uint32_t slots, uint32_t queue_length, uint64_t bytes)
{
    const struct limiter_config config = {.queue_length = queue_length, .queue_bytes = bytes};

    static struct fixture f;

    memset(&f, 0, sizeof(f));
    f.limiter = limiter_new(&config, 0);
    *state = &f;
    if (f.limiter == NULL)
        return -1;
    return limiter_set_slots(f.limiter, 0, slots, 0) == NULL ? 0 : -1;
}

static inline int set_up(void **state, uint32_t slots, uint32_t queue_length)
{
    return set_up_bytes(state, slots, queue_length, UINT64_MAX);
}

static inline int one_slot(void **state)
{
    return set_up(state, 1, 6);
}

static inline int two_slots(void **state)
{
    return set_up(state, 2, 6);
}

static inline int one_slot_and_no_queue(void **state)
{
    return set_up(state, 1, 0);
}

static inline int one_slot_and_100_bytes(void **state)
{
    return set_up_bytes(state, 1, 6, 100);
}

static inline int no_limit(void **state)
{
    return set_up(state, LIMITER_UNLIMITED, 0);
}

static inline int eight_slots(void **state)
{
    return set_up(state, 8, 6);
}

/* Waiters are cancelled first, so that no release grants a slot. */
static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < WAITERS; i++) {
        if (f->w[i].state == LIMITER_WAITING)
            assert_true(limiter_cancel(f->limiter, &f->w[i], 0, LIMITER_CLIENT_LEFT));
    }
    for (unsigned i = 0; i < WAITERS; i++) {
        if (f->w[i].state == LIMITER_HOLDING)
            assert_null(limiter_release(f->limiter, &f->w[i], 0));
    }
    limiter_free(f->limiter);
    return 0;
}

/* ---- shorthand ------------------------------------------------------------------------------- */

/* The chain of waits that it ended. */
static inline struct limiter_waiter *acquire_ending(struct fixture *f, unsigned i, mono_us now,
                                                    mono_us deadline, enum limiter_verdict expected)
{
    struct limiter_waiter *ended = &f->w[i]; /* acquire must overwrite it */

    assert_int_equal(limiter_acquire(f->limiter, &f->w[i], now, deadline, &ended), expected);
    assert_int_equal(f->w[i].verdict, expected);
    return ended;
}

static inline void acquire_until(struct fixture *f, unsigned i, mono_us now, mono_us deadline,
                                 enum limiter_verdict expected)
{
    assert_null(acquire_ending(f, i, now, deadline, expected));
}

static inline void acquire(struct fixture *f, unsigned i, mono_us now,
                           enum limiter_verdict expected)
{
    acquire_until(f, i, now, MONO_NEVER, expected);
}

static inline struct limiter_waiter *release(struct fixture *f, unsigned i, mono_us now)
{
    return limiter_release(f->limiter, &f->w[i], now);
}

static inline struct limiter_waiter *set_slots(struct fixture *f, uint32_t slots, mono_us now)
{
    return limiter_set_slots(f->limiter, 0, slots, now);
}

static inline void set_queue(struct fixture *f, uint32_t queue_length, mono_us now)
{
    const struct limiter_config config = {.queue_length = queue_length, .queue_bytes = UINT64_MAX};

    assert_null(limiter_reconfigure(f->limiter, &config, now));
}

static inline struct limiter_waiter *requeue(struct fixture *f, unsigned i, mono_us now)
{
    return limiter_requeue(f->limiter, &f->w[i], now);
}

static inline void pause_for(struct fixture *f, enum limiter_pause_reason reason, mono_us now)
{
    limiter_pause(f->limiter, reason, now);
}

static inline struct limiter_waiter *resume_from(struct fixture *f,
                                                 enum limiter_pause_reason reason, mono_us now)
{
    return limiter_resume(f->limiter, reason, now);
}

static inline struct limiter_snapshot snapshot(struct fixture *f, mono_us now)
{
    struct limiter_snapshot s;

    limiter_snapshot(f->limiter, now, &s);
    return s;
}

/* The first in the chain is w[i] with this verdict; returns the rest. */
static inline struct limiter_waiter *expect_next(struct fixture *f, struct limiter_waiter *chain,
                                                 unsigned i, enum limiter_verdict verdict)
{
    assert_ptr_equal(chain, &f->w[i]);
    assert_int_equal(chain->verdict, verdict);
    assert_int_equal(chain->state, verdict == LIMITER_ADMITTED ? LIMITER_HOLDING : LIMITER_IDLE);
    return chain->next;
}

static inline void expect_only(struct fixture *f, struct limiter_waiter *chain, unsigned i,
                               enum limiter_verdict verdict)
{
    assert_null(expect_next(f, chain, i, verdict));
}

#define WITH(situation, test) cmocka_unit_test_setup_teardown(test, situation, tear_down)
