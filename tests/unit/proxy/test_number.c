/* Decimal numbers of peers: what is one, and that none overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/number.h"

#define MOST UINT64_C(1000000)

static void digits_are_taken_and_the_rest_stays(void **state)
{
    struct span s = SPAN("0123abc");
    uint64_t n;
    (void)state;

    assert_true(number_take(&s, MOST, &n));
    assert_int_equal(n, 123);
    assert_true(span_equal(s, SPAN("abc")));
    assert_false(number_take(&s, MOST, &n));
    s = SPAN("");
    assert_false(number_take(&s, MOST, &n));
}

static void a_greater_number_counts_as_the_greatest(void **state)
{
    static const char *const rows[] = {"1000000", "1000001", "9999999", "18446744073709551616",
                                       "99999999999999999999999999999999999999999"};
    const uint64_t most[] = {MOST, 1, UINT64_MAX / 10 - 1};
    uint64_t n;
    (void)state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct span s = span_of(rows[i]);
        assert_true(number_take(&s, MOST, &n));
        assert_int_equal(n, MOST);
        assert_int_equal(s.len, 0);
    }
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        struct span s = span_of(rows[4]);
        assert_true(number_take(&s, most[i], &n));
        assert_true(n == most[i]);
    }
}

struct row {
    const char *text;
    uint64_t whole, millionths;
};

static void a_decimal_has_digits_on_both_sides_of_its_point(void **state)
{
    static const struct row good[] = {
        {"0", 0, 0},          {"12", 12, 0},
        {"1.5", 1, 500000},   {"1.000001", 1, 1},
        {"1.0000019", 1, 1},  {"1.123456789", 1, 123456},
        {"00.10", 0, 100000}, {"1000001.1", MOST, 100000},
    };
    static const char *const bad[] = {"",   ".",  ".5", "1.", "1.x", "1.0000000x", "1,5", "1.5.5",
                                      "-1", "+1", " 1", "1 ", "1e3", "0x1",        "nan"};
    uint64_t whole, millionths;
    (void)state;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(number_decimal(span_of(good[i].text), MOST, &whole, &millionths));
        assert_int_equal(whole, good[i].whole);
        assert_int_equal(millionths, good[i].millionths);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(number_decimal(span_of(bad[i]), MOST, &whole, &millionths));
}

static void no_byte_after_the_last_is_read(void **state)
{
    static const char text[] = "1234.5678";
    (void)state;

    for (size_t len = 0; len < sizeof text; len++) {
        uint64_t whole, millionths;
        char *exact = malloc(len > 0 ? len : 1);
        assert_non_null(exact);
        memcpy(exact, text, len);
        bool read = number_decimal((struct span){exact, len}, MOST, &whole, &millionths);
        free(exact);
        assert_int_equal(read, len > 0 && len != 5 && len != sizeof text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digits_are_taken_and_the_rest_stays),
        cmocka_unit_test(a_greater_number_counts_as_the_greatest),
        cmocka_unit_test(a_decimal_has_digits_on_both_sides_of_its_point),
        cmocka_unit_test(no_byte_after_the_last_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
