#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "proxy/client.h"
#include "proxy/config.h"
#include "proxy/loop.h"
#include "proxy/stats.h"

#define PEERS 4
#define GET   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define MS    1000

static mono_us now;

mono_us __wrap_clock_mono(void);

mono_us __wrap_clock_mono(void)
{
    return now;
}

/* Clients over socketpairs, and a handler that only records; the last request is served until the
 * test ends it. */
struct fixture {
    struct config *config;
    struct loop *loop;
    struct stats *stats;
    struct budget budget;
    struct clients *clients;
    int peer[PEERS]; /* the far ends, in the order of connecting */
    unsigned came, requests, ended, gone;
    unsigned refused_with;
    struct client *served;
};

static void on_request(struct client *cl, const struct http_head *head, void *env)
{
    struct fixture *f = env;

    (void)head;
    client_serve(cl, f);
    f->served = cl;
    f->requests++;
}

static void on_refuse(struct client *cl, const struct http_problem *problem, void *env)
{
    struct fixture *f = env;

    f->refused_with = problem->status;
    if (client_send(cl, SPAN("refused"), (struct span){NULL, 0}))
        client_close(cl);
    else
        client_abort(cl, true);
}

static void on_served(struct client *cl, void *served)
{
    (void)cl;
    (void)served;
}

static void on_gone(struct client *cl, void *served)
{
    struct fixture *f = served;

    (void)cl;
    f->gone++;
}

static void on_ended(void *env)
{
    struct fixture *f = env;
    f->ended++;
}

static const struct client_handler handler = {.on_request = on_request,
                                              .on_refuse = on_refuse,
                                              .on_input = on_served,
                                              .on_drained = on_served,
                                              .on_gone = on_gone,
                                              .on_ended = on_ended};

static int nobody_has_come(void **state)
{
    static char upstream[] = "--upstream=127.0.0.1:1";
    char *flags[] = {upstream};
    struct config_source source = {.argc = 1, .argv = flags};
    struct strbuf problems = {0};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    now = 1000 * MS;
    f->config = config_load(&source, &problems);
    assert_non_null(f->config);
    f->loop = loop_new(0);
    f->stats = stats_new(1, f->config);
    budget_init(&f->budget, 1 << 20);
    f->clients =
        clients_new(f->loop, stats_shard_of(f->stats, 0), f->config, &f->budget, &handler, f);
    *state = f;
    return 0;
}

static int all_leave(void **state)
{
    struct fixture *f = *state;

    clients_free(f->clients);
    loop_free(f->loop);
    stats_free(f->stats);
    config_put(f->config);
    for (unsigned i = 0; i < f->came; i++)
        close(f->peer[i]);
    free(f);
    return 0;
}

static void turn(struct fixture *f)
{
    while (loop_turn(f->loop))
        continue;
}

static int comes(struct fixture *f)
{
    const struct sockaddr sa = {.sa_family = AF_UNIX};
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    loop_tick(f->loop);
    client_accept(f->clients, pair[0], &sa);
    f->peer[f->came++] = pair[1];
    turn(f);
    return pair[1];
}

static void says(int peer, const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void says_and_is_read(struct fixture *f, int peer, const char *text)
{
    says(peer, text);
    turn(f);
}

static void all_have_waited(struct fixture *f)
{
    now += CLIENT_ROOM_AFTER_US;
    loop_tick(f->loop);
}

static void passes(struct fixture *f, mono_us ms)
{
    now += ms * MS;
    loop_tick(f->loop);
    turn(f);
}

static bool is_closed(int peer)
{
    char bytes[64];
    ssize_t n;

    while ((n = recv(peer, bytes, sizeof(bytes), 0)) > 0)
        continue;
    return n == 0;
}

static void the_one_that_has_been_silent_longest_makes_room(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f), c = comes(f);

    all_have_waited(f);
    assert_true(clients_have_room(f->clients, loop_now(f->loop)));
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(a) && !is_closed(b));
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(b) && !is_closed(c));
    assert_int_equal(f->ended, 2);
}

static void a_newcomer_is_given_a_moment(void **state)
{
    struct fixture *f = *state;
    int a = comes(f);

    assert_false(clients_have_room(f->clients, loop_now(f->loop)));
    assert_false(clients_make_room(f->clients));
    assert_false(is_closed(a));
}

static void the_first_byte_of_a_head_renews_a_place_and_no_other_does(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f);

    all_have_waited(f);
    says_and_is_read(f, a, "G");
    int c = comes(f);
    all_have_waited(f);
    says_and_is_read(f, a, "E");
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(b) && !is_closed(a));
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(a) && !is_closed(c));
}

