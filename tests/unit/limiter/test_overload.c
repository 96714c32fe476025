/*
 * The evidence of an overload, kind by kind, and random calls against a model that is the text of
 * the rules, word for word. WEIR_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "limiter/overload.h"
#include "tests/unit/limiter/dice.h"

#define NONE OVERLOAD_CAUSES

static uint64_t dice;

static uint64_t roll(void)
{
    return dice_roll(&dice);
}

static unsigned below(unsigned n)
{
    return (unsigned)(roll() % n);
}

static int no_overload(void **state)
{
    static struct overload o;

    overload_init(&o);
    *state = &o;
    return 0;
}

/* Clients are known to wait for 400 us. */
static int clients_of_400(void **state)
{
    no_overload(state);
    overload_set_patience(*state, 400);
    return 0;
}

/* Two slots and holds of 2 us: the queue takes `waiters` us. All of it since 0 was granted. */
static struct overload_arrival at(mono_us now, uint32_t waiters)
{
    return (struct overload_arrival){.now = now,
                                     .left = 10000,
                                     .oldest = -1,
                                     .hold_x8 = 2 * 8,
                                     .limit = 2,
                                     .granted = (uint64_t)now,
                                     .waiters = waiters};
}

static struct overload_arrival full_at(mono_us now, uint32_t waiters)
{
    struct overload_arrival a = at(now, waiters);

    a.full = true;
    return a;
}

static struct overload_arrival behind(mono_us now, uint32_t waiters, mono_us oldest)
{
    struct overload_arrival a = at(now, waiters);

    a.oldest = oldest;
    return a;
}

/* The cause of the overload that begins, or NONE. */
static unsigned arrives(struct overload *o, struct overload_arrival a)
{
    enum overload_cause cause = NONE;
    bool begins = overload_arrives(o, &a, &cause);

    assert_int_equal(begins, cause != NONE);
    assert_true(o->over || !begins);
    return cause;
}

/* ---- hopeless -------------------------------------------------------------------------------- */

static void a_queue_that_stays_full_for_a_turnover_is_an_overload(void **state)
{
    struct overload *o = *state;

    assert_int_equal(arrives(o, full_at(100, 1000)), NONE);
    assert_int_equal(arrives(o, full_at(1099, 1000)), NONE);
    assert_int_equal(arrives(o, full_at(1100, 1000)), OVERLOAD_HOPELESS);
    assert_true(o->over);
    assert_int_equal(arrives(o, full_at(5000, 1000)), NONE); /* it begins once */
}

static void a_queue_that_takes_longer_than_a_newcomer_may_wait_is_one_too(void **state)
{
    struct overload *o = *state;

    assert_int_equal(arrives(o, at(0, 9999)), NONE);
    assert_false(o->marked);
    assert_int_equal(arrives(o, at(0, 10000)), NONE);
    assert_int_equal(arrives(o, at(10000, 10000)), OVERLOAD_HOPELESS);
}

static void newcomers_without_a_deadline_are_never_hopeless(void **state)
{
    struct overload *o = *state;
    struct overload_arrival a = at(0, UINT32_MAX);

    a.hold_x8 = UINT64_MAX;
    a.left = MONO_NEVER;
    assert_int_equal(arrives(o, a), NONE);
    assert_false(o->marked);
}

static void a_burst_that_drains_is_no_overload(void **state)
{
    struct overload *o = *state;

    assert_int_equal(arrives(o, full_at(0, 1000)), NONE);
    assert_int_equal(arrives(o, at(600, 499)), NONE); /* half as long: the mark goes */
    assert_false(o->marked);
    assert_int_equal(arrives(o, full_at(1000, 1000)), NONE);
    assert_int_equal(arrives(o, at(1600, 500)), NONE); /* not yet half */
    assert_int_equal(arrives(o, full_at(2000, 1000)), OVERLOAD_HOPELESS);
}

