/* bypass.paths: what passes the queue, under a cap of its own, and counts apart. */
#include "tests/unit/proxy/scene.h"

#define CHECK_UP GET_OF("/healthz")

/* One slot for all else. */
static void a_bypass(uint32_t concurrency)
{
    static char healthz[] = "/healthz", ping[] = "/ping";
    static struct path path[] = {{healthz, 8}, {ping, 5}};

    scene.how.config.bypass.paths = (struct paths){path, 2};
    scene.how.config.bypass.concurrency = concurrency;
    scene.how.config.upstream.first_byte_timeout = 9000000;
}

static void the_queue_is_full(void)
{
    scene.how.config.queue.length = 1;
    scene.how.config.queue.timeout = 9000000;
    asks(GET_OF("/long"));
    asks(GET_OF("/waits"));
    is_told(asks(GET_OF("/more")), 503, "queue_full", NULL);
}

static struct stats_bypass bypass_numbers(void)
{
    struct limiter_snapshot now;
    struct stats_bypass b;

    world_bypass(&now);
    stats_read_bypass(world.bypass_stats, &now, &b);
    return b;
}

static void a_bypass_is_answered_while_the_queue_is_full(void)
{
    a_bypass(1);
    the_queue_is_full();
    struct peer *a = asks(CHECK_UP);
    slots_are(1, 1);
    bypass_slots_are(1, 0);
    hears(app(1), "GET /healthz ");
    says(app(1), OK);
    hears(a, "200 OK");
    bypass_slots_are(0, 0);
    slots_are(1, 1);
    hears(app(0), "GET /long ");
}

static void never_more_than_its_cap_are_in_the_app(void)
{
    struct peer *a[5];

    a_bypass(2);
    the_queue_is_full(); /* its own queue has the same bound */
    for (int i = 0; i < 4; i++)
        a[i] = asks(CHECK_UP);
    bypass_slots_are(2, 1);
    is_told(a[3], 503, "queue_full", "\r\nRetry-After: ");
    assert_int_equal(peers.n_apps, 3);
    says(app(1), OK);
    hears(a[0], "200 OK");
    bypass_slots_are(2, 0);
    slots_are(1, 1);
    says(app(1), OK);
    hears(a[2], "200 OK");
    says(app(2), OK);
    hears(a[1], "200 OK");
    assert_int_equal(peers.n_apps, 3);
}

static void only_the_exact_path_passes(void)
{
    static const char *const pass[] = {
        CHECK_UP,
        GET_OF("/healthz?full=1"),
        GET_OF("http://a/ping"),
        GET_OF("http://a/ping?x"),
        "POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "GET /healthz HTTP/1.0\r\n\r\n"};
    static const char *const wait[] = {GET_OF("/healthz/"),
                                       GET_OF("/Healthz"),
                                       GET_OF("/%68ealthz"),
                                       GET_OF("/a?/healthz"),
                                       GET_OF("//healthz"),
                                       GET_OF("http://healthz"),
                                       "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"};
    const unsigned n = sizeof(wait) / sizeof(wait[0]);

    a_bypass(1);
    scene.how.config.queue.length = n;
    asks(GET_OF("/long"));
    for (unsigned i = 0; i < n; i++)
        asks(wait[i]);
    slots_are(1, n);
    for (size_t i = 0; i < sizeof(pass) / sizeof(pass[0]); i++) {
        struct peer *a = asks(pass[i]);
        bypass_slots_are(1, 0);
        says(app(1), OK);
        hears(a, "200 OK");
    }
    slots_are(1, n);
}

static void without_paths_nothing_passes(void)
{
    scene.how.config.queue.length = 0;
    asks(GET_OF("/long"));
    is_told(asks(CHECK_UP), 503, "queue_full", NULL);
    bypass_slots_are(0, 0);
}

static void its_slots_are_no_slots_for_others(void)
{
    a_bypass(3);
    scene.how.config.queue.length = 0;
    asks(GET_OF("/long"));
    is_told(asks(GET_OF("/other")), 503, "queue_full", NULL);
    asks(CHECK_UP);
    is_told(asks(GET_OF("/other")), 503, "queue_full", NULL);
    bypass_slots_are(1, 0);
}

static void it_has_numbers_of_its_own(void)
{
    a_bypass(1);
    scene.how.config.queue.timeout = 500000;
    struct peer *a = asks(CHECK_UP);
    struct peer *b = asks(CHECK_UP);
    until(300);
    leaves(b);
    struct peer *c = asks(CHECK_UP);
    until(900);
    is_told(c, 503, "queue_timeout", NULL);
    says(app(0), OK);
    hears(a, "200 OK");
    struct stats_bypass now = bypass_numbers();
    assert_int_equal(now.requests[STATS_SOURCE_APP], 1);
    assert_int_equal(now.requests[STATS_SOURCE_WEIR], 1);
    assert_int_equal(now.requests[STATS_SOURCE_CLIENT_GONE], 1);
    assert_int_equal(now.accounting_errors, 0);
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 0);
    assert_int_equal(counted(C_WAITS + STATS_TIMEOUT), 0);
    assert_int_equal(counted(C_REJECTED + STATS_QUEUE_TIMEOUT), 0);
    assert_int_equal(counted(stats_requests_cell(STATS_SOURCE_APP, 200)), 0);
}

