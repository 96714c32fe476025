/* The forwarded head: each rule of the rewriting, by its whole result. */
#include "proxy/http/rewrite.h"
#include "tests/unit/http/feed.h"

#define OUT_MAX 16384
#define START   "GET /p HTTP/1.1\r\n"
#define H       "Host: a\r\n"
#define VIA     "Via: 1.1 weir\r\n"
#define XF(ip)  "X-Forwarded-For: " ip "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n"

static const struct http_request_rewrite bare = {.forwarded = HTTP_FORWARDED_OFF};

/* Checks text in a block of exactly the bound's size, so that a sanitizer detects writes past its
 * end. */
static void check_text(char *out, size_t len, size_t bound, const char *want)
{
    assert_true(len <= bound);
    if (len != strlen(want) || memcmp(out, want, len) != 0)
        fail_msg("wanted:\n%s\ngot:\n%.*s", want, (int)len, out);
    free(out);
}

static void request(const char *in, const struct http_request_rewrite *how, const char *want)
{
    static struct http_head head;
    struct http_parser p = {0};
    struct http_problem problem = {0, ""};
    if (http_parse_request(&p, in, strlen(in), &feed_limits, SPAN("X-Request-Id"), &head,
                           &problem) != HTTP_PARSE_DONE)
        fail_msg("%s: %s", problem.reason, in);
    size_t bound = http_rewrite_request_bound(&head, how);
    char *out = malloc(bound);
    assert_non_null(out);
    check_text(out, http_rewrite_request(&head, how, out), bound, want);
}

static void response(const char *in, const struct http_response_rewrite *how, const char *want)
{
    static struct http_head head;
    struct http_parser p = {0};
    struct http_problem problem = {0, ""};
    if (http_parse_response(&p, in, strlen(in), &feed_limits, &head, &problem) != HTTP_PARSE_DONE)
        fail_msg("%s: %s", problem.reason, in);
    size_t bound = http_rewrite_response_bound(&head, how);
    char *out = malloc(bound);
    assert_non_null(out);
    check_text(out, http_rewrite_response(&head, how, out), bound, want);
}

/* A request with the fields `in` is forwarded with the fields `want`. */
static void fields(const char *in, const char *want)
{
    char from[OUT_MAX], to[OUT_MAX];
    (void)snprintf(from, sizeof from, START H "%s\r\n", in);
    (void)snprintf(to, sizeof to, START H "%s" VIA "\r\n", want);
    request(from, &bare, to);
}

static void response_fields(const char *in, const char *want)
{
    const struct http_response_rewrite how = {0};
    char from[OUT_MAX], to[OUT_MAX];
    (void)snprintf(from, sizeof from, "HTTP/1.1 200 OK\r\n%s\r\n", in);
    (void)snprintf(to, sizeof to, "HTTP/1.1 200 OK\r\n%s" VIA "\r\n", want);
    response(from, &how, to);
}

/* ---- kept ---- */

static void end_to_end_fields_keep_bytes_order_and_case(void **state)
{
    (void)state;
    fields("b:  x \r\nA: \t y\xff\r\nb:z\r\nCookie: c=d; e=f\r\n",
           "b:  x \r\nA: \t y\xff\r\nb:z\r\nCookie: c=d; e=f\r\n");
}

static void unknown_methods_and_odd_targets_go_on_as_they_came(void **state)
{
    (void)state;
    request("M-SEARCH //x/../%2f?a=%00 HTTP/1.1\r\n" H "\r\n", &bare,
            "M-SEARCH //x/../%2f?a=%00 HTTP/1.1\r\n" H VIA "\r\n");
}

/* ---- removed ---- */

static void hop_by_hop_fields_stay_here(void **state)
{
    (void)state;
    fields("A: 1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\nB: 2\r\nUpgrade: h2c\r\n"
           "Proxy-Connection: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\n"
           "TE: gzip\r\nClose: x\r\nC: 3\r\n",
           "A: 1\r\nB: 2\r\nC: 3\r\n");
}

static void what_connection_names_stays_here(void **state)
{
    (void)state;
    fields(
        "X-Secret: 1\r\nConnection: close, x-secret , Y\r\nA: b\r\ny: 2\r\nConnection: Accept\r\n"
        "Accept: c\r\n",
        "A: b\r\n");
    fields("Connection: trailer\r\nTrailer: X-A\r\nA: b\r\n", "A: b\r\n");
    fields("Connection: grpc-timeout\r\nRequest-Timeout: 5\r\ngrpc-timeout: 5S\r\n",
           "Request-Timeout: 5\r\n");
    fields("Connection: x-queue-start\r\nX-Queue-Start: t=5\r\nA: b\r\n", "A: b\r\n");
    fields("Connection: trailers\r\nTrailer: X-A\r\n", "Trailer: X-A\r\n");
}

static void connection_takes_no_field_that_routes_frames_or_authenticates(void **state)
{
    (void)state;
    fields("Connection: host, content-length, authorization, cookie, x-forwarded-for, via,"
           " x-request-id, content-type, expect, x-forwarded-port, x-real-ip\r\n"
           "Content-Length: 5\r\nAuthorization: x\r\nCookie: y\r\nX-Forwarded-For: z\r\n"
           "Via: 1.1 w\r\nX-Request-Id: v\r\nContent-Type: u\r\nExpect: 100-continue\r\n"
           "X-Forwarded-Port: 1\r\nX-Real-IP: 2\r\n",
           "Content-Length: 5\r\nAuthorization: x\r\nCookie: y\r\nX-Forwarded-For: z\r\n"
           "Via: 1.1 w\r\nX-Request-Id: v\r\nContent-Type: u\r\nExpect: 100-continue\r\n"
           "X-Forwarded-Port: 1\r\nX-Real-IP: 2\r\n");
    fields("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
           "Transfer-Encoding: chunked\r\n");
}

