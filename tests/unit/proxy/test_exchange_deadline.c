/* The deadlines that clients declare: who may, when a wait ends, and what is never sent. */
#include "tests/unit/proxy/scene.h"

#define BY(path, header) "GET " path " HTTP/1.1\r\nHost: a\r\n" header "\r\n\r\n"
#define PUT_BY(header)   "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n" header "\r\n\r\n1234"
#define CHUNKS_BY(header)                                                                          \
    "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" header "\r\n\r\n"
#define WITHIN(s)           "Request-Timeout: " s
#define REFUSALS(n)         assert_int_equal(counted(C_REJECTED + STATS_DEADLINE), n)
#define ENDED_IN_TIMEOUT(n) assert_int_equal(counted(C_WAITS + STATS_TIMEOUT), n)

static struct cidr others = {.family = AF_INET, .bits = 8, .addr = {192}};

static void the_clients_are_not_trusted(void)
{
    scene.how.config.headers.trusted.at = &others;
    scene.how.config.headers.trusted.n = 1;
}

static void the_app_is_back(void)
{
    peers.away = false;
    from_now();
    until(60);
}

/* ---- waiting ---- */

static void a_wait_ends_at_the_declared_deadline(void)
{
    struct peer *a = asks(GET), *b = asks(BY("/b", WITHIN("0.3")));

    until(290);
    hears_nothing(b);
    slots_are(1, 1);
    until(315);
    is_told(b, 503, "deadline", "\r\nRetry-After: 1\r\n");
    assert_false(b->ended);
    slots_are(1, 0);
    says(app(0), OK);
    hears(a, "200 OK");
    assert_int_equal(peers.n_apps, 1);
    assert_false(has_heard(app(0), "/b"));
    REFUSALS(1);
    ENDED_IN_TIMEOUT(1);
}

static void a_wait_is_no_longer_than_queue_timeout_whatever_is_declared(void)
{
    asks(GET);
    struct peer *b = asks(BY("/b", "grpc-timeout: 99999999H"));

    until(980);
    hears_nothing(b);
    until(1020);
    is_told(b, 503, "queue_timeout", NULL);
    REFUSALS(0);
}

static void one_that_gets_its_slot_in_time_is_served_and_the_app_sees_the_header(void)
{
    struct peer *a = asks(GET), *b = asks(BY("/b", "grpc-timeout: 300m"));

    until(250);
    says(app(0), OK);
    hears(a, "200 OK");
    hears(app(0), "\r\ngrpc-timeout: 300m\r\n");
    until(900); /* the app may take as long as it likes */
    hears_nothing(b);
    says(app(0), OK);
    hears(b, "200 OK");
    REFUSALS(0);
}

static void the_shortest_of_several_counts(void)
{
    asks(GET);
    struct peer *b = asks(BY("/b", "Request-Timeout: 0.9\r\nX-Envoy-Expected-Rq-Timeout-Ms: 200\r\n"
                                   "grpc-timeout: 500m\r\nRequest-Timeout: soon"));

    until(190);
    hears_nothing(b);
    until(215);
    is_told(b, 503, "deadline", NULL);
}

/* The timers have not run yet when the slot becomes free. */
static void a_slot_that_comes_too_late_goes_to_the_next(void)
{
    struct peer *a = asks(GET), *b = asks(BY("/b", WITHIN("0.1"))), *c = asks(GET_OF("/c"));

    peers.now += 200000;
    says(app(0), OK);
    hears(a, "200 OK");
    is_told(b, 503, "deadline", NULL);
    assert_false(has_heard(app(0), "/b"));
    hears(app(0), "GET /c ");
    says(app(0), OK);
    hears(c, "200 OK");
}

/* ---- on arrival ---- */

static void one_whose_deadline_has_passed_is_refused_though_a_slot_is_free(void)
{
    static const char *const past[] = {
        BY("/", "Request-Timeout: 0"), BY("/", "grpc-timeout: 0n"),
        BY("/", "X-Request-Deadline: 1"), BY("/", "X-Envoy-Expected-Rq-Timeout-Ms: 0"),
        BY("/", "Request-Timeout: 5\r\nX-Request-Deadline: 1000000000000")};
    struct peer *a = comes();

    for (size_t i = 0; i < sizeof(past) / sizeof(past[0]); i++) {
        says(a, past[i]);
        is_told(a, 503, "deadline", "\r\nRetry-After: 1\r\n");
    }
    nobody_is_left();
    assert_int_equal(peers.n_apps, 0);
    REFUSALS(5);
    ENDED_IN_TIMEOUT(0);
    says(a, GET);
    slots_are(1, 0);
}

