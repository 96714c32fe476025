/*
 * What happens between the grant of a slot and a connection to the app: the app may be gone, and
 * then its requests wait for it in their old places.
 */
#include "tests/unit/proxy/scene.h"

#define POST "POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

static void the_app_goes_away(void)
{
    scene_is_built();
    peers.away = true;
}

/* Its probes find it; the slots are granted. */
static void the_app_is_back(void)
{
    peers.away = false;
    from_now();
    until(60);
}

/* The connection on which the app has received this, or NULL. */
static struct peer *heard(const char *text)
{
    for (size_t i = 0; i < peers.n_apps; i++) {
        if (has_heard(app(i), text))
            return app(i);
    }
    return NULL;
}

static void app_responds_to(const char *text)
{
    struct peer *p = heard(text);

    assert_non_null(p);
    strbuf_clear(&p->got);
    says(p, OK);
}

/* ---- the app is gone ---- */

static void a_refused_request_waits_for_the_app(void)
{
    the_app_goes_away();
    struct peer *a = asks(GET);

    slots_are(0, 1);
    hears_nothing(a);
    assert_int_equal(app_state(world.shared.app), APP_DOWN);
    until(900);
    hears_nothing(a);
    the_app_is_back();
    assert_true(app_is_up(world.shared.app));
    slots_are(1, 0);
    app_responds_to("GET / ");
    hears(a, "200 OK");
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 1);
    assert_int_equal(counted(C_REQUEUED), 1);
}

static void while_requests_wait_the_app_is_found_within_some_25_ms(void)
{
    scene.how.config.queue.timeout = 60000000;
    the_app_goes_away();
    asks(GET);
    until(30000);
    peers.away = false;
    from_now();
    until(28);
    assert_non_null(heard("GET / "));
    app_responds_to("GET / ");
}

static void refused_requests_keep_their_places(void)
{
    static const char *const path[] = {"GET /0 ", "GET /1 ", "GET /2 ", "GET /3 "};
    struct peer *clients[4];

    scene.how.config.concurrency = 2;
    the_app_goes_away();
    clients[0] = asks(GET_OF("/0"));
    clients[1] = asks(GET_OF("/1"));
    clients[2] = asks(GET_OF("/2"));
    clients[3] = asks(GET_OF("/3"));
    slots_are(0, 4);
    the_app_is_back();
    slots_are(2, 2);
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(heard(path[i]));
        assert_true(i > 0 || heard("GET /2 ") == NULL);
        app_responds_to(path[i]);
        hears(clients[i], "200 OK");
    }
}

static void requests_granted_in_one_turn_go_back_in_order(void)
{
    struct peer *clients[3];

    scene.how.config.concurrency = 2;
    the_app_goes_away();
    for (size_t i = 0; i < 3; i++)
        clients[i] = comes();
    says_at_once(clients[0], GET_OF("/0"));
    says_at_once(clients[1], GET_OF("/1"));
    says_at_once(clients[2], GET_OF("/2"));
    world_rest();
    slots_are(0, 3);
    the_app_is_back();
    assert_null(heard("GET /2 "));
    app_responds_to("GET /0 ");
    app_responds_to("GET /1 ");
    app_responds_to("GET /2 ");
}

static void one_that_waits_until_its_deadline_is_told_that_the_app_is_not_ready(void)
{
    the_app_goes_away();
    struct peer *a = asks(GET);

    from_now();
    until(500);
    struct peer *b = asks(GET);
    until(980);
    hears_nothing(a);
    until(1020);
    is_told(a, 503, "not_ready", "\r\nRetry-After: 1\r\n");
    hears_nothing(b);
    until(1520);
    is_told(b, 503, "not_ready", NULL);
    nobody_is_left();
    assert_int_equal(counted(C_WAITS + STATS_TIMEOUT), 2);
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 0);
    assert_int_equal(counted(C_REJECTED + STATS_NOT_READY), 2);
    assert_int_equal(counted(C_REQUESTS + STATS_SOURCE_WEIR * CODES + 503 - CODE_FIRST), 2);
}

static void after_the_apps_return_a_wait_ends_at_its_old_deadline(void)
{
    the_app_goes_away();
    struct peer *a = asks(GET_OF("/a")), *b = asks(GET_OF("/b"));

    from_now();
    until(900);
    peers.away = false;
    until(950);
    assert_non_null(heard("GET /a "));
    until(1020);
    is_told(b, 503, "queue_timeout", NULL);
    app_responds_to("GET /a ");
    hears(a, "200 OK");
}

static void a_client_that_leaves_while_the_app_is_away_is_not_heard_of(void)
{
    the_app_goes_away();
    struct peer *a = asks(GET_OF("/a")), *b = asks(GET_OF("/b"));

    leaves(a);
    slots_are(0, 1);
    assert_int_equal(counted(C_WAITS + STATS_CLIENT_GONE), 1);
    the_app_is_back();
    assert_null(heard("/a"));
    app_responds_to("GET /b ");
    hears(b, "200 OK");
}

