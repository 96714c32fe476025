/* An overload gets one line when it begins and one when it is over, however it fell between two
 * looks. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/overload_log.h"

#define S INT64_C(1000000)

static struct fixture {
    struct overload_log log;
    struct limiter_snapshot now;
    int said, real_stderr;
    char text[4096];
} fx;

/* All that a look logs. */
static const char *looks(void)
{
    overload_log_look(&fx.log, &fx.now);
    ssize_t n = read(fx.said, fx.text, sizeof(fx.text) - 1);
    fx.text[n > 0 ? n : 0] = '\0';
    return fx.text;
}

static void an_overload_begins(enum overload_cause cause)
{
    fx.now.overload = true;
    fx.now.overloads[cause]++;
    fx.now.last = (struct limiter_overload_begin){.cause = cause,
                                                  .at = 7 * S,
                                                  .depth = 42,
                                                  .turnover = 2 * S + S / 10,
                                                  .oldest = 6 * S / 10,
                                                  .patience = S / 2,
                                                  .allowance = S / 4};
}

static void it_ends_after(mono_us time)
{
    fx.now.overload = false;
    fx.now.overload_us += (uint64_t)time;
}

static int set_up(void **state)
{
    int ends[2];

    (void)state;
    memset(&fx, 0, sizeof(fx));
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    fx.said = ends[0];
    fx.real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    dup2(fx.real_stderr, STDERR_FILENO);
    close(fx.real_stderr);
    close(fx.said);
    return 0;
}

static void without_an_overload_nothing_is_logged(void **state)
{
    (void)state;
    assert_string_equal(looks(), "");
    fx.now.admitted = 1000;
    fx.now.depth = 20;
    assert_string_equal(looks(), "");
}

static void its_beginning_names_the_cause_and_the_figures(void **state)
{
    (void)state;
    looks();
    an_overload_begins(OVERLOAD_CROWDED);
    assert_non_null(strstr(
        looks(), "warning: overload: begins (crowded; 42 requests wait, about "
                 "2.1 s of work, the oldest for 0.6 s; clients accept "
                 "waits of up to 0.5 s; a request may wait 0.25 s before others pass it)\n"));
    assert_string_equal(looks(), "");
}

static void what_is_not_known_is_not_given_as_a_number(void **state)
{
    (void)state;
    an_overload_begins(OVERLOAD_HOPELESS);
    fx.now.last.patience = MONO_NEVER;
    fx.now.last.oldest = -1;
    assert_non_null(strstr(looks(), "(hopeless; 42 requests wait, about 2.1 s of work, the oldest "
                                    "for 0 s; how long clients wait is not known; a "));
}

static void its_end_counts_what_became_of_the_requests_since_the_look_before_it(void **state)
{
    (void)state;
    fx.now.admitted = 1000;
    fx.now.cancelled = 5;
    fx.now.overload_us = 30 * (uint64_t)S;
    looks();
    an_overload_begins(OVERLOAD_WASTE);
    fx.now.admitted = 1100;
    looks();
    looks();
    it_ends_after(12 * S + S / 2);
    fx.now.admitted = 2250;
    fx.now.wasted = 3;
    fx.now.cancelled = 1205;
    fx.now.shed_full = 7;
    fx.now.shed_bytes = 2;
    fx.now.evicted = 17;
    fx.now.expired = 4;
    assert_non_null(strstr(looks(),
                           "info: overload: over after 12.5 s (1250 requests dispatched, 3 "
                           "of them in vain; 1200 left by their clients in the queue, 9 "
                           "refused by the full queue, 17 evicted, 4 timed out)\n"));
    assert_string_equal(looks(), "");
}

static void one_that_fell_between_two_looks_has_both_lines(void **state)
{
    (void)state;
    looks();
    an_overload_begins(OVERLOAD_HOPELESS);
    it_ends_after(S / 5);
    looks();
    assert_non_null(strstr(fx.text, "overload: begins (hopeless;"));
    assert_non_null(strstr(fx.text, "overload: over after 0.2 s"));
    assert_string_equal(looks(), "");
}

static void one_that_ended_and_began_again_between_two_looks_goes_on(void **state)
{
    (void)state;
    an_overload_begins(OVERLOAD_HOPELESS);
    looks();
    it_ends_after(S);
    an_overload_begins(OVERLOAD_CROWDED);
    assert_string_equal(looks(), "");
    it_ends_after(S);
    assert_non_null(strstr(looks(), "overload: over after 2 s"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_an_overload_nothing_is_logged),
        TEST(its_beginning_names_the_cause_and_the_figures),
        TEST(what_is_not_known_is_not_given_as_a_number),
        TEST(its_end_counts_what_became_of_the_requests_since_the_look_before_it),
        TEST(one_that_fell_between_two_looks_has_both_lines),
        TEST(one_that_ended_and_began_again_between_two_looks_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