static void connection_takes_nothing_that_an_app_believes(void **state)
{
    static const char *const names[] = {
        "Authorization", "Cookie",     "Set-Cookie",       "WWW-Authenticate", "Cache-Control",
        "Date",          "ETag",       "Location",         "Origin",           "Range",
        "Referer",       "Vary",       "X-Real-IP",        "X-CSRF-Token",     "traceparent",
        "tracestate",    "User-Agent", "Content-Language", "X-Forwarded-Port", "Content-",
    };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char in[128], want[64];
        (void)snprintf(in, sizeof in, "Connection: %s\r\n%s: 1\r\n", names[i], names[i]);
        (void)snprintf(want, sizeof want, "%s: 1\r\n", names[i]);
        fields(in, want);
    }
}

/* RFC 3875 section 4.1.18; CVE-2016-5385 for Proxy. */
static void names_that_cgi_reads_as_others_stay_here(void **state)
{
    (void)state;
    fields("X_Forwarded_For: 1\r\nx-forwarded_proto: 2\r\nProxy: http://x\r\nX_Request_Id: 3\r\n"
           "A: 5\r\n",
           "A: 5\r\n");
}

/* Gunicorn takes SCRIPT_NAME as the path that the app is mounted at (its issue 2650). */
static void names_with_an_underscore_stay_here_unless_told_otherwise(void **state)
{
    const struct http_request_rewrite pass = {.forwarded = HTTP_FORWARDED_OFF, .underscores = true};
    (void)state;
    fields("SCRIPT_NAME: /public\r\nA: 1\r\npath_info: /x\r\nREMOTE_USER: root\r\nB_: 2\r\n"
           "_: 3\r\na!_: 4\r\nA_Name_Of_More_Than_Sixteen: 5\r\nScript-Name: 6\r\n",
           "A: 1\r\nScript-Name: 6\r\n");
    request(START H "SCRIPT_NAME: /a\r\nB_: 2\r\nX_Real_IP: 3\r\nKeep_Alive: 4\r\n\r\n", &pass,
            START H "SCRIPT_NAME: /a\r\nB_: 2\r\n" VIA "\r\n");
    request(START H "Connection: b_, c\r\nB_: 2\r\nA_: 3\r\n\r\n", &pass,
            START H "A_: 3\r\n" VIA "\r\n");
    response_fields("Some_Name: 1\r\nKeep_Alive: 2\r\n", "Some_Name: 1\r\nKeep_Alive: 2\r\n");
}

static void te_trailers_goes_on_with_its_connection_option(void **state)
{
    (void)state;
    fields("TE: trailers;q=1, gzip\r\nConnection: TE\r\n", "");
    fields("TE: gzip, trailers\r\nConnection: TE\r\nA: b\r\n",
           "A: b\r\nTE: trailers\r\nConnection: TE\r\n");
}

/* The protocols offered by a request with these fields; "" for none. */
static void offers(const char *in, const char *want)
{
    static struct http_head head;
    struct http_parser p = {0};
    struct http_problem problem = {0, ""};
    char from[OUT_MAX], out[OUT_MAX];
    (void)snprintf(from, sizeof from, START H "%s\r\n", in);
    assert_int_equal(
        http_parse_request(&p, from, strlen(from), &feed_limits, SPAN(""), &head, &problem),
        HTTP_PARSE_DONE);
    size_t n = http_upgrade_offers(&head, out);
    assert_true(n <= head.whole.len);
    if (n != strlen(want) || memcmp(out, want, n) != 0)
        fail_msg("wanted %s, got %.*s", want, (int)n, out);
}

static void only_what_may_be_tunnelled_is_offered(void **state)
{
    (void)state;
    offers("Connection: Upgrade\r\nUpgrade: websocket\r\n", "websocket");
    offers("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket, foo/2\r\nUpgrade: bar\r\n",
           "WebSocket,foo/2,bar");
    offers("Connection: ,Upgrade,\r\nUpgrade: , websocket,,\r\nUpgrade:\r\n", "websocket");
    offers("Connection: upgrade\r\nUpgrade: ,\r\n", "");
    offers("Upgrade: websocket\r\n", "");  /* not named by Connection */
    offers("Connection: upgrade\r\n", ""); /* no protocol in Upgrade */
    offers("Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\nUpgrade: h2c\r\n", "");
    offers("Connection: upgrade\r\nUpgrade: H2C, websocket, HTTP/2.0, TLS/1.0\r\n", "websocket");
    offers("Connection: upgrade\r\nUpgrade: a b, c/, /d, \"e\", f/g/h\r\n", "");
}

static void offers_need_no_more_room_than_the_head(void **state)
{
    char want[1201], in[1280];
    (void)state;
    for (size_t i = 0; i < sizeof want; i++)
        want[i] = i % 2 == 0 ? 'a' : ',';
    want[sizeof want - 1] = '\0'; /* a,a,a,...,a, */
    (void)snprintf(in, sizeof in, "Connection: upgrade\r\nUpgrade: %s\r\n", want);
    want[sizeof want - 2] = '\0';
    offers(in, want);
}