static void before_the_app_is_ready_it_is_told_at_once(void)
{
    a_bypass(1);
    scene.how.starting = true;
    asks(GET_OF("/waits"));
    struct peer *a = asks(CHECK_UP);
    is_told(a, 503, "not_ready", "\r\nRetry-After: 1\r\n");
    is_told(asks("POST /ping HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1"), 503, "not_ready",
            "\r\nConnection: close\r\n");
    slots_are(0, 1);
    world_tell(WORLD_UP);
    world_rest();
    says(app(0), OK);
    says(a, CHECK_UP);
    says(app(0), OK);
    hears(a, "200 OK");
}

static void it_is_told_that_the_app_is_gone_while_others_wait(void)
{
    a_bypass(1);
    scene_is_built();
    peers.away = true;
    is_told(asks(CHECK_UP), 503, "not_ready", "\r\nRetry-After: 1\r\n");
    assert_int_equal(app_state(world.shared.app), APP_DOWN);
    struct peer *a = asks(GET);
    is_told(asks(CHECK_UP), 503, "not_ready", NULL);
    slots_are(0, 1);
    bypass_slots_are(0, 0);
    peers.away = false;
    from_now();
    until(60);
    says(app(0), OK);
    hears(a, "200 OK");
    assert_int_equal(bypass_numbers().requests[STATS_SOURCE_WEIR], 2);
}

static void a_check_that_is_replayed_does_not_wait_for_the_probe(void)
{
    a_bypass(1);
    struct peer *a = asks(CHECK_UP);

    says(app(0), OK);
    hears(a, "200 OK");
    says(a, CHECK_UP);
    leaves(app(0));
    hears(app(1), "GET /healthz ");
    says(app(1), OK);
    hears(a, "200 OK");
}

static void an_orphan_of_it_holds_its_slot(void)
{
    a_bypass(1);
    leaves(asks(CHECK_UP));
    struct peer *b = asks(CHECK_UP);
    bypass_slots_are(1, 1);
    slots_are(0, 0);
    assert_int_equal(counted(C_ORPHANS), 0);
    says(app(0), OK);
    says(app(0), OK);
    hears(b, "200 OK");
}

static void it_offers_no_upgrade(void)
{
    a_bypass(1);
    asks("GET /ping HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_false(has_heard(app(0), "Upgrade"));
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
    says(app(0), OK);
}

static void the_next_request_on_its_connection_waits_like_others(void)
{
    a_bypass(1);
    asks(GET_OF("/long"));
    struct peer *a = asks(CHECK_UP GET_OF("/next"));
    says(app(1), OK);
    hears(a, "200 OK");
    slots_are(1, 1);
    bypass_slots_are(0, 0);
    says(app(0), OK);
    hears(app(0), "GET /next ");
}

static void a_drain_serves_it_and_refuses_what_still_waits(void)
{
    a_bypass(1);
    struct peer *a = asks(CHECK_UP), *b = asks(CHECK_UP);
    bypass_slots_are(1, 1);
    world_tell(WORLD_DRAIN);
    world_rest();
    world_tell(WORLD_LATE);
    world_rest();
    assert_int_equal(world.turned_away, 1);
    is_told(b, 503, "draining", "\r\nConnection: close\r\n");
    says(app(0), OK);
    hears(a, "\r\nConnection: close\r\n");
    nobody_is_left();
}

static void a_drain_cuts_it_like_others(void)
{
    a_bypass(1);
    asks(CHECK_UP);
    asks(GET_OF("/long"));
    world_tell(WORLD_DRAIN);
    world_tell(WORLD_CUT);
    world_rest();
    assert_int_equal(world.cut, 2);
    nobody_is_left();
}

static void its_cap_may_change_while_it_is_used(void)
{
    a_bypass(2);
    struct peer *a[3];
    for (int i = 0; i < 3; i++)
        a[i] = asks(CHECK_UP);
    bypass_slots_are(2, 1);
    world.configs[0].bypass.concurrency = 3;
    exchange_bypass_configure(&world.shared, world.config, peers.now);
    world_rest();
    bypass_slots_are(3, 0);
    struct config fewer = world.configs[0];
    fewer.bypass.concurrency = 1;
    exchange_bypass_configure(&world.shared, &fewer, peers.now);
    struct peer *d = asks(CHECK_UP);
    bypass_slots_are(3, 1);
    says(app(0), OK);
    bypass_slots_are(2, 1);
    says(app(1), OK);
    bypass_slots_are(1, 1);
    says(app(2), OK);
    bypass_slots_are(1, 0);
    for (int i = 0; i < 3; i++)
        hears(a[i], "200 OK");
    for (size_t i = 0; i < peers.n_apps; i++) {
        if (has_heard(app(i), "GET /healthz "))
            says(app(i), OK);
    }
    hears(d, "200 OK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_bypass_is_answered_while_the_queue_is_full),
        SCENE(never_more_than_its_cap_are_in_the_app),
        SCENE(only_the_exact_path_passes),
        SCENE(without_paths_nothing_passes),
        SCENE(its_slots_are_no_slots_for_others),
        SCENE(it_has_numbers_of_its_own),
        SCENE(before_the_app_is_ready_it_is_told_at_once),
        SCENE(it_is_told_that_the_app_is_gone_while_others_wait),
        SCENE(a_check_that_is_replayed_does_not_wait_for_the_probe),
        SCENE(an_orphan_of_it_holds_its_slot),
        SCENE(it_offers_no_upgrade),
        SCENE(the_next_request_on_its_connection_waits_like_others),
        SCENE(a_drain_serves_it_and_refuses_what_still_waits),
        SCENE(a_drain_cuts_it_like_others),
        SCENE(its_cap_may_change_while_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
