/* The history: each sample is what changed between two readings, and several add up to what a
 * single one of the same length would show. Time is an argument. */
#include <inttypes.h>
#include <math.h>

#include <jansson.h>

#include "proxy/history.h"
#include "tests/unit/proxy/stats_fixture.h"

#define WALL (INT64_C(1700000000) * S)

static struct fixture {
    struct stats *stats;
    struct stats_shard *shard;
    struct history *history;
    struct stats_now now;
    struct stats_reading reading;
    mono_us time;
    wall_us wall;
    struct history_app app;
    mono_us lag;
} fx;

static struct history_input input(void)
{
    stats_read(fx.stats, &fx.now, &fx.reading);
    return (struct history_input){
        .now = fx.time, .wall = fx.wall, .reading = &fx.reading, .loop_lag = fx.lag, .app = fx.app};
}

static int set_up(void **state)
{
    (void)state;
    fx = (struct fixture){.stats = stats_new(2, &config),
                          .now = quiet(),
                          .time = 50 * S,
                          .wall = WALL,
                          .app = {.parallelism = -1, .hidden_queue = -1}};
    fx.shard = stats_shard_of(fx.stats, 1);
    const struct history_input first = input();
    fx.history = history_new(&first);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    history_free(fx.history);
    stats_free(fx.stats);
    return 0;
}

static void holds(mono_us us, double in_flight, double queued)
{
    fx.now.limiter.in_flight_us += (uint64_t)(in_flight * (double)us);
    fx.now.limiter.queued_us += (uint64_t)(queued * (double)us);
}

/* So much time passes, and a sample is taken. */
static void passes(mono_us us)
{
    fx.time += us;
    fx.wall += us;
    const struct history_input in = input();
    history_append(fx.history, &in);
}

static struct history_summary last(unsigned seconds)
{
    struct history_summary s;

    history_summarize(fx.history, seconds, &s);
    return s;
}

static void waits(mono_us us)
{
    stats_queue_wait(fx.shard, STATS_DISPATCHED, us);
    if (us > fx.now.limiter.wait_peak)
        fx.now.limiter.wait_peak = us;
}

static void assert_near(double got, double want)
{
    if (fabs(got - want) > 1e-6 * fabs(want) + 1e-9)
        fail_msg("%.9g instead of %.9g", got, want);
}

static void assert_about(mono_us got, mono_us want, double error)
{
    if (fabs((double)(got - want)) > error * (double)want)
        fail_msg("%" PRId64 " instead of %" PRId64, got, want);
}

/* ---- one second ------------------------------------------------------------------------------ */

static void before_the_first_sample_all_is_0_or_unknown(void **state)
{
    (void)state;
    struct history_summary s = last(60);
    uint32_t a, b;

    assert_int_equal(s.seconds, 0);
    assert_int_equal(s.wait_max, -1);
    assert_int_equal(s.inside[HISTORY_P50], -1);
    history_peaks(fx.history, &a, &b);
    assert_int_equal(a + b, 0);
}

static void a_second_is_the_difference_of_two_readings(void **state)
{
    (void)state;
    ends(fx.shard, STATS_SOURCE_APP, 200); /* before: counted in the first second */
    holds(S, 7.5, 2.25);
    fx.now.limiter.saturated_us += S / 4;
    fx.now.limiter.in_flight_peak = 12;
    fx.now.limiter.depth_peak = 9;
    fx.lag = 1234;
    passes(S);
    struct history_summary s = last(1);
    assert_int_equal(s.seconds, 1);
    assert_near(s.in_flight, 7.5);
    assert_near(s.queued, 2.25);
    assert_near(s.saturated, 0.25);
    assert_int_equal(s.in_flight_peak, 12);
    assert_int_equal(s.queue_peak, 9);
    assert_int_equal(s.limit, 80);
    assert_int_equal(s.loop_lag, 1234);
    assert_int_equal(s.finished[STATS_SOURCE_APP], 1);

    ends(fx.shard, STATS_SOURCE_CLIENT_GONE, 499);
    stats_rejected(fx.shard, STATS_QUEUE_FULL);
    stats_rejected(fx.shard, STATS_QUEUE_TIMEOUT);
    fx.now.limiter.in_flight_peak = 0;
    passes(S);
    s = last(1);
    assert_near(s.in_flight, 0);
    assert_int_equal(s.in_flight_peak, 0);
    assert_int_equal(s.finished[STATS_SOURCE_APP], 0);
    assert_int_equal(s.finished[STATS_SOURCE_CLIENT_GONE], 1);
    assert_int_equal(s.rejected[STATS_QUEUE_FULL], 1);
    assert_int_equal(s.refused, 2);
}