static void an_offered_upgrade_goes_on_with_its_connection_option(void **state)
{
    const struct http_request_rewrite how = {.forwarded = HTTP_FORWARDED_OFF,
                                             .upgrade = SPAN("websocket")};
    (void)state;
    request(
        START H "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n", &how,
        START H "Sec-WebSocket-Key: k\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" VIA "\r\n");
    request(START H "TE: trailers\r\nConnection: TE, Upgrade\r\nUpgrade: websocket\r\n\r\n", &how,
            START H "TE: trailers\r\nUpgrade: websocket\r\nConnection: TE, Upgrade\r\n" VIA "\r\n");
}

static void an_expectation_that_was_answered_does_not_go_on(void **state)
{
    const struct http_request_rewrite how = {.forwarded = HTTP_FORWARDED_OFF, .drop_expect = true};
    (void)state;
    request("POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n\r\n", &how,
            "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\n" VIA "\r\n");
}

static void an_expectation_goes_on_as_the_one_usual_line(void **state)
{
    static const char *const spelt[] = {
        "Expect: 100-continue\r\n",
        "Expect:100-continue \r\n",
        "expect: 100-Continue\r\n",
        "Expect: ,100-continue, ,\r\n",
        "Expect: 100-continue, 100-continue\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\nExpect:\r\n",
        "Expect:\r\nExpect: 100-continue\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof spelt / sizeof *spelt; i++) {
        char in[256];
        (void)snprintf(in, sizeof in, "A: b\r\n%sC: d\r\n", spelt[i]);
        fields(in, "A: b\r\nExpect: 100-continue\r\nC: d\r\n");
    }
    fields("Expect: 100-continue\r\nA: b\r\nexpect: 100-continue\r\nC: d\r\n",
           "Expect: 100-continue\r\nA: b\r\nC: d\r\n");
}

static void an_empty_expectation_does_not_go_on(void **state)
{
    (void)state;
    fields("Expect:\r\nA: b\r\nExpect: ,\r\n", "A: b\r\n");
    response_fields("Expect:\r\nExpect: x\r\n",
                    "Expect:\r\nExpect: x\r\n"); /* meaningless in a response */
}

static void switches(const char *in, const char *offered, bool sound)
{
    static struct http_head head;
    struct http_parser p = {0};
    struct http_problem problem = {0, ""};
    char from[OUT_MAX];
    (void)snprintf(from, sizeof from, "HTTP/1.1 101 x\r\n%s\r\n", in);
    assert_int_equal(http_parse_response(&p, from, strlen(from), &feed_limits, &head, &problem),
                     HTTP_PARSE_DONE);
    if (http_upgrade_is_sound(&head, span_of(offered)) != sound)
        fail_msg("%s to an offer of %s", in, offered);
}

static void a_switch_is_sound_when_it_was_offered(void **state)
{
    (void)state;
    switches("Connection: Upgrade\r\nUpgrade: WebSocket\r\n", "foo/2, websocket", true);
    switches("Connection: Upgrade\r\nUpgrade: websocket\r\n", "", false);
    switches("Connection: Upgrade\r\nUpgrade: h2c\r\n", "websocket", false);
    switches("Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", "websocket", false);
    switches("Upgrade: websocket\r\n", "websocket", false);
    switches("Connection: Upgrade\r\n", "websocket", false);
    switches("Connection: Upgrade\r\nUpgrade: ,\r\n", "websocket", false);
}

static void a_response_may_offer_upgrades(void **state)
{
    struct http_response_rewrite how = {.upgrade = true};
    (void)state;
    response("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\nA: b\r\n\r\n", &how,
             "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nA: b\r\nConnection: Upgrade\r\n" VIA "\r\n");
    how.close = true;
    response(
        "HTTP/1.1 426 U\r\nConnection: upgrade\r\nUpgrade: foo\r\nContent-Length: 0\r\n\r\n", &how,
        "HTTP/1.1 426 U\r\nUpgrade: foo\r\nContent-Length: 0\r\nConnection: close, Upgrade\r\n" VIA
        "\r\n");
}

static void an_upgrade_is_not_passed_on_unasked(void **state)
{
    (void)state;
    fields("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n", "");
}

/* ---- framing ---- */

static void framing_fields_are_spelt_the_usual_way(void **state)
{
    (void)state;
    fields("A: 1\r\ncontent-length: 5\r\nB: 2\r\n", "A: 1\r\ncontent-length: 5\r\nB: 2\r\n");
    fields("A: 1\r\nContent-Length:\t005 \r\nB: 2\r\n", "A: 1\r\nContent-Length: 5\r\nB: 2\r\n");
    fields("Content-Length:5\r\n", "Content-Length: 5\r\n");
    fields("Content-Length:  5\r\n", "Content-Length: 5\r\n");
    fields("Content-Length: 010\r\n", "Content-Length: 10\r\n");
    fields("Content-Length: 00\r\n", "Content-Length: 0\r\n");
    fields("Content-Length: 0\r\n", "Content-Length: 0\r\n");
    fields("content-length: 0\r\n", "content-length: 0\r\n");
    fields("content-length: 15\r\n", "content-length: 15\r\n");
    fields("Content-Length:9223372036854775807\r\n", "Content-Length: 9223372036854775807\r\n");
    fields("Transfer-Encoding:\tchunked\r\nB: 2\r\n", "Transfer-Encoding: chunked\r\nB: 2\r\n");
    fields("Transfer-Encoding: Chunked\r\n", "Transfer-Encoding: chunked\r\n");
    fields("transfer-encoding: chunked\r\n", "transfer-encoding: chunked\r\n");
}

