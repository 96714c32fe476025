/* Signals and the deadlines of a drain, on a virtual clock. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/lifecycle.h"
#include "proxy/loop.h"

static struct fixture {
    struct loop *loop;
    struct lifecycle *life;
    struct config config;
    mono_us now;
    unsigned announces, drains, lates, cuts, ends, cancels, hangups, reopens;
    const char *cannot; /* why a cancel fails */
} fx;

mono_us __wrap_clock_mono(void);

mono_us __wrap_clock_mono(void)
{
    return fx.now;
}

static void on_announce(void *arg)
{
    (void)arg;
    fx.announces++;
}

static void on_drain(void *arg)
{
    (void)arg;
    fx.drains++;
}

static void on_late(void *arg)
{
    (void)arg;
    fx.lates++;
}

static void on_cut(void *arg)
{
    (void)arg;
    fx.cuts++;
}

static void on_hangup(void *arg)
{
    (void)arg;
    fx.hangups++;
}

static void on_reopen(void *arg)
{
    (void)arg;
    fx.reopens++;
}

static void on_drained(void *arg)
{
    (void)arg;
    fx.ends++;
}

static bool on_cancel(void *arg, const char **why)
{
    (void)arg;
    fx.cancels++;
    *why = fx.cannot;
    return fx.cannot == NULL;
}

static const struct lifecycle_handler handler = {.on_announce = on_announce,
                                                 .on_drain = on_drain,
                                                 .on_late = on_late,
                                                 .on_cut = on_cut,
                                                 .on_drained = on_drained,
                                                 .on_cancel = on_cancel,
                                                 .on_hangup = on_hangup,
                                                 .on_reopen = on_reopen};

static void begins(mono_us delay, mono_us timeout)
{
    fx.config.drain.delay = delay;
    fx.config.drain.timeout = timeout;
    fx.life = lifecycle_new(fx.loop, &fx.config, &handler, NULL);
}

static int set_up(void **state)
{
    (void)state;
    log_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    memset(&fx, 0, sizeof(fx));
    fx.now = 1000000;
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lifecycle_free(fx.life);
    loop_free(fx.loop);
    return 0;
}

static void turns(void)
{
    while (loop_turn(fx.loop))
        continue;
}

static void is_told(int sig)
{
    raise(sig);
    turns();
}

static void passes(mono_us ms)
{
    fx.now += ms * 1000;
    turns();
}

static void state_is(enum lifecycle_state want)
{
    assert_int_equal(lifecycle_state(fx.life), want);
}

static void called(unsigned drains, unsigned lates, unsigned cuts)
{
    assert_int_equal(fx.drains, drains);
    assert_int_equal(fx.lates, lates);
    assert_int_equal(fx.cuts, cuts);
}

static void balancers_are_told(bool ready)
{
    assert_int_equal(lifecycle_is_ready(fx.life), ready);
}

static void all_is_done(void)
{
    lifecycle_drained(fx.life);
    passes(10); /* the end has to wait for another turn */
}

static void cancel_fails(const char *because)
{
    const char *why = NULL;

    assert_false(lifecycle_cancel(fx.life, &why));
    assert_string_equal(why, because);
}

static void cancel_succeeds(void)
{
    const char *why = NULL;
    assert_true(lifecycle_cancel(fx.life, &why));
}

/* ---- signals ---- */

static void without_a_delay_either_signal_closes_the_listener_at_once(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};

    for (int i = 0; i < 2; i++) {
        if (i > 0) {
            tear_down(state);
            set_up(state);
        }
        begins(0, 1000000);
        state_is(LIFECYCLE_READY);
        is_told(signals[i]);
        state_is(LIFECYCLE_DRAINING);
        called(1, 0, 0);
        assert_int_equal(fx.announces, 0);
    }
}

static void sigterm_is_announced_for_the_delay(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    is_told(SIGTERM);
    state_is(LIFECYCLE_ANNOUNCING);
    assert_int_equal(fx.announces, 1);
    passes(4900);
    called(0, 0, 0);
    passes(150);
    state_is(LIFECYCLE_DRAINING);
    called(1, 0, 0);
    assert_int_equal(fx.announces, 1);
}

static void sigint_skips_the_delay(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    is_told(SIGINT);
    state_is(LIFECYCLE_DRAINING);
    called(1, 0, 0);
    assert_int_equal(fx.announces, 0);
    passes(6000);
    called(1, 0, 0);
}

static void the_delay_takes_half_of_the_timeout_at_most(void **state)
{
    (void)state;
    begins(5000000, 4000000);
    is_told(SIGTERM);
    passes(1900);
    state_is(LIFECYCLE_ANNOUNCING);
    passes(150);
    state_is(LIFECYCLE_DRAINING);
    passes(900);
    called(1, 0, 0);
    passes(100);
    called(1, 1, 0);
}

static void a_very_short_drain_closes_the_listener_before_it_turns_away(void **state)
{
    (void)state;
    begins(5000000, 100000);
    is_told(SIGTERM);
    state_is(LIFECYCLE_ANNOUNCING);
    passes(60);
    state_is(LIFECYCLE_DRAINING);
    called(1, 1, 0);
}

