/*
 * Where bodies end. Every row is taken whole, byte by byte and split at every place, with and
 * without the content; all outcomes must be the same.
 */
#include "proxy/http/body.h"
#include "tests/unit/http/feed.h"

#define CONTENT_MAX 65536

/* The outcome of reading a body. */
struct taken {
    enum http_body_status status;
    size_t used;
    size_t content_len;
    const char *reason;
    char content[CONTENT_MAX];
};

static void keep(struct taken *t, struct span data)
{
    assert_true(t->content_len + data.len <= CONTENT_MAX);
    if (data.len > 0)
        memcpy(t->content + t->content_len, data.at, data.len);
    t->content_len += data.len;
}

/* Takes one piece of input, in a block of exactly its size; with content, in as many calls as
 * needed. */
static void take_piece(struct http_body *body, const char *bytes, size_t len, bool content,
                       struct taken *t)
{
    char *block = malloc(len > 0 ? len : 1);
    assert_non_null(block);
    memcpy(block, bytes, len);
    size_t at = 0;
    do {
        struct http_problem problem = {0, ""};
        struct span data;
        size_t used;
        t->status =
            http_body_take(body, block + at, len - at, &used, content ? &data : NULL, &problem);
        assert_true(used <= len - at);
        assert_int_equal(t->status == HTTP_BODY_BAD, problem.status == 400);
        at += used;
        t->reason = problem.reason;
        if (content)
            keep(t, data);
        assert_int_equal(t->status == HTTP_BODY_DONE, http_body_complete(body));
        if (t->status == HTTP_BODY_MORE && !content)
            assert_int_equal(at, len);
    } while (t->status == HTTP_BODY_MORE && at < len);
    t->used += at;
    free(block);
}

static struct http_body body_of(enum http_framing framing, uint64_t length)
{
    static struct http_head head;
    struct http_body body;
    memset(&body, 0x5a, sizeof body);
    head.status = 200;
    head.chunked = framing == HTTP_BODY_CHUNKED;
    head.has_content_length = framing == HTTP_BODY_LENGTH;
    head.content_length = length;
    http_body_of_response(&body, &head, framing == HTTP_BODY_NONE ? HTTP_HEAD : HTTP_GET);
    assert_int_equal(body.framing, framing);
    return body;
}

/* Takes a first piece of `first` bytes, then pieces of `step` bytes. */
static void take_all(struct http_body body, const char *bytes, size_t len, size_t first,
                     size_t step, bool content, struct taken *t)
{
    t->used = t->content_len = 0;
    t->status = HTTP_BODY_MORE;
    size_t piece = first;
    for (size_t at = 0; at <= len && t->status == HTTP_BODY_MORE; piece = step) {
        size_t n = piece < len - at ? piece : len - at;
        take_piece(&body, bytes + at, n, content, t);
        at += n;
        if (at == len)
            break;
    }
}

static void check_same(const char *bytes, const struct taken *a, const struct taken *b)
{
    if (a->status != b->status || a->used != b->used || strcmp(a->reason, b->reason) != 0)
        fail_msg("%s\nwhole %d, %zu taken %s; cut %d, %zu taken %s", bytes, (int)a->status, a->used,
                 a->reason, (int)b->status, b->used, b->reason);
}

static void check_cut(struct http_body body, const char *bytes, size_t len, size_t first,
                      size_t step, const struct taken *whole)
{
    static struct taken bare, content;
    take_all(body, bytes, len, first, step, false, &bare);
    take_all(body, bytes, len, first, step, true, &content);
    check_same(bytes, whole, &bare);
    check_same(bytes, whole, &content);
    assert_int_equal(content.content_len, whole->content_len);
    assert_memory_equal(content.content, whole->content, whole->content_len);
}

static void take_every_way(struct http_body body, const char *bytes, size_t len,
                           struct taken *whole)
{
    take_all(body, bytes, len, len, len, true, whole);
    check_cut(body, bytes, len, 1, 1, whole);
    for (size_t first = 0; first <= len; first++)
        check_cut(body, bytes, len, first, len, whole);
}

/* ---- which framing ---- */

static void a_request_without_length_has_no_body(void **state)
{
    static struct http_head head;
    struct http_body body;
    (void)state;
    http_body_of_request(&body, &head, true);
    assert_int_equal(body.framing, HTTP_BODY_NONE);
    assert_true(http_body_complete(&body));
}

