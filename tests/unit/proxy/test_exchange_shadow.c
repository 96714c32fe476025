/* The dry run: everything reaches the app at once, and the numbers tell what would have been. */
#include "tests/unit/proxy/scene.h"

#define UPGRADE  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switched\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void a_dry_run(void)
{
    scene.how.config.enforce = false;
    scene.how.config.upstream.first_byte_timeout = 9000000;
}

static void limits_are(bool enforced)
{
    struct config next;

    memcpy(&next, world.config, sizeof(next));
    next.enforce = enforced;
    assert_true(world_configure(&next));
    world_rest();
}

static uint32_t without_slot(void)
{
    return atomic_load(&world.shared.without_slot);
}

static uint64_t waits(enum stats_outcome outcome)
{
    return counted(C_WAITS + (size_t)outcome);
}

static uint64_t refusals(enum stats_reason reason)
{
    return counted(C_REJECTED + (size_t)reason);
}

/* The connection on which the app has received this, or NULL. */
static struct peer *heard(const char *text)
{
    for (size_t i = 0; i < peers.n_apps; i++) {
        if (!app(i)->ended && has_heard(app(i), text))
            return app(i);
    }
    return NULL;
}

/* ---- what would have queued, and what would have been refused ---- */

static void all_reach_the_app_at_once(void)
{
    struct peer *a[7];

    a_dry_run();
    for (size_t i = 0; i < 7; i++) {
        a[i] = asks(GET);
        hears(app(i), "GET / ");
    }
    slots_are(1, 4);
    assert_int_equal(without_slot(), 6);
    assert_int_equal(refusals(STATS_QUEUE_FULL), 2);
    for (size_t i = 7; i-- > 0;) {
        says(app(i), OK);
        hears(a[i], "200 OK");
    }
    nobody_is_left();
    assert_int_equal(without_slot(), 0);
    assert_int_equal(waits(STATS_DISPATCHED), 1);
    assert_int_equal(waits(STATS_DRY_RUN), 4);
    assert_int_equal(counted(stats_requests_cell(STATS_SOURCE_APP, 200)), 7);
}

static void its_turn_gives_a_request_its_slot(void)
{
    a_dry_run();
    struct peer *a = asks(GET), *b = asks(GET);

    until(100);
    says(app(0), OK);
    hears(a, "200 OK");
    slots_are(1, 0);
    assert_int_equal(without_slot(), 0);
    until(200);
    says(app(1), OK);
    hears(b, "200 OK");
    assert_int_equal(waits(STATS_DISPATCHED), 2);
    nobody_is_left();
}

static void one_that_ends_in_the_turn_in_which_it_would_be_granted_a_slot_returns_it(void)
{
    a_dry_run();
    struct peer *a = asks(GET), *b = asks(GET), *c = asks(GET);

    says_at_once(app(0), OK);
    says_at_once(app(1), OK);
    world_rest();
    hears(a, "200 OK");
    hears(b, "200 OK");
    slots_are(1, 0);
    says(b, GET_OF("/again"));
    slots_are(1, 1);
    says(app(2), OK);
    hears(c, "200 OK");
    slots_are(1, 0);
    says(heard("GET /again "), OK);
    hears(b, "200 OK");
    nobody_is_left();
}

static void one_that_would_have_waited_too_long_is_counted(void)
{
    a_dry_run();
    struct peer *a = asks(GET), *b = asks(GET), *c = asks(GET);

    until(1200);
    says(app(1), OK); /* the limiter has not noticed yet */
    hears(b, "200 OK");
    assert_int_equal(waits(STATS_TIMEOUT), 1);
    assert_int_equal(refusals(STATS_QUEUE_TIMEOUT), 1);
    says(app(0), OK);
    hears(a, "200 OK");
    assert_int_equal(waits(STATS_TIMEOUT), 2);
    assert_int_equal(refusals(STATS_QUEUE_TIMEOUT), 2);
    assert_int_equal(without_slot(), 1);
    says(app(2), OK);
    hears(c, "200 OK");
    nobody_is_left();
}

