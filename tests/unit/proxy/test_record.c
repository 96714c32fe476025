/* The clock of a record: its phases always sum to its total. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/record.h"

static void each_phase_gets_the_time_until_the_next_one(void **state)
{
    struct record r;

    (void)state;
    record_begin(&r, 1000);
    for (int p = RECORD_BODY_WAIT; p <= RECORD_DELIVERY; p++)
        record_enter(&r, (enum record_phase)p, 1000 + p * p);
    record_enter(&r, RECORD_ENDED, 2000);
    for (int p = RECORD_HEAD; p < RECORD_DELIVERY; p++)
        assert_int_equal(r.spent[p], 2 * p + 1);
    assert_int_equal(r.spent[RECORD_DELIVERY], 1000 - RECORD_DELIVERY * RECORD_DELIVERY);
    assert_int_equal(record_total(&r), 1000);
    assert_int_equal(record_inside(&r), RECORD_DELIVERY * RECORD_DELIVERY - 9);
}

static void a_phase_that_is_entered_again_accumulates(void **state)
{
    struct record r;

    (void)state;
    record_begin(&r, 0);
    record_enter(&r, RECORD_QUEUE, 1);
    record_enter(&r, RECORD_CONNECT, 11);
    record_enter(&r, RECORD_QUEUE, 13);
    record_enter(&r, RECORD_CONNECT, 43);
    record_enter(&r, RECORD_ENDED, 44);
    assert_int_equal(r.spent[RECORD_QUEUE], 40);
    assert_int_equal(r.spent[RECORD_CONNECT], 3);
    assert_int_equal(record_total(&r), 44);
}

static void a_time_before_the_present_phase_is_its_beginning(void **state)
{
    struct record r;

    (void)state;
    record_begin(&r, 100);
    record_enter(&r, RECORD_QUEUE, 110);
    record_enter(&r, RECORD_CONNECT, 107);
    record_enter(&r, RECORD_ENDED, 120);
    assert_int_equal(r.spent[RECORD_QUEUE], 0);
    assert_int_equal(r.spent[RECORD_CONNECT], 10);
    assert_int_equal(record_total(&r), 20);
}

static void the_time_after_the_client_has_left_is_inside_but_not_in_the_total(void **state)
{
    struct record r;

    (void)state;
    record_begin(&r, 0);
    record_enter(&r, RECORD_CONNECT, 1);
    record_enter(&r, RECORD_ORPHAN, 5);
    record_enter(&r, RECORD_ENDED, 105);
    assert_int_equal(record_total(&r), 5);
    assert_int_equal(record_inside(&r), 104);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_phase_gets_the_time_until_the_next_one),
        cmocka_unit_test(a_phase_that_is_entered_again_accumulates),
        cmocka_unit_test(a_time_before_the_present_phase_is_its_beginning),
        cmocka_unit_test(the_time_after_the_client_has_left_is_inside_but_not_in_the_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