/* A request holds its slot for 100 ms, then one is in the app and three wait. */
static void the_app_is_busy(void)
{
    struct peer *a = asks(GET);

    from_now();
    until(100);
    says(app(0), OK);
    hears(a, "200 OK");
    for (int i = 0; i < 4; i++)
        asks(GET);
    slots_are(1, 3);
}

static void one_that_the_queue_cannot_serve_in_time_is_refused_at_once(void)
{
    the_app_is_busy();
    struct peer *b = asks(BY("/b", WITHIN("0.25"))), *c = asks(BY("/c", WITHIN("0.5")));

    is_told(b, 503, "deadline", "\r\nRetry-After: 1\r\n");
    slots_are(1, 4);
    hears_nothing(c);
    REFUSALS(1);
    ENDED_IN_TIMEOUT(0);
}

static void one_whose_body_came_late_is_refused_by_what_is_left(void)
{
    the_app_is_busy();
    struct peer *b = asks(PUT_BY(WITHIN("0.5")));

    from_now();
    until(150);
    hears_nothing(b);
    until(250);
    says(b, "56789");
    is_told(b, 503, "deadline", NULL);
}

static void none_is_refused_for_the_time_of_the_queue_while_the_app_is_down(void)
{
    scene.how.config.queue.length = 8;
    the_app_is_busy();
    peers.away = true;
    leaves(app(0)); /* what was inside is to be sent again, and its connect is refused */
    slots_are(0, 4);
    struct peer *b = asks(BY("/b", WITHIN("0.25")));

    from_now();
    until(240);
    hears_nothing(b);
    until(265);
    is_told(b, 503, "deadline", NULL);
    ENDED_IN_TIMEOUT(1);
}

static void the_time_of_a_deadline_is_that_of_the_wall_clock(void)
{
    char request[128];

    asks(GET);
    mono_us at = clock_wall() + 400000;
    snprintf(request, sizeof(request), BY("/", "X-Request-Deadline: %lld.%06lld"),
             (long long)(at / 1000000), (long long)(at % 1000000));
    struct peer *seconds = asks(request);
    snprintf(request, sizeof(request), BY("/", "X-Request-Deadline: %lld"),
             (long long)(at / 1000 + 200));
    struct peer *milliseconds = asks(request);
    until(390);
    hears_nothing(seconds);
    until(420);
    is_told(seconds, 503, "deadline", NULL);
    until(590);
    hears_nothing(milliseconds);
    until(620);
    is_told(milliseconds, 503, "deadline", NULL);
}

static void an_upgrade_that_is_refused_gives_its_place_back(void)
{
    struct peer *a = asks("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n"
                          "Request-Timeout: 0\r\n\r\n");

    is_told(a, 503, "deadline", NULL);
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
}

static void a_body_is_not_awaited_for_one_that_is_refused(void)
{
    struct peer *a =
        asks("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n"
             "Request-Timeout: 0\r\n\r\n");

    is_told(a, 503, "deadline", "\r\nConnection: close\r\n");
}

static void a_health_check_may_declare_one_too(void)
{
    static char text[] = "/p";
    static struct path path = {text, 2};

    scene.how.config.bypass.paths = (struct paths){&path, 1};
    scene.how.config.bypass.concurrency = 1;
    struct peer *a = asks(BY("/p", WITHIN("0"))), *b = asks(BY("/p", WITHIN("1")));
    struct peer *c = asks(BY("/p", WITHIN("0.2")));

    is_told(a, 503, "deadline", NULL);
    bypass_slots_are(1, 1);
    until(220);
    is_told(c, 503, "deadline", NULL);
    says(app(0), OK);
    hears(b, "200 OK");
}

/* ---- whose deadlines count ---- */

static void those_of_clients_that_are_not_trusted_do_not_count(void)
{
    the_clients_are_not_trusted();
    struct peer *a = asks(BY("/a", WITHIN("0")));

    hears(app(0), "\r\nRequest-Timeout: 0\r\n");
    says(app(0), OK);
    hears(a, "200 OK");
}

