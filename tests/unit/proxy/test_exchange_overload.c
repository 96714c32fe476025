/* The queue in an overload: who is served, evicted or refused; and what the limiter is told of the
 * requests that end. When an overload begins, and who is late in it, is in tests/unit/limiter. */
#include "tests/unit/proxy/scene.h"

#define EVENTS                                                                                     \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"     \
    "3\r\na\n\n\r\n"
#define UPGRADE "Connection: upgrade\r\nUpgrade: x\r\n\r\n"

static struct limiter_snapshot now(void)
{
    struct limiter_snapshot s;

    world_limiter(&s);
    return s;
}

/* ---- an overload ---- */

static struct peer *waiting[4]; /* the queue, oldest first */

static struct peer *asks_for(const char *path, size_t number)
{
    char text[64];

    snprintf(text, sizeof(text), "GET %s%zu HTTP/1.1\r\nHost: a\r\n\r\n", path, number);
    return asks(text);
}

/* The app takes 100 ms for a request. The queue is full, and still is when its requests have all
 * been served; from then on, the app takes longer. */
static void the_queue_is_full_for_long(const char *path, unsigned status)
{
    asks_for(path, 9);
    until(100);
    says(app(0), OK);
    for (size_t i = 0; i < 5; i++)
        asks_for(path, 9);
    is_told(asks_for(path, 9), status, "queue_full", "\r\nRetry-After: 1\r\n");
    for (size_t i = 0; i < 4; i++) {
        says(app(0), OK);
        waiting[i] = asks_for(path, i);
    }
    until(600);
}

static void the_queue_is_overloaded(void)
{
    the_queue_is_full_for_long("/", 503);
    assert_false(now().overload);
}

static struct peer *newcomer(void)
{
    return asks(GET_OF("/new"));
}

static void in_an_overload_a_newcomer_takes_the_place_of_the_one_that_is_latest(void)
{
    the_queue_is_overloaded();
    struct peer *p = newcomer();
    assert_true(now().overload);
    is_told(waiting[0], 503, "evicted", "\r\nRetry-After: 1\r\n");
    assert_int_equal(counted(C_REJECTED + STATS_REFUSED_EVICTED), 1);
    assert_int_equal(counted(C_WAITS + STATS_EVICTED), 1);
    assert_int_equal(now().evicted, 1);
    hears_nothing(p);
    slots_are(1, 4);
    says(waiting[0], GET_OF("/again")); /* its connection is still good */
    is_told(waiting[1], 503, "evicted", NULL);
}

static void whose_eviction_may_be_told_with_429(void)
{
    scene.how.config.overload.status = 429;
    the_queue_is_full_for_long("/", 429);
    newcomer();
    is_told(waiting[0], 429, "evicted", NULL);
}

static void the_app_is_asked_for(const char *path)
{
    char text[32];

    strbuf_clear(&app(0)->got);
    says(app(0), OK);
    snprintf(text, sizeof(text), "GET /%s ", path);
    hears(app(0), text);
}

static void in_an_overload_the_on_time_pass_the_late_whose_newest_comes_first(void)
{
    the_queue_is_overloaded();
    newcomer();
    the_app_is_asked_for("new");
    the_app_is_asked_for("3");
    the_app_is_asked_for("2");
    the_app_is_asked_for("1");
    says(app(0), OK);
    nobody_is_left();
    assert_false(now().overload);
    assert_int_equal(now().overtaken, 3);
}

static void with_fifo_the_newcomer_is_refused_and_the_order_is_that_of_arrival(void)
{
    scene.how.config.queue.order = CONFIG_ORDER_FIFO;
    the_queue_is_overloaded();
    is_told(newcomer(), 503, "queue_full", NULL);
    assert_false(now().overload);
    the_app_is_asked_for("0");
    the_app_is_asked_for("1");
    the_app_is_asked_for("2");
    the_app_is_asked_for("3");
    says(app(0), OK);
    assert_int_equal(now().overtaken, 0);
}

static void the_order_becomes(enum config_order order)
{
    struct config next;

    memcpy(&next, world.config, sizeof(next));
    next.queue.order = order;
    assert_true(world_configure(&next));
    world_rest();
}

static void the_order_may_change_in_an_overload_and_the_next_grant_follows_it(void)
{
    the_queue_is_overloaded();
    newcomer();
    the_app_is_asked_for("new");
    the_app_is_asked_for("3");
    the_order_becomes(CONFIG_ORDER_FIFO);
    assert_false(now().overload);
    the_app_is_asked_for("1");
    the_order_becomes(CONFIG_ORDER_ADAPTIVE);
    the_app_is_asked_for("2");
    says(app(0), OK);
}