static void errors_are_those_of_the_app_and_of_the_way_to_it(void **state)
{
    (void)state;
    static const unsigned app[] = {200, 404, 499, 500, 503, 599},
                          weir[] = {400, 429, 502, 503, 504};

    for (size_t i = 0; i < 6; i++)
        ends(fx.shard, STATS_SOURCE_APP, app[i]);
    for (size_t i = 0; i < 5; i++)
        ends(fx.shard, STATS_SOURCE_WEIR, weir[i]);
    passes(S);
    assert_int_equal(last(1).errors, 3 + 2);
}

static void phases_are_those_of_the_requests_that_have_ended(void **state)
{
    (void)state;
    struct record r = record_of(STATS_SOURCE_APP, 200, 1500000); /* in DELIVERY */

    stats_reached(fx.shard, &r, STATS_ENDED);
    passes(S);
    assert_int_equal(last(1).phase_us[RECORD_DELIVERY], 1500000);
    assert_int_equal(last(1).phase_us[RECORD_QUEUE], 0);
    stats_reached(fx.shard, &r, STATS_ENDED);
    passes(S);
    passes(S);
    assert_int_equal(last(1).phase_us[RECORD_DELIVERY], 0);
    assert_int_equal(last(60).phase_us[RECORD_DELIVERY], 3000000);
}

static void a_mean_is_over_the_exact_time_between_two_readings(void **state)
{
    (void)state;
    holds(S, 3, 0);
    passes(S + 30000);
    assert_near(last(1).in_flight, 3 / 1.03);
    assert_int_equal(last(1).span, S + 30000);
}

/* ---- quantiles ------------------------------------------------------------------------------- */

static void quantiles_of_waits_come_from_this_second_only(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        waits(9 * S);
    passes(S);
    fx.now.limiter.wait_peak = 0;
    for (int i = 1; i <= 100; i++)
        waits(i * S / 100);
    passes(S);
    struct history_summary s = last(1);
    assert_int_equal(s.waits, 100);
    assert_about(s.wait[HISTORY_P50], S / 2, 0.05);
    assert_about(s.wait[HISTORY_P90], 9 * S / 10, 0.05);
    assert_about(s.wait[HISTORY_P99], 99 * S / 100, 0.05);
    assert_int_equal(s.wait_max, S);
    s = last(2);
    assert_int_equal(s.waits, 200);
    assert_about(s.wait[HISTORY_P90], 9 * S, 0.05);
    assert_int_equal(s.wait_max, 9 * S);
}

static void those_that_did_not_wait_are_in_the_quantiles(void **state)
{
    (void)state;
    for (int i = 0; i < 95; i++)
        waits(0);
    for (int i = 0; i < 5; i++)
        waits(2 * S);
    passes(S);
    assert_int_equal(last(1).wait[HISTORY_P50], 0);
    assert_int_equal(last(1).wait[HISTORY_P90], 0);
    assert_about(last(1).wait[HISTORY_P99], 2 * S, 0.05);
    assert_true(last(1).wait[HISTORY_P99] <= 2 * S);
}

/* It ended in the second before, and the app accepted its connection in this one. */
static void the_longest_wait_is_that_of_the_waits_that_are_counted(void **state)
{
    (void)state;
    waits(0);
    fx.now.limiter.wait_peak = 3 * S + 21;
    passes(S);
    assert_int_equal(last(1).wait_max, 0);
    fx.now.limiter.wait_peak = 12;
    stats_queue_wait(fx.shard, STATS_DISPATCHED, 3 * S + 21);
    passes(S);
    assert_int_equal(last(1).wait_max, 3 * S + 21);
    fx.now.limiter.wait_peak = 0;
    stats_queue_wait(fx.shard, STATS_DISPATCHED, 3 * S + 21); /* one more, even later */
    passes(S);
    assert_about(last(1).wait_max, 3 * S + 21, 0.05);
    assert_true(last(1).wait[HISTORY_P50] > 2 * S);
}

