/* A request's life: it is served, waits for a slot, is refused, or loses its client. Tests of
 * bodies, responses, tunnels and the drain are in test_exchange_*.c. */
#include "tests/unit/proxy/scene.h"

/* ---- served ---- */

static void a_request_is_passed_on_and_its_response_comes_back(void)
{
    struct peer *a = asks(GET_OF("/one"));

    slots_are(1, 0);
    assert_true(has_heard(app(0), "\r\nX-Request-Id: "));
    hears(app(0), "GET /one HTTP/1.1\r\n");
    says(app(0), OK);
    hears(a, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n");
    assert_false(a->ended);
    nobody_is_left();
}

static void both_connections_are_kept_for_the_next_request(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    says(a, GET_OF("/two"));
    hears(app(0), "GET /two ");
    says(app(0), OK);
    hears(a, "\r\n\r\nokHTTP/1.1 200 OK");
    assert_int_equal(peers.n_apps, 1);
    assert_int_equal(counted(C_UPSTREAM + STATS_REUSED), 1);
}

static void a_pipelined_request_waits_for_the_response_before_it(void)
{
    struct peer *a = asks(GET_OF("/one") GET_OF("/two"));

    hears(app(0), "GET /one ");
    says(app(0), OK);
    hears(a, "200 OK");
    hears(app(0), "GET /two ");
    says(app(0), OK);
    hears(a, "200 OK");
}

static void an_http10_client_gets_a_response_and_is_closed(void)
{
    struct peer *a = asks("GET / HTTP/1.0\r\n\r\n");

    says(app(0), OK);
    hears(a, "\r\nConnection: close\r\n");
    assert_true(a->ended);
}

static void a_response_without_a_body_ends_with_its_head(void)
{
    static const char *const cases[][2] = {
        {"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
        {GET, "HTTP/1.1 204 No Content\r\n\r\n"},
        {GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"},
    };
    struct peer *a = comes();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        says(a, cases[i][0]);
        says(app(0), cases[i][1]);
        hears(a, "HTTP/1.1 ");
        slots_are(0, 0);
    }
    assert_int_equal(peers.n_apps, 1);
}

/* ---- waiting ---- */

static void slots_are_granted_in_the_order_in_which_requests_came(void)
{
    asks(GET_OF("/one"));
    asks(GET_OF("/two"));
    asks(GET_OF("/three"));
    slots_are(1, 2);
    hears(app(0), "GET /one ");
    says(app(0), OK);
    hears(app(0), "GET /two ");
    slots_are(1, 1);
    says(app(0), OK);
    hears(app(0), "GET /three ");
    says(app(0), OK);
    nobody_is_left();
}

/* All in one turn: both responses end, the first slot goes to the one that waits, the second to a
 * newcomer. The app's connections are used newest first. */
static void a_newcomer_of_the_turn_is_dispatched_behind_the_one_that_waited(void)
{
    scene.how.config.concurrency = 2;
    struct peer *newcomer = asks(GET_OF("/new"));
    hears(app(0), "GET /new ");
    says(app(0), OK);
    asks(GET_OF("/one"));
    asks(GET_OF("/two"));
    asks(GET_OF("/waits"));
    slots_are(2, 1);
    hears(app(0), "GET /one ");
    hears(app(1), "GET /two ");
    says_at_once(app(0), OK);
    says_at_once(app(1), OK);
    says_at_once(newcomer, GET_OF("/newcomer"));
    world_rest();
    hears(app(1), "GET /waits ");
    hears(app(0), "GET /newcomer ");
    says(app(0), OK);
    says(app(1), OK);
    nobody_is_left();
}

static void no_more_requests_are_in_the_app_than_there_are_slots(void)
{
    scene.how.config.concurrency = 3;
    for (int i = 0; i < 5; i++)
        asks(GET);
    slots_are(3, 2);
    assert_int_equal(peers.n_apps, 3);
    says(app(1), OK);
    slots_are(3, 1);
    assert_int_equal(peers.n_apps, 3);
    for (int i = 0; i < 2; i++) {
        for (size_t n = 0; n < 3; n++)
            says(app(n), OK);
    }
    nobody_is_left();
}

static void requests_wait_for_an_app_that_starts(void)
{
    scene.how.starting = true;
    struct peer *a = asks(GET);

    until(900);
    slots_are(0, 1);
    assert_int_equal(peers.n_apps, 0);
    world_tell(WORLD_UP);
    world_rest();
    says(app(0), OK);
    hears(a, "200 OK");
}

static void a_request_that_has_waited_for_the_start_waits_as_long_as_others_from_then_on(void)
{
    scene.how.starting = true;
    scene.how.config.startup.timeout = 5000000;
    asks(GET);
    struct peer *b = asks(GET);
    until(500);
    world_tell(WORLD_UP);
    world_rest();
    from_now();
    until(980);
    hears_nothing(b);
    until(1020);
    is_told(b, 503, "queue_timeout", NULL);
}

static void the_slot_is_free_when_the_app_has_ended_though_the_client_reads_no_more(void)
{
    struct peer *a = comes();
    static char big[8192];

    a->reads = false;
    says(a, GET);
    memset(big, 'x', sizeof(big) - 1);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 8191\r\n\r\n");
    says(app(0), big);
    slots_are(0, 0);
    assert_int_equal(exchange_total(world.exchanges), 1);
    a->reads = true;
    world_rest();
    hears(a, big);
    nobody_is_left();
}

/* ---- refused ---- */

static void the_only_slot_is_taken(void)
{
    asks(GET);
    slots_are(1, 0);
}

static void one_waits_where_one_may(void)
{
    scene.how.config.queue.length = 1;
    the_only_slot_is_taken();
    asks(GET);
}

static void the_same_with_429(void)
{
    scene.how.config.overload.status = 429;
    one_waits_where_one_may();
}

static void few_bytes_may_wait(void)
{
    scene.how.config.queue.max_bytes = 1;
    the_only_slot_is_taken();
}

static void little_body_is_allowed(void)
{
    scene.how.config.client.max_body = 10;
}

static void a_tunnel_is_there(void)
{
    scene.how.config.concurrency = 2;
    asks("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    says(app(0), "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
}

static void no_port_is_left(void)
{
    peers.next_connect = PEERS_CONNECT_NO_ADDRESS;
}

static void nothing_special(void)
{
}

/* Requests that are refused at once, and the replies. */
static const struct refusal {
    void (*when)(void);
    const char *request;
    unsigned status;
    const char *reason, *more;
} refusals[] = {
    {one_waits_where_one_may, GET, 503, "queue_full", "\r\nRetry-After: 1\r\n"},
    {the_same_with_429, GET, 429, "queue_full", "\r\nRetry-After: 1\r\n"},
    {few_bytes_may_wait, GET, 503, "bytes", "\r\nRetry-After: 1\r\n"},
    {a_tunnel_is_there, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
     503, "upgrades", "\r\nRetry-After: 1\r\n"},
    {little_body_is_allowed, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 413,
     "body_too_large", "\r\nConnection: close\r\n"},
    {nothing_special, "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 200,
     "max_forwards", NULL},
    {nothing_special, "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", 405, "max_forwards",
     "\r\nAllow: "},
    {nothing_special, "GET / HTTP/1.1\r\n\r\n", 400, "bad_request", "\r\nConnection: close\r\n"},
    {nothing_special, "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "bad_request", NULL},
    {no_port_is_left, GET, 502, "connect_failed", NULL},
};

static void what_cannot_be_served_is_refused_at_once(void)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *r = &refusals[i];
        if (i > 0)
            scene_begins();
        r->when();
        is_told(asks(r->request), r->status, r->reason, r->more);
        if (i + 1 < sizeof(refusals) / sizeof(refusals[0]))
            scene_ends();
    }
}

static void json_is_for_clients_that_ask_for_it(void)
{
    scene.how.config.queue.length = 0;
    asks(GET);
    is_told(asks("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n"), 503,
            "queue_full", "\"reason\":\"queue_full\"");
}

static void the_response_to_head_has_no_body(void)
{
    scene.how.config.queue.length = 0;
    asks(GET);
    struct peer *b = asks("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_memory_equal(strbuf_cstr(&b->got) + b->got.len - 4, "\r\n\r\n", 4);
}

static void a_refused_client_may_ask_again(void)
{
    scene.how.config.queue.length = 0;
    asks(GET);
    struct peer *b = asks(GET);
    is_told(b, 503, "queue_full", NULL);
    says(app(0), OK);
    says(b, GET_OF("/again"));
    hears(app(0), "GET /again ");
    assert_int_equal(counted(C_REJECTED + STATS_QUEUE_FULL), 1);
}

/* ---- timeouts of the wait ---- */

static struct peer *behind_another(void)
{
    scene.how.config.upstream.first_byte_timeout = 10000000;
    asks(GET);
    from_now();
    return asks(GET);
}

static struct peer *while_the_app_starts(void)
{
    scene.how.starting = true;
    return asks(GET);
}

static struct peer *for_a_connection(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    return asks(GET);
}

static struct peer *for_a_full_backlog(void)
{
    scene.how.config.upstream.connect_timeout = 1000;
    peers.next_connect = PEERS_CONNECT_FULL;
    return asks(GET);
}

static struct peer *for_a_response(void)
{
    return asks(GET);
}

static struct peer *for_the_body(void)
{
    return asks("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234");
}

static const struct wait {
    struct peer *(*waits)(void);
    mono_us ms;
    unsigned status;
    const char *reason, *more;
} waits[] = {
    {behind_another, 1000, 503, "queue_timeout", "\r\nRetry-After: 1\r\n"},
    {while_the_app_starts, 1000, 503, "not_ready", "\r\nRetry-After: 1\r\n"},
    {for_a_connection, 1000, 504, "connect_timeout", NULL},
    {for_a_full_backlog, 0, 504, "connect_timeout", NULL},
    {for_a_response, 2000, 504, "first_byte_timeout", NULL},
    {for_the_body, 1000, 408, "body_timeout", "\r\nConnection: close\r\n"},
};

static void each_wait_has_its_end_and_its_reason(void)
{
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        const struct wait *w = &waits[i];
        if (i > 0)
            scene_begins();
        struct peer *p = w->waits();
        until(w->ms - 20);
        hears_nothing(p);
        until(w->ms + 20);
        is_told(p, w->status, w->reason, w->more);
        if (i + 1 < sizeof(waits) / sizeof(waits[0]))
            scene_ends();
    }
}

static void after_the_start_timeout_requests_are_refused_at_once_until_the_app_is_there(void)
{
    scene.how.starting = true;
    until(1100);
    struct peer *a = asks(GET);
    is_told(a, 503, "not_ready", NULL);
    world_tell(WORLD_UP);
    world_rest();
    says(a, GET_OF("/now"));
    hears(app(0), "GET /now ");
}

/* ---- the client leaves ---- */

static void a_client_that_leaves_the_queue_is_not_heard_of_by_the_app(void)
{
    asks(GET);
    struct peer *b = asks(GET_OF("/gone"));

    leaves(b);
    slots_are(1, 0);
    assert_int_equal(counted(C_WAITS + STATS_CLIENT_GONE), 1);
    says(app(0), OK);
    assert_false(has_heard(app(0), "/gone"));
    nobody_is_left();
}

static void a_client_that_half_closes_has_left_unless_that_is_allowed(void)
{
    for (int allowed = 0; allowed < 2; allowed++) {
        if (allowed) {
            scene_ends();
            scene_begins();
            scene.how.config.client.half_close = CONFIG_HALF_CLOSE_ALLOW;
        }
        asks(GET);
        struct peer *b = asks(GET);
        peers_half_close(b);
        world_rest();
        slots_are(1, (unsigned)allowed);
    }
}

/* The grant is already posted to the loop when the client's end is delivered. */
static void a_client_that_leaves_as_it_is_granted_gives_the_slot_on(void)
{
    asks(GET);
    struct peer *b = asks(GET_OF("/gone"));
    asks(GET_OF("/next"));

    says_at_once(app(0), OK);
    peers_close(b);
    world_rest();
    assert_false(has_heard(app(0), "/gone"));
    hears(app(0), "GET /next ");
    slots_are(1, 0);
}

static void a_client_that_leaves_before_the_connection_is_there_is_not_heard_of(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(GET);

    slots_are(1, 0);
    leaves(a);
    nobody_is_left();
    assert_true(peers_is_over(app(0)));
}

static void the_slot_of_a_client_that_has_left_is_held_until_the_apps_last_byte(void)
{
    struct peer *a = asks(GET);

    leaves(a);
    slots_are(1, 0);
    assert_int_equal(counted(C_ORPHANS), 1);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    slots_are(1, 0);
    says(app(0), "k");
    nobody_is_left();
    assert_int_equal(counted(C_ORPHANS), 0);
    assert_false(app(0)->ended);
}

static void a_client_that_leaves_its_response_leaves_the_slot_with_the_app(void)
{
    struct peer *a = asks(GET);

    says(app(0), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
    hears(a, "ok\r\n");
    leaves(a);
    slots_are(1, 0);
    asks(GET_OF("/next"));
    says(app(0), "0\r\n\r\n");
    hears(app(0), "GET /next ");
    slots_are(1, 0);
}

static void an_orphan_without_a_response_ends_with_first_byte_timeout(void)
{
    struct peer *a = asks(GET);

    leaves(a);
    until(1950);
    slots_are(1, 0);
    until(2050);
    nobody_is_left();
    assert_true(app(0)->ended);
}

static void an_orphan_whose_response_stops_ends_with_idle_timeout(void)
{
    struct peer *a = asks(GET);

    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    from_now();
    leaves(a);
    until(950);
    slots_are(1, 0);
    until(1050);
    nobody_is_left();
}

static void an_orphans_app_that_closes_or_talks_nonsense_frees_the_slot(void)
{
    struct peer *a = asks(GET);

    leaves(a);
    app_leaves(app(0));
    nobody_is_left();
    a = asks(GET);
    leaves(a);
    says(app(1), "nonsense\r\n\r\n");
    nobody_is_left();
}

/* Its wait has expired when the slot becomes free; its client's end is delivered in that turn. */
static void a_client_that_leaves_as_its_wait_expires_has_no_slot_to_give_back(void)
{
    asks(GET);
    struct peer *b = asks(GET_OF("/gone"));

    peers.now += 1100000;
    says_at_once(app(0), OK);
    peers_close(b);
    world_rest();
    assert_false(has_heard(app(0), "/gone"));
    nobody_is_left();
    assert_int_equal(counted(C_WAITS + STATS_CLIENT_GONE), 1);
    assert_int_equal(counted(C_REJECTED + STATS_QUEUE_TIMEOUT), 0);
}

static void a_wait_for_the_start_may_be_longer_than_queue_timeout(void)
{
    scene.how.starting = true;
    scene.how.config.startup.timeout = 9000000;
    struct peer *a = asks(GET);

    until(5000);
    hears_nothing(a);
    slots_are(0, 1);
    world_tell(WORLD_UP);
    world_rest();
    says(app(0), OK);
    hears(a, "200 OK");
}

static void a_wait_that_was_too_long_may_be_told_with_429(void)
{
    scene.how.config.overload.status = 429;
    struct peer *b = behind_another();

    until(1020);
    is_told(b, 429, "queue_timeout", "\r\nRetry-After: 1\r\n");
}

static void a_line_end_behind_a_request_begins_none(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    hears(a, "200 OK");
    says(a, "\r\n");
    from_now();
    until(2500); /* longer than head_timeout */
    hears_nothing(a);
    says(a, GET);
    says(app(1), OK);
    hears(a, "200 OK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_request_is_passed_on_and_its_response_comes_back),
        SCENE(both_connections_are_kept_for_the_next_request),
        SCENE(a_pipelined_request_waits_for_the_response_before_it),
        SCENE(an_http10_client_gets_a_response_and_is_closed),
        SCENE(a_response_without_a_body_ends_with_its_head),
        SCENE(slots_are_granted_in_the_order_in_which_requests_came),
        SCENE(a_newcomer_of_the_turn_is_dispatched_behind_the_one_that_waited),
        SCENE(no_more_requests_are_in_the_app_than_there_are_slots),
        SCENE(requests_wait_for_an_app_that_starts),
        SCENE(a_request_that_has_waited_for_the_start_waits_as_long_as_others_from_then_on),
        SCENE(the_slot_is_free_when_the_app_has_ended_though_the_client_reads_no_more),
        SCENE(what_cannot_be_served_is_refused_at_once),
        SCENE(json_is_for_clients_that_ask_for_it),
        SCENE(the_response_to_head_has_no_body),
        SCENE(a_refused_client_may_ask_again),
        SCENE(each_wait_has_its_end_and_its_reason),
        SCENE(after_the_start_timeout_requests_are_refused_at_once_until_the_app_is_there),
        SCENE(a_client_that_leaves_the_queue_is_not_heard_of_by_the_app),
        SCENE(a_client_that_half_closes_has_left_unless_that_is_allowed),
        SCENE(a_client_that_leaves_as_it_is_granted_gives_the_slot_on),
        SCENE(a_client_that_leaves_before_the_connection_is_there_is_not_heard_of),
        SCENE(the_slot_of_a_client_that_has_left_is_held_until_the_apps_last_byte),
        SCENE(a_client_that_leaves_its_response_leaves_the_slot_with_the_app),
        SCENE(an_orphan_without_a_response_ends_with_first_byte_timeout),
        SCENE(an_orphan_whose_response_stops_ends_with_idle_timeout),
        SCENE(an_orphans_app_that_closes_or_talks_nonsense_frees_the_slot),
        SCENE(a_client_that_leaves_as_its_wait_expires_has_no_slot_to_give_back),
        SCENE(a_wait_for_the_start_may_be_longer_than_queue_timeout),
        SCENE(a_wait_that_was_too_long_may_be_told_with_429),
        SCENE(a_line_end_behind_a_request_begins_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
