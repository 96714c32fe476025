/*
 * The estimate against simulated apps: it finds the queue inside a pool, and never one elsewhere.
 * WEIR_ESTIMATE_SEED=N replaces the seeds of the scenarios.
 */
#include "tests/unit/proxy/app_simulation.h"

#define SEEDS    3 /* of each scenario */
#define MIXTURES 1000

/* ---- service times ---- */

static mono_us one_second(struct sim *s)
{
    return SIM_S + (mono_us)(sim_chance(s) * 20 * SIM_MS);
}

static mono_us twenty_ms(struct sim *s)
{
    return 20 * SIM_MS + (mono_us)(sim_chance(s) * (double)SIM_MS);
}

static mono_us exponential(struct sim *s)
{
    return (mono_us)(-log(1 - sim_chance(s)) * (double)SIM_S);
}

static mono_us uniform(struct sim *s)
{
    return SIM_S / 2 + (mono_us)(sim_chance(s) * (double)SIM_S);
}

static double quick_share;

static mono_us ten_to_one(struct sim *s)
{
    return sim_chance(s) < quick_share ? 100 * SIM_MS : SIM_S;
}

static mono_us two_to_one(struct sim *s)
{
    return sim_chance(s) < quick_share ? SIM_S : 2 * SIM_S;
}

static double share_of[4]; /* of requests that take so many seconds: their sum, up to 1 */

static mono_us seconds(struct sim *s)
{
    double chance = sim_chance(s);
    mono_us took = SIM_S + (mono_us)(sim_chance(s) * 20 * SIM_MS);

    for (int i = 0; i < 4; i++, took += SIM_S) {
        if (chance < share_of[i])
            return took;
    }
    return 25 * SIM_S;
}

/* ---- what is expected ---- */

static void print(const struct sim *s, uint64_t seed)
{
    print_message("seed %llu: %u ticks, %u with a queue, %u without one; off by %.1f %%, %.1f\n",
                  (unsigned long long)seed, s->ticks, s->valid, s->none, 100 * s->worst_parallelism,
                  s->worst_hidden);
}

/* `ticks`: at least so many showed a queue, within 5 % and two requests. */
static void ends_with_a_queue(struct sim *s, uint64_t seed, unsigned ticks)
{
    print(s, seed);
    assert_true(s->valid >= ticks);
    assert_true(s->worst_parallelism <= 0.05);
    assert_true(s->worst_hidden <= 2);
    sim_free(s);
}

/* `ticks`: at least so many showed that there is none. */
static void ends_without_one(struct sim *s, uint64_t seed, unsigned ticks)
{
    print(s, seed);
    assert_int_equal(s->valid, 0);
    assert_true(s->none >= ticks);
    assert_true(s->worst_hidden <= 2);
    sim_free(s);
}

#define EACH_SEED                                                                                  \
    uint64_t seed = 1;                                                                             \
    seed <= SEEDS;                                                                                 \
    seed++

/* ---- a pool ---- */

static void a_burst_into_a_pool_shows_its_size_and_its_queue(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_burst(s, 200);
        sim_run(s, 8 * SIM_S);
        assert_true(s->first_valid - s->began <= SIM_S + 26 * SIM_S / 10);
        assert_true(s->last_valid - s->began <= SIM_S + 42 * SIM_S / 10);
        ends_with_a_queue(s, seed, 12);
    }
}

static void a_limit_of_the_pools_size_leaves_no_queue_inside(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 40, seed);
        sim_run(s, SIM_S);
        sim_burst(s, 200);
        sim_run(s, 8 * SIM_S);
        ends_without_one(s, seed, 20);
    }
}

static void a_saturated_pool_stays_known(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_clients(s, 100, SIM_S / 10);
        sim_run(s, 120 * SIM_S);
        ends_with_a_queue(s, seed, 1150);
    }
}

static void random_arrivals_fill_a_pool_slowly(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_rate(s, 44);
        sim_run(s, 60 * SIM_S);
        print(s, seed);
        assert_true(s->valid >= 300 && s->worst_parallelism <= 0.05);
        sim_free(s);
    }
}

static void a_small_pool_of_short_requests(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(8, twenty_ms, 80, seed);
        sim_run(s, SIM_S);
        sim_rate(s, 100);
        sim_run(s, 5 * SIM_S);
        sim_rate(s, 0);
        sim_clients(s, 60, SIM_S / 50);
        sim_run(s, 20 * SIM_S);
        ends_with_a_queue(s, seed, 180);
    }
}

static void the_limit_is_raised_and_lowered(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 40, seed);
        sim_run(s, SIM_S);
        sim_clients(s, 200, SIM_S / 10);
        sim_run(s, 10 * SIM_S);
        assert_true(s->none > 50 && s->valid == 0);
        s->limit = 80;
        sim_dispatch(s);
        sim_run(s, 20 * SIM_S);
        unsigned valid = s->valid;
        s->limit = 40;
        sim_run(s, 2 * SIM_S);
        s->valid = 0;
        sim_run(s, 20 * SIM_S);
        assert_int_equal(s->valid, 0);
        s->valid = valid;
        ends_with_a_queue(s, seed, 150);
    }
}

