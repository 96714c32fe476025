/*
 * Priority classes, pools and fair shares, with simulated clients: ten slots of 100 ms, unless a
 * test says otherwise.
 */
#include "tests/unit/limiter/simulation.h"

#define CAPACITY 100 /* requests a second */

static const struct limiter_config plain = {.queue_length = 100, .queue_bytes = UINT64_MAX};

/* Requests of a class and key, `offered` times the capacity, during `seconds`. */
static void offer(struct simulation *s, unsigned class_, unsigned key, double offered,
                  unsigned seconds, mono_us patience)
{
    double t = 0;

    while ((t += exponential(s) * SECOND / (offered * CAPACITY)) < (double)seconds * SECOND) {
        struct request *r = simulation_add(s, (mono_us)t, 100 * MS, patience);
        r->w.class_ = (uint8_t)class_;
        r->w.key = (uint8_t)key;
    }
}

static double percent_in_time(const struct simulation *s, unsigned class_, unsigned from_key)
{
    double all = 0, in_time = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct request *r = &s->requests[i];
        if (r->w.class_ != class_ || r->w.key < from_key)
            continue;
        all++;
        in_time += r->served && r->in_time;
    }
    return 100 * in_time / all;
}

/* ---- fair shares ----------------------------------------------------------------------------- */

/* Key 1 offers five times the capacity, three others a tenth each. */
static double shares(enum limiter_order order, bool fair)
{
    struct limiter_config config = plain;
    struct simulation s;

    config.order = order;
    simulation_init(&s, &config, 10);
    simulation_reserve(&s, 40000);
    offer(&s, 0, 1, 5, 60, SECOND / 2);
    for (unsigned key = 2; key <= 4; key++)
        offer(&s, 0, key, 0.1, 60, SECOND / 2);
    for (size_t i = 0; !fair && i < s.count; i++) { /* one list: `bytes` remembers the key */
        s.requests[i].w.bytes = s.requests[i].w.key;
        s.requests[i].w.key = 0;
    }
    (void)simulation_run(&s);
    for (size_t i = 0; !fair && i < s.count; i++)
        s.requests[i].w.key = (uint8_t)s.requests[i].w.bytes;
    double got = percent_in_time(&s, 0, 2);
    print_message("    the three: %.1f %%\n", got);
    simulation_free(&s);
    return got;
}

static void a_key_that_offers_too_much_takes_nothing_from_the_others(void **state)
{
    (void)state;
    assert_true(shares(LIMITER_ADAPTIVE, true) >= 99);
    assert_true(shares(LIMITER_FIFO, true) >= 99);
    assert_true(shares(LIMITER_ADAPTIVE, false) < 50);
}

/* Two keys that both offer more than their share get the same. */
static void keys_that_offer_too_much_have_equal_shares(void **state)
{
    size_t served[3] = {0};
    struct simulation s;

    (void)state;
    simulation_init(&s, &plain, 10);
    simulation_reserve(&s, 40000);
    offer(&s, 0, 1, 4, 60, SECOND / 2);
    offer(&s, 0, 2, 1, 60, SECOND / 2);
    (void)simulation_run(&s);
    for (size_t i = 0; i < s.grants; i++)
        served[s.granted[i]->w.key]++;
    print_message("    %zu and %zu\n", served[1], served[2]);
    assert_true(served[1] * 10 < served[2] * 11 && served[2] * 10 < served[1] * 11);
    simulation_free(&s);
}

/* ---- classes --------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const mono_us *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

static mono_us wait_p99(const struct simulation *s, unsigned class_)
{
    mono_us *waits = calloc(s->grants, sizeof(waits[0])), p99;
    size_t n = 0;

    CHECK(waits != NULL);
    for (size_t i = 0; i < s->grants; i++)
        if (s->granted[i]->w.class_ == class_)
            waits[n++] = s->granted[i]->w.granted_at - s->granted[i]->w.queued_at;
    qsort(waits, n, sizeof(waits[0]), by_value);
    p99 = waits[n * 99 / 100];
    free(waits);
    return p99;
}

/* The low class offers twice the capacity, the high one 0.2. */
static void high_and_low(enum limiter_order order, mono_us patience)
{
    struct limiter_config config = plain;
    struct simulation s;

    config.order = order;
    config.classes = 2;
    config.class_[1].head_start = 10 * SECOND;
    simulation_init(&s, &config, 10);
    simulation_reserve(&s, 40000);
    offer(&s, 0, 0, 2, 60, patience);
    offer(&s, 1, 0, 0.2, 60, patience);
    (void)simulation_run(&s);
    print_message("    p99 of the high: %ld ms\n", (long)(wait_p99(&s, 1) / MS));
    assert_true(wait_p99(&s, 1) <= 100 * MS);
    assert_true(percent_in_time(&s, 1, 0) >= 99);
    simulation_free(&s);
}

