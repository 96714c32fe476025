/* The steps of a drain in the loops, and its end, with one worker whose loop is the control loop.
 */
#include "proxy/drain.h"
#include "tests/unit/proxy/scene.h"

static struct {
    struct drain *drain;
    struct loop *control; /* of its own only where a test says so */
    unsigned stops, reopens, done;
    size_t lost;      /* when it was first done */
    uint32_t passing; /* accepted connections that have not arrived in the loop */
    const char *cannot;
} d;

static void stop_listening(void *arg)
{
    (void)arg;
    d.stops++;
}

static bool listen_again(void *arg, const char **why)
{
    (void)arg;
    d.reopens++;
    *why = d.cannot;
    return d.cannot == NULL;
}

static uint32_t connections(void *arg)
{
    (void)arg;
    return (uint32_t)clients_count(world.clients) + d.passing;
}

static void on_done(void *arg)
{
    (void)arg;
    if (d.done++ == 0)
        d.lost = drain_lost(d.drain);
}

static const struct drain_handler handler = {.stop_listening = stop_listening,
                                             .listen_again = listen_again,
                                             .connections = connections,
                                             .on_done = on_done};

static void begins_on(struct loop *control)
{
    const struct drain_parts parts = {.loop = world.loop,
                                      .upstream = world.upstream,
                                      .exchanges = world.exchanges,
                                      .clients = world.clients};

    memset(&d, 0, sizeof(d));
    d.control = control;
    d.drain = drain_new(control, 1, &handler, NULL);
    drain_set_parts(d.drain, 0, &parts);
}

static void begins(void)
{
    scene_is_built();
    begins_on(world.loop);
}

static void ends(void)
{
    drain_free(d.drain);
}

/* In the server, each end of a client or of an exchange is told. */
static void rests(void)
{
    world_rest();
    drain_one_has_ended(d.drain, 0);
    world_rest();
}

static void closes(void)
{
    drain_close(d.drain);
    drain_listener_is_closed(d.drain);
    rests();
}

static void is_cancelled(void)
{
    const char *why;

    assert_true(drain_cancel(d.drain, &why));
    rests();
}

static void cancel_fails(const char *because)
{
    const char *why = NULL;

    assert_false(drain_cancel(d.drain, &why));
    assert_string_equal(why, because);
}

/* ---- the steps ---- */

static void with_nothing_to_do_it_is_done_once_the_listener_is_closed(void)
{
    begins();
    drain_announce(d.drain);
    rests();
    assert_int_equal(d.stops, 0);
    drain_close(d.drain);
    rests();
    assert_int_equal(d.stops, 1);
    assert_int_equal(d.done, 0);
    drain_listener_is_closed(d.drain);
    rests();
    assert_true(d.done > 0);
    ends();
}

static void idle_connections_are_closed_only_after_the_listener(void)
{
    begins();
    struct peer *a = asks(GET);

    says(app(0), OK);
    drain_close(d.drain);
    rests();
    assert_false(a->ended);
    drain_listener_is_closed(d.drain);
    rests();
    assert_true(a->ended);
    assert_int_equal(drain_lost(d.drain), 0);
    assert_true(d.done > 0);
    ends();
}

static void it_is_not_done_before_the_last_response(void)
{
    begins();
    struct peer *a = asks(GET);

    closes();
    assert_int_equal(d.done, 0);
    says(app(0), OK);
    hears(a, "\r\nConnection: close\r\n");
    leaves(a);
    rests();
    assert_true(d.done > 0);
    assert_int_equal(drain_lost(d.drain), 0);
    ends();
}

static void it_is_not_done_while_an_orphan_is_in_the_app(void)
{
    begins();
    struct peer *a = asks(GET);

    leaves(a);
    closes();
    assert_int_equal(d.done, 0);
    says(app(0), OK);
    rests();
    assert_true(d.done > 0);
    ends();
}

static void it_is_not_done_while_a_connection_is_passed_between_loops(void)
{
    begins();
    d.passing = 1;
    closes();
    assert_int_equal(d.done, 0);
    drain_client_arrives(d.drain, 0);
    struct peer *a = asks(GET);
    d.passing = 0;
    drain_client_arrived(d.drain, 0);
    rests();
    assert_int_equal(d.done, 0);
    says(app(0), OK);
    hears(a, "\r\nConnection: close\r\n");
    leaves(a);
    rests();
    assert_true(d.done > 0);
    ends();
}

static void what_is_turned_away_and_cut_is_counted(void)
{
    begins();
    struct peer *a = asks(GET), *b = asks(GET);

    closes();
    drain_turn_away(d.drain);
    rests();
    is_told(b, 503, "draining", NULL);
    assert_int_equal(drain_lost(d.drain), 1);
    leaves(b);
    drain_cut(d.drain);
    rests();
    assert_true(a->ended);
    assert_int_equal(drain_lost(d.drain), 2);
    assert_true(d.done > 0);
    ends();
}

