/* Single turns: the order of events, tasks, timers and deferred frees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "proxy/loop.h"

#define TURNS_MAX 100000

struct fixture {
    struct loop *loop;
    int pipe[2];
    struct event *event;
    struct task task, next_task;
    struct loop_deferred deferred;
    struct loop_timer timer;
    char said[16]; /* a letter for each callback */
};

static struct fixture fx;

static void say(char c)
{
    size_t n = strlen(fx.said);

    assert_true(n + 1 < sizeof(fx.said));
    fx.said[n] = c;
    fx.said[n + 1] = '\0';
}

static void on_next_task(struct task *task)
{
    (void)task;
    say('n');
}

static void on_task(struct task *task)
{
    (void)task;
    say('p');
    loop_post(fx.loop, &fx.next_task);
}

static void release_memory(struct loop_deferred *d, struct loop *lp)
{
    (void)d;
    assert_ptr_equal(lp, fx.loop);
    say('f');
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    char byte;

    (void)what;
    (void)arg;
    loop_tick(fx.loop);
    assert_int_equal(read(fd, &byte, 1), 1);
    loop_defer_free(fx.loop, &fx.deferred);
    loop_post(fx.loop, &fx.task);
    say('e');
}

static void on_timer(void *arg)
{
    (void)arg;
    say('t');
}

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    assert_int_equal(pipe(fx.pipe), 0);
    fx.event =
        event_new(loop_base(fx.loop), fx.pipe[0], EV_READ | EV_ET | EV_PERSIST, on_readable, NULL);
    assert_int_equal(event_add(fx.event, NULL), 0);
    fx.task.run = on_task;
    fx.next_task.run = on_next_task;
    fx.deferred.release = release_memory;
    loop_timer_init(&fx.timer, on_timer, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    loop_timer_fini(&fx.timer);
    event_free(fx.event);
    close(fx.pipe[0]);
    close(fx.pipe[1]);
    loop_free(fx.loop);
    return 0;
}

static void a_turn_with_nothing_to_do_says_so_and_does_not_wait(void **state)
{
    (void)state;
    loop_timer_arm(fx.loop, &fx.timer, loop_tick(fx.loop) + 3600000000);
    assert_false(loop_turn(fx.loop));
    assert_string_equal(fx.said, "");
}

static void events_run_first_then_tasks_then_deferred_frees(void **state)
{
    (void)state;
    assert_int_equal(write(fx.pipe[1], "x", 1), 1);
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "epf");
}

static void a_task_posted_by_a_task_runs_in_the_next_turn(void **state)
{
    (void)state;
    assert_int_equal(write(fx.pipe[1], "x", 1), 1);
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "epf");
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "epfn");
    assert_false(loop_turn(fx.loop));
}

static void a_task_from_outside_runs_in_the_next_turn(void **state)
{
    (void)state;
    loop_post(fx.loop, &fx.next_task);
    assert_string_equal(fx.said, "");
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "n");
}

static void a_timer_fires_in_a_turn_once_its_moment_has_come(void **state)
{
    mono_us due = loop_tick(fx.loop) + 3000;
    int turns = 0;

    (void)state;
    loop_timer_arm(fx.loop, &fx.timer, due);
    while (fx.said[0] == '\0' && turns++ < TURNS_MAX)
        loop_turn(fx.loop);
    assert_string_equal(fx.said, "t");
    assert_true(loop_now(fx.loop) >= due);
    while (loop_turn(fx.loop) && turns++ < TURNS_MAX)
        continue;
    assert_string_equal(fx.said, "t");
}

/* ---- undelivered events ---- */

#define ROOM 32 /* libevent's initial room for epoll */
#define LONG 200000

static struct crowd {
    int pipes[ROOM][2];
    struct event *events[ROOM];
    struct task task;
    char next[ROOM + 1]; /* per event, in the order of delivery: y if the next is pending, else n */
    bool first_lags, task_lags, delete_next, linger;
} crowd;

static void on_crowd_task(struct task *task)
{
    (void)task;
    crowd.task_lags = loop_may_lag(fx.loop);
}

static void on_crowd(evutil_socket_t fd, short what, void *arg)
{
    char byte;

    (void)what;
    (void)arg;
    mono_us now = loop_tick(fx.loop);
    assert_int_equal(read(fd, &byte, 1), 1);
    size_t told = strlen(crowd.next);
    if (told == 0) {
        loop_post(fx.loop, &crowd.task);
        crowd.first_lags = loop_may_lag(fx.loop);
    }
    assert_false(loop_event_is_pending(crowd.events[told]));
    crowd.next[told] = loop_event_is_pending(crowd.events[(told + 1) % ROOM]) ? 'y' : 'n';
    if (crowd.delete_next)
        event_del(crowd.events[1]);
    crowd.delete_next = false;
    while (crowd.linger && clock_mono() < now + LONG)
        continue;
}