static void a_turnover_takes_as_many_grants_as_there_were_waiters(void **state)
{
    struct overload *o = *state;
    struct overload_arrival a = full_at(1000, 100);

    assert_int_equal(arrives(o, a), NONE);
    a.now += 1000000; /* nothing is granted: the mean hold is that of quicker requests */
    assert_int_equal(arrives(o, a), NONE);
    a.granted += 99;
    assert_int_equal(arrives(o, a), NONE);
    a.granted++;
    assert_int_equal(arrives(o, a), OVERLOAD_HOPELESS);
}

static void slots_that_were_handed_back_were_not_granted(void **state)
{
    struct overload *o = *state;
    struct overload_arrival a = full_at(1000, 100);

    assert_int_equal(arrives(o, a), NONE);
    a.now += 1000;
    a.granted--;
    assert_int_equal(arrives(o, a), NONE);
}

static void the_time_of_a_turnover_follows_the_mean_hold(void **state)
{
    struct overload *o = *state;
    struct overload_arrival a = full_at(0, 100);

    assert_int_equal(arrives(o, a), NONE);
    a.granted = 100;
    a.now = 999;
    a.hold_x8 *= 10;
    assert_int_equal(arrives(o, a), NONE);
    a.now = 1000;
    assert_int_equal(arrives(o, a), OVERLOAD_HOPELESS);
}

/* ---- crowded --------------------------------------------------------------------------------- */

static void waiters_older_than_patience_before_a_long_queue_are_an_overload(void **state)
{
    struct overload *o = *state;

    assert_int_equal(arrives(o, behind(0, 500, 400)), NONE);
    assert_false(o->marked); /* as old as patience is not older */
    assert_int_equal(arrives(o, behind(0, 500, 501)), NONE);
    assert_false(o->marked); /* the queue is about to drain */
    assert_int_equal(arrives(o, behind(0, 500, 450)), NONE);
    assert_true(o->marked);
    assert_int_equal(arrives(o, behind(499, 500, 450)), NONE);
    assert_int_equal(arrives(o, behind(500, 500, 450)), OVERLOAD_CROWDED);
}

static void without_patience_or_waiters_nothing_is_crowded(void **state)
{
    struct overload *o = *state;

    overload_set_patience(o, MONO_NEVER);
    assert_int_equal(arrives(o, behind(0, 9000, 8000)), NONE);
    assert_false(o->marked);
    overload_set_patience(o, 0);
    assert_int_equal(arrives(o, behind(0, 9000, -1)), NONE);
    assert_false(o->marked);
}

/* ---- waste ----------------------------------------------------------------------------------- */

static void three_slots_in_32_wasted_are_an_overload(void **state)
{
    struct overload *o = *state;

    assert_false(overload_releases(o, true, 401, false));
    assert_false(overload_releases(o, true, 401, false));
    assert_true(overload_releases(o, true, 401, false));
    assert_true(o->over);
    assert_false(overload_releases(o, true, 401, false)); /* it begins once */
}

static void few_among_many_are_no_overload(void **state)
{
    struct overload *o = *state;

    for (unsigned i = 0; i < 10000; i++)
        assert_false(overload_releases(o, i % 40 == 0, 401, false));
    assert_false(o->over);
}

static void those_that_left_within_their_patience_were_not_wasted_by_the_queue(void **state)
{
    struct overload *o = *state;

    for (unsigned i = 0; i < 100; i++)
        assert_false(overload_releases(o, true, 400, false));
    overload_set_patience(o, MONO_NEVER);
    for (unsigned i = 0; i < 100; i++)
        assert_false(overload_releases(o, true, 9000, false));
}

static void behind_an_empty_queue_waste_is_over(void **state)
{
    struct overload *o = *state;

    for (unsigned i = 0; i < 10; i++)
        assert_false(overload_releases(o, true, 401, true));
    assert_true(overload_releases(o, true, 401, false));
}

/* ---- the end, the pause, the allowance ------------------------------------------------------- */

