/*
 * Slots that belong to instances, reasons to pause, slots that are handed back, and arrivals that
 * end the waits of others. Time is just a number.
 */
#include "tests/unit/limiter/limiter_fixture.h"

static void set(struct fixture *f, unsigned instance, uint32_t slots, mono_us now)
{
    assert_null(limiter_set_slots(f->limiter, instance, slots, now));
}

static void acquire_on(struct fixture *f, unsigned i, mono_us now, unsigned instance)
{
    acquire(f, i, now, LIMITER_ADMITTED);
    assert_int_equal(f->w[i].instance, instance);
}

/* ---- instances ------------------------------------------------------------------------------- */

static void without_slots_all_wait_and_time_counts_as_saturated(void **state)
{
    struct fixture *f = *state;

    set(f, 0, 0, 10);
    acquire(f, 0, 10, LIMITER_QUEUED);
    struct limiter_snapshot s = snapshot(f, 30);
    assert_int_equal(s.limit, 0);
    assert_int_equal(s.paused, 0);
    assert_int_equal(s.saturated_us, 20);
    assert_false(limiter_has_plenty(f->limiter));
    expect_only(f, set_slots(f, 1, 40), 0, LIMITER_ADMITTED);
}

static void without_slots_the_drain_is_that_of_one(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_null(release(f, 0, 800));
    set(f, 0, 0, 800);
    acquire(f, 0, 800, LIMITER_QUEUED);
    assert_int_equal(limiter_drain_estimate(f->limiter), 2 * 800);
}

static void the_limit_is_the_sum_of_all_slots(void **state)
{
    struct fixture *f = *state;

    set(f, LIMITER_INSTANCES - 1, 3, 1);
    assert_int_equal(snapshot(f, 1).limit, 5);
    set(f, 7, LIMITER_UNLIMITED, 1);
    assert_int_equal(snapshot(f, 1).limit, LIMITER_UNLIMITED);
    set(f, 7, 0, 1);
    assert_int_equal(snapshot(f, 1).limit, 5);
}

static void the_least_loaded_instance_grants(void **state)
{
    struct fixture *f = *state;

    set(f, 1, 4, 0);
    acquire_on(f, 0, 1, 0); /* none is in use: the first */
    acquire_on(f, 1, 1, 1); /* 1 of 2, 0 of 4 */
    acquire_on(f, 2, 1, 1); /* 1 of 2, 1 of 4 */
    acquire_on(f, 3, 1, 0); /* 1 of 2, 2 of 4: the first of equals */
    acquire_on(f, 4, 1, 1);
    acquire_on(f, 5, 1, 1);
    acquire(f, 6, 1, LIMITER_QUEUED);
    assert_int_equal(snapshot(f, 1).in_flight, 6);
}

static void an_unlimited_instance_beside_others_is_the_least_loaded(void **state)
{
    struct fixture *f = *state;

    set(f, 2, LIMITER_UNLIMITED, 0);
    acquire_on(f, 0, 1, 0);
    for (unsigned i = 1; i < WAITERS; i++)
        acquire_on(f, i, 1, 2);
}

static void a_released_slot_goes_on_at_its_own_instance(void **state)
{
    struct fixture *f = *state;

    set(f, 1, 1, 0);
    acquire_on(f, 0, 1, 0);
    acquire_on(f, 1, 1, 1);
    acquire_on(f, 2, 1, 0);
    acquire(f, 3, 1, LIMITER_QUEUED);
    acquire(f, 4, 1, LIMITER_QUEUED);
    expect_only(f, release(f, 1, 2), 3, LIMITER_ADMITTED);
    assert_int_equal(f->w[3].instance, 1);
    expect_only(f, release(f, 2, 3), 4, LIMITER_ADMITTED);
    assert_int_equal(f->w[4].instance, 0);
}

/* The sum of all holders is below the sum of all slots, and still it must not grant. */
static void an_instance_over_its_slots_grants_nothing_while_another_does(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 2; i++)
        acquire_on(f, i, 1, 0);
    set(f, 0, 1, 2);
    set(f, 1, 1, 2);
    acquire_on(f, 2, 3, 1);
    acquire(f, 3, 3, LIMITER_QUEUED);
    assert_null(release(f, 0, 4)); /* 1 of 1 still */
    acquire(f, 4, 4, LIMITER_QUEUED);
    expect_only(f, release(f, 2, 5), 3, LIMITER_ADMITTED);
    assert_int_equal(f->w[3].instance, 1);
    expect_only(f, release(f, 1, 6), 4, LIMITER_ADMITTED);
    assert_int_equal(f->w[4].instance, 0);
    assert_int_equal(snapshot(f, 6).accounting_errors, 0);
}

