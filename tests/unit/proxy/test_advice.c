/* The sentence for each situation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/advice.h"

static struct advice_facts f;
static struct history_summary h;
static struct strbuf out;

static int set_up(void **state)
{
    (void)state;
    memset(&h, 0, sizeof(h));
    h.seconds = 60;
    h.finished[STATS_SOURCE_APP] = 1000;
    f = (struct advice_facts){.enforcing = true, .limit = 80, .in_flight = 12, .recent = &h};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strbuf_fini(&out);
    out = (struct strbuf){0};
    return 0;
}

static void says(const char *sentence)
{
    strbuf_clear(&out);
    advice_write(&f, &out);
    assert_string_equal(strbuf_cstr(&out), sentence);
}

static void there_is_a_queue_inside(double parallelism, double hidden)
{
    f.estimate = (struct estimate_reading){.valid = true,
                                           .parallelism = parallelism,
                                           .hidden_valid = true,
                                           .hidden = hidden,
                                           .floor = 1000000};
}

static void the_limit_is_too_high_for_the_app(void **state)
{
    (void)state;
    there_is_a_queue_inside(39.7, 40.3);
    f.verdict = VERDICT_POOL_FULL;
    f.in_flight = 80;
    says("The limit is 80, but the app works on 40 at once: 40 requests only wait inside it. A "
         "limit of 40 loses no throughput, and keeps them in weir's queue.");
    f.limit = UINT32_MAX;
    there_is_a_queue_inside(40, 1);
    says("There is no limit, but the app works on 40 at once: 1 request only waits inside it. A "
         "limit of 40 loses no throughput, and keeps them in weir's queue.");
}

static void all_workers_are_busy(void **state)
{
    (void)state;
    f.verdict = VERDICT_POOL_FULL;
    f.unread_told = true;
    f.unread = 6;
    says("All workers of the app are busy at times: 6 requests wait for one to accept it. A limit "
         "of their number would keep such requests in weir's queue.");
    f.unread = 0;
    says("All workers of the app are busy at times. A limit of their number would keep such "
         "requests in weir's queue.");
}

static void the_loop_is_blocked(void **state)
{
    (void)state;
    f.verdict = VERDICT_LOOP_BLOCKED;
    f.unread_told = true;
    f.unread = 3;
    says("The app has not read what was sent on 3 of its connections: its event loop is blocked, "
         "or all its threads are busy; look for blocking calls, such as time.sleep() or a "
         "synchronous driver, in async "
         "handlers.");
    f.unread = 0;
    says(
        "The app reads nothing at times, with 12 requests in flight: its event loop is blocked, or "
        "all its threads are busy; look for blocking calls, such as time.sleep() or a synchronous "
        "driver, in async handlers.");
    there_is_a_queue_inside(1, 11);
    says("The app works on one request at a time while 11 wait inside it: look for blocking calls, "
         "such as time.sleep() or a synchronous driver, in async handlers, or lower the limit to "
         "1.");
}

static void the_app_is_not_up(void **state)
{
    (void)state;
    f.verdict = VERDICT_STARTING;
    says("The app has not started yet: requests will wait for it.");
    f.verdict = VERDICT_DOWN;
    f.queued = 1;
    says("The app is down: 1 request waits for it.");
    f.queued = 5;
    says("The app is down: 5 requests wait for it.");
}

static void weir_itself_drains_or_is_paused(void **state)
{
    (void)state;
    f.paused = true;
    f.queued = 2;
    says("weir is paused, and 2 requests are in the queue; weir resume ends the pause.");
    f.draining = true;
    f.in_flight = 1;
    says("weir is draining: 1 request is in flight and 2 in the queue.");
}

static void there_is_an_overload(void **state)
{
    (void)state;
    f.overload = true;
    f.queued = 700;
    says("Overload: more requests arrive than are served, and 700 are in the queue; weir first "
         "serves those that can still be on time. Add instances.");
    h.refused = 1;
    h.seconds = 1;
    says("Overload: more requests arrive than are served, and 700 are in the queue; weir first "
         "serves those that can still be on time. Add instances; 1 request was refused in the last "
         "second.");
}

static void requests_are_refused(void **state)
{
    (void)state;
    h.refused = 25;
    h.rejected[STATS_QUEUE_FULL] = 25;
    says("25 requests were refused in the last 60 s, with queue_full.");
    h.rejected[STATS_QUEUE_FULL] = 20;
    h.rejected[STATS_BYTES] = 5;
    says("25 requests were refused in the last 60 s, most with queue_full.");
    h.saturated = 0.9;
    says("25 requests were refused in the last 60 s, most with queue_full, while no slot was free "
         "for 90 % of the time: more requests arrive than are served.");
    f.estimate.hidden_valid = true;
    says("25 requests were refused in the last 60 s, most with queue_full, while no slot was free "
         "for 90 % of the time: more requests arrive than the limit lets through, and none waits "
         "inside the app.");
    h.refused = 10; /* one in a hundred */
    h.saturated = 0;
    says("All is well: 12 of 80 slots are in use, and 0 requests wait.");
}