static void an_empty_queue_ends_the_overload_and_the_mark(void **state)
{
    struct overload *o = *state;

    arrives(o, full_at(0, 1000));
    assert_true(o->marked);
    assert_false(overload_ends(o)); /* there was none */
    assert_false(o->marked);
    arrives(o, full_at(0, 1000));
    arrives(o, full_at(1000, 1000));
    assert_true(overload_ends(o));
    assert_false(o->over || o->marked);
    assert_int_equal(arrives(o, full_at(9000, 1000)), NONE); /* all begins anew */
}

static void what_was_before_a_pause_is_no_evidence(void **state)
{
    struct overload *o = *state;

    arrives(o, full_at(0, 1000));
    overload_releases(o, true, 401, false);
    overload_releases(o, true, 401, false);
    overload_resumes(o);
    assert_false(o->marked);
    assert_false(overload_releases(o, true, 401, false));
    assert_false(overload_releases(o, true, 401, false));
    assert_true(overload_releases(o, true, 401, false));
    overload_resumes(o);
    assert_true(o->over); /* the queue is not empty yet */
}

static void the_allowance_is_half_the_patience(void **state)
{
    struct overload *o = *state;

    assert_int_equal(overload_allowance(o, 1000000), 200);
    overload_set_patience(o, 0);
    assert_int_equal(overload_allowance(o, 1000000), 0);
    overload_set_patience(o, MONO_NEVER);
    assert_int_equal(overload_allowance(o, 1000000), 250000);
    assert_int_equal(overload_allowance(o, 100), 5000);
    assert_int_equal(overload_allowance(o, 0), 5000);
}

static void the_patience_is_computed_ten_times_a_second(void **state)
{
    struct overload *o = *state;

    assert_true(overload_is_due(o, 0));
    overload_begin_refresh(o, 5);
    assert_false(overload_is_due(o, 100004));
    assert_true(overload_is_due(o, 100005));
}

/* ---- random calls and the text of the rules -------------------------------------------------- */

#define UNSET (-1)

static struct {
    bool over;
    mono_us mark, patience;
    uint32_t waiters;
    uint64_t granted;
    double waits, wasted;
} m;

static unsigned model_arrives(const struct overload_arrival *a)
{
    if (m.over)
        return NONE;
    mono_us turnover = (mono_us)(a->hold_x8 * a->waiters / 8 / a->limit);
    if (m.mark != UNSET && a->waiters < m.waiters / 2)
        m.mark = UNSET;
    bool hopeless = a->full || turnover >= a->left;
    bool crowded = a->oldest >= 0 && a->oldest > m.patience && turnover >= a->oldest;
    if (!hopeless && !crowded)
        return NONE;
    if (m.mark == UNSET) {
        m.mark = a->now;
        m.waiters = a->waiters;
        m.granted = a->granted;
    } else if (a->granted - m.granted >= m.waiters &&
               a->now - m.mark >= (mono_us)(a->hold_x8 * m.waiters / 8 / a->limit)) {
        m.over = true;
        return hopeless ? OVERLOAD_HOPELESS : OVERLOAD_CROWDED;
    }
    return NONE;
}

static bool model_releases(bool gone, mono_us waited, bool queue_empty)
{
    bool was = m.over;

    m.waits++;
    if (gone) {
        if (waited > m.patience)
            m.wasted++;
        if (m.wasted >= 3 && m.wasted >= m.waits / 32 && !queue_empty)
            m.over = true;
    }
    if (m.waits >= 64) {
        m.waits /= 2;
        m.wasted /= 2;
    }
    return m.over && !was;
}

/* A queue that wanders, so that marks last and go; and so does what a turnover takes. */
static struct overload_arrival random_arrival(mono_us now)
{
    static unsigned waiters = 500;
    static uint64_t granted;

    waiters = waiters / 4 * 3 + below(250 + waiters / 4 * 2);
    struct overload_arrival a = behind(now, waiters, (mono_us)below(1200) - 1);
    a.granted = granted += below(80);
    a.limit = 1 + below(3);
    a.hold_x8 = 1 + below(30);
    a.left = below(4) != 0 ? MONO_NEVER : 200 + (mono_us)below(2000);
    a.full = below(20) == 0;
    return a;
}

