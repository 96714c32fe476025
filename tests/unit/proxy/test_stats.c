#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proxy/stats.h"
#include "tests/unit/common/exposition.h"

static struct exposition page;

#define S INT64_C(1000000)

/* As by default; cmocka's fixtures make the stats from it. */
static const struct config config = {
    .upstream = {.connect_timeout = 2 * S, .first_byte_timeout = 300 * S, .idle_timeout = 300 * S},
    .queue = {.timeout = 10 * S},
    .client = {.head_timeout = 10 * S, .body_timeout = 30 * S, .send_timeout = 60 * S},
    .startup = {.timeout = 240 * S},
};

static struct stats_now quiet(void)
{
    return (struct stats_now){
        .limiter = {.limit = 80, .queue_length = 800},
        .queue_timeout = 10000000,
        .queue_max_bytes = 1 << 26,
        .buffers_budget = 5000000000,
        .client_connections_max = 4096,
        .upgrades_max = 79,
        .upstream_ready = true,
        .upstream_startup = 250000,
    };
}

static void scrape(struct stats *s, const struct stats_now *now)
{
    struct strbuf out = {0};
    stats_write(s, now, &out);
    if (!exposition_read(&page, strbuf_cstr(&out)))
        fail_msg("%s", page.wrong);
    strbuf_fini(&out);
}

static void expect(const char *series, const char *want)
{
    const char *got = exposition_value(&page, series);
    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("%s is %s, wanted %s", series, got == NULL ? "not there" : got, want);
}

static int fresh(void **state)
{
    *state = stats_new(2, &config);
    return 0;
}

static int done(void **state)
{
    stats_free(*state);
    return 0;
}

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
    assert_in_range(page.n, 1, 370); /* 138 of them are the wait's */
}

static void what_the_limiter_says_is_passed_on(void **state)
{
    struct stats_now now = quiet();
    now.limiter = (struct limiter_snapshot){
        .limit = 7,
        .queue_length = 70,
        .in_flight = 6,
        .depth = 5,
        .oldest_wait = 1234567,
        .drain = 40,
        .in_flight_us = 9007199254740993,
        .queued_us = 500000,
        .saturated_us = 1,
        .accounting_errors = 2,
        .bytes = 12345,
    };
    now.upstream_ready = false;
    assert_false(stats_audit(stats_shard_of(*state, 1), &(struct stats_present){.begun = 1}));
    scrape(*state, &now);
    expect("weir_concurrency_limit", "7");
    expect("weir_queue_limit", "70");
    expect("weir_queue_timeout_seconds", "10");
    expect("weir_requests_in_flight", "6");
    expect("weir_queue_depth", "5");
    expect("weir_queue_bytes", "12345");
    expect("weir_queue_limit_bytes", "67108864");
    expect("weir_buffered_limit_bytes", "5000000000");
    expect("weir_connections_limit{side=\"client\"}", "4096");
    expect("weir_connections_limit{side=\"upstream\"}", "7");
    expect("weir_upgrades_limit", "79");
    expect("weir_queue_oldest_wait_seconds", "1.234567");
    expect("weir_queue_drain_seconds", "0.00004");
    expect("weir_request_seconds_total{state=\"in_flight\"}", "9007199254.740993");
    expect("weir_request_seconds_total{state=\"queued\"}", "0.5");
    expect("weir_saturated_seconds_total", "0.000001");
    expect("weir_upstream_ready", "0");
    expect("weir_upstream_startup_seconds", "0.25");
    expect("weir_accounting_error_total", "3");
}

static void no_limit_and_no_timeout_are_infinite(void **state)
{
    struct stats_now now = quiet();
    now.limiter.limit = LIMITER_UNLIMITED;
    now.queue_timeout = MONO_NEVER;
    scrape(*state, &now);
    expect("weir_concurrency_limit", "+Inf");
    expect("weir_queue_timeout_seconds", "+Inf");
    expect("weir_connections_limit{side=\"upstream\"}", "+Inf");
}

#define WAIT(le) "weir_queue_wait_seconds_bucket{le=\"" le "\"}"

