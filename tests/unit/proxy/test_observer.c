/* The observer: when it looks, what it asks of the loops, and what it hands to the history. Both
 * clocks are the test's; the control loop and one worker loop are run by hand. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/access_log.h"
#include "proxy/observer.h"

#define MS INT64_C(1000)
#define S  (1000 * MS)

static struct fixture {
    struct config *config;
    struct loop *control, *loop;
    struct stats *stats, *bypass_stats;
    struct exchange_shared shared;
    struct observer *observer;
    struct access_log *access_log;
    struct limiter_waiter w[8];
    mono_us now;
    unsigned audits;
    unsigned completed, looks, samples, in_the_app; /* as the follower was told */
    mono_us completed_at;
    int said, real_stderr;
    char text[2048];
} fx;

mono_us __wrap_clock_mono(void);
wall_us __wrap_clock_wall(void);
bool __wrap_exchange_audit(const struct exchange_env *env);

mono_us __wrap_clock_mono(void)
{
    return fx.now;
}

/* A whole second of it is a whole second of the other. */
wall_us __wrap_clock_wall(void)
{
    return INT64_C(1700000000) * S + fx.now;
}

bool __wrap_exchange_audit(const struct exchange_env *env)
{
    assert_null(env);
    fx.audits++;
    return true;
}

/* ---- the access log ---------------------------------------------------------------------------
 */

static struct {
    unsigned n;
    struct history_summary last;
} summaries;

void __wrap_access_log_summary(struct access_log *log, wall_us at, const struct history_summary *s);

void __wrap_access_log_summary(struct access_log *log, wall_us at, const struct history_summary *s)
{
    assert_ptr_equal(log, fx.access_log);
    assert_int_equal(at, __wrap_clock_wall());
    summaries.n++;
    summaries.last = *s;
}

/* ---- the follower ---------------------------------------------------------------------------- */

static void on_completed(void *arg, const struct completion *c)
{
    assert_ptr_equal(arg, &fx);
    assert_true(c->at >= fx.completed_at);
    fx.completed_at = c->at;
    fx.completed += c->weight;
}

static void on_look(void *arg, const struct observer_look *look)
{
    assert_ptr_equal(arg, &fx);
    assert_int_equal(look->now, fx.now);
    fx.looks++;
    fx.in_the_app = look->inside;
}

static void on_sample(void *arg, struct history_app *out)
{
    assert_ptr_equal(arg, &fx);
    fx.samples++;
    out->hidden_queue = 5;
}

static const struct observer_follower follower = {
    .on_completed = on_completed, .on_look = on_look, .on_sample = on_sample};

/* ---- the fixture ----------------------------------------------------------------------------- */

static struct limiter *limiter_for(mono_us now)
{
    const struct limiter_config lc = {.queue_length = 6, .queue_bytes = UINT64_MAX};
    struct limiter *l = limiter_new(&lc, now);

    assert_null(limiter_set_slots(l, 0, 2, now));
    return l;
}

static void capture_stderr(void)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    fx.said = ends[0];
    fx.real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
}

static const char *logged(void)
{
    ssize_t n = read(fx.said, fx.text, sizeof(fx.text) - 1);

    fx.text[n > 0 ? n : 0] = '\0';
    return fx.text;
}

static struct config *config_of_defaults(void)
{
    static char upstream[] = "--upstream=127.0.0.1:1";
    char *flags[] = {upstream};
    const struct config_source source = {.argc = 1, .argv = flags};
    struct strbuf problems = {0};

    return config_load(&source, &problems);
}

