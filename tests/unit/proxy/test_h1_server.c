/* The client's side of an exchange: output to it, its input, and how much it has received. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/client.h"
#include "proxy/h1_server.h"
#include "proxy/http/body.h"

#define VIA  "Via: 1.1 weir\r\n"
#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"

static struct fixture {
    struct config *config;
    struct loop *loop;
    struct stats *stats;
    struct budget budget;
    struct clients *clients;
    int peer; /* the client's end; -1: closed */
    struct client *client;
    bool begins_with_head;
    struct http_head head; /* of the app's response */
    struct relay down;
    char got[1 << 17];
} fx;

static void on_request(struct client *cl, const struct http_head *head, void *env)
{
    (void)head;
    (void)env;
    client_serve(cl, &fx);
    fx.client = cl;
}

static void on_refuse(struct client *cl, const struct http_problem *problem, void *env)
{
    (void)problem;
    (void)env;
    fx.begins_with_head = h1_server_begins_with_head(cl);
    client_abort(cl, true);
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

static int set_up(void **state)
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

static int tear_down(void **state)
{
    (void)state;
    clients_free(fx.clients);
    turns();
    loop_free(fx.loop);
    stats_free(fx.stats);
    config_put(fx.config);
    if (fx.peer >= 0)
        close(fx.peer);
    return 0;
}

static void client_sends(const char *text)
{
    assert_int_equal(send(fx.peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void client_asks(const char *text)
{
    client_sends(text);
    turns();
}

static void client_got(const char *text)
{
    ssize_t n = recv(fx.peer, fx.got, sizeof(fx.got) - 1, 0);

    assert_true(n >= 0);
    fx.got[n] = '\0';
    assert_string_equal(fx.got, text);
}

/* ---- heads ---- */

static void app_says(const char *text)
{
    const struct http_limits limits = {.max_head = 4096, .max_fields = 20};
    struct http_parser parser = {0};
    struct http_problem problem;

    assert_int_equal(http_parse_response(&parser, text, strlen(text), &limits, &fx.head, &problem),
                     HTTP_PARSE_DONE);
    memset(&fx.down, 0, sizeof(fx.down));
    http_body_of_response(&fx.down.body, &fx.head, HTTP_GET);
}

static void a_continue_is_one_line(void **state)
{
    (void)state;
    client_asks(POST);
    assert_true(h1_server_continue(fx.client));
    client_got("HTTP/1.1 100 Continue\r\n\r\n");
}

static void an_interim_response_goes_on_as_it_came(void **state)
{
    (void)state;
    client_asks(GET);
    app_says("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    assert_true(h1_server_interim(fx.client, &fx.head));
    client_got("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n" VIA "\r\n");
}

static void a_local_reply_is_sent_whole(void **state)
{
    char want[REPLY_MAX + 1];
    const struct reply reply = {.kind = REPLY_DRAINING, .retry_after = 3, .close = true};

    (void)state;
    client_asks(GET);
    assert_true(h1_server_reply(fx.client, &reply));
    want[reply_write(&reply, want)] = '\0';
    client_got(want);
}

static void assert_head(struct relay_front front, const char *text)
{
    memcpy(fx.got, front.head.at, front.head.len);
    fx.got[front.head.len] = '\0';
    assert_string_equal(fx.got, text);
    assert_int_equal(front.head.len + front.room, LOOP_SCRATCH);
}

static void a_body_of_known_length_keeps_its_framing(void **state)
{
    struct h1_response how = {.request_id_name = SPAN("X-Request-ID"), .request_id = SPAN("7")};

    (void)state;
    client_asks(GET);
    app_says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &how),
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" VIA "X-Request-ID: 7\r\n\r\n");
    assert_false(how.last || fx.down.decode || fx.down.encode);
    assert_false(h1_server_ends_by_close(&fx.down));
    how = (struct h1_response){.http10 = true};
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &how),
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n" VIA "\r\n");
    assert_false(how.last);
}

static void chunks_are_decoded_for_http_1_0_and_end_the_connection(void **state)
{
    struct h1_response how = {0}, old = {.http10 = true};

    (void)state;
    client_asks(GET);
    app_says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &how),
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" VIA "\r\n");
    assert_false(how.last || fx.down.decode);
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &old),
                "HTTP/1.1 200 OK\r\nConnection: close\r\n" VIA "\r\n");
    assert_true(old.last && fx.down.decode && h1_server_ends_by_close(&fx.down));
}

static void a_body_that_ends_by_close_is_sent_in_chunks_where_the_client_knows_them(void **state)
{
    struct h1_response how = {0}, old = {.http10 = true};

    (void)state;
    client_asks(GET);
    app_says("HTTP/1.1 200 OK\r\n\r\n");
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &how),
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" VIA "\r\n");
    assert_true(fx.down.encode);
    assert_false(how.last || h1_server_ends_by_close(&fx.down));
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &old),
                "HTTP/1.1 200 OK\r\nConnection: close\r\n" VIA "\r\n");
    assert_true(old.last && !fx.down.encode && h1_server_ends_by_close(&fx.down));
}

