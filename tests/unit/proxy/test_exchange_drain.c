/* The requests of a loop when weir drains, cuts them, or needs room. */
#include "tests/unit/proxy/scene.h"

#define PUT_PART "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234"
#define UPGRADE  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switched\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"

static void is_ordered(enum world_order order)
{
    world_tell(order);
    world_rest();
}

static struct peer *with_a_tunnel(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(peers.n_apps - 1), SWITCHED);
    hears(a, "HTTP/1.1 101 ");
    return a;
}

/* ---- the drain ---- */

static void a_drain_serves_what_there_is_and_each_response_is_its_connections_last(void)
{
    struct peer *a = asks(GET), *b = asks(GET), *c = asks(PUT_PART);

    is_ordered(WORLD_DRAIN);
    slots_are(1, 1);
    says(c, "56789");
    slots_are(1, 2);
    for (size_t i = 0; i < 3; i++)
        says(app(i), OK);
    hears(a, "\r\nConnection: close\r\n");
    hears(b, "\r\nConnection: close\r\n");
    hears(c, "\r\nConnection: close\r\n");
    assert_true(a->ended && b->ended && c->ended);
    nobody_is_left();
}

static void a_drain_closes_what_waits_for_nothing(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    assert_false(a->ended);
    is_ordered(WORLD_DRAIN);
    assert_true(a->ended && app(0)->ended);
}

static void an_announced_drain_still_takes_tunnels_and_keeps_the_apps_connections(void)
{
    struct peer *a = asks(GET), *b;

    says(app(0), OK);
    is_ordered(WORLD_ANNOUNCE);
    b = with_a_tunnel();
    assert_int_equal(peers.n_apps, 1);
    leaves(b);
    assert_false(a->ended);
}

static void an_announced_drain_makes_each_response_its_connections_last(void)
{
    struct peer *a = asks(GET), *b = comes(), *c = asks(GET);

    is_ordered(WORLD_ANNOUNCE);
    says(b, GET_OF("/b"));
    for (size_t i = 0; i < 3; i++)
        says(app(0), OK);
    hears(a, "\r\nConnection: close\r\n");
    hears(b, "\r\nConnection: close\r\n");
    hears(c, "\r\nConnection: close\r\n");
    assert_true(a->ended && b->ended && c->ended);
}

/* Balancers may not know of the drain yet, and a FIN might cross their next request. */
static void an_announced_drain_closes_no_idle_connection(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    until(1400);
    is_ordered(WORLD_ANNOUNCE);
    until(2800);
    assert_false(a->ended);
    says(a, GET);
    says(app(1), OK); /* the first connection has expired */
    hears(a, "\r\nConnection: close\r\n");
}

/* A drain reads what has arrived before epoll has reported it. */
static void a_request_that_arrives_with_its_clients_end_is_not_sent(void)
{
    struct peer *a = comes();

    says_at_once(a, GET);
    peers_close(a);
    is_ordered(WORLD_DRAIN);
    assert_int_equal(peers.n_apps, 0);
}

static void a_refusal_in_an_announced_drain_is_the_last_too(void)
{
    struct peer *a = asks("OPTIONS / HTTP/1.1\r\n");

    is_ordered(WORLD_ANNOUNCE);
    says(a, "Host: a\r\nMax-Forwards: 0\r\n\r\n");
    hears(a, "\r\nConnection: close\r\n");
}

static void after_a_cancel_connections_and_tunnels_are_kept_again(void)
{
    struct peer *a = comes();

    is_ordered(WORLD_ANNOUNCE);
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_CANCEL);
    for (int i = 0; i < 2; i++) {
        says(a, GET);
        says(app(0), OK);
        assert_false(has_heard(a, "Connection: close"));
        hears(a, "\r\n\r\nok");
    }
    assert_int_equal(peers.n_apps, 1);
    leaves(with_a_tunnel());
    assert_false(a->ended);
}