static void a_drain_of_no_time_cuts_at_once(void **state)
{
    (void)state;
    begins(5000000, 0);
    is_told(SIGTERM);
    passes(10);
    called(1, 1, 1);
}

static void a_second_before_its_end_a_long_drain_turns_away_what_waits(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    is_told(SIGTERM);
    passes(23950);
    called(1, 0, 0);
    passes(100);
    called(1, 1, 0);
    passes(900);
    called(1, 1, 0);
    passes(100);
    called(1, 1, 1);
}

static void a_short_drain_turns_away_at_its_half(void **state)
{
    (void)state;
    begins(0, 1000000);
    is_told(SIGTERM);
    passes(490);
    called(1, 0, 0);
    passes(20);
    called(1, 1, 0);
    passes(470);
    called(1, 1, 0);
    passes(30);
    called(1, 1, 1);
}

static void a_second_signal_cuts_once(void **state)
{
    (void)state;
    begins(0, 1000000);
    is_told(SIGTERM);
    is_told(SIGINT);
    called(1, 0, 1);
    is_told(SIGTERM);
    passes(2000);
    assert_int_equal(fx.cuts, 1);
    assert_int_equal(fx.drains, 1);
    state_is(LIFECYCLE_DRAINING);
}

static void a_second_signal_during_the_delay_closes_the_listener_and_cuts(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    is_told(SIGTERM);
    is_told(SIGTERM);
    state_is(LIFECYCLE_DRAINING);
    called(1, 0, 1);
}

static void sighup_is_passed_on_and_is_no_second_signal(void **state)
{
    (void)state;
    begins(0, 1000000);
    is_told(SIGHUP);
    state_is(LIFECYCLE_READY);
    called(0, 0, 0);
    is_told(SIGTERM);
    is_told(SIGHUP);
    called(1, 0, 0);
    assert_int_equal(fx.hangups, 2);
}

static void sigusr1_is_passed_on_and_is_no_second_signal(void **state)
{
    (void)state;
    begins(0, 1000000);
    is_told(SIGUSR1);
    state_is(LIFECYCLE_READY);
    is_told(SIGTERM);
    is_told(SIGUSR1);
    called(1, 0, 0);
    assert_int_equal(fx.reopens, 2);
    assert_int_equal(fx.hangups, 0);
}

/* ---- the end ---- */

static void when_nothing_is_left_the_loop_ends_and_signals_do_nothing(void **state)
{
    (void)state;
    begins(0, 1000000);
    is_told(SIGTERM);
    all_is_done();
    assert_int_equal(fx.ends, 1);
    state_is(LIFECYCLE_STOPPED);
    loop_run(fx.loop); /* returns */
    is_told(SIGTERM);
    passes(2000);
    called(1, 0, 0);
}

static void the_end_is_reported_once_and_only_while_it_drains(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drained(fx.life);
    lifecycle_drain(fx.life, false);
    lifecycle_drained(fx.life);
    assert_int_equal(fx.ends, 0);
    passes(5100);
    all_is_done();
    all_is_done();
    assert_int_equal(fx.ends, 1);
}

static void afterwards_signals_are_the_processs_own_again(void **state)
{
    struct sigaction now;

    (void)state;
    begins(0, 1000000);
    lifecycle_free(fx.life);
    fx.life = NULL;
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
}

/* ---- a drain without a signal ---- */

static void a_drain_without_a_signal_does_not_end_the_process(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, false);
    state_is(LIFECYCLE_ANNOUNCING);
    lifecycle_drain(fx.life, false);
    assert_int_equal(fx.announces, 1);
    passes(5100);
    state_is(LIFECYCLE_DRAINING);
    all_is_done();
    state_is(LIFECYCLE_DRAINED);
    passes(30000);
    state_is(LIFECYCLE_DRAINED);
    called(1, 0, 0);
    is_told(SIGTERM);
    passes(10);
    state_is(LIFECYCLE_STOPPED);
}

static void the_first_signal_in_it_asks_for_the_end_and_the_second_cuts(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, false);
    is_told(SIGTERM);
    state_is(LIFECYCLE_ANNOUNCING);
    is_told(SIGTERM);
    called(1, 0, 1);
    all_is_done();
    state_is(LIFECYCLE_STOPPED);
}

static void sigint_in_it_skips_the_rest_of_the_delay(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, false);
    is_told(SIGINT);
    state_is(LIFECYCLE_DRAINING);
    called(1, 0, 0);
    all_is_done();
    state_is(LIFECYCLE_STOPPED);
}

/* ---- readiness ---- */

static void by_default_it_is_not_ready_from_the_beginning(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    balancers_are_told(true);
    is_told(SIGTERM);
    state_is(LIFECYCLE_ANNOUNCING);
    balancers_are_told(false);
    passes(5100);
    balancers_are_told(false);
}

static void it_may_stay_ready_until_the_port_is_closed(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, true);
    balancers_are_told(true);
    passes(4900);
    balancers_are_told(true);
    passes(150);
    state_is(LIFECYCLE_DRAINING);
    balancers_are_told(false);
    all_is_done();
    state_is(LIFECYCLE_DRAINED);
    balancers_are_told(false);
}

