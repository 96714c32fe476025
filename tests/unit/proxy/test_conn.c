/* How a connection reports the end of its peer; and that output arrives unchanged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/conn.h"
#include "tests/unit/proxy/sockets.h"

struct fixture {
    struct loop *loop;
    struct conn conn;
    int peer; /* -1: closed */
};

static struct fixture fx;

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.conn.fd = fx.peer = -1;
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conn_close(&fx.conn, false);
    if (fx.peer >= 0)
        close(fx.peer);
    loop_free(fx.loop);
    return 0;
}

static void open_pair(enum sockets_kind kind, int buffer)
{
    fx.peer = sockets_conn(&fx.conn, fx.loop, LOOP_SCRATCH_UPSTREAM, kind, buffer);
}

static void turn(void)
{
    while (loop_turn(fx.loop))
        continue;
}

static void peer_closes(void)
{
    close(fx.peer);
    fx.peer = -1;
}

static void peer_resets(void)
{
    sockets_reset(fx.peer);
    fx.peer = -1;
    sockets_until(&fx.conn, POLLERR | POLLHUP);
}

static bool conn_says(const char *text)
{
    return conn_send(&fx.conn, span_of(text), (struct span){NULL, 0});
}

static struct span input_of(struct conn *c)
{
    struct span in = c->in;

    conn_consume(c, in.len);
    return in;
}

