/* The class and the share of the queue that a request waits in. */
#include "proxy/exchange_private.h"
#include "proxy/option_value.h"
#include "tests/unit/proxy/scene.h"

#define EVENTS(target) "GET " target " HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n"
#define UPGRADE        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

static void is_set(const char *path, const char *text)
{
    const struct option *o = option_find(span_of(path));

    assert_int_equal(option_read(o, span_of(text), &scene.how.config), OPTION_READ);
}

/* The waiter of the latest request in the queue. */
static const struct limiter_waiter *last_waiter(void)
{
    return &TAILQ_LAST(&world.exchanges->in[EXCHANGE_QUEUED], exchange_list)->waiter;
}

static void a_request_waits_in_its_class(void)
{
    is_set("classes", "name=gold,header=X-P,value=high");
    asks(GET_OF("/holds"));
    asks(GET_OF("/"));
    assert_int_equal(last_waiter()->class_, 0);
    asks("GET / HTTP/1.1\r\nHost: a\r\nX-P: high\r\n\r\n");
    assert_int_equal(last_waiter()->class_, 2);
    asks(EVENTS("/"));
    assert_int_equal(last_waiter()->class_, 1);
}

static void a_request_that_is_offered_an_upgrade_is_long_lived(void)
{
    asks(GET_OF("/holds"));
    asks(UPGRADE);
    assert_int_equal(last_waiter()->class_, 1);
    /* HTTP/2 is not offered: it is a request like any other */
    asks("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
    assert_int_equal(last_waiter()->class_, 0);
}

static void a_request_waits_in_the_share_of_its_client(void)
{
    is_set("fair", "X-User");
    asks(GET_OF("/holds"));
    asks("GET / HTTP/1.1\r\nHost: a\r\nX-User: anna\r\n\r\n");
    uint8_t anna = last_waiter()->key;
    asks("GET / HTTP/1.1\r\nHost: a\r\nX-User: bert\r\n\r\n");
    assert_int_not_equal(last_waiter()->key, anna);
    asks("GET / HTTP/1.1\r\nHost: a\r\nX-User: anna\r\n\r\n");
    assert_int_equal(last_waiter()->key, anna);
}

static void what_bypasses_the_queue_has_no_class(void)
{
    static char ping[] = "/ping";
    static struct path path[] = {{ping, 5}};

    is_set("classes", "name=gold,path=/");
    is_set("fair", "X-User");
    scene.how.config.bypass.paths = (struct paths){path, 1};
    scene.how.config.bypass.concurrency = 1;
    asks(EVENTS("/ping"));
    asks(EVENTS("/ping"));
    assert_int_equal(last_waiter()->class_, 0);
    assert_int_equal(last_waiter()->key, 0);
    bypass_slots_are(1, 1);
    slots_are(0, 0);
    says(app(0), OK);
    says(app(0), OK);
}

/* Its place is another's, but it may not take one before its body has arrived. */
static void one_that_finds_room_in_a_full_queue_waits_for_its_body_first(void)
{
    is_set("classes", "name=gold,header=X-P,value=high,head_start=1s");
    scene.how.config.queue.length = 2;
    asks(GET_OF("/holds"));
    asks(GET_OF("/"));
    asks(GET_OF("/"));
    struct peer *gold =
        asks("POST / HTTP/1.1\r\nHost: a\r\nX-P: high\r\nContent-Length: 5\r\n\r\n");
    assert_false(TAILQ_EMPTY(&world.exchanges->in[EXCHANGE_BUFFERING]));
    slots_are(1, 2);
    says(gold, "12345");
    assert_int_equal(last_waiter()->class_, 2);
    slots_are(1, 2);
}

/* ---- with the limiter ---- */

static void event_streams_leave_a_slot_for_requests(void)
{
    struct peer *stream[8], *request;

    scene.how.config.concurrency = 8;
    scene.how.config.queue.length = 80;
    for (int i = 0; i < 8; i++)
        stream[i] = asks(EVENTS("/events"));
    slots_are(7, 1);
    request = asks(GET_OF("/"));
    slots_are(8, 1);
    hears(app(7), "GET / ");
    says(app(7), OK);
    hears(request, "200 OK");
    slots_are(7, 1); /* the slot is free, and the eighth still waits */
    says(app(0), OK);
    hears(stream[0], "200 OK");
    slots_are(7, 0);
}

static void upgrades_and_event_streams_share_their_slots(void)
{
    scene.how.config.concurrency = 3;
    scene.how.upgrades_max = 2;
    scene.how.config.queue.length = 80;
    asks(UPGRADE);
    asks(EVENTS("/events"));
    asks(UPGRADE);
    slots_are(2, 1);
    is_told(asks(UPGRADE), 503, "upgrades", NULL);
    asks(GET_OF("/"));
    slots_are(3, 1);
}

static void a_single_slot_is_for_both(void)
{
    asks(EVENTS("/events"));
    slots_are(1, 0);
    asks(GET_OF("/"));
    slots_are(1, 1);
    says(app(0), OK);
    slots_are(1, 0);
}

static void a_class_has_no_more_slots_than_its_maximum(void)
{
    is_set("classes", "name=reports,path=/reports/,max=2");
    scene.how.config.concurrency = 4;
    for (int i = 0; i < 3; i++)
        asks(GET_OF("/reports/1"));
    slots_are(2, 1);
    asks(GET_OF("/"));
    asks(GET_OF("/"));
    slots_are(4, 1);
    says(app(2), OK);
    slots_are(3, 1);
    says(app(0), OK);
    slots_are(3, 0);
}

static void a_head_start_passes_those_that_wait_for_less(void)
{
    is_set("classes", "name=gold,header=X-P,value=high,head_start=2s");
    is_set("queue.timeout", "10s");
    is_set("upstream.first_byte_timeout", "9s");
    scene.how.config.queue.length = 80;
    asks(GET_OF("/holds"));
    asks(GET_OF("/old"));
    world_pass(2100000, 100000);
    asks(GET_OF("/young"));
    asks("GET /gold HTTP/1.1\r\nHost: a\r\nX-P: high\r\n\r\n");
    hears(app(0), "GET /holds ");
    says(app(0), OK);
    hears(app(0), "GET /old "); /* it has waited for longer than the head start */
    says(app(0), OK);
    hears(app(0), "GET /gold ");
    says(app(0), OK);
    hears(app(0), "GET /young ");
}

static void clients_are_served_in_turn(void)
{
    is_set("fair", "X-User");
    scene.how.config.queue.length = 80;
    asks(GET_OF("/holds"));
    for (int i = 0; i < 3; i++)
        asks("GET /anna HTTP/1.1\r\nHost: a\r\nX-User: anna\r\n\r\n");
    asks("GET /bert HTTP/1.1\r\nHost: a\r\nX-User: bert\r\n\r\n");
    hears(app(0), "GET /holds ");
    says(app(0), OK);
    says(app(0), OK); /* one of each has been served, whichever is first */
    assert_true(has_heard(app(0), "GET /bert ") && has_heard(app(0), "GET /anna "));
    slots_are(1, 2);
    strbuf_clear(&app(0)->got);
    says(app(0), OK);
    hears(app(0), "GET /anna ");
}

static void the_maximum_of_streams_follows_the_limit(void)
{
    scene.how.config.concurrency = 2;
    scene.how.config.queue.length = 80;
    scene.how.connections_max = 3;
    for (int i = 0; i < 3; i++)
        asks(EVENTS("/events"));
    slots_are(1, 2);
    struct config more = scene.how.config;
    more.concurrency = 3;
    assert_true(world_configure(&more));
    world_rest();
    slots_are(2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_request_waits_in_its_class),
        SCENE(a_request_that_is_offered_an_upgrade_is_long_lived),
        SCENE(a_request_waits_in_the_share_of_its_client),
        SCENE(what_bypasses_the_queue_has_no_class),
        SCENE(one_that_finds_room_in_a_full_queue_waits_for_its_body_first),
        SCENE(event_streams_leave_a_slot_for_requests),
        SCENE(upgrades_and_event_streams_share_their_slots),
        SCENE(a_single_slot_is_for_both),
        SCENE(a_class_has_no_more_slots_than_its_maximum),
        SCENE(a_head_start_passes_those_that_wait_for_less),
        SCENE(clients_are_served_in_turn),
        SCENE(the_maximum_of_streams_follows_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
