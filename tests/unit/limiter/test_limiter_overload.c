/*
 * The limiter in overloads, and short of them: who is served, in which order, and what it costs.
 * Ten slots of 100 ms and a queue of 100, unless a test says otherwise.
 */
#include "tests/unit/limiter/simulation.h"

#define CAPACITY 100 /* requests a second */
#define SEEDS    3u

static const struct limiter_config adaptive = {.queue_length = 100, .queue_bytes = UINT64_MAX};
static const struct limiter_config fifo = {
    .queue_length = 100, .queue_bytes = UINT64_MAX, .order = LIMITER_FIFO};

/* ---- loads ----------------------------------------------------------------------------------- */

/* Patience of MIXED: 0.2 s to 30 s, uniform in its powers of two; of RANDOM_*: a few cancel after a
 * time of mean 1 s, the others have 60 s. */
enum patience_kind { HALF_A_SECOND, MIXED, FOREVER, RANDOM_5_PERCENT, RANDOM_20_PERCENT };

struct load {
    double offered; /* times the capacity */
    enum patience_kind patience;
    bool silent, declares, exponential;
    mono_us from, to;
};

static mono_us mixed(struct simulation *s)
{
    double octaves = uniform(s) * 7.2, us = 200 * MS;

    for (; octaves >= 1; octaves--)
        us *= 2;
    return (mono_us)(us * (1 + octaves));
}

static mono_us some_patience(struct simulation *s, enum patience_kind kind)
{
    double few = kind == RANDOM_5_PERCENT ? 0.05 : 0.2;

    switch (kind) {
    case HALF_A_SECOND:
        return SECOND / 2;
    case MIXED:
        return mixed(s);
    case FOREVER:
        return MONO_NEVER;
    case RANDOM_5_PERCENT:
    case RANDOM_20_PERCENT:
        return uniform(s) < few ? (mono_us)(exponential(s) * SECOND) : 60 * SECOND;
    }
    return 0;
}

static void offer(struct simulation *s, const struct load *load, double capacity, mono_us service)
{
    double t = (double)load->from;

    while ((t += exponential(s) * SECOND / (load->offered * capacity)) < (double)load->to) {
        mono_us its = load->exponential ? (mono_us)(exponential(s) * (double)service) : service;
        struct request *r = simulation_add(s, (mono_us)t, its, some_patience(s, load->patience));
        r->silent = load->silent;
        r->declares = load->declares;
    }
}

/* Answers in time among those that were done within [from, to), in percent of what was possible. */
static double goodput(const struct simulation *s, mono_us from, mono_us to)
{
    double offered = 0, good = 0, most = (double)(to - from) / SECOND * CAPACITY;

    for (size_t i = 0; i < s->count; i++) {
        const struct request *r = &s->requests[i];
        offered += r->arrives >= from && r->arrives < to;
        good += r->served && r->in_time && r->done_at >= from && r->done_at < to;
    }
    return 100 * good / (offered < most ? offered : most);
}

static double goodput_of(const struct limiter_config *config, const struct load *load)
{
    double sum = 0;

    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct simulation s;
        simulation_init(&s, config, 10);
        simulation_reserve(&s, 70000);
        s.dice = seed;
        offer(&s, load, CAPACITY, 100 * MS);
        (void)simulation_run(&s);
        sum += goodput(&s, load->from + 2 * SECOND, load->to);
        simulation_free(&s);
    }
    return sum / SEEDS;
}

static void expect_goodput(const struct limiter_config *config, struct load load, double offered,
                           double least, double most)
{
    load.offered = offered;
    load.to = 60 * SECOND;
    double got = goodput_of(config, &load);
    print_message("    at %4.1f times the capacity: %5.1f %%\n", offered, got);
    assert_true(got >= least && got <= most);
}

/* ---- overloads ------------------------------------------------------------------------------- */