/* Reads the bytes received, and then this end: the first time and every time after. */
static void check_read(const char *text, enum conn_fill end)
{
    turn();
    if (text[0] != '\0') {
        assert_int_equal(conn_fill(&fx.conn, LOOP_SCRATCH), CONN_GOT);
        assert_true(span_equal(input_of(&fx.conn), span_of(text)));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(conn_fill(&fx.conn, LOOP_SCRATCH), end);
}

/* ---- an end ---- */

static void a_fin_is_an_end(void **state)
{
    (void)state;
    for (enum sockets_kind kind = 0; kind < SOCKETS_KINDS; kind++) {
        open_pair(kind, 0);
        sockets_say(fx.peer, SPAN("last words"));
        peer_closes();
        check_read("last words", CONN_EOF);
        assert_true(fx.conn.hung_up);
        conn_close(&fx.conn, false);
    }
}

static void a_half_close_is_an_end_and_takes_more(void **state)
{
    (void)state;
    for (enum sockets_kind kind = 0; kind < SOCKETS_KINDS; kind++) {
        open_pair(kind, 0);
        sockets_say(fx.peer, SPAN("last words"));
        shutdown(fx.peer, SHUT_WR);
        check_read("last words", CONN_EOF);
        assert_true(conn_says("answer"));
        conn_close(&fx.conn, false);
        peer_closes();
    }
}

/* The peer has closed, and responds to additional bytes with an RST. */
static void a_reset_behind_a_fin_leaves_the_end_an_end(void **state)
{
    (void)state;
    open_pair(SOCKETS_TCP, 0);
    sockets_say(fx.peer, SPAN("last words"));
    peer_closes();
    sockets_until(&fx.conn, POLLRDHUP);
    assert_true(conn_says("too late"));
    sockets_until(&fx.conn, POLLERR | POLLHUP);
    assert_false(conn_says("too late again"));
    assert_true(fx.conn.broken);
    check_read("last words", CONN_EOF);
}

static void a_reset_behind_a_fin_that_is_looked_for_leaves_the_end_an_end(void **state)
{
    (void)state;
    open_pair(SOCKETS_TCP, 0);
    sockets_say(fx.peer, SPAN("last words"));
    peer_closes();
    sockets_until(&fx.conn, POLLRDHUP);
    assert_true(conn_says("too late"));
    sockets_until(&fx.conn, POLLERR | POLLHUP);
    assert_true(conn_check_broken(&fx.conn));
    check_read("last words", CONN_EOF);
}

static void a_unix_peer_that_had_read_all_has_ended_in_order(void **state)
{
    (void)state;
    open_pair(SOCKETS_UNIX, 0);
    sockets_say(fx.peer, SPAN("last words"));
    peer_closes();
    assert_false(conn_says("too late"));
    assert_true(fx.conn.broken);
    check_read("last words", CONN_EOF);
}

/* ---- a reset ---- */

static void a_reset_that_is_read_stays_one(void **state)
{
    (void)state;
    open_pair(SOCKETS_TCP, 0);
    sockets_say(fx.peer, SPAN("cut of"));
    peer_resets();
    check_read("cut of", CONN_LOST);
    assert_true(fx.conn.broken);
}

static void a_reset_that_a_send_meets_is_no_end(void **state)
{
    (void)state;
    open_pair(SOCKETS_TCP, 0);
    sockets_say(fx.peer, SPAN("cut of"));
    peer_resets();
    assert_false(conn_says("more"));
    check_read("cut of", CONN_LOST);
}

static void a_reset_that_a_flush_meets_is_no_end(void **state)
{
    static const char much[65536];

    (void)state;
    open_pair(SOCKETS_TCP, 4096);
    turn();
    while (conn_backlog(&fx.conn) == 0)
        assert_true(conn_send(&fx.conn, (struct span){much, sizeof(much)}, SPAN("")));
    sockets_say(fx.peer, SPAN("cut of"));
    peer_closes(); /* with unread bytes */
    sockets_until(&fx.conn, POLLERR | POLLHUP);
    turn();
    assert_true(fx.conn.writable);
    assert_false(conn_flush(&fx.conn));
    check_read("cut of", CONN_LOST);
}

static void a_reset_that_was_looked_for_is_no_end(void **state)
{
    (void)state;
    open_pair(SOCKETS_TCP, 0);
    sockets_say(fx.peer, SPAN("cut of"));
    peer_resets();
    assert_true(conn_check_broken(&fx.conn));
    check_read("cut of", CONN_LOST);
}

static void a_reset_that_a_look_meets_is_no_end(void **state)
{
    static const char *const before[] = {"", "cut of"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        open_pair(SOCKETS_TCP, 0);
        if (i == 1)
            sockets_say(fx.peer, span_of(before[i]));
        peer_resets();
        assert_true(conn_peek(&fx.conn));
        assert_true(fx.conn.broken);
        check_read(before[i], CONN_LOST);
        conn_close(&fx.conn, false);
    }
}

static void a_unix_peer_that_left_bytes_unread_has_cut(void **state)
{
    (void)state;
    for (int send_first = 0; send_first < 2; send_first++) {
        open_pair(SOCKETS_UNIX, 0);
        assert_true(conn_says("unread"));
        sockets_say(fx.peer, SPAN("cut of"));
        peer_closes();
        if (send_first)
            assert_false(conn_says("more"));
        check_read("cut of", CONN_LOST);
        conn_close(&fx.conn, false);
    }
}

/* ---- output ---- */

static char sent[1 << 20], got[1 << 20];

/* A slow peer reads some; the backlog is sent. */
static size_t peer_reads(size_t at, size_t most)
{
    ssize_t n = recv(fx.peer, got + at, most, MSG_DONTWAIT);

    turn();
    assert_true(conn_flush(&fx.conn));
    return n > 0 ? (size_t)n : 0;
}

static void pieces_arrive_in_order_whatever_the_socket_takes(void **state)
{
    size_t given = 0, at = 0;

    (void)state;
    open_pair(SOCKETS_UNIX, 4096);
    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (char)sockets_below(256);
    while (given < sizeof(sent) - 4 * 5000) {
        struct span pieces[CONN_PIECES];
        for (size_t i = 0; i < CONN_PIECES; i++) {
            size_t len = sockets_below(3) == 0 ? 0 : sockets_below(5000);
            pieces[i] = (struct span){len > 0 ? sent + given : NULL, len};
            given += len;
        }
        assert_true(conn_send_pieces(&fx.conn, pieces, CONN_PIECES));
        at += peer_reads(at, sockets_below(16000));
    }
    while (at < given) {
        size_t n = peer_reads(at, sizeof(got) - at);
        assert_true(n > 0);
        at += n;
    }
    assert_int_equal(conn_backlog(&fx.conn), 0);
    assert_memory_equal(got, sent, given);
}

static void no_pieces_are_no_bytes(void **state)
{
    const struct span none[] = {{NULL, 0}, {NULL, 0}};

    (void)state;
    open_pair(SOCKETS_UNIX, 0);
    assert_true(conn_send_pieces(&fx.conn, none, 2));
    assert_true(conn_send_pieces(&fx.conn, none, 0));
    assert_int_equal(recv(fx.peer, got, 1, MSG_DONTWAIT), -1);
    peer_closes();
    assert_false(conn_says("x"));
    assert_false(conn_send_pieces(&fx.conn, none, 2));
}

/* ---- events and turns ---- */

#define ROOM 32 /* libevent's initial room for epoll */

static struct crowd {
    struct conn conns[ROOM];
    int peers[ROOM];
    int told;
    bool lags;
    struct task task;
} crowd;

static void on_crowd_task(struct task *task)
{
    (void)task;
    crowd.lags = loop_may_lag(fx.loop);
}

/* The first one sends the last one more than its socket accepts. */
static void on_crowd(struct conn *c)
{
    struct conn *last = &crowd.conns[ROOM - 1];

    crowd.told++;
    if (c != &crowd.conns[0])
        return;
    loop_post(fx.loop, &crowd.task);
    while (conn_backlog(last) == 0)
        assert_true(conn_send(last, (struct span){sent, sizeof(sent)}, (struct span){NULL, 0}));
}

static const struct conn_handler crowd_handler = {.on_event = on_crowd};

/* Otherwise the loop would assume more room in epoll than the turn had, and that it was not used
 * up. */
static void an_event_that_is_added_anew_before_it_is_told_was_one_of_the_turn(void **state)
{
    (void)state;
    memset(&crowd, 0, sizeof(crowd));
    crowd.task.run = on_crowd_task;
    for (int i = 0; i < ROOM; i++) {
        crowd.peers[i] =
            sockets_conn(&crowd.conns[i], fx.loop, LOOP_SCRATCH_UPSTREAM, SOCKETS_UNIX, 4096);
        crowd.conns[i].handler = &crowd_handler;
    }
    for (int i = 0; i < ROOM; i++)
        sockets_say(crowd.peers[i], SPAN("x"));
    assert_true(loop_turn(fx.loop));
    assert_int_equal(crowd.told, ROOM - 1);
    assert_true(crowd.lags);
    turn();
    assert_int_equal(crowd.told, ROOM);
    for (int i = 0; i < ROOM; i++) {
        conn_close(&crowd.conns[i], false);
        close(crowd.peers[i]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_fin_is_an_end),
        TEST(a_half_close_is_an_end_and_takes_more),
        TEST(a_reset_behind_a_fin_leaves_the_end_an_end),
        TEST(a_reset_behind_a_fin_that_is_looked_for_leaves_the_end_an_end),
        TEST(a_unix_peer_that_had_read_all_has_ended_in_order),
        TEST(a_reset_that_is_read_stays_one),
        TEST(a_reset_that_a_send_meets_is_no_end),
        TEST(a_reset_that_a_flush_meets_is_no_end),
        TEST(a_reset_that_was_looked_for_is_no_end),
        TEST(a_reset_that_a_look_meets_is_no_end),
        TEST(a_unix_peer_that_left_bytes_unread_has_cut),
        TEST(pieces_arrive_in_order_whatever_the_socket_takes),
        TEST(no_pieces_are_no_bytes),
        TEST(an_event_that_is_added_anew_before_it_is_told_was_one_of_the_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