static void a_drain_turns_them_away(void)
{
    the_app_goes_away();
    struct peer *a = asks(GET);

    world_tell(WORLD_DRAIN);
    world_rest();
    hears_nothing(a);
    world_tell(WORLD_LATE);
    world_rest();
    is_told(a, 503, "draining", NULL);
    assert_int_equal(counted(C_WAITS + STATS_DRAINED), 1);
}

static void a_drain_that_ends_turns_away_what_goes_back_to_the_queue(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(GET);

    slots_are(1, 0);
    world_tell(WORLD_DRAIN);
    world_tell(WORLD_LATE);
    world_rest();
    peers.away = true;
    peers_accept(&peers.apps[0]);
    leaves(app(0)); /* a connection that has died before the request was sent */
    is_told(a, 503, "draining", NULL);
    assert_int_equal(exchange_take_late(world.exchanges), 1);
}

/* ---- what is sent when it is back ---- */

static void a_post_of_which_the_app_has_received_nothing_is_sent_once(void)
{
    the_app_goes_away();
    struct peer *a = asks(POST);

    slots_are(0, 1);
    the_app_is_back();
    struct peer *p = heard("POST /post ");
    assert_non_null(p);
    hears(p, "\r\n\r\nhello");
    says(p, OK);
    hears(a, "200 OK");
    assert_null(heard("POST"));
}

static void an_upload_that_streams_begins_when_the_app_is_back(void)
{
    scene.how.config.concurrency = 8; /* slots are plentiful: it does not wait for its body */
    the_app_goes_away();
    struct peer *a = asks("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "3\r\nabc\r\n");

    slots_are(0, 1);
    says(a, "3\r\ndef\r\n");
    the_app_is_back();
    slots_are(1, 0);
    struct peer *p = heard("POST /up ");
    assert_non_null(p);
    assert_true(has_heard(p, "abc"));
    hears(p, "def");
    says(a, "0\r\n\r\n");
    hears(p, "0\r\n\r\n");
    says(p, OK);
    hears(a, "200 OK");
}

/* A request on a connection that has served one before. */
static struct peer *on_a_kept_connection(const char *request)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    hears(a, "200 OK");
    strbuf_clear(&app(0)->got);
    says(a, request);
    return a;
}

static void a_replay_that_is_refused_waits_as_well(void)
{
    struct peer *a = on_a_kept_connection(GET_OF("/again"));

    assert_true(has_heard(app(0), "GET /again "));
    peers.away = true;
    leaves(app(0));
    slots_are(0, 1);
    hears_nothing(a);
    the_app_is_back();
    slots_are(1, 0);
    says(app(peers.n_apps - 1), OK);
    hears(a, "200 OK");
    /* It was dispatched twice, and each time it had waited. */
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 3);
    assert_int_equal(counted(C_REQUEUED), 1);
}

static void a_replay_waits_anew_however_long_the_app_has_worked_on_it(void)
{
    scene.how.config.queue.timeout = 400000;
    struct peer *a = on_a_kept_connection(GET_OF("/again"));

    from_now();
    until(500);
    leaves(app(0));
    slots_are(0, 1);
    hears_nothing(a);
    until(510);
    says(app(peers.n_apps - 1), OK);
    hears(a, "200 OK");
}

static void a_replay_that_waits_has_a_deadline_too(void)
{
    scene.how.config.queue.timeout = 400000;
    struct peer *a = on_a_kept_connection(GET_OF("/again"));

    from_now();
    until(500);
    peers.away = true;
    leaves(app(0));
    until(880);
    hears_nothing(a);
    until(920);
    is_told(a, 503, "not_ready", NULL);
}

static void a_replay_that_was_refused_is_not_replayed_again(void)
{
    struct peer *a = on_a_kept_connection(GET_OF("/again"));

    peers.away = true;
    leaves(app(0));
    the_app_is_back();
    leaves(app(peers.n_apps - 1));
    is_told(a, 502, "upstream_closed", NULL);
}

static void a_refused_replay_of_a_client_that_leaves_is_counted_once_more(void)
{
    struct peer *a = on_a_kept_connection(GET_OF("/again"));

    peers.away = true;
    leaves(app(0));
    slots_are(0, 1);
    until(300);
    leaves(a);
    nobody_is_left();
    assert_int_equal(counted(C_WAITS + STATS_CLIENT_GONE), 1);
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 2);
}