static void a_request_is_framed_by_its_head(void **state)
{
    static struct http_head head;
    struct http_body body;
    (void)state;
    head.has_content_length = true;
    head.content_length = 7;
    http_body_of_request(&body, &head, true);
    assert_int_equal(body.framing, HTTP_BODY_LENGTH);
    assert_int_equal(body.left, 7);
    assert_false(http_body_complete(&body));
    head.content_length = 0;
    http_body_of_request(&body, &head, true);
    assert_true(http_body_complete(&body));
    head = (struct http_head){.chunked = true};
    http_body_of_request(&body, &head, true);
    assert_int_equal(body.framing, HTTP_BODY_CHUNKED);
    assert_false(http_body_complete(&body));
}

static enum http_framing framing_of(unsigned status, enum http_method asked, bool chunked,
                                    bool length)
{
    static struct http_head head;
    struct http_body body;
    head.status = status;
    head.chunked = chunked;
    head.has_content_length = length;
    head.content_length = 5;
    http_body_of_response(&body, &head, asked);
    return body.framing;
}

static void responses_are_framed_in_the_order_of_rfc9112_6_3(void **state)
{
    (void)state;
    assert_int_equal(framing_of(200, HTTP_HEAD, true, false), HTTP_BODY_NONE);
    assert_int_equal(framing_of(200, HTTP_HEAD, false, true), HTTP_BODY_NONE);
    assert_int_equal(framing_of(100, HTTP_GET, false, true), HTTP_BODY_NONE);
    assert_int_equal(framing_of(103, HTTP_GET, false, false), HTTP_BODY_NONE);
    assert_int_equal(framing_of(204, HTTP_GET, false, true), HTTP_BODY_NONE);
    assert_int_equal(framing_of(304, HTTP_GET, true, false), HTTP_BODY_NONE);
    assert_int_equal(framing_of(200, HTTP_GET, true, false), HTTP_BODY_CHUNKED);
    assert_int_equal(framing_of(200, HTTP_GET, false, true), HTTP_BODY_LENGTH);
    assert_int_equal(framing_of(205, HTTP_GET, false, true), HTTP_BODY_LENGTH);
    assert_int_equal(framing_of(200, HTTP_GET, false, false), HTTP_BODY_UNTIL_CLOSE);
    assert_int_equal(framing_of(500, HTTP_POST, false, false), HTTP_BODY_UNTIL_CLOSE);
}

/* ---- length, none, until close ---- */

static void a_length_takes_just_its_bytes(void **state)
{
    static struct taken t;
    (void)state;
    take_every_way(body_of(HTTP_BODY_LENGTH, 5), "helloGET /", 10, &t);
    assert_int_equal(t.status, HTTP_BODY_DONE);
    assert_int_equal(t.used, 5);
    assert_memory_equal(t.content, "hello", 5);
    take_every_way(body_of(HTTP_BODY_LENGTH, 11), "helloGET /", 10, &t);
    assert_int_equal(t.status, HTTP_BODY_MORE);
    assert_int_equal(t.used, 10);
}

static void a_length_of_zero_and_no_body_take_nothing(void **state)
{
    static struct taken t;
    (void)state;
    take_every_way(body_of(HTTP_BODY_LENGTH, 0), "GET", 3, &t);
    assert_int_equal(t.status, HTTP_BODY_DONE);
    assert_int_equal(t.used, 0);
    take_every_way(body_of(HTTP_BODY_NONE, 0), "GET", 3, &t);
    assert_int_equal(t.status, HTTP_BODY_DONE);
    assert_int_equal(t.used, 0);
}

static void until_close_takes_all_and_wants_more(void **state)
{
    static struct taken t;
    (void)state;
    take_every_way(body_of(HTTP_BODY_UNTIL_CLOSE, 0), "0\r\n\r\nGET", 8, &t);
    assert_int_equal(t.status, HTTP_BODY_MORE);
    assert_int_equal(t.used, 8);
    assert_memory_equal(t.content, "0\r\n\r\nGET", 8);
}

/* ---- chunks ---- */

struct row {
    const char *why;
    const char *bytes;
    size_t len;
    enum http_body_status status;
    size_t used; /* for BAD: the valid bytes before the error */
    const char *content;
};

