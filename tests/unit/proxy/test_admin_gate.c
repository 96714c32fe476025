/* The gate of the admin port: split, pipelined and malformed requests, crowds, and its sockets. */
#include "tests/unit/proxy/admin_port.h"

/* evhtp alone would respond to the first and forget the others. */
static void pipelined_requests_get_responses_in_order(void **state)
{
    struct port *p = *state;
    int fd = dial(p);
    say(p, fd,
        "GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /status HTTP/1.1\r\nHost: a\r\n\r\n"
        "GET /config HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    assert_int_equal(times("HTTP/1.1 200 "), 3);
    assert_true(strstr(got, "ok\n") < strstr(got, "{\"status\""));
    assert_true(strstr(got, "{\"status\"") < strstr(got, "{\"config\""));
    close(fd);
}

/* evhtp alone would read outside its buffer when the target is split. */
static void a_request_may_be_split_at_every_byte(void **state)
{
    static const char request[] = "GET /status?a=b HTTP/1.1\r\nHost: a\r\n\r\n";
    struct port *p = *state;
    int fd = dial(p);
    for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
        send_bytes(p, fd, request, cut);
        turn(p);
        say(p, fd, request + cut);
        assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
        expect("{\"status\":1}");
    }
    for (size_t i = 0; i < sizeof(request) - 1; i++)
        send_bytes(p, fd, request + i, 1);
    assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
    expect_status("200");
    close(fd);
}

static void a_client_that_has_half_closed_still_gets_its_response(void **state)
{
    struct port *p = *state;
    int fd = dial(p);
    static const char request[] = "GET /status HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    expect("{\"status\":1}");
    close(fd);
}

static void an_http_1_0_client_gets_a_response_and_is_closed(void **state)
{
    ask(*state, "GET /livez HTTP/1.0\r\n\r\n");
    expect(" 200 ");
    expect("\r\n\r\nok\n");
}

static void too_many_fields_or_too_long_a_head_is_refused(void **state)
{
    static char request[20000];
    size_t n = (size_t)snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 64; i++)
        n += (size_t)snprintf(request + n, sizeof(request) - n, "X-%d: 1\r\n", i);
    snprintf(request + n, sizeof(request) - n, "\r\n");
    ask(*state, request);
    expect_status("431");
    memset(request, 'a', sizeof(request));
    memcpy(request, "GET /", 5);
    request[sizeof(request) - 1] = '\0';
    ask(*state, request);
    assert_true(strncmp(got, "HTTP/1.1 414 ", 13) == 0 || strncmp(got, "HTTP/1.1 431 ", 13) == 0);
}

static void malformed_requests_are_400_and_the_port_lives(void **state)
{
    static const char *const bad[] = {
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", /* a TLS ClientHello */
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /\x80\xff HTTP/1.1\r\nHost: a\r\n\x01: b\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ask(*state, bad[i]);
        if (strncmp(got, "HTTP/1.1 400 ", 13) != 0)
            fail_msg("input %zu: %.100s", i, got);
    }
    get(*state, "/livez");
    expect_status("200");
}

/* Requests with a byte changed, doubled or missing, split anywhere: the only expectation is that
 * the port still serves the next client. */
static void random_bytes_never_bring_it_down(void **state)
{
    static const char *const seeds[] = {
        "GET http://a:1/metrics?x=%41&y HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: x\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
        "HEAD //%zz;a?&&==# HTTP/1.0\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n\r\n",
        "GET /?%&a=%&=b&;;c HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\nA: \r\n\r\n",
        "POST /pause HTTP/1.1\r\n" OWN "Content-Length: 4\r\nExpect: 100-continue\r\n\r\nabcd",
        "PATCH /config HTTP/1.1\r\n" OWN "Content-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\n\r\n",
        "POST /drain?wait=1ms HTTP/1.1\r\n" OWN "\r\nDELETE /drain HTTP/1.1\r\n" OWN "\r\n",
    };
    struct port *p = *state;
    unsigned seed = (unsigned)clock_wall();
    print_message("seed %u\n", seed);
    for (int round = 0; round < 400; round++) {
        char text[256];
        size_t len = (size_t)snprintf(text, sizeof(text), "%s", seeds[rand_r(&seed) % 7]);
        for (int i = rand_r(&seed) % 4; i > 0; i--)
            text[(size_t)rand_r(&seed) % len] = (char)rand_r(&seed);
        size_t cut = (size_t)rand_r(&seed) % len;
        int fd = dial(p);
        send_bytes(p, fd, text, cut);
        send_bytes(p, fd, text + cut, len - cut);
        if (round % 2 == 0)
            shutdown(fd, SHUT_RDWR);
        turn(p);
        close(fd);
    }
    get(p, "/livez");
    expect_status("200");
}

static void idle_connections_cannot_keep_a_probe_out(void **state)
{
    enum { CROWD = 100 };
    struct port *p = *state;
    int fd[CROWD];
    for (int i = 0; i < CROWD; i++) {
        fd[i] = dial(p);
        say(p, fd[i], "GET /liv");
    }
    get(p, "/livez");
    expect_status("200");
    int gone = 0;
    for (int i = 0; i < CROWD; i++) {
        gone += recv(fd[i], got, 1, MSG_DONTWAIT) == 0;
        close(fd[i]);
    }
    assert_int_equal(gone, CROWD + 1 - 64);
}

