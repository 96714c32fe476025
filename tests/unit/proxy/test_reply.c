/* Local replies: each is one complete, valid message that states the reason, in either form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "proxy/http/body.h"
#include "proxy/http/parse.h"
#include "proxy/reply.h"

/* Each kind, in the order of the enum. */
static const struct kind {
    unsigned status;
    const char *reason;
} kinds[] = {
    {400, "bad_request"},     {408, "head_timeout"},    {408, "body_timeout"},
    {413, "body_too_large"},  {200, "max_forwards"},    {503, "queue_full"},
    {503, "bytes"},           {503, "queue_timeout"},   {503, "evicted"},
    {503, "deadline"},        {503, "not_ready"},       {503, "draining"},
    {503, "upgrades"},        {502, "connect_failed"},  {504, "connect_timeout"},
    {502, "upstream_closed"}, {502, "upstream_broken"}, {504, "first_byte_timeout"},
    {504, "send_timeout"},
};

static char out[REPLY_MAX + 1];
static struct http_head head;
static struct span content;

/* Writes the reply, and reads it as a client would. */
static void write_and_read(const struct reply *r)
{
    const struct http_limits limits = {.max_head = REPLY_MAX, .max_fields = 32};
    struct http_parser parser = {0};
    struct http_problem problem;

    memset(out, '#', sizeof(out));
    size_t n = reply_write(r, out);
    assert_true(n > 0 && n <= REPLY_MAX);
    assert_int_equal(http_parse_response(&parser, out, n, &limits, &head, &problem),
                     HTTP_PARSE_DONE);
    content = (struct span){out + head.whole.len, n - head.whole.len};
}

/* The value of a field that occurs once; empty: it is absent. */
static struct span field(const char *name)
{
    struct span found = {NULL, 0};

    for (unsigned i = 0; i < head.n_fields; i++) {
        if (!span_equal_nocase(head.fields[i].name, span_of(name)))
            continue;
        assert_null(found.at);
        found = head.fields[i].value;
    }
    return found;
}

static void field_is(const char *name, const char *value)
{
    struct span got = field(name);
    assert_int_equal(got.len, strlen(value));
    assert_memory_equal(got.at, value, got.len);
}

static struct reply reply_of(size_t kind)
{
    return (struct reply){.kind = (enum reply_kind)kind,
                          .date = SPAN("Tue, 14 Nov 2023 22:13:20 GMT")};
}

static void each_kind_has_its_status_and_its_one_word(void **state)
{
    (void)state;
    assert_int_equal(sizeof(kinds) / sizeof(kinds[0]), REPLY_KINDS);
    for (size_t i = 0; i < REPLY_KINDS; i++) {
        struct reply r = reply_of(i);
        write_and_read(&r);
        assert_int_equal(head.status, kinds[i].status);
        assert_int_equal(reply_status(&r), kinds[i].status);
        field_is("Weir-Reason", kinds[i].reason);
        field_is("Cache-Control", "no-store");
        field_is("Date", "Tue, 14 Nov 2023 22:13:20 GMT");
        field_is("Content-Type", "text/plain; charset=utf-8");
    }
}

static void the_length_is_that_of_the_body_in_either_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4 * REPLY_KINDS; i++) {
        struct reply r = reply_of(i / 4);
        r.json = i & 1;
        r.detail = i & 2 ? "a sentence more" : NULL;
        write_and_read(&r);
        assert_true(head.has_content_length);
        assert_int_equal(head.content_length, content.len);
        assert_true(content.len > 0);
        assert_int_equal(content.at[content.len - 1], '\n');
    }
}

/* The kinds from QUEUE_FULL to UPGRADES_FULL have a Retry-After, a counter and a log line. */
static void a_kind_that_refuses_for_load_or_state_says_how_it_counts(void **state)
{
    (void)state;
    for (int i = 0; i < REPLY_KINDS; i++) {
        const struct reply_refusal *r = reply_refusal((enum reply_kind)i);
        assert_int_equal(r != NULL, kinds[i].status == 503);
        if (r == NULL)
            continue;
        assert_true(r->reason < STATS_REASONS);
        assert_true(strlen(r->log) > 0);
        assert_int_equal(r->overload, i != REPLY_NOT_READY && i != REPLY_DRAINING);
    }
}

static void text_is_a_sentence_and_the_detail(void **state)
{
    struct reply r = reply_of(REPLY_BAD_REQUEST);

    (void)state;
    write_and_read(&r);
    assert_true(span_equal(content, SPAN("The request was refused.\n")));
    r.detail = "bare LF in the head";
    write_and_read(&r);
    assert_true(span_equal(content, SPAN("The request was refused: bare LF in the head.\n")));
}