static void a_declared_deadline_refuses_nothing(void)
{
    a_dry_run();
    struct peer *a = asks(GET_OF("/a"));
    struct peer *b =
        asks("GET /b HTTP/1.1\r\nHost: a\r\nX-Request-Deadline: 1\r\n\r\n"); /* in 1970 */

    hears(app(1), "GET /b ");
    assert_int_equal(refusals(STATS_DEADLINE), 1);
    says(app(1), OK);
    hears(b, "200 OK");
    says(app(0), OK);
    hears(a, "200 OK");
}

static void there_is_no_time_in_the_queue_to_tell_of(void)
{
    a_dry_run();
    scene.how.config.headers.server_timing = true;
    asks(GET);
    struct peer *b = asks(GET);

    until(100);
    says(app(0), OK);
    until(150);
    says(app(1), OK);
    hears(b, "\r\nServer-Timing: queue;dur=0.000, app;dur=14");
}

/* ---- clients ---- */

static void a_client_that_leaves_would_have_left_the_queue(void)
{
    a_dry_run();
    asks(GET);
    struct peer *b = asks(GET);

    leaves(b);
    slots_are(1, 0);
    assert_int_equal(waits(STATS_CLIENT_GONE), 1);
    assert_int_equal(counted(C_ORPHANS), 1);
    assert_int_equal(without_slot(), 1);
    assert_false(app(1)->ended);
    says(app(1), OK);
    assert_int_equal(counted(C_ORPHANS), 0);
    assert_int_equal(without_slot(), 0);
}

static void a_client_that_leaves_before_the_app_accepts_is_forgotten(void)
{
    a_dry_run();
    asks(GET);
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *b = asks(GET);

    slots_are(1, 1);
    leaves(b);
    slots_are(1, 0);
    assert_int_equal(without_slot(), 0);
    assert_int_equal(waits(STATS_CLIENT_GONE), 1);
}

static void a_slow_body_is_not_waited_for(void)
{
    a_dry_run();
    asks(GET);
    struct peer *b = asks("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");

    hears(app(1), "\r\n\r\nabc");
    says(b, "def");
    hears(app(1), "def");
    says(app(1), OK);
    hears(b, "200 OK");
}

static void a_stalled_reader_is_in_nobodys_way(void)
{
    a_dry_run();
    scene.how.config.buffers.response = 16384;
    scene.how.config.client.stall_timeout = 200000;
    scene.how.config.client.send_timeout = 9000000;
    struct peer *a = asks(GET);

    a->reads = false;
    asks(GET);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n");
    for (int i = 0; i < 200; i++) {
        static char bytes[4096];
        peers_send(app(0), (struct span){bytes, sizeof(bytes)});
    }
    world_rest();
    until(900);
    slots_are(1, 1);
    assert_false(a->ended);
}

/* ---- the app ---- */

static void the_app_is_back(void)
{
    peers.away = false;
    from_now();
    until(60);
}

static void while_the_app_is_away_requests_wait_and_then_all_go_on(void)
{
    a_dry_run();
    scene_is_built();
    peers.away = true;
    struct peer *a = asks(GET_OF("/a")), *b = asks(GET_OF("/b")), *c = asks(GET_OF("/c"));

    slots_are(0, 3);
    assert_int_equal(without_slot(), 0);
    the_app_is_back();
    slots_are(1, 2);
    assert_int_equal(without_slot(), 2);
    says(heard("GET /c "), OK);
    hears(c, "200 OK");
    says(heard("GET /b "), OK);
    hears(b, "200 OK");
    says(heard("GET /a "), OK);
    hears(a, "200 OK");
}

/* As always: there is nowhere else to keep them. */
static void while_the_app_is_away_the_queue_is_bounded(void)
{
    a_dry_run();
    scene.how.config.queue.length = 1;
    scene_is_built();
    peers.away = true;
    asks(GET_OF("/a"));
    is_told(asks(GET_OF("/b")), 503, "queue_full", NULL);
    the_app_is_back();
    says(heard("GET /a "), OK);
}

