/* The metrics page: its series and their values. */
#include <math.h>

#include "tests/unit/proxy/stats_fixture.h"

static void the_first_scrape_has_every_series_with_zero(void **state)
{
    struct stats_now now = quiet();
    scrape(*state, &now);
    expect("weir_queue_wait_seconds_count", "0");
    expect("weir_queue_waits_total{outcome=\"drained\"}", "0");
    expect("weir_queue_waited_seconds_total{outcome=\"client_gone\"}", "0");
    expect("weir_request_duration_seconds_count{source=\"weir\"}", "0");
    expect("weir_requests_rejected_total{reason=\"queue_full\"}", "0");
    expect("weir_requests_rejected_total{reason=\"bytes\"}", "0");
    expect("weir_requests_total{code=\"200\",source=\"app\"}", "0");
    expect("weir_requests_total{code=\"505\",source=\"weir\"}", "0");
    expect("weir_requests_total{code=\"499\",source=\"client_gone\"}", "0");
    expect("weir_connections{side=\"upstream\",state=\"idle\"}", "0");
    expect("weir_upstream_connections_total{result=\"replayed\"}", "0");
    expect("weir_buffered_bytes{what=\"response\"}", "0");
    expect("weir_orphan_hold_seconds_count", "0");
    expect("weir_accounting_error_total", "0");
    expect("weir_build_info{version=\"" WEIR_VERSION "\",revision=\"" WEIR_REVISION "\"}", "1");
    assert_non_null(exposition_value(&page, "process_open_fds"));
    print_message("series: %zu in %zu families\n", page.n, page.families);
    assert_in_range(page.n, 1, 600); /* 156 of them for the wait */
}

static void what_the_limiter_says_is_passed_on(void **state)
{
    struct stats_now now = quiet();
    now.limiter = (struct limiter_snapshot){
        .limit = 7,
        .queue_length = 70,
        .in_flight = 6,
        .depth = 5,
        .class_depth = {4, 1},
        .oldest_wait = 1234567,
        .drain = 40,
        .in_flight_us = 9007199254740993,
        .queued_us = 500000,
        .saturated_us = 1,
        .accounting_errors = 2,
        .bytes = 12345,
        .paused = LIMITER_PAUSE_OPERATOR | LIMITER_PAUSE_NOT_READY,
    };
    now.bypass = (struct stats_bypass){
        .limit = 4, .in_flight = 3, .queued = 1, .requests = {10, 20, 30}, .accounting_errors = 1};
    now.enforcing = true;
    now.agent = (struct stats_agent){.on = true, .weight = 37, .replies = {5, 6, 7}};
    now.upstream_ready = false;
    now.draining = now.reload_succeeded = true;
    now.reload_success = 1700000000500000;
    assert_false(stats_audit(stats_shard_of(*state, 1), &(struct stats_present){.begun = 1}));
    scrape(*state, &now);
    expect("weir_concurrency_limit", "7");
    expect("weir_queue_limit", "70");
    expect("weir_queue_timeout_seconds", "10");
    expect("weir_requests_in_flight", "6");
    expect("weir_queue_depth{class=\"default\"}", "5");
    expect("weir_queue_bytes", "12345");
    expect("weir_queue_limit_bytes", "67108864");
    expect("weir_buffered_limit_bytes", "5000000000");
    expect("weir_connections_limit{side=\"client\"}", "4096");
    expect("weir_connections_limit{side=\"upstream\"}", "11");
    expect("weir_enforcing", "1");
    expect("weir_agent_weight_percent", "37");
    expect("weir_agent_checks_total{reply=\"up\"}", "5");
    expect("weir_agent_checks_total{reply=\"drain\"}", "6");
    expect("weir_agent_checks_total{reply=\"down\"}", "7");
    expect("weir_bypass_limit", "4");
    expect("weir_bypass_in_flight", "3");
    expect("weir_bypass_requests_total{source=\"app\"}", "10");
    expect("weir_bypass_requests_total{source=\"weir\"}", "20");
    expect("weir_bypass_requests_total{source=\"client_gone\"}", "30");
    expect("weir_upgrades_limit", "79");
    expect("weir_queue_oldest_wait_seconds", "1.234567");
    expect("weir_queue_drain_seconds", "0.00004");
    expect("weir_request_seconds_total{state=\"in_flight\"}", "9007199254.740993");
    expect("weir_request_seconds_total{state=\"queued\"}", "0.5");
    expect("weir_saturated_seconds_total", "0.000001");
    expect("weir_paused", "1");
    expect("weir_draining", "1");
    expect("weir_config_last_reload_successful", "1");
    expect("weir_config_last_reload_success_timestamp_seconds", "1700000000.5");
    expect("weir_upstream_ready", "0");
    expect("weir_upstream_startup_seconds", "0.25");
    expect("weir_accounting_error_total", "4");
}

