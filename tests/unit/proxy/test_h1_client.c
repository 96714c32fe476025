/* The app's side of an exchange: how much of a request it has received, and the heads it sends. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "proxy/config.h"
#include "proxy/h1_client.h"
#include "proxy/loop.h"
#include "proxy/stats.h"

#define TURNS_MAX 2000000
#define REQUEST   "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static struct fixture {
    struct config config;
    struct loop *loop;
    struct stats *stats;
    struct budget budget;
    struct upstream_shared *shared;
    struct upstream *upstream;
    struct h1_client client;
    struct http_limits limits;
    struct http_head head;
    struct http_problem problem;
    int listener, app; /* the app's ends; -1: closed */
    bool ready;
    unsigned events;
} fx;

static void on_ready(struct upstream_lease *l)
{
    (void)l;
    fx.ready = true;
}

static void on_failed(struct upstream_lease *l, enum upstream_failure why, int error)
{
    (void)l;
    (void)why;
    fail_msg("connect: %d", error);
}

static void on_event(struct upstream_lease *l)
{
    assert_ptr_equal(l->arg, &fx);
    fx.events++;
}

static const struct upstream_handler handler = {
    .on_ready = on_ready, .on_failed = on_failed, .on_event = on_event};

static void opens(enum upstream_kind kind)
{
    fx.ready = h1_client_open(&fx.client, kind);
    for (int i = 0; i < TURNS_MAX && !fx.ready; i++)
        loop_turn(fx.loop);
    assert_true(fx.ready && h1_client_is_open(&fx.client));
}

static void app_accepts(void)
{
    fx.app = accept(fx.listener, NULL, NULL);
    assert_true(fx.app >= 0);
    setsockopt(fx.app, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = 5},
               sizeof(struct timeval));
}

static int set_up(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct address *at = &fx.config.upstream.address;

    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.config.upstream.connect_timeout = 10000000;
    fx.config.upstream.keepalive_timeout = 10000000;
    fx.limits = (struct http_limits){.max_head = 4096, .max_fields = 20};
    fx.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fx.listener, SOL_SOCKET, SO_RCVBUF, &(int){4096}, sizeof(int)), 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(fx.listener, 4), 0);
    at->len = sizeof(at->sa);
    assert_int_equal(getsockname(fx.listener, (struct sockaddr *)&at->sa, &at->len), 0);
    fx.loop = loop_new(0);
    fx.stats = stats_new(1, &fx.config);
    budget_init(&fx.budget, 1 << 20);
    fx.shared = upstream_shared_new(2, 1);
    fx.upstream =
        upstream_new(fx.shared, fx.loop, stats_shard_of(fx.stats, 0), &fx.config, &fx.budget);
    h1_client_init(&fx.client, fx.upstream, &fx.budget, &handler, &fx);
    opens(UPSTREAM_ANY);
    app_accepts();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    h1_client_drop(&fx.client, false);
    upstream_free(fx.upstream);
    upstream_shared_free(fx.shared);
    loop_free(fx.loop);
    stats_free(fx.stats);
    close(fx.listener);
    if (fx.app >= 0)
        close(fx.app);
    return 0;
}

