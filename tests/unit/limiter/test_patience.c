/*
 * What is learned from clients that leave: the bins, the estimate in situations that a person can
 * check, and random ones against two slow models: one that keeps every sample with its weight and
 * must give the same bits, and the estimate of Kaplan and Meier from raw ages, without bins.
 *
 * WEIR_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "limiter/patience.h"
#include "tests/unit/limiter/dice.h"

#define MS(n)     ((mono_us)(n)*1000)
#define LENGTH(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t dice;

static uint64_t roll(void)
{
    return dice_roll(&dice);
}

static unsigned below(unsigned n)
{
    return (unsigned)(roll() % n);
}

/* Between 1 us and `most`, about as often in each octave. */
static mono_us random_age(mono_us most)
{
    return 1 + (mono_us)(roll() % ((uint64_t)most >> below(20) | 1));
}

static int nothing_known(void **state)
{
    static struct patience p;

    patience_init(&p);
    *state = &p;
    return 0;
}

static void learn(struct patience *p, unsigned n, mono_us age, bool left)
{
    for (unsigned i = 0; i < n; i++)
        patience_learn(p, age, left);
}

static void learn_holds(struct patience *p, unsigned n, mono_us hold)
{
    for (unsigned i = 0; i < n; i++)
        patience_learn_hold(p, hold);
}

/* ---- the bins -------------------------------------------------------------------------------- */

static void each_bin_begins_where_the_one_before_it_ends(void **state)
{
    (void)state;
    assert_int_equal(patience_bin_begin(0), 0);
    assert_int_equal(patience_bin_begin(1), 1000);
    assert_int_equal(patience_bin_begin(9), 2000);
    assert_int_equal(patience_bin_begin(PATIENCE_BINS), 131072000);
    for (unsigned i = 1; i < PATIENCE_BINS; i++) {
        assert_int_equal(patience_bin(patience_bin_begin(i)), i);
        assert_int_equal(patience_bin(patience_bin_begin(i) - 1), i - 1);
        assert_int_equal(patience_bin(patience_bin_begin(i + 1) - 1), i);
    }
}

static void ages_beyond_the_scale_are_in_the_outer_bins(void **state)
{
    (void)state;
    assert_int_equal(patience_bin(-1), 0);
    assert_int_equal(patience_bin(INT64_MIN), 0);
    assert_int_equal(patience_bin(131072000), PATIENCE_BINS - 1);
    assert_int_equal(patience_bin(MONO_NEVER), PATIENCE_BINS - 1);
}

static void a_bin_is_never_wider_than_an_eighth_of_its_beginning(void **state)
{
    (void)state;
    for (unsigned i = 1; i < PATIENCE_BINS; i++) {
        mono_us begin = patience_bin_begin(i);
        assert_true((patience_bin_begin(i + 1) - begin) * 8 <= begin);
    }
}

/* ---- the estimate ---------------------------------------------------------------------------- */

static void two_clients_that_left_are_no_evidence(void **state)
{
    struct patience *p = *state;

    assert_int_equal(patience_allowance(p), MONO_NEVER);
    learn_holds(p, 10, MS(100));
    learn(p, 20, MS(500), false);
    learn(p, 2, MS(500), true);
    assert_int_equal(patience_allowance(p), MONO_NEVER);
    assert_int_equal(patience_quantile(p, 0.5), MONO_NEVER);
    learn(p, 20, MS(500), true);
    assert_true(patience_allowance(p) < MONO_NEVER);
    assert_true(patience_quantile(p, 0.5) < MONO_NEVER);
}

static void without_a_hold_there_is_no_allowance(void **state)
{
    struct patience *p = *state;

    learn(p, 100, MS(500), true);
    assert_int_equal(patience_allowance(p), MONO_NEVER);
    learn_holds(p, 1, MS(100));
    assert_true(patience_allowance(p) < MONO_NEVER);
}

/* 500 ms is in the bin from 480 ms, a hold of 100 ms ends before 104 ms: the last wait after which
 * it still ends in an earlier bin is 352 ms. */
