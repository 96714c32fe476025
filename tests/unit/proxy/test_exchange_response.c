/* Passing a response to the client: its head, its framing, interim responses, timeouts. */
#include "tests/unit/proxy/scene.h"

#define GET_10     "GET / HTTP/1.0\r\n\r\n"
#define LONG_OK    "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
#define CHUNKED_OK "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define SWITCHED   "HTTP/1.1 101 Switched\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static const char *many(size_t n)
{
    static char bytes[70000];

    assert_true(n < sizeof(bytes));
    memset(bytes, 'x', n);
    bytes[n] = '\0';
    return bytes;
}

/* ---- invalid responses ---- */

static void what_is_no_response_becomes_a_502(void)
{
    static const char *const bad[] = {
        "hello\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        SWITCHED,
    };
    struct peer *a = comes();

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        says(a, GET);
        says(app(i), bad[i]);
        is_told(a, 502, "upstream_broken", NULL);
        assert_true(app(i)->ended);
        assert_false(a->ended);
        slots_are(0, 0);
    }
}

static void a_head_that_is_too_long_or_cut_becomes_a_502(void)
{
    scene.how.config.upstream.max_head = 8192;
    struct peer *a = asks(GET);

    says(app(0), "HTTP/1.1 200 OK\r\nX: ");
    says(app(0), many(60000));
    is_told(a, 502, "upstream_broken", NULL);
    says(a, GET);
    says(app(1), "HTTP/1.1 200 OK\r\nX: 1");
    leaves(app(1));
    is_told(a, 502, "upstream_broken", NULL);
}

/* ---- framing ---- */

/* The bytes that an app sends before it closes and those that the client receives, and whether the
 * client's connection ends. */
static const struct framing {
    const char *request, *app, *client;
    bool ends;
} framings[] = {
    {GET, "HTTP/1.1 200 OK\r\n\r\nhello", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
    {GET_10, "HTTP/1.1 200 OK\r\n\r\nhello", "\r\n\r\nhello", true},
    {GET_10, CHUNKED_OK "5\r\nhello\r\n0\r\n\r\n", "\r\n\r\nhello", true},
    {GET, CHUNKED_OK "5\r\nhello\r\n0\r\n\r\n", "\r\n\r\n5\r\nhello\r\n0\r\n\r\n", false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", OK, "\r\nConnection: keep-alive\r\n",
     false},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", OK, "\r\nConnection: close\r\n",
     true},
};

static void a_body_is_framed_as_its_client_can_read_it(void)
{
    for (size_t i = 0; i < sizeof(framings) / sizeof(framings[0]); i++) {
        const struct framing *f = &framings[i];
        struct peer *a = asks(f->request);
        says(app(peers.n_apps - 1), f->app);
        leaves(app(peers.n_apps - 1));
        if (strstr(f->client, "hello") != NULL)
            assert_memory_equal(strbuf_cstr(&a->got) + a->got.len - strlen(f->client), f->client,
                                strlen(f->client));
        hears(a, f->client);
        assert_int_equal(a->ended, f->ends);
        assert_false(a->was_reset);
    }
}

/* The bytes that an app sends before it closes too early. */
static void a_body_that_was_cut_does_not_look_whole(void)
{
    static const char *const cut[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        CHUNKED_OK "5\r\nhello\r\n",
        CHUNKED_OK "5\r\nhello\r\nbad\r\n",
    };

    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++) {
        struct peer *a = asks(GET);
        says(app(i), cut[i]);
        app_leaves(app(i));
        assert_false(has_heard(a, "0\r\n\r\n"));
        hears(a, "hello");
        assert_true(a->ended);
    }
}

static void a_cut_that_only_the_end_could_tell_is_told_by_a_reset(void)
{
    struct peer *a = asks(GET_10);

    says(app(0), CHUNKED_OK "5\r\nhello\r\n");
    leaves(app(0));
    hears(a, "hello");
    assert_true(a->was_reset);
}

static void a_connection_that_the_app_does_not_keep_is_not_used_again(void)
{
    static const char *const last[] = {
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    };
    struct peer *a = comes();

    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        says(a, GET);
        says(app(i), last[i]);
        hears(a, "200 OK");
        assert_true(app(i)->ended);
        assert_false(a->ended);
    }
}

static void server_timing_is_told_where_it_is_wanted(void)
{
    scene.how.config.headers.server_timing = true;
    asks(GET);
    struct peer *b = asks(GET);

    from_now();
    until(100);
    says(app(0), OK);
    until(150);
    says(app(0), OK);
    hears(b, "\r\nServer-Timing: queue;dur=10");
}