static void a_high_class_waits_for_one_service_time_at_most(void **state)
{
    (void)state;
    high_and_low(LIMITER_ADAPTIVE, SECOND / 2);
    high_and_low(LIMITER_ADAPTIVE, 60 * SECOND);
    high_and_low(LIMITER_FIFO, 60 * SECOND);
}

/* The high class alone offers twice the capacity; one of the low is served at least whenever the
 * head start has passed. */
static void low_gets(enum limiter_order order, mono_us longest_wait)
{
    struct limiter_config config = plain;
    mono_us last = 0, longest = 0;
    struct simulation s;

    config.order = order;
    config.classes = 2;
    config.class_[1].head_start = 2 * SECOND;
    simulation_init(&s, &config, 10);
    simulation_reserve(&s, 40000);
    offer(&s, 1, 0, 2, 60, 9 * SECOND);
    offer(&s, 0, 0, 0.2, 60, 9 * SECOND);
    (void)simulation_run(&s);
    for (size_t i = 0; i < s.grants; i++) {
        const struct limiter_waiter *w = &s.granted[i]->w;
        if (w->class_ != 0)
            continue;
        longest = w->granted_at - last > longest ? w->granted_at - last : longest;
        last = w->granted_at;
    }
    print_message("    longest time without one of the low: %ld ms\n", (long)(longest / MS));
    assert_true(longest <= longest_wait);
    assert_true(last > 59 * SECOND);
    simulation_free(&s);
}

static void a_low_class_is_never_starved_beyond_the_head_start(void **state)
{
    (void)state;
    low_gets(LIMITER_ADAPTIVE, 2400 * MS); /* the head start, and how long the high class waits */
    low_gets(LIMITER_FIFO, 3200 * MS);
}

/* Arrivals of both classes without refusals: each is served in order. */
static void a_class_is_served_as_it_has_arrived(void **state)
{
    struct limiter_config config = plain;
    uint64_t latest[2] = {0};
    struct simulation s;

    (void)state;
    config.classes = 2;
    config.class_[1].head_start = SECOND;
    config.queue_length = 100000;
    simulation_init(&s, &config, 10);
    simulation_reserve(&s, 40000);
    s.timeout = MONO_NEVER;
    offer(&s, 0, 0, 0.8, 100, MONO_NEVER);
    offer(&s, 1, 0, 0.4, 100, MONO_NEVER);
    struct limiter_snapshot end = simulation_run(&s);
    assert_int_equal(s.grants, s.count);
    assert_int_equal(end.overtaken, 0);
    for (size_t i = 0; i < s.grants; i++) {
        const struct limiter_waiter *w = &s.granted[i]->w;
        assert_true(w->place >= latest[w->class_]);
        latest[w->class_] = w->place;
    }
    simulation_free(&s);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Four waiters of 25 bytes fill the queue: key 1 would give up three of them. */
static void nobody_makes_room_for_one_that_does_not_fit_then_either(void **state)
{
    const struct limiter_config config = {.queue_length = 10, .queue_bytes = 100};
    struct limiter *l = limiter_new(&config, 0);
    struct limiter_waiter holder = {0}, w[4] = {{0}}, newcomer = {.key = 2, .bytes = 100}, *ended;

    (void)state;
    assert_null(limiter_set_slots(l, 0, 1, 0));
    assert_int_equal(limiter_acquire(l, &holder, 1, MONO_NEVER, &ended), LIMITER_ADMITTED);
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct limiter_waiter){.key = 1, .bytes = 25};
        assert_int_equal(limiter_acquire(l, &w[i], 2, MONO_NEVER, &ended), LIMITER_QUEUED);
    }
    assert_int_equal(limiter_acquire(l, &newcomer, 3, MONO_NEVER, &ended), LIMITER_SHED_BYTES);
    assert_null(ended);
    newcomer.bytes = 75; /* and now it does */
    assert_int_equal(limiter_acquire(l, &newcomer, 3, MONO_NEVER, &ended), LIMITER_QUEUED);
    assert_ptr_equal(ended, &w[3]);
    assert_ptr_equal(ended->next, &w[2]);
    assert_ptr_equal(ended->next->next, &w[1]);
    assert_null(ended->next->next->next);
    assert_ptr_equal(limiter_release(l, &holder, 4), &w[0]);
    assert_ptr_equal(limiter_release(l, &w[0], 5), &newcomer);
    assert_null(limiter_release(l, &newcomer, 6));
    limiter_free(l);
}