static void clients_that_leave_at_one_age_may_wait_for_that_less_a_hold(void **state)
{
    struct patience *p = *state;

    learn(p, 100, MS(500), true);
    learn_holds(p, 100, MS(100));
    assert_int_equal(patience_allowance(p), MS(352));
    assert_int_equal(patience_quantile(p, 0.5), MS(512));
    assert_int_equal(patience_quantile(p, 0.01), MS(512));
}

static void clients_that_are_served_early_do_not_hide_those_that_leave_late(void **state)
{
    struct patience *p = *state;

    learn(p, 900, MS(110), false);
    learn(p, 50, MS(500), true);
    learn_holds(p, 100, MS(100));
    assert_int_equal(patience_allowance(p), MS(352));
    assert_int_equal(patience_quantile(p, 0.5), MS(512));
}

static void a_few_that_cancel_at_random_among_the_patient_shorten_nothing(void **state)
{
    struct patience *p = *state;

    for (unsigned i = 0; i < 20; i++) {
        learn(p, 1, MS(100 + 200 * i), true);
        learn(p, 45, MS(5000), false);
    }
    learn_holds(p, 100, MS(100));
    assert_int_equal(patience_allowance(p), MONO_NEVER);
    assert_int_equal(patience_quantile(p, 0.5), MONO_NEVER);
}

static void holds_longer_than_any_client_waits_make_every_wait_hopeless(void **state)
{
    struct patience *p = *state;

    learn(p, 100, MS(500), true);
    learn_holds(p, 100, MS(2000));
    assert_int_equal(patience_allowance(p), 0);
}

static void too_few_at_risk_say_nothing(void **state)
{
    struct patience *p = *state;

    learn(p, 7, MS(500), true); /* all that get so old */
    learn(p, 100, MS(100), false);
    learn_holds(p, 100, MS(10));
    assert_int_equal(patience_allowance(p), MONO_NEVER);
    learn(p, 1, MS(500), true);
    assert_true(patience_allowance(p) < MS(500));
}

static void the_share_that_leaves_has_its_own_quantiles(void **state)
{
    struct patience *p = *state;

    learn(p, 30, MS(500), true);
    learn(p, 30, MS(2000), true);
    learn(p, 40, MS(60000), false);
    assert_int_equal(patience_quantile(p, 0.29), MS(512));
    assert_int_equal(patience_quantile(p, 0.31), MS(2048));
    assert_int_equal(patience_quantile(p, 0.59), MS(2048));
    assert_int_equal(patience_quantile(p, 0.61), MONO_NEVER);
}

static void a_patience_beyond_the_scale_is_not_known(void **state)
{
    struct patience *p = *state;

    learn(p, 100, MS(200000), true);
    assert_int_equal(patience_quantile(p, 0.5), MONO_NEVER);
}

/* ---- fading ---------------------------------------------------------------------------------- */

static void what_clients_did_long_ago_is_forgotten(void **state)
{
    struct patience *p = *state;

    learn_holds(p, 100, MS(100));
    learn(p, 3000, MS(500), true);
    assert_int_equal(patience_allowance(p), MS(352));
    learn(p, 6000, MS(5000), true);
    assert_in_range(patience_allowance(p), MS(4000), MS(5000));
    learn(p, 6000, MS(500), true);
    assert_int_equal(patience_allowance(p), MS(352));
}

static void holds_of_long_ago_are_forgotten(void **state)
{
    struct patience *p = *state;

    learn(p, 100, MS(500), true);
    learn_holds(p, 1000, MS(2000));
    assert_int_equal(patience_allowance(p), 0);
    learn_holds(p, 2000, MS(100));
    assert_int_equal(patience_allowance(p), MS(352));
}

/* Long enough for the weights to begin anew. */
static void the_counts_stay_bounded(void **state)
{
    struct patience *p = *state;

    for (unsigned i = 0; i < 300000; i++) {
        mono_us age = random_age(MS(100000));
        if (below(2) == 0)
            patience_learn(p, age, true);
        else
            patience_learn_served(p, age, random_age(MS(1000)));
        assert_true(p->ended < 1024 * p->age_weight && p->left <= p->ended);
        assert_true(p->holds < 256 * p->hold_weight);
        assert_true(p->age_weight < 0x1p512 && p->hold_weight < 0x1p512);
    }
}