static void line_ends_before_a_head_renew_nothing(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f);

    all_have_waited(f);
    says_and_is_read(f, a, "\r\n");
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(a) && !is_closed(b));
    assert_int_equal(f->refused_with, 0);
}

static void a_head_that_has_begun_gets_a_response(void **state)
{
    struct fixture *f = *state;
    int a = comes(f);
    char said[16] = "";

    says_and_is_read(f, a, "GET / HT");
    all_have_waited(f);
    assert_true(clients_make_room(f->clients));
    assert_int_equal(f->refused_with, 408);
    assert_int_equal(recv(a, said, sizeof(said) - 1, 0), 7);
    assert_string_equal(said, "refused");
    assert_true(is_closed(a));
}

static void a_request_that_has_just_come_is_served_instead(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f), c = comes(f);

    all_have_waited(f);
    says(a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); /* and nothing has read it yet */
    assert_true(clients_make_room(f->clients));
    assert_int_equal(f->requests, 1);
    assert_true(is_closed(b) && !is_closed(a) && !is_closed(c));
}

static void bytes_that_are_no_request_yet_do_not_save_a_head(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f);

    says_and_is_read(f, a, "G");
    says_and_is_read(f, b, "G");
    all_have_waited(f);
    says(a, "E");
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(a) && !is_closed(b));
}

static void one_that_is_served_never_makes_room(void **state)
{
    struct fixture *f = *state;
    int a = comes(f);

    says_and_is_read(f, a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(f->requests, 1);
    all_have_waited(f);
    assert_false(clients_have_room(f->clients, loop_now(f->loop)));
    assert_false(clients_make_room(f->clients));
    assert_false(is_closed(a));
}

static void one_that_becomes_idle_again_is_the_last(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f);

    says_and_is_read(f, a, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    all_have_waited(f);
    client_next(f->served);
    all_have_waited(f);
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(b) && !is_closed(a));
    assert_true(clients_make_room(f->clients));
    assert_true(is_closed(a));
}

