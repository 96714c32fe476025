/*
 * The record of a request at its end: where its time went, its bytes, who ended it and why. In all
 * scenes, the world checks that the phases sum to the total and to the limiter's holds (stats_wrong
 * stops the test).
 */
#include "tests/unit/proxy/scene.h"

#define MS          1000
#define CHUNKED_OK  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LONG_OK     "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
#define PUT_OF(len) "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: " len "\r\n\r\n"

static const char *many(size_t n)
{
    static char bytes[70000];

    assert_true(n < sizeof(bytes));
    memset(bytes, 'x', n);
    bytes[n] = '\0';
    return bytes;
}

/* The latest request that has ended. */
static const struct record *ended(void)
{
    const struct record *r = &world.last;

    assert_int_equal(r->phase, RECORD_ENDED);
    return r;
}

static mono_us spent(enum record_phase phase)
{
    return ended()->spent[phase];
}

static void is_ended_by(enum record_source source, unsigned status, const char *reason)
{
    const struct record *r = ended();

    assert_int_equal(r->source, source);
    assert_int_equal(r->status, status);
    if (reason == NULL)
        assert_null(r->reason);
    else
        assert_string_equal(r->reason, reason);
}

static void had_outcome(const char *outcome)
{
    if (outcome == NULL)
        assert_null(stats_outcome_of(ended()));
    else
        assert_string_equal(stats_outcome_of(ended()), outcome);
}

/* ---- phases ---- */