static void what_is_turned_away_late_counts_too(void)
{
    begins();
    struct peer *a = asks(GET), *b = asks("GET / HTTP/1.1\r\n");

    closes();
    drain_turn_away(d.drain);
    rests();
    assert_int_equal(drain_lost(d.drain), 0);
    says(b, "Host: a\r\n\r\n");
    is_told(b, 503, "draining", NULL);
    rests();
    assert_int_equal(drain_lost(d.drain), 1);
    says(app(0), OK);
    hears(a, "200 OK");
    ends();
}

/* The control thread runs at the same time: here, at the end of each client and exchange. */
static void the_control_thread_is_quick(void)
{
    drain_one_has_ended(d.drain, 0);
    while (loop_turn(d.control))
        continue;
}

static void what_a_step_has_ended_is_counted_before_all_is_done(void)
{
    scene_is_built();
    begins_on(loop_new(1));
    struct peer *a = asks(GET);

    drain_close(d.drain);
    drain_listener_is_closed(d.drain);
    drain_cut(d.drain);
    world.at_end = the_control_thread_is_quick;
    while (loop_turn(d.control))
        continue;
    world_rest();
    while (loop_turn(d.control))
        continue;
    assert_true(a->ended);
    assert_true(d.done > 0);
    assert_int_equal(d.lost, 1);
    world.at_end = NULL;
    loop_free(d.control);
    ends();
}

static void a_cut_before_the_listener_is_closed_waits_for_that(void)
{
    begins();
    struct peer *a = asks(GET), *b = asks(GET);

    drain_close(d.drain);
    drain_cut(d.drain);
    rests();
    assert_false(a->ended);
    drain_listener_is_closed(d.drain);
    rests();
    assert_true(a->ended);
    is_told(b, 503, "draining", NULL);
    assert_true(d.done > 0);
    ends();
}

static void a_connection_that_arrives_after_the_cut_is_cut_too(void)
{
    begins();
    d.passing = 1;
    closes();
    drain_cut(d.drain);
    rests();
    assert_int_equal(d.done, 0);
    drain_client_arrives(d.drain, 0);
    struct peer *a = comes();
    world_turn();
    d.passing = 0;
    drain_client_arrived(d.drain, 0);
    rests();
    assert_true(a->ended);
    assert_true(d.done > 0);
    ends();
}

/* ---- cancelling ---- */

static void an_announced_drain_is_cancelled_without_the_listener(void)
{
    begins();
    struct peer *a = asks(GET);

    drain_announce(d.drain);
    rests();
    is_cancelled();
    assert_int_equal(d.stops + d.reopens, 0);
    says(app(0), OK);
    assert_false(has_heard(a, "Connection: close"));
    hears(a, "\r\n\r\nok");
    ends();
}

static void after_the_listener_has_been_closed_it_is_opened_again(void)
{
    begins();
    struct peer *a = asks(GET), *b = asks(GET);

    closes();
    drain_turn_away(d.drain);
    rests();
    is_told(b, 503, "draining", NULL);
    is_cancelled();
    assert_int_equal(d.reopens, 1);
    assert_int_equal(drain_lost(d.drain), 0);
    says(app(0), OK);
    assert_false(has_heard(a, "Connection: close"));
    closes();
    assert_int_equal(d.stops, 2);
    assert_true(a->ended);
    ends();
}

static void what_prevents_it_is_told(void)
{
    begins();
    drain_close(d.drain);
    cancel_fails("weir is closing its port at this moment: try again");
    assert_int_equal(d.reopens, 0);
    drain_listener_is_closed(d.drain);
    rests();
    d.cannot = "the port is taken";
    cancel_fails("the port is taken");
    d.cannot = NULL;
    is_cancelled();
    assert_int_equal(d.reopens, 2);
    ends();
}

static void a_cancel_that_the_loop_has_not_seen_takes_nothing_from_the_next_drain(void)
{
    const char *why;

    begins();
    struct peer *a = asks(GET);

    drain_announce(d.drain);
    assert_true(drain_cancel(d.drain, &why));
    drain_announce(d.drain);
    closes();
    assert_int_equal(d.done, 0);
    says(app(0), OK);
    hears(a, "\r\nConnection: close\r\n");
    leaves(a);
    rests();
    assert_true(d.done > 0);
    ends();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(with_nothing_to_do_it_is_done_once_the_listener_is_closed),
        SCENE(idle_connections_are_closed_only_after_the_listener),
        SCENE(it_is_not_done_before_the_last_response),
        SCENE(it_is_not_done_while_an_orphan_is_in_the_app),
        SCENE(it_is_not_done_while_a_connection_is_passed_between_loops),
        SCENE(what_is_turned_away_and_cut_is_counted),
        SCENE(what_is_turned_away_late_counts_too),
        SCENE(what_a_step_has_ended_is_counted_before_all_is_done),
        SCENE(a_cut_before_the_listener_is_closed_waits_for_that),
        SCENE(a_connection_that_arrives_after_the_cut_is_cut_too),
        SCENE(an_announced_drain_is_cancelled_without_the_listener),
        SCENE(after_the_listener_has_been_closed_it_is_opened_again),
        SCENE(what_prevents_it_is_told),
        SCENE(a_cancel_that_the_loop_has_not_seen_takes_nothing_from_the_next_drain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
