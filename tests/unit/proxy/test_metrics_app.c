/* The metrics of the app, and that unknown values are left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/metrics_app.h"

static struct stats_now now;
static struct stats_reading r = {.now = &now};
static struct strbuf out;

static int set_up(void **state)
{
    (void)state;
    memset(&now, 0, sizeof(now));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_fini(&out);
    out = (struct strbuf){0};
    return 0;
}

static void prints(metrics_print_fn *print, const char *samples)
{
    const struct metrics_family f = {.name = "m"};

    strbuf_clear(&out);
    print(&f, &r, &out);
    assert_string_equal(strbuf_cstr(&out), samples);
}

static void the_state_is_one_of_five(void **state)
{
    (void)state;
    now.app.verdict = VERDICT_LOOP_BLOCKED;
    prints(metrics_app_state, "m{state=\"ok\"} 0\nm{state=\"pool_full\"} 0\n"
                              "m{state=\"loop_blocked\"} 1\nm{state=\"starting\"} 0\n"
                              "m{state=\"down\"} 0\n");
}

static void what_is_not_known_is_left_out(void **state)
{
    static metrics_print_fn *const all[] = {
        metrics_app_parallelism,   metrics_app_hidden,          metrics_app_floor,
        metrics_app_unread,        metrics_app_accept_queue,    metrics_app_checks,
        metrics_app_failed_checks, metrics_app_own_accept_queue};

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        prints(all[i], "");
    metrics_app_json(&now.app, &out);
    assert_string_equal(strbuf_cstr(&out),
                        "{\"state\":\"ok\",\"parallelism\":null,\"hidden_queue\":null,"
                        "\"floor_seconds\":null,\"unread_requests\":null,\"accept_queue\":null,"
                        "\"stalled_seconds\":0}");
}

static void the_estimate_has_two_digits(void **state)
{
    (void)state;
    now.app.estimate = (struct estimate_reading){.hidden_valid = true, .floor = 1004500};
    prints(metrics_app_parallelism, "");
    prints(metrics_app_hidden, "m 0\n");
    prints(metrics_app_floor, "m 1.0045\n");
    now.app.estimate.valid = true;
    now.app.estimate.parallelism = 39.6789;
    now.app.estimate.hidden = 40.3211;
    prints(metrics_app_parallelism, "m 39.68\n");
    prints(metrics_app_hidden, "m 40.32\n");
}

static void values_that_the_kernel_reports(void **state)
{
    (void)state;
    now.app.told = now.app.own_told = true;
    now.app.unread = 3;
    now.app.accept_queue = 4;
    now.app.own_accept_queue = 5;
    now.app.stalled_us = 1500000;
    prints(metrics_app_unread, "m 3\n");
    prints(metrics_app_accept_queue, "m 4\n");
    prints(metrics_app_own_accept_queue, "m 5\n");
    strbuf_clear(&out);
    metrics_app_json(&now.app, &out);
    assert_string_equal(strbuf_cstr(&out),
                        "{\"state\":\"ok\",\"parallelism\":null,\"hidden_queue\":null,"
                        "\"floor_seconds\":null,\"unread_requests\":3,\"accept_queue\":4,"
                        "\"stalled_seconds\":1.5}");
}

static void the_checks_have_a_histogram(void **state)
{
    (void)state;
    now.app.checks = (struct stats_checks){.on = true, .us = 3000, .failed = 2};
    now.app.checks.bucket[1] = 2;
    prints(metrics_app_failed_checks, "m 2\n");
    strbuf_clear(&out);
    metrics_app_checks(&(struct metrics_family){.name = "m"}, &r, &out);
    assert_non_null(strstr(strbuf_cstr(&out), "m_bucket{le=\"0.001\"} 0\n"));
    assert_non_null(strstr(strbuf_cstr(&out), "m_bucket{le=\"0.0025\"} 2\n"));
    assert_non_null(strstr(strbuf_cstr(&out), "m_sum 0.003\nm_count 2\n"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_state_is_one_of_five),    T(what_is_not_known_is_left_out),
        T(the_estimate_has_two_digits), T(values_that_the_kernel_reports),
        T(the_checks_have_a_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