static void no_quantile_if_nothing_ended(void **state)
{
    (void)state;
    fx.now.limiter.wait_peak = 5; /* it ended in a moment that this reading does not include */
    passes(S);
    assert_int_equal(last(1).wait[HISTORY_P99], -1);
    assert_int_equal(last(1).wait_max, -1);
    assert_int_equal(last(1).inside[HISTORY_P50], -1);
}

static void equal_times_in_the_app_are_exact(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        history_completed(fx.history, 300000, 1);
    passes(S);
    for (int q = 0; q < HISTORY_QUANTILES; q++)
        assert_int_equal(last(1).inside[q], 300000);
    assert_int_equal(last(1).completed, 8);
    passes(S);
    assert_int_equal(last(1).completed, 0);
    assert_int_equal(last(1).inside[HISTORY_P50], -1);
}

/* From a tenth of a millisecond to beyond all bounds. */
static void quantiles_of_times_in_the_app_are_close_whatever_they_are(void **state)
{
    (void)state;
    for (mono_us unit = 1; unit <= 1000000; unit *= 10) {
        for (int i = 1; i <= 1000; i++)
            history_completed(fx.history, i * unit, 1);
        passes(S);
        assert_about(last(1).inside[HISTORY_P50], 500 * unit, 0.05);
        assert_about(last(1).inside[HISTORY_P90], 900 * unit, unit > 100000 ? 0.2 : 0.05);
        assert_true(last(1).inside[HISTORY_P99] <= 1000 * unit);
    }
}

static void a_completion_may_stand_for_several(void **state)
{
    (void)state;
    history_completed(fx.history, 1000, 1);
    history_completed(fx.history, 5000, 99);
    passes(S);
    assert_int_equal(last(1).completed, 100);
    assert_about(last(1).inside[HISTORY_P50], 5000, 0.08);
}

/* ---- several seconds ------------------------------------------------------------------------- */

static void means_of_several_seconds_are_weighted_by_their_length(void **state)
{
    (void)state;
    holds(3 * S / 2, 4, 0);
    passes(3 * S / 2 - 1);
    holds(S / 2, 8, 0);
    passes(S / 2 + 1);
    assert_near(last(2).in_flight, 5);
    assert_int_equal(last(2).span, 2 * S);
}

static void more_seconds_than_there_are_is_as_many_as_there_are(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        passes(S);
    assert_int_equal(last(60).seconds, 5);
    for (int i = 0; i < 400; i++)
        passes(S);
    assert_int_equal(last(60).seconds, 60);
    assert_int_equal(last(1000).seconds, 60);
}

static void the_peak_of_a_minute_is_forgotten_after_a_minute(void **state)
{
    (void)state;
    uint32_t in_flight, queue;

    fx.now.limiter.in_flight_peak = 40;
    fx.now.limiter.depth_peak = 30;
    passes(S);
    fx.now.limiter.in_flight_peak = 3;
    fx.now.limiter.depth_peak = 0;
    for (int i = 0; i < 59; i++)
        passes(S);
    history_peaks(fx.history, &in_flight, &queue);
    assert_int_equal(in_flight, 40);
    assert_int_equal(queue, 30);
    assert_int_equal(last(60).in_flight_peak, 40);
    passes(S);
    history_peaks(fx.history, &in_flight, &queue);
    assert_int_equal(in_flight, 3);
    assert_int_equal(queue, 0);
}

/* ---- GET /history ---------------------------------------------------------------------------- */

