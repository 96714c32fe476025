/* What the limiter measures: integrals, the drain estimate, counts. Time is just a number. */
#include "tests/unit/limiter/limiter_fixture.h"

/* ---- times add up ---------------------------------------------------------------------------- */

static void integrals_are_the_sums_of_holds_and_waits(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 100, LIMITER_ADMITTED);          /* holds 100..250 */
    acquire(f, 1, 120, LIMITER_QUEUED);            /* waits 120..250, holds 250..400 */
    acquire_until(f, 2, 130, 300, LIMITER_QUEUED); /* waits 130..400, expires */
    acquire(f, 3, 140, LIMITER_QUEUED);            /* waits 140..200, is cancelled */
    assert_true(limiter_cancel(f->limiter, &f->w[3], 200, LIMITER_CLIENT_LEFT));
    expect_only(f, release(f, 0, 250), 1, LIMITER_ADMITTED);
    expect_only(f, release(f, 1, 400), 2, LIMITER_EXPIRED);

    struct limiter_snapshot s = snapshot(f, 1000);
    assert_int_equal(s.in_flight_us, 150 + 150);
    assert_int_equal(s.queued_us, 130 + 270 + 60);
    assert_int_equal(s.saturated_us, 300);
}

static void integrals_run_up_to_now_while_work_goes_on(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 10, LIMITER_ADMITTED);
    assert_int_equal(snapshot(f, 15).in_flight_us, 5);
    assert_int_equal(snapshot(f, 15).saturated_us, 0);
    acquire(f, 1, 20, LIMITER_ADMITTED);
    acquire(f, 2, 30, LIMITER_QUEUED);
    struct limiter_snapshot s = snapshot(f, 40);
    assert_int_equal(s.in_flight_us, 10 + 2 * 20);
    assert_int_equal(s.queued_us, 10);
    assert_int_equal(s.saturated_us, 20);
}

static void time_that_goes_back_counts_as_no_time(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 100, LIMITER_ADMITTED);
    acquire(f, 1, 40, LIMITER_QUEUED); /* another thread read its clock earlier */
    assert_int_equal(f->w[1].queued_at, 100);
    expect_only(f, release(f, 0, 90), 1, LIMITER_ADMITTED);
    assert_int_equal(f->w[0].released_at, 100);
    assert_int_equal(f->w[1].granted_at, 100);
    struct limiter_snapshot s = snapshot(f, 60);
    assert_int_equal(s.in_flight_us, 0);
    assert_int_equal(s.queued_us, 0);
}

static void saturation_follows_the_limit(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_null(set_slots(f, 1, 10)); /* 0..10: one of two; then one of one */
    assert_null(set_slots(f, 2, 15));
    assert_int_equal(snapshot(f, 30).saturated_us, 5);
}

/* ---- the drain estimate ---------------------------------------------------------------------- */

static void drain_is_0_before_the_first_release(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 0, LIMITER_ADMITTED);
    assert_int_equal(limiter_drain_estimate(f->limiter), 0);
}

static void hold(struct fixture *f, mono_us from, mono_us to)
{
    acquire(f, 0, from, LIMITER_ADMITTED);
    assert_null(release(f, 0, to));
}