static void a_drain_takes_no_new_tunnel(void)
{
    struct peer *a = asks("GET / HTTP/1.1\r\n");

    is_ordered(WORLD_DRAIN);
    says(a, "Host: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    is_told(a, 503, "draining", "\r\nConnection: close\r\n");
}

static void in_the_drains_last_second_requests_without_a_slot_are_refused(void)
{
    struct peer *a = asks(GET), *b = asks(GET), *c = asks(PUT_PART);

    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    is_told(b, 503, "draining", "\r\nRetry-After: 1\r\n");
    is_told(c, 503, "draining", "\r\nRetry-After: 1\r\n");
    assert_int_equal(world.turned_away, 2);
    assert_int_equal(counted(C_REJECTED + STATS_DRAINING), 2);
    assert_int_equal(counted(C_WAITS + STATS_DRAINED), 1);
    says(app(0), OK);
    hears(a, "200 OK");
}

static void whose_head_is_complete_only_in_the_last_second_is_turned_away_as_well(void)
{
    struct peer *a = asks(GET), *b = asks("GET / HTTP/1.1\r\n"), *c = asks("GET / HTTP/1.1\r\n");

    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    says(b, "Host: a\r\n\r\n");
    is_told(b, 503, "draining", "\r\nConnection: close\r\n");
    assert_int_equal(exchange_take_late(world.exchanges), 1);
    assert_int_equal(exchange_take_late(world.exchanges), 0);
    assert_int_equal(counted(C_WAITS + STATS_DRAINED), 1);
    says(app(0), OK);
    hears(a, "200 OK");
    says(c, "Host: a\r\n\r\n"); /* a slot is free */
    says(app(1), OK);
    hears(c, "200 OK");
}

static void in_the_drains_last_second_tunnels_end(void)
{
    struct peer *a = with_a_tunnel();

    is_ordered(WORLD_DRAIN);
    slots_are(1, 0);
    is_ordered(WORLD_LATE);
    nobody_is_left();
    assert_true(a->ended && app(0)->ended);
    assert_int_equal(world.turned_away, 0);
}

/* ---- WebSockets ---- */

#define WS_UPGRADE  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define WS_SWITCHED "HTTP/1.1 101 Switched\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
#define WS_CLOSE    "\x88\x02\x03\xe9"

static struct peer *with_a_websocket(void)
{
    struct peer *a = asks(WS_UPGRADE);

    says(app(0), WS_SWITCHED);
    hears(a, "HTTP/1.1 101 ");
    is_ordered(WORLD_DRAIN);
    return a;
}

static void in_the_last_second_a_websocket_is_closed_and_the_clients_reply_passed_on(void)
{
    struct peer *a = with_a_websocket();

    is_ordered(WORLD_LATE);
    hears(a, WS_CLOSE);
    assert_false(a->ended);
    says(a, "\x88\x82"
            "mask"
            "yz");
    hears(app(0), "\x88\x82"
                  "mask"
                  "yz");
    slots_are(1, 0);
    leaves(app(0));
    assert_true(a->ended);
    leaves(a);
    nobody_is_left();
    assert_int_equal(world.turned_away, 0);
}

static void a_client_that_does_not_reply_has_a_second(void)
{
    struct peer *a = with_a_websocket();

    is_ordered(WORLD_LATE);
    from_now();
    until(980);
    assert_false(a->ended || app(0)->ended);
    until(1040);
    assert_true(a->ended && app(0)->ended);
    hears(a, WS_CLOSE);
    slots_are(0, 0);
}

static void bytes_meanwhile_do_not_lengthen_that(void)
{
    struct peer *a = with_a_websocket();

    is_ordered(WORLD_LATE);
    from_now();
    until(600);
    says(a, "x");
    says(app(0), "\x81\x01"
                 "x");
    until(1040);
    assert_true(a->ended && app(0)->ended);
}

static void a_frame_that_is_being_sent_is_completed_before(void)
{
    struct peer *a = with_a_websocket();

    says(app(0), "\x81\x05he");
    is_ordered(WORLD_LATE);
    hears(a, "\x81\x05he");
    says(app(0), "llo\x81\x05other");
    hears(a, "llo" WS_CLOSE);
    leaves(a);
}

static void a_cut_while_it_closes_loses_nothing(void)
{
    struct peer *a = with_a_websocket();

    is_ordered(WORLD_LATE);
    is_ordered(WORLD_CUT);
    assert_int_equal(world.cut, 0);
    assert_true(a->ended && !a->was_reset && app(0)->ended);
}

static void a_websocket_that_opens_in_the_last_second_is_closed_too(void)
{
    struct peer *a = asks(WS_UPGRADE);

    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    says(app(0), WS_SWITCHED "\x81\x02hi");
    hears(a, WS_CLOSE);
    leaves(a);
}

/* ---- event streams ---- */

#define EVENTS "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define CHUNKS "Transfer-Encoding: chunked\r\n\r\n"

static void in_the_last_second_an_event_stream_ends_with_its_chunk(void)
{
    struct peer *a = asks(GET);

    says(app(0), EVENTS CHUNKS "4\r\none\n\r\n3\r\nt");
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    assert_false(a->ended);
    says(app(0), "wo\r\n1\r\nx");
    hears(a, "3\r\ntwo\r\n0\r\n\r\n");
    assert_true(a->ended && !a->was_reset && app(0)->ended);
    leaves(a);
    nobody_is_left();
    is_ordered(WORLD_CUT);
    assert_int_equal(world.turned_away + world.cut, 0);
}

static void one_without_chunks_gets_the_last_of_weirs_own(void)
{
    struct peer *a = asks(GET);

    says(app(0), EVENTS "\r\none\n");
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    hears(a, "4\r\none\n\r\n0\r\n\r\n");
    assert_true(a->ended && app(0)->ended);
}

static void for_http10_it_cannot_be_ended_so(void)
{
    struct peer *a = asks("GET / HTTP/1.0\r\nHost: a\r\n\r\n");

    says(app(0), EVENTS CHUNKS "4\r\none\n\r\n");
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    assert_false(a->ended || app(0)->ended);
    is_ordered(WORLD_CUT);
    assert_int_equal(world.cut, 1);
}

static void another_response_in_chunks_goes_on(void)
{
    struct peer *a = asks(GET);

    says(app(0), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" CHUNKS "1\r\nx\r\n");
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    says(app(0), "1\r\ny\r\n0\r\n\r\n");
    hears(a, "1\r\nx\r\n1\r\ny\r\n0\r\n\r\n");
}

static void a_request_behind_an_event_stream_is_served(void)
{
    struct peer *a = asks(GET);

    says(app(0), EVENTS CHUNKS "4\r\none\n\r\n");
    says(a, GET_OF("/next"));
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    hears(a, "4\r\none\n\r\n0\r\n\r\n");
    assert_true(app(0)->ended && !a->ended);
    says(app(1), OK);
    hears(a, "\r\nConnection: close\r\n");
    assert_true(a->ended);
}

static void one_that_begins_in_the_last_second_is_empty(void)
{
    struct peer *a = asks(GET);

    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    says(app(0), EVENTS CHUNKS "4\r\none\n\r\n");
    hears(a, "\r\n\r\n0\r\n\r\n");
    assert_true(a->ended && app(0)->ended);
}

static void after_a_cancel_streams_and_tunnels_live_on(void)
{
    struct peer *a = asks(GET);

    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_LATE);
    is_ordered(WORLD_CANCEL);
    says(app(0), EVENTS CHUNKS "4\r\none\n\r\n");
    hears(a, "4\r\none\n\r\n");
    assert_false(a->ended || app(0)->ended);
    leaves(app(0));
}

static void who_is_granted_in_the_drains_last_moment_is_served(void)
{
    asks(GET);
    asks(GET_OF("/granted"));

    is_ordered(WORLD_DRAIN);
    says_at_once(app(0), OK);
    world_tell(WORLD_LATE);
    world_rest();
    assert_int_equal(world.turned_away, 0);
    hears(app(1), "GET /granted ");
}

/* ---- the cut ---- */

static void a_cut_ends_requests_in_every_state_and_counts_those_with_a_client(void)
{
    scene.how.config.concurrency = 4;
    scene.how.connections_max = 4;
    asks(GET); /* awaiting */
    struct peer *b = asks(GET);
    says(app(1), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"); /* streaming */
    leaves(asks(GET));                                                /* orphaned */
    with_a_tunnel();
    asks(GET);      /* queued */
    asks(PUT_PART); /* buffering */
    slots_are(4, 1);
    assert_int_equal(exchange_total(world.exchanges), 6);
    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_CUT);
    assert_int_equal(world.cut, 5);
    assert_true(b->ended && b->was_reset);
    nobody_is_left();
}

static void a_cut_ends_a_request_that_still_connects(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(GET);

    is_ordered(WORLD_DRAIN);
    is_ordered(WORLD_CUT);
    assert_int_equal(world.cut, 1);
    assert_true(a->ended);
    nobody_is_left();
}

static void a_client_that_leaves_as_it_is_granted_and_cut_gives_its_slot_back(void)
{
    asks(GET);
    struct peer *b = asks(GET);

    is_ordered(WORLD_DRAIN);
    says_at_once(app(0), OK);
    peers_close(b);
    world_tell(WORLD_CUT);
    world_rest();
    nobody_is_left();
}

/* ---- room for a new client ---- */

static void the_body_that_was_waited_for_longest_makes_room(void)
{
    struct peer *a = asks(PUT_PART), *b = asks(PUT_PART);

    until(60);
    is_ordered(WORLD_FULL);
    assert_true(world.made_room);
    is_told(a, 408, "body_timeout", "\r\nConnection: close\r\n");
    assert_true(a->ended);
    assert_int_equal(clients_count(world.clients), 1); /* it does not linger */
    hears_nothing(b);
    assert_int_equal(counted(C_EVICTED), 1);
}

static void a_body_of_less_than_50_ms_does_not_make_room(void)
{
    struct peer *a = asks(PUT_PART);

    until(40);
    is_ordered(WORLD_FULL);
    assert_false(world.made_room);
    hears_nothing(a);
}

static void a_body_whose_rest_is_there_is_served_instead(void)
{
    struct peer *a = asks(PUT_PART), *b = asks(PUT_PART);

    until(60);
    world_tell(WORLD_FULL);
    says(a, "56789");
    hears(app(0), "123456789");
    assert_true(world.made_room);
    assert_false(a->ended);
    is_told(b, 408, "body_timeout", NULL);
}

static void who_waits_or_is_served_does_not_make_room(void)
{
    asks(GET);
    asks(GET);
    until(100);
    is_ordered(WORLD_FULL);
    assert_false(world.made_room);
    slots_are(1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_drain_serves_what_there_is_and_each_response_is_its_connections_last),
        SCENE(a_drain_closes_what_waits_for_nothing),
        SCENE(an_announced_drain_still_takes_tunnels_and_keeps_the_apps_connections),
        SCENE(an_announced_drain_makes_each_response_its_connections_last),
        SCENE(an_announced_drain_closes_no_idle_connection),
        SCENE(a_request_that_arrives_with_its_clients_end_is_not_sent),
        SCENE(a_refusal_in_an_announced_drain_is_the_last_too),
        SCENE(after_a_cancel_connections_and_tunnels_are_kept_again),
        SCENE(a_drain_takes_no_new_tunnel),
        SCENE(in_the_drains_last_second_requests_without_a_slot_are_refused),
        SCENE(whose_head_is_complete_only_in_the_last_second_is_turned_away_as_well),
        SCENE(in_the_drains_last_second_tunnels_end),
        SCENE(in_the_last_second_a_websocket_is_closed_and_the_clients_reply_passed_on),
        SCENE(a_client_that_does_not_reply_has_a_second),
        SCENE(bytes_meanwhile_do_not_lengthen_that),
        SCENE(a_frame_that_is_being_sent_is_completed_before),
        SCENE(a_cut_while_it_closes_loses_nothing),
        SCENE(a_websocket_that_opens_in_the_last_second_is_closed_too),
        SCENE(in_the_last_second_an_event_stream_ends_with_its_chunk),
        SCENE(one_without_chunks_gets_the_last_of_weirs_own),
        SCENE(for_http10_it_cannot_be_ended_so),
        SCENE(another_response_in_chunks_goes_on),
        SCENE(a_request_behind_an_event_stream_is_served),
        SCENE(one_that_begins_in_the_last_second_is_empty),
        SCENE(after_a_cancel_streams_and_tunnels_live_on),
        SCENE(who_is_granted_in_the_drains_last_moment_is_served),
        SCENE(a_cut_ends_requests_in_every_state_and_counts_those_with_a_client),
        SCENE(a_cut_ends_a_request_that_still_connects),
        SCENE(a_client_that_leaves_as_it_is_granted_and_cut_gives_its_slot_back),
        SCENE(the_body_that_was_waited_for_longest_makes_room),
        SCENE(a_body_of_less_than_50_ms_does_not_make_room),
        SCENE(a_body_whose_rest_is_there_is_served_instead),
        SCENE(who_waits_or_is_served_does_not_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
