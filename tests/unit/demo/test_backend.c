/*
 * The backend on a thread of its own, and raw clients on the loopback interface. It must cope with
 * clients that leave, a second request on a connection, and shutdown while requests are inside.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend-demo/backend.h"

#define PATIENCE_MS 30000

struct fixture {
    struct backend *backend;
    struct sockaddr_in address;
    pthread_t thread;
    bool running, finished;
    char response[4096];
};

/* ---- the server ----------------------------------------------------------------------------- */

static int listen_anywhere(struct sockaddr_in *address)
{
    socklen_t len = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    return fd;
}

static void *run(void *arg)
{
    struct fixture *f = arg;
    f->finished = backend_run(f->backend);
    return NULL;
}

static int setup(void **state)
{
    const struct settings s = {.pool_threads = 2, .usuarios_ms = 1, .produtos_ms = 1};
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    signal(SIGPIPE, SIG_IGN);
    f->backend = backend_new(&s, listen_anywhere(&f->address));
    assert_non_null(f->backend);
    f->running = pthread_create(&f->thread, NULL, run, f) == 0;
    assert_true(f->running);
    *state = f;
    return 0;
}

static void join(struct fixture *f)
{
    pthread_join(f->thread, NULL);
    f->running = false;
}

static void ask_to_end(void)
{
    kill(getpid(), SIGTERM);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->running) {
        ask_to_end();
        join(f);
    }
    backend_free(f->backend);
    free(f);
    return 0;
}

/* ---- the clients ---------------------------------------------------------------------------- */

static int try_connect(struct fixture *f)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&f->address, sizeof(f->address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void ask(int fd, const char *method, const char *target)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: test\r\n\r\n", method, target);
    assert_int_equal(send(fd, text, (size_t)n, 0), n);
}

static bool is_whole(const char *response)
{
    const char *body = strstr(response, "\r\n\r\n");
    const char *length = strstr(response, "Content-Length: ");
    return body != NULL && length != NULL &&
           strlen(body + 4) >= strtoul(length + strlen("Content-Length: "), NULL, 10);
}

/* Reads into f->response; less if the connection ended before. */
static void read_response(struct fixture *f, int fd)
{
    size_t len = 0;
    f->response[0] = '\0';
    while (!is_whole(f->response)) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, f->response + len, sizeof(f->response) - 1 - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
        f->response[len] = '\0';
    }
}

