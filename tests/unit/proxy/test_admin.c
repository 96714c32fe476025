/* What the admin port responds, and who may change something through it. */
#include "tests/unit/proxy/admin_port.h"

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

static void metrics_are_openmetrics_for_scrapers_that_accept_it(void **state)
{
    ask(*state, "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;q=0.5\r\nAccept-Not: x\r\n"
                "accept: application/openmetrics-text;version=1.0.0\r\n\r\n"
                "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    expect("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n");
    expect("\na 1\n# EOF\nHTTP/1.1 200 OK\r\n");
    expect("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    assert_int_equal(times("EOF"), 1);
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

static void history_can_begin_after_a_second(void **state)
{
    static const char *const bad[] = {"", "x", "-1", "1.5", "12x", "+5"};
    char path[64];

    get(*state, "/history");
    expect_status("200");
    expect("{\"since\":0}\n");
    get(*state, "/history?x&since=1700000000&sincere=no");
    expect("{\"since\":1700000000}\n");
    get(*state, "/history");
    expect("{\"since\":0}\n");
    get(*state, "/history?since=99999999999999999999999999");
    expect("{\"since\":4294967295}\n");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(path, sizeof(path), "/history?since=%s", bad[i]);
        get(*state, path);
        expect_status("400");
        expect("whole seconds since 1970");
    }
    get(*state, "/status?since=x"); /* it has no such parameter */
    expect_status("200");
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

/* ---- the dashboard ---- */

#define BROWSER                                                                                    \
    "Host: a\r\nAccept: text/html,*/*;q=0.8\r\nAccept-Encoding: gzip, br\r\nConnection: close\r\n"

static void a_browser_gets_the_dashboard_and_others_the_list(void **state)
{
    struct port *p = *state;

    p->config.admin.dashboard = true;
    ask(p, "GET / HTTP/1.1\r\n" BROWSER "\r\n");
    expect_status("200");
    expect("\r\nContent-Type: text/html; charset=utf-8\r\n");
    expect("\r\nContent-Encoding: gzip\r\n");
    expect("\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; ");
    expect("\r\nX-Content-Type-Options: nosniff\r\n");
    expect("\r\nCache-Control: no-cache\r\n");
    expect("\r\nVary: Accept\r\n");
    expect("\r\n\r\n\x1f\x8b\x08");
    get(p, "/");
    expect("\r\nVary: Accept\r\n");
    expect("\r\n\r\nweir ");
    ask(p, "GET / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\nAccept: text/html\r\n"
           "Accept-Encoding: identity\r\nConnection: close\r\n\r\n");
    expect("HTTP/1.1 406 ");
    expect("Accept-Encoding: gzip");
}

static void without_the_dashboard_everyone_gets_the_list(void **state)
{
    struct port *p = *state;

    p->config.admin.dashboard = false;
    ask(p, "GET /?a HTTP/1.1\r\n" BROWSER "\r\n");
    expect_status("200");
    expect("\r\n\r\nweir ");
    assert_int_equal(times("Vary"), 0);
    ask(p, "GET /dashboard.js HTTP/1.1\r\n" BROWSER "\r\n");
    expect_status("404");
}

static void a_file_is_sent_only_to_a_client_that_lacks_it(void **state)
{
    struct port *p = *state;
    char again[300], tag[20] = "", length[40] = "";

    p->config.admin.dashboard = true;
    ask(p, "HEAD /dashboard.css HTTP/1.1\r\n" BROWSER "\r\n");
    expect_status("200");
    assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
    memcpy(tag, strstr(got, "ETag: ") + strlen("ETag: "), 18);
    memcpy(length, strstr(got, "\r\nContent-Length: "), 24);
    snprintf(again, sizeof(again),
             "GET /dashboard.css HTTP/1.1\r\n" BROWSER "If-None-Match: \"0\", %s\r\n\r\n", tag);
    ask(p, again);
    expect("HTTP/1.1 304 ");
    expect(tag);
    expect(length); /* that of the file, if any */
    assert_string_equal(strstr(got, "\r\n\r\n"), "\r\n\r\n");
    ask(p, "GET /dashboard.css HTTP/1.1\r\n" BROWSER "If-None-Match: \"0\"\r\n\r\n");
    expect_status("200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(metrics_have_prometheus_exact_content_type),
        TEST(metrics_are_openmetrics_for_scrapers_that_accept_it),
        TEST(status_and_config_are_json),
        TEST(history_can_begin_after_a_second),
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
        TEST(a_browser_gets_the_dashboard_and_others_the_list),
        TEST(without_the_dashboard_everyone_gets_the_list),
        TEST(a_file_is_sent_only_to_a_client_that_lacks_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