static void a_response_that_is_the_last_says_so(void **state)
{
    struct h1_response how = {.last = true};

    (void)state;
    client_asks(GET);
    app_says("HTTP/1.1 204 No Content\r\n\r\n");
    assert_head(h1_server_respond(fx.client, &fx.head, &fx.down, &how),
                "HTTP/1.1 204 No Content\r\nConnection: close\r\n" VIA "\r\n");
    assert_true(how.last);
}

static void an_upgrade_is_named_when_protocols_are_switched(void **state)
{
    const struct h1_response how = {0};

    (void)state;
    client_asks(GET);
    app_says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
    assert_true(h1_server_switch(fx.client, &fx.head, &how));
    client_got("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n" VIA
               "\r\n");
}

/* ---- what the client has received and sent ---- */

static void what_the_client_has_not_taken_is_unread(void **state)
{
    static char much[1 << 20];

    (void)state;
    client_asks(GET);
    assert_int_equal(h1_server_unread(fx.client), 0);
    assert_true(client_send(fx.client, (struct span){much, sizeof(much)}, (struct span){NULL, 0}));
    assert_true(h1_server_unread(fx.client) >= sizeof(much));
    size_t before = client_backlog(fx.client);
    assert_true(recv(fx.peer, fx.got, sizeof(fx.got), 0) > 0);
    turns();
    while (client_backlog(fx.client) == before && recv(fx.peer, fx.got, sizeof(fx.got), 0) > 0)
        turns();
    assert_true(client_backlog(fx.client) < before);
}

static void what_follows_a_head_is_kept_and_more_is_read_behind_it(void **state)
{
    (void)state;
    client_asks(POST "abc");
    assert_int_equal(h1_server_kept(fx.client), 3);
    assert_false(h1_server_peek(fx.client));
    client_sends("de");
    assert_true(h1_server_peek(fx.client));
    assert_false(h1_server_is_read(fx.client));
    assert_int_equal(h1_server_read(fx.client, &fx.budget), H1_INPUT_GOT);
    assert_int_equal(h1_server_kept(fx.client), 5);
    assert_int_equal(h1_server_read(fx.client, &fx.budget), H1_INPUT_WAIT);
    assert_true(h1_server_is_read(fx.client));
    client_sends("f"); /* and no event has told of it */
    assert_true(h1_server_peek(fx.client));
    assert_int_equal(h1_server_read(fx.client, &fx.budget), H1_INPUT_GOT);
    h1_server_save_input(fx.client);
    assert_int_equal(h1_server_kept(fx.client), 6);
}

static void an_end_is_read_behind_what_came_before_it(void **state)
{
    (void)state;
    client_asks(POST);
    client_sends("x");
    close(fx.peer);
    fx.peer = -1;
    assert_true(h1_server_peek(fx.client));
    assert_int_equal(h1_server_read(fx.client, &fx.budget), H1_INPUT_GOT);
    assert_int_equal(h1_server_read(fx.client, &fx.budget), H1_INPUT_ENDED);
}

static void what_is_no_request_may_still_begin_as_head(void **state)
{
    (void)state;
    client_asks("HEAD / HTTP/9\r\n\r\n");
    assert_true(fx.begins_with_head);
}

static void an_empty_line_may_stand_before_it(void **state)
{
    (void)state;
    client_asks("\r\nHEAD / HTTP/9\r\n\r\n");
    assert_true(fx.begins_with_head);
}

static void and_other_methods_are_none(void **state)
{
    fx.begins_with_head = true;
    (void)state;
    client_asks("HEADS / HTTP/9\r\n\r\n");
    assert_false(fx.begins_with_head);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_continue_is_one_line),
        TEST(an_interim_response_goes_on_as_it_came),
        TEST(a_local_reply_is_sent_whole),
        TEST(a_body_of_known_length_keeps_its_framing),
        TEST(chunks_are_decoded_for_http_1_0_and_end_the_connection),
        TEST(a_body_that_ends_by_close_is_sent_in_chunks_where_the_client_knows_them),
        TEST(a_response_that_is_the_last_says_so),
        TEST(an_upgrade_is_named_when_protocols_are_switched),
        TEST(what_the_client_has_not_taken_is_unread),
        TEST(what_follows_a_head_is_kept_and_more_is_read_behind_it),
        TEST(an_end_is_read_behind_what_came_before_it),
        TEST(what_is_no_request_may_still_begin_as_head),
        TEST(an_empty_line_may_stand_before_it),
        TEST(and_other_methods_are_none),
    };
    return cmocka_run_group_tests_name("h1_server", tests, NULL, NULL);
}