static void a_very_long_run_ends_as_a_short_one(void **state)
{
    struct patience *p = *state;

    for (unsigned i = 0; i < 600000; i++)
        patience_learn_served(p, random_age(MS(100)), MS(2000));
    learn(p, 8000, MS(500), true);
    learn_holds(p, 3000, MS(100));
    assert_int_equal(patience_allowance(p), MS(352));
    assert_int_equal(patience_quantile(p, 0.5), MS(512));
}

static void a_request_that_was_served_teaches_its_age_and_its_hold(void **state)
{
    struct patience *p = *state, both;

    patience_init(&both);
    for (unsigned i = 0; i < 5000; i++) {
        mono_us hold = random_age(MS(1000)),
                age = hold + (below(2) == 0 ? 0 : random_age(MS(1000)));
        patience_learn_served(p, age, hold);
        patience_learn(&both, age, false);
        patience_learn_hold(&both, hold);
    }
    assert_memory_equal(p, &both, sizeof(both));
}

/* ---- the slow model: every sample, with its weight ------------------------------------------- */

#define SAMPLES 6000

struct sample {
    mono_us age;
    double weight;
    bool left;
};

static struct model {
    struct sample ends[SAMPLES], holds[SAMPLES];
    unsigned ended, held;
} model;

/* The beginnings of the bins, by adding up their widths. */
static mono_us edge_of(unsigned bin)
{
    static mono_us edges[PATIENCE_BINS + 1];
    mono_us width = 125;

    if (edges[1] == 0) {
        edges[1] = 1000;
        for (unsigned i = 1; i < PATIENCE_BINS; i++) {
            edges[i + 1] = edges[i] + width;
            if (i % 8 == 0)
                width *= 2;
        }
    }
    return edges[bin];
}

static unsigned bin_of(mono_us age)
{
    unsigned bin = 0;

    while (bin + 1 < PATIENCE_BINS && edge_of(bin + 1) <= age)
        bin++;
    return bin;
}

static double weight_of(const struct sample *s, unsigned n)
{
    double sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += s[i].weight;
    return sum;
}

static void add(struct sample *s, unsigned *n, double keep, mono_us age, bool left)
{
    s[(*n)++] = (struct sample){age, 1, left};
    if (weight_of(s, *n) >= keep)
        for (unsigned i = 0; i < *n; i++)
            s[i].weight /= 2;
}

/* Left, stayed, or (holds) all, in each bin. */
static void weights(const struct sample *s, unsigned n, bool left, double in[PATIENCE_BINS])
{
    memset(in, 0, PATIENCE_BINS * sizeof(*in));
    for (unsigned i = 0; i < n; i++)
        if (s[i].left == left)
            in[bin_of(s[i].age)] += s[i].weight;
}

static void model_survival(double there[PATIENCE_BINS])
{
    double at_risk = weight_of(model.ends, model.ended), s = 1;
    double leave[PATIENCE_BINS], stay[PATIENCE_BINS];

    weights(model.ends, model.ended, true, leave);
    weights(model.ends, model.ended, false, stay);
    for (unsigned i = 0; i < PATIENCE_BINS; i++) {
        if (at_risk >= 8)
            s *= 1 - leave[i] / at_risk;
        there[i] = s;
        at_risk -= leave[i] + stay[i];
    }
}

static double model_success(const double there[PATIENCE_BINS], const double held[PATIENCE_BINS],
                            mono_us age)
{
    double sum = 0, all = weight_of(model.holds, model.held);

    for (unsigned i = 0; i < PATIENCE_BINS; i++)
        if (held[i] > 0) {
            double product = held[i] / all * there[bin_of(age + edge_of(i + 1))];
            sum += product;
        }
    return sum;
}

static mono_us model_allowance(void)
{
    double there[PATIENCE_BINS], held[PATIENCE_BINS], left = 0;

    weights(model.holds, model.held, false, held);
    for (unsigned i = 0; i < model.ended; i++)
        left += model.ends[i].left ? model.ends[i].weight : 0;
    if (left < 3 || weight_of(model.holds, model.held) < 1)
        return MONO_NEVER;
    model_survival(there);
    double fresh = model_success(there, held, 0);
    if (fresh <= 0)
        return 0;
    for (unsigned i = 1; i < PATIENCE_BINS; i++)
        if (there[i - 1] <= 0 ||
            model_success(there, held, edge_of(i)) / there[i - 1] < 0.98 * fresh)
            return edge_of(i - 1);
    return MONO_NEVER;
}

