/* Upgrades: requested, accepted, refused, unsolicited, and the end of a tunnel. */
#include "tests/unit/proxy/scene.h"

#define UPGRADE  "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define SWITCHED "HTTP/1.1 101 Switched\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

static void an_accepted_upgrade_becomes_a_tunnel_with_a_slot(void)
{
    struct peer *a = asks(UPGRADE);

    hears(app(0), "\r\nUpgrade: websocket\r\n");
    says(app(0), SWITCHED "first");
    hears(a, "first");
    says(a, "up");
    hears(app(0), "up");
    says(app(0), "down");
    hears(a, "down");
    slots_are(1, 0);
    assert_int_equal(counted(C_UPGRADES), 1);
    leaves(a);
    assert_true(app(0)->ended);
    slots_are(1, 0);
    leaves(app(0));
    nobody_is_left();
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
}

static void a_side_of_a_tunnel_may_end_before_the_other(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(0), SWITCHED);
    peers_half_close(app(0));
    world_rest();
    assert_true(a->ended);
    says(a, "still");
    hears(app(0), "still");
    slots_are(1, 0);
    peers_half_close(a);
    world_rest();
    nobody_is_left();
}

static void a_refused_upgrade_is_a_request_like_any_other(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(0), OK);
    hears(a, "200 OK");
    nobody_is_left();
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
    assert_false(a->ended);
    says(a, UPGRADE);
    says(app(0), SWITCHED);
    hears(a, "HTTP/1.1 101 ");
}

static void an_upgrade_to_something_else_is_refused(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(0), "HTTP/1.1 101 Switched\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n");
    is_told(a, 502, "upstream_broken", NULL);
    nobody_is_left();
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
}

static void a_client_that_leaves_its_upgrade_leaves_no_tunnel(void)
{
    scene.how.config.on_client_abort = CONFIG_ABORT_FINISH;
    struct peer *a = asks(UPGRADE);

    leaves(a);
    slots_are(1, 0);
    says(app(0), SWITCHED);
    nobody_is_left();
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
}

static void a_silent_tunnel_ends_after_its_idle_timeout(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(0), SWITCHED);
    until(700);
    says(a, "x");
    from_now();
    until(980);
    slots_are(1, 0);
    until(1020);
    nobody_is_left();
    assert_true(a->ended);
    assert_true(app(0)->ended);
}

/* ---- bytes still on their way when the tunnel falls silent ---- */

static const char *long_text(void)
{
    static char bytes[20001];

    memset(bytes, 'x', sizeof(bytes) - 1);
    return bytes;
}

static void a_silent_tunnel_stays_while_its_client_takes_what_was_sent(void)
{
    struct peer *a = asks(UPGRADE);

    a->reads = false;
    says(app(0), SWITCHED);
    says(app(0), long_text());
    for (int i = 0; i < 4; i++) {
        world_pass(700000, 10000);
        peers_receive(a, 4100); /* what the kernel holds of one send */
    }
    slots_are(1, 0);
    assert_false(peers_is_over(a));
    a->reads = true;
    world_rest();
    from_now();
    until(1020); /* it has been silent for longer: the next check ends it */
    nobody_is_left();
}

static void a_silent_tunnel_stays_while_its_app_takes_what_was_sent(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(0), SWITCHED);
    app(0)->reads = false;
    says(a, long_text());
    for (int i = 0; i < 4; i++) {
        world_pass(900000, 10000);
        peers_receive(app(0), 4100);
    }
    slots_are(1, 0);
    from_now();
    until(2100); /* two checks without progress */
    nobody_is_left();
    assert_true(a->ended);
}

static void a_tunnel_is_not_cut_by_stall_timeout(void)
{
    scene.how.config.concurrency = 2;
    scene.how.config.client.stall_timeout = 100000;
    scene.how.config.client.send_timeout = 9000000;
    struct peer *a = asks(UPGRADE);

    a->reads = false;
    says(app(0), SWITCHED);
    says(app(0), long_text());
    asks(GET);
    asks(GET);
    slots_are(2, 1);
    until(900);
    assert_false(peers_is_over(a));
    assert_int_equal(counted(C_UPGRADES), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_accepted_upgrade_becomes_a_tunnel_with_a_slot),
        SCENE(a_side_of_a_tunnel_may_end_before_the_other),
        SCENE(a_refused_upgrade_is_a_request_like_any_other),
        SCENE(an_upgrade_to_something_else_is_refused),
        SCENE(a_client_that_leaves_its_upgrade_leaves_no_tunnel),
        SCENE(a_silent_tunnel_ends_after_its_idle_timeout),
        SCENE(a_silent_tunnel_stays_while_its_client_takes_what_was_sent),
        SCENE(a_silent_tunnel_stays_while_its_app_takes_what_was_sent),
        SCENE(a_tunnel_is_not_cut_by_stall_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
