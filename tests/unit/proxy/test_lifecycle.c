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
    mono_us now;
    unsigned drains, lates, cuts;
} fx;

mono_us __wrap_clock_mono(void);

mono_us __wrap_clock_mono(void)
{
    return fx.now;
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

static const struct lifecycle_handler handler = {
    .on_drain = on_drain, .on_late = on_late, .on_cut = on_cut};

static void begins(mono_us drain_timeout)
{
    fx.life = lifecycle_new(fx.loop, drain_timeout, &handler, NULL);
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

static void it_starts_and_is_ready_when_the_app_is(void **state)
{
    (void)state;
    begins(1000000);
    state_is(LIFECYCLE_STARTING);
    lifecycle_ready(fx.life);
    state_is(LIFECYCLE_READY);
    called(0, 0, 0);
}

static void either_signal_begins_the_drain(void **state)
{
    static const int signals[] = {SIGTERM, SIGINT};

    for (int i = 0; i < 2; i++) {
        if (i > 0) {
            tear_down(state);
            set_up(state);
        }
        begins(1000000);
        lifecycle_ready(fx.life);
        is_told(signals[i]);
        state_is(LIFECYCLE_DRAINING);
        called(1, 0, 0);
    }
}

static void a_signal_while_the_app_starts_drains_too_and_it_is_never_ready(void **state)
{
    (void)state;
    begins(1000000);
    is_told(SIGTERM);
    state_is(LIFECYCLE_DRAINING);
    lifecycle_ready(fx.life);
    state_is(LIFECYCLE_DRAINING);
}

static void a_second_before_its_end_a_long_drain_turns_away_what_waits(void **state)
{
    (void)state;
    begins(25000000);
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
    begins(1000000);
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
    begins(1000000);
    is_told(SIGTERM);
    is_told(SIGINT);
    called(1, 0, 1);
    is_told(SIGTERM);
    passes(2000);
    assert_int_equal(fx.cuts, 1);
    assert_int_equal(fx.drains, 1);
    state_is(LIFECYCLE_DRAINING);
}

static void sighup_changes_nothing(void **state)
{
    (void)state;
    begins(1000000);
    lifecycle_ready(fx.life);
    is_told(SIGHUP);
    state_is(LIFECYCLE_READY);
    called(0, 0, 0);
    is_told(SIGTERM);
    is_told(SIGHUP);
    called(1, 0, 0);
}

static void when_nothing_is_left_the_loop_ends_and_signals_do_nothing(void **state)
{
    (void)state;
    begins(1000000);
    is_told(SIGTERM);
    lifecycle_stopped(fx.life);
    state_is(LIFECYCLE_STOPPED);
    loop_run(fx.loop); /* returns */
    is_told(SIGTERM);
    called(1, 0, 0);
}

static void afterwards_signals_are_the_processs_own_again(void **state)
{
    struct sigaction now;

    (void)state;
    begins(1000000);
    lifecycle_free(fx.life);
    fx.life = NULL;
    assert_int_equal(sigaction(SIGTERM, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_starts_and_is_ready_when_the_app_is),
        TEST(either_signal_begins_the_drain),
        TEST(a_signal_while_the_app_starts_drains_too_and_it_is_never_ready),
        TEST(a_second_before_its_end_a_long_drain_turns_away_what_waits),
        TEST(a_short_drain_turns_away_at_its_half),
        TEST(a_second_signal_cuts_once),
        TEST(sighup_changes_nothing),
        TEST(when_nothing_is_left_the_loop_ends_and_signals_do_nothing),
        TEST(afterwards_signals_are_the_processs_own_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
