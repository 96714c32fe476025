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

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_accepted_upgrade_becomes_a_tunnel_with_a_slot),
        SCENE(a_side_of_a_tunnel_may_end_before_the_other),
        SCENE(a_refused_upgrade_is_a_request_like_any_other),
        SCENE(an_upgrade_to_something_else_is_refused),
        SCENE(a_client_that_leaves_its_upgrade_leaves_no_tunnel),
        SCENE(a_silent_tunnel_ends_after_its_idle_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
