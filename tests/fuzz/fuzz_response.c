/*
 * Response heads: the same result however they are split; the rewritten head is accepted, with the
 * same status and length; and the strict reader reads accepted heads the same way.
 */
#include "proxy/http/rewrite.h"
#include "tests/fuzz/fuzz_head.h"
#include "tests/fuzz/strict_reader.h"

static void check_second_reader(const struct http_head *head, const char *at, size_t len)
{
    struct strict_message m;
    bool body = head->status >= 200 && head->status != 204 && head->status != 304;

    strict_begin(&m);
    CHECK(strict_read_response((struct span){at, len}, SPAN("GET"), false, &m) != STRICT_BAD ||
          m.head_whole);
    CHECK(m.head_whole && m.n_fields == head->n_fields && m.minor == head->minor);
    CHECK(m.status == head->status && m.has_length == head->has_content_length);
    CHECK(m.chunked == (body && head->chunked));
    CHECK(m.length == (body ? head->content_length : 0));
    CHECK(strict_persists(&m) == http_head_persistent(head));
    strict_fini(&m);
}

static void check_rewritten(struct http_head *head, uint8_t choice)
{
    static struct http_head again;
    bool lasts_until_close = head->status >= 200 && head->status != 204 && head->status != 304 &&
                             !head->chunked && !head->has_content_length;
    const struct http_response_rewrite how = {
        .close = choice & 1,
        .say_keep_alive = choice & 2,
        .drop_transfer_encoding = choice & 4,
        .add_chunked = lasts_until_close && (choice & 4) == 0,
        .request_id_name = SPAN("X-Request-Id"),
        .request_id = choice & 8 ? SPAN("1") : SPAN(""),
        .server_timing = choice & 16 ? SPAN("app;dur=1") : SPAN(""),
    };
    const struct http_limits wide = {.max_head = 8192, .max_fields = HTTP_FIELDS_MAX};
    struct http_parser p = {0};
    struct http_problem problem;
    size_t bound = http_rewrite_response_bound(head, &how);
    char *out = malloc(bound);
    CHECK(out != NULL);
    size_t len = http_rewrite_response(head, &how, out);
    CHECK(len <= bound);
    CHECK(http_parse_response(&p, out, len, &wide, &again, &problem) == HTTP_PARSE_DONE);
    CHECK(again.whole.len == len && again.minor == 1 && again.close == how.close);
    if (how.drop_transfer_encoding)
        head->chunked = false;
    if (how.add_chunked)
        head->chunked = true;
    if (head->status < 200 || head->status == 204) {
        head->has_content_length = false;
        head->content_length = 0;
    }
    fuzz_check_same_message(head, &again);
    check_second_reader(&again, out, len);
    free(out);
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
    enum http_parse_status want =
        http_parse_response(&whole_parser, all, len, &fuzz_limits, &whole_head, &whole_problem);
    enum http_parse_status got = http_parse_response(&p, some, cut, &fuzz_limits, &head, &problem);
    if (got == HTTP_PARSE_MORE)
        got = http_parse_response(&p, all, len, &fuzz_limits, &head, &problem);
    CHECK(got == want);
    CHECK(got != HTTP_PARSE_BAD || problem.reason == whole_problem.reason);
    CHECK(got != HTTP_PARSE_BAD || problem.status == 502);
    if (got == HTTP_PARSE_DONE) {
        fuzz_check_same_head(&whole_head, &head);
        check_second_reader(&head, all, len);
        check_rewritten(&head, data[0]);
    }
    free(some);
    free(all);
    return 0;
}