static void an_instance_taken_out_of_use_ends_with_its_holders(void **state)
{
    struct fixture *f = *state;

    acquire_on(f, 0, 1, 0);
    set(f, 0, 0, 2);
    acquire(f, 1, 3, LIMITER_QUEUED);
    assert_null(release(f, 0, 4));
    assert_int_equal(snapshot(f, 4).in_flight, 0);
    struct limiter_waiter *chain = limiter_set_slots(f->limiter, 5, 1, 5);
    expect_only(f, chain, 1, LIMITER_ADMITTED);
    assert_int_equal(f->w[1].instance, 5);
}

/* ---- reasons to pause ------------------------------------------------------------------------ */

static void clearing_one_reason_leaves_the_others(void **state)
{
    struct fixture *f = *state;

    pause_for(f, LIMITER_PAUSE_NOT_READY, 1);
    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    acquire(f, 0, 2, LIMITER_QUEUED);
    assert_null(resume_from(f, LIMITER_PAUSE_NOT_READY, 3)); /* the app has come back */
    assert_int_equal(snapshot(f, 3).paused, LIMITER_PAUSE_OPERATOR);
    acquire(f, 1, 3, LIMITER_QUEUED);
    struct limiter_waiter *chain = resume_from(f, LIMITER_PAUSE_OPERATOR, 4);
    expect_only(f, expect_next(f, chain, 0, LIMITER_ADMITTED), 1, LIMITER_ADMITTED);
}

static void each_reason_pauses_on_its_own(void **state)
{
    static const enum limiter_pause_reason reasons[] = {
        LIMITER_PAUSE_NOT_READY, LIMITER_PAUSE_OPERATOR, LIMITER_PAUSE_SCALED_TO_0,
        LIMITER_PAUSE_DRAINING};
    struct fixture *f = *state;

    for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        mono_us now = 10 * i;
        pause_for(f, reasons[i], now);
        acquire(f, 0, now, LIMITER_QUEUED);
        assert_int_equal(snapshot(f, now).paused, reasons[i]);
        expect_only(f, resume_from(f, reasons[i], now), 0, LIMITER_ADMITTED);
        assert_null(release(f, 0, now));
    }
}

static void slots_set_while_paused_are_granted_at_the_resume(void **state)
{
    struct fixture *f = *state;

    pause_for(f, LIMITER_PAUSE_SCALED_TO_0, 1);
    for (unsigned i = 0; i < 3; i++)
        acquire(f, i, 1, LIMITER_QUEUED);
    set(f, 0, 1, 2);
    set(f, 9, 1, 2);
    struct limiter_waiter *chain = resume_from(f, LIMITER_PAUSE_SCALED_TO_0, 3);
    expect_only(f, expect_next(f, chain, 0, LIMITER_ADMITTED), 1, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].instance, 0);
    assert_int_equal(f->w[1].instance, 9);
}

/* ---- a slot handed back ---------------------------------------------------------------------- */

static void a_requeued_waiter_has_its_old_place_and_deadline(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 2, 99, LIMITER_QUEUED);
    acquire(f, 2, 3, LIMITER_QUEUED);
    expect_only(f, release(f, 0, 10), 1, LIMITER_ADMITTED);
    pause_for(f, LIMITER_PAUSE_NOT_READY, 12);
    assert_null(requeue(f, 1, 12));
    assert_int_equal(f->w[1].state, LIMITER_WAITING);
    assert_int_equal(f->w[1].verdict, LIMITER_QUEUED);
    assert_int_equal(f->w[1].queued_at, 2);
    assert_int_equal(f->w[1].deadline, 99);
    assert_int_equal(snapshot(f, 12).oldest_wait, 10);
    assert_int_equal(snapshot(f, 12).in_flight, 0);
    expect_only(f, resume_from(f, LIMITER_PAUSE_NOT_READY, 20), 1, LIMITER_ADMITTED);
    assert_int_equal(f->w[1].granted_at, 20);
    expect_only(f, release(f, 1, 21), 2, LIMITER_ADMITTED);
}