static void those_of_all_clients_count_if_so_configured(void)
{
    the_clients_are_not_trusted();
    scene.how.config.deadline.from = CONFIG_DEADLINE_ALL;
    is_told(asks(BY("/a", WITHIN("0"))), 503, "deadline", NULL);
}

static void a_reload_applies_to_the_requests_that_follow(void)
{
    struct config next;

    asks(GET);
    struct peer *b = asks(BY("/b", WITHIN("0.3"))), *c = comes();
    memcpy(&next, world.config, sizeof(next));
    next.deadline.headers = 0;
    assert_true(world_configure(&next));
    world_rest();
    says(c, BY("/c", WITHIN("0")));
    hears_nothing(c);
    until(320);
    is_told(b, 503, "deadline", NULL);
    hears_nothing(c);
}

/* ---- the body ---- */

static void a_deadline_passes_while_the_body_is_awaited(void)
{
    struct peer *a = asks(PUT_BY(WITHIN("0.2")));

    until(190);
    hears_nothing(a);
    until(215);
    is_told(a, 503, "deadline", "\r\nConnection: close\r\n");
    assert_int_equal(peers.n_apps, 0);
    nobody_is_left();
}

static void a_deadline_passes_before_a_body_counts_as_a_stream(void)
{
    struct peer *a = asks(CHUNKS_BY(WITHIN("0.1")) "4\r\n1234\r\n");

    until(90);
    hears_nothing(a);
    until(115);
    is_told(a, 503, "deadline", NULL);
    assert_int_equal(peers.n_apps, 0);
}

static void a_body_that_comes_late_leaves_less_time_for_the_queue(void)
{
    asks(GET);
    struct peer *b = asks(PUT_BY(WITHIN("0.5")));

    until(300);
    slots_are(1, 0);
    says(b, "56789");
    slots_are(1, 1);
    until(490);
    hears_nothing(b);
    until(515);
    is_told(b, 503, "deadline", NULL);
}

static void a_body_timeout_that_is_shorter_comes_first(void)
{
    struct peer *a = asks(PUT_BY(WITHIN("2")));

    until(1020);
    is_told(a, 408, "body_timeout", NULL);
}

/* ---- the app is not up ---- */

static void one_that_waits_for_the_start_waits_until_its_deadline(void)
{
    scene.how.starting = true;
    struct peer *a = asks(BY("/a", WITHIN("0.3"))), *b = asks(BY("/b", WITHIN("3")));

    until(290);
    hears_nothing(a);
    until(315);
    is_told(a, 503, "deadline", NULL);
    until(980);
    hears_nothing(b);
    until(1020);
    is_told(b, 503, "not_ready", NULL);
}

static void the_start_of_the_app_prolongs_no_wait(void)
{
    scene.how.starting = true;
    scene.how.config.queue.timeout = 400000;
    scene.how.config.concurrency = 1;
    struct peer *a = asks(GET), *b = asks(BY("/b", WITHIN("0.3"))),
                *c = asks(BY("/c", WITHIN("2")));

    until(100);
    world_tell(WORLD_UP);
    world_rest();
    slots_are(1, 2);
    until(290);
    hears_nothing(b);
    until(315);
    is_told(b, 503, "deadline", NULL);
    until(480);
    hears_nothing(c);
    until(520);
    is_told(c, 503, "queue_timeout", NULL);
    says(app(0), OK);
    hears(a, "200 OK");
}

static void one_that_went_back_to_the_queue_keeps_its_deadline(void)
{
    peers.away = true;
    struct peer *a = asks(BY("/a", WITHIN("0.3"))), *b = asks(GET);

    slots_are(0, 2);
    until(290);
    hears_nothing(a);
    until(315);
    is_told(a, 503, "deadline", NULL);
    until(500);
    the_app_is_back();
    assert_int_equal(peers.n_apps, 1);
    assert_false(has_heard(app(0), "/a"));
    says(app(0), OK);
    hears(b, "200 OK");
}

/* ---- a slot that is of no use any more ---- */