static void clients_that_disconnect_are_served_in_time_at_any_load(void **state)
{
    const struct load closers = {.patience = HALF_A_SECOND};

    (void)state;
    expect_goodput(&adaptive, closers, 0.9, 99, 101);
    expect_goodput(&adaptive, closers, 1, 95, 101);
    expect_goodput(&adaptive, closers, 2, 97, 101);
    expect_goodput(&adaptive, closers, 5, 97, 101);
    expect_goodput(&adaptive, closers, 10, 97, 101);
}

static void a_fifo_serves_those_that_have_given_up(void **state)
{
    const struct load closers = {.patience = HALF_A_SECOND};

    (void)state;
    expect_goodput(&fifo, closers, 0.9, 99, 101);
    expect_goodput(&fifo, closers, 2, 0, 10);
}

static void clients_of_any_patience_are_served_in_time(void **state)
{
    const struct load clients = {.patience = MIXED};

    (void)state;
    expect_goodput(&adaptive, clients, 1, 96, 101);
    expect_goodput(&adaptive, clients, 2, 97, 101);
    expect_goodput(&adaptive, clients, 10, 97, 101);
}

static void silent_clients_are_found_out_by_what_is_refused(void **state)
{
    const struct load silent = {.patience = HALF_A_SECOND, .silent = true};

    (void)state;
    expect_goodput(&adaptive, silent, 2, 96, 101);
    expect_goodput(&adaptive, silent, 5, 96, 101);
}

static void declared_deadlines_need_nobody_to_disconnect(void **state)
{
    const struct load declaring = {.patience = HALF_A_SECOND, .silent = true, .declares = true};

    (void)state;
    expect_goodput(&adaptive, declaring, 1, 97, 101);
    expect_goodput(&adaptive, declaring, 1.2, 97, 101);
    expect_goodput(&adaptive, declaring, 2, 97, 101);
    expect_goodput(&adaptive, declaring, 10, 97, 101);
}

static void holds_of_random_length_change_nothing(void **state)
{
    const struct load closers = {.patience = HALF_A_SECOND, .exponential = true};

    (void)state;
    expect_goodput(&adaptive, closers, 2, 97, 101);
    expect_goodput(&adaptive, closers, 5, 97, 101);
}

/* 0.9, from 10 s twice the capacity, from 40 s 0.9. */
static void an_overload_begins_and_ends_with_its_cause(void **state)
{
    const struct load parts[] = {{.offered = 0.9, .to = 10 * SECOND},
                                 {.offered = 2, .from = 10 * SECOND, .to = 40 * SECOND},
                                 {.offered = 0.9, .from = 40 * SECOND, .to = 60 * SECOND}};
    struct simulation s;

    (void)state;
    simulation_init(&s, &adaptive, 10);
    simulation_reserve(&s, 20000);
    for (unsigned i = 0; i < 3; i++)
        offer(&s, &parts[i], CAPACITY, 100 * MS);
    struct limiter_snapshot end = simulation_run(&s);
    assert_true(goodput(&s, 12 * SECOND, 40 * SECOND) >= 97);
    assert_true(goodput(&s, 42 * SECOND, 60 * SECOND) >= 97);
    assert_false(end.overload);
    assert_in_range(end.overloads[0] + end.overloads[1] + end.overloads[2], 1, 20);
    assert_in_range(end.overload_us, 28 * SECOND, 42 * SECOND);
    simulation_free(&s);
}

/* ---- order ----------------------------------------------------------------------------------- */

static uint64_t overtaken(const struct simulation *s)
{
    uint64_t n = 0;
    uint64_t latest = 0;

    for (size_t i = 0; i < s->grants; i++) {
        n += s->granted[i]->w.place < latest;
        latest = s->granted[i]->w.place > latest ? s->granted[i]->w.place : latest;
    }
    return n;
}