#define DONE(why, bytes, content)                                                                  \
    {                                                                                              \
        why, bytes "GET /", sizeof(bytes) - 1 + 5, HTTP_BODY_DONE, sizeof(bytes) - 1, content      \
    }
#define MORE(why, bytes, content)                                                                  \
    {                                                                                              \
        why, bytes, sizeof(bytes) - 1, HTTP_BODY_MORE, sizeof(bytes) - 1, content                  \
    }
/* The valid bytes, then the rest, whose first byte is invalid. */
#define BAD(why, sound, rest)                                                                      \
    {                                                                                              \
        why, sound rest, sizeof(sound rest) - 1, HTTP_BODY_BAD, sizeof(sound) - 1, NULL            \
    }
#define LAST "0\r\n\r\n"

/* clang-format off */
static const struct row rows[] = {
    DONE("9112 7.1", LAST, ""),
    DONE("9112 7.1", "5\r\nhello\r\n" LAST, "hello"),
    DONE("9112 7.1", "5\r\nhello\r\n1\r\n!\r\n" LAST, "hello!"),
    DONE("9112 7.1", "a\r\n0123456789\r\n" LAST, "0123456789"),
    DONE("9112 7.1", "A\r\n0123456789\r\n" LAST, "0123456789"),
    DONE("9112 7.1", "1F\r\n0123456789012345678901234567890\r\n" LAST,
         "0123456789012345678901234567890"),
    DONE("9112 7.1", "000000000000005\r\nhello\r\n" LAST, "hello"),
    DONE("9112 7.1", "000\r\n\r\n", ""),
    DONE("9112 7.1: content is not looked at", "7\r\n\r\n0\r\n\r\n\r\n" LAST, "\r\n0\r\n\r\n"),
    MORE("9112 7.1", "", ""),
    MORE("9112 7.1", "5", ""),
    MORE("9112 7.1", "5\r", ""),
    MORE("9112 7.1", "5\r\nhel", "hel"),
    MORE("9112 7.1", "5\r\nhello", "hello"),
    MORE("9112 7.1", "5\r\nhello\r", "hello"),
    MORE("9112 7.1", "0\r\n", ""),
    MORE("9112 7.1", "0\r\n\r", ""),
    MORE("9112 7.1: the largest size", "fffffffffffffff\r\nx", "x"),
    /* sizes */
    BAD("9112 7.1.2: 16 digits", "000000000000000", "5\r\nhello\r\n" LAST),
    BAD("CVE-2013-2028: overflow", "fffffffffffffff", "f\r\nx"),
    BAD("9112 7.1", "", "\r\nhello\r\n" LAST),
    BAD("9112 7.1", "", ";a\r\n"),
    BAD("9112 7.1", "", "-5\r\nhello\r\n"),
    BAD("9112 7.1", "", "+5\r\nhello\r\n"),
    BAD("9112 7.1", "", " 5\r\nhello\r\n"),
    BAD("9112 7.1", "0", "x5\r\nhello\r\n"),
    BAD("9112 7.1", "5", "_0\r\n"),
    BAD("9112 7.1", "5", "g\r\nhello\r\n"),
    BAD("CVE-2022-24801", "5", " \r\nhello\r\n"),
    BAD("CVE-2022-24801", "5", "\t\r\nhello\r\n"),
    BAD("9112 7.1", "5", "\nhello\r\n"),
    BAD("9112 7.1", "5\r", "hello\r\n"),
    BAD("9112 7.1", "5\r", "\r\nhello\r\n"),
    BAD("9112 7.1", "5", "\0\r\nhello\r\n"),
    BAD("9112 7.1", "5", "\xff\r\n"),
    /* end of data */
    BAD("9112 7.1", "5\r\nhello", "5\r\nworld\r\n"),
    BAD("9112 7.1", "5\r\nhello", "\n" LAST),
    BAD("9112 7.1", "5\r\nhello", "XX" LAST),
    BAD("9112 7.1", "5\r\nhello\r", "X" LAST),
    BAD("9112 7.1", "5\r\nhello", "!\r\n" LAST),
    BAD("9112 7.1", "5\r\nhell\r", "\n" LAST),
    /* extensions */
    DONE("9112 7.1.1", "5;a=b\r\nhello\r\n" LAST, "hello"),
    DONE("9112 7.1.1", "5;a\r\nhello\r\n0;b;c=d\r\n\r\n", "hello"),
    DONE("9112 7.1.1", "5;a=\"b;\\\"\\\\ \t\xff\";c\r\nhello\r\n" LAST, "hello"),
    DONE("9112 7.1.1", "5;a=\"\"\r\nhello\r\n" LAST, "hello"),
    DONE("9112 7.1.1", "5;name=value;other\r\nhello\r\n" LAST, "hello"),
    BAD("9112 7.1.1", "5;", "\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;", "=b\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=", "\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=", ";b\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=b", "=c\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=b", "\"\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=\"b\"", "c\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=\"b", "\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=\"b", "\n\"\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=\"\\", "\r\n\"\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=\"", "\0\"\r\n"),
    BAD("9112 7.1.1: blanks are for the lenient", "5", " ;a\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;", " a\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a", " =b\r\nhello\r\n"),
    BAD("9112 7.1.1", "5;a=", " b\r\nhello\r\n"),
    BAD("CVE-2025-58056: a bare LF in an extension", "5;a", "\nhello\r\n"),
    BAD("9112 7.1.1", "5;a", "\x01\r\n"),
    BAD("9112 7.1.1", "5;a\r", "xhello\r\n"),
    BAD("9112 7.1.1", "5;a", "\xff\r\n"),
    /* trailers */
    DONE("9112 7.1.2", "0\r\nA: b\r\n\r\n", ""),
    DONE("9112 7.1.2", "0\r\nA: b\r\nC:d\r\nE:\r\n\r\n", ""),
    DONE("9112 7.1.2", "0\r\ngrpc-status: 0\r\nServer-Timing: x\r\nDigest: \xff\t\r\n\r\n", ""),
    DONE("9110 6.5.1: nothing is left of the name before", "0\r\nAb-c: d\r\nIf: e\r\n\r\n", ""),
    DONE("9112 7.1.2",
         "0\r\nA-name-that-is-longer-than-what-is-kept-of-it-and-still-a-name: x\r\n\r\n", ""),
    BAD("9112 7.1.2", "0\r\n", " A: b\r\n\r\n"),
    BAD("9112 7.1.2", "0\r\n", ": b\r\n\r\n"),
    BAD("9112 7.1.2", "0\r\n", "\n"),
    BAD("9112 7.1.2", "0\r\n\r", "\r\n"),
    BAD("9112 5.1", "0\r\nA", " : b\r\n\r\n"),
    BAD("9112 5.1", "0\r\nA", "\r\n\r\n"),
    BAD("9112 5.2", "0\r\nA: b\r\n", " c\r\n\r\n"),
    BAD("9110 5.5", "0\r\nA: b", "\0\r\n\r\n"),
    BAD("9112 2.2", "0\r\nA: b", "\nC: d\r\n\r\n"),
    BAD("9112 2.2", "0\r\nA: b\r", "C: d\r\n\r\n"),
    BAD("9112 7.1.2: a request as a trailer", "0\r\nGET", " /evil HTTP/1.1\r\n\r\n"),
    BAD("9110 6.5.1", "0\r\nA: b\r\nContent-Length", ": 5\r\n\r\n"),
};

