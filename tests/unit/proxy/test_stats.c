/* Recorded values as shown by the page: waits, outcomes, gauges, the audit, and several threads. */
#include <pthread.h>

#include "tests/unit/proxy/stats_fixture.h"

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
    static const char *const orphan[] = {"0",    "0.001", "0.01", "0.1", "1",
                                         "1.01", "10",    "303",  "+Inf"};
    static const char *const body[] = {"0", "0.001", "0.01", "0.1", "1", "10", "30.3", "+Inf"};
    static const char *const delivery[] = {"0", "0.001", "0.01", "0.1", "1", "10", "60.6", "+Inf"};
    static const char *const send[] = {"0", "0.001", "0.01", "0.1", "1", "10", "303", "+Inf"};
    static const char *const lost[] = {"0",  "0.001", "0.01",  "0.1", "1",
                                       "10", "10.1",  "242.4", "+Inf"};
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
    expect_bounds("weir_upstream_send_seconds", "", send);
    expect_bounds("weir_queue_lost_wait_seconds", "outcome=\"evicted\",", lost);
}

static void every_outcome_and_every_phase_has_its_own_numbers(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 1);
    stats_queue_wait(sh, STATS_TIMEOUT, 1);
    stats_queue_wait(sh, STATS_CLIENT_GONE, 2);
    stats_queue_wait(sh, STATS_DRAINED, 4);
    struct record by_app = record_of(STATS_SOURCE_APP, 200, 5);
    struct record by_weir = record_of(STATS_SOURCE_WEIR, 503, 10);
    struct record by_client = record_of(STATS_SOURCE_CLIENT_GONE, 499, 11);
    by_app.complete = true;
    stats_reached(sh, &by_app, STATS_ENDED);
    stats_reached(sh, &by_weir, STATS_ENDED);
    stats_reached(sh, &by_client, STATS_ENDED);
    stats_connect(sh, 6);
    stats_slot_hold(sh, &by_app, 8);
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
    expect("weir_slot_hold_seconds_sum", "0.000008");
    expect("weir_response_delivery_seconds_sum", "0.000005");
    expect("weir_response_delivery_seconds_count", "1");
}

static void a_wait_without_a_slot_is_lost_and_counted_by_its_outcome(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);

    for (int outcome = 0; outcome < STATS_OUTCOMES; outcome++)
        stats_queue_wait(sh, (enum stats_outcome)outcome, outcome * 10);
    stats_queue_wait(sh, STATS_CLIENT_GONE, 0);
    scrape(*state, &now);
    expect("weir_queue_lost_wait_seconds_sum{outcome=\"timeout\"}", "0.00001");
    expect("weir_queue_lost_wait_seconds_sum{outcome=\"client_gone\"}", "0.00002");
    expect("weir_queue_lost_wait_seconds_sum{outcome=\"drained\"}", "0.00003");
    expect("weir_queue_lost_wait_seconds_sum{outcome=\"evicted\"}", "0.00004");
    expect("weir_queue_lost_wait_seconds_count{outcome=\"client_gone\"}", "2");
    expect("weir_queue_lost_wait_seconds_bucket{outcome=\"client_gone\",le=\"0\"}", "1");
    assert_null(exposition_value(&page, "weir_queue_lost_wait_seconds_sum{outcome=\"dry_run\"}"));
}

/* The phases of each request, which are those of its total. */
static void phases_are_summed_and_a_tunnels_are_not(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    struct record r = record_of(STATS_SOURCE_APP, 200, 0), tunnel = r;

    for (int p = 0; p <= RECORD_ORPHAN; p++)
        r.spent[p] = tunnel.spent[p] = 1 << p;
    tunnel.upgraded = true;
    stats_reached(sh, &r, STATS_ENDED);
    stats_reached(sh, &tunnel, STATS_UPGRADED);
    stats_reached(sh, &tunnel, STATS_ENDED);
    scrape(*state, &now);
    for (int p = 0; p < RECORD_PHASES; p++) {
        char series[80], want[24];
        snprintf(series, sizeof(series), "weir_request_phase_seconds_total{phase=\"%s\"}",
                 record_phase_names[p]);
        snprintf(want, sizeof(want), "%.6f", (1 << p) / 1e6);
        for (size_t n = strlen(want); want[n - 1] == '0'; n--)
            want[n - 1] = '\0';
        expect(series, want);
    }
    assert_null(exposition_value(&page, "weir_request_phase_seconds_total{phase=\"orphan\"}"));
    expect("weir_request_duration_seconds_sum{source=\"app\"}", "0.000511");
    expect("weir_upgrades_in_flight", "0");
}