static void every_phase_has_its_time(void)
{
    asks(GET_OF("/first"));
    struct peer *a = comes();
    says(a, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Len");
    from_now();
    until(20);
    says(a, "gth: 4\r\n\r\nab"); /* 21: the head */
    until(51);
    says(a, "cd"); /* 52: the body */
    until(152);
    says(app(0), OK); /* 153: the slot, on a kept connection */
    until(203);
    says(app(0), CHUNKED_OK "2\r\nab\r\n"); /* 204 */
    until(304);
    says(app(0), "1\r\nc\r\n0\r\n\r\n"); /* 305 */
    hears(a, "0\r\n\r\n");
    is_ended_by(RECORD_BY_APP, 200, NULL);
    had_outcome("dispatched");
    assert_int_equal(spent(RECORD_HEAD), 21 * MS);
    assert_int_equal(spent(RECORD_BODY_WAIT), 31 * MS);
    assert_int_equal(spent(RECORD_QUEUE), 101 * MS);
    assert_int_equal(spent(RECORD_CONNECT), 0);
    assert_int_equal(spent(RECORD_SEND), 0);
    assert_int_equal(spent(RECORD_FIRST_BYTE), 51 * MS);
    assert_int_equal(spent(RECORD_TRANSFER), 101 * MS);
    assert_int_equal(spent(RECORD_DELIVERY), 0);
    assert_int_equal(record_total(ended()), 305 * MS);
    assert_int_equal(ended()->bytes_in, 4);
    assert_int_equal(ended()->bytes_out, 3);
    assert_true(ended()->complete);
    assert_int_equal(counted(C_PHASES + RECORD_QUEUE), 101 * MS);
}

/* The headers were sent, the body was not: the first byte was received before the request was
 * complete. */
static void an_answer_before_the_end_of_the_request_ends_its_sending(void)
{
    scene.how.config.concurrency = 4;
    struct peer *a = asks(PUT_OF("9") "1234");

    from_now();
    until(50);
    says(app(0), "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
    hears(a, "HTTP/1.1 413 No\r\n");
    is_ended_by(RECORD_BY_APP, 413, NULL);
    assert_int_equal(spent(RECORD_SEND), 51 * MS);
    assert_int_equal(spent(RECORD_FIRST_BYTE), 0);
    assert_int_equal(ended()->bytes_in, 4);
    assert_int_equal(ended()->bytes_out, 2);
}

static void a_client_that_does_not_read_has_its_phases(void)
{
    scene.how.config.buffers.response = 4096;
    struct peer *a = comes();

    a->reads = false;
    says(a, GET);
    says(app(0), LONG_OK);
    from_now();
    says(app(0), many(50000));
    until(100);
    a->reads = true;
    world_rest();
    says(app(0), many(50000));
    nobody_is_left();
    is_ended_by(RECORD_BY_APP, 200, NULL);
    assert_in_range(spent(RECORD_BACKPRESSURE), 99 * MS, 101 * MS);
    assert_int_equal(spent(RECORD_BACKPRESSURE), counted(C_BACKPRESSURE));
    assert_int_equal(spent(RECORD_TRANSFER) + spent(RECORD_BACKPRESSURE), 102 * MS);
    assert_int_equal(ended()->bytes_out, 100000);
}

static void what_was_spent_on_a_dead_connection_is_a_wait_for_one(void)
{
    struct peer *a = asks(GET);

    says(app(0), OK);
    hears(a, "200 OK");
    says(a, GET);
    from_now();
    until(70);
    app_leaves(app(0));
    until(100);
    says(app(1), OK);
    hears(a, "200 OK");
    is_ended_by(RECORD_BY_APP, 200, NULL);
    assert_true(ended()->replayed);
    assert_int_equal(spent(RECORD_CONNECT), 71 * MS);
    assert_int_equal(spent(RECORD_QUEUE) + spent(RECORD_FIRST_BYTE), 30 * MS);
    assert_true(spent(RECORD_QUEUE) > 0);                    /* until a probe has found the app */
    assert_int_equal(counted(stats_cells_of(H_CONNECT)), 0); /* both found one at once */
}

/* The slots that it handed back are in CONNECT, and the wait continues. */
static void a_wait_for_an_app_that_is_away_is_a_wait_in_the_queue(void)
{
    scene_is_built();
    peers.away = true;
    struct peer *a = asks(GET);

    from_now();
    until(300);
    peers.away = false;
    until(360);
    assert_int_equal(peers.n_apps, 1);
    says(app(0), OK);
    hears(a, "200 OK");
    assert_true(spent(RECORD_QUEUE) >= 300 * MS);
    assert_int_equal(spent(RECORD_QUEUE), counted(C_WAITED + STATS_DISPATCHED));
    assert_int_equal(spent(RECORD_CONNECT),
                     counted(C_REQUEUED_TIME) + counted(stats_cells_of(H_CONNECT)));
}

static void a_tunnels_times_are_its_own(void)
{
    scene.how.config.concurrency = 4;
    struct peer *a = asks("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                          "Upgrade: x\r\n\r\n");

    says(app(0), "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    says(a, "four");
    says(app(0), "sixsix");
    from_now();
    until(50);
    leaves(a);
    leaves(app(0));
    is_ended_by(RECORD_BY_APP, 101, NULL);
    assert_true(ended()->upgraded);
    assert_int_equal(ended()->bytes_in, 4);
    assert_int_equal(ended()->bytes_out, 6);
    assert_int_equal(counted(C_PHASES + RECORD_TRANSFER), 0);
}

/* ---- who ended it, and why ---- */

static void a_refusal_has_the_word_that_the_client_got(void)
{
    scene.how.config.queue.length = 0;
    asks(GET);
    struct peer *a = asks(GET);

    assert_true(has_heard(a, "\r\nContent-Length: 39\r\n"));
    is_told(a, 503, "queue_full", NULL);
    is_ended_by(RECORD_BY_WEIR, 503, "queue_full");
    had_outcome(NULL);
    assert_int_equal(ended()->bytes_out, 39);
    assert_int_equal(record_total(ended()), 0);
}

static void input_that_is_no_request_has_a_record_too(void)
{
    struct peer *a = comes();

    says(a, "GET / HT");
    from_now();
    until(40);
    says(a, "XP/1.1\r\n\r\n");
    is_told(a, 400, "bad_request", NULL);
    is_ended_by(RECORD_BY_WEIR, 400, "bad_request");
    assert_int_equal(spent(RECORD_HEAD), 41 * MS);
    assert_int_equal(counted(C_PHASES + RECORD_HEAD), 41 * MS);
}

static void a_wait_that_ends_without_a_slot_is_lost(void)
{
    asks(GET);
    struct peer *a = asks(GET), *b = asks(GET);

    from_now();
    until(500);
    leaves(b);
    is_ended_by(RECORD_BY_CLIENT, 499, RECORD_WHY_GONE);
    had_outcome("client_gone");
    assert_int_equal(spent(RECORD_QUEUE), 501 * MS);
    until(1020);
    is_told(a, 503, "queue_timeout", NULL);
    is_ended_by(RECORD_BY_WEIR, 503, "queue_timeout");
    had_outcome("timeout");
    assert_in_range(spent(RECORD_QUEUE), 1000 * MS, 1020 * MS);
    assert_int_equal(counted(stats_cells_of(H_LOST_WAIT + STATS_CLIENT_GONE - LOST_FIRST)),
                     501 * MS);
}

static void an_orphans_time_is_not_in_its_total(void)
{
    struct peer *a = asks(GET);

    from_now();
    until(100);
    leaves(a);
    until(150);
    says(app(0), OK);
    is_ended_by(RECORD_BY_CLIENT, 499, RECORD_WHY_GONE);
    assert_true(ended()->orphaned);
    assert_int_equal(spent(RECORD_FIRST_BYTE), 101 * MS);
    assert_int_equal(spent(RECORD_ORPHAN), 50 * MS);
    assert_int_equal(record_total(ended()), 101 * MS);
    assert_int_equal(ended()->bytes_out, 0);
    assert_int_equal(counted(stats_cells_of(H_ORPHAN_HOLD)), 50 * MS);
    assert_int_equal(counted(stats_cells_of(H_FIRST_BYTE)), 151 * MS);
    assert_int_equal(counted(stats_cells_of(H_SLOT_HOLD)), 151 * MS);
}

static void a_response_that_the_app_cuts_off_says_so(void)
{
    asks(GET);

    says(app(0), LONG_OK "first");
    app_leaves(app(0));
    is_ended_by(RECORD_BY_APP, 200, RECORD_WHY_TRUNCATED);
    assert_false(ended()->complete);
    assert_int_equal(ended()->bytes_out, 5);
    asks(GET);
    says(app(1), CHUNKED_OK "no chunk");
    is_ended_by(RECORD_BY_APP, 200, RECORD_WHY_BROKEN);
    asks(GET);
    says(app(2), LONG_OK);
    from_now();
    until(1100);
    is_ended_by(RECORD_BY_APP, 200, RECORD_WHY_IDLE);
}

static void a_client_that_is_cut_was_told_nothing_but_the_record_says_why(void)
{
    struct peer *a = comes();

    scene.how.config.client.stall_timeout = 100 * MS;
    a->reads = false;
    says(a, GET);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
    says(app(0), many(60000));
    from_now();
    until(2500);
    is_ended_by(RECORD_BY_CLIENT, 499, RECORD_WHY_UNREAD);
    assert_true(ended()->complete);
    asks(GET);
    world_tell(WORLD_CUT);
    world_rest();
    is_ended_by(RECORD_BY_CLIENT, 499, RECORD_WHY_DRAIN);
}

/* ---- what the observer receives ---- */

/* How long the app has worked on the next request that it has completed; -1: on none. */
static mono_us completed(void)
{
    const struct completion *c = completions_first(world.completions);
    mono_us inside = -1;

    if (c != NULL) {
        inside = c->inside;
        assert_int_equal(c->weight, 1);
        completions_drop(world.completions);
    }
    return inside;
}

static void a_response_tells_how_long_the_app_has_worked(void)
{
    asks(GET);
    from_now();
    until(30);
    says(app(0), CHUNKED_OK "2\r\nab\r\n");
    until(49);
    says(app(0), "0\r\n\r\n"); /* 50 */
    assert_int_equal(completed(), 50 * MS);
    assert_int_equal(completed(), -1);
}

static void it_does_so_in_a_dry_run_without_a_slot(void)
{
    scene.how.config.enforce = false;
    scene.how.config.concurrency = 1;
    asks(GET);
    struct peer *a = asks(GET);

    from_now();
    until(50);
    says(app(1), OK);
    hears(a, "200 OK");
    assert_int_equal(completed(), 51 * MS);
}

static void a_client_that_does_not_read_adds_nothing_to_it(void)
{
    scene.how.config.buffers.response = 4096;
    struct peer *a = comes();

    a->reads = false;
    says(a, GET);
    says(app(0), LONG_OK);
    says(app(0), many(50000));
    assert_int_equal(counted(C_ASIDE), 1);
    from_now();
    until(300);
    a->reads = true;
    world_rest();
    assert_int_equal(counted(C_ASIDE), 0);
    says(app(0), many(50000));
    nobody_is_left();
    assert_in_range(completed(), 0, 10 * MS);
}

static void an_orphans_response_counts_as_any_other(void)
{
    struct peer *a = asks(GET);

    from_now();
    until(20);
    leaves(a);
    until(70);
    says(app(0), OK);
    assert_int_equal(completed(), 71 * MS);
}

static void what_is_not_a_whole_response_says_nothing_about_the_app(void)
{
    asks(GET);
    says(app(0), LONG_OK "first");
    app_leaves(app(0));
    asks(GET);
    app_leaves(app(1)); /* 502 */
    scene.how.config.queue.length = 0;
    asks(GET_OF("/a"));
    asks(GET_OF("/b"));
    asks(GET_OF("/c"));
    assert_int_equal(completed(), -1);
}

static void an_event_stream_says_nothing_either(void)
{
    asks(GET);
    says(app(0), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    assert_int_equal(counted(C_ASIDE), 1);
    says(app(0), "0\r\n\r\n");
    nobody_is_left();
    assert_int_equal(counted(C_ASIDE), 0);
    assert_int_equal(completed(), -1);
}

static void an_event_stream_whose_client_has_left_is_none_that_the_app_works_on(void)
{
    struct peer *a = asks(GET);

    says(app(0), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n");
    leaves(a);
    slots_are(1, 0);
    assert_int_equal(counted(C_ASIDE), 1);
    from_now();
    until(3000);
    nobody_is_left();
    assert_int_equal(counted(C_ASIDE), 0);
}

static void nor_does_a_request_to_bypass_paths(void)
{
    static char up[] = "/up";
    static struct path path[] = {{up, 3}};

    scene.how.config.bypass.paths = (struct paths){path, 1};
    scene.how.config.bypass.concurrency = 1;
    scene_is_built();
    completions_rest(world.completions);
    struct peer *a = asks(GET_OF("/up"));
    says(app(0), OK);
    hears(a, "200 OK");
    assert_int_equal(completed(), -1);
    assert_int_equal(world.woken, 0);
}

static void an_arrival_wakes_the_observer(void)
{
    scene_is_built();
    completions_rest(world.completions);
    asks(GET);
    asks(GET);
    assert_int_equal(world.woken, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(every_phase_has_its_time),
        SCENE(an_answer_before_the_end_of_the_request_ends_its_sending),
        SCENE(a_client_that_does_not_read_has_its_phases),
        SCENE(what_was_spent_on_a_dead_connection_is_a_wait_for_one),
        SCENE(a_wait_for_an_app_that_is_away_is_a_wait_in_the_queue),
        SCENE(a_tunnels_times_are_its_own),
        SCENE(a_refusal_has_the_word_that_the_client_got),
        SCENE(input_that_is_no_request_has_a_record_too),
        SCENE(a_wait_that_ends_without_a_slot_is_lost),
        SCENE(an_orphans_time_is_not_in_its_total),
        SCENE(a_response_that_the_app_cuts_off_says_so),
        SCENE(a_client_that_is_cut_was_told_nothing_but_the_record_says_why),
        SCENE(a_response_tells_how_long_the_app_has_worked),
        SCENE(it_does_so_in_a_dry_run_without_a_slot),
        SCENE(a_client_that_does_not_read_adds_nothing_to_it),
        SCENE(an_orphans_response_counts_as_any_other),
        SCENE(what_is_not_a_whole_response_says_nothing_about_the_app),
        SCENE(an_event_stream_says_nothing_either),
        SCENE(an_event_stream_whose_client_has_left_is_none_that_the_app_works_on),
        SCENE(nor_does_a_request_to_bypass_paths),
        SCENE(an_arrival_wakes_the_observer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