/* ---- host ---- */

static void an_absolute_target_replaces_host(void **state)
{
    (void)state;
    request("GET http://b:8/x?y HTTP/1.1\r\nA: 1\r\nHost: a\r\nB: 2\r\n\r\n", &bare,
            "GET /x?y HTTP/1.1\r\nHost: b:8\r\nA: 1\r\nB: 2\r\n" VIA "\r\n");
    request("GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n", &bare,
            "GET /?q HTTP/1.1\r\nHost: b\r\n" VIA "\r\n");
    request("GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", &bare,
            "GET / HTTP/1.1\r\nHost: b\r\n" VIA "\r\n");
    request("OPTIONS http://b HTTP/1.1\r\nHost: a\r\n\r\n", &bare,
            "OPTIONS * HTTP/1.1\r\nHost: b\r\n" VIA "\r\n");
}

static void http_1_0_without_host_gets_one(void **state)
{
    const struct http_request_rewrite how = {.client_address = SPAN("192.0.2.1")};
    (void)state;
    request("GET / HTTP/1.0\r\n\r\n", &how,
            "GET / HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n"
            "X-Forwarded-Proto: http\r\nVia: 1.0 weir\r\n\r\n");
    request("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", &bare,
            "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 weir\r\n\r\n");
}

static void http_1_0_expectations_are_ignored(void **state)
{
    (void)state;
    request("POST / HTTP/1.0\r\nExpect: 100-continue\r\nHost: a\r\n\r\n", &bare,
            "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.0 weir\r\n\r\n");
}

/* ---- forwarding ---- */

static void forwards(enum http_forwarded mode, bool trusted, const char *in, const char *want)
{
    const struct http_request_rewrite how = {
        .forwarded = mode, .trusted = trusted, .client_address = SPAN("192.0.2.1")};
    char from[OUT_MAX], to[OUT_MAX];
    (void)snprintf(from, sizeof from, START H "%s\r\n", in);
    (void)snprintf(to, sizeof to, START H "%s\r\n", want);
    request(from, &how, to);
}

#define SENT                                                                                       \
    "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nA: b\r\n"                        \
    "X-Forwarded-Host: c\r\nForwarded: for=d\r\n"

static void append_adds_what_is_missing(void **state)
{
    (void)state;
    forwards(HTTP_FORWARDED_APPEND, false, "", XF("192.0.2.1") VIA);
    forwards(HTTP_FORWARDED_APPEND, true, "", XF("192.0.2.1") VIA);
}

static void append_believes_the_trusted_and_adds_their_address(void **state)
{
    (void)state;
    forwards(HTTP_FORWARDED_APPEND, true, SENT,
             "X-Forwarded-Proto: https\r\nA: b\r\nX-Forwarded-Host: c\r\nForwarded: for=d\r\n"
             "X-Forwarded-For: 198.51.100.1, 192.0.2.1\r\n" VIA);
    forwards(HTTP_FORWARDED_APPEND, true,
             "X-Forwarded-For: 1, 2\r\nA: b\r\nX-Forwarded-For:\r\nx-forwarded-for: 3\r\n",
             "A: b\r\n" XF("1, 2, 3, 192.0.2.1") VIA);
}

/* All fields by which a front may describe the client, except those with tests of their own. */
#define REST                                                                                       \
    "X-Forwarded-Port: 443\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: https\r\n"                \
    "X-Forwarded-Protocol: ssl\r\nX-Forwarded-Prefix: /p\r\nX-Forwarded-Server: s\r\n"             \
    "X-Real-IP: 198.51.100.1\r\nX-Forwarded-User: u\r\nDaphne-Root-Path: /d\r\n"

static void the_forwarding_set_is_kept_or_dropped_as_one(void **state)
{
    static const char *const names[] = {"Port", "Ssl", "Scheme", "Protocol", "Prefix", "Server"};
    (void)state;
    forwards(HTTP_FORWARDED_APPEND, true, SENT REST,
             "X-Forwarded-Proto: https\r\nA: b\r\nX-Forwarded-Host: c\r\nForwarded: for=d\r\n" REST
             "X-Forwarded-For: 198.51.100.1, 192.0.2.1\r\n" VIA);
    forwards(HTTP_FORWARDED_APPEND, false, SENT REST, "A: b\r\n" XF("192.0.2.1") VIA);
    forwards(HTTP_FORWARDED_REPLACE, true, SENT REST, "A: b\r\n" XF("192.0.2.1") VIA);
    forwards(HTTP_FORWARDED_OFF, false, SENT REST, SENT REST VIA);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char in[128];
        (void)snprintf(in, sizeof in, "Connection: x-forwarded-%s\r\nx-forwarded-%s: 1\r\n",
                       names[i], names[i]);
        forwards(HTTP_FORWARDED_APPEND, false, in, XF("192.0.2.1") VIA);
    }
}

