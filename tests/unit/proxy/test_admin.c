#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "common/clock.h"
#include "proxy/admin.h"

/* One thread plays both sides: the port's base turns between the client's reads. */
struct port {
    struct event_base *base;
    struct admin *admin;
    struct address at;
    struct config config;
    const char *not_ready, *not_started; /* NULL: ready, started */
    unsigned pauses, resumes, drains, kept_ready;
    struct strbuf changed; /* what it was asked to change to */
    bool drained;
    size_t metrics_size; /* at least */
};

#define LONG_METRICS (16 << 20) /* more than the kernel accepts at once */

#define OWN "Host: 127.0.0.1\r\n"

static char got[200000];

static void metrics(void *arg, struct strbuf *out)
{
    const struct port *p = arg;

    strbuf_adds(out, "# HELP a A.\n# TYPE a gauge\na 1\n");
    while (out->len < p->metrics_size)
        strbuf_adds(out, "# and many more\n");
}

static void status(void *arg, struct strbuf *out)
{
    (void)arg;
    strbuf_adds(out, "{\"status\":1}\n");
}

static void config(void *arg, struct strbuf *out)
{
    (void)arg;
    strbuf_adds(out, "{\"config\":1}\n");
}

static bool ready(void *arg, const char **why)
{
    struct port *p = arg;
    *why = p->not_ready;
    return p->not_ready == NULL;
}

static bool started(void *arg, const char **why)
{
    struct port *p = arg;
    *why = p->not_started;
    return p->not_started == NULL;
}

static void pause_it(void *arg)
{
    ((struct port *)arg)->pauses++;
}

static void resume_it(void *arg)
{
    ((struct port *)arg)->resumes++;
}

static void drain_it(void *arg, bool keep_ready)
{
    struct port *p = arg;

    p->drains++;
    p->kept_ready += keep_ready;
}

static bool cancel_drain(void *arg, const char **why)
{
    struct port *p = arg;

    *why = "all is done";
    return !p->drained;
}

static bool change(void *arg, struct span json, struct strbuf *problems)
{
    struct port *p = arg;

    strbuf_clear(&p->changed);
    strbuf_add_span(&p->changed, json);
    strbuf_adds(problems, json.len == 0 ? "it is empty\n" : "");
    return json.len > 0;
}

static bool drain_state(void *arg, struct strbuf *out)
{
    struct port *p = arg;

    strbuf_addf(out, "{\"state\":\"%s\"}\n", p->drained ? "drained" : "draining");
    return p->drained;
}

static struct admin *open_at(struct port *p, char *problem, size_t size)
{
    struct admin_source source = {.arg = p,
                                  .metrics = metrics,
                                  .status = status,
                                  .config = config,
                                  .ready = ready,
                                  .started = started,
                                  .pause = pause_it,
                                  .resume = resume_it,
                                  .drain = drain_it,
                                  .cancel_drain = cancel_drain,
                                  .drain_state = drain_state,
                                  .change = change};
    p->config.admin.listen = p->at;
    return admin_new(p->base, &p->config, &source, problem, size);
}

static struct address loopback(void)
{
    struct address a = {.text = "127.0.0.1:0", .len = sizeof(struct sockaddr_in)};
    struct sockaddr_in in = {.sin_family = AF_INET};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(&a.sa, &in, sizeof(in));
    return a;
}

static struct address unix_address(const char *path)
{
    struct address a = {.len = sizeof(struct sockaddr_un)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    snprintf(a.text, sizeof(a.text), "unix:%s", path);
    memcpy(&a.sa, &un, sizeof(un));
    return a;
}

static struct port *new_port(struct address at)
{
    char problem[256] = "";
    struct port *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->base = event_base_new();
    p->at = at;
    atomic_init(&p->config.refs, 1);
    p->admin = open_at(p, problem, sizeof(problem));
    if (p->admin == NULL)
        fail_msg("%s", problem);
    return p;
}

static int on_loopback(void **state)
{
    *state = new_port(loopback());
    return 0;
}

static int closed(void **state)
{
    struct port *p = *state;
    admin_free(p->admin);
    assert_int_equal(p->config.refs, 1);
    event_base_free(p->base);
    strbuf_fini(&p->changed);
    free(p);
    return 0;
}

static int dial(const struct port *p)
{
    struct sockaddr_storage sa;
    memcpy(&sa, &p->at.sa, sizeof(sa));
    unsigned number = (unsigned)strtoul(strrchr(admin_text(p->admin), ':') + 1, NULL, 10);
    if (sa.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&sa)->sin_port = htons((uint16_t)number);
    if (sa.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)&sa)->sin6_port = htons((uint16_t)number);
    int fd = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, p->at.len), 0);
    if (sa.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return fd;
}

