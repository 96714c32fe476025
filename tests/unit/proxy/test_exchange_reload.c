/* A reload while requests run: each keeps the settings it arrived with; limits follow at once, and
 * take nothing from those inside. */
#include "tests/unit/proxy/scene.h"

static struct config with(uint32_t concurrency)
{
    struct config next;

    scene_is_built();
    memcpy(&next, world.config, sizeof(next));
    next.concurrency = concurrency;
    return next;
}

static void reloads(const struct config *next)
{
    assert_true(world_configure(next));
    world_rest();
}

static void the_limit_becomes(uint32_t concurrency)
{
    struct config next = with(concurrency);
    reloads(&next);
}

/* Once the cap has followed those inside. */
static unsigned apps_connections(void)
{
    unsigned open = 0;

    world_rest();
    for (size_t i = 0; i < peers.n_apps; i++)
        open += app(i)->fd >= 0 && !app(i)->ended;
    return open;
}

/* ---- the limit ---- */

static void a_higher_limit_lets_those_in_who_wait(void)
{
    asks(GET_OF("/one"));
    asks(GET_OF("/two"));
    asks(GET_OF("/three"));
    slots_are(1, 2);
    the_limit_becomes(3);
    slots_are(3, 0);
    hears(app(1), "GET /two ");
    hears(app(2), "GET /three ");
    for (size_t i = 0; i < 3; i++)
        says(app(i), OK);
    nobody_is_left();
}

static void a_lower_limit_takes_no_slot_and_grants_none_until_fewer_are_inside(void)
{
    scene.how.config.concurrency = 3;
    struct peer *first = asks(GET);
    asks(GET);
    asks(GET);
    struct peer *last = asks(GET_OF("/last"));
    slots_are(3, 1);
    the_limit_becomes(1);
    slots_are(3, 1);
    says(app(0), OK);
    hears(first, "200 OK");
    slots_are(2, 1);
    says(app(1), OK);
    slots_are(1, 1);
    assert_int_equal(apps_connections(), 1);
    says(app(2), OK);
    slots_are(1, 0);
    hears(app(2), "GET /last ");
    says(app(2), OK);
    hears(last, "200 OK");
}

static void a_lower_limit_closes_idle_connections(void)
{
    scene.how.config.concurrency = 4;
    for (int i = 0; i < 4; i++)
        asks(GET);
    for (size_t i = 0; i < 3; i++)
        says(app(i), OK);
    assert_int_equal(apps_connections(), 4);
    the_limit_becomes(2);
    assert_int_equal(apps_connections(), 2);
    assert_false(app(3)->ended);
    says(app(3), OK);
    the_limit_becomes(1);
    assert_int_equal(apps_connections(), 1);
    the_limit_becomes(2);
    asks(GET);
    asks(GET);
    slots_are(2, 0);
    says(app(3), OK);
    says(app(4), OK);
}

/* The connection that each of them reused has been closed: they open others, above the limit. */
static void those_inside_whose_connections_die_wait_for_the_lowered_limit(void)
{
    scene.how.config.concurrency = 2;
    struct peer *a = asks(GET), *b = asks(GET);
    says(app(0), OK);
    says(app(1), OK);
    hears(a, "200 OK");
    hears(b, "200 OK");
    says(a, GET_OF("/a"));
    says(b, GET_OF("/b"));
    slots_are(2, 0);
    the_limit_becomes(1);
    leaves(app(0)); /* nothing is sent to an app that may be ending, until a probe has found it */
    app_leaves(app(1));
    slots_are(1, 1);
    says(app(2), OK);
    hears(a, "200 OK");
    slots_are(1, 0);
    says(app(3), OK);
    hears(b, "200 OK");
    assert_int_equal(apps_connections(), 1);
}

static void a_shorter_queue_keeps_its_waiters(void)
{
    asks(GET);
    struct peer *b = asks(GET), *c = asks(GET);
    struct config next = with(1);

    next.queue.length = 1;
    reloads(&next);
    slots_are(1, 2);
    struct peer *d = asks(GET);
    is_told(d, 503, "queue_full", NULL);
    for (int i = 0; i < 3; i++)
        says(app(0), OK);
    hears(b, "200 OK");
    hears(c, "200 OK");
}

/* ---- a request keeps what it arrived with ---- */

static void a_waiter_keeps_its_deadline_and_a_newcomer_gets_the_new_one(void)
{
    struct config next;

    from_now();
    asks(GET);
    struct peer *old = asks(GET);
    next = with(1);
    next.queue.timeout = 1500000;
    reloads(&next);
    struct peer *fresh = asks(GET);
    until(990);
    hears_nothing(old);
    until(1050);
    is_told(old, 503, "queue_timeout", NULL);
    until(1450);
    hears_nothing(fresh);
    until(1600);
    is_told(fresh, 503, "queue_timeout", NULL);
}

static void a_look_at_the_app_shortens_no_wait_that_began_before(void)
{
    struct peer *a = asks(GET_OF("/a")), *b = asks(GET_OF("/b")), *c = asks(GET_OF("/c"));
    struct config next = with(1);

    next.queue.timeout = 200000;
    reloads(&next);
    from_now();
    app_leaves(app(0)); /* and is found to be there */
    is_told(a, 502, "upstream_closed", NULL);
    hears(app(1), "GET /b ");
    until(500);
    hears_nothing(c);
    says(app(1), OK);
    hears(b, "200 OK");
    hears(app(1), "GET /c ");
    says(app(1), OK);
    hears(c, "200 OK");
}