/* Gunicorn responds 400 when one field says https and another says http. */
static void nothing_is_added_that_contradicts_a_trusted_front(void **state)
{
    static const char *const schemes[] = {
        "X-Forwarded-Ssl: on\r\n",
        "x-forwarded-scheme: https\r\n",
        "X-Forwarded-Protocol: ssl\r\n",
        "Forwarded: for=a;proto=https\r\n",
        "Forwarded: for=a, for=b; Proto=\"https\"\r\n",
        "Forwarded: for=a\r\nForwarded: PROTO=https\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        char want[256];
        (void)snprintf(want, sizeof want,
                       "%sX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a\r\n" VIA, schemes[i]);
        forwards(HTTP_FORWARDED_APPEND, true, schemes[i], want);
        forwards(HTTP_FORWARDED_APPEND, false, schemes[i], XF("192.0.2.1") VIA);
    }
    forwards(HTTP_FORWARDED_APPEND, true, "Forwarded: host=b\r\n",
             "Forwarded: host=b\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n" VIA);
    forwards(HTTP_FORWARDED_APPEND, true,
             "A: proto=x\r\nForwarded: proto\r\nX-Forwarded-Port: 1\r\n",
             "A: proto=x\r\nForwarded: proto\r\nX-Forwarded-Port: 1\r\n" XF("192.0.2.1") VIA);
}

/* The peer of a Unix socket has no address, and an invented one would be taken for the client's. */
static void without_an_address_x_forwarded_for_is_left_as_it_is(void **state)
{
    struct http_request_rewrite how = {.trusted = true};
    (void)state;
    request(START H "X-Forwarded-For: 1\r\nA: b\r\nx-forwarded-for: 2\r\n\r\n", &how,
            START H "X-Forwarded-For: 1\r\nA: b\r\nx-forwarded-for: 2\r\n"
                    "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n" VIA "\r\n");
    request(START H "\r\n", &how,
            START H "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n" VIA "\r\n");
    how.trusted = false;
    request(START H "X-Forwarded-For: 1\r\n\r\n", &how,
            START H "X-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n" VIA "\r\n");
}

static void append_believes_nobody_else(void **state)
{
    (void)state;
    forwards(HTTP_FORWARDED_APPEND, false, SENT, "A: b\r\n" XF("192.0.2.1") VIA);
}

static void replace_believes_nobody(void **state)
{
    (void)state;
    forwards(HTTP_FORWARDED_REPLACE, true, SENT, "A: b\r\n" XF("192.0.2.1") VIA);
}

static void off_neither_takes_nor_adds(void **state)
{
    (void)state;
    forwards(HTTP_FORWARDED_OFF, false, SENT, SENT VIA);
}

static void via_is_appended_as_a_line_of_its_own(void **state)
{
    (void)state;
    fields("Via: 1.0 x\r\nA: b\r\n", "Via: 1.0 x\r\nA: b\r\n");
}

/* ---- ids and times ---- */

static void a_request_id_is_added_or_replaced_or_kept(void **state)
{
    struct http_request_rewrite how = {.forwarded = HTTP_FORWARDED_OFF,
                                       .request_id_name = SPAN("X-Request-Id"),
                                       .request_id = SPAN("new")};
    (void)state;
    request(START H "\r\n", &how, START H VIA "X-Request-Id: new\r\n\r\n");
    request(START H "x-request-id: old, bad\r\nA: b\r\n\r\n", &how,
            START H "A: b\r\n" VIA "X-Request-Id: new\r\n\r\n");
    how.request_id = SPAN("");
    request(START H "x-request-id: old\r\n\r\n", &how, START H "x-request-id: old\r\n" VIA "\r\n");
    how.request_id = SPAN("new");
    how.request_id_name = SPAN("");
    request(START H "\r\n", &how, START H VIA "\r\n");
    request(START H "x-request-id: old\r\n\r\n", &how, START H "x-request-id: old\r\n" VIA "\r\n");
}

static void request_start_is_added_unless_there(void **state)
{
    const struct http_request_rewrite how = {
        .forwarded = HTTP_FORWARDED_OFF, .request_start = true, .start = 1700000000123456};
    (void)state;
    request(START H "\r\n", &how, START H VIA "X-Request-Start: t=1700000000123456\r\n\r\n");
    request(START H "X-Request-Start: t=1\r\n\r\n", &how,
            START H "X-Request-Start: t=1\r\n" VIA "\r\n");
}

static void hops(const char *method, const char *in, const char *want)
{
    char from[OUT_MAX], to[OUT_MAX];
    (void)snprintf(from, sizeof from, "%s / HTTP/1.1\r\n" H "Max-Forwards: %s\r\n\r\n", method, in);
    (void)snprintf(to, sizeof to, "%s / HTTP/1.1\r\n" H "Max-Forwards: %s\r\n" VIA "\r\n", method,
                   want);
    request(from, &bare, to);
}

static void max_forwards_counts_down_for_trace_and_options(void **state)
{
    (void)state;
    hops("TRACE", "10", "9");
    hops("OPTIONS", "1", "0");
    hops("OPTIONS", "0", "0");
    hops("OPTIONS", "256", "255");
    hops("OPTIONS", "99999999999999999999999", "255");
    hops("OPTIONS", "000000000000000000000003", "2");
    hops("OPTIONS", "x", "x");
    hops("OPTIONS", "", "");
    hops("GET", "10", "10");
}

/* ---- responses ---- */

static void responses_lose_their_hop_by_hop_fields(void **state)
{
    (void)state;
    response_fields(
        "Server: x\r\nConnection: close, x-y\r\nKeep-Alive: z\r\nX-Y: 1\r\nSet-Cookie: a\r\n"
        "Proxy-Authenticate: b\r\nUpgrade: c\r\nSet-Cookie: d\r\n",
        "Server: x\r\nSet-Cookie: a\r\nSet-Cookie: d\r\n");
    response_fields("Connection: set-cookie\r\nSet-Cookie: a\r\n", "Set-Cookie: a\r\n");
    response_fields("", "");
}