static void an_overload_shows_with_its_cause_and_what_is_known_of_clients(void **state)
{
    struct stats_now now = quiet();
    scrape(*state, &now);
    expect("weir_queue_overload", "0");
    expect("weir_queue_overloads_total{cause=\"waste\"}", "0");
    expect("weir_client_patience_seconds{quantile=\"0.5\"}", "+Inf");
    now.limiter.overload = true;
    now.limiter.overloads[OVERLOAD_CROWDED] = 3;
    now.limiter.overload_us = 1500000;
    now.limiter.allowance = 250000;
    now.limiter.overtaken = 11;
    now.limiter.wasted = 12;
    now.patience[0] = 400000;
    scrape(*state, &now);
    expect("weir_queue_overload", "1");
    expect("weir_queue_overloads_total{cause=\"hopeless\"}", "0");
    expect("weir_queue_overloads_total{cause=\"crowded\"}", "3");
    expect("weir_queue_overload_seconds_total", "1.5");
    expect("weir_queue_allowance_seconds", "0.25");
    expect("weir_queue_overtaken_total", "11");
    expect("weir_requests_wasted_total", "12");
    expect("weir_client_patience_seconds{quantile=\"0.1\"}", "0.4");
    expect("weir_client_patience_seconds{quantile=\"0.9\"}", "+Inf");
    now.limiter.allowance = MONO_NEVER;
    scrape(*state, &now);
    expect("weir_queue_allowance_seconds", "+Inf");
}

static void each_class_has_its_depth_with_its_long_lived_requests(void **state)
{
    struct stats_now now = quiet();
    now.classes = 2;
    now.class_names[1] = "gold";
    now.limiter.class_depth[0] = 5;
    now.limiter.class_depth[2] = 3;
    now.limiter.class_depth[3] = 1;
    scrape(*state, &now);
    expect("weir_queue_depth{class=\"default\"}", "5");
    expect("weir_queue_depth{class=\"gold\"}", "4");
}

static void a_dry_run_shows_and_limits_no_connections(void **state)
{
    struct stats_now now = quiet();

    now.enforcing = false;
    stats_queue_wait(stats_shard_of(*state, 0), STATS_DRY_RUN, 1500000);
    scrape(*state, &now);
    expect("weir_enforcing", "0");
    expect("weir_connections_limit{side=\"upstream\"}", "+Inf");
    expect("weir_queue_waits_total{outcome=\"dry_run\"}", "1");
    expect("weir_queue_waited_seconds_total{outcome=\"dry_run\"}", "1.5");
}

static void no_limit_and_no_timeout_are_infinite(void **state)
{
    struct stats_now now = quiet();
    now.limiter.limit = LIMITER_UNLIMITED;
    now.bypass.limit = 4;
    now.queue_timeout = MONO_NEVER;
    scrape(*state, &now);
    expect("weir_concurrency_limit", "+Inf");
    expect("weir_queue_timeout_seconds", "+Inf");
    expect("weir_connections_limit{side=\"upstream\"}", "+Inf");
}

static void an_unusual_code_appears_once_it_was_seen(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    scrape(*state, &now);
    assert_null(exposition_value(&page, "weir_requests_total{code=\"418\",source=\"app\"}"));
    size_t before = page.n;
    ends(sh, STATS_SOURCE_APP, 418);
    ends(sh, STATS_SOURCE_APP, 100);
    ends(sh, STATS_SOURCE_APP, 599);
    ends(stats_shard_of(*state, 1), STATS_SOURCE_APP, 200);
    ends(sh, STATS_SOURCE_APP, 200);
    ends(sh, STATS_SOURCE_WEIR, 503);
    ends(sh, STATS_SOURCE_CLIENT_GONE, 499);
    scrape(*state, &now);
    expect("weir_requests_total{code=\"418\",source=\"app\"}", "1");
    expect("weir_requests_total{code=\"100\",source=\"app\"}", "1");
    expect("weir_requests_total{code=\"599\",source=\"app\"}", "1");
    expect("weir_requests_total{code=\"200\",source=\"app\"}", "2");
    expect("weir_requests_total{code=\"503\",source=\"weir\"}", "1");
    expect("weir_requests_total{code=\"503\",source=\"app\"}", "0");
    expect("weir_requests_total{code=\"499\",source=\"client_gone\"}", "1");
    assert_int_equal(page.n, before + 3);
}