static void phases_that_are_not_the_time_until_the_end_are_an_error(void **state)
{
    struct stats_now now = quiet();
    struct record r = record_of(STATS_SOURCE_APP, 200, 50);

    stats_reached(stats_shard_of(*state, 0), &r, STATS_ENDED);
    scrape(*state, &now);
    expect("weir_accounting_error_total", "0");
    r.spent[RECORD_QUEUE]++;
    stats_reached(stats_shard_of(*state, 0), &r, STATS_ENDED);
    scrape(*state, &now);
    expect("weir_accounting_error_total", "1");
}

/* The app may begin its response before it has all of the request, and after the client has left.
 */
static void the_first_byte_counts_from_the_last_byte_sent_or_the_first(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    struct record r = {.phase = RECORD_FIRST_BYTE};

    r.spent[RECORD_SEND] = 1;
    r.spent[RECORD_FIRST_BYTE] = 10;
    r.spent[RECORD_BACKPRESSURE] = 100;
    stats_reached(sh, &r, STATS_ANSWERED);
    scrape(*state, &now);
    expect("weir_upstream_send_seconds_sum", "0.000001");
    expect("weir_upstream_first_byte_seconds_sum", "0.00011");
    r.phase = RECORD_ORPHAN;
    r.spent[RECORD_ORPHAN] = 1000;
    stats_reached(sh, &r, STATS_ANSWERED);
    scrape(*state, &now);
    expect("weir_upstream_first_byte_seconds_sum", "0.00122");
    struct record early = {.phase = RECORD_SEND};
    early.spent[RECORD_SEND] = 5;
    stats_reached(sh, &early, STATS_ANSWERED);
    scrape(*state, &now);
    expect("weir_upstream_first_byte_seconds_sum", "0.001225");
    expect("weir_upstream_send_seconds_count", "3");
}

static void the_time_before_weir_is_that_of_requests_that_have_it(void **state)
{
    static const char *const bounds[] = {"0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25",
                                         "0.5",   "1",     "2.5",  "5",     "10",   "60",  "+Inf"};
    static const mono_us told[] = {-1, 0, 20000, 3600 * S};
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);

    scrape(*state, &now);
    expect_bounds("weir_request_before_seconds", "", bounds);
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        struct record r = record_of(STATS_SOURCE_APP, 200, 0);
        r.before = told[i];
        stats_reached(sh, &r, STATS_ENDED);
    }
    scrape(*state, &now);
    expect("weir_request_before_seconds_count", "3");
    expect("weir_request_before_seconds_sum", "3600.02");
    expect("weir_request_before_seconds_bucket{le=\"0.001\"}", "1");
    expect("weir_request_before_seconds_bucket{le=\"0.025\"}", "2");
    expect("weir_request_before_seconds_bucket{le=\"60\"}", "2");
}

/* Each equation that stats_audit() checks, and each way in which it can be violated. */
static void an_audit_finds_what_the_numbers_do_not_account_for(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *sh = stats_shard_of(*state, 0);
    const struct stats_present right = {
        .begun = 5, .requests = 3, .holding = 2, .orphans = 1, .upgrades = 1};
    struct record r = record_of(STATS_SOURCE_CLIENT_GONE, 499, 5);
    ends(sh, STATS_SOURCE_APP, 200);
    for (int i = 0; i < 4; i++)
        stats_queue_wait(sh, STATS_DISPATCHED, 0);
    stats_slot_hold(sh, &r, 10);
    stats_slot_hold(sh, &r, 10);
    stats_reached(sh, &r, STATS_ORPHANED);
    stats_reached(sh, &r, STATS_ORPHANED);
    stats_reached(sh, &r, STATS_UPGRADED);
    r.orphaned = true;
    stats_reached(sh, &r, STATS_ENDED);
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
    two.orphans = 0; /* neither the gauge nor the sum */
    assert_false(stats_audit(sh, &two));
    scrape(*state, &now);
    expect("weir_accounting_error_total", "7");
}

/* A client that leaves while its slot is being granted holds it for a moment, and counts as
 * gone. */
