/* How late a timer fires, on a separate loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>

#include "backend-demo/looplag.h"

struct fixture {
    struct event_base *base;
    struct looplag *ll;
    unsigned ticks, until;
    mono_us block, lag[8];
};

static void keep_busy(mono_us us)
{
    mono_us end = clock_mono() + us;
    while (clock_mono() < end)
        continue;
}

static void on_lag(mono_us lag, void *arg)
{
    struct fixture *f = arg;
    f->lag[f->ticks++] = lag;
    if (f->ticks == f->until)
        event_base_loopbreak(f->base);
}

static void on_block(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *f = arg;
    (void)fd, (void)what;
    keep_busy(f->block);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->base = event_base_new();
    assert_non_null(f->base);
    f->ll = looplag_start(f->base, on_lag, f);
    assert_non_null(f->ll);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    looplag_stop(f->ll);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void a_blocked_loop_is_one_late_tick(void **state)
{
    struct fixture *f = *state;
    f->block = 200000;
    f->until = 1;
    event_base_once(f->base, -1, EV_TIMEOUT, on_block, f, NULL);
    event_base_dispatch(f->base);
    /* The loop was blocked at once, so the lag is all but the 20 ms until the tick was due. */
    assert_true(f->lag[0] >= 180000);

    f->until = 3;
    event_base_dispatch(f->base);
    assert_int_equal(f->ticks, 3);
    assert_true(f->lag[1] < f->lag[0]);
    assert_true(f->lag[2] < f->lag[0]);
}

static void lag_is_never_negative(void **state)
{
    struct fixture *f = *state;
    f->until = 5;
    event_base_dispatch(f->base);
    for (unsigned i = 0; i < f->until; i++)
        assert_true(f->lag[i] >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_blocked_loop_is_one_late_tick, setup, teardown),
        cmocka_unit_test_setup_teardown(lag_is_never_negative, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
