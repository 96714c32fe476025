/* The request as sent to the app, in one block: head, body, and the request id at the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/access_line.h"
#include "proxy/client.h"
#include "proxy/conn.h"
#include "proxy/http/rewrite.h"
#include "proxy/message.h"

#define POST(fields) "POST /x HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define CHUNKED      POST("Transfer-Encoding: chunked\r\n")

/* A real client, whose head is composed as it arrives. */
static struct fixture {
    struct config *config;
    struct loop *loop;
    struct stats *stats;
    struct budget budget;
    struct clients *clients;
    int peer;
    struct client *client;
    bool drop_expect, offers;
    bool held; /* message_holds_body() */
    struct message message;
    struct http_body body;
    struct http_problem problem;
} fx;

static void on_request(struct client *cl, const struct http_head *head, void *env)
{
    static char offers[1000];
    struct message_how how = {.began = client_began(cl), .drop_expect = fx.drop_expect};

    (void)env;
    client_serve(cl, &fx);
    fx.client = cl;
    http_body_of_request(&fx.body, head, false);
    fx.held = message_holds_body(cl, &fx.body);
    if (fx.offers)
        how.upgrade = (struct span){offers, http_upgrade_offers(head, offers)};
    message_compose(&fx.message, fx.loop, fx.config, cl, &how, head, &fx.body);
}

static void on_refuse(struct client *cl, const struct http_problem *problem, void *env)
{
    (void)env;
    client_abort(cl, true);
    fail_msg("refused: %s", problem->reason);
}

static void on_served(struct client *cl, void *served)
{
    (void)cl;
    (void)served;
}

static void on_ended(void *env)
{
    (void)env;
}

static const struct client_handler handler = {.on_request = on_request,
                                              .on_refuse = on_refuse,
                                              .on_input = on_served,
                                              .on_drained = on_served,
                                              .on_gone = on_served,
                                              .on_ended = on_ended};

static void turns(void)
{
    while (loop_turn(fx.loop))
        continue;
}

static int a_client_has_come(void **state)
{
    static char upstream[] = "--upstream=127.0.0.1:1";
    char *flags[] = {upstream};
    struct config_source source = {.argc = 1, .argv = flags};
    const struct sockaddr sa = {.sa_family = AF_UNIX};
    struct strbuf problems = {0};
    int pair[2];

    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.config = config_load(&source, &problems);
    assert_non_null(fx.config);
    fx.loop = loop_new(0);
    fx.stats = stats_new(1, fx.config);
    budget_init(&fx.budget, 1 << 20);
    fx.clients =
        clients_new(fx.loop, stats_shard_of(fx.stats, 0), fx.config, &fx.budget, &handler, NULL);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    fx.peer = pair[1];
    client_accept(fx.clients, pair[0], &sa);
    return 0;
}

/* The loop's pool checks that no block is in use. */
static int all_is_given_back(void **state)
{
    (void)state;
    message_fini(&fx.message, fx.loop);
    clients_free(fx.clients);
    turns();
    loop_free(fx.loop);
    stats_free(fx.stats);
    config_put(fx.config);
    close(fx.peer);
    return 0;
}