/* The messages in which a field must not be a trailer (RFC 9110 section 6.5.1), and allowed
 * fields. */
enum { REFUSED_OF_BOTH, REFUSED_OF_REQUESTS, REFUSED_OF_RESPONSES, PASSED };
static const struct trailer {
    int fate;
    const char *name;
} trailers[] = {
    /* framing */
    {REFUSED_OF_BOTH, "Content-Length"}, {REFUSED_OF_BOTH, "CONTENT-LENGTH"},
    {REFUSED_OF_BOTH, "content_length"}, {REFUSED_OF_BOTH, "Transfer-Encoding"},
    {REFUSED_OF_BOTH, "Transfer_Encoding"},
    /* the connection */
    {REFUSED_OF_BOTH, "Connection"}, {REFUSED_OF_BOTH, "Close"}, {REFUSED_OF_BOTH, "Keep-Alive"},
    {REFUSED_OF_BOTH, "TE"}, {REFUSED_OF_BOTH, "Trailer"}, {REFUSED_OF_BOTH, "Upgrade"},
    {REFUSED_OF_BOTH, "Proxy"}, {REFUSED_OF_BOTH, "Proxy-Connection"},
    {REFUSED_OF_BOTH, "Proxy-Authorization"}, {REFUSED_OF_BOTH, "Proxy-Authenticate"},
    {REFUSED_OF_BOTH, "Proxy_Else"},
    /* routing */
    {REFUSED_OF_REQUESTS, "Host"}, {REFUSED_OF_REQUESTS, "Forwarded"},
    {REFUSED_OF_REQUESTS, "Max-Forwards"}, {REFUSED_OF_REQUESTS, "X-Forwarded-For"},
    {REFUSED_OF_REQUESTS, "X-Forwarded-Host"}, {REFUSED_OF_REQUESTS, "X-Forwarded-Proto"},
    {REFUSED_OF_REQUESTS, "X-Forwarded-Something"}, {REFUSED_OF_REQUESTS, "X_Forwarded_For"},
    {REFUSED_OF_REQUESTS, "X-Real-IP"}, {REFUSED_OF_REQUESTS, "Daphne-Root-Path"},
    /* authentication */
    {REFUSED_OF_REQUESTS, "Authorization"}, {REFUSED_OF_REQUESTS, "Cookie"},
    {REFUSED_OF_RESPONSES, "Set-Cookie"}, {REFUSED_OF_RESPONSES, "Set_Cookie"},
    {REFUSED_OF_RESPONSES, "WWW-Authenticate"},
    /* conditions */
    {REFUSED_OF_REQUESTS, "Expect"}, {REFUSED_OF_REQUESTS, "If-Match"},
    {REFUSED_OF_REQUESTS, "If-"}, {REFUSED_OF_REQUESTS, "Range"},
    /* how the content is read */
    {REFUSED_OF_REQUESTS, "Content-Type"}, {REFUSED_OF_REQUESTS, "Content-Encoding"},
    {REFUSED_OF_REQUESTS, "Content-Range"},
    /* metadata */
    {PASSED, "Age"}, {PASSED, "Cache-Control"}, {PASSED, "Date"}, {PASSED, "Expires"},
    {PASSED, "Location"}, {PASSED, "Pragma"}, {PASSED, "Retry-After"}, {PASSED, "Vary"},
    {PASSED, "Via"}, {PASSED, "Warning"}, {PASSED, "ETag"}, {PASSED, "Last-Modified"},
    {PASSED, "Content-MD5"}, {PASSED, "Content-Digest"}, {PASSED, "Repr-Digest"},
    {PASSED, "Content-Language"}, {PASSED, "Content-Location"}, {PASSED, "Content-Disposition"},
    {PASSED, "Server"}, {PASSED, "Server-Timing"}, {PASSED, "Authentication-Info"},
    {PASSED, "Grpc-Status"},
    /* names that only begin like one above, or are only a prefix of one */
    {PASSED, "Hostess"}, {PASSED, "T"}, {PASSED, "TEA"}, {PASSED, "Cookies"},
    {PASSED, "Contentment"}, {PASSED, "Content-"}, {PASSED, "Content-Lengths"}, {PASSED, "If"},
    {PASSED, "Ranges"}, {PASSED, "X-Forwarded"}, {PASSED, "Proxyless"},
};
/* clang-format on */

