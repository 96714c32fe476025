/*
 * Chunked bodies: the end, the content and the error must be the same whether the body is whole or
 * split in two, and with or without the content requested; and the strict reader must agree on what
 * is accepted.
 */
#include "proxy/http/body.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/strict_reader.h"

struct result {
    enum http_body_status status;
    size_t used;
    uint64_t data;
    const char *reason;
};

static void take(struct http_body *body, const char *bytes, size_t len, bool content,
                 struct result *r)
{
    char *block = fuzz_block(bytes, len);
    size_t at = 0;
    do {
        struct http_problem problem = {0};
        struct span data = {NULL, 0};
        size_t used;
        r->status =
            http_body_take(body, block + at, len - at, &used, content ? &data : NULL, &problem);
        CHECK(used <= len - at && data.len <= used);
        r->reason = problem.reason;
        at += used;
    } while (r->status == HTTP_BODY_MORE && at < len);
    CHECK(http_body_complete(body) == (r->status == HTTP_BODY_DONE));
    r->used += at;
    r->data = body->data;
    free(block);
}

static struct result take_cut(const char *bytes, size_t len, size_t cut, bool content)
{
    static const struct http_head head = {.chunked = true};
    struct http_body body;
    struct result r = {0};
    http_body_of_request(&body, &head, true);
    take(&body, bytes, cut, content, &r);
    if (r.status == HTTP_BODY_MORE && cut < len)
        take(&body, bytes + cut, len - cut, content, &r);
    return r;
}

static void check_same(struct result a, struct result b)
{
    CHECK(a.status == b.status && a.used == b.used && a.data == b.data && a.reason == b.reason);
}

static void check_second_reader(struct result r, const char *bytes, size_t len)
{
    struct strict_message m;

    strict_begin(&m);
    enum strict_status st = strict_read_chunked((struct span){bytes, len}, &m);
    CHECK(r.status != HTTP_BODY_DONE || (st == STRICT_WHOLE && m.used == r.used));
    CHECK(r.status != HTTP_BODY_MORE || st == STRICT_PART);
    CHECK(r.status == HTTP_BODY_BAD || m.content.len == r.data);
    strict_fini(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < FUZZ_CUT_BYTES)
        return 0;
    size_t len = size - FUZZ_CUT_BYTES;
    char *bytes = fuzz_block(data + FUZZ_CUT_BYTES, len);
    struct result whole = take_cut(bytes, len, len, false);
    check_same(whole, take_cut(bytes, len, fuzz_cut(data, len), false));
    check_second_reader(whole, bytes, len);
    check_same(whole, take_cut(bytes, len, len, true));
    check_same(whole, take_cut(bytes, len, fuzz_cut(data, len), true));
    free(bytes);
    return 0;
}