static void requests_without_a_slot_wait_for_an_app_that_refuses_them(void)
{
    a_dry_run();
    scene.how.config.queue.length = 1;
    struct peer *a = asks(GET_OF("/a"));

    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *b = asks(GET_OF("/b")); /* WAITING */
    peers.next_connect = PEERS_CONNECT_LATER;
    asks(GET_OF("/c")); /* PAST: the queue is full */
    assert_int_equal(without_slot(), 2);
    peers.away = true;
    from_now();
    until(1100); /* the connects have timed out */
    is_told(b, 504, "connect_timeout", NULL);
    slots_are(1, 0);
    assert_int_equal(without_slot(), 0);
    struct peer *d = asks(GET_OF("/d")); /* would wait, is refused by the app, and waits */
    assert_int_equal(app_state(world.shared.app), APP_DOWN);
    slots_are(1, 1);
    assert_int_equal(without_slot(), 0);
    the_app_is_back();
    says(heard("GET /d "), OK);
    hears(d, "200 OK");
    says(heard("GET /a "), OK);
    hears(a, "200 OK");
}

static void one_that_would_be_refused_waits_for_an_app_that_refuses_it(void)
{
    a_dry_run();
    scene.how.config.queue.length = 0;
    struct peer *a = asks(GET_OF("/a"));

    peers.away = true;
    is_told(asks(GET_OF("/b")), 503, "not_ready", NULL); /* the queue has no place */
    the_app_is_back();
    says(heard("GET /a "), OK);
    hears(a, "200 OK");
}

static void a_connection_that_dies_is_replaced_without_a_slot_too(void)
{
    a_dry_run();
    struct peer *a = asks(GET_OF("/a")), *b = asks(GET_OF("/b"));

    says(app(1), OK);
    hears(b, "200 OK");
    says(b, GET_OF("/again")); /* on the same connection to the app */
    hears(app(1), "GET /again ");
    assert_int_equal(without_slot(), 1);
    app_leaves(app(1));
    from_now();
    until(60);
    says(heard("GET /again "), OK);
    hears(b, "200 OK");
    says(heard("GET /a "), OK);
    hears(a, "200 OK");
    nobody_is_left();
}

/* ---- an operator ---- */

static void a_pause_holds_requests_and_its_end_lets_all_go_on(void)
{
    a_dry_run();
    scene_is_built();
    atomic_store(&world.shared.held, true);
    limiter_pause(world.shared.limiter, LIMITER_PAUSE_OPERATOR, peers.now);
    struct peer *a = asks(GET_OF("/a"));
    asks(GET_OF("/b"));
    asks(GET_OF("/c"));
    slots_are(0, 3);
    assert_int_equal(peers.n_apps, 0);
    atomic_store(&world.shared.held, false);
    exchange_deliver(limiter_resume(world.shared.limiter, LIMITER_PAUSE_OPERATOR, peers.now));
    exchange_go_on_all(world.exchanges);
    world_rest();
    slots_are(1, 2);
    assert_int_equal(peers.n_apps, 3);
    says(heard("GET /a "), OK);
    hears(a, "200 OK");
    says(heard("GET /b "), OK);
    says(heard("GET /c "), OK);
    nobody_is_left();
}

static void a_drain_refuses_nobody_who_is_inside(void)
{
    a_dry_run();
    struct peer *a = asks(GET), *b = asks(GET);

    world_tell(WORLD_DRAIN);
    world_tell(WORLD_LATE);
    world_rest();
    assert_int_equal(world.turned_away, 0);
    says(app(1), OK);
    hears(b, "200 OK");
    says(app(0), OK);
    hears(a, "200 OK");
    nobody_is_left();
}

static void a_drain_cuts_off_those_without_a_slot_too(void)
{
    a_dry_run();
    asks(GET);
    asks(GET);
    world_tell(WORLD_DRAIN);
    world_tell(WORLD_LATE);
    world_tell(WORLD_CUT);
    world_rest();
    assert_int_equal(world.cut, 2);
    nobody_is_left();
}

