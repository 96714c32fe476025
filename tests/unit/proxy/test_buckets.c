#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/buckets.h"

#define S INT64_C(1000000)

/* The shortest and longest timeouts that the options allow, and some between. */
static const mono_us timeouts[] = {1000, 20000, 300000, 3 * S, 10 * S, 60 * S, 3600 * S};
enum { TIMEOUTS = sizeof(timeouts) / sizeof(timeouts[0]) };

static mono_us most_of(mono_us timeout)
{
    return timeout > 240 * S ? timeout : 240 * S;
}

/* As slow and simple as possible. */
static size_t search(const struct buckets *b, mono_us us)
{
    size_t i = 0;
    while (i < b->n && us > b->bound[i])
        i++;
    return i;
}

static void assert_finds(const struct buckets *b, mono_us us)
{
    if (us >= 0)
        assert_int_equal(buckets_find(b, us), search(b, us));
}

static void every_duration_is_found_in_its_bucket(void **state)
{
    (void)state;
    struct buckets b;
    for (size_t t = 0; t < TIMEOUTS; t++) {
        buckets_fine(&b, timeouts[t], most_of(timeouts[t]));
        for (mono_us us = 0; us < 20000; us++)
            assert_finds(&b, us);
        for (int bit = 0; bit < 63; bit++) {
            for (mono_us near = -9; near < 10; near++)
                assert_finds(&b, (INT64_C(1) << bit) + near);
        }
        for (size_t i = 0; i < b.n; i++) {
            for (mono_us near = -2; near < 3; near++)
                assert_finds(&b, b.bound[i] + near);
        }
        assert_finds(&b, INT64_MAX);
    }
}

static void bounds_ascend_from_zero_and_are_not_too_many(void **state)
{
    (void)state;
    struct buckets b;
    for (size_t t = 0; t < TIMEOUTS; t++) {
        buckets_fine(&b, timeouts[t], most_of(timeouts[t]));
        assert_int_equal(b.bound[0], 0);
        assert_int_equal(b.bound[1], 1000);
        for (size_t i = 1; i <= b.n; i++)
            assert_true(b.bound[i - 1] < b.bound[i]);
        print_message("timeout %.3f s: %zu bounds\n", (double)timeouts[t] / 1e6, b.n);
        assert_in_range(b.n, 5, 175);
    }
}

static bool has(const struct buckets *b, mono_us bound)
{
    return bound == b->bound[search(b, bound)];
}

/* The error of histogram_quantile() is at most the distance of two neighbours. */
static void neighbours_differ_by_a_twentieth_where_a_wait_can_be_long(void **state)
{
    (void)state;
    struct buckets b;
    for (size_t t = 0; t < TIMEOUTS; t++) {
        mono_us timeout = timeouts[t];
        buckets_fine(&b, timeout, most_of(timeout));
        assert_true(has(&b, timeout + timeout / 100));
        for (size_t i = 2; b.bound[i - 1] <= timeout + timeout / 100; i++) {
            mono_us low = b.bound[i - 1], wide = b.bound[i] - low;
            if (low >= timeout / 50)
                assert_true(wide * 20 <= low);
            else if (low >= timeout / 10000)
                assert_true(wide * 9 <= low);
            else
                assert_true(wide * 20 <= low * 7);
        }
    }
}

static void the_longest_wait_of_all_has_a_bound_just_above_it(void **state)
{
    (void)state;
    struct buckets b;
    buckets_fine(&b, 3 * S, 240 * S);
    assert_int_equal(b.bound[b.n - 1], 242400000);
    buckets_fine(&b, 3600 * S, 3600 * S);
    assert_true(has(&b, 3636 * S));
}

static void coarse_bounds_are_the_base_and_just_above_each_timeout(void **state)
{
    (void)state;
    static const mono_us base[] = {0, 100, 1000}, given[] = {2000, 500, 2000, 100, 0};
    static const mono_us want[] = {0, 100, 101, 505, 1000, 2020, INT64_MAX};
    struct buckets b;
    buckets_coarse(&b, base, 3, given);
    assert_int_equal(b.n, 6);
    assert_memory_equal(b.bound, want, sizeof(want));
    for (mono_us us = 0; us < 3000; us++)
        assert_finds(&b, us);
}

static void even_bounds_are_a_fixed_share_apart(void **state)
{
    (void)state;
    struct buckets b;

    buckets_even(&b, 50, 120 * S, 8);
    assert_int_equal(b.bound[0], 50);
    assert_true(b.bound[b.n - 1] >= 120 * S);
    for (size_t i = 1; i < b.n; i++) {
        mono_us wide = b.bound[i] - b.bound[i - 1];
        assert_true(wide * 100 <= b.bound[i - 1] * 8 + 100);
    }
    for (mono_us us = 1; us < 300 * S; us += 1 + us / 7)
        assert_finds(&b, us);
}

/* Counts of a histogram with the bounds 10, 20, 40 and 80. */
static mono_us quantile(const uint32_t *count, double q, mono_us least, mono_us most)
{
    static const mono_us base[] = {10, 20, 40, 80}, none[] = {0};
    struct buckets b;

    buckets_coarse(&b, base, 4, none);
    return buckets_quantile(&b, count, q, least, most);
}

static void a_quantile_is_interpolated_within_its_bucket(void **state)
{
    (void)state;
    static const uint32_t spread[5] = {0, 10, 0, 10, 0};

    assert_int_equal(quantile(spread, 0.25, 0, 100), 15);
    assert_int_equal(quantile(spread, 0.5, 0, 100), 20);
    assert_int_equal(quantile(spread, 0.75, 0, 100), 60);
    assert_int_equal(quantile(spread, 1, 0, 100), 80);
}

static void a_quantile_lies_between_the_shortest_and_the_longest(void **state)
{
    (void)state;
    static const uint32_t one[5] = {0, 0, 3, 0, 0}, beyond[5] = {0, 0, 0, 0, 4};

    assert_int_equal(quantile(one, 0.5, 33, 33), 33);
    assert_int_equal(quantile(one, 1, 25, 30), 30);
    assert_int_equal(quantile(beyond, 0.5, 100, 300), 200);
    assert_int_equal(quantile(beyond, 0.99, 100, 100), 100);
}

static void nothing_has_no_quantile(void **state)
{
    (void)state;
    static const uint32_t nothing[5] = {0};

    assert_int_equal(quantile(nothing, 0.5, 0, 100), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_is_found_in_its_bucket),
        cmocka_unit_test(bounds_ascend_from_zero_and_are_not_too_many),
        cmocka_unit_test(neighbours_differ_by_a_twentieth_where_a_wait_can_be_long),
        cmocka_unit_test(the_longest_wait_of_all_has_a_bound_just_above_it),
        cmocka_unit_test(coarse_bounds_are_the_base_and_just_above_each_timeout),
        cmocka_unit_test(even_bounds_are_a_fixed_share_apart),
        cmocka_unit_test(a_quantile_is_interpolated_within_its_bucket),
        cmocka_unit_test(a_quantile_lies_between_the_shortest_and_the_longest),
        cmocka_unit_test(nothing_has_no_quantile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
