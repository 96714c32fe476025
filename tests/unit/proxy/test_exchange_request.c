/* Sending a request to the app: its body, the connection, an app that does not accept it. */
#include "tests/unit/proxy/scene.h"

#define PUT_OF(length) "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " length "\r\n\r\n"
#define PUT_CHUNKS     "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define EXPECTS        "Expect: 100-continue\r\n"

static void slots_are_plentiful(void)
{
    scene.how.config.concurrency = 4;
}

/* ---- waiting for a body ---- */

static void a_body_is_waited_for_before_a_slot_is_asked_for(void)
{
    struct peer *a = asks(PUT_OF("9") "1234");

    slots_are(0, 0);
    assert_int_equal(peers.n_apps, 0);
    says(a, "56789");
    slots_are(1, 0);
    hears(app(0), "\r\n\r\n123456789");
}

static void while_slots_are_plentiful_a_request_goes_on_with_what_there_is_of_its_body(void)
{
    slots_are_plentiful();
    struct peer *a = asks(PUT_OF("9") "1234");

    slots_are(1, 0);
    hears(app(0), "\r\n\r\n1234");
    says(a, "56789");
    hears(app(0), "56789");
    says(app(0), OK);
    hears(a, "200 OK");
    assert_false(a->ended);
}

static void chunks_that_may_be_a_stream_are_waited_for_no_longer_than_250_ms(void)
{
    struct peer *a = asks(PUT_CHUNKS "4\r\n1234\r\n");

    until(240);
    assert_int_equal(peers.n_apps, 0);
    until(270);
    slots_are(1, 0);
    hears(app(0), "\r\n\r\n4\r\n1234\r\n");
    says(a, "0\r\n\r\n");
    hears(app(0), "0\r\n\r\n");
}

static void a_long_body_is_waited_for_until_buffers_request_bytes_are_there(void)
{
    scene.how.config.buffers.request = 8;
    struct peer *a = asks(PUT_OF("12") "1234");

    assert_int_equal(peers.n_apps, 0);
    says(a, "5678");
    hears(app(0), "\r\n\r\n12345678");
    says(a, "9012");
    hears(app(0), "9012");
}

static void no_body_is_waited_for_when_the_budget_is_spent(void)
{
    scene.how.config.buffers.budget = 0;
    asks(PUT_OF("9") "1234");
    hears(app(0), "\r\n\r\n1234");
}

static void a_client_that_leaves_its_body_unfinished_is_not_heard_of_by_the_app(void)
{
    struct peer *a = asks(PUT_OF("9") "1234");

    leaves(a);
    nobody_is_left();
    assert_int_equal(peers.n_apps, 0);
}

static void a_body_that_comes_too_slowly_is_refused_whatever_its_pace_was_before(void)
{
    struct peer *a = asks(PUT_OF("9") "1");

    until(900);
    says(a, "2");
    until(1080);
    says(a, "3");
    is_told(a, 408, "body_timeout", "\r\nConnection: close\r\n");
    assert_int_equal(peers.n_apps, 0);
}

/* Sends this many bytes each tenth of a second for five seconds, or until there is a response. */
static struct peer *sends_a_body_of(size_t bytes)
{
    static char piece[1000];
    struct peer *a = asks(PUT_OF("20000"));

    memset(piece, 'x', bytes);
    piece[bytes] = '\0';
    for (int i = 0; i < 50 && a->got.len == 0; i++) {
        world_pass(100000, 10000);
        says(a, piece);
    }
    return a;
}

static void a_body_may_take_as_long_as_500_bytes_a_second_take(void)
{
    hears_nothing(sends_a_body_of(60));
    is_told(sends_a_body_of(40), 408, "body_timeout", NULL);
}

static void what_has_come_counts_when_a_body_seems_late(void)
{
    static char piece[10001];
    struct peer *a = asks(PUT_OF("20000") "x");

    until(900);
    says(a, "x");
    memset(piece, 'x', 10000);
    until(1100);
    says(a, piece);
    hears_nothing(a);
}

/* The last bytes and the end arrive as one edge. */
static void a_client_that_sends_the_rest_and_leaves_at_once_is_not_heard_of(void)
{
    struct peer *a = asks(PUT_OF("9") "1234");

    says_at_once(a, "56789");
    leaves(a);
    nobody_is_left();
    assert_int_equal(peers.n_apps, 0);
}

/* ---- invalid bodies ---- */

