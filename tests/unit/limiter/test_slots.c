/* The slots of the instances, against numbers worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "limiter/slots.h"

static void a_slot_is_free_until_it_is_taken_and_again_when_it_is_back(void **state)
{
    struct slots s = {0};

    (void)state;
    assert_int_equal(slots_set(&s, 0, 2), 2);
    assert_true(slots_take(&s, 0));
    assert_int_equal(s.free, 1);
    assert_true(slots_take(&s, 0));
    assert_int_equal(s.free, 0);
    slots_give_back(&s, 0);
    assert_int_equal(s.free, 1);
    assert_true(slots_take(&s, 0));
    assert_false(slots_take(&s, 0));
}

static void lowering_takes_nothing_and_frees_nothing_until_enough_are_back(void **state)
{
    struct slots s = {0};

    (void)state;
    (void)slots_set(&s, 0, 3);
    for (int i = 0; i < 3; i++)
        assert_true(slots_take(&s, 0));
    assert_int_equal(slots_set(&s, 0, 1), 1);
    slots_give_back(&s, 0);
    slots_give_back(&s, 0);
    assert_int_equal(s.free, 0);
    slots_give_back(&s, 0);
    assert_int_equal(s.free, 1);
    assert_int_equal(slots_set(&s, 0, 5), 5);
    assert_int_equal(s.free, 5);
}

static void the_smallest_share_in_use_is_next_and_a_full_one_never(void **state)
{
    struct slots s = {0};

    (void)state;
    (void)slots_set(&s, 0, 2);
    assert_int_equal(slots_set(&s, 3, 4), 6);
    assert_int_equal(slots_least_loaded(&s), 0);
    (void)slots_take(&s, 0); /* 1 of 2, 0 of 4 */
    assert_int_equal(slots_least_loaded(&s), 3);
    (void)slots_take(&s, 3);
    (void)slots_take(&s, 3); /* 1 of 2, 2 of 4 */
    assert_int_equal(slots_least_loaded(&s), 0);
    (void)slots_take(&s, 0);
    assert_int_equal(slots_least_loaded(&s), 3);
    (void)slots_set(&s, 3, 0);
    slots_give_back(&s, 0);
    assert_int_equal(slots_least_loaded(&s), 0);
    assert_int_equal(s.free, 1);
}

static void the_sum_of_unlimited_instances_is_unlimited(void **state)
{
    struct slots s = {0};

    (void)state;
    for (unsigned i = 0; i < LIMITER_INSTANCES; i++)
        assert_int_equal(slots_set(&s, i, LIMITER_UNLIMITED), LIMITER_UNLIMITED);
    assert_true(s.free == (uint64_t)LIMITER_INSTANCES * LIMITER_UNLIMITED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_is_free_until_it_is_taken_and_again_when_it_is_back),
        cmocka_unit_test(lowering_takes_nothing_and_frees_nothing_until_enough_are_back),
        cmocka_unit_test(the_smallest_share_in_use_is_next_and_a_full_one_never),
        cmocka_unit_test(the_sum_of_unlimited_instances_is_unlimited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