static int set_up_at(mono_us now)
{
    memset(&fx, 0, sizeof(fx));
    log_configure(LOG_LEVEL_INFO, LOG_FORMAT_TEXT);
    fx.now = now;
    fx.config = config_of_defaults();
    fx.control = loop_new(1);
    fx.loop = loop_new(0);
    fx.stats = stats_new(2, fx.config);
    fx.bypass_stats = stats_new(2, fx.config);
    fx.shared.limiter = limiter_for(fx.now);
    fx.shared.bypass = limiter_for(fx.now);
    const struct observer_how how = {.control = fx.control,
                                     .shared = &fx.shared,
                                     .stats = fx.stats,
                                     .bypass_stats = fx.bypass_stats,
                                     .config = fx.config,
                                     .loops = 2,
                                     .follower = &follower,
                                     .arg = &fx};
    fx.observer = observer_new(&how);
    for (unsigned i = 0; i < 2; i++) /* one thread with two shards: enough here */
        observer_watch(fx.observer, i, fx.loop, stats_shard_of(fx.stats, i), NULL);
    fx.config->log.access = CONFIG_ACCESS_OFF;
    fx.access_log = access_log_new(1, fx.config, fx.text, sizeof(fx.text));
    memset(&summaries, 0, sizeof(summaries));
    observer_start(fx.observer, &(struct observer_parts){.access_log = fx.access_log});
    capture_stderr();
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return set_up_at(1000 * S);
}

static int within_a_second(void **state)
{
    (void)state;
    return set_up_at(1000 * S + 700 * MS);
}

static void end_requests(void)
{
    for (unsigned i = 0; i < 8; i++) {
        if (fx.w[i].state == LIMITER_WAITING)
            assert_true(limiter_cancel(fx.shared.limiter, &fx.w[i], fx.now, LIMITER_CLIENT_LEFT));
    }
    for (unsigned i = 0; i < 8; i++) {
        if (fx.w[i].state == LIMITER_HOLDING)
            (void)!limiter_release(fx.shared.limiter, &fx.w[i], fx.now);
    }
}

static int tear_down(void **state)
{
    (void)state;
    dup2(fx.real_stderr, STDERR_FILENO);
    close(fx.real_stderr);
    close(fx.said);
    end_requests();
    observer_stop(fx.observer);
    observer_free(fx.observer);
    access_log_free(fx.access_log);
    loop_free(fx.loop);
    loop_free(fx.control);
    limiter_free(fx.shared.limiter);
    limiter_free(fx.shared.bypass);
    stats_free(fx.stats);
    stats_free(fx.bypass_stats);
    config_put(fx.config);
    return 0;
}

/* ---- what happens ---------------------------------------------------------------------------- */

static void arrives(unsigned i)
{
    struct limiter_waiter *ended;

    completions_arrives(observer_completions(fx.observer, 0));
    (void)!limiter_acquire(fx.shared.limiter, &fx.w[i], fx.now, MONO_NEVER, &ended);
}

static void leaves(unsigned i)
{
    mono_us inside = fx.now - fx.w[i].granted_at;

    (void)!limiter_release(fx.shared.limiter, &fx.w[i], fx.now);
    completions_put(observer_completions(fx.observer, 0), fx.now, inside);
}

static void run_worker(void)
{
    while (loop_turn(fx.loop)) {
    }
}

/* The control loop runs, each millisecond; the worker does not. */
static void control_runs(mono_us us)
{
    for (mono_us end = fx.now + us; fx.now < end;) {
        fx.now += MS;
        while (loop_turn(fx.control)) {
        }
    }
}

static void passes(mono_us us)
{
    for (mono_us end = fx.now + us; fx.now < end;) {
        control_runs(MS);
        run_worker();
    }
}

static struct history_summary last(unsigned seconds)
{
    struct history_summary s;