static void only_a_wait_of_exactly_nothing_is_in_the_bucket_of_zero(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    stats_queue_wait(sh, STATS_DISPATCHED, 0);
    stats_queue_wait(sh, STATS_DISPATCHED, 0);
    stats_queue_wait(sh, STATS_DISPATCHED, 1);
    stats_queue_wait(sh, STATS_DISPATCHED, 1000);
    stats_queue_wait(sh, STATS_DISPATCHED, 1001);
    stats_queue_wait(sh, STATS_TIMEOUT, 10000001);
    stats_queue_wait(sh, STATS_DISPATCHED, 300000001);
    scrape(*state, &now);
    expect(WAIT("0"), "2");
    expect(WAIT("0.001"), "4");
    expect(WAIT("0.0013"), "5");
    expect(WAIT("10"), "5");
    expect(WAIT("10.1"), "6");
    expect(WAIT("242.4"), "6");
    expect(WAIT("+Inf"), "7");
    expect("weir_queue_wait_seconds_sum", "310.002004");
    expect("weir_queue_waited_seconds_total{outcome=\"dispatched\"}", "300.002003");
    expect("weir_queue_waits_total{outcome=\"dispatched\"}", "6");
    expect("weir_queue_waits_total{outcome=\"timeout\"}", "1");
}

/* `les` ends with "+Inf". */
static void expect_bounds(const char *series, const char *labels, const char *const *les)
{
    char want[120];
    size_t seen = 0, n = 0;
    snprintf(want, sizeof(want), "%s_bucket{%s", series, labels);
    for (size_t i = 0; i < page.n; i++)
        seen += strncmp(page.at[i].series, want, strlen(want)) == 0;
    do {
        snprintf(want, sizeof(want), "%s_bucket{%sle=\"%s\"}", series, labels, les[n]);
        expect(want, "0");
    } while (strcmp(les[n++], "+Inf") != 0);
    assert_int_equal(seen, n);
}

static void bounds_are_round_and_just_above_each_timeout(void **state)
{
    static const char *const request[] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25",
                                          "0.5",   "1",    "2.5",   "5",    "10",  "10.1",
                                          "30",    "30.3", "60",    "303",  "+Inf"};
    static const char *const hold[] = {"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1",
                                       "2.5",   "5",    "10",    "30",   "60",  "303",  "+Inf"};
    static const char *const connect[] = {"0", "0.001", "0.01", "0.1", "1", "2.02", "+Inf"};
    static const char *const orphan[] = {"0", "0.001", "0.01", "0.1", "1", "10", "303", "+Inf"};
    static const char *const body[] = {"0", "0.001", "0.01", "0.1", "1", "10", "30.3", "+Inf"};
    static const char *const delivery[] = {"0", "0.001", "0.01", "0.1", "1", "10", "60.6", "+Inf"};
    static const char *const upgrade[] = {"1", "10", "60", "300", "1800", "3600", "14400", "+Inf"};
    struct stats_now now = quiet();
    scrape(*state, &now);
    expect_bounds("weir_request_duration_seconds", "source=\"weir\",", request);
    expect_bounds("weir_slot_hold_seconds", "", hold);
    expect_bounds("weir_upstream_first_byte_seconds", "", hold);
    expect_bounds("weir_upstream_connect_seconds", "", connect);
    expect_bounds("weir_orphan_hold_seconds", "", orphan);
    expect_bounds("weir_request_body_wait_seconds", "", body);
    expect_bounds("weir_response_delivery_seconds", "", delivery);
    expect_bounds("weir_upgrade_duration_seconds", "", upgrade);
}

static void every_outcome_and_every_phase_has_its_own_numbers(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 1);
    stats_queue_wait(sh, STATS_TIMEOUT, 1);
    stats_queue_wait(sh, STATS_CLIENT_GONE, 2);
    stats_queue_wait(sh, STATS_DRAINED, 4);
    stats_request_duration(sh, STATS_BY_APP, 5);
    stats_request_duration(sh, STATS_BY_WEIR, 10);
    stats_request_duration(sh, STATS_BY_NOBODY, 11);
    stats_connect(sh, 6);
    stats_first_byte(sh, 7);
    stats_slot_hold(sh, 8);
    stats_delivery(sh, 9);
    scrape(*state, &now);
    expect("weir_queue_waited_seconds_total{outcome=\"timeout\"}", "0.000001");
    expect("weir_queue_waited_seconds_total{outcome=\"client_gone\"}", "0.000002");
    expect("weir_queue_waited_seconds_total{outcome=\"drained\"}", "0.000004");
    expect("weir_queue_waited_seconds_total{outcome=\"dispatched\"}", "0");
    expect("weir_queue_wait_seconds_sum", "0.000007");
    expect("weir_queue_wait_seconds_count", "3");
    expect("weir_request_duration_seconds_sum{source=\"app\"}", "0.000005");
    expect("weir_request_duration_seconds_sum{source=\"weir\"}", "0.00001");
    expect("weir_request_duration_seconds_sum{source=\"client_gone\"}", "0.000011");
    expect("weir_upstream_connect_seconds_sum", "0.000006");
    expect("weir_upstream_first_byte_seconds_sum", "0.000007");
    expect("weir_slot_hold_seconds_sum", "0.000008");
    expect("weir_response_delivery_seconds_sum", "0.000009");
}

