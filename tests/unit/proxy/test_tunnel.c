/* Bytes both ways; each side's FIN is passed on after them, a reset at once; back-pressure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proxy/conn.h"
#include "proxy/tunnel.h"
#include "tests/unit/proxy/sockets.h"

#define MARK 20000
#define MUCH (1 << 20)

#define TRIES_MAX 1000000

static struct fixture {
    struct loop *loop;
    struct conn client, app;
    int ends[2]; /* the far ends: the client's, the app's; -1: closed */
    struct budget budget;
    struct tunnel tunnel;
    uint64_t moved; /* total */
} fx;

enum { CLIENT, APP };

static char much[MUCH], got[MUCH + 1];
static enum sockets_kind kind; /* each test runs over both kinds */

static int set_up(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.loop = loop_new(0);
    assert_non_null(fx.loop);
    fx.ends[CLIENT] = sockets_conn(&fx.client, fx.loop, LOOP_SCRATCH_CLIENT, kind, 4096);
    fx.ends[APP] = sockets_conn(&fx.app, fx.loop, LOOP_SCRATCH_UPSTREAM, kind, 4096);
    budget_init(&fx.budget, 1 << 30);
    fx.tunnel =
        (struct tunnel){.client = &fx.client, .app = &fx.app, .budget = &fx.budget, .mark = MARK};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    conn_close(&fx.client, false);
    conn_close(&fx.app, false);
    for (int i = 0; i < 2; i++) {
        if (fx.ends[i] >= 0)
            close(fx.ends[i]);
    }
    loop_free(fx.loop);
    return 0;
}

static struct conn *conn_of(int who)
{
    return who == CLIENT ? &fx.client : &fx.app;
}

static void says(int who, const char *text)
{
    sockets_say(fx.ends[who], span_of(text));
    sockets_until(conn_of(who), POLLIN);
}

static void half_closes(int who)
{
    shutdown(fx.ends[who], SHUT_WR);
    sockets_until(conn_of(who), POLLRDHUP);
}

static void closes(int who)
{
    close(fx.ends[who]);
    fx.ends[who] = -1;
    sockets_until(conn_of(who), POLLRDHUP);
}

static void resets(int who)
{
    sockets_reset(fx.ends[who]);
    fx.ends[who] = -1;
    sockets_until(conn_of(who), POLLHUP);
}

static enum tunnel_status pump(void)
{
    uint64_t moved;

    while (loop_turn(fx.loop))
        continue;
    enum tunnel_status st = tunnel_pump(&fx.tunnel, &moved);
    conn_save_input(&fx.client);
    conn_save_input(&fx.app);
    fx.moved += moved;
    return st;
}

/* Receives this text, all of which must arrive within SOCKETS_WAIT_MS. */
static void hears(int who, const char *text)
{
    size_t n = strlen(text);

    assert_int_equal(recv(fx.ends[who], got, n, MSG_WAITALL), n);
    assert_memory_equal(got, text, n);
}

static void hears_the_end(int who)
{
    assert_int_equal(recv(fx.ends[who], got, 1, 0), 0);
}

static void hears_no_end(int who)
{
    assert_int_equal(recv(fx.ends[who], got, 1, MSG_DONTWAIT), -1);
}

/* ---- bytes ---- */

static void what_either_side_says_the_other_hears(void **state)
{
    (void)state;
    says(CLIENT, "to the app");
    says(APP, "to the client");
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears(APP, "to the app");
    hears(CLIENT, "to the client");
    assert_int_equal(fx.moved, 23);
    assert_int_equal(pump(), TUNNEL_OPEN);
    assert_int_equal(fx.moved, 23);
}

/* Bytes may have arrived with the head of the 101, or of the request. */
static void what_was_read_before_goes_first(void **state)
{
    (void)state;
    says(CLIENT, "early");
    while (loop_turn(fx.loop))
        continue;
    assert_int_equal(conn_fill(&fx.client, LOOP_SCRATCH), CONN_GOT);
    conn_save_input(&fx.client);
    says(CLIENT, " and late");
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears(APP, "early and late");
}

static void a_side_that_does_not_read_stops_the_other_at_the_mark(void **state)
{
    size_t sent = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        ssize_t n = send(fx.ends[CLIENT], much, 4096, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            sent += (size_t)n;
        assert_true(pump() != TUNNEL_LOST);
    }
    assert_true(sent > fx.moved);
    assert_true(conn_backlog(&fx.app) >= MARK);
    assert_true(conn_backlog(&fx.app) < MARK + LOOP_SCRATCH);
    says(APP, "the other way is free");
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears(CLIENT, "the other way is free");
}