static void a_pool_whose_speed_changes_is_not_known(void **state)
{
    static const double speeds[] = {2, 1, 0.5, 1};

    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_clients(s, 100, SIM_S / 10);
        sim_run(s, 20 * SIM_S);
        for (size_t i = 0; i < sizeof(speeds) / sizeof(speeds[0]); i++) {
            s->speed = speeds[i];
            sim_run(s, 30 * SIM_S);
        }
        ends_with_a_queue(s, seed, 150);
    }
}

static void last_in_first_out_is_not_detected(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(40, one_second, 80, seed);
        s->newest_first = 1;
        sim_run(s, SIM_S);
        sim_burst(s, 200);
        sim_run(s, 8 * SIM_S);
        sim_clients(s, 90, SIM_S / 10);
        sim_run(s, 30 * SIM_S);
        ends_without_one(s, seed, 0);
    }
}

/* As with Uvicorn: a request that arrives may get a thread before those that wait for one. */
static void a_queue_with_overtaking_is_found_by_its_waves(void **state)
{
    static const double chances[] = {0.15, 0.3, 0.5, 0.7};

    (void)state;
    for (EACH_SEED) {
        for (size_t i = 0; i < sizeof(chances) / sizeof(chances[0]); i++) {
            struct sim *s = sim_new(40, one_second, 80, seed);
            s->newest_first = chances[i];
            sim_run(s, SIM_S);
            sim_burst(s, 200);
            sim_run(s, 8 * SIM_S);
            assert_true(s->first_valid - s->began <= SIM_S + 34 * SIM_S / 10);
            ends_with_a_queue(s, seed, 4);
        }
    }
}

static void slow_clients_are_not_a_queue(void **state)
{
    (void)state;
    for (EACH_SEED) {
        for (int blind = 0; blind < 2; blind++) {
            struct sim *s = sim_new(40, one_second, 80, seed);
            s->slow_share = 0.2;
            s->slow_for = 3 * SIM_S;
            s->blind_to_slow = blind;
            sim_run(s, SIM_S);
            sim_burst(s, 200);
            sim_run(s, 10 * SIM_S);
            sim_clients(s, 200, SIM_S / 10);
            sim_run(s, 30 * SIM_S);
            ends_with_a_queue(s, seed, 0);
        }
    }
}

/* Of a queue that was there all along, the times are steady too. */
static void a_queue_whose_beginning_was_not_seen_is_not_detected(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(8, one_second, 40, seed);
        sim_clients(s, 200, SIM_S / 10);
        sim_run(s, 30 * SIM_S);
        struct estimate *seen = s->e;
        s->e = estimate_new();
        estimate_tick(s->e, s->now, (uint32_t)s->n);
        s->valid = s->none = 0;
        sim_run(s, 70 * SIM_S);
        s->limit = 80;
        sim_dispatch(s);
        sim_run(s, 60 * SIM_S);
        estimate_free(seen);
        ends_without_one(s, seed, 0);
    }
}

/* ---- no pool ---- */

static void all_at_once_have_no_queue(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(0, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_burst(s, 200);
        sim_run(s, 8 * SIM_S);
        ends_without_one(s, seed, 8);
        s = sim_new(0, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_rate(s, 60);
        sim_run(s, 60 * SIM_S);
        ends_without_one(s, seed, 50);
    }
}

/* Random arrivals, a burst, clients that ask again. */
static void mix(struct sim *s, uint64_t seed)
{
    sim_run(s, SIM_S);
    sim_rate(s, s->pool > 0 ? 0.75 * s->pool : 60);
    sim_run(s, 30 * SIM_S);
    sim_burst(s, 200);
    sim_rate(s, 0);
    sim_run(s, 10 * SIM_S);
    sim_clients(s, 90, SIM_S / 10);
    sim_run(s, 30 * SIM_S);
    ends_without_one(s, seed, 0);
}

static void times_that_spread_give_no_estimate(void **state)
{
    (void)state;
    for (EACH_SEED) {
        mix(sim_new(0, exponential, 80, seed), seed);
        mix(sim_new(40, exponential, 80, seed), seed);
        mix(sim_new(0, uniform, 80, seed), seed);
        mix(sim_new(40, uniform, 80, seed), seed);
    }
}

static void short_and_long_requests_are_not_a_queue(void **state)
{
    static const double shares[] = {0.02, 0.05, 0.1, 0.5};

    (void)state;
    for (EACH_SEED) {
        for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
            quick_share = shares[i];
            mix(sim_new(0, ten_to_one, 80, seed), seed);
            mix(sim_new(0, two_to_one, 80, seed), seed);
        }
    }
}

/* Chance makes equal waves of some mixtures, of 2 in 3,000 with the seeds 1 to 3,000. */
static void waves_of_short_and_long_requests_are_not_a_queue(void **state)
{
    uint64_t dice = dice_number("WEIR_ESTIMATE_SEED", 1);
    unsigned wrong = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= MIXTURES; seed++) {
        struct sim *s = sim_new(0, seconds, 80, seed);
        double sum = 0;
        for (int i = 0; i < 4; i++) {
            sum += (1 - sum) * (double)(dice_roll(&dice) % 1000) / 1000;
            share_of[i] = sum;
        }
        sim_run(s, SIM_S);
        sim_burst(s, 300);
        sim_run(s, 12 * SIM_S);
        wrong += s->valid > 0;
        sim_free(s);
    }
    assert_true(wrong <= MIXTURES / 500);
}