/* Each of what stats_audit() compares, and each way in which it can be wrong. */
static void an_audit_finds_what_the_numbers_do_not_account_for(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    const struct stats_present right = {
        .begun = 5, .requests = 3, .holding = 2, .orphans = 1, .upgrades = 1};
    stats_answered(sh, STATS_BY_APP, 200);
    stats_answered(sh, STATS_BY_NOBODY, 499);
    for (int i = 0; i < 4; i++)
        stats_queue_wait(sh, STATS_DISPATCHED, 0);
    stats_slot_hold(sh, 10);
    stats_slot_hold(sh, 10);
    stats_orphan_begins(sh);
    stats_orphan_begins(sh);
    stats_orphan_ends(sh, 5);
    stats_upgrade_begins(sh);
    assert_true(stats_audit(sh, &right));

    const struct stats_present wrong[] = {
        {.begun = 6, .requests = 3, .holding = 2, .orphans = 1, .upgrades = 1},
        {.begun = 5, .requests = 2, .holding = 2, .orphans = 1, .upgrades = 1},
        {.begun = 5, .requests = 3, .holding = 1, .orphans = 1, .upgrades = 1},
        {.begun = 5, .requests = 3, .holding = 3, .orphans = 1, .upgrades = 1},
        {.begun = 5, .requests = 3, .holding = 2, .orphans = 1, .upgrades = 0},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(stats_audit(sh, &wrong[i]));
    scrape(*state, &now);
    expect("weir_accounting_error_total", "5");

    struct stats_present two = right;
    two.orphans = 0; /* neither the level nor the sum */
    assert_false(stats_audit(sh, &two));
    scrape(*state, &now);
    expect("weir_accounting_error_total", "7");
}

/* One that leaves while its slot is on its way holds it for a moment, and counts as gone. */
static void an_audit_allows_for_a_slot_whose_client_has_left(void **state)
{
    struct stats_shard *sh = stats_shard_of(*state, 0);
    stats_queue_wait(sh, STATS_CLIENT_GONE, 3);
    stats_queue_wait(sh, STATS_CLIENT_GONE, 3);
    stats_slot_hold(sh, 1);
    assert_true(stats_audit(sh, &(struct stats_present){0}));
    stats_slot_hold(sh, 1);
    stats_slot_hold(sh, 1);
    assert_false(stats_audit(sh, &(struct stats_present){0}));
}

static void an_unusual_code_appears_once_it_was_seen(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    scrape(*state, &now);
    assert_null(exposition_value(&page, "weir_requests_total{code=\"418\",source=\"app\"}"));
    size_t before = page.n;
    stats_answered(sh, STATS_BY_APP, 418);
    stats_answered(sh, STATS_BY_APP, 100);
    stats_answered(sh, STATS_BY_APP, 599);
    stats_answered(stats_shard_of(*state, 1), STATS_BY_APP, 200);
    stats_answered(sh, STATS_BY_APP, 200);
    stats_answered(sh, STATS_BY_WEIR, 503);
    stats_answered(sh, STATS_BY_NOBODY, 0);
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

static void a_code_that_is_none_still_counts_as_an_answer(void **state)
{
    struct stats_now now = quiet();
    stats_answered(stats_shard_of(*state, 0), STATS_BY_APP, 99);
    stats_answered(stats_shard_of(*state, 0), STATS_BY_APP, 600);
    stats_answered(stats_shard_of(*state, 0), STATS_BY_APP, 4000000000u);
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
        stats_answered(stats_shard_of(*state, 0), STATS_BY_APP, code);
    scrape(*state, &now);
    assert_int_equal(series_of_app_codes(), 501);
    expect("weir_requests_total{code=\"599\",source=\"app\"}", "1");
    expect("weir_requests_total{code=\"other\",source=\"app\"}", "1500");
}

static void levels_go_up_and_down_across_shards(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *a = stats_shard_of(*state, 0), *b = stats_shard_of(*state, 1);
    stats_connection(a, STATS_CLIENT, STATS_ACTIVE, 3);
    stats_connection(b, STATS_CLIENT, STATS_ACTIVE, -1);
    stats_connection(b, STATS_UPSTREAM, STATS_IDLE, 4);
    stats_connection(b, STATS_CLIENT, STATS_IDLE, -2); /* seen before its other half */
    stats_buffered(a, STATS_RESPONSE, 5000000000);
    stats_buffered(b, STATS_RESPONSE, -4999999999);
    stats_buffered(b, STATS_REQUEST, 7);
    stats_upgrade_begins(a);
    stats_upgrade_begins(b);
    stats_upgrade_ends(b, 3000000);
    stats_body_wait(a, 1000000);
    stats_backpressure(a, 1250000);
    stats_orphan_begins(a);
    stats_orphan_begins(a);
    stats_orphan_ends(a, 2000000);
    stats_upstream(a, STATS_FAILED);
    stats_rejected(b, STATS_UPGRADES);
    scrape(*state, &now);
    expect("weir_connections{side=\"client\",state=\"active\"}", "2");
    expect("weir_connections{side=\"client\",state=\"idle\"}", "0");
    expect("weir_connections{side=\"upstream\",state=\"active\"}", "0");
    expect("weir_connections{side=\"upstream\",state=\"idle\"}", "4");
    expect("weir_buffered_bytes{what=\"response\"}", "1");
    expect("weir_buffered_bytes{what=\"request\"}", "7");
    expect("weir_upgrades_in_flight", "1");
    expect("weir_upgrade_duration_seconds_sum", "3");
    expect("weir_request_body_wait_seconds_count", "1");
    expect("weir_client_backpressure_seconds_total", "1.25");
    expect("weir_orphans_in_flight", "1");
    expect("weir_requests_orphaned_total", "2");
    expect("weir_orphan_hold_seconds_sum", "2");
    expect("weir_orphan_hold_seconds_count", "1");
    expect("weir_upstream_connections_total{result=\"failed\"}", "1");
    expect("weir_requests_rejected_total{reason=\"upgrades\"}", "1");
}

/* Status: found by path, as an integer. */
static json_int_t at(json_t *root, const char *a, const char *b, const char *c)
{
    json_t *v = json_object_get(json_object_get(json_object_get(root, a), b), c);
    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static json_t *status(struct stats *s, const struct stats_now *now)
{
    struct strbuf out = {0};
    json_error_t error;
    stats_write_json(s, now, &out);
    json_t *root = json_loads(strbuf_cstr(&out), JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s in %s", error.text, strbuf_cstr(&out));
    strbuf_fini(&out);
    return root;
}

static void status_is_one_json_object_with_the_same_numbers(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    now.limiter.in_flight = 3;
    now.limiter.oldest_wait = 1500000;
    stats_answered(sh, STATS_BY_APP, 200);
    stats_answered(sh, STATS_BY_APP, 404);
    stats_answered(sh, STATS_BY_WEIR, 503);
    stats_rejected(sh, STATS_QUEUE_FULL);
    stats_queue_wait(sh, STATS_DISPATCHED, 0);
    stats_queue_wait(sh, STATS_DISPATCHED, 2500000);
    json_t *root = status(*state, &now);
    assert_int_equal(json_integer_value(json_object_get(root, "limit")), 80);
    assert_int_equal(json_integer_value(json_object_get(root, "in_flight")), 3);
    json_t *queue = json_object_get(root, "queue");
    assert_int_equal(json_integer_value(json_object_get(queue, "limit")), 800);
    assert_int_equal(json_integer_value(json_object_get(queue, "limit_bytes")), 1 << 26);
    json_t *clients = json_object_get(root, "clients");
    assert_int_equal(json_integer_value(json_object_get(clients, "limit")), 4096);
    assert_true(json_number_value(json_object_get(queue, "oldest_wait_seconds")) == 1.5);
    assert_true(json_is_false(json_object_get(queue, "paused")));
    assert_true(json_is_true(json_object_get(json_object_get(root, "upstream"), "ready")));
    assert_int_equal(at(root, "totals", "requests", "app"), 2);
    assert_int_equal(at(root, "totals", "requests", "weir"), 1);
    assert_int_equal(at(root, "totals", "rejected", "queue_full"), 1);
    json_t *waits = json_object_get(root, "totals");
    assert_int_equal(at(waits, "waits", "dispatched", "count"), 2);
    json_t *none = json_object_get(json_object_get(waits, "waits"), "without_wait");
    assert_int_equal(json_integer_value(none), 1);
    json_decref(root);
}

static void status_says_unlimited_in_a_word_and_never_as_null(void **state)
{
    struct stats_now now = quiet();
    now.limiter.limit = LIMITER_UNLIMITED;
    now.queue_timeout = MONO_NEVER;
    json_t *root = status(*state, &now);
    assert_string_equal(json_string_value(json_object_get(root, "limit")), "unlimited");
    assert_true(json_is_null(json_object_get(json_object_get(root, "queue"), "timeout_seconds")));
    json_decref(root);
}

enum { ROUNDS = 50000 };

static void *record(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        stats_answered(arg, STATS_BY_APP, 200);
        stats_queue_wait(arg, STATS_DISPATCHED, 1);
    }
    return NULL;
}

static void shards_are_written_by_their_threads_while_another_reads(void **state)
{
    struct stats_now now = quiet();
    pthread_t thread[2];
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, record, stats_shard_of(*state, i)), 0);
    for (int i = 0; i < 5; i++)
        scrape(*state, &now);
    for (int i = 0; i < 2; i++)
        pthread_join(thread[i], NULL);
    scrape(*state, &now);
    expect("weir_requests_total{code=\"200\",source=\"app\"}", "100000");
    expect("weir_queue_wait_seconds_sum", "0.1");
    expect("weir_queue_waits_total{outcome=\"dispatched\"}", "100000");
}

static void the_documentation_is_what_the_table_says(void **state)
{
    (void)state;
    struct strbuf want = {0}, got = {0};
    char part[4096];
    stats_write_docs(&want);
    FILE *f = fopen("docs/metrics.md", "re");
    assert_non_null(f);
    for (size_t n; (n = fread(part, 1, sizeof(part), f)) > 0;)
        strbuf_add(&got, part, n);
    fclose(f);
    if (strcmp(strbuf_cstr(&got), strbuf_cstr(&want)) != 0)
        fail_msg("docs/metrics.md is stale: write it anew with `test_stats docs`");
    strbuf_fini(&want);
    strbuf_fini(&got);
}

static int print_docs(void)
{
    struct strbuf out = {0};
    stats_write_docs(&out);
    size_t n = fwrite(out.at, 1, out.len, stdout);
    int failed = n != out.len || fflush(stdout) != 0;
    strbuf_fini(&out);
    return failed;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_scrape_has_every_series_with_zero),
        TEST(what_the_limiter_says_is_passed_on),
        TEST(no_limit_and_no_timeout_are_infinite),
        TEST(only_a_wait_of_exactly_nothing_is_in_the_bucket_of_zero),
        TEST(bounds_are_round_and_just_above_each_timeout),
        TEST(every_outcome_and_every_phase_has_its_own_numbers),
        TEST(an_audit_finds_what_the_numbers_do_not_account_for),
        TEST(an_audit_allows_for_a_slot_whose_client_has_left),
        TEST(an_unusual_code_appears_once_it_was_seen),
        TEST(a_code_that_is_none_still_counts_as_an_answer),
        TEST(an_app_that_sends_every_code_makes_at_most_501_series),
        TEST(levels_go_up_and_down_across_shards),
        TEST(status_is_one_json_object_with_the_same_numbers),
        TEST(status_says_unlimited_in_a_word_and_never_as_null),
        TEST(shards_are_written_by_their_threads_while_another_reads),
        TEST(the_documentation_is_what_the_table_says),
    };
    if (argc == 2 && strcmp(argv[1], "docs") == 0)
        return print_docs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