static void the_load_is_told_in_responses_of_the_app_and_of_weir(void)
{
    scene.how.config.headers.load = CONFIG_LOAD_PLAIN;
    scene.how.config.queue.length = 1;
    struct peer *a = asks(GET), *b = asks(GET);

    until(100);
    is_told(asks(GET), 503, "queue_full", "\r\nWeir-Load: in_flight=1, limit=1, queued=1\r\n");
    hears(asks("bad\r\n\r\n"), "\r\nWeir-Load: in_flight=1, limit=1, queued=1\r\n");
    says(app(0), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_false(has_heard(a, "Weir-Load"));
    until(102);
    says(app(0), OK);
    hears(a, "200 OK\r\nContent-Length: 2\r\n");
    until(104);
    says(app(0), OK);
    hears(b, "\r\nWeir-Load: in_flight=1, limit=1, queued=0\r\n");
}

static void a_load_report_may_take_the_form_of_orca(void)
{
    scene.how.config.headers.load = CONFIG_LOAD_ORCA;
    struct peer *a = asks(GET), *b;

    says(app(0), OK);
    hears(a, "\r\nendpoint-load-metrics: TEXT named_metrics.queue_depth=0\r\n");
    from_now();
    until(300);
    b = asks(GET);
    until(600);
    says(app(0), OK);
    hears(b, "\r\nendpoint-load-metrics: TEXT application_utilization=0.");
}

/* ---- interim responses ---- */

static void an_interim_response_goes_on_at_once_and_is_life(void)
{
    struct peer *a = asks(GET);

    until(1900);
    says(app(0), "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    hears(a, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n");
    until(3800);
    hears_nothing(a);
    says(app(0), OK);
    hears(a, "HTTP/1.1 200 OK");
}

static void http10_gets_no_interim_response(void)
{
    struct peer *a = asks(GET_10);

    says(app(0), "HTTP/1.1 103 Early Hints\r\n\r\n");
    hears_nothing(a);
    says(app(0), OK);
    assert_false(has_heard(a, "103"));
    hears(a, "HTTP/1.1 200 OK");
}

static void many_interim_responses_are_a_flood_only_when_they_come_together(void)
{
    struct peer *a = asks(GET);

    for (int i = 0; i < 200; i++) {
        says_at_once(app(0), "HTTP/1.1 102 P\r\n\r\n");
        world_pass(10000, 10000);
    }
    assert_false(has_heard(a, "502"));
    for (int i = 0; i < 70; i++)
        says_at_once(app(0), "HTTP/1.1 102 P\r\n\r\n");
    world_rest();
    is_told(a, 502, "upstream_broken", NULL);
}

static void interim_responses_wait_for_a_client_that_does_not_read(void)
{
    scene.how.config.buffers.response = 4096;
    struct peer *a = comes();

    a->reads = false;
    says(a, GET);
    for (int i = 0; i < 20; i++) {
        says_at_once(app(0), "HTTP/1.1 103 H\r\nLink: ");
        says_at_once(app(0), many(1000));
        says(app(0), "\r\n\r\n");
    }
    says(app(0), OK);
    slots_are(1, 0);
    a->reads = true;
    world_rest();
    hears(a, "HTTP/1.1 200 OK");
    nobody_is_left();
}

/* ---- responses before the end of the request ---- */

static void an_early_response_ends_the_upload_and_both_connections(void)
{
    scene.how.config.concurrency = 4;
    struct peer *a = asks("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234");

    says(app(0), "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    assert_true(has_heard(a, "\r\nConnection: close\r\n"));
    hears(a, "HTTP/1.1 413 No\r\n");
    slots_are(0, 0);
    assert_true(a->ended);
    assert_true(app(0)->ended);
}

static void an_upload_may_go_on_while_the_response_comes(void)
{
    scene.how.config.concurrency = 4;
    struct peer *a = asks("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n1234");

    says(app(0), CHUNKED_OK "2\r\nab\r\n");
    hears(a, "2\r\nab\r\n");
    says(a, "5678");
    hears(app(0), "5678");
    says(app(0), "0\r\n\r\n");
    hears(a, "0\r\n\r\n");
    nobody_is_left();
}

/* ---- timeouts ---- */

static void a_response_that_stops_is_cut_after_idle_timeout(void)
{
    struct peer *a = asks(GET);

    says(app(0), LONG_OK "first");
    for (int i = 0; i < 4; i++) {
        world_pass(900000, 10000);
        says(app(0), "more");
    }
    from_now();
    until(980);
    assert_false(a->ended);
    until(1020);
    assert_true(a->ended);
    slots_are(0, 0);
}

static void an_upload_that_moves_keeps_a_silent_response_alive(void)
{
    scene.how.config.concurrency = 4;
    struct peer *a = asks("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1");

    says(app(0), CHUNKED_OK "2\r\nab\r\n");
    for (int i = 0; i < 4; i++) {
        world_pass(900000, 10000);
        says(a, "2");
    }
    assert_false(a->ended);
    world_pass(1200000, 10000); /* only a later check shows that the app received the last byte */
    assert_true(a->ended);
}

/* A client that stops reading a long response. */
static struct peer *stalls(void)
{
    struct peer *a = comes();

    a->reads = false;
    says(a, GET);
    says(app(0), LONG_OK);
    says(app(0), many(60000));
    return a;
}

static void a_client_that_takes_nothing_is_cut_after_stall_timeout_when_another_waits(void)
{
    scene.how.config.buffers.response = 4096;
    scene.how.config.client.stall_timeout = 500000;
    scene.how.config.queue.timeout = 9000000;
    struct peer *a = stalls();

    asks(GET);
    from_now();
    until(400);
    assert_false(peers_is_over(a));
    until(600);
    assert_true(peers_is_over(a));
    assert_true(a->was_reset);
    slots_are(1, 1); /* until the app's last byte */
    says(app(0), many(40000));
    slots_are(1, 0);
}

static void while_nobody_waits_a_stalled_client_has_send_timeout(void)
{
    scene.how.config.buffers.response = 4096;
    scene.how.config.client.stall_timeout = 200000;
    struct peer *a = stalls();

    from_now();
    until(900);
    assert_false(peers_is_over(a));
    until(1100);
    assert_true(peers_is_over(a));
}

static void an_orphan_whose_client_was_in_the_way_ends_with_idle_timeout(void)
{
    scene.how.config.buffers.response = 4096;
    struct peer *a = stalls();

    from_now();
    leaves(a);
    until(950);
    slots_are(1, 0);
    until(1100);
    nobody_is_left();
}

static void a_client_that_reads_slowly_is_not_cut(void)
{
    scene.how.config.buffers.response = 4096;
    scene.how.config.client.stall_timeout = 500000;
    scene.how.config.queue.timeout = 9000000;
    struct peer *a = stalls();

    asks(GET);
    for (int i = 0; i < 8; i++) {
        world_pass(400000, 10000);
        peers_receive(a, 5000);
    }
    assert_false(peers_is_over(a));
    slots_are(1, 1);
}

/* ---- timeouts while one side holds up the other ---- */

/* Only stall_timeout may end a client that reads nothing. */
static struct peer *stalls_for_long(mono_us stall_timeout)
{
    scene.how.config.buffers.response = 4096;
    scene.how.config.client.stall_timeout = stall_timeout;
    scene.how.config.client.send_timeout = 9000000;
    scene.how.config.queue.timeout = 9000000;
    return stalls();
}

static void a_client_that_has_stalled_for_long_is_cut_soon_after_another_comes(void)
{
    struct peer *a = stalls_for_long(500000);

    from_now();
    until(2000);
    assert_false(peers_is_over(a));
    asks(GET);
    until(2100);
    assert_true(peers_is_over(a));
}

static void a_client_that_stops_is_measured_from_the_last_bytes_that_it_took(void)
{
    struct peer *a = stalls_for_long(500000);

    asks(GET);
    for (int i = 0; i < 3; i++) {
        world_pass(300000, 10000);
        peers_receive(a, 5000);
    }
    from_now();
    until(400);
    assert_false(peers_is_over(a));
    until(700);
    assert_true(peers_is_over(a));
}

static void a_client_of_a_slow_app_is_not_cut_for_it(void)
{
    scene.how.config.client.stall_timeout = 100000;
    struct peer *a = asks(GET);

    says(app(0), LONG_OK);
    says(app(0), many(60000));
    asks(GET);
    until(900);
    assert_false(peers_is_over(a));
    slots_are(1, 1);
}

static void a_client_that_stalls_on_what_the_app_has_finished_is_not_cut(void)
{
    scene.how.config.client.stall_timeout = 100000;
    struct peer *a = comes();

    a->reads = false;
    says(a, GET);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n");
    says(app(0), many(20000));
    asks(GET);
    asks(GET);
    slots_are(1, 1);
    until(900);
    assert_false(peers_is_over(a));
    a->reads = true;
    world_rest();
    hears(a, many(20000));
}

static void after_a_stall_the_app_has_its_whole_time_again(void)
{
    struct peer *a = stalls_for_long(50000);

    until(1500);
    a->reads = true;
    world_rest();
    from_now();
    until(950);
    assert_false(a->ended);
    until(1050);
    assert_true(a->ended);
}

/* A chunked upload whose response has begun, and another request that waits for its slot. */
static struct peer *uploads_to_a_response(void)
{
    scene.how.config.queue.timeout = 9000000;
    struct peer *a = asks("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");

    until(300);
    says(app(0), CHUNKED_OK "2\r\nab\r\n");
    hears(a, "2\r\nab\r\n");
    asks(GET);
    slots_are(1, 1);
    return a;
}

static void an_upload_is_not_judged_by_its_pace_once_the_response_has_begun(void)
{
    struct peer *a = uploads_to_a_response();

    for (int i = 0; i < 5; i++) {
        world_pass(900000, 10000);
        says(a, "1\r\nx\r\n");
    }
    assert_false(a->ended);
    says(a, "0\r\n\r\n");
    says(app(0), "0\r\n\r\n");
    hears(a, "0\r\n\r\n");
}

static void a_response_that_moves_keeps_a_silent_upload_alive(void)
{
    struct peer *a = uploads_to_a_response();

    for (int i = 0; i < 5; i++) {
        world_pass(900000, 10000);
        says(app(0), "1\r\nx\r\n");
    }
    assert_false(a->ended);
    says(a, "0\r\n\r\n");
    says(app(0), "0\r\n\r\n");
    hears(a, "1\r\nx\r\n0\r\n\r\n");
}

static void a_client_in_the_way_is_not_the_apps_fault(void)
{
    for (int uploads = 0; uploads < 2; uploads++) {
        if (uploads) {
            scene_ends();
            scene_begins();
        }
        scene.how.config.buffers.response = 4096;
        scene.how.config.client.send_timeout = 9000000;
        struct peer *a = uploads_to_a_response();
        a->reads = false;
        says(app(0), "ea60\r\n");
        says(app(0), many(60000));
        for (int i = 0; i < 5; i++) {
            world_pass(700000, 10000);
            says(a, uploads ? "1\r\nx\r\n" : "");
        }
        assert_false(peers_is_over(a));
        a->reads = true;
        world_rest();
        hears(a, many(60000));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(what_is_no_response_becomes_a_502),
        SCENE(a_head_that_is_too_long_or_cut_becomes_a_502),
        SCENE(a_body_is_framed_as_its_client_can_read_it),
        SCENE(a_body_that_was_cut_does_not_look_whole),
        SCENE(a_cut_that_only_the_end_could_tell_is_told_by_a_reset),
        SCENE(a_connection_that_the_app_does_not_keep_is_not_used_again),
        SCENE(server_timing_is_told_where_it_is_wanted),
        SCENE(the_load_is_told_in_responses_of_the_app_and_of_weir),
        SCENE(a_load_report_may_take_the_form_of_orca),
        SCENE(an_interim_response_goes_on_at_once_and_is_life),
        SCENE(http10_gets_no_interim_response),
        SCENE(many_interim_responses_are_a_flood_only_when_they_come_together),
        SCENE(interim_responses_wait_for_a_client_that_does_not_read),
        SCENE(an_early_response_ends_the_upload_and_both_connections),
        SCENE(an_upload_may_go_on_while_the_response_comes),
        SCENE(a_response_that_stops_is_cut_after_idle_timeout),
        SCENE(an_upload_that_moves_keeps_a_silent_response_alive),
        SCENE(a_client_that_takes_nothing_is_cut_after_stall_timeout_when_another_waits),
        SCENE(while_nobody_waits_a_stalled_client_has_send_timeout),
        SCENE(an_orphan_whose_client_was_in_the_way_ends_with_idle_timeout),
        SCENE(a_client_that_reads_slowly_is_not_cut),
        SCENE(a_client_that_has_stalled_for_long_is_cut_soon_after_another_comes),
        SCENE(a_client_that_stops_is_measured_from_the_last_bytes_that_it_took),
        SCENE(a_client_of_a_slow_app_is_not_cut_for_it),
        SCENE(a_client_that_stalls_on_what_the_app_has_finished_is_not_cut),
        SCENE(after_a_stall_the_app_has_its_whole_time_again),
        SCENE(an_upload_is_not_judged_by_its_pace_once_the_response_has_begun),
        SCENE(a_response_that_moves_keeps_a_silent_upload_alive),
        SCENE(a_client_in_the_way_is_not_the_apps_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