static void assert_ended(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void assert_response(struct fixture *f, int fd, const char *status, const char *has)
{
    read_response(f, fd);
    assert_int_equal(strncmp(f->response, status, strlen(status)), 0);
    assert_non_null(strstr(f->response, has));
}

static int begin(struct fixture *f, const char *target)
{
    int fd = try_connect(f);
    assert_true(fd >= 0);
    ask(fd, "GET", target);
    return fd;
}

static void visit(struct fixture *f, const char *target, const char *status, const char *has)
{
    int fd = begin(f, target);
    assert_response(f, fd, status, has);
    close(fd);
}

/* Requests /metrics until the line is there, for a limited time. */
static void wait_for_metric(struct fixture *f, const char *line)
{
    static char page[16384];
    mono_us end = clock_mono() + PATIENCE_MS * 1000LL;
    do {
        int fd = begin(f, "/metrics");
        size_t len = 0;
        ssize_t n;
        page[0] = '\0';
        while (!is_whole(page) && (n = recv(fd, page + len, sizeof(page) - 1 - len, 0)) > 0)
            page[len += (size_t)n] = '\0';
        close(fd);
    } while (strstr(page, line) == NULL && clock_mono() < end);
    assert_non_null(strstr(page, line));
}

/* ---- the tests ------------------------------------------------------------------------------ */

static void one_connection_serves_every_kind_of_handler(void **state)
{
    struct fixture *f = *state;
    int fd = try_connect(f);

    for (unsigned i = 0; i < 3; i++) {
        ask(fd, "GET", "/usuarios");
        assert_response(f, fd, "HTTP/1.1 200", "{\"usuarios\":[\"Usuário 1\",\"Usuário 2\"]}");
        ask(fd, "GET", "/produtos");
        assert_response(f, fd, "HTTP/1.1 200", "{\"produtos\":[\"Produto 1\",\"Produto 2\"]}");
        ask(fd, "GET", "/bloqueante");
        assert_response(f, fd, "HTTP/1.1 200", "{\"bloqueante\":true}");
        ask(fd, "GET", "/ping?bytes=3");
        assert_response(f, fd, "HTTP/1.1 200", "{\"ping\":\"pong\",\"padding\":\"xxx\"}");
        ask(fd, "PUT", "/echo?q=1");
        assert_response(f, fd, "HTTP/1.1 200",
                        "{\"method\":\"PUT\",\"path\":\"/echo\",\"query\":\"q=1\"");
    }
    close(fd);
}

static void what_cannot_be_served_is_told_why(void **state)
{
    struct fixture *f = *state;
    visit(f, "/nowhere?ms=x", "HTTP/1.1 404", "{\"detail\":\"Not Found\"}");
    visit(f, "/reset", "HTTP/1.1 405", "Allow: POST\r\n");
    visit(f, "/produtos?ms=x", "HTTP/1.1 400",
          "{\"detail\":\"ms expects an integer from 0 to 600000, got \\\"x\\\"\"}");
    /* libevhtp discards the name of a method that it does not know. */
    int fd = try_connect(f);
    ask(fd, "BREW", "/ping");
    assert_response(f, fd, "HTTP/1.1 405", "Allow: GET, HEAD\r\n");
    close(fd);
}

static void the_response_to_head_has_a_length_and_no_body(void **state)
{
    struct fixture *f = *state;
    int fd = try_connect(f);
    ask(fd, "HEAD", "/ping");
    shutdown(fd, SHUT_WR); /* so that the connection ends after the head, not at a timeout */
    read_response(f, fd);
    assert_non_null(strstr(f->response, "Content-Length: 15\r\n"));
    assert_null(strstr(f->response, "pong"));
    close(fd);
}

static void a_request_is_inside_until_its_handler_ends_also_without_its_client(void **state)
{
    struct fixture *f = *state;
    close(begin(f, "/produtos?ms=300"));
    close(begin(f, "/usuarios?ms=300"));
    wait_for_metric(f, "backend_concurrent 2\n");
    wait_for_metric(f, "backend_concurrent 0\n");
    wait_for_metric(f, "backend_concurrent_max{handler=\"all\"} 2\n");
}

static void a_crowd_that_leaves_is_survived(void **state)
{
    struct fixture *f = *state;
    for (unsigned i = 0; i < 300; i++) {
        const struct linger reset = {.l_onoff = i % 2, .l_linger = 0};
        int fd = begin(f, i % 3 ? "/produtos?bytes=100000" : "/usuarios?bytes=100000");
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
    }
    wait_for_metric(f, "backend_concurrent 0\n");
    visit(f, "/ping", "HTTP/1.1 200", "pong");
}

static void the_third_of_two_threads_waits_in_the_pool(void **state)
{
    struct fixture *f = *state;
    int fd[3];
    for (unsigned i = 0; i < 3; i++)
        fd[i] = begin(f, "/produtos?ms=300");
    wait_for_metric(f, "backend_pool_busy 2\n");
    for (unsigned i = 0; i < 3; i++) {
        assert_response(f, fd[i], "HTTP/1.1 200", "Server-Timing: pool;dur=");
        close(fd[i]);
    }
    wait_for_metric(f, "backend_concurrent_max{handler=\"produtos\"} 3\n");
    wait_for_metric(f, "backend_pool_wait_seconds_count 3\n");
}

static void a_reset_sets_the_maxima_to_what_is_inside(void **state)
{
    struct fixture *f = *state;
    int busy, fd = try_connect(f);

    visit(f, "/ping", "HTTP/1.1 200", "pong");
    busy = begin(f, "/usuarios?ms=300");
    wait_for_metric(f, "backend_concurrent 1\n");
    ask(fd, "POST", "/reset");
    assert_response(f, fd, "HTTP/1.1 200", "{\"reset\":true}");
    close(fd);
    wait_for_metric(f, "backend_concurrent_max{handler=\"usuarios\"} 1\n");
    wait_for_metric(f, "backend_concurrent_max{handler=\"ping\"} 0\n");
    assert_response(f, busy, "HTTP/1.1 200", "usuarios");
    close(busy);
}

static void asked_to_end_it_finishes_what_is_inside(void **state)
{
    struct fixture *f = *state;
    int idle = try_connect(f), slow = begin(f, "/produtos?ms=300"),
        wait = begin(f, "/usuarios?ms=300");

    wait_for_metric(f, "backend_concurrent 2\n");
    ask_to_end();
    assert_ended(idle);
    assert_int_equal(try_connect(f), -1);
    assert_response(f, slow, "HTTP/1.1 200", "Connection: close\r\n");
    assert_response(f, wait, "HTTP/1.1 200", "Connection: close\r\n");
    join(f);
    close(slow);
    close(wait);
    assert_true(f->finished);
}

static void asked_twice_it_ends_at_once(void **state)
{
    struct fixture *f = *state;
    int idle = try_connect(f), fd[4];

    for (unsigned i = 0; i < 4; i++)
        fd[i] = begin(f, i == 0 ? "/usuarios?ms=600000" : "/produtos?ms=600000");
    wait_for_metric(f, "backend_concurrent 4\n");
    ask_to_end();
    assert_ended(idle); /* the first signal has been handled: two pending ones would count as one */
    ask_to_end();
    join(f);
    assert_false(f->finished);
    for (unsigned i = 0; i < 4; i++)
        close(fd[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_connection_serves_every_kind_of_handler, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_served_is_told_why, setup, teardown),
        cmocka_unit_test_setup_teardown(the_response_to_head_has_a_length_and_no_body, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_request_is_inside_until_its_handler_ends_also_without_its_client, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crowd_that_leaves_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(the_third_of_two_threads_waits_in_the_pool, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_reset_sets_the_maxima_to_what_is_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(asked_to_end_it_finishes_what_is_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(asked_twice_it_ends_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
