/* The load report of a response: its two forms, what it includes, and how often it is renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/load_header.h"

#define MS   INT64_C(1000)
#define MOST 16

static struct limiter *limiter;
static struct limiter_waiter w[MOST];
static struct load_header h;
static mono_us now;

static int set_up(void **state)
{
    const struct limiter_config lc = {.queue_length = 1000, .queue_bytes = 1 << 20};

    (void)state;
    memset(w, 0, sizeof(w));
    memset(&h, 0, sizeof(h));
    now = 7000 * MS;
    limiter = limiter_new(&lc, now);
    assert_null(limiter_set_slots(limiter, 0, 8, now));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = MOST - 1; i >= 0; i--) {
        if (w[i].state == LIMITER_WAITING)
            assert_true(limiter_cancel(limiter, &w[i], now, LIMITER_CLIENT_LEFT));
    }
    for (int i = 0; i < MOST; i++) {
        if (w[i].state == LIMITER_HOLDING)
            assert_null(limiter_release(limiter, &w[i], now));
    }
    limiter_free(limiter);
    return 0;
}

static void arrives(unsigned i)
{
    struct limiter_waiter *ended;
    (void)!limiter_acquire(limiter, &w[i], now, MONO_NEVER, &ended);
}

static void leaves(unsigned i)
{
    assert_null(limiter_release(limiter, &w[i], now));
}

static void says(enum config_load kind, const char *name, const char *value)
{
    const struct span_pair *f = load_header_of(&h, kind, limiter, now);

    assert_true(span_equal(f->name, span_of(name)));
    if (!span_equal(f->value, span_of(value)))
        fail_msg("%.*s, not %s", (int)f->value.len, f->value.at, value);
}

static void says_plain(const char *value)
{
    says(CONFIG_LOAD_PLAIN, "Weir-Load", value);
}

static void says_orca(const char *value)
{
    says(CONFIG_LOAD_ORCA, "endpoint-load-metrics", value);
}

static void plain_has_the_numbers_of_this_moment(void **state)
{
    (void)state;
    says_plain("in_flight=0, limit=8, queued=0");
    for (unsigned i = 0; i < 11; i++)
        arrives(i);
    now += 1 * MS;
    says_plain("in_flight=8, limit=8, queued=3");
}

static void a_report_is_used_again_for_a_millisecond(void **state)
{
    (void)state;
    says_plain("in_flight=0, limit=8, queued=0");
    arrives(0);
    now += MS - 1;
    says_plain("in_flight=0, limit=8, queued=0");
    now++;
    says_plain("in_flight=1, limit=8, queued=0");
}

static void without_a_limit_there_is_none_in_it(void **state)
{
    (void)state;
    assert_null(limiter_set_slots(limiter, 0, LIMITER_UNLIMITED, now));
    arrives(0);
    says_plain("in_flight=1, queued=0");
    says_orca("TEXT named_metrics.queue_depth=0");
    leaves(0);
    now += 500 * MS;
    says_orca("TEXT rps_fractional=2.0, named_metrics.queue_depth=0");
}

static void orca_has_means_as_soon_as_they_are_known(void **state)
{
    (void)state;
    says_orca("TEXT named_metrics.queue_depth=0");
    for (unsigned i = 0; i < 10; i++)
        arrives(i);
    now += 499 * MS;
    says_orca("TEXT named_metrics.queue_depth=2");
    now += 1 * MS;
    says_orca(
        "TEXT application_utilization=1.250, rps_fractional=0.0, named_metrics.queue_depth=2");
    for (unsigned i = 8; i < 10; i++)
        assert_true(limiter_cancel(limiter, &w[i], now, LIMITER_CLIENT_LEFT));
    for (unsigned i = 0; i < 5; i++)
        leaves(i);
    now += 400 * MS;
    says_orca(
        "TEXT application_utilization=1.250, rps_fractional=0.0, named_metrics.queue_depth=0");
    now += 225 * MS;
    says_orca(
        "TEXT application_utilization=0.375, rps_fractional=8.0, named_metrics.queue_depth=0");
}

static void a_new_form_is_used_at_once(void **state)
{
    (void)state;
    says_orca("TEXT named_metrics.queue_depth=0");
    says_plain("in_flight=0, limit=8, queued=0");
    says_orca("TEXT named_metrics.queue_depth=0");
}

/* The largest numbers fit. */
static void the_longest_report_fits(void **state)
{
    (void)state;
    says_orca("TEXT named_metrics.queue_depth=0");
    h.means.in_flight_us = 0;
    h.means.queued_us = (uint64_t)-1 / 4 * 3;
    h.means.released = (uint64_t)-1 / 4 * 3;
    now += 500 * MS;
    const struct span_pair *f = load_header_of(&h, CONFIG_LOAD_ORCA, limiter, now);
    assert_in_range(f->value.len, 60, LOAD_HEADER_MAX - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plain_has_the_numbers_of_this_moment), TEST(a_report_is_used_again_for_a_millisecond),
        TEST(without_a_limit_there_is_none_in_it),  TEST(orca_has_means_as_soon_as_they_are_known),
        TEST(a_new_form_is_used_at_once),           TEST(the_longest_report_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