static void turn(const struct port *p)
{
    for (int i = 0; i < 3; i++)
        event_base_loop(p->base, EVLOOP_NONBLOCK);
}

static void send_bytes(const struct port *p, int fd, const void *bytes, size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(fd, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return; /* closed: what it sent will be read */
        sent += n < 0 ? 0 : (size_t)n;
        turn(p);
    }
}

static void say(const struct port *p, int fd, const char *text)
{
    send_bytes(p, fd, text, strlen(text));
}

static size_t times(const char *what)
{
    size_t n = 0;
    for (const char *at = got; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

enum listen { UNTIL_CLOSED, UNTIL_RESPONSES };

/* Reads into `got` until the port closes, or has sent `responses` responses, the last of them
 * complete: all bodies here end in a newline. False: ten seconds have passed. */
static bool hear(const struct port *p, int fd, enum listen how, size_t responses)
{
    size_t len = 0;
    mono_us end = clock_mono() + 10000000;
    got[0] = '\0';
    while (clock_mono() < end) {
        turn(p);
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 5) <= 0)
            continue;
        ssize_t n = read(fd, got + len, sizeof(got) - 1 - len);
        if (n <= 0)
            return how == UNTIL_CLOSED;
        len += (size_t)n;
        got[len] = '\0';
        if (how == UNTIL_RESPONSES && times("HTTP/1.1 ") >= responses && got[len - 1] == '\n' &&
            strstr(got, "\r\n\r\n") != NULL)
            return true;
    }
    return false;
}

static void ask(const struct port *p, const char *request)
{
    int fd = dial(p);
    say(p, fd, request);
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    close(fd);
}

static void get(const struct port *p, const char *path)
{
    char request[512];
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             path);
    ask(p, request);
}

static void expect(const char *what)
{
    if (strstr(got, what) == NULL)
        fail_msg("no \"%s\" in: %.600s", what, got);
}

static void expect_status(const char *code)
{
    char line[32];
    snprintf(line, sizeof(line), "HTTP/1.1 %s ", code);
    if (strncmp(got, line, strlen(line)) != 0)
        fail_msg("wanted %s, got: %.600s", code, got);
}

