/* Which lines may be logged, and how suppressed ones are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/log_limit.h"

#define SECOND 1000000

static void a_kind_is_logged_once_a_second_and_counts_the_rest(void **state)
{
    static const char *const what = "the queue is full";
    struct log_limit limit = {0};
    char more[LOG_LIMIT_MORE];

    (void)state;
    assert_true(log_limit_allows(&limit, 5 * SECOND, what, more));
    assert_string_equal(more, "");
    for (int i = 1; i <= 7; i++)
        assert_false(log_limit_allows(&limit, 5 * SECOND + i, what, more));
    assert_true(log_limit_allows(&limit, 6 * SECOND, what, more));
    assert_string_equal(more, "; 7 similar messages were not logged");
    assert_true(log_limit_allows(&limit, 7 * SECOND, what, more));
    assert_string_equal(more, "");
}

static void kinds_do_not_hide_each_other(void **state)
{
    struct log_limit limit = {0};
    char more[LOG_LIMIT_MORE];

    (void)state;
    assert_true(log_limit_allows(&limit, SECOND, "one", more));
    assert_true(log_limit_allows(&limit, SECOND, "two", more));
    assert_false(log_limit_allows(&limit, SECOND + 1, "one", more));
}

static void more_kinds_than_there_is_room_for_push_out_the_quietest(void **state)
{
    static char names[LOG_LIMIT_KINDS + 1][2];
    struct log_limit limit = {0};
    char more[LOG_LIMIT_MORE];

    (void)state;
    for (int i = 0; i <= LOG_LIMIT_KINDS; i++)
        assert_true(log_limit_allows(&limit, SECOND + i, names[i], more));
    assert_false(log_limit_allows(&limit, SECOND + 50, names[LOG_LIMIT_KINDS], more));
    assert_false(log_limit_allows(&limit, SECOND + 50, names[1], more));
    assert_true(log_limit_allows(&limit, SECOND + 50, names[0], more));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kind_is_logged_once_a_second_and_counts_the_rest),
        cmocka_unit_test(kinds_do_not_hide_each_other),
        cmocka_unit_test(more_kinds_than_there_is_room_for_push_out_the_quietest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