/* All of a large amount arrives, however slowly it is read. */
static void all_of_it_arrives(int from, int to)
{
    size_t sent = 0, n_got = 0;

    for (int tries = 0; n_got < MUCH; tries++) {
        assert_true(tries < TRIES_MAX);
        ssize_t n = send(fx.ends[from], much + sent, MUCH - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        assert_true(pump() != TUNNEL_LOST);
        assert_true(conn_flush(conn_of(to)));
        n = recv(fx.ends[to], got + n_got, 1 + sockets_below(30000), MSG_DONTWAIT);
        n_got += n > 0 ? (size_t)n : 0;
    }
    assert_memory_equal(got, much, MUCH);
}

static void a_megabyte_arrives_as_it_was_sent_either_way(void **state)
{
    (void)state;
    for (size_t i = 0; i < MUCH; i++)
        much[i] = (char)sockets_below(256);
    all_of_it_arrives(CLIENT, APP);
    all_of_it_arrives(APP, CLIENT);
    assert_int_equal(fx.moved, 2 * MUCH);
}

static void one_that_sends_without_end_lets_others_have_their_turn(void **state)
{
    int all = 1 << 20;

    (void)state;
    fx.tunnel.mark = SIZE_MAX;
    budget_change(&fx.budget, fx.budget.size); /* so that reads are small */
    setsockopt(fx.ends[CLIENT], SOL_SOCKET, SO_SNDBUF, &all, sizeof(all));
    ssize_t sent = send(fx.ends[CLIENT], much, 150000, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert_true(sent > 9 * (ssize_t)BUDGET_SPENT_READ);
    setsockopt(fx.app.fd, SOL_SOCKET, SO_SNDBUF, &all, sizeof(all));
    assert_int_equal(pump(), TUNNEL_BUSY);
    assert_true(fx.moved > 0 && fx.moved < (uint64_t)sent);
}

/* ---- ends ---- */

static void an_end_goes_on_and_the_other_way_stays_open(void **state)
{
    (void)state;
    for (int who = CLIENT; who <= APP; who++) {
        says(who, "last");
        half_closes(who);
        assert_int_equal(pump(), TUNNEL_OPEN);
        hears(!who, "last");
        hears_the_end(!who);
        says(!who, "more");
        assert_int_equal(pump(), TUNNEL_OPEN);
        hears(who, "more");
        hears_no_end(who);
        half_closes(!who);
        assert_int_equal(pump(), TUNNEL_ENDED);
        hears_the_end(who);
        tear_down(state);
        set_up(state);
    }
}

static void an_end_waits_for_the_bytes_before_it(void **state)
{
    (void)state;
    fx.tunnel.mark = SIZE_MAX;
    size_t sent = 0;
    while (conn_backlog(&fx.app) == 0) {
        sockets_say(fx.ends[CLIENT], (struct span){much, 4096});
        sent += 4096;
        assert_int_equal(pump(), TUNNEL_OPEN);
    }
    half_closes(CLIENT);
    half_closes(APP);
    assert_int_equal(pump(), TUNNEL_OPEN);
    for (size_t n_got = 0, tries = 0; n_got < sent; tries++) {
        ssize_t n = recv(fx.ends[APP], got, sizeof(got), MSG_DONTWAIT);
        n_got += n > 0 ? (size_t)n : 0;
        while (loop_turn(fx.loop))
            continue;
        assert_true(conn_flush(&fx.app));
        assert_true(tries < TRIES_MAX);
    }
    hears_no_end(APP);
    assert_int_equal(pump(), TUNNEL_ENDED);
    hears_the_end(APP);
}

static void a_tunnel_is_over_when_both_have_closed(void **state)
{
    (void)state;
    closes(CLIENT);
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_the_end(APP);
    closes(APP);
    assert_int_equal(pump(), TUNNEL_ENDED);
}

/* ---- resets ---- */

static void a_reset_of_either_side_is_told(void **state)
{
    (void)state;
    if (kind == SOCKETS_UNIX)
        skip(); /* Unix sockets have none, except for unread bytes */
    for (int who = CLIENT; who <= APP; who++) {
        resets(who);
        assert_int_equal(pump(), TUNNEL_LOST);
        tear_down(state);
        set_up(state);
    }
}

/* It responds to additional bytes with a reset, which does not affect what it sent before. */
static void an_app_that_closes_while_it_is_sent_more_has_ended_in_order(void **state)
{
    (void)state;
    says(APP, "the last word");
    closes(APP);
    for (int i = 0; i < 5; i++) {
        says(CLIENT, "more");
        enum tunnel_status st = pump();
        if (st == TUNNEL_ENDED)
            break;
        assert_int_equal(st, TUNNEL_OPEN);
        poll(NULL, 0, 1); /* for the kernel's reset */
    }
    hears(CLIENT, "the last word");
    hears_the_end(CLIENT);
    assert_false(fx.app.cut);
    assert_true(fx.tunnel.client_ended);
}

/* ---- leaving ---- */

#define HELLO "\x81\x05hello"
#define CLOSE "\x88\x02\x03\xe9"

static void hears_bytes(int who, struct span bytes)
{
    assert_int_equal(recv(fx.ends[who], got, bytes.len, MSG_WAITALL), bytes.len);
    assert_memory_equal(got, bytes.at, bytes.len);
    hears_no_end(who);
}

static void says_bytes(int who, struct span bytes)
{
    sockets_say(fx.ends[who], bytes);
    sockets_until(conn_of(who), POLLIN);
}

static void leaves(void)
{
    fx.tunnel.websocket = true;
    tunnel_leave(&fx.tunnel);
    assert_int_equal(pump(), TUNNEL_OPEN);
}

static void between_frames_a_client_is_sent_a_close_frame_at_once(void **state)
{
    (void)state;
    fx.tunnel.websocket = true;
    says_bytes(APP, SPAN(HELLO));
    assert_int_equal(pump(), TUNNEL_OPEN);
    leaves();
    hears_bytes(CLIENT, SPAN(HELLO CLOSE));
}

static void within_a_frame_it_is_sent_after_its_end_and_nothing_behind(void **state)
{
    (void)state;
    fx.tunnel.websocket = true;
    says_bytes(APP, SPAN("\x81\x05he"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    leaves();
    hears_bytes(CLIENT, SPAN("\x81\x05he"));
    says_bytes(APP, SPAN("llo\x81\x01x"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_bytes(CLIENT, SPAN("llo" CLOSE));
    says_bytes(APP, SPAN(HELLO));
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_no_end(CLIENT);
}

static void unread_frames_are_not_split_either(void **state)
{
    (void)state;
    says_bytes(APP, SPAN(HELLO "\x81"));
    while (loop_turn(fx.loop))
        continue;
    assert_int_equal(conn_fill(&fx.app, LOOP_SCRATCH), CONN_GOT);
    conn_save_input(&fx.app);
    leaves();
    hears_bytes(CLIENT, SPAN(CLOSE));
}

static void the_clients_own_close_frame_reaches_the_app(void **state)
{
    (void)state;
    leaves();
    hears_bytes(CLIENT, SPAN(CLOSE));
    says_bytes(CLIENT, SPAN("\x88\x82"
                            "mask"
                            "xx"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_bytes(APP, SPAN("\x88\x82"
                          "mask"
                          "xx"));
    says_bytes(APP, SPAN(CLOSE));
    closes(APP);
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_the_end(CLIENT);
    closes(CLIENT);
    assert_int_equal(pump(), TUNNEL_ENDED);
}

static void an_app_that_has_sent_its_own_close_frame_is_left_alone(void **state)
{
    (void)state;
    fx.tunnel.websocket = true;
    says_bytes(APP, SPAN("\x88\x02\x03"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    leaves();
    says_bytes(APP, SPAN("\xe8"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_bytes(CLIENT, SPAN("\x88\x02\x03\xe8"));
    says_bytes(APP, SPAN("junk"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_bytes(CLIENT, SPAN("junk"));
}

static void what_is_no_websocket_is_passed_on_unseen(void **state)
{
    (void)state;
    fx.tunnel.websocket = true;
    says_bytes(APP, SPAN("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    leaves();
    says_bytes(APP, SPAN("what it is"));
    assert_int_equal(pump(), TUNNEL_OPEN);
    hears_bytes(CLIENT, SPAN("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xffwhat it is"));
}

static void a_client_that_does_not_read_gets_it_behind_the_rest(void **state)
{
    size_t sent = 0, n_got = 0;

    (void)state;
    fx.tunnel.websocket = true;
    fx.tunnel.mark = SIZE_MAX;
    memset(much, 0, sizeof(much)); /* frames without payload */
    while (conn_backlog(&fx.client) == 0) {
        sockets_say(fx.ends[APP], (struct span){much, 4096});
        sent += 4096;
        assert_int_equal(pump(), TUNNEL_OPEN);
    }
    leaves();
    for (int tries = 0; n_got < sent + strlen(CLOSE); tries++) {
        ssize_t n = recv(fx.ends[CLIENT], got + n_got, sizeof(got) - n_got, MSG_DONTWAIT);
        n_got += n > 0 ? (size_t)n : 0;
        while (loop_turn(fx.loop))
            continue;
        assert_true(conn_flush(&fx.client));
        assert_true(tries < TRIES_MAX);
    }
    assert_memory_equal(got + sent, CLOSE, strlen(CLOSE));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_either_side_says_the_other_hears),
        TEST(what_was_read_before_goes_first),
        TEST(a_side_that_does_not_read_stops_the_other_at_the_mark),
        TEST(a_megabyte_arrives_as_it_was_sent_either_way),
        TEST(one_that_sends_without_end_lets_others_have_their_turn),
        TEST(an_end_goes_on_and_the_other_way_stays_open),
        TEST(an_end_waits_for_the_bytes_before_it),
        TEST(a_tunnel_is_over_when_both_have_closed),
        TEST(a_reset_of_either_side_is_told),
        TEST(an_app_that_closes_while_it_is_sent_more_has_ended_in_order),
        TEST(between_frames_a_client_is_sent_a_close_frame_at_once),
        TEST(within_a_frame_it_is_sent_after_its_end_and_nothing_behind),
        TEST(unread_frames_are_not_split_either),
        TEST(the_clients_own_close_frame_reaches_the_app),
        TEST(an_app_that_has_sent_its_own_close_frame_is_left_alone),
        TEST(what_is_no_websocket_is_passed_on_unseen),
        TEST(a_client_that_does_not_read_gets_it_behind_the_rest),
    };
    int failed = 0;

    for (kind = SOCKETS_TCP; kind < SOCKETS_KINDS; kind++)
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
