/* One attempt to reach the app, and what it says when it has ended. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/span.h"
#include "proxy/loop.h"
#include "proxy/probe.h"

#define TURNS_MAX 2000000
#define SECOND    1000000

static struct {
    struct loop *loop;
    struct probe *probe;
    struct address app;
    int listener, accepted;
    bool to_itself;
    int error;      /* connect() fails with it */
    unsigned ended; /* attempts */
    struct probe_result result;
    char request[1024];
} fx;

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len);
int __real_connect(int fd, const struct sockaddr *sa, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    if (fx.error != 0) {
        errno = fx.error;
        return -1;
    }
    if (fx.to_itself)
        assert_int_equal(bind(fd, sa, len), 0);
    return __real_connect(fd, sa, len);
}

static void on_ended(void *arg, const struct probe_result *result)
{
    assert_ptr_equal(arg, &fx);
    fx.result = *result;
    fx.ended++;
}

static int set_up(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.accepted = -1;
    fx.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fx.listener, (const struct sockaddr *)&in, sizeof(in)), 0);
    fx.app.len = sizeof(fx.app.sa);
    assert_int_equal(getsockname(fx.listener, (struct sockaddr *)&fx.app.sa, &fx.app.len), 0);
    snprintf(fx.app.text, sizeof(fx.app.text), "127.0.0.1:%u", address_port(&fx.app));
    fx.loop = loop_new(0);
    fx.probe = probe_new(fx.loop, on_ended, &fx);
    loop_tick(fx.loop);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    probe_free(fx.probe);
    loop_free(fx.loop);
    close(fx.listener);
    if (fx.accepted >= 0)
        close(fx.accepted);
    return 0;
}

static void app_listens(void)
{
    assert_int_equal(listen(fx.listener, 8), 0);
}

static void begins(const char *path, mono_us patience)
{
    loop_tick(fx.loop);
    probe_begin(fx.probe, &fx.app, path, patience);
}

static void until_ended(unsigned attempts)
{
    for (int turns = 0; fx.ended < attempts && turns < TURNS_MAX; turns++)
        loop_turn(fx.loop);
    assert_int_equal(fx.ended, attempts);
}