static void responses_keep_status_and_reason_and_say_1_1(void **state)
{
    const struct http_response_rewrite how = {0};
    (void)state;
    response("HTTP/1.0 404 Nicht  da\xff\r\n\r\n", &how,
             "HTTP/1.1 404 Nicht  da\xff\r\nVia: 1.0 weir\r\n\r\n");
    response("HTTP/1.1 200\r\n\r\n", &how, "HTTP/1.1 200 \r\n" VIA "\r\n");
    response("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", &how,
             "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n" VIA "\r\n");
}

static void a_length_that_must_not_be_there_goes(void **state)
{
    const struct http_response_rewrite how = {0};
    (void)state;
    response("HTTP/1.1 204 x\r\nA: b\r\nContent-Length: 0\r\n\r\n", &how,
             "HTTP/1.1 204 x\r\nA: b\r\n" VIA "\r\n");
    response("HTTP/1.1 100 x\r\nContent-Length: 0\r\n\r\n", &how, "HTTP/1.1 100 x\r\n" VIA "\r\n");
    response("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", &how,
             "HTTP/1.1 304 x\r\nContent-Length: 5\r\n" VIA "\r\n");
}

static void the_clients_connection_is_told(void **state)
{
    struct http_response_rewrite how = {.close = true, .say_keep_alive = true};
    (void)state;
    response("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nConnection: close\r\n" VIA "\r\n");
    how.close = false;
    response("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n" VIA "\r\n");
}

static void what_goes_on_decoded_says_so(void **state)
{
    const struct http_response_rewrite how = {.drop_transfer_encoding = true};
    (void)state;
    response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\nA: b\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nA: b\r\n" VIA "\r\n");
}

static void what_goes_on_in_chunks_says_so_and_promises_no_trailers(void **state)
{
    const struct http_response_rewrite how = {.add_chunked = true};
    (void)state;
    response("HTTP/1.0 200 OK\r\nTrailer: x\r\nA: b\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nVia: 1.0 weir\r\n\r\n");
    response("HTTP/1.1 200\r\n\r\n", &how,
             "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n" VIA "\r\n");
}

static void only_weir_says_weir_reason(void **state)
{
    const struct http_response_rewrite how = {0};
    (void)state;
    response("HTTP/1.1 503 x\r\nweir-reason: queue_full\r\nA: b\r\n\r\n", &how,
             "HTTP/1.1 503 x\r\nA: b\r\n" VIA "\r\n");
}

static void responses_are_framed_the_usual_way_too(void **state)
{
    (void)state;
    response_fields("Transfer-Encoding:CHUNKED\r\nTrailer: x\r\n",
                    "Transfer-Encoding: chunked\r\nTrailer: x\r\n");
    response_fields("Content-Length:05\r\n", "Content-Length: 5\r\n");
}

static void the_request_id_is_echoed_unless_the_app_sent_one(void **state)
{
    struct http_response_rewrite how = {.request_id_name = SPAN("X-Request-Id"),
                                        .request_id = SPAN("7"),
                                        .server_timing = SPAN("queue;dur=1")};
    (void)state;
    response("HTTP/1.1 200 OK\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\n" VIA "X-Request-Id: 7\r\nServer-Timing: queue;dur=1\r\n\r\n");
    response("HTTP/1.1 200 OK\r\nx-request-ID: 8\r\nServer-Timing: db\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nx-request-ID: 8\r\nServer-Timing: db\r\n" VIA
             "Server-Timing: queue;dur=1\r\n\r\n");
}

static void a_load_report_is_added_unless_the_app_sent_one(void **state)
{
    const struct span_pair load = {SPAN("Weir-Load"), SPAN("in_flight=1")};
    const struct http_response_rewrite how = {.load = &load};
    (void)state;
    response("HTTP/1.1 200 OK\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\n" VIA "Weir-Load: in_flight=1\r\n\r\n");
    response("HTTP/1.1 200 OK\r\nweir-load: x\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nweir-load: x\r\n" VIA "\r\n");
}

static void a_final_response_without_date_gets_one(void **state)
{
    const struct http_response_rewrite how = {.date = SPAN("now")};
    (void)state;
    response("HTTP/1.1 200 OK\r\nDates: x\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nDates: x\r\n" VIA "Date: now\r\n\r\n");
    response("HTTP/1.1 500 x\r\n\r\n", &how, "HTTP/1.1 500 x\r\n" VIA "Date: now\r\n\r\n");
    response("HTTP/1.1 200 OK\r\ndate:never\r\nA: b\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\ndate:never\r\nA: b\r\n" VIA "\r\n");
    response("HTTP/1.1 200 OK\r\nConnection: date\r\nDate: x\r\n\r\n", &how,
             "HTTP/1.1 200 OK\r\nDate: x\r\n" VIA "\r\n");
    response("HTTP/1.1 103 x\r\n\r\n", &how, "HTTP/1.1 103 x\r\n" VIA "\r\n");
}

static void without_an_id_or_its_name_nothing_is_echoed(void **state)
{
    const struct http_response_rewrite no_id = {.request_id_name = SPAN("X-Request-Id")};
    const struct http_response_rewrite no_name = {.request_id = SPAN("7")};
    (void)state;
    response("HTTP/1.1 200 OK\r\n\r\n", &no_id, "HTTP/1.1 200 OK\r\n" VIA "\r\n");
    response("HTTP/1.1 200 OK\r\n\r\n", &no_name, "HTTP/1.1 200 OK\r\n" VIA "\r\n");
}