    history_summarize(observer_history(fx.observer), seconds, &s);
    return s;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void there_is_a_sample_for_each_second_and_it_ends_on_a_whole_one(void **state)
{
    (void)state;
    passes(990 * MS);
    assert_int_equal(last(60).seconds, 0);
    passes(20 * MS);
    assert_int_equal(last(60).seconds, 1);
    passes(7 * S);
    assert_int_equal(last(60).seconds, 8);
    assert_true(last(60).span >= 8 * S && last(60).span < 8 * S + 20 * MS);
}

/* Otherwise its mean would be that of a shorter time, and would not add up with the others. */
static void the_first_second_is_a_whole_one_too(void **state)
{
    (void)state;
    arrives(0);
    passes(310 * MS);
    assert_int_equal(last(60).seconds, 1);
    assert_true(last(1).span >= S && last(1).span < S + 20 * MS);
    assert_true(last(1).in_flight > 0.28 && last(1).in_flight < 0.32);
}

static void the_loops_of_an_idle_weir_are_not_woken(void **state)
{
    (void)state;
    passes(3 * S);
    unsigned audits = fx.audits;
    passes(30 * S);
    assert_int_equal(fx.audits, audits);
    assert_int_equal(last(60).seconds, 33);
}

static void the_loops_audit_themselves_while_there_are_requests(void **state)
{
    (void)state;
    passes(5 * S + 500 * MS);
    unsigned audits = fx.audits;
    arrives(0);
    passes(10 * S);
    assert_in_range(fx.audits - audits, 2 * 9, 2 * 11);
}

/* Two slots; each of four requests is inside for 300 ms. */
static void a_burst_between_two_samples_is_seen_as_it_was(void **state)
{
    (void)state;
    passes(10 * S + 100 * MS);
    for (unsigned i = 0; i < 4; i++)
        arrives(i);
    passes(300 * MS);
    leaves(0);
    leaves(1);
    passes(300 * MS);
    leaves(2);
    leaves(3);
    passes(310 * MS);
    struct history_summary s = last(1);
    assert_int_equal(s.in_flight_peak, 2);
    assert_int_equal(s.queue_peak, 2);
    assert_true(s.in_flight > 1.18 && s.in_flight < 1.22); /* 4 times 0.3 s */
    assert_true(s.queued > 0.58 && s.queued < 0.62);
    assert_true(s.saturated > 0.58 && s.saturated < 0.62);
    assert_int_equal(s.completed, 4);
    assert_int_equal(s.inside[HISTORY_P50], 300 * MS);
    passes(S);
    assert_int_equal(last(1).in_flight_peak, 0);
    assert_int_equal(last(1).completed, 0);
    assert_int_equal(last(60).in_flight_peak, 2);
}

static void a_peak_that_lasted_a_moment_is_in_its_second(void **state)
{
    (void)state;
    passes(10 * S + 450 * MS);
    for (unsigned i = 0; i < 8; i++)
        arrives(i);
    end_requests();
    passes(S);
    assert_int_equal(last(1).in_flight_peak, 2);
    assert_int_equal(last(1).queue_peak, 6);
}

static void the_lag_of_a_loop_is_the_time_until_its_task_runs(void **state)
{
    (void)state;
    arrives(0);
    passes(3 * S + 5 * MS); /* its task has been posted, and has run */
    control_runs(995 * MS + 2 * MS);
    control_runs(48 * MS); /* the next one waits */
    run_worker();
    passes(950 * MS + 5 * MS);
    assert_in_range(last(1).loop_lag, 45 * MS, 52 * MS);
}

static void a_loop_that_is_stuck_lags_before_its_task_has_run(void **state)
{
    (void)state;
    arrives(0);
    passes(3 * S + 5 * MS);
    control_runs(3 * S);
    assert_in_range(last(1).loop_lag, 1900 * MS, 2100 * MS);
}

static void an_arrival_wakes_an_idle_observer_so_that_it_looks_soon(void **state)
{
    (void)state;
    passes(10 * S + 50 * MS);
    arrives(0);
    passes(10 * MS);
    leaves(0);
    arrives(1); /* the next look, which takes the completion, is at 10.15 s, not at 11 s */
    passes(110 * MS);
    assert_null(completions_first(observer_completions(fx.observer, 0)));
}

static void a_follower_is_called_ten_times_a_second_while_there_are_requests(void **state)
{
    (void)state;
    passes(10 * S + 500 * MS);
    unsigned looks = fx.looks;
    arrives(0);
    arrives(1);
    arrives(2);
    atomic_store(&fx.shared.without_slot, 4);
    struct record upgraded;
    record_begin(&upgraded, 0);
    stats_reached(stats_shard_of(fx.stats, 0), &upgraded, STATS_UPGRADED);
    passes(3 * S);
    assert_in_range(fx.looks - looks, 28, 33);
    assert_int_equal(fx.in_the_app, 2 + 4 - 1);
    assert_int_equal(fx.samples, 13);
    assert_true(last(1).app.hidden_queue == 5);
    leaves(0);
    leaves(1);
    passes(110 * MS);
    assert_int_equal(fx.completed, 2);
    atomic_store(&fx.shared.without_slot, 0);
    leaves(2);
    passes(2 * S);
    looks = fx.looks;
    passes(10 * S);
    assert_int_equal(fx.looks - looks, 10);
}

/* Each loop's are in order; those of several become so. */
static void completions_of_several_loops_are_in_the_order_of_time(void **state)
{
    (void)state;
    arrives(0);
    for (mono_us at = 1; at <= 100; at++)
        completions_put(observer_completions(fx.observer, at % 7 < 3), fx.now + at, 5);
    passes(150 * MS);
    assert_int_equal(fx.completed, 100);
    assert_int_equal(fx.completed_at, 1000 * S + 100);
}

static void inconsistencies_are_logged_once_a_minute(void **state)
{
    (void)state;
    const struct stats_present present = {.begun = 1}; /* which has neither ended nor is there */

    passes(3 * S);
    assert_string_equal(logged(), "");
    assert_false(stats_audit(stats_shard_of(fx.stats, 0), &present));
    passes(S);
    assert_non_null(strstr(logged(), "accounting: 1 inconsistencies"));
    assert_false(stats_audit(stats_shard_of(fx.stats, 0), &present));
    passes(50 * S);
    assert_string_equal(logged(), "");
    passes(20 * S);
    assert_non_null(strstr(logged(), "accounting: 2 inconsistencies"));
    passes(70 * S);
    assert_string_equal(logged(), "");
}

static void the_last_look_logs_what_is_new(void **state)
{
    (void)state;
    const struct stats_present present = {.begun = 1};

    passes(S);
    assert_false(stats_audit(stats_shard_of(fx.stats, 0), &present));
    observer_stop(fx.observer);
    assert_non_null(strstr(logged(), "accounting: 1 inconsistencies"));
}

static void each_minute_is_summed_up_for_the_access_log(void **state)
{
    (void)state;
    passes(59 * S);
    assert_int_equal(summaries.n, 0);
    passes(2 * S);
    assert_int_equal(summaries.n, 1);
    assert_int_equal(summaries.last.seconds, 60);
    passes(60 * S);
    assert_int_equal(summaries.n, 2);
    assert_int_equal(summaries.last.seconds, 60);
    passes(10 * S);
    observer_stop(fx.observer);
    assert_int_equal(summaries.n, 3);
    assert_true(summaries.last.seconds >= 11 && summaries.last.seconds <= 12);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_minute_is_summed_up_for_the_access_log),
        TEST(there_is_a_sample_for_each_second_and_it_ends_on_a_whole_one),
        cmocka_unit_test_setup_teardown(the_first_second_is_a_whole_one_too, within_a_second,
                                        tear_down),
        TEST(the_loops_of_an_idle_weir_are_not_woken),
        TEST(the_loops_audit_themselves_while_there_are_requests),
        TEST(a_burst_between_two_samples_is_seen_as_it_was),
        TEST(a_peak_that_lasted_a_moment_is_in_its_second),
        TEST(the_lag_of_a_loop_is_the_time_until_its_task_runs),
        TEST(a_loop_that_is_stuck_lags_before_its_task_has_run),
        TEST(an_arrival_wakes_an_idle_observer_so_that_it_looks_soon),
        TEST(a_follower_is_called_ten_times_a_second_while_there_are_requests),
        TEST(completions_of_several_loops_are_in_the_order_of_time),
        TEST(inconsistencies_are_logged_once_a_minute),
        TEST(the_last_look_logs_what_is_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
