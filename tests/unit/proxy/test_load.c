/* The recent load: means over whole windows, from integrals that only grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/load.h"

#define MS INT64_C(1000)

static struct load ld;
static struct limiter_snapshot s;
static mono_us now;

static int set_up(void **state)
{
    (void)state;
    memset(&s, 0, sizeof(s));
    s.limit = 10;
    s.in_flight_us = 123456;
    s.queued_us = 789;
    s.released = 77;
    now = 5000 * MS;
    load_init(&ld, &s, now);
    return 0;
}

/* For `ms`, so many requests hold slots and so many wait; then so many are released at once. */
static void pass(mono_us ms, uint64_t held, uint64_t waiting, uint64_t released)
{
    now += ms * MS;
    s.in_flight_us += (uint64_t)(ms * MS) * held;
    s.queued_us += (uint64_t)(ms * MS) * waiting;
    s.released += released;
}

static void assert_near(double is, double wanted)
{
    if (is < wanted - 1e-9 || is > wanted + 1e-9)
        fail_msg("%g is not %g", is, wanted);
}

static void nothing_is_known_before_a_window_has_ended(void **state)
{
    (void)state;
    pass(499, 10, 5, 100);
    assert_false(load_measure(&ld, &s, now));
    assert_near(ld.used, 0);
    assert_near(ld.rate, 0);
    pass(1, 10, 5, 0);
    assert_true(load_measure(&ld, &s, now));
    assert_near(ld.used, 1.5);
    assert_near(ld.rate, 200);
}

static void the_mean_is_of_the_last_window_only(void **state)
{
    (void)state;
    pass(1000, 10, 90, 5);
    assert_true(load_measure(&ld, &s, now));
    assert_near(ld.used, 10);
    pass(300, 4, 0, 0);
    pass(300, 0, 0, 30);
    assert_true(load_measure(&ld, &s, now));
    assert_near(ld.used, 0.2);
    assert_near(ld.rate, 50);
}

static void a_measurement_that_is_too_early_changes_nothing(void **state)
{
    (void)state;
    pass(500, 5, 0, 50);
    assert_true(load_measure(&ld, &s, now));
    for (int i = 0; i < 10; i++) {
        pass(40, 10, 10, 0);
        assert_false(load_measure(&ld, &s, now));
        assert_near(ld.used, 0.5);
        assert_near(ld.rate, 100);
    }
    pass(100, 10, 10, 0);
    assert_true(load_measure(&ld, &s, now));
    assert_near(ld.used, 2);
}

static void without_a_limit_there_is_no_share(void **state)
{
    (void)state;
    s.limit = UINT32_MAX;
    pass(500, 1000, 0, 5);
    assert_true(load_measure(&ld, &s, now));
    assert_near(ld.used, 0);
    assert_near(ld.rate, 10);
    s.limit = 0; /* no instance has slots */
    pass(500, 0, 3, 0);
    assert_true(load_measure(&ld, &s, now));
    assert_near(ld.used, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_known_before_a_window_has_ended, set_up),
        cmocka_unit_test_setup(the_mean_is_of_the_last_window_only, set_up),
        cmocka_unit_test_setup(a_measurement_that_is_too_early_changes_nothing, set_up),
        cmocka_unit_test_setup(without_a_limit_there_is_no_share, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