static void sends(const char *text)
{
    assert_int_equal(send(fx.peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    turns();
}

static void has(const char *text)
{
    if (memmem(fx.message.at, fx.message.len, text, strlen(text)) == NULL)
        fail_msg("wanted: %s\ngot: %.*s", text, (int)fx.message.len, fx.message.at);
}

static void has_not(const char *text)
{
    assert_null(memmem(fx.message.at, fx.message.len, text, strlen(text)));
}

static void ends_with(const char *text)
{
    size_t n = strlen(text);

    assert_true(fx.message.len >= n);
    assert_memory_equal(fx.message.at + fx.message.len - n, text, n);
}

static void id_is(const char *id)
{
    assert_int_equal(fx.message.request_id.len, strlen(id));
    assert_memory_equal(fx.message.request_id.at, id, strlen(id));
    assert_true(fx.message.request_id.at == fx.message.at + fx.message.size - strlen(id));
}

/* ---- composing ---- */

static void a_head_alone_is_rewritten_and_has_room_behind_it(void **state)
{
    (void)state;
    sends("GET /x HTTP/1.1\r\nHost: a\r\nConnection: x\r\nX: 1\r\n\r\n");
    assert_true(fx.held);
    assert_memory_equal(fx.message.at, "GET /x HTTP/1.1\r\n", 17);
    has("\r\nHost: a\r\n");
    has("\r\nX-Request-Start: t=");
    has_not("X: 1");
    ends_with("\r\n\r\n");
    assert_int_equal(fx.message.body, 0);
    assert_int_equal(message_room(&fx.message),
                     fx.message.size - fx.message.len - fx.message.request_id.len);
}

static void a_new_id_is_a_uuid_of_version_7_in_the_head_and_at_the_blocks_end(void **state)
{
    char want[64] = "\r\nX-Request-Id: ";

    (void)state;
    sends("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct span id = fx.message.request_id;
    assert_int_equal(id.len, 36);
    for (size_t i = 0; i < 36; i++) {
        if (i == 8 || i == 13 || i == 18 || i == 23)
            assert_int_equal(id.at[i], '-');
        else
            assert_non_null(strchr("0123456789abcdef", id.at[i]));
    }
    assert_int_equal(id.at[14], '7');
    assert_non_null(strchr("89ab", id.at[19]));
    memcpy(want + strlen(want), id.at, 36);
    has(want);
    id_is(want + 16);
}

static void the_clients_own_id_is_kept_when_it_is_sound_and_the_only_one(void **state)
{
    (void)state;
    sends("GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: mine\r\n\r\n");
    id_is("mine");
    has("\r\nX-Request-Id: mine\r\n");
}

static void an_id_that_is_not_sound_or_there_twice_is_replaced(void **state)
{
    static const char *const bad[] = {"X-Request-Id: a b\r\n",
                                      "X-Request-Id: mine\r\nX-Request-Id: mine\r\n"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (i > 0) {
            all_is_given_back(state);
            a_client_has_come(state);
        }
        sends("GET / HTTP/1.1\r\nHost: a\r\n");
        sends(bad[i]);
        sends("\r\n");
        assert_int_equal(fx.message.request_id.len, 36);
        has_not("mine");
        has_not("a b");
    }
}

static void without_a_name_there_is_no_id(void **state)
{
    (void)state;
    fx.config->headers.request_id[0] = '\0';
    sends("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(fx.message.request_id.len, 0);
    has_not("X-Request-Id");
}

static void a_body_that_has_come_whole_with_its_head_is_taken(void **state)
{
    (void)state;
    sends(POST("Content-Length: 5\r\n") "helloGET /next");
    assert_true(fx.held);
    ends_with("\r\n\r\nhello");
    assert_int_equal(fx.message.body, 0);
    struct span in = client_conn(fx.client)->in;
    assert_true(span_equal(in, SPAN("GET /next")));
}

static void a_body_of_which_a_part_has_come_stays_in_the_input(void **state)
{
    (void)state;
    sends(POST("Content-Length: 5\r\n") "hell");
    assert_false(fx.held);
    ends_with("\r\n\r\n");
    assert_true(span_equal(client_conn(fx.client)->in, SPAN("hell")));
}

static void chunks_are_never_held_with_the_head(void **state)
{
    (void)state;
    sends(CHUNKED "0\r\n\r\n");
    assert_false(fx.held);
    ends_with("\r\n\r\n");
    assert_true(span_equal(client_conn(fx.client)->in, SPAN("0\r\n\r\n")));
}

static void an_expectation_goes_on_unless_weir_meets_it(void **state)
{
    for (int dropped = 0; dropped < 2; dropped++) {
        if (dropped) {
            all_is_given_back(state);
            a_client_has_come(state);
        }
        fx.drop_expect = dropped;
        sends(POST("Content-Length: 5\r\nExpect: 100-continue\r\n"));
        if (dropped)
            has_not("Expect");
        else
            has("\r\nExpect: 100-continue\r\n");
    }
}

/* ---- upgrades ---- */

static void offered_protocols_are_told_to_the_app_and_can_be_asked_for(void **state)
{
    (void)state;
    fx.offers = true;
    sends("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n");
    assert_true(span_equal(message_upgrade(&fx.message), SPAN("websocket")));
    has("\r\nUpgrade: websocket\r\n");
}

static void without_an_offer_there_is_none(void **state)
{
    (void)state;
    sends("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(message_upgrade(&fx.message).len, 0);
    has_not("Upgrade");
}

/* ---- waiting for a body ---- */

static enum message_status takes(size_t most)
{
    struct conn *from = client_conn(fx.client);

    while (conn_fill(from, LOOP_SCRATCH) == CONN_GOT)
        continue;
    enum message_status st =
        message_take_body(&fx.message, fx.loop, fx.client, &fx.body, most, &fx.problem);
    conn_save_input(from);
    return st;
}

static void a_body_is_taken_as_it_comes_until_it_is_whole(void **state)
{
    (void)state;
    sends(POST("Content-Length: 10\r\nX-Request-Id: mine\r\n") "012");
    assert_int_equal(takes(1000), MESSAGE_MORE);
    assert_int_equal(fx.message.body, 3);
    sends("3456");
    assert_int_equal(takes(1000), MESSAGE_MORE);
    sends("789GET /next");
    assert_int_equal(takes(1000), MESSAGE_WHOLE);
    assert_int_equal(fx.message.body, 10);
    ends_with("\r\n\r\n0123456789");
    id_is("mine");
    assert_true(span_equal(client_conn(fx.client)->in, SPAN("GET /next")));
}

static void chunks_are_taken_with_their_framing_wherever_they_are_split(void **state)
{
    static const char body[] = "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n";

    for (size_t i = 1; i < sizeof(body) - 1; i++) {
        char first[64] = "";
        if (i > 1) {
            all_is_given_back(state);
            a_client_has_come(state);
        }
        memcpy(first, body, i);
        sends(CHUNKED);
        sends(first);
        assert_int_equal(takes(1000), MESSAGE_MORE);
        sends(body + i);
        assert_int_equal(takes(1000), MESSAGE_WHOLE);
        has("\r\n\r\n3\r\nabc\r\n");
        ends_with("\r\n\r\n");
        assert_int_equal(fx.body.data, 13);
    }
}

static void no_more_is_taken_than_is_allowed(void **state)
{
    (void)state;
    sends(POST("Content-Length: 10\r\n") "0123456");
    assert_int_equal(takes(0), MESSAGE_FULL);
    assert_int_equal(fx.message.body, 0);
    assert_int_equal(takes(5), MESSAGE_FULL);
    ends_with("\r\n\r\n01234");
    assert_true(span_equal(client_conn(fx.client)->in, SPAN("56")));
    assert_int_equal(takes(4), MESSAGE_FULL);
    assert_int_equal(fx.message.body, 5);
}

static void a_chunk_that_is_none_is_told(void **state)
{
    (void)state;
    sends(CHUNKED "3\r\nabc\r\nx\r\n");
    assert_int_equal(takes(1000), MESSAGE_BAD);
    assert_non_null(fx.problem.reason);
}

/* The block grows by half: the head, the body and the id move with it. */
static void a_long_body_that_trickles_moves_the_block_a_few_times_only(void **state)
{
    size_t moves = 0, size;

    (void)state;
    sends(POST("Content-Length: 50000\r\nX-Request-Id: mine\r\n"));
    size = fx.message.size;
    for (int i = 0; i < 1000; i++) {
        sends("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN");
        assert_int_equal(takes(100000), i < 999 ? MESSAGE_MORE : MESSAGE_WHOLE);
        moves += fx.message.size != size;
        size = fx.message.size;
        id_is("mine");
    }
    assert_int_equal(fx.message.body, 50000);
    assert_true(moves > 3 && moves < 12);
    assert_memory_equal(fx.message.at, "POST /x HTTP/1.1\r\n", 18);
    ends_with("ABCDEFGHIJKLMN");
}

/* ---- waiting for a slot ---- */

static void a_message_that_waits_is_moved_to_a_block_of_its_size(void **state)
{
    (void)state;
    sends(POST("Content-Length: 5\r\nX-Request-Id: mine\r\n") "hello");
    size_t len = fx.message.len, size = fx.message.size;
    assert_true(size > len + 200);
    assert_int_equal(message_fitted(&fx.message), len + 4);
    message_fit(&fx.message, fx.loop);
    assert_int_equal(fx.message.size, len + 4);
    assert_int_equal(message_room(&fx.message), 0);
    assert_memory_equal(fx.message.at, "POST /x HTTP/1.1\r\n", 18);
    assert_int_equal(fx.message.len, len);
    ends_with("\r\n\r\nhello");
    id_is("mine");

    const char *at = fx.message.at;
    message_fit(&fx.message, fx.loop); /* there is nothing left to gain */
    assert_ptr_equal(fx.message.at, at);
}

static void a_large_message_that_waits_is_not_copied(void **state)
{
    (void)state;
    sends(POST("Content-Length: 50000\r\n"));
    for (int i = 0; i < 1000; i++) {
        sends("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN");
        (void)takes(100000);
    }
    const char *at = fx.message.at;
    size_t size = fx.message.size;
    assert_int_equal(message_fitted(&fx.message), size);
    message_fit(&fx.message, fx.loop);
    assert_ptr_equal(fx.message.at, at);
    assert_int_equal(fx.message.size, size);
}

/* ---- nothing left but the client's reading ---- */

static void is(struct span got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.at, want, got.len);
}

/* A request of many kilobytes to `target`. */
static void sends_a_large_one(const char *target)
{
    static char text[30000], cookie[9000];

    memset(cookie, 'c', sizeof(cookie) - 1);
    snprintf(text, sizeof(text),
             "POST %s HTTP/1.1\r\nHost: a\r\nCookie: %s\r\nUser-Agent: me\r\nReferer: /from\r\n"
             "X-Request-Id: mine\r\nContent-Length: 5\r\n\r\nhello",
             target, cookie);
    sends(text);
}

static void a_large_message_keeps_what_the_access_log_writes(void **state)
{
    (void)state;
    sends_a_large_one("/x?y");
    assert_true(fx.message.size > 9000);
    message_abridge(&fx.message, fx.loop);
    assert_true(fx.message.size < 128);
    is(message_method(&fx.message), "POST");
    is(message_target(&fx.message), "/x?y");
    is(message_header(&fx.message, SPAN("User-Agent")), "me");
    is(message_header(&fx.message, SPAN("Referer")), "/from");
    id_is("mine");
    assert_int_equal(message_remote(&fx.message).len, 0);

    const char *at = fx.message.at;
    message_abridge(&fx.message, fx.loop);
    assert_ptr_equal(fx.message.at, at);
}

static void a_long_target_stays_too_long_for_the_access_log(void **state)
{
    static char target[8000];

    (void)state;
    memset(target, '/', sizeof(target) - 1);
    sends_a_large_one(target);
    message_abridge(&fx.message, fx.loop);
    assert_true(message_target(&fx.message).len > ACCESS_TARGET_MAX);
    assert_true(fx.message.size < ACCESS_TARGET_MAX + 128);
    id_is("mine");
}

static void a_small_message_stays_as_it_is(void **state)
{
    (void)state;
    sends(POST("Content-Length: 5\r\nX-Request-Id: mine\r\n") "hello");
    const char *at = fx.message.at;
    message_abridge(&fx.message, fx.loop);
    assert_ptr_equal(fx.message.at, at);
    ends_with("hello");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, a_client_has_come, all_is_given_back)
    const struct CMUnitTest tests[] = {
        TEST(a_head_alone_is_rewritten_and_has_room_behind_it),
        TEST(a_new_id_is_a_uuid_of_version_7_in_the_head_and_at_the_blocks_end),
        TEST(the_clients_own_id_is_kept_when_it_is_sound_and_the_only_one),
        TEST(an_id_that_is_not_sound_or_there_twice_is_replaced),
        TEST(without_a_name_there_is_no_id),
        TEST(a_body_that_has_come_whole_with_its_head_is_taken),
        TEST(a_body_of_which_a_part_has_come_stays_in_the_input),
        TEST(chunks_are_never_held_with_the_head),
        TEST(an_expectation_goes_on_unless_weir_meets_it),
        TEST(offered_protocols_are_told_to_the_app_and_can_be_asked_for),
        TEST(without_an_offer_there_is_none),
        TEST(a_body_is_taken_as_it_comes_until_it_is_whole),
        TEST(chunks_are_taken_with_their_framing_wherever_they_are_split),
        TEST(no_more_is_taken_than_is_allowed),
        TEST(a_chunk_that_is_none_is_told),
        TEST(a_long_body_that_trickles_moves_the_block_a_few_times_only),
        TEST(a_message_that_waits_is_moved_to_a_block_of_its_size),
        TEST(a_large_message_that_waits_is_not_copied),
        TEST(a_large_message_keeps_what_the_access_log_writes),
        TEST(a_long_target_stays_too_long_for_the_access_log),
        TEST(a_small_message_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