/* In whatever order they are handed back, and also one that never waited. */
static void requeued_waiters_are_in_the_order_of_arrival(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < 4; i++)
        acquire(f, i, 1, LIMITER_ADMITTED);
    pause_for(f, LIMITER_PAUSE_NOT_READY, 1);
    acquire(f, 4, 1, LIMITER_QUEUED);
    assert_null(requeue(f, 2, 2));
    assert_null(requeue(f, 0, 2));
    assert_null(requeue(f, 3, 2));
    assert_null(requeue(f, 1, 2));
    struct limiter_waiter *chain = resume_from(f, LIMITER_PAUSE_NOT_READY, 3);
    for (unsigned i = 0; i < 4; i++)
        chain = expect_next(f, chain, i, LIMITER_ADMITTED);
    expect_only(f, chain, 4, LIMITER_ADMITTED);
}

static void without_a_pause_the_requeued_gets_the_next_slot_at_once(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_QUEUED);
    expect_only(f, requeue(f, 0, 5), 0, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].granted_at, 5);
    expect_only(f, release(f, 0, 6), 1, LIMITER_ADMITTED);
}

static void a_requeued_waiter_may_get_a_slot_of_another_instance(void **state)
{
    struct fixture *f = *state;

    acquire_on(f, 0, 1, 0);
    set(f, 0, 0, 2);
    set(f, 1, 1, 2);
    expect_only(f, requeue(f, 0, 3), 0, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].instance, 1);
}

static void a_requeued_waiter_may_expire_and_the_next_gets_the_slot(void **state)
{
    struct fixture *f = *state;

    acquire_until(f, 0, 1, 10, LIMITER_ADMITTED);
    acquire(f, 1, 2, LIMITER_QUEUED);
    struct limiter_waiter *chain = requeue(f, 0, 10);
    expect_only(f, expect_next(f, chain, 0, LIMITER_EXPIRED), 1, LIMITER_ADMITTED);
}

static void a_requeued_waiter_may_leave(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    pause_for(f, LIMITER_PAUSE_NOT_READY, 2);
    assert_null(requeue(f, 0, 3));
    assert_true(limiter_cancel(f->limiter, &f->w[0], 4, LIMITER_CLIENT_LEFT));
    assert_int_equal(snapshot(f, 4).depth, 0);
}

static void a_full_queue_takes_the_requeued_all_the_same(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    for (unsigned i = 1; i < 7; i++)
        acquire(f, i, 1, LIMITER_QUEUED);
    pause_for(f, LIMITER_PAUSE_NOT_READY, 2);
    assert_null(requeue(f, 0, 2));
    assert_int_equal(snapshot(f, 2).depth, 7);
    assert_int_equal(snapshot(f, 2).depth_peak, 7);
    acquire(f, 7, 2, LIMITER_SHED_FULL);
}

static void a_hold_handed_back_is_counted_as_one_and_not_learnt_from(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 10, LIMITER_ADMITTED); /* holds 10..15, waits 15..40, holds 40..42 */
    pause_for(f, LIMITER_PAUSE_NOT_READY, 15);
    assert_null(requeue(f, 0, 15));
    assert_int_equal(f->w[0].requeued_us, 5);
    expect_only(f, resume_from(f, LIMITER_PAUSE_NOT_READY, 40), 0, LIMITER_ADMITTED);
    assert_null(release(f, 0, 42));
    assert_int_equal(limiter_drain_estimate(f->limiter), 2);

    struct limiter_snapshot s = snapshot(f, 50);
    assert_int_equal(s.in_flight_us, 5 + 2);
    assert_int_equal(s.queued_us, 25);
    assert_int_equal(f->w[0].ended_at - f->w[0].queued_at - f->w[0].requeued_us, 25);
    assert_int_equal(s.admitted, 2);
    assert_int_equal(s.released, 1);
    assert_int_equal(s.requeued, 1);
    assert_int_equal(s.queued, 0);
    assert_int_equal(s.accounting_errors, 0);
    acquire(f, 0, 60, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].requeued_us, 0);
}

/* ---- an arrival ends the waits of others ----------------------------------------------------- */

static void expired_waiters_make_room_in_a_full_queue(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    for (unsigned i = 1; i < 7; i++)
        acquire_until(f, i, 1, i < 3 ? 10 : 11, LIMITER_QUEUED);
    acquire_until(f, 7, 9, 50, LIMITER_SHED_FULL);
    struct limiter_waiter *ended = acquire_ending(f, 7, 10, 50, LIMITER_QUEUED);
    expect_only(f, expect_next(f, ended, 1, LIMITER_EXPIRED), 2, LIMITER_EXPIRED);
    assert_int_equal(f->w[1].ended_at, 10);
    assert_int_equal(snapshot(f, 10).depth, 5);
    assert_int_equal(snapshot(f, 10).expired, 2);
    expect_only(f, release(f, 0, 10), 3, LIMITER_ADMITTED);
}