static const struct wrong {
    bool plenty;
    const char *request, *rest;
    unsigned status;
    const char *reason;
} wrongs[] = {
    {false, PUT_CHUNKS, "5\r\n12345\r\n6\r\n123456\r\n", 413, "body_too_large"},
    {true, PUT_CHUNKS, "5\r\n12345\r\n6\r\n123456\r\n", 413, "body_too_large"},
    {false, PUT_CHUNKS, "x\r\n", 400, "bad_request"},
    {true, PUT_CHUNKS, "x\r\n", 400, "bad_request"},
    {true, PUT_CHUNKS "3\r\n123\r\n", "3\r\n1234\r\n", 400, "bad_request"},
};

static void a_wrong_body_is_refused_with_and_without_a_slot(void)
{
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        const struct wrong *w = &wrongs[i];
        if (i > 0) {
            scene_ends();
            scene_begins();
        }
        scene.how.config.concurrency = w->plenty ? 4 : 1;
        scene.how.config.client.max_body = 10;
        struct peer *a = asks(w->request);
        assert_int_equal(peers.n_apps, w->plenty);
        says(a, w->rest);
        is_told(a, w->status, w->reason, "\r\nConnection: close\r\n");
        slots_are(0, 0);
        assert_true(!w->plenty || app(0)->ended);
    }
}

/* ---- timeouts with a slot ---- */

static struct peer *sends_no_more(void)
{
    return asks(PUT_OF("9") "1234");
}

static struct peer *waits_for_the_apps_100(void)
{
    return asks("PUT / HTTP/1.1\r\nHost: a\r\n" EXPECTS "Content-Length: 9\r\n\r\n");
}

static struct peer *is_not_read_by_the_app(void)
{
    static char body[20001];
    struct peer *a = asks(PUT_OF("20000"));

    app(0)->reads = false;
    memset(body, 'x', 20000);
    from_now();
    says(a, body);
    return a;
}

static struct peer *has_sent_all(void)
{
    return asks(PUT_OF("4") "1234");
}

static const struct late {
    struct peer *(*who)(void);
    mono_us ms;
    unsigned status;
    const char *reason;
} lates[] = {
    {sends_no_more, 1000, 408, "body_timeout"},
    {waits_for_the_apps_100, 2000, 504, "first_byte_timeout"},
    {is_not_read_by_the_app, 1000, 504, "send_timeout"},
    {has_sent_all, 2000, 504, "first_byte_timeout"},
};

static void the_timeout_is_that_of_the_side_that_has_to_act(void)
{
    for (size_t i = 0; i < sizeof(lates) / sizeof(lates[0]); i++) {
        const struct late *l = &lates[i];
        if (i > 0) {
            scene_ends();
            scene_begins();
        }
        slots_are_plentiful();
        struct peer *p = l->who();
        until(l->ms - 20);
        hears_nothing(p);
        slots_are(1, 0);
        until(l->ms + 20);
        is_told(p, l->status, l->reason, NULL);
        slots_are(0, 0);
    }
}

static void an_app_that_reads_slowly_is_not_late(void)
{
    slots_are_plentiful();
    struct peer *a = is_not_read_by_the_app();

    for (int i = 0; i < 4; i++) {
        world_pass(700000, 10000);
        peers_receive(app(0), 4100); /* as much of a send as the kernel holds */
    }
    hears_nothing(a);
    slots_are(1, 0);
}

/* The client has sent all of it, and weir has read a part: only the app's reading moves the rest.
 */
static void the_rest_of_a_long_body_is_read_as_the_app_takes_it(void)
{
    static char body[100001];

    slots_are_plentiful();
    scene.how.config.buffers.request = 8192;
    struct peer *a = asks(PUT_OF("100000"));
    app(0)->reads = false;
    memset(body, 'x', 100000);
    says(a, body);
    app(0)->reads = true;
    world_rest();
    assert_true(app(0)->got.len > 100000);
    says(app(0), OK);
    hears(a, "200 OK");
    slots_are(0, 0);
}

static void a_stream_may_be_slow_while_nobody_wants_its_slot(void)
{
    scene.how.config.concurrency = 3;
    struct peer *a = asks(PUT_CHUNKS);

    for (int i = 0; i < 8; i++) {
        world_pass(500000, 10000);
        says(a, "1\r\nx\r\n");
    }
    hears_nothing(a);
    asks(GET);
    says(a, "1\r\nx\r\n");
    is_told(a, 408, "body_timeout", "\r\nConnection: close\r\n");
}

/* ---- 100 Continue ---- */

static void weir_asks_for_the_body_that_it_waits_for(void)
{
    struct peer *a = waits_for_the_apps_100();

    hears(a, "HTTP/1.1 100 Continue\r\n\r\n");
    says(a, "123456789");
    assert_false(has_heard(app(0), "Expect"));
    says(app(0), "HTTP/1.1 100 Continue\r\n\r\n" OK);
    assert_false(has_heard(a, "100 Continue"));
    hears(a, "200 OK");
}

