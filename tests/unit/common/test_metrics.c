#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/metrics.h"

static const mono_us bounds[] = {0, 10, 100};

static void a_value_on_a_bound_belongs_to_the_bounds_bucket(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct histogram *h = metrics_histogram(m, "h_seconds", "H.", NULL, NULL, bounds, 3);
    histogram_observe(h, 0);
    histogram_observe(h, 1);
    histogram_observe(h, 10);
    histogram_observe(h, 11);
    histogram_observe(h, 100);
    histogram_observe(h, 101);
    histogram_observe(h, INT64_MAX / 2);
    assert_int_equal(h->buckets[0], 1);
    assert_int_equal(h->buckets[1], 2);
    assert_int_equal(h->buckets[2], 2);
    assert_int_equal(h->buckets[3], 2);
    assert_int_equal(h->sum_us, 223 + (uint64_t)INT64_MAX / 2);
    metrics_free(m);
}

static void members_join_their_family_in_order_of_registration(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    metrics_counter(m, "a_total", "A.", "handler", "x");
    metrics_gauge(m, "b", "B.", NULL, NULL);
    metrics_counter(m, "a_total", "A.", "handler", "y");
    const struct metric_family *f = metrics_families(m);
    assert_string_equal(f->name, "a_total");
    assert_string_equal(f->first->value, "x");
    assert_string_equal(f->first->next->value, "y");
    assert_null(f->first->next->next);
    assert_string_equal(f->next->name, "b");
    assert_null(f->next->first->value);
    assert_null(f->next->next);
    metrics_free(m);
    metrics_free(NULL);
}

static void a_gauge_goes_both_ways_and_a_raise_never_lowers(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct gauge *g = metrics_gauge(m, "g", "G.", NULL, NULL);
    assert_int_equal(gauge_add(g, -5), -5);
    assert_int_equal(gauge_add(g, 7), 2);
    gauge_raise(g, 1);
    assert_int_equal(g->n, 2);
    gauge_raise(g, 9);
    assert_int_equal(g->n, 9);
    gauge_set(g, 3);
    assert_int_equal(g->n, 3);
    metrics_free(m);
}

enum { THREADS = 4, ROUNDS = 20000 };

struct shared {
    struct counter *c;
    struct gauge *present, *most;
    struct histogram *h;
};

static void *record(void *arg)
{
    struct shared *s = arg;
    for (int i = 0; i < ROUNDS; i++) {
        gauge_raise(s->most, gauge_add(s->present, 1));
        counter_add(s->c, 2);
        histogram_observe(s->h, i % 200);
        gauge_add(s->present, -1);
    }
    return NULL;
}

static void many_threads_lose_nothing(void **state)
{
    (void)state;
    struct metrics *m = metrics_new();
    struct shared s = {
        .c = metrics_counter(m, "c_total", "C.", NULL, NULL),
        .present = metrics_gauge(m, "present", "P.", NULL, NULL),
        .most = metrics_gauge(m, "most", "M.", NULL, NULL),
        .h = metrics_histogram(m, "h_seconds", "H.", NULL, NULL, bounds, 3),
    };
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, record, &s), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(s.c->n, 2 * THREADS * ROUNDS);
    assert_int_equal(s.present->n, 0);
    assert_in_range(s.most->n, 1, THREADS);
    uint64_t seen = 0;
    for (int i = 0; i < 4; i++)
        seen += s.h->buckets[i];
    assert_int_equal(seen, THREADS * ROUNDS);
    assert_int_equal(s.h->sum_us, (uint64_t)THREADS * (ROUNDS / 200) * (199 * 200 / 2));
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_on_a_bound_belongs_to_the_bounds_bucket),
        cmocka_unit_test(members_join_their_family_in_order_of_registration),
        cmocka_unit_test(a_gauge_goes_both_ways_and_a_raise_never_lowers),
        cmocka_unit_test(many_threads_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