static void while_there_is_room_the_expired_are_left_to_their_timers(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 1, 5, LIMITER_QUEUED);
    acquire(f, 2, 9, LIMITER_QUEUED);
    assert_int_equal(snapshot(f, 9).depth, 2);
    assert_true(limiter_cancel(f->limiter, &f->w[1], 9, LIMITER_CLIENT_LEFT));
}

static void those_behind_a_waiter_in_time_do_not_make_room(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 1, LIMITER_ADMITTED);
    for (unsigned i = 1; i < 7; i++)
        acquire_until(f, i, 1, i == 1 ? 99 : 5, LIMITER_QUEUED);
    acquire(f, 7, 10, LIMITER_SHED_FULL);
}

static void what_makes_room_may_not_suffice(void **state)
{
    struct fixture *f = *state;

    f->w[1].bytes = 40;
    f->w[2].bytes = 60;
    f->w[3].bytes = 41;
    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 1, 5, LIMITER_QUEUED);
    acquire(f, 2, 1, LIMITER_QUEUED);
    struct limiter_waiter *ended = acquire_ending(f, 3, 5, MONO_NEVER, LIMITER_SHED_BYTES);
    expect_only(f, ended, 1, LIMITER_EXPIRED);
    assert_int_equal(f->w[3].state, LIMITER_IDLE);
    assert_int_equal(snapshot(f, 5).shed_bytes, 1);
    assert_int_equal(snapshot(f, 5).bytes, 60);
}

static void while_paused_an_arrival_ends_the_waits_of_the_expired_only(void **state)
{
    struct fixture *f = *state;

    set_queue(f, 2, 0);
    pause_for(f, LIMITER_PAUSE_OPERATOR, 1);
    acquire_until(f, 0, 1, 5, LIMITER_QUEUED);
    acquire(f, 1, 1, LIMITER_QUEUED);
    expect_only(f, acquire_ending(f, 2, 5, MONO_NEVER, LIMITER_QUEUED), 0, LIMITER_EXPIRED);
    assert_int_equal(snapshot(f, 5).in_flight, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(one_slot, without_slots_all_wait_and_time_counts_as_saturated),
        WITH(two_slots, without_slots_the_drain_is_that_of_one),
        WITH(two_slots, the_limit_is_the_sum_of_all_slots),
        WITH(two_slots, the_least_loaded_instance_grants),
        WITH(two_slots, an_unlimited_instance_beside_others_is_the_least_loaded),
        WITH(two_slots, a_released_slot_goes_on_at_its_own_instance),
        WITH(two_slots, an_instance_over_its_slots_grants_nothing_while_another_does),
        WITH(one_slot, an_instance_taken_out_of_use_ends_with_its_holders),
        WITH(two_slots, clearing_one_reason_leaves_the_others),
        WITH(one_slot, each_reason_pauses_on_its_own),
        WITH(eight_slots, slots_set_while_paused_are_granted_at_the_resume),
        WITH(one_slot, a_requeued_waiter_has_its_old_place_and_deadline),
        WITH(eight_slots, requeued_waiters_are_in_the_order_of_arrival),
        WITH(one_slot, without_a_pause_the_requeued_gets_the_next_slot_at_once),
        WITH(one_slot, a_requeued_waiter_may_get_a_slot_of_another_instance),
        WITH(one_slot, a_requeued_waiter_may_expire_and_the_next_gets_the_slot),
        WITH(one_slot, a_requeued_waiter_may_leave),
        WITH(one_slot, a_full_queue_takes_the_requeued_all_the_same),
        WITH(one_slot, a_hold_handed_back_is_counted_as_one_and_not_learnt_from),
        WITH(one_slot, expired_waiters_make_room_in_a_full_queue),
        WITH(one_slot, while_there_is_room_the_expired_are_left_to_their_timers),
        WITH(one_slot, those_behind_a_waiter_in_time_do_not_make_room),
        WITH(one_slot_and_100_bytes, what_makes_room_may_not_suffice),
        WITH(two_slots, while_paused_an_arrival_ends_the_waits_of_the_expired_only),
    };
    return cmocka_run_group_tests_name("limiter: slots", tests, NULL, NULL);
}
