/* Which news may be logged, and what is said of those that were not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proxy/news.h"

#define SECOND 1000000

static void a_kind_is_logged_once_a_second_and_counts_the_rest(void **state)
{
    static const char *const what = "the queue is full";
    struct news news = {0};
    char more[NEWS_MORE];

    (void)state;
    assert_true(news_may_log(&news, 5 * SECOND, what, more));
    assert_string_equal(more, "");
    for (int i = 1; i <= 7; i++)
        assert_false(news_may_log(&news, 5 * SECOND + i, what, more));
    assert_true(news_may_log(&news, 6 * SECOND, what, more));
    assert_string_equal(more, "; 7 more like it were not logged");
    assert_true(news_may_log(&news, 7 * SECOND, what, more));
    assert_string_equal(more, "");
}

static void kinds_do_not_hide_each_other(void **state)
{
    struct news news = {0};
    char more[NEWS_MORE];

    (void)state;
    assert_true(news_may_log(&news, SECOND, "one", more));
    assert_true(news_may_log(&news, SECOND, "two", more));
    assert_false(news_may_log(&news, SECOND + 1, "one", more));
}

static void more_kinds_than_there_is_room_for_push_out_the_quietest(void **state)
{
    static char names[NEWS_KINDS + 1][2];
    struct news news = {0};
    char more[NEWS_MORE];

    (void)state;
    for (int i = 0; i <= NEWS_KINDS; i++)
        assert_true(news_may_log(&news, SECOND + i, names[i], more));
    assert_false(news_may_log(&news, SECOND + 50, names[NEWS_KINDS], more));
    assert_false(news_may_log(&news, SECOND + 50, names[1], more));
    assert_true(news_may_log(&news, SECOND + 50, names[0], more));
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