/* The connection was in the backlog of an app that has ended. */
static void one_whose_new_connection_is_dead_already_is_sent_on_another(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(POST);

    peers_accept(&peers.apps[0]);
    app_leaves(app(0)); /* before weir has sent anything */
    assert_int_equal(peers.n_apps, 2);
    hears(app(1), "\r\n\r\nhello");
    says(app(1), OK);
    hears(a, "200 OK");
}

/* ---- a connection that dies may be the first of all ---- */

static void one_that_was_inside_when_the_app_died_takes_no_other_with_it(void)
{
    struct peer *a = asks(GET_OF("/a")), *b = asks(POST);

    leaves(app(0)); /* the app's listening socket would still take a connect */
    is_told(a, 502, "upstream_closed", NULL);
    slots_are(0, 1);
    assert_true(app_is_up(world.shared.app));
    peers.away = true;
    from_now();
    until(10);
    slots_are(0, 1);
    assert_int_equal(app_state(world.shared.app), APP_DOWN);
    assert_int_equal(peers.n_apps, 1);
    the_app_is_back();
    app_responds_to("POST /post ");
    hears(b, "200 OK");
    assert_int_equal(counted(C_REQUEUED), 0);
}

static void a_replay_waits_for_the_probe_as_well(void)
{
    struct peer *a = on_a_kept_connection(GET_OF("/again"));

    leaves(app(0));
    slots_are(0, 1);
    assert_int_equal(peers.n_apps, 1);
    peers.away = true;
    from_now();
    until(100);
    slots_are(0, 1);
    assert_int_equal(counted(C_UPSTREAM + STATS_FAILED), 0);
    the_app_is_back();
    says(app(peers.n_apps - 1), OK);
    hears(a, "200 OK");
}

static void an_app_that_lives_on_is_looked_at_once_a_second(void)
{
    asks(GET);
    struct peer *b = asks(GET), *c = asks(GET);

    leaves(app(0));
    slots_are(0, 2);
    from_now();
    until(10);
    slots_are(1, 1);
    leaves(app(1));
    is_told(b, 502, "upstream_closed", NULL);
    slots_are(1, 0);
    says(app(2), OK);
    hears(c, "200 OK");
}

/* ---- other failures say nothing about the app ---- */

static void a_shortage_or_a_timeout_does_not_mean_that_the_app_is_away(void)
{
    static const enum peers_connect failures[] = {PEERS_CONNECT_NO_ADDRESS, PEERS_CONNECT_LATER};
    static const char *const reasons[] = {"connect_failed", "connect_timeout"};
    static const unsigned status[] = {502, 504};

    for (size_t i = 0; i < 2; i++) {
        peers.next_connect = failures[i];
        struct peer *a = asks(GET);
        from_now();
        until(1020);
        is_told(a, status[i], reasons[i], NULL);
        assert_true(app_is_up(world.shared.app));
    }
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 2);
    assert_int_equal(counted(C_REQUEUED), 0);
}

static void an_upgrade_that_was_refused_gives_its_place_back_when_it_expires(void)
{
    the_app_goes_away();
    struct peer *a = asks("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");

    slots_are(0, 1);
    assert_int_equal(atomic_load(&world.shared.upgrades), 1);
    from_now();
    until(1020);
    is_told(a, 503, "not_ready", NULL);
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_refused_request_waits_for_the_app),
        SCENE(while_requests_wait_the_app_is_found_within_some_25_ms),
        SCENE(refused_requests_keep_their_places),
        SCENE(requests_granted_in_one_turn_go_back_in_order),
        SCENE(one_that_waits_until_its_deadline_is_told_that_the_app_is_not_ready),
        SCENE(after_the_apps_return_a_wait_ends_at_its_old_deadline),
        SCENE(a_client_that_leaves_while_the_app_is_away_is_not_heard_of),
        SCENE(a_drain_turns_them_away),
        SCENE(a_drain_that_ends_turns_away_what_goes_back_to_the_queue),
        SCENE(a_post_of_which_the_app_has_received_nothing_is_sent_once),
        SCENE(an_upload_that_streams_begins_when_the_app_is_back),
        SCENE(a_replay_that_is_refused_waits_as_well),
        SCENE(a_replay_waits_anew_however_long_the_app_has_worked_on_it),
        SCENE(a_replay_that_waits_has_a_deadline_too),
        SCENE(a_replay_that_was_refused_is_not_replayed_again),
        SCENE(a_refused_replay_of_a_client_that_leaves_is_counted_once_more),
        SCENE(one_whose_new_connection_is_dead_already_is_sent_on_another),
        SCENE(one_that_was_inside_when_the_app_died_takes_no_other_with_it),
        SCENE(a_replay_waits_for_the_probe_as_well),
        SCENE(an_app_that_lives_on_is_looked_at_once_a_second),
        SCENE(a_shortage_or_a_timeout_does_not_mean_that_the_app_is_away),
        SCENE(an_upgrade_that_was_refused_gives_its_place_back_when_it_expires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