static void metrics_have_prometheus_exact_content_type(void **state)
{
    get(*state, "/metrics");
    expect_status("200");
    expect("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect("\r\nContent-Length: 31\r\n");
    expect("\r\nCache-Control: no-store\r\n");
    expect("\r\n\r\n# HELP a A.\n# TYPE a gauge\na 1\n");
    assert_int_equal(times("Content-Type"), 1);
    assert_int_equal(times("Content-Length"), 1);
}

static void status_and_config_are_json(void **state)
{
    get(*state, "/status");
    expect_status("200");
    expect("\r\nContent-Type: application/json\r\n");
    expect("{\"status\":1}\n");
    get(*state, "/config?pretty=1");
    expect_status("200");
    expect("{\"config\":1}\n");
}

static void the_probes_say_yes_or_no_and_why(void **state)
{
    struct port *p = *state;
    get(p, "/readyz");
    expect_status("200");
    get(p, "/startupz");
    expect_status("200");
    p->not_ready = "draining";
    p->not_started = "the app has not answered yet";
    get(p, "/readyz");
    expect_status("503");
    expect("\r\n\r\ndraining\n");
    get(p, "/startupz");
    expect_status("503");
    expect("the app has not answered yet\n");
    get(p, "/livez");
    expect_status("200");
    expect("\r\n\r\nok\n");
}

static void head_has_the_length_and_no_body(void **state)
{
    ask(*state, "HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect_status("200");
    expect("\r\nContent-Length: 31\r\n");
    assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
}

static void an_unknown_path_lists_the_known_ones(void **state)
{
    get(*state, "/metric");
    expect_status("404");
    expect("/metrics");
    expect("/startupz");
    get(*state, "/metrics/");
    expect_status("404");
    get(*state, "/");
    expect_status("200");
    expect("\r\n\r\nweir ");
    expect("/config");
}

static void another_method_is_405_with_allow(void **state)
{
    ask(*state, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    expect_status("405");
    expect("\r\nAllow: GET, HEAD\r\n");
    expect("\r\nCache-Control: no-store\r\n");
    ask(*state, "POST /metric HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status("404");
    ask(*state, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status("404");
    ask(*state, "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status("405");
}

/* The parser refuses it, so no page is known; or that of the request before. */
static void connect_is_405_too(void **state)
{
    ask(*state, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_status("405");
    expect("\r\nAllow: GET, HEAD\r\n");
    ask(*state, "POST /pause HTTP/1.1\r\n" OWN "\r\nCONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
    expect("HTTP/1.1 405 Method Not Allowed\r\n");
    expect("\r\nAllow: GET, HEAD\r\n");
}

static void a_body_is_refused(void **state)
{
    ask(*state, "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n");
    expect_status("413");
    ask(*state, "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect_status("413");
}

static void a_connection_is_kept_between_requests(void **state)
{
    struct port *p = *state;
    int fd = dial(p);
    for (int i = 0; i < 20; i++) {
        say(p, fd,
            i % 2 ? "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
                  : "\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
        expect_status("200");
    }
    close(fd);
}

/* ---- changes ---- */

static void a_change_is_made_for_a_local_peer_and_the_connection_is_kept(void **state)
{
    struct port *p = *state;
    int fd = dial(p);
    for (unsigned i = 1; i <= 3; i++) {
        say(p, fd, "POST /pause HTTP/1.1\r\n" OWN "\r\n");
        assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
        expect_status("200");
        expect("\r\nContent-Type: application/json\r\n");
        expect("\r\n\r\n{\"paused\":true}\n");
        say(p, fd,
            "POST /resume?x=y HTTP/1.1\r\nHost: localhost:9480\r\nContent-Length: 0\r\n\r\n");
        assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
        expect("{\"paused\":false}");
        assert_int_equal(p->pauses, i);
        assert_int_equal(p->resumes, i);
    }
    close(fd);
}

static void what_is_refused_changes_nothing_and_has_a_reason(void **state)
{
    static const struct {
        const char *request, *status, *reason;
    } rows[] = {
        {"GET /pause HTTP/1.1\r\n" OWN "\r\n", "405", "\r\nAllow: POST\r\n"},
        {"HEAD /pause HTTP/1.1\r\n" OWN "\r\n", "405", "\r\nAllow: POST\r\n"},
        {"PUT /pause HTTP/1.1\r\n" OWN "\r\n", "405", "\r\nAllow: POST\r\n"},
        {"POST /pause HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "Host must be"},
        {"POST /pause HTTP/1.0\r\n\r\n", "403", "Host must be"},
        {"POST http://evil.example/pause HTTP/1.1\r\nHost: evil.example\r\n\r\n", "403", "Host"},
        {"POST /pause HTTP/1.1\r\n" OWN "Origin: http://a\r\n\r\n", "403", "(Origin)"},
        {"POST /pause HTTP/1.1\r\n" OWN "Content-Length: 65537\r\n\r\n", "413", "64 KiB"},
        {"POST /pause HTTP/1.1\r\n" OWN "Content-Length: 999999999999999999\r\n\r\n", "413", ""},
        {"POST /pause HTTP/1.1\r\n" OWN "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411",
         "Content-Length"},
        {"POST /pause HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", "403", "Host"},
    };
    struct port *p = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask(p, rows[i].request);
        expect_status(rows[i].status);
        expect(rows[i].reason);
        expect("\r\nConnection: close\r\n");
    }
    assert_int_equal(p->pauses, 0);
}

/* The body is complete before anything happens, and the next request begins after it. */
static void a_body_is_awaited_and_bounded(void **state)
{
    static char body[65535];
    struct port *p = *state;
    int fd = dial(p);

    say(p, fd, "POST /pause HTTP/1.1\r\n" OWN "Content-Length: 65536\r\n\r\n");
    memset(body, '\n', sizeof(body));
    send_bytes(p, fd, body, sizeof(body));
    turn(p);
    assert_int_equal(p->pauses, 0);
    say(p, fd, "\nGET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_true(hear(p, fd, UNTIL_RESPONSES, 2));
    assert_int_equal(times("HTTP/1.1 200 "), 2);
    assert_int_equal(p->pauses, 1);
    close(fd);
}

static void a_body_may_be_split_at_every_byte(void **state)
{
    static const char request[] =
        "POST /pause HTTP/1.1\r\n" OWN "Content-Length: 5\r\n\r\nab\r\n\r";
    struct port *p = *state;
    int fd = dial(p);

    for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
        send_bytes(p, fd, request, cut);
        turn(p);
        assert_int_equal(p->pauses, cut - 1);
        say(p, fd, request + cut);
        assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
        expect_status("200");
        assert_int_equal(p->pauses, cut);
    }
    close(fd);
}

static void a_client_that_asks_first_is_told_to_go_on(void **state)
{
    static const char head[] =
        "POST /pause HTTP/1.1\r\n" OWN "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    struct port *p = *state;
    int fd = dial(p);

    say(p, fd, head);
    assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
    assert_string_equal(got, "HTTP/1.1 100 Continue\r\n\r\n");
    say(p, fd, "ab");
    assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
    expect_status("200");
    say(p, fd, head);
    assert_true(hear(p, fd, UNTIL_RESPONSES, 1));
    shutdown(fd, SHUT_WR);
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    assert_int_equal(p->pauses, 1); /* the second one has no body */
    close(fd);
}

/* The body as it was sent, although it looks like a request of its own; then the next request. */
static void a_change_of_the_configuration_has_the_whole_body(void **state)
{
    struct port *p = *state;
    struct config next = {.refs = 1, .admin.writable = true};
    static const char body[] = "GET /pause HTTP/1.1\r\n" OWN "\r\n";
    char request[512];
    int len = snprintf(request, sizeof(request),
                       "PATCH /config HTTP/1.1\r\n" OWN "Content-Length: %zu\r\n\r\n%s"
                       "GET /livez HTTP/1.1\r\n" OWN "\r\n",
                       sizeof(body) - 1, body);

    ask(p, request);
    expect_status("403");
    expect("admin.writable is false");
    assert_int_equal(p->changed.len, 0);
    admin_configure(p->admin, &next);
    for (int cut = 1; cut < len; cut += 7) {
        int fd = dial(p);
        strbuf_clear(&p->changed);
        send_bytes(p, fd, request, (size_t)cut);
        turn(p);
        say(p, fd, request + cut);
        assert_true(hear(p, fd, UNTIL_RESPONSES, 2));
        assert_int_equal(times("HTTP/1.1 200 "), 2);
        expect("{\"config\":1}");
        assert_string_equal(strbuf_cstr(&p->changed), body);
        close(fd);
    }
    ask(p, "PATCH /config HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n");
    expect_status("400");
    expect("\r\n\r\nit is empty\n");
    ask(p, "PATCH /config HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n\r\n{}");
    expect_status("403");
    ask(p, "PATCH /status HTTP/1.1\r\n" OWN "Content-Length: 2\r\n\r\n{}");
    expect_status("405");
    admin_configure(p->admin, &p->config);
}

/* ---- waiting for the end of a drain ---- */

#define WAIT "POST /drain?x&wait=1h HTTP/1.1\r\n" OWN "\r\n"

static void drained(struct port *p)
{
    p->drained = true;
    admin_drained(p->admin);
}

static void a_drain_responds_when_all_is_done(void **state)
{
    struct port *p = *state;
    int fd[3];

    ask(p, "POST /drain HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n");
    expect_status("202");
    expect("\r\n\r\n{\"state\":\"draining\"}\n");
    for (int i = 0; i < 3; i++) {
        fd[i] = dial(p);
        say(p, fd[i], WAIT);
        turn(p);
        assert_int_equal(recv(fd[i], got, 1, MSG_DONTWAIT), -1);
    }
    close(fd[1]); /* is forgotten */
    turn(p);
    drained(p);
    for (int i = 0; i < 3; i += 2) {
        assert_true(hear(p, fd[i], UNTIL_CLOSED, 0));
        expect_status("200");
        expect("\r\nConnection: close\r\n");
        expect("\r\n\r\n{\"state\":\"drained\"}\n");
        close(fd[i]);
    }
    assert_int_equal(p->drains, 4);
    ask(p, "POST /drain?wait=1h HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n");
    expect_status("200");
    admin_drained(p->admin); /* nobody waits */
    admin_drained(NULL);
}

static void a_client_waits_no_longer_than_it_wants_to(void **state)
{
    struct port *p = *state;
    mono_us before = clock_mono();

    ask(p, "POST /drain?wait=30ms HTTP/1.1\r\n" OWN "\r\n");
    expect_status("202");
    expect("{\"state\":\"draining\"}");
    assert_true(clock_mono() - before >= 20000); /* libevent's clock has a tick of some ms */
    drained(p);
}

static void a_cancelled_drain_is_waited_for_by_nobody(void **state)
{
    struct port *p = *state;
    int fd = dial(p);

    say(p, fd, WAIT);
    ask(p, "DELETE /drain HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n");
    expect_status("200");
    expect("{\"state\":\"draining\"}");
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    expect_status("409");
    expect("\r\n\r\nthe drain was cancelled\n");
    close(fd);
    p->drained = true;
    ask(p, "DELETE /drain HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n");
    expect_status("409");
    expect("cannot be cancelled: all is done\n");
}

static void only_listed_addresses_may_drain_by_get(void **state)
{
    struct port *p = *state;
    struct cidr listed = cidr_named(CIDR_LOOPBACK);
    struct config next = {.refs = 1, .admin.allow = {&listed, 1}};
    static const char hook[] = "GET /drain?wait=1ms HTTP/1.1\r\n" OWN "\r\n";

    ask(p, hook);
    expect_status("405");
    expect("\r\nAllow: POST, DELETE\r\n");
    expect("only from the addresses in admin.allow");
    admin_configure(p->admin, &next);
    ask(p, "HEAD /drain?wait=1ms HTTP/1.1\r\n" OWN "\r\n");
    expect_status("405");
    ask(p, "GET /pause HTTP/1.1\r\n" OWN "\r\n");
    expect_status("405");
    ask(p, "GET /drain HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    expect_status("403");
    assert_int_equal(p->drains + p->pauses, 0);
    ask(p, hook);
    expect_status("202");
    assert_int_equal(p->drains, 1);
    admin_configure(p->admin, &p->config);
}

static void drain_with(struct port *p, const char *query, const char *status)
{
    char request[128];

    snprintf(request, sizeof(request),
             "POST /drain?%s HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n", query);
    ask(p, request);
    expect_status(status);
}

static void a_wait_that_is_no_duration_is_refused(void **state)
{
    static const char *const bad[] = {
        "wait=25", "wait=", "wait=2h", "x=1&wait=1S", "wait=1s&wait=-1s", "wait=2h&ready=keep"};
    struct port *p = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        drain_with(p, bad[i], "400");
        expect("a duration with a unit");
    }
    assert_int_equal(p->drains, 0);
}

static void a_drain_may_ask_that_weir_stays_ready(void **state)
{
    static const char *const keep[] = {"ready=keep", "wait=0s&ready=keep", "ready=keep&wait=0s&x"};
    static const char *const plain[] = {"", "x", "already=keep", "wait=0s&readykeep"};
    static const char *const bad[] = {"ready=", "ready=no", "ready=keep2", "ready=keep&ready=kee"};
    struct port *p = *state;

    for (unsigned i = 0; i < sizeof(keep) / sizeof(keep[0]); i++) {
        drain_with(p, keep[i], "202");
        assert_int_equal(p->kept_ready, i + 1);
    }
    p->kept_ready = 0;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        drain_with(p, plain[i], "202");
    assert_int_equal(p->kept_ready, 0);
    ask(p, "POST /drain?ready=keep HTTP/1.1\r\n" OWN "\r\n"
           "POST /drain HTTP/1.1\r\n" OWN "Connection: close\r\n\r\n");
    assert_int_equal(p->kept_ready, 1); /* a parameter is that of its request alone */
    p->kept_ready = 0;
    p->drains = 0;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        drain_with(p, bad[i], "400");
        expect("ready expects \"keep\"");
    }
    assert_int_equal(p->drains + p->kept_ready, 0);
}

/* They are not counted among the others, whose places a crowd may take. */
static void many_may_wait_and_are_not_closed_for_others(void **state)
{
    enum { FEW_TOO_MANY = ADMIN_HELD_MAX + 3, OTHERS = ADMIN_CONNECTIONS_MAX + 10 };
    struct port *p = *state;
    int fd[FEW_TOO_MANY], others[OTHERS];

    for (int i = 0; i < FEW_TOO_MANY; i++) {
        fd[i] = dial(p);
        say(p, fd[i], WAIT);
        turn(p);
        if (i >= ADMIN_HELD_MAX) {
            assert_true(hear(p, fd[i], UNTIL_RESPONSES, 1));
            expect_status("202"); /* at once */
        }
    }
    for (int i = 0; i < OTHERS; i++) {
        others[i] = dial(p);
        say(p, others[i], "GET /liv");
    }
    get(p, "/livez");
    expect_status("200");
    drained(p);
    for (int i = 0; i < ADMIN_HELD_MAX; i++) {
        assert_true(hear(p, fd[i], UNTIL_CLOSED, 0));
        expect_status("200");
    }
    for (int i = 0; i < FEW_TOO_MANY; i++)
        close(fd[i]);
    for (int i = 0; i < OTHERS; i++)
        close(others[i]);
}

/* What it sends meanwhile is not served, and does not grow. */
static void a_waiting_client_is_heard_only_when_it_leaves(void **state)
{
    struct port *p = *state;
    int fd = dial(p);

    say(p, fd, WAIT "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    turn(p);
    assert_int_equal(recv(fd, got, 1, MSG_DONTWAIT), -1);
    shutdown(fd, SHUT_WR);
    assert_true(hear(p, fd, UNTIL_CLOSED, 0));
    assert_string_equal(got, "");
    close(fd);
    fd = dial(p); /* still waits when the port is closed */
    say(p, fd, WAIT);
}

static void the_rights_follow_a_new_configuration(void **state)
{
    struct port *p = *state;
    struct config next = {.refs = 1, .admin.token = "0123456789abcdef"};
    static const char wrong[] =
        "POST /pause HTTP/1.1\r\n" OWN
        "Connection: close\r\nAuthorization: Bearer 1123456789abcdef\r\n\r\n";
    static const char right[] =
        "POST /pause HTTP/1.1\r\nHost: evil.example\r\n"
        "Connection: close\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n";

    ask(p, wrong); /* there is none yet */
    expect_status("200");
    ask(p, right);
    expect_status("403");
    admin_configure(p->admin, &next);
    ask(p, wrong);
    expect_status("403");
    expect("the token is wrong");
    ask(p, right);
    expect_status("200");
    admin_configure(p->admin, &p->config);
    assert_int_equal(next.refs, 1);
}

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

#define TEST(name) cmocka_unit_test_setup_teardown(name, on_loopback, closed)

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
        TEST(metrics_have_prometheus_exact_content_type),
        TEST(status_and_config_are_json),
        TEST(the_probes_say_yes_or_no_and_why),
        TEST(head_has_the_length_and_no_body),
        TEST(an_unknown_path_lists_the_known_ones),
        TEST(another_method_is_405_with_allow),
        TEST(connect_is_405_too),
        TEST(a_body_is_refused),
        TEST(a_connection_is_kept_between_requests),
        TEST(a_change_is_made_for_a_local_peer_and_the_connection_is_kept),
        TEST(what_is_refused_changes_nothing_and_has_a_reason),
        TEST(a_body_is_awaited_and_bounded),
        TEST(a_body_may_be_split_at_every_byte),
        TEST(a_client_that_asks_first_is_told_to_go_on),
        TEST(the_rights_follow_a_new_configuration),
        TEST(a_change_of_the_configuration_has_the_whole_body),
        TEST(a_drain_responds_when_all_is_done),
        TEST(a_client_waits_no_longer_than_it_wants_to),
        TEST(a_cancelled_drain_is_waited_for_by_nobody),
        TEST(only_listed_addresses_may_drain_by_get),
        TEST(a_wait_that_is_no_duration_is_refused),
        TEST(a_drain_may_ask_that_weir_stays_ready),
        TEST(many_may_wait_and_are_not_closed_for_others),
        TEST(a_waiting_client_is_heard_only_when_it_leaves),
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