static void every_row_has_one_outcome_however_it_is_cut(void **state)
{
    static struct taken t;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        take_every_way(body_of(HTTP_BODY_CHUNKED, 0), row->bytes, row->len, &t);
        if (t.status != row->status || t.used != row->used)
            fail_msg("%s: %s\nwanted %d, %zu taken; got %d, %zu taken %s", row->why, row->bytes,
                     (int)row->status, row->used, (int)t.status, t.used, t.reason);
        if (row->content != NULL) {
            assert_int_equal(t.content_len, strlen(row->content));
            assert_memory_equal(t.content, row->content, t.content_len);
        }
    }
}

static void check_trailer(struct http_body body, const char *name, bool refused)
{
    static struct taken t;
    char bytes[128];
    int len = snprintf(bytes, sizeof bytes, "0\r\n%s: x\r\n\r\n", name);

    take_every_way(body, bytes, (size_t)len, &t);
    if ((t.status == HTTP_BODY_BAD) != refused)
        fail_msg("%s as a trailer of a %s: %s", name, body.response ? "response" : "request",
                 refused ? "accepted" : "refused");
    assert_int_equal(t.used, refused ? 3 + strlen(name) : (size_t)len);
}

static void only_trailers_that_belong_in_a_head_are_refused(void **state)
{
    static const struct http_head head = {.status = 200, .minor = 1, .chunked = true};
    struct http_body request, response;
    (void)state;

    http_body_of_request(&request, &head, true);
    http_body_of_response(&response, &head, HTTP_GET);
    for (size_t i = 0; i < sizeof trailers / sizeof *trailers; i++) {
        const struct trailer *t = &trailers[i];
        check_trailer(request, t->name,
                      t->fate == REFUSED_OF_BOTH || t->fate == REFUSED_OF_REQUESTS);
        check_trailer(response, t->name,
                      t->fate == REFUSED_OF_BOTH || t->fate == REFUSED_OF_RESPONSES);
    }
}