static json_t *history_since(int64_t since)
{
    struct strbuf out = {0};
    json_error_t error;

    history_write(fx.history, since, &out);
    json_t *root = json_loads(strbuf_cstr(&out), JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        fail_msg("%s in %s", error.text, strbuf_cstr(&out));
    strbuf_fini(&out);
    return root;
}

static json_t *column(json_t *root, const char *name)
{
    json_t *c = json_object_get(json_object_get(root, "columns"), name);

    assert_true(json_is_array(c));
    return c;
}

static json_int_t end_of(json_t *root)
{
    return json_integer_value(json_object_get(root, "end"));
}

static void the_page_has_all_columns_oldest_first(void **state)
{
    (void)state;
    const char *name;
    json_t *values;

    for (unsigned i = 1; i <= 3; i++) {
        fx.now.limiter.in_flight_peak = i;
        passes(S);
    }
    json_t *root = history_since(0);
    json_object_foreach(json_object_get(root, "columns"), name, values)
        assert_int_equal(json_array_size(values), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(json_integer_value(json_array_get(column(root, "in_flight_peak"), i)),
                         i + 1);
    assert_int_equal(end_of(root), WALL / S + 3);
    assert_int_equal(json_integer_value(json_object_get(root, "started")), WALL / S);
    assert_int_equal(json_integer_value(json_object_get(root, "limit")), 80);
    assert_true(json_is_null(json_array_get(column(root, "wait_p50"), 0)));
    assert_true(json_is_null(json_array_get(column(root, "parallelism"), 0)));
    assert_int_equal(json_object_size(json_object_get(root, "phases")), RECORD_PHASES);
    json_decref(root);
}

static void what_is_known_of_the_app_is_in_it(void **state)
{
    (void)state;
    fx.app = (struct history_app){.state = "pool_full", .parallelism = 40.5, .hidden_queue = 3};
    waits(0);
    passes(S);
    json_t *root = history_since(0);
    assert_near(json_number_value(json_array_get(column(root, "parallelism"), 0)), 40.5);
    assert_near(json_number_value(json_array_get(column(root, "hidden_queue"), 0)), 3);
    assert_string_equal(json_string_value(json_array_get(column(root, "app_state"), 0)),
                        "pool_full");
    assert_true(json_is_integer(json_array_get(column(root, "wait_p50"), 0)));
    json_decref(root);
}

static size_t samples_since(int64_t since)
{
    json_t *root = history_since(since);
    size_t n = json_array_size(column(root, "limit"));

    json_decref(root);
    return n;
}

static void since_leaves_out_what_the_client_has(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        passes(S);
    int64_t end = WALL / S + 10;
    assert_int_equal(samples_since(end), 0);
    assert_int_equal(samples_since(end - 1), 1);
    assert_int_equal(samples_since(end - 7), 7);
    assert_int_equal(samples_since(end - 10), 10);
    assert_int_equal(samples_since(end - 11), 10);
    assert_int_equal(samples_since(end + 1), 10); /* of another clock */
    assert_int_equal(samples_since(INT64_MAX), 10);
}

static void five_minutes_are_kept(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 700; i++) {
        fx.now.limiter.in_flight_peak = i;
        passes(S);
    }
    json_t *root = history_since(0);
    json_t *peaks = column(root, "in_flight_peak");
    assert_int_equal(json_array_size(peaks), HISTORY_SECONDS);
    assert_int_equal(json_integer_value(json_array_get(peaks, 0)), 401);
    assert_int_equal(json_integer_value(json_array_get(peaks, HISTORY_SECONDS - 1)), 700);
    json_decref(root);
}

static void the_limit_is_known_from_the_start(void **state)
{
    (void)state;
    json_t *root = history_since(0);
    assert_int_equal(json_integer_value(json_object_get(root, "limit")), 80);
    assert_int_equal(json_array_size(column(root, "limit")), 0);
    json_decref(root);
}

static void no_limit_is_written_as_such(void **state)
{
    (void)state;
    fx.now.limiter.limit = UINT32_MAX;
    passes(S);
    json_t *root = history_since(0);
    assert_string_equal(json_string_value(json_object_get(root, "limit")), "unlimited");
    assert_true(json_is_null(json_array_get(column(root, "limit"), 0)));
    json_decref(root);
}

/* ---- clocks and gaps ------------------------------------------------------------------------- */

static void a_gap_is_filled_so_that_times_stay_right(void **state)
{
    (void)state;
    passes(S);
    ends(fx.shard, STATS_SOURCE_APP, 200);
    holds(5 * S, 2, 0);
    passes(5 * S + 20000);
    json_t *root = history_since(0);
    json_t *means = column(root, "in_flight"), *finished = column(root, "finished");
    assert_int_equal(json_array_size(means), 6);
    assert_int_equal(end_of(root), WALL / S + 6);
    for (size_t i = 1; i < 6; i++) {
        assert_true(fabs(json_number_value(json_array_get(means, i)) - 2) < 0.01);
        assert_int_equal(json_integer_value(json_array_get(finished, i)), i == 5);
    }
    json_decref(root);
    assert_near(last(60).in_flight * (double)last(60).span, 10 * S);
}

static void a_gap_of_hours_leaves_no_more_than_there_is_room_for(void **state)
{
    (void)state;
    passes(10000 * S);
    assert_int_equal(samples_since(0), HISTORY_SECONDS);
    json_t *root = history_since(0);
    assert_int_equal(end_of(root), WALL / S + 10000);
    json_decref(root);
}

static void a_clock_that_is_set_moves_the_end_and_no_sample_is_lost(void **state)
{
    (void)state;
    passes(S);
    fx.wall -= 3600 * S;
    passes(S);
    json_t *root = history_since(0);
    assert_int_equal(end_of(root), WALL / S + 2 - 3600);
    assert_int_equal(json_array_size(column(root, "limit")), 2);
    json_decref(root);
}

/* A tick that is some milliseconds early or late is still that of its second. */
static void samples_that_are_a_little_late_are_not_one_second_apart_twice(void **state)
{
    (void)state;
    static const mono_us late[] = {3000, 0, 40000, 1000, 0, 99000, 0};
    mono_us before = 0;

    for (size_t i = 0; i < 7; i++) {
        passes(S + late[i] - before);
        before = late[i];
        json_t *root = history_since(0);
        assert_int_equal(end_of(root), WALL / S + 1 + (json_int_t)i);
        json_decref(root);
    }
}

/* ---- /status --------------------------------------------------------------------------------- */

static void the_summary_has_rates_means_peaks_and_quantiles(void **state)
{
    (void)state;
    struct strbuf out = {0};

    for (int second = 0; second < 2; second++) {
        for (int i = 0; i < 10; i++)
            ends(fx.shard, STATS_SOURCE_APP, 200);
        ends(fx.shard, STATS_SOURCE_WEIR, 503);
        stats_rejected(fx.shard, STATS_QUEUE_FULL);
        history_completed(fx.history, 250000, 1);
        passes(S);
    }
    struct history_summary s = last(60);
    history_write_summary(&s, &out);
    json_t *root = json_loads(strbuf_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_near(json_number_value(json_object_get(root, "requests_per_second")), 11);
    assert_near(json_number_value(json_object_get(root, "refused_per_second")), 1);
    assert_near(json_number_value(json_object_get(json_object_get(root, "app_seconds"), "p99")),
                0.25);
    assert_true(json_is_null(json_object_get(json_object_get(root, "wait_seconds"), "max")));
    assert_int_equal(json_object_size(json_object_get(root, "phase_seconds")), RECORD_PHASES);
    json_decref(root);
    strbuf_fini(&out);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(before_the_first_sample_all_is_0_or_unknown),
        CASE(a_second_is_the_difference_of_two_readings),
        CASE(errors_are_those_of_the_app_and_of_the_way_to_it),
        CASE(phases_are_those_of_the_requests_that_have_ended),
        CASE(a_mean_is_over_the_exact_time_between_two_readings),
        CASE(quantiles_of_waits_come_from_this_second_only),
        CASE(those_that_did_not_wait_are_in_the_quantiles),
        CASE(the_longest_wait_is_that_of_the_waits_that_are_counted),
        CASE(no_quantile_if_nothing_ended),
        CASE(equal_times_in_the_app_are_exact),
        CASE(quantiles_of_times_in_the_app_are_close_whatever_they_are),
        CASE(a_completion_may_stand_for_several),
        CASE(means_of_several_seconds_are_weighted_by_their_length),
        CASE(more_seconds_than_there_are_is_as_many_as_there_are),
        CASE(the_peak_of_a_minute_is_forgotten_after_a_minute),
        CASE(the_page_has_all_columns_oldest_first),
        CASE(what_is_known_of_the_app_is_in_it),
        CASE(since_leaves_out_what_the_client_has),
        CASE(five_minutes_are_kept),
        CASE(the_limit_is_known_from_the_start),
        CASE(no_limit_is_written_as_such),
        CASE(a_gap_is_filled_so_that_times_stay_right),
        CASE(a_gap_of_hours_leaves_no_more_than_there_is_room_for),
        CASE(a_clock_that_is_set_moves_the_end_and_no_sample_is_lost),
        CASE(samples_that_are_a_little_late_are_not_one_second_apart_twice),
        CASE(the_summary_has_rates_means_peaks_and_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