static void without_a_delay_it_does_not_stay_ready(void **state)
{
    (void)state;
    begins(0, 25000000);
    lifecycle_drain(fx.life, true);
    balancers_are_told(false);
}

static void the_first_of_two_drains_decides_whether_it_stays_ready(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, true);
    lifecycle_drain(fx.life, false);
    is_told(SIGTERM);
    state_is(LIFECYCLE_ANNOUNCING);
    balancers_are_told(true);
    tear_down(state);
    set_up(state);
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, false);
    lifecycle_drain(fx.life, true);
    balancers_are_told(false);
}

static void after_a_cancel_the_next_drain_decides_anew(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    lifecycle_drain(fx.life, true);
    cancel_succeeds();
    balancers_are_told(true);
    is_told(SIGTERM);
    balancers_are_told(false);
}

/* ---- cancelling ---- */

static void a_drain_can_be_cancelled_in_each_of_its_states(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    cancel_succeeds();
    assert_int_equal(fx.cancels, 0);
    for (unsigned n = 1; n <= 3; n++) {
        lifecycle_drain(fx.life, false);
        if (n > 1)
            passes(5100);
        if (n > 2)
            all_is_done();
        cancel_succeeds();
        assert_int_equal(fx.cancels, n);
        state_is(LIFECYCLE_READY);
        passes(30000);
        state_is(LIFECYCLE_READY);
    }
    assert_int_equal(fx.lates + fx.cuts, 0);
}

static void after_a_cancel_a_signal_begins_a_whole_drain(void **state)
{
    (void)state;
    begins(0, 10000000);
    lifecycle_drain(fx.life, false);
    passes(10100);
    called(1, 1, 1);
    cancel_succeeds();
    is_told(SIGTERM);
    passes(8900);
    called(2, 1, 1);
    passes(1200);
    called(2, 2, 2);
}

static void what_prevents_a_cancel_is_told_and_the_drain_goes_on(void **state)
{
    (void)state;
    begins(0, 10000000);
    lifecycle_drain(fx.life, false);
    fx.cannot = "the port is taken";
    cancel_fails("the port is taken");
    state_is(LIFECYCLE_DRAINING);
    passes(10100);
    called(1, 1, 1);
}

static void a_signal_cannot_be_cancelled(void **state)
{
    (void)state;
    begins(5000000, 25000000);
    is_told(SIGTERM);
    cancel_fails("a signal has asked weir to end");
    state_is(LIFECYCLE_ANNOUNCING);
    assert_int_equal(fx.cancels, 0);
}

static void new_times_apply_to_the_next_drain(void **state)
{
    (void)state;
    begins(1000000, 10000000);
    lifecycle_drain(fx.life, false);
    fx.config.drain.delay = 2000000;
    fx.config.drain.timeout = 20000000;
    lifecycle_configure(fx.life, &fx.config);
    passes(1100);
    state_is(LIFECYCLE_DRAINING);
    passes(9000);
    called(1, 1, 1);
    cancel_succeeds();
    lifecycle_drain(fx.life, false);
    passes(1900);
    state_is(LIFECYCLE_ANNOUNCING);
    passes(17000);
    called(2, 1, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_a_delay_either_signal_closes_the_listener_at_once),
        TEST(sigterm_is_announced_for_the_delay),
        TEST(sigint_skips_the_delay),
        TEST(the_delay_takes_half_of_the_timeout_at_most),
        TEST(a_very_short_drain_closes_the_listener_before_it_turns_away),
        TEST(a_drain_of_no_time_cuts_at_once),
        TEST(a_second_before_its_end_a_long_drain_turns_away_what_waits),
        TEST(a_short_drain_turns_away_at_its_half),
        TEST(a_second_signal_cuts_once),
        TEST(a_second_signal_during_the_delay_closes_the_listener_and_cuts),
        TEST(sighup_is_passed_on_and_is_no_second_signal),
        TEST(sigusr1_is_passed_on_and_is_no_second_signal),
        TEST(when_nothing_is_left_the_loop_ends_and_signals_do_nothing),
        TEST(the_end_is_reported_once_and_only_while_it_drains),
        TEST(afterwards_signals_are_the_processs_own_again),
        TEST(a_drain_without_a_signal_does_not_end_the_process),
        TEST(the_first_signal_in_it_asks_for_the_end_and_the_second_cuts),
        TEST(sigint_in_it_skips_the_rest_of_the_delay),
        TEST(by_default_it_is_not_ready_from_the_beginning),
        TEST(it_may_stay_ready_until_the_port_is_closed),
        TEST(without_a_delay_it_does_not_stay_ready),
        TEST(the_first_of_two_drains_decides_whether_it_stays_ready),
        TEST(after_a_cancel_the_next_drain_decides_anew),
        TEST(a_drain_can_be_cancelled_in_each_of_its_states),
        TEST(after_a_cancel_a_signal_begins_a_whole_drain),
        TEST(what_prevents_a_cancel_is_told_and_the_drain_goes_on),
        TEST(a_signal_cannot_be_cancelled),
        TEST(new_times_apply_to_the_next_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