/* Uvicorn with httptools merges them into the headers. */
static void trailers_with_an_underscore_are_refused_like_fields(void **state)
{
    static const char *const names[] = {"REMOTE_USER", "Script_Name",
                                        "a-name-longer-than-is-kept-of-it_"};
    static const struct http_head head = {.status = 200, .minor = 1, .chunked = true};
    struct http_body drop, pass, response;
    (void)state;

    http_body_of_request(&drop, &head, false);
    http_body_of_request(&pass, &head, true);
    http_body_of_response(&response, &head, HTTP_GET);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        check_trailer(drop, names[i], true);
        check_trailer(pass, names[i], false);
        check_trailer(response, names[i], false);
    }
    check_trailer(drop, "X-Sum", false);
}

static void an_underscore_is_of_its_own_line_only(void **state)
{
    static const struct http_head head = {.status = 200, .minor = 1, .chunked = true};
    static struct taken t;
    const char *const bytes = "0\r\nA: b_c\r\nD: e\r\n\r\n";
    struct http_body body;
    (void)state;

    http_body_of_request(&body, &head, false);
    take_every_way(body, bytes, strlen(bytes), &t);
    assert_int_equal(t.status, HTTP_BODY_DONE);
}

/* Reads a chunked body after a head with these fields, with this trailer. */
static enum http_body_status trailer_under(const char *fields, const char *trailer)
{
    static struct http_head head;
    static struct taken t;
    struct http_parser p = {0};
    struct http_problem problem;
    struct http_body body;
    char text[1024];

    (void)snprintf(text, sizeof text,
                   "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n%s\r\n", fields);
    assert_int_equal(
        http_parse_request(&p, text, strlen(text), &feed_limits, SPAN(""), &head, &problem),
        HTTP_PARSE_DONE);
    http_body_of_request(&body, &head, true);
    int len = snprintf(text, sizeof text, "0\r\nX-Sum: 1\r\n%s: x\r\n\r\n", trailer);
    take_every_way(body, text, (size_t)len, &t);
    return t.status;
}

static void what_connection_names_may_not_be_a_trailer(void **state)
{
    const char *const longest = "a-name-that-is-longer-than-what-is-kept-of-a-trailer";
    char fields[256];

    (void)state;
    assert_int_equal(trailer_under("Connection: X-A\r\n", "X-A"), HTTP_BODY_BAD);
    assert_int_equal(trailer_under("Connection: X-A\r\n", "x-a"), HTTP_BODY_BAD);
    assert_int_equal(trailer_under("Connection: X-A\r\n", "X_A"), HTTP_BODY_BAD);
    assert_int_equal(trailer_under("Connection: b,, c\r\nA: b\r\nConnection: X-A, d\r\n", "X-A"),
                     HTTP_BODY_BAD);
    assert_int_equal(trailer_under("Connection: 1, 2, 3, 4, 5, X-A\r\n", "X-A"), HTTP_BODY_BAD);
    (void)snprintf(fields, sizeof fields, "Connection: %s\r\n", longest);
    assert_int_equal(trailer_under(fields, longest), HTTP_BODY_BAD);
}

static void other_trailers_may_stand_beside_what_connection_names(void **state)
{
    (void)state;
    assert_int_equal(trailer_under("A: b\r\n", "X-A"), HTTP_BODY_DONE);
    assert_int_equal(trailer_under("Connection: X-A\r\n", "X-AB"), HTTP_BODY_DONE);
    assert_int_equal(trailer_under("Connection: X-AB, X\r\n", "X-A"), HTTP_BODY_DONE);
    assert_int_equal(trailer_under("Connection: 1, 2, 3, 4, 5, 6\r\n", "X-A"), HTTP_BODY_DONE);
}