static void json_says_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < REPLY_KINDS; i++) {
        struct reply r = reply_of(i);
        r.json = true;
        r.detail = i % 2 ? "a detail" : NULL;
        write_and_read(&r);
        field_is("Content-Type", "application/json");
        json_t *all = json_loadb(content.at, content.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(all);
        assert_int_equal(json_integer_value(json_object_get(all, "status")), kinds[i].status);
        assert_string_equal(json_string_value(json_object_get(all, "reason")), kinds[i].reason);
        const char *message = json_string_value(json_object_get(all, "message"));
        assert_int_equal(strstr(message, ": a detail.") != NULL, i % 2);
        json_decref(all);
    }
}

static void head_gets_the_length_that_get_would_get_and_no_body(void **state)
{
    (void)state;
    for (size_t i = 0; i < REPLY_KINDS; i++) {
        struct reply r = reply_of(i);
        write_and_read(&r);
        uint64_t length = head.content_length;
        r.head_only = true;
        write_and_read(&r);
        assert_int_equal(content.len, 0);
        assert_int_equal(head.content_length, length);
    }
}

static void another_status_may_be_asked_for_and_has_its_own_words(void **state)
{
    static const struct {
        unsigned status;
        const char *words;
    } cases[] = {
        {200, "OK"},
        {405, "Method Not Allowed"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {505, "HTTP Version Not Supported"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reply r = reply_of(REPLY_QUEUE_FULL);
        r.status = cases[i].status;
        write_and_read(&r);
        assert_int_equal(head.status, cases[i].status);
        assert_true(span_equal(head.reason, span_of(cases[i].words)));
        assert_int_equal(field("Allow").len > 0, cases[i].status == 405);
    }
}

static void a_field_is_there_only_where_it_says_something(void **state)
{
    struct reply r = reply_of(REPLY_QUEUE_FULL);

    (void)state;
    write_and_read(&r);
    assert_null(field("Retry-After").at);
    assert_null(field("Connection").at);
    assert_null(field("X-Request-Id").at);
    r.retry_after = 30;
    r.close = true;
    r.request_id_name = SPAN("X-Request-Id");
    r.request_id = SPAN("abc");
    write_and_read(&r);
    field_is("Retry-After", "30");
    field_is("Connection", "close");
    field_is("X-Request-Id", "abc");
    r.close = false;
    r.keep_alive = true;
    r.request_id = (struct span){NULL, 0};
    write_and_read(&r);
    field_is("Connection", "keep-alive");
    assert_null(field("X-Request-Id").at);
}

/* A detail of 256 bytes is longer than any real one; configured names have at most 63 bytes, ids
 * 128. */
static void the_longest_response_is_whole(void **state)
{
    static char detail[257], id[129], name[64];

    (void)state;
    memset(detail, 'd', sizeof(detail) - 1);
    memset(id, 'i', sizeof(id) - 1);
    memset(name, 'n', sizeof(name) - 1);
    for (size_t i = 0; i < 2 * REPLY_KINDS; i++) {
        struct reply r = reply_of(i / 2);
        r.json = i % 2;
        r.status = 405;
        r.detail = detail;
        r.retry_after = UINT32_MAX;
        r.close = true;
        r.request_id_name = span_of(name);
        r.request_id = span_of(id);
        write_and_read(&r);
        assert_int_equal(head.content_length, content.len);
        field_is(name, id);
        assert_non_null(memmem(content.at, content.len, detail, sizeof(detail) - 1));
        assert_int_equal(out[REPLY_MAX], '#');
    }
}

static void json_is_for_who_names_it_and_no_text(void **state)
{
    static const struct {
        const char *fields;
        bool json;
    } cases[] = {
        {"", false},
        {"Accept: */*\r\n", false},
        {"Accept: application/json\r\n", true},
        {"Accept: Application/JSON;q=0.5\r\n", true},
        {"Accept: application/problem+json\r\n", true},
        {"Accept: text/html, application/json\r\n", false},
        {"Accept: application/json\r\nAccept: Text/plain\r\n", false},
        {"Accept: image/png\r\nAccept: application/json\r\n", true},
        {"X-Accept: application/json\r\n", false},
        {"Accept: application/jso\r\n", false},
    };
    const struct http_limits limits = {.max_head = 1000, .max_fields = 16};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_parser parser = {0};
        struct http_problem problem;
        char text[256];
        int n =
            snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].fields);
        assert_int_equal(
            http_parse_request(&parser, text, (size_t)n, &limits, SPAN(""), &head, &problem),
            HTTP_PARSE_DONE);
        assert_int_equal(reply_wants_json(&head), cases[i].json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_status_and_its_one_word),
        cmocka_unit_test(the_length_is_that_of_the_body_in_either_form),
        cmocka_unit_test(a_kind_that_refuses_for_load_or_state_says_how_it_counts),
        cmocka_unit_test(text_is_a_sentence_and_the_detail),
        cmocka_unit_test(json_says_the_same),
        cmocka_unit_test(head_gets_the_length_that_get_would_get_and_no_body),
        cmocka_unit_test(another_status_may_be_asked_for_and_has_its_own_words),
        cmocka_unit_test(a_field_is_there_only_where_it_says_something),
        cmocka_unit_test(the_longest_response_is_whole),
        cmocka_unit_test(json_is_for_who_names_it_and_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
