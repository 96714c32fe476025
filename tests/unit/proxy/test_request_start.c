/* X-Request-Start and X-Queue-Start in each of their forms, and values that are ignored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/request_start.h"

#define S       INT64_C(1000000)
#define ARRIVED (INT64_C(1764390000) * S)
#define UNKNOWN (-1)

struct row {
    const char *value;
    mono_us before; /* UNKNOWN: not read */
};

static void check(const struct row *rows, size_t n, wall_us arrived)
{
    for (size_t i = 0; i < n; i++) {
        /* a copy of the exact length, so that a sanitizer sees what is read beyond it */
        size_t len = strlen(rows[i].value);
        char *copy = malloc(len > 0 ? len : 1);
        mono_us before = -7;
        assert_non_null(copy);
        memcpy(copy, rows[i].value, len);
        bool read = request_start_read((struct span){copy, len}, arrived, &before);
        free(copy);
        if (read != (rows[i].before != UNKNOWN) || before != (read ? rows[i].before : -7))
            fail_msg("%s: %d, %lld", rows[i].value, read, (long long)before);
    }
}

#define CHECK_ROWS(rows) check(rows, sizeof(rows) / sizeof(rows[0]), ARRIVED)

static void the_three_forms_differ_in_their_magnitude(void **state)
{
    static const struct row rows[] = {
        {"1764389999", S},
        {"1764389999.75", S / 4},
        {"1764389999.999", 1000}, /* nginx: ${msec} */
        {"1764389999.999999", 1},
        {"1764389999.9999999", 1},
        {"1764389999750", S / 4}, /* Heroku */
        {"1764389999750.5", S / 4 - 500},
        {"1764389999750000", S / 4}, /* weir, Apache */
        {"1764389999999999", 1},
        {"1764390000000000", 0},
        {"0001764389999", S},
    };
    (void)state;
    CHECK_ROWS(rows);
}

static void t_and_an_equals_sign_may_precede(void **state)
{
    static const struct row rows[] = {
        {"t=1764389999", S},
        {"t=1764389999.999", 1000},
        {"t=1764389999750", S / 4},
        {"t=1764389999999999", 1},
        {"t=", UNKNOWN},
        {"t", UNKNOWN},
        {"=1764389999", UNKNOWN},
        {"T=1764389999", UNKNOWN},
        {"t=t=1764389999", UNKNOWN},
        {"t 1764389999", UNKNOWN},
        {"t= 1764389999", UNKNOWN},
        {"start=1764389999", UNKNOWN},
    };
    (void)state;
    CHECK_ROWS(rows);
}

static void a_clock_that_is_a_little_ahead_counts_as_no_time(void **state)
{
    static const struct row rows[] = {
        {"1764390000.000001", 0}, {"t=1764390000000001", 0},      {"1764390001", 0},
        {"1764390010", 0},        {"1764390010.000001", UNKNOWN}, {"1764390011", UNKNOWN},
        {"1764390010000", 0},     {"1764390010000001", UNKNOWN},  {"1764393600", UNKNOWN},
        {"99999999999", UNKNOWN}, {"99999999999999999", UNKNOWN},
    };
    (void)state;
    CHECK_ROWS(rows);
}

static void a_start_more_than_an_hour_ago_is_none(void **state)
{
    static const struct row rows[] = {
        {"1764386400", 3600 * S},
        {"1764386399.999999", UNKNOWN},
        {"1764386400000000", 3600 * S},
        {"0", UNKNOWN},
        {"1", UNKNOWN},
        {"100000000000", UNKNOWN},
        {"250", UNKNOWN},
        {"100000000000000", UNKNOWN},
    };
    (void)state;
    CHECK_ROWS(rows);
}

static void other_values_are_ignored(void **state)
{
    static const struct row rows[] = {
        {"", UNKNOWN},
        {"now", UNKNOWN},
        {"-1764389999", UNKNOWN},
        {"+1764389999", UNKNOWN},
        {" 1764389999", UNKNOWN},
        {"1764389999 ", UNKNOWN},
        {"1764389999s", UNKNOWN},
        {"1764389999.", UNKNOWN},
        {"1764389999,5", UNKNOWN},
        {"1.764389999e9", UNKNOWN},
        {"1764389999, 1764389999", UNKNOWN},
        {"2026-11-29T04:20:00Z", UNKNOWN},
        {"1764389999999999999", UNKNOWN}, /* nanoseconds */
        {"100000000000000000", UNKNOWN},
        {"18446744073709551616", UNKNOWN},
        {"99999999999999999999999999999999999999", UNKNOWN},
    };
    (void)state;
    CHECK_ROWS(rows);
}

/* The magnitudes meet without a gap: the last of one form and the first of the next. */
static void each_form_ends_where_the_next_begins(void **state)
{
    const struct row seconds[] = {{"99999999999", 0}};
    const struct row millis[] = {{"100000000000", 0}};
    const struct row last_millis[] = {{"99999999999999", 0}};
    const struct row micros[] = {{"100000000000000", 0}};
    const struct row last_micros[] = {{"99999999999999999", 0}};
    (void)state;

    check(seconds, 1, INT64_C(99999999999) * S);
    check(millis, 1, INT64_C(100000000) * S);
    check(last_millis, 1, INT64_C(99999999999999) * 1000);
    check(micros, 1, INT64_C(100000000) * S);
    check(last_micros, 1, INT64_C(99999999999999999));
}

static void no_clock_makes_it_overflow(void **state)
{
    static const wall_us clocks[] = {INT64_MIN / 2, -1, 0, 1, INT64_MAX / 2};
    static const char *const values[] = {"0", "99999999999999999", "99999999999.999999"};
    mono_us before;
    (void)state;

    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            if (request_start_read(span_of(values[k]), clocks[i], &before))
                assert_true(before >= 0 && before <= REQUEST_START_AGE);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_differ_in_their_magnitude),
        cmocka_unit_test(t_and_an_equals_sign_may_precede),
        cmocka_unit_test(a_clock_that_is_a_little_ahead_counts_as_no_time),
        cmocka_unit_test(a_start_more_than_an_hour_ago_is_none),
        cmocka_unit_test(other_values_are_ignored),
        cmocka_unit_test(each_form_ends_where_the_next_begins),
        cmocka_unit_test(no_clock_makes_it_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
