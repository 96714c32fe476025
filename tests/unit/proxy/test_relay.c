/* A body without framing is forwarded in chunks: completely, or visibly cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/conn.h"
#include "proxy/relay.h"
#include "tests/unit/proxy/sockets.h"

#define HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
#define MARK 100000
#define MUCH (1 << 20)

struct fixture {
    struct loop *loop;
    struct conn from, to;
    int app, client; /* the far ends; -1: closed */
    struct budget budget;
    struct relay relay;
    uint64_t moved; /* total */
    size_t n_got;
};

static struct fixture fx;
static char content[MUCH], got[2 * MUCH], decoded[2 * MUCH];

static void open_both(enum sockets_kind kind, int buffer)
{
    fx.app = sockets_conn(&fx.from, fx.loop, LOOP_SCRATCH_UPSTREAM, kind, 0);
    fx.client = sockets_conn(&fx.to, fx.loop, LOOP_SCRATCH_CLIENT, SOCKETS_UNIX, buffer);
    budget_init(&fx.budget, 1 << 30);
    memset(&fx.relay, 0, sizeof(fx.relay));
    fx.relay.body.framing = HTTP_BODY_UNTIL_CLOSE;
    fx.relay.max = UINT64_MAX;
    fx.relay.mark = MARK;
    fx.relay.budget = &fx.budget;
    fx.relay.encode = true;
    fx.moved = 0;
    fx.n_got = 0;
}

