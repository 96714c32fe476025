/*
 * Request heads: the same result however they are split; the rewritten head is accepted, with the
 * same method, length, host and deadline; the strict reader reads accepted heads the same way; and
 * any value is safe to read as a start or as a trace.
 */
#include "proxy/deadline.h"
#include "proxy/http/rewrite.h"
#include "proxy/request_start.h"
#include "proxy/trace.h"
#include "tests/fuzz/fuzz_head.h"
#include "tests/fuzz/strict_reader.h"

static enum http_parse_status parse(struct http_parser *p, const char *at, size_t len,
                                    struct http_head *head, struct http_problem *problem)
{
    return http_parse_request(p, at, len, &fuzz_limits, SPAN("X-Request-Id"), head, problem);
}

static void check_second_reader(const struct http_head *head, const char *at, size_t len)
{
    struct strict_message m;

    strict_begin(&m);
    CHECK(strict_read_request((struct span){at, len}, &m) != STRICT_BAD || m.head_whole);
    CHECK(m.head_whole && m.n_fields == head->n_fields && m.minor == head->minor);
    CHECK(span_equal(m.method, head->method_text) && span_equal(m.target, head->target));
    CHECK(m.chunked == head->chunked && m.has_length == head->has_content_length);
    CHECK(m.length == head->content_length && strict_persists(&m) == http_head_persistent(head));
    strict_fini(&m);
}

/* Whatever the digits and the clock are, a deadline is within its bounds. */
static mono_us deadline_of(const struct http_head *head, wall_us wall)
{
    mono_us left = deadline_left(head, DEADLINE_BIT(DEADLINE_HEADERS) - 1, wall);

    CHECK(left == MONO_NEVER || (left >= 0 && left <= DEADLINE_MAX_US));
    CHECK(left == MONO_NEVER || head->present & HTTP_FIELD_BIT(HTTP_FIELD_DEADLINE));
    return left;
}

static void check_front(const struct http_head *head)
{
    for (unsigned i = 0; i < head->n_fields; i++) {
        unsigned char id[RECORD_TRACE];
        struct span value = head->fields[i].value;
        mono_us before = -1;
        CHECK(!trace_read(value, id) || value.len >= 55);
        if (request_start_read(value, INT64_C(1764390000000000), &before))
            CHECK(before >= 0 && before <= REQUEST_START_AGE);
        else
            CHECK(before == -1);
    }
}

static void check_rewritten(const struct http_head *head, uint8_t choice)
{
    static struct http_head again;
    char *offers = malloc(head->whole.len);
    CHECK(offers != NULL);
    const struct http_request_rewrite how = {
        .forwarded = (enum http_forwarded)(choice % 3),
        .trusted = choice & 4,
        .underscores = choice & 64,
        .client_address = choice & 128 ? SPAN("") : SPAN("192.0.2.1"),
        .request_id_name = SPAN("X-Request-Id"),
        .request_id = choice & 8 ? SPAN("1") : SPAN(""),
        .request_start = choice & 16,
        .drop_expect = choice & 32,
        .upgrade = {offers, http_upgrade_offers(head, offers)},
    };
    const struct http_limits wide = {.max_head = 8192, .max_fields = HTTP_FIELDS_MAX};
    struct http_parser p = {0};
    struct http_problem problem;
    size_t bound = http_rewrite_request_bound(head, &how);
    char *out = malloc(bound);
    CHECK(out != NULL);
    size_t len = http_rewrite_request(head, &how, out);
    CHECK(len <= bound);
    CHECK(http_parse_request(&p, out, len, &wide, SPAN("X-Request-Id"), &again, &problem) ==
          HTTP_PARSE_DONE);
    CHECK(again.whole.len == len && again.minor == 1 && again.authority.len == 0);
    CHECK(head->host.len == 0 || span_equal(again.host, head->host));
    fuzz_check_same_message(head, &again);
    if (!head->names_fields) /* Connection may remove a deadline */
        CHECK(deadline_of(&again, 1) == deadline_of(head, 1));
    deadline_of(head, INT64_C(1764390000000000));
    check_second_reader(&again, out, len);
    CHECK(again.has_upgrade == (how.upgrade.len > 0));
    CHECK(again.expect_continue == (head->expect_continue && !how.drop_expect));
    free(out);
    free(offers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_head whole_head, head;
    struct http_problem whole_problem = {0}, problem = {0};
    struct http_parser whole_parser = {0}, p = {0};
    if (size < FUZZ_CUT_BYTES)
        return 0;
    size_t len = size - FUZZ_CUT_BYTES, cut = fuzz_cut(data, len);
    char *all = fuzz_block(data + FUZZ_CUT_BYTES, len);
    char *some = fuzz_block(all, cut);
    enum http_parse_status want = parse(&whole_parser, all, len, &whole_head, &whole_problem);
    enum http_parse_status got = parse(&p, some, cut, &head, &problem);
    if (got == HTTP_PARSE_MORE)
        got = parse(&p, all, len, &head, &problem);
    CHECK(got == want);
    CHECK(got != HTTP_PARSE_BAD || problem.reason == whole_problem.reason);
    if (got == HTTP_PARSE_DONE) {
        fuzz_check_same_head(&whole_head, &head);
        check_second_reader(&head, all, len);
        check_rewritten(&head, data[0]);
        check_front(&head);
    }
    free(some);
    free(all);
    return 0;
}