static void under_more_names_than_are_kept_no_trailer_may_stand(void **state)
{
    (void)state;
    assert_int_equal(trailer_under("Connection: 1, 2, 3, 4, 5, 6, 7\r\n", "X-A"), HTTP_BODY_BAD);
    assert_int_equal(trailer_under("Connection: 1, 2, 3, 4, 5, 6, 7, X-A\r\n", "X-A"),
                     HTTP_BODY_BAD);
}

/* ---- bounds ---- */

static void take_times(struct http_body *body, const char *bytes, size_t times, struct taken *t)
{
    t->status = HTTP_BODY_MORE;
    for (size_t i = 0; i < times && t->status == HTTP_BODY_MORE; i++)
        take_piece(body, bytes, strlen(bytes), false, t);
}

static void a_chunk_has_at_most_256_bytes_of_extensions(void **state)
{
    static struct taken t;
    struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
    (void)state;
    take_times(&body, "5", 1, &t);
    take_times(&body, ";ext=val", HTTP_CHUNK_EXT_MAX / 8, &t);
    take_times(&body, "\r\nhello\r\n", 1, &t);
    assert_int_equal(t.status, HTTP_BODY_MORE);
    take_times(&body, "5", 1, &t);
    take_times(&body, ";ext=val", HTTP_CHUNK_EXT_MAX / 8, &t);
    take_times(&body, "x", 1, &t);
    assert_int_equal(t.status, HTTP_BODY_BAD);
}

/* CVE-2023-39326: many chunks of one byte, each with a long extension. */
static void extensions_may_not_outweigh_the_content(void **state)
{
    static struct taken t;
    struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
    (void)state;
    take_times(&body, "1;abcdefg\r\nx\r\n", 2340, &t);
    assert_int_equal(t.status, HTTP_BODY_MORE);
    take_times(&body, "1;abc", 1, &t); /* 2340 * 8 + 4 is 16384 more than 2340 of data */
    assert_int_equal(t.status, HTTP_BODY_MORE);
    take_times(&body, "d", 1, &t);
    assert_int_equal(t.status, HTTP_BODY_BAD);
    body = body_of(HTTP_BODY_CHUNKED, 0);
    take_times(&body, "8;abcdefg\r\n12345678\r\n", 100000, &t);
    assert_int_equal(t.status, HTTP_BODY_MORE);
}

static void trailers_are_bounded_all_together(void **state)
{
    static struct taken t;
    struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
    (void)state;
    take_times(&body, "0\r\n", 1, &t);
    for (int i = 0; i < HTTP_TRAILERS_MAX / 8; i++)
        take_times(&body, "Ab: cd\r\n", 1, &t);
    assert_int_equal(t.status, HTTP_BODY_MORE);
    take_times(&body, "A", 1, &t);
    assert_int_equal(t.status, HTTP_BODY_BAD);
    body = body_of(HTTP_BODY_CHUNKED, 0);
    take_times(&body, "0\r\n", 1, &t);
    take_times(&body, "aaaaaaaa", HTTP_TRAILERS_MAX / 8 + 1, &t);
    assert_int_equal(t.status, HTTP_BODY_BAD);
}

static void a_finished_body_takes_nothing_more(void **state)
{
    static struct taken t;
    struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
    (void)state;
    t.used = 0;
    take_piece(&body, LAST, 5, false, &t);
    assert_int_equal(t.used, 5);
    take_piece(&body, LAST, 5, false, &t);
    assert_int_equal(t.status, HTTP_BODY_DONE);
    assert_int_equal(t.used, 5);
}

/* ---- random tests ---- */

static size_t mutate(const struct row *row, char *out)
{
    static const char likely[] = "\r\n\r\n0015afx;=\"\\: \t\0\x7f\xff";
    size_t len = row->len;
    memcpy(out, row->bytes, len);
    for (size_t i = feed_below(4); i > 0 && len > 0; i--) {
        size_t at = feed_below(len);
        if (feed_below(2) == 0) {
            out[at] = likely[feed_below(sizeof likely - 1)];
        } else {
            memmove(out + at, out + at + 1, --len - at);
        }
    }
    return len;
}