static void an_audit_allows_for_a_slot_whose_client_has_left(void **state)
{
    struct stats_shard *sh = stats_shard_of(*state, 0);
    const struct record r = {0};
    stats_queue_wait(sh, STATS_CLIENT_GONE, 3);
    stats_queue_wait(sh, STATS_CLIENT_GONE, 3);
    stats_slot_hold(sh, &r, 1);
    assert_true(stats_audit(sh, &(struct stats_present){0}));
    stats_slot_hold(sh, &r, 1);
    stats_slot_hold(sh, &r, 1);
    assert_false(stats_audit(sh, &(struct stats_present){0}));
}

static void levels_go_up_and_down_across_shards(void **state)
{
    struct stats_now now = quiet();
    struct stats_shard *a = stats_shard_of(*state, 0), *b = stats_shard_of(*state, 1);
    stats_connection(a, STATS_CLIENT, STATS_ACTIVE, 3);
    stats_connection(b, STATS_CLIENT, STATS_ACTIVE, -1);
    stats_connection(b, STATS_UPSTREAM, STATS_IDLE, 4);
    stats_connection(b, STATS_CLIENT, STATS_IDLE, -2); /* read before the other half */
    stats_buffered(a, STATS_RESPONSE, 5000000000);
    stats_buffered(b, STATS_RESPONSE, -4999999999);
    stats_buffered(b, STATS_REQUEST, 7);
    struct record tunnel = record_of(STATS_SOURCE_APP, 101, 7), orphan = tunnel, body = tunnel;
    tunnel.upgraded = orphan.orphaned = true;
    stats_reached(a, &tunnel, STATS_UPGRADED);
    stats_reached(b, &tunnel, STATS_UPGRADED);
    stats_slot_hold(b, &tunnel, 3000000);
    stats_reached(b, &tunnel, STATS_ENDED);
    body.spent[RECORD_BODY_WAIT] = 1000000;
    stats_reached(a, &body, STATS_ASKED);
    stats_backpressure(a, 1250000);
    orphan.spent[RECORD_ORPHAN] = 2000000;
    stats_reached(a, &orphan, STATS_ORPHANED);
    stats_reached(a, &orphan, STATS_ORPHANED);
    stats_reached(a, &orphan, STATS_ENDED);
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

enum { ROUNDS = 50000 };

static void requests_of_the_bypass_are_summed_by_who_answered_them(void **state)
{
    const struct limiter_snapshot limiter = {
        .in_flight = 2, .depth = 1, .limit = 4, .accounting_errors = 1};
    struct stats_shard *a = stats_shard_of(*state, 0), *b = stats_shard_of(*state, 1);
    struct stats_bypass found;

    ends(a, STATS_SOURCE_APP, 200);
    ends(b, STATS_SOURCE_APP, 500);
    ends(b, STATS_SOURCE_WEIR, 503);
    ends(a, STATS_SOURCE_CLIENT_GONE, 499);
    assert_false(stats_audit(b, &(struct stats_present){.begun = 1}));
    stats_read_bypass(*state, &limiter, &found);
    assert_int_equal(found.requests[STATS_SOURCE_APP], 2);
    assert_int_equal(found.requests[STATS_SOURCE_WEIR], 1);
    assert_int_equal(found.requests[STATS_SOURCE_CLIENT_GONE], 1);
    assert_int_equal(found.in_flight, 2);
    assert_int_equal(found.queued, 1);
    assert_int_equal(found.accounting_errors, 2);
}

static void *record(void *arg)
{
    for (int i = 0; i < ROUNDS; i++) {
        ends(arg, STATS_SOURCE_APP, 200);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_a_wait_of_exactly_nothing_is_in_the_bucket_of_zero),
        TEST(bounds_are_round_and_just_above_each_timeout),
        TEST(every_outcome_and_every_phase_has_its_own_numbers),
        TEST(a_wait_without_a_slot_is_lost_and_counted_by_its_outcome),
        TEST(phases_are_summed_and_a_tunnels_are_not),
        TEST(phases_that_are_not_the_time_until_the_end_are_an_error),
        TEST(the_first_byte_counts_from_the_last_byte_sent_or_the_first),
        TEST(the_time_before_weir_is_that_of_requests_that_have_it),
        TEST(an_audit_finds_what_the_numbers_do_not_account_for),
        TEST(an_audit_allows_for_a_slot_whose_client_has_left),
        TEST(levels_go_up_and_down_across_shards),
        TEST(requests_of_the_bypass_are_summed_by_who_answered_them),
        TEST(shards_are_written_by_their_threads_while_another_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