static void the_old_configuration_lives_until_its_last_request_ends(void)
{
    struct peer *a = asks(GET);

    the_limit_becomes(2);
    struct peer *b = asks(GET);
    assert_true(world_uses(0));
    assert_true(world_uses(1));
    the_limit_becomes(3);
    assert_true(world_uses(0) && world_uses(1) && world_uses(2));
    says(app(1), OK);
    hears(b, "200 OK");
    assert_false(world_uses(1));
    says(app(0), OK);
    hears(a, "200 OK");
    assert_false(world_uses(0));
    assert_true(world_uses(2));
}

static void of_two_reloads_in_a_turn_the_last_counts(void)
{
    struct config next = with(2);

    assert_true(world_configure(&next));
    next.concurrency = 4;
    reloads(&next);
    assert_false(world_uses(0) || world_uses(1));
    for (int i = 0; i < 4; i++)
        asks(GET);
    slots_are(4, 0);
    for (size_t i = 0; i < 4; i++)
        says(app(i), OK);
}

static void a_response_is_judged_by_the_limits_of_its_request(void)
{
    static const char long_head[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-B: 2\r\n"
                                    "X-C: 3\r\n\r\nok";
    struct peer *a = asks(GET);
    struct config next = with(1);

    next.upstream.max_headers = 2;
    reloads(&next);
    says(app(0), long_head);
    hears(a, "X-C: 3\r\n");
    says(a, GET);
    says(app(0), long_head);
    hears(a, "HTTP/1.1 502 ");
}

/* ---- connections of clients ---- */

static void a_head_that_is_arriving_is_judged_by_the_new_limits(void)
{
    struct peer *a = comes(), *b = comes();
    struct config next = with(1);

    says(a, "GET / HTTP/1.1\r\nHost: a\r\nX-Long: ");
    for (int i = 0; i < 8; i++)
        says(a, "0123456789012345678901234567890123456789012345678901234567890123456789");
    says(b, "GET /b HTTP/1.1\r\nHo");
    next.client.max_head = 200;
    reloads(&next);
    hears_nothing(a);
    says(a, "1");
    hears(a, "HTTP/1.1 431 ");
    says(b, "st: b\r\n\r\n");
    hears(app(0), "GET /b ");
    says(app(0), OK);
}

static void trust_follows_for_clients_that_are_connected(void)
{
    struct peer *a = comes();
    struct config next = with(1);

    says(a, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    hears(app(0), "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n");
    says(app(0), OK);
    next.headers.trusted.n = 0;
    reloads(&next);
    says(a, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    hears(app(0), "X-Forwarded-For: 10.0.0.1\r\n");
    says(app(0), OK);
    next.headers.trusted.n = world.configs[0].headers.trusted.n;
    reloads(&next);
    says(a, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    hears(app(0), "X-Forwarded-For: 192.0.2.1, 10.0.0.1\r\n");
    says(app(0), OK);
}

static void an_idle_client_is_closed_by_the_new_timeout_from_when_it_became_idle(void)
{
    struct peer *a = asks(GET), *fresh;
    struct config next = with(1);

    says(app(0), OK);
    hears(a, "200 OK");
    from_now();
    until(400);
    fresh = comes(); /* its first request may still take client.head_timeout */
    next.client.keepalive_timeout = 500000;
    reloads(&next);
    until(490);
    assert_false(a->ended);
    until(550);
    assert_true(a->ended);
    assert_false(fresh->ended);
}

static void an_idle_connection_to_the_app_is_closed_by_the_new_timeout(void)
{
    struct peer *a = asks(GET);
    struct config next = with(1);

    says(app(0), OK);
    hears(a, "200 OK");
    from_now();
    next.upstream.keepalive_timeout = 300000;
    reloads(&next);
    until(290);
    assert_false(app(0)->ended);
    until(350);
    assert_true(app(0)->ended);
}

static void a_client_that_was_allowed_to_half_close_is_still_served(void)
{
    scene.how.config.client.half_close = CONFIG_HALF_CLOSE_ALLOW;
    struct peer *a = asks(GET), *b = asks(GET);
    struct config next = with(1);

    peers_half_close(a);
    world_rest();
    next.client.half_close = CONFIG_HALF_CLOSE_ABORT;
    reloads(&next);
    says(app(0), OK);
    hears(a, "200 OK");
    hears(app(0), "GET / ");
    peers_half_close(b); /* not any more */
    world_rest();
    assert_true(b->ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_higher_limit_lets_those_in_who_wait),
        SCENE(a_lower_limit_takes_no_slot_and_grants_none_until_fewer_are_inside),
        SCENE(a_lower_limit_closes_idle_connections),
        SCENE(those_inside_whose_connections_die_wait_for_the_lowered_limit),
        SCENE(a_shorter_queue_keeps_its_waiters),
        SCENE(a_waiter_keeps_its_deadline_and_a_newcomer_gets_the_new_one),
        SCENE(a_look_at_the_app_shortens_no_wait_that_began_before),
        SCENE(the_old_configuration_lives_until_its_last_request_ends),
        SCENE(of_two_reloads_in_a_turn_the_last_counts),
        SCENE(a_response_is_judged_by_the_limits_of_its_request),
        SCENE(a_head_that_is_arriving_is_judged_by_the_new_limits),
        SCENE(trust_follows_for_clients_that_are_connected),
        SCENE(an_idle_client_is_closed_by_the_new_timeout_from_when_it_became_idle),
        SCENE(an_idle_connection_to_the_app_is_closed_by_the_new_timeout),
        SCENE(a_client_that_was_allowed_to_half_close_is_still_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