static void a_connection_that_comes_too_late_is_kept_for_the_next(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(BY("/a", WITHIN("0.2"))), *b = asks(GET_OF("/b"));

    slots_are(1, 1);
    until(250);
    hears_nothing(a);
    peers_accept(&peers.apps[0]);
    world_rest();
    is_told(a, 503, "deadline", NULL);
    assert_int_equal(peers.n_apps, 1);
    assert_false(has_heard(app(0), "/a"));
    hears(app(0), "GET /b ");
    says(app(0), OK);
    hears(b, "200 OK");
    ENDED_IN_TIMEOUT(1);
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 1);
    assert_int_equal(counted(C_REQUEUED), 1);
}

static void a_connection_on_which_the_app_spoke_is_not_kept(void)
{
    peers.next_connect = PEERS_CONNECT_LATER;
    struct peer *a = asks(BY("/a", WITHIN("0.2")));

    until(250);
    peers_accept(&peers.apps[0]);
    says(app(0), OK);
    is_told(a, 503, "deadline", NULL);
    assert_true(app(0)->ended);
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

static void it_is_not_sent_again_after_its_deadline(void)
{
    struct peer *a = on_a_kept_connection(BY("/again", WITHIN("0.2")));

    from_now();
    until(300);
    app_leaves(app(0));
    is_told(a, 503, "deadline", NULL);
    assert_int_equal(peers.n_apps, 1);
    assert_int_equal(counted(C_WAITS + STATS_DISPATCHED), 2);
    ENDED_IN_TIMEOUT(1);
}

/* weir makes sure only once a second that the app is still there. */
static void no_connection_is_opened_to_send_it_again_after_its_deadline(void)
{
    struct peer *a = on_a_kept_connection(GET_OF("/first"));

    app_leaves(app(0));
    says(app(1), OK);
    hears(a, "200 OK");
    says(a, BY("/again", WITHIN("0.2")));
    from_now();
    until(300);
    leaves(app(1));
    is_told(a, 503, "deadline", NULL);
    assert_int_equal(peers.n_apps, 2);
}

static void a_replay_waits_no_longer_than_its_deadline(void)
{
    struct peer *a = on_a_kept_connection(BY("/again", WITHIN("0.5")));

    from_now();
    until(200);
    peers.away = true;
    leaves(app(0));
    slots_are(0, 1);
    until(490);
    hears_nothing(a);
    until(515);
    is_told(a, 503, "deadline", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_wait_ends_at_the_declared_deadline),
        SCENE(a_wait_is_no_longer_than_queue_timeout_whatever_is_declared),
        SCENE(one_that_gets_its_slot_in_time_is_served_and_the_app_sees_the_header),
        SCENE(the_shortest_of_several_counts),
        SCENE(a_slot_that_comes_too_late_goes_to_the_next),
        SCENE(one_whose_deadline_has_passed_is_refused_though_a_slot_is_free),
        SCENE(one_that_the_queue_cannot_serve_in_time_is_refused_at_once),
        SCENE(one_whose_body_came_late_is_refused_by_what_is_left),
        SCENE(none_is_refused_for_the_time_of_the_queue_while_the_app_is_down),
        SCENE(the_time_of_a_deadline_is_that_of_the_wall_clock),
        SCENE(an_upgrade_that_is_refused_gives_its_place_back),
        SCENE(a_body_is_not_awaited_for_one_that_is_refused),
        SCENE(a_health_check_may_declare_one_too),
        SCENE(those_of_clients_that_are_not_trusted_do_not_count),
        SCENE(those_of_all_clients_count_if_so_configured),
        SCENE(a_reload_applies_to_the_requests_that_follow),
        SCENE(a_deadline_passes_while_the_body_is_awaited),
        SCENE(a_deadline_passes_before_a_body_counts_as_a_stream),
        SCENE(a_body_that_comes_late_leaves_less_time_for_the_queue),
        SCENE(a_body_timeout_that_is_shorter_comes_first),
        SCENE(one_that_waits_for_the_start_waits_until_its_deadline),
        SCENE(the_start_of_the_app_prolongs_no_wait),
        SCENE(one_that_went_back_to_the_queue_keeps_its_deadline),
        SCENE(a_connection_that_comes_too_late_is_kept_for_the_next),
        SCENE(a_connection_on_which_the_app_spoke_is_not_kept),
        SCENE(it_is_not_sent_again_after_its_deadline),
        SCENE(no_connection_is_opened_to_send_it_again_after_its_deadline),
        SCENE(a_replay_waits_no_longer_than_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