/* 200 at once at a limit of 40 and holds of 1 s, among others at 0.9. */
static void burst(enum patience_kind others, unsigned most_percent)
{
    struct limiter_config config = {.queue_length = 400, .queue_bytes = UINT64_MAX};
    const struct load load = {.offered = 0.9, .patience = others, .to = 60 * SECOND};

    for (unsigned seed = 1; seed <= SEEDS; seed++) {
        struct simulation s;
        simulation_init(&s, &config, 40);
        simulation_reserve(&s, 5000);
        s.dice = seed;
        for (unsigned i = 0; i < 200; i++)
            simulation_add(&s, 5 * SECOND, SECOND, 60 * SECOND);
        offer(&s, &load, 40, SECOND);
        struct limiter_snapshot end = simulation_run(&s);
        for (unsigned i = 0; i < 200; i++)
            assert_true(s.requests[i].in_time);
        assert_int_equal(overtaken(&s), end.overtaken);
        assert_true(100 * end.overtaken <= most_percent * s.grants);
        simulation_free(&s);
    }
}

static void a_burst_of_patient_clients_loses_nothing(void **state)
{
    (void)state;
    burst(FOREVER, 0);
}

static void nor_does_it_among_clients_that_cancel_at_random(void **state)
{
    (void)state;
    burst(RANDOM_5_PERCENT, 1);
    burst(RANDOM_20_PERCENT, 1);
}

static void run_forever_clients(struct simulation *s, struct limiter_config config)
{
    const struct load load = {.offered = 1.2, .patience = FOREVER, .to = 120 * SECOND};

    config.queue_length = 100000;
    simulation_init(s, &config, 10);
    simulation_reserve(s, 20000);
    s->timeout = 60 * SECOND;
    offer(s, &load, CAPACITY, 100 * MS);
    (void)simulation_run(s);
}

static void for_clients_that_never_leave_the_order_is_that_of_fifo(void **state)
{
    struct simulation a, f;

    (void)state;
    run_forever_clients(&a, adaptive);
    run_forever_clients(&f, fifo);
    assert_int_equal(a.grants, f.grants);
    for (size_t i = 0; i < a.grants; i++)
        assert_int_equal(a.granted[i]->w.place, f.granted[i]->w.place);
    for (size_t i = 0; i < a.count; i++)
        assert_int_equal(a.requests[i].refused, f.requests[i].refused);
    assert_int_equal(overtaken(&a), 0);
    simulation_free(&a);
    simulation_free(&f);
}

/* Whatever the holds, the slots and the pauses are: a million arrivals and releases. */
static void without_leavers_and_refusals_all_are_served_as_they_have_arrived(void **state)
{
    struct limiter_config config = {.queue_length = UINT32_MAX, .queue_bytes = UINT64_MAX};
    mono_us at = 0;
    struct simulation s;

    (void)state;
    simulation_init(&s, &config, 7);
    simulation_reserve(&s, 500000);
    s.timeout = MONO_NEVER;
    for (unsigned i = 0; i < 500000; i++) { /* the load changes: 0.2 to 1.8 times the capacity */
        double load = 0.2 + 0.2 * (i / 5000 % 9);
        at += (mono_us)(exponential(&s) * 1000 / load);
        simulation_add(&s, at, (mono_us)(exponential(&s) * 7000), MONO_NEVER);
    }
    for (unsigned step = 0; s.events > 0; step++) {
        simulation_step(&s);
        if (step % 1000 == 300)
            limiter_pause(s.limiter, LIMITER_PAUSE_OPERATOR, s.now);
        if (step % 1000 == 340)
            simulation_deliver(&s, limiter_resume(s.limiter, LIMITER_PAUSE_OPERATOR, s.now));
    }
    assert_int_equal(s.grants, 500000);
    for (size_t i = 0; i < s.grants; i++)
        assert_ptr_equal(s.granted[i], &s.requests[i]);
    simulation_free(&s);
}

/* The limiter knows holds of 1 ms when 200 patient clients of 1 s come at once, too many for the
 * queue, and then others at 0.9: with the holds that it knows, the queue is served in 2.5 ms. */
static struct limiter_snapshot run_slower_clients(struct simulation *s, enum limiter_order order)
{
    const struct limiter_config config = {
        .queue_length = 100, .queue_bytes = UINT64_MAX, .order = order};
    const struct load quick = {.offered = 0.05, .patience = FOREVER, .to = SECOND};
    const struct load slow = {
        .offered = 0.9, .patience = FOREVER, .from = 2 * SECOND, .to = 20 * SECOND};