static void same_state(const struct overload *o)
{
    assert_int_equal(o->over, m.over);
    assert_int_equal(o->marked, m.mark != UNSET);
    assert_true(o->waits == m.waits);
    assert_true(o->wasted == m.wasted);
}

static void others(struct overload *o, unsigned kind)
{
    if (kind == 0) {
        assert_int_equal(overload_ends(o), m.over);
        m.over = false;
        m.mark = UNSET;
    } else if (kind == 1) {
        overload_resumes(o);
        m.mark = UNSET;
        m.waits = m.wasted = 0;
    } else if (kind == 2) {
        m.patience = below(4) == 0 ? MONO_NEVER : (mono_us)below(1000);
        overload_set_patience(o, m.patience);
    }
}

static void random_calls_do_what_the_rules_say(void **state)
{
    struct overload *o = *state;
    mono_us now = 0;
    unsigned causes[OVERLOAD_CAUSES + 1] = {0};

    m.mark = UNSET;
    m.patience = MONO_NEVER;
    for (unsigned i = 0; i < 1000000; i++, now += below(50)) {
        if (below(2) == 0) {
            struct overload_arrival a = random_arrival(now);
            unsigned expected = model_arrives(&a);
            causes[expected]++;
            assert_int_equal(arrives(o, a), expected);
        } else {
            bool gone = below(30) == 0, empty = below(3) == 0;
            mono_us waited = 1 + (mono_us)below(1000);
            bool begins = model_releases(gone, waited, empty);
            causes[OVERLOAD_WASTE] += begins;
            assert_int_equal(overload_releases(o, gone, waited, empty), begins);
        }
        others(o, below(300));
        same_state(o);
    }
    for (unsigned i = 0; i < OVERLOAD_CAUSES; i++)
        assert_true(causes[i] > 20);
}

int main(void)
{
    const char *seed = getenv("WEIR_SEED");

    dice = seed != NULL ? strtoull(seed, NULL, 10) : 0;
    dice = dice != 0 ? dice : (uint64_t)clock_wall();
    print_message("WEIR_SEED=%llu\n", (unsigned long long)dice);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_queue_that_stays_full_for_a_turnover_is_an_overload, no_overload),
        cmocka_unit_test_setup(a_queue_that_takes_longer_than_a_newcomer_may_wait_is_one_too,
                               no_overload),
        cmocka_unit_test_setup(newcomers_without_a_deadline_are_never_hopeless, no_overload),
        cmocka_unit_test_setup(a_burst_that_drains_is_no_overload, no_overload),
        cmocka_unit_test_setup(a_turnover_takes_as_many_grants_as_there_were_waiters, no_overload),
        cmocka_unit_test_setup(slots_that_were_handed_back_were_not_granted, no_overload),
        cmocka_unit_test_setup(the_time_of_a_turnover_follows_the_mean_hold, no_overload),
        cmocka_unit_test_setup(waiters_older_than_patience_before_a_long_queue_are_an_overload,
                               clients_of_400),
        cmocka_unit_test_setup(without_patience_or_waiters_nothing_is_crowded, no_overload),
        cmocka_unit_test_setup(three_slots_in_32_wasted_are_an_overload, clients_of_400),
        cmocka_unit_test_setup(few_among_many_are_no_overload, clients_of_400),
        cmocka_unit_test_setup(those_that_left_within_their_patience_were_not_wasted_by_the_queue,
                               clients_of_400),
        cmocka_unit_test_setup(behind_an_empty_queue_waste_is_over, clients_of_400),
        cmocka_unit_test_setup(an_empty_queue_ends_the_overload_and_the_mark, no_overload),
        cmocka_unit_test_setup(what_was_before_a_pause_is_no_evidence, clients_of_400),
        cmocka_unit_test_setup(the_allowance_is_half_the_patience, clients_of_400),
        cmocka_unit_test_setup(the_patience_is_computed_ten_times_a_second, no_overload),
        cmocka_unit_test_setup(random_calls_do_what_the_rules_say, no_overload),
    };
    return cmocka_run_group_tests_name("overload", tests, NULL, NULL);
}