/* One struct is used for all heads: each leaves fields after the end of a shorter one. */
static void fields_of_an_earlier_message_are_not_looked_at(void **state)
{
    const struct http_request_rewrite believing = {.trusted = true, .client_address = SPAN("c")};
    const struct http_response_rewrite echo = {.request_id_name = SPAN("X-Request-Id"),
                                               .request_id = SPAN("7")};
    (void)state;
    request(START H "A: 1\r\nB: 2\r\nConnection: b\r\n\r\n", &bare, START H "A: 1\r\n" VIA "\r\n");
    fields("Connection: x\r\nB: 2\r\n", "B: 2\r\n");
    request(START H "A: 1\r\nX-Forwarded-For: a\r\n\r\n", &bare,
            START H "A: 1\r\nX-Forwarded-For: a\r\n" VIA "\r\n");
    request(START H "X-Forwarded-For: b\r\n\r\n", &believing,
            START H "X-Forwarded-For: b, c\r\nX-Forwarded-Proto: http\r\n"
                    "X-Forwarded-Host: a\r\n" VIA "\r\n");
    response("HTTP/1.1 200 OK\r\nX-Request-Id: 6\r\n\r\n", &echo,
             "HTTP/1.1 200 OK\r\nX-Request-Id: 6\r\n" VIA "\r\n");
    response("HTTP/1.1 200 OK\r\n\r\n", &echo, "HTTP/1.1 200 OK\r\n" VIA "X-Request-Id: 7\r\n\r\n");
    offers("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", "a,b");
    offers("Connection: upgrade\r\nUpgrade: a\r\n", "a");
    switches("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b\r\n", "a,b", true);
    switches("Connection: upgrade\r\nUpgrade: a\r\n", "a", true);
}

static void a_sound_request_id_is_short_and_visible(void **state)
{
    char longest[130];
    (void)state;
    memset(longest, 'a', sizeof longest);
    assert_true(http_request_id_is_sound((struct span){longest, 128}));
    assert_false(http_request_id_is_sound((struct span){longest, 129}));
    assert_false(http_request_id_is_sound(SPAN("")));
    assert_true(http_request_id_is_sound(SPAN("a")));
    assert_true(http_request_id_is_sound(SPAN("!~/+=-_.:")));
    assert_false(http_request_id_is_sound(SPAN("a b")));
    assert_false(http_request_id_is_sound(SPAN("a,b")));
    assert_false(http_request_id_is_sound(SPAN("a;b")));
    assert_false(http_request_id_is_sound(SPAN("a\tb")));
    assert_false(http_request_id_is_sound(SPAN("a\x7f")));
    assert_false(http_request_id_is_sound(SPAN("a\xff")));
}

/* ---- the bound, and parsing the result ---- */

/* Everything that can be added, to heads from which nothing is removed. */
static void the_bound_holds_when_all_is_added(void **state)
{
    const struct http_request_rewrite how = {
        .client_address = SPAN("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"),
        .request_id_name = SPAN("X-Request-Id"),
        .request_id = SPAN("00000000-0000-0000-0000-000000000000"),
        .trusted = true,
        .request_start = true,
        .start = INT64_MAX};
    static struct http_head head;
    (void)state;
    for (int n = 0; n < 60; n++) {
        char in[4096] = "GET http://b?q HTTP/1.1\r\nHost:a\r\nTE:trailers\r\n"
                        "Content-Length:1\r\nExpect:\r\nExpect:100-continue\r\n";
        size_t len = strlen(in);
        for (int i = 0; i < n; i++)
            len += (size_t)snprintf(in + len, sizeof in - len, "X-Forwarded-For:1\r\n");
        len += (size_t)snprintf(in + len, sizeof in - len, "\r\n");
        struct http_parser p = {0};
        struct http_problem problem;
        assert_int_equal(http_parse_request(&p, in, len, &feed_limits, SPAN(""), &head, &problem),
                         HTTP_PARSE_DONE);
        size_t bound = http_rewrite_request_bound(&head, &how);
        char *out = malloc(bound);
        assert_non_null(out);
        assert_true(http_rewrite_request(&head, &how, out) <= bound);
        free(out);
    }
}

/* Each line becomes one byte longer. */
static void the_bound_holds_for_as_many_lines_as_a_head_may_have(void **state)
{
    const struct http_request_rewrite how = {.client_address = SPAN("192.0.2.1"),
                                             .request_id_name = SPAN("X-Request-Id"),
                                             .request_id = SPAN("0"),
                                             .request_start = true,
                                             .start = INT64_MAX};
    const struct http_limits limits = {.max_head = 8192, .max_fields = HTTP_FIELDS_MAX};
    static struct http_head head;
    char in[8192] = "OPTIONS * HTTP/1.1\r\nHost:a\r\nTE:trailers\r\n";
    size_t len = strlen(in);
    struct http_parser p = {0};
    struct http_problem problem;
    (void)state;
    for (int n = 2; n < HTTP_FIELDS_MAX; n++)
        len += (size_t)snprintf(in + len, sizeof in - len, "Max-Forwards:1\r\n");
    len += (size_t)snprintf(in + len, sizeof in - len, "\r\n");
    assert_int_equal(http_parse_request(&p, in, len, &limits, SPAN(""), &head, &problem),
                     HTTP_PARSE_DONE);
    size_t bound = http_rewrite_request_bound(&head, &how);
    char *out = malloc(bound + HTTP_FIELDS_MAX);
    assert_non_null(out);
    assert_true(http_rewrite_request(&head, &how, out) <= bound);
    free(out);
}

