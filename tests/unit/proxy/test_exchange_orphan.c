/* Clients that leave while the app works on their request: what is read on, and for how long. */
#include "tests/unit/proxy/scene.h"

#define UPGRADE     "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define WITH_LENGTH "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123"
#define IN_CHUNKS   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
#define UNTIL_CLOSE "HTTP/1.1 200 OK\r\n\r\nok"

/* upstream.orphan_timeout is 500 ms, idle_timeout 1 s and first_byte_timeout 2 s. */
static void is_held_for(mono_us ms)
{
    until(ms - 20);
    slots_are(1, 0);
    until(ms + 20);
    nobody_is_left();
    assert_true(app(0)->ended);
    assert_int_equal(counted(C_ORPHANS), 0);
}

static void leaves_after(const char *response)
{
    struct peer *a = asks(GET);

    says(app(0), response);
    until(300);
    from_now();
    leaves(a);
    assert_int_equal(counted(C_ORPHANS), 1);
}

/* ---- auto, the default ---- */

static void a_stream_is_closed_orphan_timeout_after_its_reader_has_left(void)
{
    leaves_after(IN_CHUNKS);
    is_held_for(500);
}

static void a_stream_that_goes_on_is_closed_all_the_same(void)
{
    leaves_after(IN_CHUNKS);
    for (mono_us ms = 50; ms <= 450; ms += 50) {
        until(ms);
        says(app(0), "2\r\nok\r\n");
    }
    is_held_for(500);
}

static void so_is_a_response_that_ends_with_its_connection(void)
{
    leaves_after(UNTIL_CLOSE);
    is_held_for(500);
}

static void a_stream_that_ends_by_itself_keeps_the_connection(void)
{
    leaves_after(IN_CHUNKS);
    until(400);
    says(app(0), "0\r\n\r\n");
    nobody_is_left();
    until(700);
    assert_false(app(0)->ended);
    asks(GET_OF("/next"));
    hears(app(0), "GET /next ");
}

static void a_response_with_a_length_is_read_to_its_end(void)
{
    leaves_after(WITH_LENGTH);
    until(900);
    slots_are(1, 0);
    says(app(0), "456789");
    nobody_is_left();
    assert_false(app(0)->ended);
}

static void a_handler_that_has_not_answered_holds_its_slot(void)
{
    leaves(asks(GET));
    until(1900);
    slots_are(1, 0);
    asks(GET_OF("/next"));
    says(app(0), OK);
    hears(app(0), "GET /next ");
    assert_int_equal(peers.n_apps, 1);
}

static void a_stream_that_begins_soon_after_its_client_has_left_has_the_rest_of_the_time(void)
{
    leaves(asks(GET));
    until(200);
    says(app(0), IN_CHUNKS);
    is_held_for(500);
}

static void a_stream_that_begins_long_after_its_client_has_left_is_closed_at_once(void)
{
    leaves(asks(GET));
    until(1500);
    slots_are(1, 0);
    says(app(0), IN_CHUNKS);
    nobody_is_left();
    assert_true(app(0)->ended);
}

static void a_whole_response_in_chunks_is_taken_however_late_it_is(void)
{
    leaves(asks(GET));
    until(1500);
    says(app(0), IN_CHUNKS "0\r\n\r\n");
    nobody_is_left();
    assert_false(app(0)->ended);
}

static void a_stream_is_closed_whose_reader_was_in_the_way(void)
{
    static char chunk[8192 + 16];

    scene.how.config.buffers.response = 4096;
    struct peer *a = comes();
    a->reads = false;
    says(a, GET);
    says(app(0), IN_CHUNKS);
    int n = snprintf(chunk, sizeof(chunk), "1f40\r\n%08000d\r\n", 0);
    for (int i = 0; i < 4; i++)
        peers_send(app(0), (struct span){chunk, (size_t)n});
    world_rest();
    until(100);
    assert_int_equal(world.sums.buffered[STATS_RESPONSE] >= 4096, 1);
    from_now();
    leaves(a);
    is_held_for(500);
}

static void idle_timeout_is_still_the_most(void)
{
    scene.how.config.upstream.orphan_timeout = 5000000;
    leaves_after(IN_CHUNKS);
    is_held_for(1000);
}

static void an_orphan_timeout_of_0_closes_a_stream_at_once(void)
{
    scene.how.config.upstream.orphan_timeout = 0;
    struct peer *a = asks(GET);
    says(app(0), IN_CHUNKS);
    leaves(a);
    nobody_is_left();
    assert_true(app(0)->ended);
}

static void the_next_request_gets_the_slot_of_the_stream(void)
{
    leaves_after(IN_CHUNKS);
    asks(GET_OF("/next"));
    slots_are(1, 1);
    until(520);
    slots_are(1, 0);
    hears(app(1), "GET /next ");
}

/* ---- upgrades ---- */

static void an_unanswered_upgrade_is_closed_at_once(void)
{
    leaves(asks(UPGRADE));
    nobody_is_left();
    assert_true(app(0)->ended);
    assert_int_equal(atomic_load(&world.shared.upgrades), 0);
    assert_int_equal(counted(C_ORPHANED), 0);
}

static void an_upgrade_answered_with_a_response_is_like_others(void)
{
    struct peer *a = asks(UPGRADE);

    says(app(0), WITH_LENGTH);
    leaves(a);
    slots_are(1, 0);
    says(app(0), "456789");
    nobody_is_left();
    assert_false(app(0)->ended);
}

/* ---- finish and close ---- */

static void finish_reads_streams_on_and_waits_for_handshakes(void)
{
    scene.how.config.on_client_abort = CONFIG_ABORT_FINISH;
    leaves_after(IN_CHUNKS);
    is_held_for(1000);
    leaves(asks(UPGRADE));
    slots_are(1, 0);
    says(app(1), OK);
    nobody_is_left();
}

static void close_ends_the_apps_connection_at_once(void)
{
    static const char *const responses[] = {"", WITH_LENGTH, IN_CHUNKS};

    scene.how.config.on_client_abort = CONFIG_ABORT_CLOSE;
    for (size_t i = 0; i < sizeof(responses) / sizeof(responses[0]); i++) {
        struct peer *a = asks(GET);
        says(app(i), responses[i]);
        leaves(a);
        nobody_is_left();
        assert_true(app(i)->ended);
    }
    assert_int_equal(counted(C_ORPHANED), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_stream_is_closed_orphan_timeout_after_its_reader_has_left),
        SCENE(a_stream_that_goes_on_is_closed_all_the_same),
        SCENE(so_is_a_response_that_ends_with_its_connection),
        SCENE(a_stream_that_ends_by_itself_keeps_the_connection),
        SCENE(a_response_with_a_length_is_read_to_its_end),
        SCENE(a_handler_that_has_not_answered_holds_its_slot),
        SCENE(a_stream_that_begins_soon_after_its_client_has_left_has_the_rest_of_the_time),
        SCENE(a_stream_that_begins_long_after_its_client_has_left_is_closed_at_once),
        SCENE(a_whole_response_in_chunks_is_taken_however_late_it_is),
        SCENE(a_stream_is_closed_whose_reader_was_in_the_way),
        SCENE(idle_timeout_is_still_the_most),
        SCENE(an_orphan_timeout_of_0_closes_a_stream_at_once),
        SCENE(the_next_request_gets_the_slot_of_the_stream),
        SCENE(an_unanswered_upgrade_is_closed_at_once),
        SCENE(an_upgrade_answered_with_a_response_is_like_others),
        SCENE(finish_reads_streams_on_and_waits_for_handshakes),
        SCENE(close_ends_the_apps_connection_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