static void the_lane_of_the_bypass_is_in_order_always(void)
{
    static char text[] = "/p";
    static struct path path = {text, 2};
    struct limiter_snapshot s;

    scene.how.config.bypass.paths = (struct paths){&path, 1};
    scene.how.config.bypass.concurrency = 1;
    the_queue_is_full_for_long("/p?", 503);
    is_told(asks(GET_OF("/p")), 503, "queue_full", NULL);
    world_bypass(&s);
    assert_false(s.overload);
}

/* ---- what the limiter is told ---- */

static void wasted_are(uint64_t n)
{
    assert_int_equal(now().wasted, n);
}

static void a_response_that_nobody_waits_for_is_wasted(void)
{
    struct peer *a = asks(GET);

    leaves(a);
    wasted_are(0);
    says(app(0), OK);
    nobody_is_left();
    wasted_are(1);
}

static void one_that_a_client_has_begun_to_read_is_not(void)
{
    struct peer *a = asks(GET);

    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    leaves(a);
    says(app(0), "k");
    nobody_is_left();
    wasted_are(0);
}

/* The client's end and the response arrive in the same turn. */
static void one_that_could_not_be_sent_any_more_is(void)
{
    struct peer *a = asks(GET);

    says_at_once(app(0), OK);
    peers_close(a);
    world_rest();
    nobody_is_left();
    wasted_are(1);
}

static void a_request_whose_client_left_before_it_was_dispatched_is_not(void)
{
    asks(GET);
    struct peer *b = asks(GET);

    leaves(b);
    says(app(0), OK);
    struct peer *c = asks(GET), *d = asks(GET);
    says_at_once(app(0), OK);
    peers_close(d);
    world_rest();
    hears(c, "200 OK");
    nobody_is_left();
    wasted_are(0);
}

static void the_hold_of_an_event_stream_is_not_typical(void)
{
    struct peer *a = asks(GET);

    says(app(0), EVENTS);
    until(500);
    says(app(0), "0\r\n\r\n");
    hears(a, "a\n\n");
    nobody_is_left();
    assert_int_equal(now().drain, 0);
    says(a, GET);
    from_now();
    until(100);
    says(app(0), OK);
    assert_in_range(now().drain, 100000, 110000);
    assert_int_equal(counted(stats_cells_of(H_UPGRADE_DURATION)), 0);
}

static void nor_that_of_one_whose_reader_has_left_before_it_began(void)
{
    struct peer *a = asks(GET);

    leaves(a);
    says(app(0), EVENTS "0\r\n\r\n");
    nobody_is_left();
    assert_int_equal(now().drain, 0);
    wasted_are(0);
}

static void a_response_of_events_with_a_length_is_like_others(void)
{
    asks(GET);
    until(100);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\n"
                 "ok");
    assert_in_range(now().drain, 100000, 110000);
}

static void a_tunnel_whose_client_leaves_is_not_wasted(void)
{
    scene.how.config.concurrency = 2;
    struct peer *a = asks("GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE);

    says(app(0), "HTTP/1.1 101 S\r\n" UPGRADE);
    leaves(a);
    leaves(app(0));
    nobody_is_left();
    wasted_are(0);
    assert_int_equal(now().drain, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(in_an_overload_a_newcomer_takes_the_place_of_the_one_that_is_latest),
        SCENE(whose_eviction_may_be_told_with_429),
        SCENE(in_an_overload_the_on_time_pass_the_late_whose_newest_comes_first),
        SCENE(with_fifo_the_newcomer_is_refused_and_the_order_is_that_of_arrival),
        SCENE(the_order_may_change_in_an_overload_and_the_next_grant_follows_it),
        SCENE(the_lane_of_the_bypass_is_in_order_always),
        SCENE(a_response_that_nobody_waits_for_is_wasted),
        SCENE(one_that_a_client_has_begun_to_read_is_not),
        SCENE(one_that_could_not_be_sent_any_more_is),
        SCENE(a_request_whose_client_left_before_it_was_dispatched_is_not),
        SCENE(the_hold_of_an_event_stream_is_not_typical),
        SCENE(nor_that_of_one_whose_reader_has_left_before_it_began),
        SCENE(a_response_of_events_with_a_length_is_like_others),
        SCENE(a_tunnel_whose_client_leaves_is_not_wasted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