static void crowd_comes(int n)
{
    memset(crowd.next, 0, sizeof(crowd.next));
    for (int i = 0; i < n; i++)
        assert_int_equal(write(crowd.pipes[i][1], "x", 1), 1);
    assert_true(loop_turn(fx.loop));
}

static int set_up_crowd(void **state)
{
    set_up(state);
    memset(&crowd, 0, sizeof(crowd));
    crowd.task.run = on_crowd_task;
    for (int i = 0; i < ROOM; i++) {
        assert_int_equal(pipe(crowd.pipes[i]), 0);
        crowd.events[i] = event_new(loop_base(fx.loop), crowd.pipes[i][0],
                                    EV_READ | EV_ET | EV_PERSIST, on_crowd, NULL);
        assert_int_equal(event_add(crowd.events[i], NULL), 0);
    }
    return 0;
}

static int tear_down_crowd(void **state)
{
    for (int i = 0; i < ROOM; i++) {
        event_free(crowd.events[i]);
        close(crowd.pipes[i][0]);
        close(crowd.pipes[i][1]);
    }
    return tear_down(state);
}

static void an_event_is_pending_from_its_report_to_its_callback(void **state)
{
    (void)state;
    assert_false(loop_event_is_pending(crowd.events[0]));
    crowd_comes(1);
    assert_string_equal(crowd.next, "n");
    crowd_comes(3);
    assert_string_equal(crowd.next, "yyn");
    assert_false(crowd.task_lags);
}

static void a_turn_that_was_full_lags_and_the_next_has_more_room(void **state)
{
    (void)state;
    crowd_comes(ROOM - 1);
    assert_false(crowd.task_lags);
    crowd_comes(ROOM);
    assert_true(crowd.first_lags);
    assert_true(crowd.task_lags);
    crowd_comes(ROOM);
    assert_false(crowd.first_lags);
    assert_false(crowd.task_lags);
}

/* The wheel's timer is not an event from epoll. */
static void a_timer_that_is_due_does_not_fill_a_turn(void **state)
{
    mono_us due = loop_tick(fx.loop) + 2000;

    (void)state;
    loop_timer_arm(fx.loop, &fx.timer, due);
    while (clock_mono() < due + 2000)
        continue;
    crowd_comes(ROOM - 1);
    assert_string_equal(fx.said, "t");
    assert_false(crowd.first_lags);
    assert_false(crowd.task_lags);
}

static void an_event_that_is_deleted_before_it_is_told_was_one_of_the_turn(void **state)
{
    (void)state;
    crowd.delete_next = true;
    crowd_comes(ROOM);
    assert_int_equal(strlen(crowd.next), ROOM - 1);
    assert_true(crowd.task_lags);
}

static void a_turn_in_which_the_process_stood_still_lags(void **state)
{
    (void)state;
    crowd.linger = true;
    crowd_comes(1);
    assert_true(crowd.task_lags);
    crowd.linger = false;
    crowd_comes(1);
    assert_false(crowd.task_lags);
}

static void on_late_timer(void *arg)
{
    bool *lags = arg;

    *lags = loop_may_lag(fx.loop);
    loop_stop(fx.loop);
}

static void a_turn_that_has_slept_until_its_first_event_does_not_lag(void **state)
{
    bool lags = true;

    (void)state;
    loop_timer_fini(&fx.timer);
    loop_timer_init(&fx.timer, on_late_timer, &lags);
    loop_timer_arm(fx.loop, &fx.timer, loop_tick(fx.loop) + LONG);
    loop_run(fx.loop);
    assert_false(lags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turn_with_nothing_to_do_says_so_and_does_not_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(events_run_first_then_tasks_then_deferred_frees, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_task_posted_by_a_task_runs_in_the_next_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_task_from_outside_runs_in_the_next_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_timer_fires_in_a_turn_once_its_moment_has_come, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_event_is_pending_from_its_report_to_its_callback,
                                        set_up_crowd, tear_down_crowd),
        cmocka_unit_test_setup_teardown(a_timer_that_is_due_does_not_fill_a_turn, set_up_crowd,
                                        tear_down_crowd),
        cmocka_unit_test_setup_teardown(a_turn_that_was_full_lags_and_the_next_has_more_room,
                                        set_up_crowd, tear_down_crowd),
        cmocka_unit_test_setup_teardown(
            an_event_that_is_deleted_before_it_is_told_was_one_of_the_turn, set_up_crowd,
            tear_down_crowd),
        cmocka_unit_test_setup_teardown(a_turn_in_which_the_process_stood_still_lags, set_up_crowd,
                                        tear_down_crowd),
        cmocka_unit_test_setup_teardown(a_turn_that_has_slept_until_its_first_event_does_not_lag,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