static void one_that_has_had_its_last_response_goes_first(void **state)
{
    struct fixture *f = *state;
    int a = comes(f), b = comes(f);

    says_and_is_read(f, b, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client_close(f->served);
    all_have_waited(f);
    assert_int_equal(f->ended, 0); /* it is lingering */
    assert_true(clients_make_room(f->clients));
    assert_int_equal(f->ended, 1);
    assert_true(is_closed(b) && !is_closed(a));
}

/* ---- clients that close before they have been sent all ---- */

/* A served client that has more to receive than its socket holds. */
static int has_more_to_take(struct fixture *f)
{
    static char much[1 << 20];
    int peer = comes(f);

    says_and_is_read(f, peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(client_send(f->served, (struct span){much, sizeof(much)}, SPAN("")));
    assert_true(client_backlog(f->served) > 0);
    turn(f);
    return peer;
}

/* Its socket is empty then, so only a send finds out that it has been closed altogether. */
static void takes_what_is_there_and_closes(struct fixture *f, int peer)
{
    static char bytes[65536];

    while (recv(peer, bytes, sizeof(bytes), 0) > 0)
        continue;
    close(peer);
    f->peer[f->came - 1] = -1;
    turn(f);
}

static void a_served_client_that_closes_is_gone_though_it_may_half_close(void **state)
{
    struct fixture *f = *state;

    f->config->client.half_close = CONFIG_HALF_CLOSE_ALLOW;
    takes_what_is_there_and_closes(f, has_more_to_take(f));
    assert_int_equal(f->gone, 1);
    assert_int_equal(f->ended, 1);
}

static void a_client_that_closes_before_the_end_of_its_last_response_is_ended(void **state)
{
    struct fixture *f = *state;
    int peer = has_more_to_take(f);

    client_close(f->served);
    assert_int_equal(f->ended, 0);
    takes_what_is_there_and_closes(f, peer);
    assert_int_equal(f->gone, 0);
    assert_int_equal(f->ended, 1);
}

/* ---- drains ---- */

/* A client that has had a response which did not announce the end. */
static int is_kept(struct fixture *f)
{
    int peer = comes(f);

    says_and_is_read(f, peer, GET);
    client_next(f->served);
    turn(f);
    return peer;
}

static void a_drain_closes_kept_connections_at_once_and_gives_new_ones_a_second(void **state)
{
    struct fixture *f = *state;
    int kept = is_kept(f), early = comes(f);

    passes(f, 100);
    clients_drain(f->clients);
    assert_true(is_closed(kept) && !is_closed(early));
    int late = comes(f);
    passes(f, 890);
    assert_false(is_closed(early));
    passes(f, 20);
    assert_true(is_closed(early) && !is_closed(late));
    says_and_is_read(f, late, GET);
    assert_int_equal(f->requests, 2);
}

static void a_request_that_has_arrived_by_then_is_served(void **state)
{
    struct fixture *f = *state;
    int kept = is_kept(f);

    passes(f, 1100);
    says(kept, GET);
    clients_drain(f->clients);
    assert_int_equal(f->requests, 2);
    assert_false(is_closed(kept));
}

static void a_request_that_arrives_with_the_end_of_its_rest_is_served(void **state)
{
    struct fixture *f = *state;
    int fresh = comes(f);

    clients_drain(f->clients);
    turn(f);
    says(fresh, GET);
    now += 1001 * MS; /* the timer is seen before the bytes, or after them */
    turn(f);
    assert_int_equal(f->requests, 1);
    assert_false(is_closed(fresh));
}

static void in_a_drain_too_a_head_that_has_begun_has_its_time(void **state)
{
    struct fixture *f = *state;
    int kept = is_kept(f);

    says_and_is_read(f, kept, "GET / HT");
    clients_drain(f->clients);
    passes(f, 2000);
    says_and_is_read(f, kept, "TP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(f->requests, 2);
    client_close(f->served);
    turn(f);
}

static void line_ends_are_no_request_that_would_lengthen_it(void **state)
{
    struct fixture *f = *state;
    int fresh = comes(f);

    clients_drain(f->clients);
    passes(f, 900);
    says_and_is_read(f, fresh, "\r\n");
    passes(f, 110);
    assert_true(is_closed(fresh));
}

/* A client whose response, which did not announce the end, is complete only when a drain has begun.
 */
static int is_served_into_a_drain(struct fixture *f)
{
    int peer = comes(f);

    says_and_is_read(f, peer, GET);
    clients_drain(f->clients);
    passes(f, 5000);
    client_next(f->served);
    turn(f);
    return peer;
}

static void a_response_that_did_not_announce_the_end_is_followed_by_a_second(void **state)
{
    struct fixture *f = *state;
    int peer = is_served_into_a_drain(f);

    passes(f, 990);
    assert_false(is_closed(peer));
    passes(f, 20);
    assert_true(is_closed(peer));
}

static void keepalive_timeout_applies_if_it_is_shorter_than_the_rest(void **state)
{
    struct fixture *f = *state;

    f->config->client.keepalive_timeout = 300 * MS;
    int peer = is_served_into_a_drain(f);
    passes(f, 290);
    assert_false(is_closed(peer));
    passes(f, 20);
    assert_true(is_closed(peer));
}

static void after_a_cancel_the_usual_timeouts_apply(void **state)
{
    struct fixture *f = *state;
    int kept = is_served_into_a_drain(f), fresh = comes(f);

    passes(f, 500);
    clients_undrain(f->clients);
    passes(f, 9900);
    assert_true(!is_closed(kept) && !is_closed(fresh));
    passes(f, 200);
    assert_true(!is_closed(kept) && is_closed(fresh));
    passes(f, 65000);
    assert_true(is_closed(kept));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, nobody_has_come, all_leave)
    const struct CMUnitTest tests[] = {
        TEST(the_one_that_has_been_silent_longest_makes_room),
        TEST(a_newcomer_is_given_a_moment),
        TEST(the_first_byte_of_a_head_renews_a_place_and_no_other_does),
        TEST(line_ends_before_a_head_renew_nothing),
        TEST(a_head_that_has_begun_gets_a_response),
        TEST(a_request_that_has_just_come_is_served_instead),
        TEST(bytes_that_are_no_request_yet_do_not_save_a_head),
        TEST(one_that_is_served_never_makes_room),
        TEST(one_that_becomes_idle_again_is_the_last),
        TEST(one_that_has_had_its_last_response_goes_first),
        TEST(a_served_client_that_closes_is_gone_though_it_may_half_close),
        TEST(a_client_that_closes_before_the_end_of_its_last_response_is_ended),
        TEST(a_drain_closes_kept_connections_at_once_and_gives_new_ones_a_second),
        TEST(a_request_that_has_arrived_by_then_is_served),
        TEST(a_request_that_arrives_with_the_end_of_its_rest_is_served),
        TEST(in_a_drain_too_a_head_that_has_begun_has_its_time),
        TEST(line_ends_are_no_request_that_would_lengthen_it),
        TEST(a_response_that_did_not_announce_the_end_is_followed_by_a_second),
        TEST(keepalive_timeout_applies_if_it_is_shorter_than_the_rest),
        TEST(after_a_cancel_the_usual_timeouts_apply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