static void clients_give_up(void **state)
{
    (void)state;
    h.finished[STATS_SOURCE_CLIENT_GONE] = 30;
    h.wait[HISTORY_P90] = -1;
    says("30 clients left before the response in the last 60 s.");
    h.wait[HISTORY_P90] = 1250000;
    says("30 clients left before the response in the last 60 s, when one request in ten waited for "
         "1.25 s or more.");
}

static void the_app_fails(void **state)
{
    (void)state;
    h.errors = 100;
    says("100 of 1000 responses in the last 60 s were errors: 500 or above from the app, or 502 or "
         "504 "
         "from weir.");
}

static void the_limit_is_too_low(void **state)
{
    (void)state;
    h.saturated = 0.75;
    h.wait[HISTORY_P90] = 300000;
    says("All 80 slots were in use for 75 % of the last 60 s, and one request in ten waited for "
         "300 ms or more; whether the app can work on more at once is not known.");
    f.estimate.hidden_valid = true;
    says("All 80 slots were in use for 75 % of the last 60 s, and one request in ten waited for "
         "300 ms or more, while nothing waits inside the app: it may serve more with a higher "
         "limit.");
}

static void all_is_well_or_idle(void **state)
{
    (void)state;
    f.queued = 1;
    says("All is well: 12 of 80 slots are in use, and 1 request waits.");
    f.limit = UINT32_MAX;
    f.in_flight = 1;
    f.queued = 0;
    says("All is well: 1 request is in flight, and 0 requests wait.");
    f.in_flight = 0;
    h.finished[STATS_SOURCE_APP] = 0;
    says("Idle: no request has arrived in the last 60 s.");
    h.seconds = 0;
    says("Idle: no request has arrived yet.");
}

static void a_dry_run_is_named(void **state)
{
    (void)state;
    f.enforcing = false;
    f.queued = 3;
    says("The limit of 80 is not enforced (enforce is false): 12 requests would hold a slot, and 3 "
         "would wait.");
    f.overload = true; /* nobody is refused in it */
    h.refused = h.rejected[0] = 500;
    h.saturated = 0.9;
    says("The limit of 80 is not enforced (enforce is false): 12 requests would hold a slot, and 3 "
         "would wait; 500 requests would have been refused in the last 60 s.");
    h.refused = 0;
    f.limit = UINT32_MAX;
    f.queued = 0;
    says("Nothing is enforced (enforce is false): 12 requests would hold a slot, and 0 would "
         "wait.");
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_limit_is_too_high_for_the_app),
        T(the_loop_is_blocked),
        T(all_workers_are_busy),
        T(the_app_is_not_up),
        T(weir_itself_drains_or_is_paused),
        T(there_is_an_overload),
        T(requests_are_refused),
        T(clients_give_up),
        T(the_app_fails),
        T(the_limit_is_too_low),
        T(all_is_well_or_idle),
        T(a_dry_run_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