static void the_apps_own_100_is_passed_on(void)
{
    slots_are_plentiful();
    struct peer *a = waits_for_the_apps_100();

    hears_nothing(a);
    hears(app(0), "\r\nExpect: 100-continue\r\n");
    says(app(0), "HTTP/1.1 100 Continue\r\n\r\n");
    hears(a, "HTTP/1.1 100 Continue\r\n");
    says(a, "123456789");
    hears(app(0), "123456789");
}

static void no_body_is_requested_for_a_refused_request(void)
{
    scene.how.config.queue.length = 0;
    asks(GET);
    struct peer *b = waits_for_the_apps_100();

    assert_false(has_heard(b, "100 Continue"));
    is_told(b, 503, "queue_full", "\r\nConnection: close\r\n");
}

/* ---- the connection ---- */

static void a_connect_that_finds_no_room_is_tried_again(void)
{
    peers.next_connect = PEERS_CONNECT_FULL;
    asks(GET);
    until(20);
    hears(app(0), "GET / ");
}

static void a_connect_may_take_a_while(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    asks(GET);
    until(900);
    peers_accept(&peers.apps[0]);
    world_rest();
    hears(app(0), "GET / ");
}

static void an_app_that_speaks_before_it_is_asked_is_not_believed(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(GET);

    peers_accept(&peers.apps[0]);
    says(app(0), OK);
    is_told(a, 502, "upstream_broken", NULL);
    assert_true(app(0)->ended);
}

static void what_a_kept_connection_says_unasked_ends_it(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    says(app(0), OK);
    assert_true(app(0)->ended);
    hears(a, "200 OK");
    says(a, GET);
    hears(app(1), "GET / ");
}

static void a_kept_connection_is_closed_after_keepalive_timeout_and_when_the_app_closes_it(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    from_now();
    until(980);
    assert_false(app(0)->ended);
    until(1020);
    assert_true(app(0)->ended);
    says(a, GET);
    says(app(1), OK);
    leaves(app(1));
    says(a, GET);
    hears(app(2), "GET / ");
    assert_int_equal(counted(C_UPSTREAM + STATS_REPLAYED), 0);
}

/* ---- replay ---- */

/* The app's connection has served one request, and has received the next. */
static struct peer *on_a_kept_connection(const char *request)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    hears(a, "200 OK");
    says(a, request);
    assert_int_equal(peers.n_apps, 1);
    return a;
}

static void a_request_whose_kept_connection_dies_is_sent_again_on_a_fresh_one(void)
{
    static const char *const requests[] = {GET, PUT_OF("4") "1234",
                                           "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"};

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (i > 0) {
            scene_ends();
            scene_begins();
        }
        struct peer *a = on_a_kept_connection(requests[i]);
        app_leaves(app(0));
        slots_are(1, 0);
        assert_memory_equal(strbuf_cstr(&app(1)->got), requests[i], 4);
        says(app(1), OK);
        hears(a, "200 OK");
        assert_int_equal(counted(C_UPSTREAM + STATS_REPLAYED), 1);
    }
}

static void what_the_app_may_not_get_twice_is_not_sent_again(void)
{
    struct peer *a = on_a_kept_connection("POST / HTTP/1.1\r\nHost: a\r\n\r\n");

    leaves(app(0));
    is_told(a, 502, "upstream_closed", NULL);
    assert_int_equal(peers.n_apps, 1);
}

static void a_fresh_connection_that_dies_is_not_replayed(void)
{
    struct peer *a = asks(GET);

    leaves(app(0));
    is_told(a, 502, "upstream_closed", NULL);
    assert_int_equal(peers.n_apps, 1);
}

static void a_request_is_sent_again_once(void)
{
    struct peer *a = on_a_kept_connection(GET);

    app_leaves(app(0));
    leaves(app(1));
    is_told(a, 502, "upstream_closed", NULL);
    assert_int_equal(peers.n_apps, 2);
}

static void an_app_that_has_begun_to_respond_is_not_asked_again(void)
{
    struct peer *a = on_a_kept_connection(GET);

    says(app(0), "HTTP/1.1 2");
    leaves(app(0));
    is_told(a, 502, "upstream_broken", NULL);
}

static void nothing_is_sent_again_for_a_client_that_has_left(void)
{
    struct peer *a = on_a_kept_connection(GET);

    peers_close(app(0));
    leaves(a);
    nobody_is_left();
    assert_int_equal(peers.n_apps, 1);
}

