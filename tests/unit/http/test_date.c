/* The current time in HTTP's format. */
#include <time.h>

#include "proxy/http/date.h"
#include "tests/unit/http/feed.h"

#define US INT64_C(1000000)

static void check(int64_t second, const char *want)
{
    struct http_date d = {0};
    struct span got = http_date(&d, second * US + 999999);

    if (!span_equal(got, span_of(want)))
        fail_msg("%lld: wanted %s, got %.*s", (long long)second, want, SPAN_PRINTF(got));
}

static void a_date_is_written_as_rfc9110_5_6_7_wants(void **state)
{
    (void)state;
    check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check(784111777, "Sun, 06 Nov 1994 08:49:37 GMT");
    check(951782399, "Mon, 28 Feb 2000 23:59:59 GMT");
    check(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check(951868800, "Wed, 01 Mar 2000 00:00:00 GMT");
    check(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
    check(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
    check(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* Each day of more than 400 years, compared with the C library. */
static void every_day_is_the_calendars(void **state)
{
    (void)state;
    for (int64_t day = 0; day < 150000; day++) {
        time_t second = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        char want[HTTP_DATE_LEN + 1];

        assert_non_null(gmtime_r(&second, &tm));
        assert_int_equal(strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", &tm),
                         HTTP_DATE_LEN);
        check(second, want);
    }
}

static void a_second_has_one_text_and_the_next_another(void **state)
{
    struct http_date d = {0};
    (void)state;
    struct span first = http_date(&d, 5 * US);
    assert_true(span_equal(first, SPAN("Thu, 01 Jan 1970 00:00:05 GMT")));
    d.text[0] = 'x'; /* cached within a second, renewed in the next */
    assert_int_equal(http_date(&d, 5 * US + 999999).at[0], 'x');
    assert_true(span_equal(http_date(&d, 6 * US), SPAN("Thu, 01 Jan 1970 00:00:06 GMT")));
    assert_true(span_equal(http_date(&d, 5 * US), SPAN("Thu, 01 Jan 1970 00:00:05 GMT")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_date_is_written_as_rfc9110_5_6_7_wants),
        cmocka_unit_test(every_day_is_the_calendars),
        cmocka_unit_test(a_second_has_one_text_and_the_next_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