static void limits_may_come_into_force_while_requests_are_inside(void)
{
    a_dry_run();
    struct peer *a[3], *d;

    for (size_t i = 0; i < 3; i++)
        a[i] = asks(GET);
    limits_are(true);
    d = asks(GET_OF("/d"));
    assert_null(heard("GET /d "));
    slots_are(1, 3);
    for (size_t i = 0; i < 3; i++) {
        says(app(i), OK);
        hears(a[i], "200 OK");
    }
    says(heard("GET /d "), OK);
    hears(d, "200 OK");
    nobody_is_left();
}

static void when_limits_are_lifted_those_who_wait_go_on(void)
{
    struct peer *a[4];

    scene.how.config.upstream.first_byte_timeout = 9000000;
    for (size_t i = 0; i < 4; i++)
        a[i] = asks(GET);
    slots_are(1, 3);
    assert_int_equal(peers.n_apps, 1);
    limits_are(false);
    assert_int_equal(peers.n_apps, 4);
    assert_int_equal(without_slot(), 3);
    for (size_t i = 4; i-- > 0;) {
        says(app(i), OK);
        hears(a[i], "200 OK");
    }
    nobody_is_left();
}

/* ---- bypass.paths and upgrades ---- */

static void a_bypass_is_not_limited_either(void)
{
    static char healthz[] = "/healthz";
    static struct path path[] = {{healthz, 8}};
    struct peer *a[3];

    a_dry_run();
    scene.how.config.bypass.paths = (struct paths){path, 1};
    scene.how.config.bypass.concurrency = 1;
    for (size_t i = 0; i < 3; i++)
        a[i] = asks(GET_OF("/healthz"));
    bypass_slots_are(1, 2);
    slots_are(0, 0);
    for (size_t i = 0; i < 3; i++) {
        says(app(i), OK);
        hears(a[i], "200 OK");
    }
    nobody_is_left();
}

static void upgrades_are_not_limited_either(void)
{
    a_dry_run();
    struct peer *a[3];

    for (size_t i = 0; i < 3; i++) {
        a[i] = asks(UPGRADE);
        says(app(i), SWITCHED "hello");
        hears(a[i], "hello");
    }
    assert_int_equal(refusals(STATS_UPGRADES), 2);
    assert_int_equal(counted(C_UPGRADES), 3);
    assert_int_equal(without_slot(), 2);
    leaves(a[2]);
    leaves(app(2));
    assert_int_equal(counted(C_UPGRADES), 2);
    assert_int_equal(without_slot(), 1);
    leaves(a[0]);
    leaves(app(0));
    assert_int_equal(without_slot(), 0);
    slots_are(1, 0);
    assert_int_equal(counted(C_UPGRADES), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(all_reach_the_app_at_once),
        SCENE(its_turn_gives_a_request_its_slot),
        SCENE(one_that_ends_in_the_turn_in_which_it_would_be_granted_a_slot_returns_it),
        SCENE(one_that_would_have_waited_too_long_is_counted),
        SCENE(a_declared_deadline_refuses_nothing),
        SCENE(there_is_no_time_in_the_queue_to_tell_of),
        SCENE(a_client_that_leaves_would_have_left_the_queue),
        SCENE(a_client_that_leaves_before_the_app_accepts_is_forgotten),
        SCENE(a_slow_body_is_not_waited_for),
        SCENE(a_stalled_reader_is_in_nobodys_way),
        SCENE(while_the_app_is_away_requests_wait_and_then_all_go_on),
        SCENE(while_the_app_is_away_the_queue_is_bounded),
        SCENE(requests_without_a_slot_wait_for_an_app_that_refuses_them),
        SCENE(one_that_would_be_refused_waits_for_an_app_that_refuses_it),
        SCENE(a_connection_that_dies_is_replaced_without_a_slot_too),
        SCENE(a_pause_holds_requests_and_its_end_lets_all_go_on),
        SCENE(a_drain_refuses_nobody_who_is_inside),
        SCENE(a_drain_cuts_off_those_without_a_slot_too),
        SCENE(limits_may_come_into_force_while_requests_are_inside),
        SCENE(when_limits_are_lifted_those_who_wait_go_on),
        SCENE(a_bypass_is_not_limited_either),
        SCENE(upgrades_are_not_limited_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
