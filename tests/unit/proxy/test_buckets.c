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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_duration_is_found_in_its_bucket),
        cmocka_unit_test(bounds_ascend_from_zero_and_are_not_too_many),
        cmocka_unit_test(neighbours_differ_by_a_twentieth_where_a_wait_can_be_long),
        cmocka_unit_test(the_longest_wait_of_all_has_a_bound_just_above_it),
        cmocka_unit_test(coarse_bounds_are_the_base_and_just_above_each_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