/* The app accepts the connection and reads the request. */
static void app_is_asked(const char *path)
{
    size_t len = 0;

    begins(path, SECOND);
    fx.accepted = accept(fx.listener, NULL, NULL);
    assert_true(fx.accepted >= 0);
    for (int turns = 0; turns < TURNS_MAX && strstr(fx.request, "\r\n\r\n") == NULL; turns++) {
        loop_turn(fx.loop);
        ssize_t n = recv(fx.accepted, fx.request + len, sizeof(fx.request) - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
}

static void app_says(const char *text)
{
    assert_int_equal(send(fx.accepted, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void app_hangs_up(void)
{
    close(fx.accepted);
    fx.accepted = -1;
}

static void the_result_is(int error, unsigned status, bool asked)
{
    assert_int_equal(fx.result.error, error);
    assert_int_equal(fx.result.status, status);
    assert_int_equal(fx.result.asked, asked);
}

/* ---- a connect ---- */

static void a_connect_to_an_app_that_listens_succeeds(void **state)
{
    (void)state;
    app_listens();
    begins(NULL, SECOND);
    until_ended(1);
    the_result_is(0, 0, false);
}

static void a_failed_connect_says_why(void **state)
{
    (void)state;
    begins(NULL, SECOND);
    until_ended(1);
    the_result_is(ECONNREFUSED, 0, false);
    fx.error = EACCES;
    begins("/", SECOND);
    until_ended(2);
    the_result_is(EACCES, 0, false);
}

static void a_connect_that_reaches_itself_finds_no_app_and_leaves_it_its_port(void **state)
{
    (void)state;
    close(fx.listener);
    fx.to_itself = true;
    for (unsigned i = 1; i <= 3; i++) { /* each could bind: the previous one has freed the port */
        begins(NULL, SECOND);
        until_ended(i);
        the_result_is(ECONNREFUSED, 0, false);
    }
}

static void a_probe_that_gets_no_descriptor_says_so(void **state)
{
    struct rlimit before, none;

    (void)state;
    app_listens();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    begins(NULL, SECOND);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    until_ended(1);
    the_result_is(EMFILE, 0, false);
}

/* ---- a GET ---- */

static void a_path_is_requested_like_any_client_would(void **state)
{
    char host[64];

    (void)state;
    app_listens();
    app_is_asked("/healthz?full=1");
    assert_memory_equal(fx.request, "GET /healthz?full=1 HTTP/1.1\r\n", 30);
    snprintf(host, sizeof(host), "\r\nHost: 127.0.0.1:%u\r\n", address_port(&fx.app));
    assert_non_null(strstr(fx.request, host));
    assert_non_null(strstr(fx.request, "\r\nConnection: close\r\n"));
    app_says("HTTP/1.1 204 No Content\r\n\r\n");
    until_ended(1);
    the_result_is(0, 204, false);
}

static void the_status_is_the_final_responses(void **state)
{
    (void)state;
    app_listens();
    app_is_asked("/");
    app_says(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 5");
    for (int i = 0; i < 100; i++)
        loop_turn(fx.loop);
    assert_int_equal(fx.ended, 0);
    app_says("03 Loading\r\nContent-Length: 4\r\n\r\nwait");
    until_ended(1);
    the_result_is(0, 503, false);
}

static const char *const nonsense[] = {
    "SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
};

static void what_is_no_response_is_a_failure(void **state)
{
    (void)state;
    app_listens();
    for (unsigned i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        memset(fx.request, 0, sizeof(fx.request));
        app_is_asked("/");
        app_says(nonsense[i]);
        until_ended(i + 1);
        the_result_is(EPROTO, 0, true);
        app_hangs_up();
    }
}

static void a_head_without_end_is_a_failure(void **state)
{
    char line[1024];

    (void)state;
    snprintf(line, sizeof(line), "X: %01000d\r\n", 0);
    app_listens();
    app_is_asked("/");
    app_says("HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20; i++)
        app_says(line);
    until_ended(1);
    the_result_is(EPROTO, 0, true);
}

static void interims_without_end_are_a_failure(void **state)
{
    (void)state;
    app_listens();
    app_is_asked("/");
    for (int i = 0; i < 65; i++)
        app_says("HTTP/1.1 102 Processing\r\n\r\n");
    until_ended(1);
    the_result_is(EPROTO, 0, true);
}

static void an_app_that_closes_without_a_response_fails(void **state)
{
    (void)state;
    app_listens();
    app_is_asked("/");
    app_says("HTTP/1.1 200 OK\r\n");
    app_hangs_up();
    until_ended(1);
    the_result_is(ECONNRESET, 0, true);
}

static void an_app_that_does_not_respond_in_time_fails(void **state)
{
    (void)state;
    app_listens();
    begins("/", 30000);
    until_ended(1);
    the_result_is(ETIMEDOUT, 0, true);
}

/* A reset would follow a close with unread bytes, and an app may report it as an error. */
static void the_rest_of_the_response_is_read_before_the_close(void **state)
{
    char byte;

    (void)state;
    app_listens();
    app_is_asked("/");
    app_says("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
    until_ended(1);
    app_says("12345678");
    shutdown(fx.accepted, SHUT_WR);
    for (int turns = 0; turns < TURNS_MAX; turns++) {
        loop_turn(fx.loop);
        ssize_t n = recv(fx.accepted, &byte, 1, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            continue;
        assert_int_equal(n, 0); /* a FIN */
        return;
    }
    fail_msg("not closed");
}

/* ---- the next attempt ---- */

static void an_attempt_may_begin_while_another_runs(void **state)
{
    (void)state;
    app_listens();
    app_is_asked("/");
    app_says("HTTP/1.1 200 OK\r\n");
    begins(NULL, SECOND);
    until_ended(1);
    the_result_is(0, 0, false);
    loop_turn(fx.loop);
    assert_int_equal(fx.ended, 1);
}

static void one_that_is_stopped_does_not_end(void **state)
{
    (void)state;
    app_listens();
    begins("/", 10000);
    probe_stop(fx.probe);
    for (mono_us end = clock_mono() + 30000; clock_mono() < end;)
        loop_turn(fx.loop);
    assert_int_equal(fx.ended, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_connect_to_an_app_that_listens_succeeds),
        TEST(a_failed_connect_says_why),
        TEST(a_connect_that_reaches_itself_finds_no_app_and_leaves_it_its_port),
        TEST(a_probe_that_gets_no_descriptor_says_so),
        TEST(a_path_is_requested_like_any_client_would),
        TEST(the_status_is_the_final_responses),
        TEST(what_is_no_response_is_a_failure),
        TEST(a_head_without_end_is_a_failure),
        TEST(interims_without_end_are_a_failure),
        TEST(an_app_that_closes_without_a_response_fails),
        TEST(an_app_that_does_not_respond_in_time_fails),
        TEST(the_rest_of_the_response_is_read_before_the_close),
        TEST(an_attempt_may_begin_while_another_runs),
        TEST(one_that_is_stopped_does_not_end),
    };
    return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