static void an_app_that_takes_no_more_may_have_responded(void)
{
    slots_are_plentiful();
    struct peer *a = asks(PUT_OF("9") "1234");

    says_at_once(app(0), "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    peers_close(app(0));
    says(a, "56789");
    hears(a, "HTTP/1.1 403 No\r\n");
    nobody_is_left();
}

/* ---- when timeouts start ---- */

static void first_byte_timeout_begins_when_the_request_has_been_sent(void)
{
    slots_are_plentiful();
    struct peer *a = asks(PUT_CHUNKS);

    for (int i = 0; i < 5; i++) {
        world_pass(900000, 10000);
        says(a, "1\r\nx\r\n");
    }
    hears_nothing(a);
    says(a, "0\r\n\r\n");
    from_now();
    until(1950);
    hears_nothing(a);
    until(2050);
    is_told(a, 504, "first_byte_timeout", NULL);
}

static void an_app_that_owes_100_lives_by_its_other_interim_responses(void)
{
    slots_are_plentiful();
    struct peer *a = waits_for_the_apps_100();

    for (int i = 0; i < 3; i++) {
        world_pass(1800000, 10000);
        says(app(0), "HTTP/1.1 103 Early Hints\r\n\r\n");
        hears(a, "HTTP/1.1 103 ");
    }
    says(app(0), "HTTP/1.1 100 Continue\r\n\r\n");
    hears(a, "HTTP/1.1 100 ");
    says(a, "123456789");
    says(app(0), OK);
    hears(a, "HTTP/1.1 200 OK");
}

static void body_timeout_begins_when_the_client_has_been_told_to_go_on(void)
{
    slots_are_plentiful();
    struct peer *a = waits_for_the_apps_100();

    until(1500);
    hears_nothing(a);
    says(app(0), "HTTP/1.1 100 Continue\r\n\r\n");
    hears(a, "HTTP/1.1 100 ");
    from_now();
    until(980);
    hears_nothing(a);
    until(1020);
    is_told(a, 408, "body_timeout", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_body_is_waited_for_before_a_slot_is_asked_for),
        SCENE(while_slots_are_plentiful_a_request_goes_on_with_what_there_is_of_its_body),
        SCENE(chunks_that_may_be_a_stream_are_waited_for_no_longer_than_250_ms),
        SCENE(a_long_body_is_waited_for_until_buffers_request_bytes_are_there),
        SCENE(no_body_is_waited_for_when_the_budget_is_spent),
        SCENE(a_client_that_leaves_its_body_unfinished_is_not_heard_of_by_the_app),
        SCENE(a_body_that_comes_too_slowly_is_refused_whatever_its_pace_was_before),
        SCENE(a_body_may_take_as_long_as_500_bytes_a_second_take),
        SCENE(what_has_come_counts_when_a_body_seems_late),
        SCENE(a_client_that_sends_the_rest_and_leaves_at_once_is_not_heard_of),
        SCENE(a_wrong_body_is_refused_with_and_without_a_slot),
        SCENE(the_timeout_is_that_of_the_side_that_has_to_act),
        SCENE(an_app_that_reads_slowly_is_not_late),
        SCENE(the_rest_of_a_long_body_is_read_as_the_app_takes_it),
        SCENE(a_stream_may_be_slow_while_nobody_wants_its_slot),
        SCENE(weir_asks_for_the_body_that_it_waits_for),
        SCENE(the_apps_own_100_is_passed_on),
        SCENE(no_body_is_requested_for_a_refused_request),
        SCENE(a_connect_that_finds_no_room_is_tried_again),
        SCENE(a_connect_may_take_a_while),
        SCENE(an_app_that_speaks_before_it_is_asked_is_not_believed),
        SCENE(what_a_kept_connection_says_unasked_ends_it),
        SCENE(a_kept_connection_is_closed_after_keepalive_timeout_and_when_the_app_closes_it),
        SCENE(a_request_whose_kept_connection_dies_is_sent_again_on_a_fresh_one),
        SCENE(what_the_app_may_not_get_twice_is_not_sent_again),
        SCENE(a_fresh_connection_that_dies_is_not_replayed),
        SCENE(a_request_is_sent_again_once),
        SCENE(an_app_that_has_begun_to_respond_is_not_asked_again),
        SCENE(nothing_is_sent_again_for_a_client_that_has_left),
        SCENE(an_app_that_takes_no_more_may_have_responded),
        SCENE(first_byte_timeout_begins_when_the_request_has_been_sent),
        SCENE(an_app_that_owes_100_lives_by_its_other_interim_responses),
        SCENE(body_timeout_begins_when_the_client_has_been_told_to_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