static void mutants_have_one_outcome_however_they_are_cut(void **state)
{
    static struct taken whole;
    char bytes[512];
    (void)state;
    feed_seed();
    for (int round = 0; round < 20000; round++) {
        size_t len = mutate(&rows[feed_below(sizeof rows / sizeof *rows)], bytes);
        struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
        bytes[len] = '\0';
        take_all(body, bytes, len, len, len, true, &whole);
        check_cut(body, bytes, len, 1, 1, &whole);
        check_cut(body, bytes, len, feed_below(len + 1), 1 + feed_below(9), &whole);
    }
}

/* ---- one chunk at a time ---- */

static void a_chunk_is_taken_to_its_end_and_no_further(void **state)
{
    static const char bytes[] = "3;x\r\nabc\r\n1\r\nz\r\n0\r\nT: v\r\n\r\nnext";
    static const size_t ends[] = {10, 16};
    struct http_problem problem;
    size_t len = sizeof(bytes) - 1;

    (void)state;
    for (size_t first = 1; first < len; first++) {
        struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
        size_t used, at = 0;
        assert_true(http_body_between_chunks(&body));
        enum http_body_status st = http_body_take(&body, bytes, first, &used, NULL, &problem);
        at = used;
        size_t want = at <= ends[0] ? ends[0] : at <= ends[1] ? ends[1] : len - 4;
        if (st == HTTP_BODY_MORE)
            st = http_body_take_chunk(&body, bytes + at, len - at, &used, &problem);
        else
            used = 0;
        assert_int_equal(at + used, want);
        assert_int_equal(http_body_between_chunks(&body), want != len - 4);
        assert_int_equal(st, want == len - 4 ? HTTP_BODY_DONE : HTTP_BODY_MORE);
    }
}

static void a_chunk_that_is_malformed_is_told_at_the_same_byte(void **state)
{
    static const char bytes[] = "3\r\nabcX";
    struct http_body body = body_of(HTTP_BODY_CHUNKED, 0);
    struct http_problem problem;
    size_t used;

    (void)state;
    assert_int_equal(http_body_take(&body, bytes, 1, &used, NULL, &problem), HTTP_BODY_MORE);
    assert_int_equal(http_body_take_chunk(&body, bytes + 1, 6, &used, &problem), HTTP_BODY_BAD);
    assert_int_equal(used, 5);
    assert_string_equal(problem.reason, "no CRLF after chunk data");
}

static void only_chunked_bodies_have_chunks(void **state)
{
    struct http_body body = body_of(HTTP_BODY_UNTIL_CLOSE, 0);

    (void)state;
    assert_false(http_body_between_chunks(&body));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_without_length_has_no_body),
        cmocka_unit_test(a_request_is_framed_by_its_head),
        cmocka_unit_test(responses_are_framed_in_the_order_of_rfc9112_6_3),
        cmocka_unit_test(a_length_takes_just_its_bytes),
        cmocka_unit_test(a_length_of_zero_and_no_body_take_nothing),
        cmocka_unit_test(until_close_takes_all_and_wants_more),
        cmocka_unit_test(every_row_has_one_outcome_however_it_is_cut),
        cmocka_unit_test(only_trailers_that_belong_in_a_head_are_refused),
        cmocka_unit_test(trailers_with_an_underscore_are_refused_like_fields),
        cmocka_unit_test(an_underscore_is_of_its_own_line_only),
        cmocka_unit_test(what_connection_names_may_not_be_a_trailer),
        cmocka_unit_test(other_trailers_may_stand_beside_what_connection_names),
        cmocka_unit_test(under_more_names_than_are_kept_no_trailer_may_stand),
        cmocka_unit_test(a_chunk_has_at_most_256_bytes_of_extensions),
        cmocka_unit_test(extensions_may_not_outweigh_the_content),
        cmocka_unit_test(trailers_are_bounded_all_together),
        cmocka_unit_test(a_finished_body_takes_nothing_more),
        cmocka_unit_test(a_chunk_is_taken_to_its_end_and_no_further),
        cmocka_unit_test(a_chunk_that_is_malformed_is_told_at_the_same_byte),
        cmocka_unit_test(only_chunked_bodies_have_chunks),
        cmocka_unit_test(mutants_have_one_outcome_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