static void close_both(void)
{
    conn_close(&fx.from, false);
    conn_close(&fx.to, false);
    if (fx.app >= 0)
        close(fx.app);
    if (fx.client >= 0)
        close(fx.client);
    fx.app = fx.client = -1;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.from.fd = fx.to.fd = fx.app = fx.client = -1;
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    open_both(SOCKETS_TCP, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_both();
    loop_free(fx.loop);
    return 0;
}

static void turn(void)
{
    while (loop_turn(fx.loop))
        continue;
}

static void app_says(const char *text)
{
    sockets_say(fx.app, span_of(text));
    sockets_until(&fx.from, POLLIN);
}

static void app_ends(void)
{
    close(fx.app);
    fx.app = -1;
    sockets_until(&fx.from, POLLRDHUP);
}

static void app_resets(void)
{
    sockets_reset(fx.app);
    fx.app = -1;
    sockets_until(&fx.from, POLLERR | POLLHUP);
}

static enum relay_status pump_to(struct conn *to, const char *head)
{
    struct relay_front front = {.head = span_of(head)};
    uint64_t moved;

    turn();
    enum relay_status st = relay_pump(&fx.relay, &fx.from, to, head[0] ? &front : NULL, &moved);
    conn_save_input(&fx.from);
    fx.moved += moved;
    return st;
}

static enum relay_status pump(const char *head)
{
    return pump_to(&fx.to, head);
}

static void client_reads(void)
{
    ssize_t n;

    while ((n = recv(fx.client, got + fx.n_got, sizeof(got) - fx.n_got, MSG_DONTWAIT)) > 0)
        fx.n_got += (size_t)n;
}

static void check_got(const char *want)
{
    client_reads();
    got[fx.n_got] = '\0';
    assert_string_equal(got, want);
}

/* ---- complete ---- */

static void what_comes_whole_goes_on_as_a_chunk_and_the_last_one(void **state)
{
    (void)state;
    app_says("hello");
    app_ends();
    assert_int_equal(pump(HEAD), RELAY_END);
    check_got(HEAD "5\r\nhello\r\n0\r\n\r\n");
    assert_int_equal(fx.moved, 5);
    assert_true(fx.relay.stopped);
}

static void an_empty_body_is_the_last_chunk_alone(void **state)
{
    (void)state;
    app_ends();
    assert_int_equal(pump(HEAD), RELAY_END);
    check_got(HEAD "0\r\n\r\n");
}

/* An empty chunk would be the last one. */
static void a_head_alone_goes_on_alone(void **state)
{
    (void)state;
    assert_int_equal(pump(HEAD), RELAY_WAIT);
    check_got(HEAD);
    assert_int_equal(pump(""), RELAY_WAIT);
    check_got(HEAD);
    app_says("x");
    assert_int_equal(pump(""), RELAY_WAIT);
    check_got(HEAD "1\r\nx\r\n");
    app_ends();
    assert_int_equal(pump(""), RELAY_END);
    check_got(HEAD "1\r\nx\r\n0\r\n\r\n");
}

static void each_piece_of_a_body_is_a_chunk_wherever_it_is_split(void **state)
{
    static const char body[] = "0\r\n\r\nabcdefghijklmnopqrs";

    (void)state;
    for (size_t i = 1; i < sizeof(body) - 1; i++) {
        char want[256], first[64] = "";
        memcpy(first, body, i);
        app_says(first);
        assert_int_equal(pump(i % 2 ? HEAD : ""), RELAY_WAIT);
        app_says(body + i);
        app_ends();
        assert_int_equal(pump(""), RELAY_END);
        snprintf(want, sizeof(want), "%s%zx\r\n%s\r\n%zx\r\n%s\r\n0\r\n\r\n", i % 2 ? HEAD : "", i,
                 first, sizeof(body) - 1 - i, body + i);
        check_got(want);
        assert_int_equal(fx.moved, sizeof(body) - 1);
        close_both();
        open_both(i % 3 ? SOCKETS_TCP : SOCKETS_UNIX, 0);
    }
}

/* ---- cut ---- */

static void a_body_that_is_reset_has_no_last_chunk(void **state)
{
    (void)state;
    app_says("part");
    app_resets();
    assert_int_equal(pump(HEAD), RELAY_TRUNCATED);
    check_got(HEAD "4\r\npart\r\n");
    assert_true(fx.relay.stopped);
}

static void a_body_whose_reset_a_send_has_met_has_no_last_chunk(void **state)
{
    (void)state;
    app_says("part");
    app_resets();
    assert_false(conn_send(&fx.from, SPAN("more of the upload"), SPAN("")));
    assert_int_equal(pump(HEAD), RELAY_TRUNCATED);
    check_got(HEAD "4\r\npart\r\n");
}

static void a_unix_app_that_leaves_the_upload_unread_has_cut(void **state)
{
    (void)state;
    close_both();
    open_both(SOCKETS_UNIX, 0);
    assert_true(conn_send(&fx.from, SPAN("upload"), SPAN("")));
    app_says("part");
    app_ends();
    assert_int_equal(pump(HEAD), RELAY_TRUNCATED);
    check_got(HEAD "4\r\npart\r\n");
}

/* For example a 413 from an app that then closes, while the upload continues. */
static void an_end_that_came_before_the_reset_is_the_end(void **state)
{
    (void)state;
    app_says("early");
    app_ends();
    assert_true(conn_send(&fx.from, SPAN("upload"), SPAN("")));
    sockets_until(&fx.from, POLLERR | POLLHUP);
    assert_false(conn_send(&fx.from, SPAN("more of it"), SPAN("")));
    assert_int_equal(pump(HEAD), RELAY_END);
    check_got(HEAD "5\r\nearly\r\n0\r\n\r\n");
}

static void a_client_that_is_lost_at_the_last_chunk_leaves_the_rest_to_nobody(void **state)
{
    (void)state;
    app_says("x");
    assert_int_equal(pump(HEAD), RELAY_WAIT);
    close(fx.client);
    fx.client = -1;
    app_ends();
    assert_int_equal(pump(""), RELAY_RECEIVER_LOST);
    assert_int_equal(pump_to(NULL, ""), RELAY_END);
}

/* ---- large bodies ---- */

/* The app writes as much as its socket accepts; -1: all is written. */
static ssize_t app_pours(size_t *written, size_t most)
{
    if (*written == sizeof(content))
        return -1;
    size_t n = sizeof(content) - *written;
    ssize_t took =
        send(fx.app, content + *written, n < most ? n : most, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (took > 0)
        *written += (size_t)took;
    if (*written == sizeof(content)) {
        shutdown(fx.app, SHUT_WR);
        return -1;
    }
    return took;
}

static void check_decoded(void)
{
    struct http_body body = {.framing = HTTP_BODY_CHUNKED};
    struct http_problem problem;
    enum http_body_status st = HTTP_BODY_MORE;
    size_t at = 0, n = 0;

    while (st == HTTP_BODY_MORE && at < fx.n_got) {
        struct span run;
        size_t used;
        st = http_body_take(&body, got + at, fx.n_got - at, &used, &run, &problem);
        memcpy(decoded + n, run.at, run.len);
        n += run.len;
        at += used;
    }
    assert_int_equal(st, HTTP_BODY_DONE);
    assert_int_equal(at, fx.n_got);
    assert_int_equal(n, sizeof(content));
    assert_memory_equal(decoded, content, n);
}

static void fill_content(void)
{
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (char)sockets_below(256);
}

static void a_client_that_reads_nothing_stops_the_app(void **state)
{
    size_t written = 0;
    enum relay_status st;

    (void)state;
    close_both();
    open_both(SOCKETS_UNIX, 4096);
    fill_content();
    do {
        app_pours(&written, sizeof(content));
        st = pump("");
    } while (st == RELAY_WAIT || st == RELAY_BUSY);
    assert_int_equal(st, RELAY_BLOCKED);
    assert_true(conn_backlog(&fx.to) >= MARK);
    assert_true(conn_backlog(&fx.to) <= MARK + LOOP_SCRATCH + 16);
    while (st != RELAY_END) {
        client_reads();
        turn();
        assert_true(conn_flush(&fx.to));
        app_pours(&written, sizeof(content));
        if (conn_backlog(&fx.to) == 0)
            st = pump("");
    }
    while (conn_backlog(&fx.to) > 0) {
        client_reads();
        turn();
        assert_true(conn_flush(&fx.to));
    }
    client_reads();
    assert_int_equal(fx.moved, sizeof(content));
    check_decoded();
}

static void odd_pieces_arrive_byte_for_byte(void **state)
{
    size_t written = 0;
    enum relay_status st = RELAY_WAIT;

    (void)state;
    fill_content();
    while (st != RELAY_END) {
        app_pours(&written, 1 + sockets_below(20011));
        st = pump("");
        client_reads();
        assert_true(conn_flush(&fx.to));
    }
    client_reads();
    assert_int_equal(fx.moved, sizeof(content));
    check_decoded();
}

/* When the budget is spent, reads are small, and so are chunks. */
static void a_spent_budget_makes_small_chunks(void **state)
{
    size_t written = 0;

    (void)state;
    budget_init(&fx.budget, 0);
    assert_true(app_pours(&written, 50000) > 0);
    sockets_until(&fx.from, POLLIN);
    assert_int_not_equal(pump(""), RELAY_END);
    client_reads();
    assert_memory_equal(got, "2000\r\n", 6);
}

/* ---- other cases ---- */

static void without_encoding_the_bytes_go_on_as_they_are(void **state)
{
    (void)state;
    fx.relay.encode = false;
    app_says("hello");
    app_ends();
    assert_int_equal(pump("HEAD\r\n\r\n"), RELAY_END);
    check_got("HEAD\r\n\r\nhello");
}

static void without_encoding_a_reset_is_a_cut_too(void **state)
{
    (void)state;
    fx.relay.encode = false;
    app_says("part");
    app_resets();
    assert_false(conn_send(&fx.from, SPAN("more of the upload"), SPAN("")));
    assert_int_equal(pump(""), RELAY_TRUNCATED);
    check_got("part");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* ---- a drain ends it ---- */

static void is_chunked(void)
{
    fx.relay.encode = false;
    fx.relay.body.framing = HTTP_BODY_CHUNKED; /* and before its first chunk */
}

static void ends_with(const char *want)
{
    assert_true(relay_can_finish(&fx.relay));
    assert_int_equal(pump(""), RELAY_END);
    assert_true(fx.relay.cut && fx.relay.stopped);
    check_got(want);
}

static void between_two_chunks_it_ends_at_once(void **state)
{
    (void)state;
    is_chunked();
    app_says("5\r\nhello\r\n");
    assert_int_equal(pump(""), RELAY_WAIT);
    fx.relay.finish = true;
    ends_with("5\r\nhello\r\n0\r\n\r\n");
}

static void before_the_first_chunk_it_ends_at_once_after_the_head(void **state)
{
    (void)state;
    is_chunked();
    fx.relay.finish = true;
    assert_int_equal(pump(HEAD), RELAY_END);
    assert_true(fx.relay.cut);
    check_got(HEAD "0\r\n\r\n");
}

static void within_a_chunk_it_ends_behind_it_wherever_that_is_split(void **state)
{
    static const char body[] = "5;a=\"b\"\r\nhello\r\n";

    for (size_t at = 1; at < sizeof(body) - 1; at++) {
        char first[32] = "";

        memcpy(first, body, at);
        is_chunked();
        app_says(first);
        assert_int_equal(pump(""), RELAY_WAIT);
        fx.relay.finish = true;
        assert_int_equal(pump(""), RELAY_WAIT);
        assert_false(fx.relay.cut);
        char rest[64];
        snprintf(rest, sizeof(rest), "%s3\r\nno", body + at);
        app_says(rest);
        ends_with("5;a=\"b\"\r\nhello\r\n0\r\n\r\n");
        tear_down(state);
        set_up(state);
    }
}

static void a_last_chunk_that_has_begun_is_the_apps(void **state)
{
    (void)state;
    is_chunked();
    app_says("2\r\nhi\r\n0\r\nA: b\r\n");
    assert_int_equal(pump(""), RELAY_WAIT);
    fx.relay.finish = true;
    assert_int_equal(pump(""), RELAY_WAIT);
    app_says("\r\n");
    assert_int_equal(pump(""), RELAY_END);
    assert_false(fx.relay.cut);
    check_got("2\r\nhi\r\n0\r\nA: b\r\n\r\n");
}

static void a_body_in_weirs_own_chunks_ends_at_once(void **state)
{
    (void)state;
    app_says("hello");
    assert_int_equal(pump(""), RELAY_WAIT);
    fx.relay.finish = true;
    ends_with("5\r\nhello\r\n0\r\n\r\n");
}

static void what_breaks_the_framing_meanwhile_is_told(void **state)
{
    (void)state;
    is_chunked();
    app_says("2\r\nhi");
    assert_int_equal(pump(""), RELAY_WAIT);
    fx.relay.finish = true;
    app_says("xx");
    assert_int_equal(pump(""), RELAY_BAD_FRAMING);
    assert_false(fx.relay.cut);
}

static void without_chunks_it_cannot_be_ended(void **state)
{
    (void)state;
    fx.relay.encode = false;
    assert_false(relay_can_finish(&fx.relay));
    fx.relay.body.framing = HTTP_BODY_LENGTH;
    assert_false(relay_can_finish(&fx.relay));
    is_chunked();
    fx.relay.decode = true;
    assert_false(relay_can_finish(&fx.relay));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_comes_whole_goes_on_as_a_chunk_and_the_last_one),
        TEST(an_empty_body_is_the_last_chunk_alone),
        TEST(a_head_alone_goes_on_alone),
        TEST(each_piece_of_a_body_is_a_chunk_wherever_it_is_split),
        TEST(a_body_that_is_reset_has_no_last_chunk),
        TEST(a_body_whose_reset_a_send_has_met_has_no_last_chunk),
        TEST(a_unix_app_that_leaves_the_upload_unread_has_cut),
        TEST(an_end_that_came_before_the_reset_is_the_end),
        TEST(a_client_that_is_lost_at_the_last_chunk_leaves_the_rest_to_nobody),
        TEST(a_client_that_reads_nothing_stops_the_app),
        TEST(odd_pieces_arrive_byte_for_byte),
        TEST(a_spent_budget_makes_small_chunks),
        TEST(without_encoding_the_bytes_go_on_as_they_are),
        TEST(without_encoding_a_reset_is_a_cut_too),
        TEST(between_two_chunks_it_ends_at_once),
        TEST(before_the_first_chunk_it_ends_at_once_after_the_head),
        TEST(within_a_chunk_it_ends_behind_it_wherever_that_is_split),
        TEST(a_last_chunk_that_has_begun_is_the_apps),
        TEST(a_body_in_weirs_own_chunks_ends_at_once),
        TEST(what_breaks_the_framing_meanwhile_is_told),
        TEST(without_chunks_it_cannot_be_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