static mono_us model_quantile(double q)
{
    double there[PATIENCE_BINS];

    model_survival(there);
    for (unsigned i = 0; i + 1 < PATIENCE_BINS; i++)
        if (there[i] <= 1 - q)
            return edge_of(i + 1);
    return MONO_NEVER;
}

/* Patience and holds of one of several kinds, so that allowances of all sizes come out. */
static mono_us random_patience(unsigned kind)
{
    switch (kind % 4) {
    case 0:
        return MS(500);
    case 1:
        return random_age(MS(30000));
    case 2:
        return MS(1000) + (mono_us)below(1000000);
    default:
        return below(10) == 0 ? random_age(MS(1000)) : MS(60000);
    }
}

static void learn_one(struct patience *p, unsigned kind)
{
    mono_us patience = random_patience(kind), ends = random_age(MS(40000) >> kind);
    bool left = patience < ends;

    add(model.ends, &model.ended, 1024, left ? patience : ends, left);
    patience_learn(p, left ? patience : ends, left);
    if (below(2) == 0) {
        mono_us hold = kind % 2 == 0 ? MS(100) : random_age(MS(400));
        add(model.holds, &model.held, 256, hold, false);
        patience_learn_hold(p, hold);
    }
}

static void random_lives_give_what_the_slow_model_gives(void **state)
{
    struct patience *p = *state;
    unsigned known = 0, looks = 0;

    for (unsigned kind = 0; kind < 8; kind++) {
        unsigned n = 1 + below(700);
        for (unsigned i = 0; i < n; i++) {
            learn_one(p, kind);
            if (i % 100 == 99 || i == 10 || i + 1 == n) {
                mono_us allowance = patience_allowance(p);
                looks++;
                known += allowance < MONO_NEVER;
                assert_int_equal(allowance, model_allowance());
                assert_int_equal(patience_quantile(p, 0.1), model_quantile(0.1));
                assert_int_equal(patience_quantile(p, 0.9), model_quantile(0.9));
            }
        }
    }
    print_message("%u of %u allowances known\n", known, looks);
}

/* ---- Kaplan and Meier, without bins ---------------------------------------------------------- */

static int by_age(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return x->age < y->age ? -1 : x->age > y->age;
}

/* The age at which the product of (1 - leaving / at risk) over the ages so far is at most 1 - q;
 * with some slack, where other factors have been multiplied. */
static mono_us raw_quantile(struct sample *s, unsigned n, double q, double slack)
{
    double there = 1;
    unsigned left = 0;

    for (unsigned i = 0; i < n; i++)
        left += s[i].left;
    if (left < 3)
        return MONO_NEVER;
    qsort(s, n, sizeof(*s), by_age);
    for (unsigned i = 0, next; i < n; i = next) {
        unsigned leave = 0;
        for (next = i; next < n && s[next].age == s[i].age; next++)
            leave += s[next].left;
        if (n - i < 8)
            return MONO_NEVER;
        there *= 1 - (double)leave / (double)(n - i);
        if (there <= 1 - q + slack)
            return s[i].age;
    }
    return MONO_NEVER;
}

/* `on_edges`: all ages are beginnings of bins, so that the bins lose nothing. */
static unsigned random_ends(struct patience *p, struct sample *s, bool on_edges)
{
    unsigned n = 20 + below(1000), kind = below(4);

    patience_init(p);
    for (unsigned i = 0; i < n; i++) {
        mono_us patience = random_patience(kind), ends = random_age(MS(20000));
        mono_us age = patience < ends ? patience : ends;
        if (on_edges)
            age = patience_bin_begin(patience_bin(age));
        s[i] = (struct sample){age, 1, patience < ends};
        patience_learn(p, age, s[i].left);
    }
    return n;
}

static const double quantiles[] = {0.05, 0.25, 0.5, 0.75, 0.95};