static void drain_is_the_queue_and_one_more_at_the_mean_hold_over_the_slots(void **state)
{
    struct fixture *f = *state;

    hold(f, 0, 800);
    assert_int_equal(limiter_drain_estimate(f->limiter), 800 / 2);
    for (unsigned i = 0; i < 5; i++)
        acquire(f, i, 800, i < 2 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    assert_int_equal(limiter_drain_estimate(f->limiter), 4 * 800 / 2);
    assert_int_equal(snapshot(f, 800).drain, 4 * 800 / 2);
}

static void the_mean_hold_moves_by_an_eighth(void **state)
{
    struct fixture *f = *state;

    hold(f, 0, 800);
    hold(f, 800, 800 + 1600); /* 800 + (1600 - 800) / 8 */
    assert_int_equal(limiter_drain_estimate(f->limiter), 900);
    for (mono_us t = 10000; t < 10000 + 200 * 100; t += 100)
        hold(f, t, t + 100);
    assert_in_range(limiter_drain_estimate(f->limiter), 100, 101);
}

static void the_first_hold_may_last_no_time_and_the_mean_still_learns(void **state)
{
    struct fixture *f = *state;

    hold(f, 0, 0);
    assert_int_equal(limiter_drain_estimate(f->limiter), 0);
    hold(f, 0, 800);
    assert_int_equal(limiter_drain_estimate(f->limiter), 100);
}

static void a_hold_apart_is_not_learnt_from(void **state)
{
    struct fixture *f = *state;

    acquire(f, 0, 0, LIMITER_ADMITTED);
    f->w[0].apart = true;
    assert_null(release(f, 0, 3600000000));
    assert_int_equal(limiter_drain_estimate(f->limiter), 0);
    acquire(f, 1, 3600000000, LIMITER_ADMITTED);
    assert_null(release(f, 1, 3600000100));
    assert_int_equal(limiter_drain_estimate(f->limiter), 100); /* the first one that counts */
}

static void a_drain_beyond_all_numbers_is_never(void **state)
{
    struct fixture *f = *state;
    mono_us ages = INT64_C(1) << 59;

    hold(f, 0, ages);
    assert_int_equal(limiter_drain_estimate(f->limiter), ages);
    for (unsigned i = 0; i < 4; i++)
        acquire(f, i, ages, i == 0 ? LIMITER_ADMITTED : LIMITER_QUEUED);
    assert_int_equal(limiter_drain_estimate(f->limiter), MONO_NEVER);
}

/* ---- the snapshot ---------------------------------------------------------------------------- */

static void a_new_limiter_is_all_zero_but_its_bounds(void **state)
{
    struct fixture *f = *state;
    struct limiter_snapshot expected, got;

    memset(&expected, 0, sizeof(expected));
    expected.limit = 2;
    expected.queue_length = 6;
    expected.allowance = MONO_NEVER;
    got = snapshot(f, 12345);
    assert_memory_equal(&got, &expected, sizeof(got));
}

/* One of each event: 2 granted at once, 5 queued, of which 1 granted, 1 expired, 1 cancelled, 1
 * shed ... */
static void every_event_is_counted_once(void **state)
{
    struct fixture *f = *state;

    f->w[5].bytes = 101;
    acquire(f, 0, 1, LIMITER_ADMITTED);
    acquire_until(f, 1, 2, 5, LIMITER_QUEUED);
    acquire(f, 2, 3, LIMITER_QUEUED);
    acquire(f, 3, 4, LIMITER_QUEUED);
    acquire(f, 4, 4, LIMITER_QUEUED);
    acquire(f, 5, 4, LIMITER_SHED_BYTES);
    acquire_until(f, 6, 4, 4, LIMITER_EXPIRED);
    assert_true(limiter_cancel(f->limiter, &f->w[3], 5, LIMITER_CLIENT_LEFT));
    struct limiter_waiter *chain = release(f, 0, 10);
    expect_only(f, expect_next(f, chain, 1, LIMITER_EXPIRED), 2, LIMITER_ADMITTED);
    set_queue(f, 1, 11);
    acquire(f, 7, 12, LIMITER_SHED_FULL);

    struct limiter_snapshot s = snapshot(f, 14);
    assert_int_equal(s.admitted, 2);
    assert_int_equal(s.queued, 4);
    assert_int_equal(s.expired, 2);
    assert_int_equal(s.cancelled, 1);
    assert_int_equal(s.shed_bytes, 1);
    assert_int_equal(s.shed_full, 1);
    assert_int_equal(s.released, 1);
    assert_int_equal(s.oldest_wait, 10);
    assert_int_equal(s.accounting_errors, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(one_slot, integrals_are_the_sums_of_holds_and_waits),
        WITH(two_slots, integrals_run_up_to_now_while_work_goes_on),
        WITH(one_slot, time_that_goes_back_counts_as_no_time),
        WITH(two_slots, saturation_follows_the_limit),
        WITH(one_slot, drain_is_0_before_the_first_release),
        WITH(two_slots, drain_is_the_queue_and_one_more_at_the_mean_hold_over_the_slots),
        WITH(one_slot, the_mean_hold_moves_by_an_eighth),
        WITH(one_slot, the_first_hold_may_last_no_time_and_the_mean_still_learns),
        WITH(one_slot, a_hold_apart_is_not_learnt_from),
        WITH(one_slot, a_drain_beyond_all_numbers_is_never),
        WITH(two_slots, a_new_limiter_is_all_zero_but_its_bounds),
        WITH(one_slot_and_100_bytes, every_event_is_counted_once),
    };
    return cmocka_run_group_tests_name("limiter: times", tests, NULL, NULL);
}