static void app_says(const char *text)
{
    unsigned before = fx.events;

    assert_int_equal(send(fx.app, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    for (int i = 0; i < TURNS_MAX && fx.events == before; i++)
        loop_turn(fx.loop);
    assert_true(h1_client_has_event(&fx.client) && h1_client_may_have_input(&fx.client));
}

static enum h1_head head(void)
{
    return h1_client_read_head(&fx.client, &fx.limits, &fx.head, &fx.problem);
}

/* ---- the request ---- */

static void a_request_that_the_socket_takes_is_accepted(void **state)
{
    char got[100];

    (void)state;
    assert_false(h1_client_accepted(&fx.client));
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    assert_true(h1_client_accepted(&fx.client));
    assert_int_equal(h1_client_unsent(&fx.client), 0);
    assert_int_equal(recv(fx.app, got, sizeof(got), 0), sizeof(REQUEST) - 1);
}

/* Sends until something is kept. */
static size_t fill(void)
{
    static const char much[1 << 20];
    size_t n = 0;

    for (; h1_client_unsent(&fx.client) == 0; n += sizeof(much))
        assert_true(h1_client_send(&fx.client, (struct span){much, sizeof(much)}));
    return n;
}

static void what_the_app_does_not_take_is_unsent_and_flushed_when_there_is_room(void **state)
{
    static char got[1 << 16];
    size_t left = fill();

    (void)state;
    assert_true(h1_client_accepted(&fx.client));
    assert_true(h1_client_unacked(&fx.client) > 0);
    assert_false(h1_client_is_writable(&fx.client));
    while (left > 0) {
        ssize_t n = recv(fx.app, got, sizeof(got), MSG_DONTWAIT);
        if (n > 0)
            left -= (size_t)n;
        loop_turn(fx.loop);
        assert_true(h1_client_flush(&fx.client));
    }
    assert_int_equal(h1_client_unsent(&fx.client), 0);
}

/* The app's recv() fails where its peer has reset the connection. */
static bool app_is_reset(void)
{
    static char got[1 << 16];
    ssize_t n;

    do {
        n = recv(fx.app, got, sizeof(got), 0);
    } while (n > 0);
    return n < 0;
}

static void an_app_that_has_not_taken_all_of_a_request_is_reset(void **state)
{
    (void)state;
    fill();
    h1_client_drop(&fx.client, true);
    assert_false(h1_client_is_open(&fx.client));
    assert_true(app_is_reset());
}

static void one_that_has_is_told_the_end(void **state)
{
    char got[100];

    (void)state;
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    assert_int_equal(recv(fx.app, got, sizeof(got), 0), sizeof(REQUEST) - 1);
    while (h1_client_unacked(&fx.client) > 0)
        continue;
    h1_client_drop(&fx.client, true);
    assert_false(app_is_reset());
}

static void a_request_that_starts_over_is_not_accepted_yet(void **state)
{
    (void)state;
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    h1_client_start_over(&fx.client);
    assert_false(h1_client_is_open(&fx.client));
    close(fx.app);
    opens(UPSTREAM_FRESH);
    app_accepts();
    assert_false(h1_client_accepted(&fx.client));
}

/* ---- the response ---- */

static void heads_are_read_one_by_one(void **state)
{
    (void)state;
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    assert_int_equal(head(), H1_HEAD_WAIT);
    app_says("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 ");
    assert_int_equal(head(), H1_HEAD_DONE);
    assert_int_equal(fx.head.status, 103);
    assert_true(fx.client.response_begun);
    assert_int_equal(head(), H1_HEAD_WAIT);
    h1_client_save_input(&fx.client);
    app_says("OK\r\n\r\n");
    assert_int_equal(head(), H1_HEAD_DONE);
    assert_int_equal(fx.head.status, 200);
}

static void an_app_that_speaks_before_it_is_asked_is_noticed(void **state)
{
    (void)state;
    assert_false(h1_client_spoke_first(&fx.client));
    app_says("HTTP/1.1 200 OK\r\n\r\n");
    assert_int_equal(head(), H1_HEAD_UNSOLICITED);
    assert_false(fx.client.response_begun);
}

static void also_before_anything_is_read(void **state)
{
    (void)state;
    app_says("x");
    assert_true(h1_client_spoke_first(&fx.client));
}

static void what_is_no_head_is_named(void **state)
{
    (void)state;
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    app_says("SSH-2.0-x\r\n");
    assert_int_equal(head(), H1_HEAD_BAD);
    assert_non_null(fx.problem.reason);
}

static void an_end_before_a_head_is_lost(void **state)
{
    (void)state;
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    assert_int_equal(shutdown(fx.app, SHUT_WR), 0);
    for (int i = 0; i < TURNS_MAX && fx.events == 0; i++)
        loop_turn(fx.loop);
    assert_int_equal(head(), H1_HEAD_LOST);
}

static void a_head_that_fills_the_scratch_is_too_long(void **state)
{
    static char line[LOOP_SCRATCH];
    size_t sent = 0;

    (void)state;
    fx.limits.max_head = 2 * LOOP_SCRATCH;
    memset(line, 'x', sizeof(line));
    memcpy(line, "HTTP/1.1 200 ", 13);
    assert_true(h1_client_send(&fx.client, SPAN(REQUEST)));
    enum h1_head found = H1_HEAD_WAIT;
    for (int i = 0; i < TURNS_MAX && found == H1_HEAD_WAIT; i++) {
        ssize_t n = send(fx.app, line + sent, sizeof(line) - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0)
            sent += (size_t)n;
        loop_turn(fx.loop);
        found = head();
    }
    assert_int_equal(found, H1_HEAD_BAD);
    assert_non_null(strstr(fx.problem.reason, "upstream.max_head"));
}

static void a_connection_that_is_returned_is_used_again(void **state)
{
    (void)state;
    h1_client_return(&fx.client, true);
    assert_false(h1_client_is_open(&fx.client));
    assert_true(h1_client_open(&fx.client, UPSTREAM_ANY));
    assert_true(upstream_was_reused(&fx.client.lease));
    h1_client_reset(&fx.client);
    assert_true(app_is_reset());
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_request_that_the_socket_takes_is_accepted),
        TEST(what_the_app_does_not_take_is_unsent_and_flushed_when_there_is_room),
        TEST(an_app_that_has_not_taken_all_of_a_request_is_reset),
        TEST(one_that_has_is_told_the_end),
        TEST(a_request_that_starts_over_is_not_accepted_yet),
        TEST(heads_are_read_one_by_one),
        TEST(an_app_that_speaks_before_it_is_asked_is_noticed),
        TEST(also_before_anything_is_read),
        TEST(what_is_no_head_is_named),
        TEST(an_end_before_a_head_is_lost),
        TEST(a_head_that_fills_the_scratch_is_too_long),
        TEST(a_connection_that_is_returned_is_used_again),
    };
    return cmocka_run_group_tests_name("h1_client", tests, NULL, NULL);
}