static void an_app_that_becomes_slow_has_no_queue(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(0, one_second, 80, seed);
        sim_run(s, SIM_S);
        sim_rate(s, 30);
        sim_run(s, 30 * SIM_S);
        s->speed = 0.5;
        sim_run(s, 30 * SIM_S);
        s->speed = 0.4;
        sim_burst(s, 100);
        sim_run(s, 30 * SIM_S);
        ends_without_one(s, seed, 20);
    }
}

static void an_app_that_becomes_slow_gradually_has_no_queue(void **state)
{
    (void)state;
    for (EACH_SEED) {
        struct sim *s = sim_new(0, one_second, 400, seed);
        s->regular = true;
        sim_run(s, SIM_S);
        sim_rate(s, 150);
        sim_run(s, 20 * SIM_S);
        for (int i = 0; i < 200; i++) {
            s->speed /= 1.004;
            sim_run(s, SIM_S / 10);
        }
        sim_run(s, 40 * SIM_S);
        ends_without_one(s, seed, 20);
    }
}

/* ---- the readings ---- */

static void completions_that_were_not_seen_end_the_estimate_for_a_while(void **state)
{
    struct sim *s = sim_new(40, one_second, 80, 1);
    struct estimate_reading r;

    (void)state;
    sim_run(s, SIM_S);
    sim_clients(s, 100, SIM_S / 10);
    sim_run(s, 10 * SIM_S);
    estimate_read(s->e, s->now, &r);
    assert_true(r.valid && r.floor > SIM_S && r.floor < SIM_S + 30 * SIM_MS);
    estimate_completed(s->e, s->now, SIM_S, 2);
    sim_run(s, SIM_S);
    estimate_read(s->e, s->now, &r);
    assert_false(r.valid || r.hidden_valid);
    sim_run(s, 5 * SIM_S);
    estimate_read(s->e, s->now, &r);
    assert_true(r.valid);
    estimate_read(s->e, s->now + 2 * SIM_S, &r); /* no tick since */
    assert_false(r.valid || r.hidden_valid);
    sim_free(s);
}

static void nothing_is_known_without_completions(void **state)
{
    struct estimate *e = estimate_new();
    struct estimate_reading r;

    (void)state;
    estimate_read(e, 5 * SIM_S, &r);
    assert_false(r.valid || r.hidden_valid);
    estimate_tick(e, 5 * SIM_S, 0);
    estimate_completed(e, 5 * SIM_S, 0, 1);
    estimate_tick(e, 6 * SIM_S, UINT32_MAX);
    estimate_read(e, 6 * SIM_S, &r);
    assert_false(r.valid || r.hidden_valid);
    estimate_free(e);
    estimate_free(NULL);
}

static void more_completions_than_are_kept(void **state)
{
    struct estimate *e = estimate_new();
    struct estimate_reading r;

    (void)state;
    for (mono_us t = 5 * SIM_S; t < 8 * SIM_S; t += 100) { /* 10,000 a second, of 1 s each */
        estimate_completed(e, t - (t / 100 % 3) * 50, SIM_S, 1);
        if (t % SIM_TICK == 0)
            estimate_tick(e, t, 10000);
    }
    estimate_read(e, 8 * SIM_S, &r);
    assert_false(r.valid || r.hidden_valid);
    estimate_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_into_a_pool_shows_its_size_and_its_queue),
        cmocka_unit_test(a_limit_of_the_pools_size_leaves_no_queue_inside),
        cmocka_unit_test(a_saturated_pool_stays_known),
        cmocka_unit_test(random_arrivals_fill_a_pool_slowly),
        cmocka_unit_test(a_small_pool_of_short_requests),
        cmocka_unit_test(the_limit_is_raised_and_lowered),
        cmocka_unit_test(a_pool_whose_speed_changes_is_not_known),
        cmocka_unit_test(last_in_first_out_is_not_detected),
        cmocka_unit_test(a_queue_with_overtaking_is_found_by_its_waves),
        cmocka_unit_test(slow_clients_are_not_a_queue),
        cmocka_unit_test(a_queue_whose_beginning_was_not_seen_is_not_detected),
        cmocka_unit_test(all_at_once_have_no_queue),
        cmocka_unit_test(times_that_spread_give_no_estimate),
        cmocka_unit_test(short_and_long_requests_are_not_a_queue),
        cmocka_unit_test(waves_of_short_and_long_requests_are_not_a_queue),
        cmocka_unit_test(an_app_that_becomes_slow_has_no_queue),
        cmocka_unit_test(an_app_that_becomes_slow_gradually_has_no_queue),
        cmocka_unit_test(completions_that_were_not_seen_end_the_estimate_for_a_while),
        cmocka_unit_test(nothing_is_known_without_completions),
        cmocka_unit_test(more_completions_than_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