static void freeing_it_closes_the_connections_and_the_port(void **state)
{
    (void)state;
    struct port *p = new_port(loopback());
    int idle = dial(p), half = dial(p), asked = dial(p);
    say(p, half, "GET /");
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_int_equal(write(asked, request, sizeof(request) - 1), sizeof(request) - 1);
    event_base_loop(p->base, EVLOOP_NONBLOCK);
    admin_free(p->admin);
    turn(p);
    assert_int_equal(read(idle, got, 1), 0);
    assert_int_equal(read(half, got, 1), 0);
    close(idle);
    close(half);
    close(asked);
    admin_free(NULL);
    event_base_free(p->base);
    free(p);
}

static void a_port_in_use_is_a_problem_in_words(void **state)
{
    struct port *p = *state;
    char problem[256] = "";
    unsigned number = (unsigned)strtoul(strrchr(admin_text(p->admin), ':') + 1, NULL, 10);
    ((struct sockaddr_in *)(void *)&p->at.sa)->sin_port = htons((uint16_t)number);
    snprintf(p->at.text, sizeof(p->at.text), "127.0.0.1:%u", number);
    assert_null(open_at(p, problem, sizeof(problem)));
    assert_non_null(strstr(problem, p->at.text));
    assert_non_null(strstr(problem, strerror(EADDRINUSE)));
    get(p, "/livez");
    expect_status("200");
}

static void a_unix_socket_is_served_taken_over_and_removed(void **state)
{
    (void)state;
    char dir[] = "/tmp/weir-test-XXXXXX", path[64], problem[256];
    struct stat st;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/admin", dir);
    struct address at = unix_address(path);

    int stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, (struct sockaddr *)&at.sa, at.len), 0);
    close(stale);
    struct port *p = new_port(at);
    get(p, "/livez");
    expect_status("200");
    assert_null(open_at(p, problem, sizeof(problem))); /* a socket in use is not replaced */
    get(p, "/livez");
    expect_status("200");
    void *fixture = p;
    closed(&fixture);
    assert_int_equal(stat(path, &st), -1);
    assert_int_equal(rmdir(dir), 0);
}

static void ipv6_is_served_too(void **state)
{
    (void)state;
    struct address at = {.text = "[::1]:0", .len = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    memcpy(&at.sa, &in6, sizeof(in6));
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool there = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
    if (fd >= 0)
        close(fd);
    if (!there)
        skip();
    struct port *p = new_port(at);
    get(p, "/livez");
    expect_status("200");
    assert_memory_equal(admin_text(p->admin), "[::1]:", 6);
    void *fixture = p;
    closed(&fixture);
}

/* ---- a crowd ---- */

#define CROWD 100 /* more than the port's 64 places */

static void connect_all(const struct port *p, int fds[CROWD])
{
    for (int i = 0; i < CROWD; i++)
        fds[i] = dial(p);
}

static void close_all(const int fds[CROWD])
{
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
}

static void a_request_gets_its_response_before_a_crowd_takes_its_place(void **state)
{
    struct port *p = *state;
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    int crowd[CROWD];
    int fd = dial(p);

    assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    connect_all(p, crowd);
    assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
    expect_status("200");
    close(fd);
    close_all(crowd);
}

/* As many bytes as the body has at least. */
static void receives_long_metrics(const struct port *p, int fd)
{
    size_t came = 0;

    for (ssize_t n; came < LONG_METRICS; came += (size_t)n) {
        turn(p);
        n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            n = 0;
        else
            assert_true(n > 0);
    }
}

static void a_long_response_is_not_cut_by_a_half_close(void **state)
{
    struct port *p = *state;
    int fd = dial(p);

    p->metrics_size = LONG_METRICS;
    say(p, fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    receives_long_metrics(p, fd);
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    close(fd);
}

static void a_response_being_sent_is_not_cut_for_a_crowd(void **state)
{
    struct port *p = *state;
    int crowd[CROWD];
    int fd = dial(p);

    p->metrics_size = LONG_METRICS;
    say(p, fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    connect_all(p, crowd);
    for (mono_us end = clock_mono() + 200000; clock_mono() < end;)
        turn(p);
    receives_long_metrics(p, fd);
    close(fd);
    close_all(crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pipelined_requests_get_responses_in_order),
        TEST(a_request_may_be_split_at_every_byte),
        TEST(a_client_that_has_half_closed_still_gets_its_response),
        TEST(an_http_1_0_client_gets_a_response_and_is_closed),
        TEST(too_many_fields_or_too_long_a_head_is_refused),
        TEST(malformed_requests_are_400_and_the_port_lives),
        TEST(random_bytes_never_bring_it_down),
        TEST(idle_connections_cannot_keep_a_probe_out),
        TEST(a_request_gets_its_response_before_a_crowd_takes_its_place),
        TEST(a_response_being_sent_is_not_cut_for_a_crowd),
        TEST(a_long_response_is_not_cut_by_a_half_close),
        cmocka_unit_test(freeing_it_closes_the_connections_and_the_port),
        TEST(a_port_in_use_is_a_problem_in_words),
        cmocka_unit_test(a_unix_socket_is_served_taken_over_and_removed),
        cmocka_unit_test(ipv6_is_served_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