    simulation_init(s, &config, 40);
    simulation_reserve(s, 5000);
    s->timeout = 30 * SECOND;
    offer(s, &quick, 40000, MS);
    for (unsigned i = 0; i < 200; i++)
        simulation_add(s, 2 * SECOND, SECOND, MONO_NEVER);
    offer(s, &slow, 40, SECOND);
    return simulation_run(s);
}

static void a_burst_of_slower_requests_than_before_is_no_overload(void **state)
{
    struct simulation a, f;

    (void)state;
    struct limiter_snapshot adaptive_end = run_slower_clients(&a, LIMITER_ADAPTIVE);
    struct limiter_snapshot fifo_end = run_slower_clients(&f, LIMITER_FIFO);
    assert_int_equal(adaptive_end.evicted + adaptive_end.overtaken, 0);
    assert_int_equal(adaptive_end.shed_full, fifo_end.shed_full);
    assert_true(fifo_end.shed_full >= 60);
    assert_int_equal(a.grants, f.grants);
    for (size_t i = 0; i < a.grants; i++)
        assert_int_equal(a.granted[i]->w.place, f.granted[i]->w.place);
    simulation_free(&a);
    simulation_free(&f);
}

/* ---- a change of the order ------------------------------------------------------------------- */

static void switch_to(struct simulation *s, enum limiter_order order)
{
    s->config.order = order;
    simulation_deliver(s, limiter_reconfigure(s->limiter, &s->config, s->now));
}

static void a_switch_to_fifo_in_an_overload_holds_from_the_next_grant_on(void **state)
{
    const struct load load = {.offered = 3, .patience = MIXED, .to = 40 * SECOND};
    struct limiter_snapshot now;
    struct simulation s;

    (void)state;
    simulation_init(&s, &adaptive, 10);
    simulation_reserve(&s, 20000);
    offer(&s, &load, CAPACITY, 100 * MS);
    simulation_run_until(&s, 20 * SECOND);
    limiter_snapshot(s.limiter, s.now, &now);
    assert_true(now.overload && now.depth > 50);
    assert_true(now.oldest_wait > 2 * now.allowance);
    switch_to(&s, LIMITER_FIFO);
    size_t before = s.grants;
    simulation_run_until(&s, 30 * SECOND);
    assert_true(s.grants > before + 500);
    for (size_t i = before + 1; i < s.grants; i++)
        assert_true(s.granted[i]->w.place > s.granted[i - 1]->w.place);
    limiter_snapshot(s.limiter, s.now, &now);
    assert_false(now.overload);
    switch_to(&s, LIMITER_ADAPTIVE);
    simulation_run_until(&s, 35 * SECOND);
    limiter_snapshot(s.limiter, s.now, &now);
    assert_true(now.overload);
    (void)simulation_run(&s);
    simulation_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_that_disconnect_are_served_in_time_at_any_load),
        cmocka_unit_test(a_fifo_serves_those_that_have_given_up),
        cmocka_unit_test(clients_of_any_patience_are_served_in_time),
        cmocka_unit_test(silent_clients_are_found_out_by_what_is_refused),
        cmocka_unit_test(declared_deadlines_need_nobody_to_disconnect),
        cmocka_unit_test(holds_of_random_length_change_nothing),
        cmocka_unit_test(an_overload_begins_and_ends_with_its_cause),
        cmocka_unit_test(a_burst_of_patient_clients_loses_nothing),
        cmocka_unit_test(nor_does_it_among_clients_that_cancel_at_random),
        cmocka_unit_test(for_clients_that_never_leave_the_order_is_that_of_fifo),
        cmocka_unit_test(without_leavers_and_refusals_all_are_served_as_they_have_arrived),
        cmocka_unit_test(a_burst_of_slower_requests_than_before_is_no_overload),
        cmocka_unit_test(a_switch_to_fifo_in_an_overload_holds_from_the_next_grant_on),
    };
    return cmocka_run_group_tests_name("limiter: overload", tests, NULL, NULL);
}