static void an_invalid_code_still_counts_as_a_response(void **state)
{
    struct stats_now now = quiet();
    ends(stats_shard_of(*state, 0), STATS_SOURCE_APP, 99);
    ends(stats_shard_of(*state, 0), STATS_SOURCE_APP, 600);
    ends(stats_shard_of(*state, 0), STATS_SOURCE_APP, 4000000000u);
    scrape(*state, &now);
    expect("weir_requests_total{code=\"other\",source=\"app\"}", "3");
}

static size_t series_of_app_codes(void)
{
    size_t n = 0;

    for (size_t i = 0; i < page.n; i++)
        n += strncmp(page.at[i].series, "weir_requests_total{", 20) == 0 &&
             strstr(page.at[i].series, "source=\"app\"") != NULL;
    return n;
}

static void an_app_that_sends_every_code_makes_at_most_501_series(void **state)
{
    struct stats_now now = quiet();
    for (unsigned code = 0; code < 2000; code++)
        ends(stats_shard_of(*state, 0), STATS_SOURCE_APP, code);
    scrape(*state, &now);
    assert_int_equal(series_of_app_codes(), 501);
    expect("weir_requests_total{code=\"599\",source=\"app\"}", "1");
    expect("weir_requests_total{code=\"other\",source=\"app\"}", "1500");
}

static void wait_of(struct stats *s, unsigned shard, unsigned char id, mono_us us)
{
    struct record r = {.traced = true};

    memset(r.trace, id, sizeof(r.trace));
    stats_queue_wait(stats_shard_of(s, shard), STATS_DISPATCHED, us);
    stats_wait_exemplar(stats_shard_of(s, shard), &r, us);
}

/* The line of the page that begins with `series`, without it. */
static const char *line_of(const struct strbuf *out, const char *series)
{
    static char line[300];
    const char *at = strstr(strbuf_cstr(out), series);

    assert_non_null(at);
    at += strlen(series);
    snprintf(line, sizeof(line), "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

static void in_openmetrics_a_wait_has_the_trace_id_of_the_latest_request(void **state)
{
    struct stats_now now = quiet();
    struct strbuf out = {0};

    wait_of(*state, 0, 0x0f, 0);
    wait_of(*state, 0, 0xa1, 900);
    wait_of(*state, 1, 0xb2, 800);
    metrics_page_write(*state, &now, PROMETHEUS_OPENMETRICS, &out);
    const char *zero = line_of(&out, "weir_queue_wait_seconds_bucket{le=\"0\"}");
    assert_non_null(strstr(zero, " 1 # {trace_id=\"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f\"} 0 "));
    const char *next = line_of(&out, "weir_queue_wait_seconds_bucket{le=\"0.001\"}");
    assert_non_null(strstr(next, "2b2\"} 0.0008 "));
    assert_true(fabs(strtod(strrchr(next, ' '), NULL) - (double)clock_wall() / 1e6) < 60);
    assert_null(strchr(line_of(&out, "weir_queue_wait_seconds_bucket{le=\"+Inf\"}"), '#'));
    assert_string_equal(out.at + out.len - 6, "# EOF\n");
    assert_non_null(strstr(out.at, "# TYPE weir_requests counter\n"));
    strbuf_clear(&out);
    metrics_page_write(*state, &now, PROMETHEUS_TEXT, &out);
    assert_null(strstr(out.at, "trace_id"));
    assert_null(strstr(out.at, "EOF"));
    strbuf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_scrape_has_every_series_with_zero),
        TEST(what_the_limiter_says_is_passed_on),
        TEST(an_overload_shows_with_its_cause_and_what_is_known_of_clients),
        TEST(each_class_has_its_depth_with_its_long_lived_requests),
        TEST(no_limit_and_no_timeout_are_infinite),
        TEST(a_dry_run_shows_and_limits_no_connections),
        TEST(an_unusual_code_appears_once_it_was_seen),
        TEST(an_invalid_code_still_counts_as_a_response),
        TEST(in_openmetrics_a_wait_has_the_trace_id_of_the_latest_request),
        TEST(an_app_that_sends_every_code_makes_at_most_501_series),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