/* weir's parser accepts the forwarded head, and reads it the same way. */
static void what_goes_out_reads_as_what_came_in(void **state)
{
    static const char in[] = "POST http://b/x HTTP/1.1\r\nHost: a\r\nContent-Length:\t007\r\n"
                             "Connection: A, TE\r\nA: 1\r\nTE: trailers\r\nB: 2\r\n\r\n";
    const struct http_request_rewrite how = {.client_address = SPAN("192.0.2.1")};
    static struct http_head first, second;
    struct http_parser p = {0};
    struct http_problem problem;
    char out[1024];
    (void)state;
    assert_int_equal(
        http_parse_request(&p, in, sizeof in - 1, &feed_limits, SPAN(""), &first, &problem),
        HTTP_PARSE_DONE);
    size_t len = http_rewrite_request(&first, &how, out);
    assert_int_equal(http_parse_request(&p, out, len, &feed_limits, SPAN(""), &second, &problem),
                     HTTP_PARSE_DONE);
    assert_int_equal(second.whole.len, len);
    assert_int_equal(second.content_length, 7);
    assert_true(span_equal(first.host, second.host));
    assert_true(span_equal(first.path, second.path));
    assert_true(second.te_trailers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_to_end_fields_keep_bytes_order_and_case),
        cmocka_unit_test(unknown_methods_and_odd_targets_go_on_as_they_came),
        cmocka_unit_test(hop_by_hop_fields_stay_here),
        cmocka_unit_test(what_connection_names_stays_here),
        cmocka_unit_test(connection_takes_no_field_that_routes_frames_or_authenticates),
        cmocka_unit_test(connection_takes_nothing_that_an_app_believes),
        cmocka_unit_test(names_that_cgi_reads_as_others_stay_here),
        cmocka_unit_test(names_with_an_underscore_stay_here_unless_told_otherwise),
        cmocka_unit_test(te_trailers_goes_on_with_its_connection_option),
        cmocka_unit_test(an_upgrade_is_not_passed_on_unasked),
        cmocka_unit_test(only_what_may_be_tunnelled_is_offered),
        cmocka_unit_test(offers_need_no_more_room_than_the_head),
        cmocka_unit_test(an_offered_upgrade_goes_on_with_its_connection_option),
        cmocka_unit_test(an_expectation_that_was_answered_does_not_go_on),
        cmocka_unit_test(an_expectation_goes_on_as_the_one_usual_line),
        cmocka_unit_test(an_empty_expectation_does_not_go_on),
        cmocka_unit_test(a_switch_is_sound_when_it_was_offered),
        cmocka_unit_test(a_response_may_offer_upgrades),
        cmocka_unit_test(framing_fields_are_spelt_the_usual_way),
        cmocka_unit_test(an_absolute_target_replaces_host),
        cmocka_unit_test(http_1_0_without_host_gets_one),
        cmocka_unit_test(http_1_0_expectations_are_ignored),
        cmocka_unit_test(append_adds_what_is_missing),
        cmocka_unit_test(append_believes_the_trusted_and_adds_their_address),
        cmocka_unit_test(the_forwarding_set_is_kept_or_dropped_as_one),
        cmocka_unit_test(nothing_is_added_that_contradicts_a_trusted_front),
        cmocka_unit_test(without_an_address_x_forwarded_for_is_left_as_it_is),
        cmocka_unit_test(append_believes_nobody_else),
        cmocka_unit_test(replace_believes_nobody),
        cmocka_unit_test(off_neither_takes_nor_adds),
        cmocka_unit_test(via_is_appended_as_a_line_of_its_own),
        cmocka_unit_test(a_request_id_is_added_or_replaced_or_kept),
        cmocka_unit_test(request_start_is_added_unless_there),
        cmocka_unit_test(max_forwards_counts_down_for_trace_and_options),
        cmocka_unit_test(responses_lose_their_hop_by_hop_fields),
        cmocka_unit_test(responses_keep_status_and_reason_and_say_1_1),
        cmocka_unit_test(a_length_that_must_not_be_there_goes),
        cmocka_unit_test(the_clients_connection_is_told),
        cmocka_unit_test(what_goes_on_decoded_says_so),
        cmocka_unit_test(what_goes_on_in_chunks_says_so_and_promises_no_trailers),
        cmocka_unit_test(only_weir_says_weir_reason),
        cmocka_unit_test(responses_are_framed_the_usual_way_too),
        cmocka_unit_test(the_request_id_is_echoed_unless_the_app_sent_one),
        cmocka_unit_test(a_load_report_is_added_unless_the_app_sent_one),
        cmocka_unit_test(a_final_response_without_date_gets_one),
        cmocka_unit_test(without_an_id_or_its_name_nothing_is_echoed),
        cmocka_unit_test(fields_of_an_earlier_message_are_not_looked_at),
        cmocka_unit_test(a_sound_request_id_is_short_and_visible),
        cmocka_unit_test(the_bound_holds_when_all_is_added),
        cmocka_unit_test(the_bound_holds_for_as_many_lines_as_a_head_may_have),
        cmocka_unit_test(what_goes_out_reads_as_what_came_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