/* ---- pools ----------------------------------------------------------------------------------- */

static struct limiter_config with_pool(uint32_t most)
{
    struct limiter_config config = plain;

    config.classes = 2;
    config.class_[1].pools = 1 << 3;
    config.pool_max[3] = most;
    return config;
}

/* Eight event streams that never end. */
static void streams_leave_a_slot_for_requests(void **state)
{
    struct limiter_config config = with_pool(7);
    struct limiter_snapshot now;
    struct simulation s;

    (void)state;
    simulation_init(&s, &config, 8);
    simulation_reserve(&s, 2000);
    s.timeout = MONO_NEVER;
    for (unsigned i = 0; i < 8; i++)
        simulation_add(&s, 0, 1000 * SECOND, MONO_NEVER)->w.class_ = 1;
    offer(&s, 0, 0, 0.05, 100, 10 * SECOND); /* half of what one slot can do */
    simulation_run_until(&s, 200 * SECOND);
    limiter_snapshot(s.limiter, s.now, &now);
    assert_int_equal(now.in_flight, 7);
    assert_int_equal(now.class_depth[1], 1);
    assert_int_equal(now.depth, 1);
    assert_true(percent_in_time(&s, 0, 0) == 100);
    assert_int_equal(now.overloads[0] + now.overloads[1] + now.overloads[2], 0);
    config.pool_max[3] = 8; /* and the last gets its slot */
    simulation_deliver(&s, limiter_reconfigure(s.limiter, &config, s.now));
    limiter_snapshot(s.limiter, s.now, &now);
    assert_int_equal(now.in_flight, 8);
    (void)simulation_run(&s);
    simulation_free(&s);
}

/* Streams that fill the queue, while their pool is full, make room for requests that may run. */
static void streams_that_wait_do_not_fill_the_queue_for_others(void **state)
{
    struct limiter_config config = with_pool(5);
    struct simulation s;

    (void)state;
    simulation_init(&s, &config, 10);
    simulation_reserve(&s, 4000);
    s.timeout = 60 * SECOND;
    for (unsigned i = 0; i < 300; i++)
        simulation_add(&s, i * 1000, 1000 * SECOND, MONO_NEVER)->w.class_ = 1;
    offer(&s, 0, 0, 0.4, 50, 10 * SECOND); /* four fifths of what is left */
    (void)simulation_run(&s);
    assert_true(percent_in_time(&s, 0, 0) == 100);
    simulation_free(&s);
}

/* Requests in an overload, and streams that wait for their pool all the time: it ends. */
static void those_that_wait_for_a_pool_do_not_prolong_an_overload(void **state)
{
    struct limiter_config config = with_pool(5);
    struct limiter_snapshot now;
    struct simulation s;

    (void)state;
    config.queue_length = 1000;
    simulation_init(&s, &config, 10);
    simulation_reserve(&s, 40000);
    s.timeout = MONO_NEVER;
    for (unsigned i = 0; i < 10; i++)
        simulation_add(&s, i, 1000 * SECOND, MONO_NEVER)->w.class_ = 1;
    offer(&s, 0, 0, 2, 30, SECOND / 2);
    simulation_run_until(&s, 20 * SECOND);
    limiter_snapshot(s.limiter, s.now, &now);
    assert_true(now.overload);
    simulation_run_until(&s, 40 * SECOND);
    limiter_snapshot(s.limiter, s.now, &now);
    assert_false(now.overload);
    assert_int_equal(now.class_depth[1], 5);
    size_t before = s.grants;
    (void)simulation_run(&s);
    for (size_t i = before + 1; i < s.grants; i++) /* they have their order back */
        assert_true(s.granted[i]->w.place > s.granted[i - 1]->w.place);
    assert_int_equal(s.grants - before, 5);
    simulation_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_offers_too_much_takes_nothing_from_the_others),
        cmocka_unit_test(keys_that_offer_too_much_have_equal_shares),
        cmocka_unit_test(a_high_class_waits_for_one_service_time_at_most),
        cmocka_unit_test(a_low_class_is_never_starved_beyond_the_head_start),
        cmocka_unit_test(a_class_is_served_as_it_has_arrived),
        cmocka_unit_test(nobody_makes_room_for_one_that_does_not_fit_then_either),
        cmocka_unit_test(streams_leave_a_slot_for_requests),
        cmocka_unit_test(streams_that_wait_do_not_fill_the_queue_for_others),
        cmocka_unit_test(those_that_wait_for_a_pool_do_not_prolong_an_overload),
    };
    return cmocka_run_group_tests_name("limiter: classes", tests, NULL, NULL);
}