static void ages_on_the_edges_give_the_estimate_of_the_raw_ages(void **state)
{
    static struct sample s[1024];
    unsigned known = 0;

    for (unsigned run = 0; run < 300; run++) {
        unsigned n = random_ends(*state, s, true);
        for (unsigned k = 0; k < LENGTH(quantiles); k++) {
            mono_us raw = raw_quantile(s, n, quantiles[k], 0);
            mono_us expected =
                raw < MONO_NEVER ? patience_bin_begin(patience_bin(raw) + 1) : MONO_NEVER;
            assert_int_equal(patience_quantile(*state, quantiles[k]),
                             n >= 3 ? expected : MONO_NEVER);
            known += raw < MONO_NEVER;
        }
    }
    assert_true(known > 300);
}

/* In a bin, all that end are at risk for all that leave: the bins can only be late, and not by
 * much. */
static void any_ages_give_the_estimate_of_the_raw_ages_or_a_little_more(void **state)
{
    static struct sample s[1024];
    unsigned known = 0, far = 0;

    for (unsigned run = 0; run < 300; run++) {
        unsigned n = random_ends(*state, s, false);
        for (unsigned k = 0; k < LENGTH(quantiles); k++) {
            mono_us raw = raw_quantile(s, n, quantiles[k], 1e-9);
            mono_us binned = patience_quantile(*state, quantiles[k]);
            if (raw == MONO_NEVER || binned == MONO_NEVER)
                continue;
            known++;
            assert_true(binned > raw);
            far += binned > raw + raw / 2 + 1000;
        }
    }
    assert_true(known > 300);
    print_message("%u of %u quantiles are more than half above the raw ones\n", far, known);
    assert_true(far * 5 < known);
}

int main(void)
{
    const char *seed = getenv("WEIR_SEED");

    dice = seed != NULL ? strtoull(seed, NULL, 10) : 0;
    dice = dice != 0 ? dice : (uint64_t)clock_wall();
    print_message("WEIR_SEED=%llu\n", (unsigned long long)dice);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_bin_begins_where_the_one_before_it_ends),
        cmocka_unit_test(ages_beyond_the_scale_are_in_the_outer_bins),
        cmocka_unit_test(a_bin_is_never_wider_than_an_eighth_of_its_beginning),
        cmocka_unit_test_setup(two_clients_that_left_are_no_evidence, nothing_known),
        cmocka_unit_test_setup(without_a_hold_there_is_no_allowance, nothing_known),
        cmocka_unit_test_setup(clients_that_leave_at_one_age_may_wait_for_that_less_a_hold,
                               nothing_known),
        cmocka_unit_test_setup(clients_that_are_served_early_do_not_hide_those_that_leave_late,
                               nothing_known),
        cmocka_unit_test_setup(a_few_that_cancel_at_random_among_the_patient_shorten_nothing,
                               nothing_known),
        cmocka_unit_test_setup(holds_longer_than_any_client_waits_make_every_wait_hopeless,
                               nothing_known),
        cmocka_unit_test_setup(too_few_at_risk_say_nothing, nothing_known),
        cmocka_unit_test_setup(the_share_that_leaves_has_its_own_quantiles, nothing_known),
        cmocka_unit_test_setup(a_patience_beyond_the_scale_is_not_known, nothing_known),
        cmocka_unit_test_setup(what_clients_did_long_ago_is_forgotten, nothing_known),
        cmocka_unit_test_setup(holds_of_long_ago_are_forgotten, nothing_known),
        cmocka_unit_test_setup(the_counts_stay_bounded, nothing_known),
        cmocka_unit_test_setup(a_very_long_run_ends_as_a_short_one, nothing_known),
        cmocka_unit_test_setup(a_request_that_was_served_teaches_its_age_and_its_hold,
                               nothing_known),
        cmocka_unit_test_setup(random_lives_give_what_the_slow_model_gives, nothing_known),
        cmocka_unit_test_setup(ages_on_the_edges_give_the_estimate_of_the_raw_ages, nothing_known),
        cmocka_unit_test_setup(any_ages_give_the_estimate_of_the_raw_ages_or_a_little_more,
                               nothing_known),
    };
    return cmocka_run_group_tests_name("patience", tests, NULL, NULL);
}
