/* Turns, one at a time: in which order events, mail, timers and the dead have their say. */
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
    struct mail mail, next_mail;
    struct loop_grave grave;
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

static void on_next_mail(struct mail *m)
{
    (void)m;
    say('n');
}

static void on_mail(struct mail *m)
{
    (void)m;
    say('m');
    loop_post(fx.loop, &fx.next_mail);
}

static void bury(struct loop_grave *g, struct loop *lp)
{
    (void)g;
    assert_ptr_equal(lp, fx.loop);
    say('b');
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    char byte;

    (void)what;
    (void)arg;
    loop_tick(fx.loop);
    assert_int_equal(read(fd, &byte, 1), 1);
    loop_bury(fx.loop, &fx.grave);
    loop_post(fx.loop, &fx.mail);
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
    fx.mail.deliver = on_mail;
    fx.next_mail.deliver = on_next_mail;
    fx.grave.bury = bury;
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

static void events_come_first_then_mail_then_the_dead(void **state)
{
    (void)state;
    assert_int_equal(write(fx.pipe[1], "x", 1), 1);
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "emb");
}

static void mail_that_mail_has_posted_waits_for_the_next_turn(void **state)
{
    (void)state;
    assert_int_equal(write(fx.pipe[1], "x", 1), 1);
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "emb");
    assert_true(loop_turn(fx.loop));
    assert_string_equal(fx.said, "embn");
    assert_false(loop_turn(fx.loop));
}

static void mail_from_outside_comes_in_the_next_turn(void **state)
{
    (void)state;
    loop_post(fx.loop, &fx.next_mail);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turn_with_nothing_to_do_says_so_and_does_not_wait, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(events_come_first_then_mail_then_the_dead, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mail_that_mail_has_posted_waits_for_the_next_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(mail_from_outside_comes_in_the_next_turn, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_timer_fires_in_a_turn_once_its_moment_has_come, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
