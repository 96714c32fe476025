/* The condition of the app, from signs that a test makes up. A tick is 100 ms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/app_condition.h"

#define TICK INT64_C(100000)

static struct app_condition c;
static struct app_signs s;
static struct socket_queues_reading q;
static struct estimate_reading e;

static int set_up(void **state)
{
    (void)state;
    memset(&c, 0, sizeof(c));
    memset(&q, 0, sizeof(q));
    memset(&e, 0, sizeof(e));
    s = (struct app_signs){.now = 50 * TICK, .inside = 5, .queues = &q, .estimate = &e};
    q.told = true;
    app_condition_judge(&c, &s);
    return 0;
}

static void tick(unsigned n)
{
    while (n-- > 0) {
        s.now += TICK;
        app_condition_judge(&c, &s);
    }
}

static void unread(size_t n, uint64_t first)
{
    q.marks = n;
    q.unread = (unsigned)n;
    for (size_t i = 0; i < n; i++)
        q.mark[i] = first + i;
}

static void an_app_that_reads_is_ok(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 50; i++) {
        unread(3, i); /* one was read, and one has arrived */
        tick(1);
        assert_int_equal(c.verdict, VERDICT_OK);
    }
    assert_int_equal(c.stalled, 0);
}

static void bytes_that_stay_unread_show_a_blocked_loop(void **state)
{
    (void)state;
    unread(1, 7);
    tick(4);
    assert_int_equal(c.verdict, VERDICT_OK);
    tick(1);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
    assert_int_equal(c.stalled, 4 * TICK);
    unread(3, 7); /* more have arrived */
    tick(3);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
    assert_int_equal(c.stalled, 7 * TICK);
}

static void a_single_read_shows_that_it_is_not_blocked(void **state)
{
    (void)state;
    unread(3, 7);
    for (int i = 0; i < 10; i++) {
        tick(3);
        unread(3, q.mark[0] + 1);
        assert_int_equal(c.verdict, VERDICT_OK);
    }
}

static void a_response_shows_that_it_is_not_blocked(void **state)
{
    (void)state;
    unread(3, 7);
    for (int i = 0; i < 10; i++) {
        tick(4);
        s.completed++;
        assert_int_equal(c.verdict, VERDICT_OK);
    }
}

static void the_verdict_outlasts_the_reads_between_two_handlers(void **state)
{
    (void)state;
    unread(2, 7);
    tick(6);
    unread(0, 0);
    tick(19);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
    mono_us stalled = c.stalled;
    tick(2);
    assert_int_equal(c.verdict, VERDICT_OK);
    assert_int_equal(c.stalled, stalled);
}

static void an_app_without_requests_is_not_stalled(void **state)
{
    (void)state;
    s.inside = 0;
    unread(1, 7);
    tick(20);
    assert_int_equal(c.verdict, VERDICT_OK);
}

static void looks_that_are_far_apart_show_nothing(void **state)
{
    (void)state;
    unread(1, 7);
    for (int i = 0; i < 5; i++) {
        s.now += 16 * TICK;
        app_condition_judge(&c, &s);
    }
    assert_int_equal(c.verdict, VERDICT_OK);
}

static void looks_that_were_left_out_are_no_reads(void **state)
{
    (void)state;
    unread(1, 7);
    for (int i = 0; i < 3; i++) {
        s.queues = &q;
        tick(1);
        s.queues = NULL;
        tick(2);
    }
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
}

static void an_overdue_health_check_counts_if_the_kernel_reports_nothing(void **state)
{
    (void)state;
    s.probe = 6 * TICK;
    tick(6);
    assert_int_equal(c.verdict, VERDICT_OK);
    q.told = false;
    tick(6);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
    s.probe = 0;
    tick(21);
    assert_int_equal(c.verdict, VERDICT_OK);
}

static void a_queue_inside_shows_a_full_pool(void **state)
{
    (void)state;
    e = (struct estimate_reading){
        .valid = true, .parallelism = 40, .hidden_valid = true, .hidden = 40, .floor = 10 * TICK};
    tick(1);
    assert_int_equal(c.verdict, VERDICT_POOL_FULL);
    unread(1, 7);
    tick(9);
    assert_int_equal(c.verdict, VERDICT_POOL_FULL);
    e.parallelism = 1;
    e.hidden = 4;
    tick(1);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
    e = (struct estimate_reading){.hidden_valid = true};
    unread(0, 0);
    tick(25);
    assert_int_equal(c.verdict, VERDICT_OK);
}

/* As Gunicorn's sync workers, which accept a connection when they are free and close it. */
static void connections_that_wait_for_a_worker_show_a_full_pool(void **state)
{
    (void)state;
    s.completed = 4;
    tick(1);
    unread(3, 7);
    q.unread = 0; /* none is accepted */
    q.accept_queue = 3;
    tick(5);
    assert_int_equal(c.verdict, VERDICT_POOL_FULL);
    assert_int_equal(c.stalled, 4 * TICK);
    unread(0, 0);
    tick(21);
    assert_int_equal(c.verdict, VERDICT_OK);
}

/* A loop keeps its connections, and has read from those that it has accepted. */
static void an_accept_queue_of_a_blocked_loop(void **state)
{
    (void)state;
    s.completed = 4;
    s.kept = true;
    tick(1);
    unread(3, 7);
    q.unread = 0;
    tick(5);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
    s.kept = false;
    q.unread = 1;
    tick(1);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
}

static void an_app_that_is_not_up_is_judged_no_further(void **state)
{
    (void)state;
    unread(1, 7);
    s.starting = true;
    tick(9);
    assert_int_equal(c.verdict, VERDICT_STARTING);
    s.starting = false;
    s.down = true;
    tick(9);
    assert_int_equal(c.verdict, VERDICT_DOWN);
    s.down = false;
    tick(1);
    assert_int_equal(c.verdict, VERDICT_OK);
    assert_int_equal(c.stalled, 0);
}

static void more_marks_than_are_kept(void **state)
{
    (void)state;
    unread(SOCKET_QUEUES_MARKS, 7);
    tick(5);
    assert_int_equal(c.verdict, VERDICT_LOOP_BLOCKED);
}

#define T(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(an_app_that_reads_is_ok),
        T(bytes_that_stay_unread_show_a_blocked_loop),
        T(a_single_read_shows_that_it_is_not_blocked),
        T(a_response_shows_that_it_is_not_blocked),
        T(the_verdict_outlasts_the_reads_between_two_handlers),
        T(an_app_without_requests_is_not_stalled),
        T(looks_that_are_far_apart_show_nothing),
        T(looks_that_were_left_out_are_no_reads),
        T(an_overdue_health_check_counts_if_the_kernel_reports_nothing),
        T(a_queue_inside_shows_a_full_pool),
        T(connections_that_wait_for_a_worker_show_a_full_pool),
        T(an_accept_queue_of_a_blocked_loop),
        T(an_app_that_is_not_up_is_judged_no_further),
        T(more_marks_than_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
