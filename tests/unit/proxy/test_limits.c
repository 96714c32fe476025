/* How limits change while requests are inside: slots, and the cap on connections that follows. */
#include "proxy/limits.h"
#include "tests/unit/proxy/scene.h"

static struct limits limits;
static struct config next;

/* The world checks no limit of its own in these scenes. */
static void begins_with(uint32_t concurrency)
{
    scene.how.config.concurrency = concurrency;
    scene.how.config.upstream.first_byte_timeout = 60000000;
    scene.how.config.upstream.keepalive_timeout = 60000000;
    scene.how.connections_max = PEERS_APPS;
    scene_is_built();
    world.inside_max = PEERS_APPS;
    world.connections_max = PEERS_APPS;
    limits_init(&limits, world.loop, &world.shared, world.room, world.config, peers.now);
    memcpy(&next, world.config, sizeof(next));
    atomic_init(&next.refs, 1);
}

static void changes(void)
{
    limits_before(&limits, &next);
    exchange_env_configure(world.exchanges, &next);
    upstream_configure(world.upstream, &next);
    limits_after(&limits);
    world_rest();
}

static void ends(void)
{
    scene_is_built();
    world_end_by_itself();
    limits_fini(&limits);
}

static size_t connections(void)
{
    size_t open = 0;

    for (size_t i = 0; i < peers.n_apps; i++)
        open += app(i)->fd >= 0 && !app(i)->ended;
    return open;
}

static void all_are_served(struct peer **clients, size_t n)
{
    for (size_t i = 0; i < n; i++)
        says(app(i), OK);
    for (size_t i = 0; i < n; i++)
        hears(clients[i], "200 OK");
}

static void a_higher_limit_lets_those_in_who_wait(void)
{
    struct peer *a[3];

    begins_with(1);
    for (size_t i = 0; i < 3; i++)
        a[i] = asks(GET);
    slots_are(1, 2);
    next.concurrency = 3;
    changes();
    slots_are(3, 0);
    assert_int_equal(connections(), 3);
    all_are_served(a, 3);
    ends();
}

static void a_lower_limit_takes_nothing_from_those_inside(void)
{
    struct peer *a[3];

    begins_with(3);
    for (size_t i = 0; i < 3; i++)
        a[i] = asks(GET);
    next.concurrency = 1;
    changes();
    slots_are(3, 0);
    assert_int_equal(connections(), 3);
    all_are_served(a, 3);
    world_pass(200000, 10000);
    assert_int_equal(connections(), 1);
    ends();
}

static void after_a_dry_run_each_request_inside_keeps_its_connection(void)
{
    struct peer *a[3], *d;

    scene.how.config.enforce = false;
    begins_with(1);
    for (size_t i = 0; i < 3; i++)
        a[i] = asks(GET);
    assert_int_equal(connections(), 3);
    next.enforce = true;
    changes();
    d = asks(GET_OF("/d"));
    says(app(0), OK); /* the second has the slot now; its connection counts twice nowhere */
    hears(a[0], "200 OK");
    slots_are(1, 2);
    says(app(1), OK);
    says(app(2), OK);
    hears(a[1], "200 OK");
    hears(a[2], "200 OK");
    slots_are(1, 0);
    for (size_t i = 0; i < peers.n_apps; i++) {
        if (!app(i)->ended && has_heard(app(i), "GET /d "))
            says(app(i), OK);
    }
    hears(d, "200 OK");
    world_pass(200000, 10000);
    assert_int_equal(connections(), 1);
    ends();
}

static void a_dry_run_may_begin_while_requests_wait(void)
{
    struct peer *a[4];

    begins_with(1);
    for (size_t i = 0; i < 4; i++)
        a[i] = asks(GET);
    slots_are(1, 3);
    next.enforce = false;
    changes();
    assert_int_equal(connections(), 4);
    all_are_served(a, 4);
    ends();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_higher_limit_lets_those_in_who_wait),
        SCENE(a_lower_limit_takes_nothing_from_those_inside),
        SCENE(after_a_dry_run_each_request_inside_keeps_its_connection),
        SCENE(a_dry_run_may_begin_while_requests_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
