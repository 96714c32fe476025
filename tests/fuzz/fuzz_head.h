/*
 * For the fuzzers of heads: what must not change however a head is split, and for the head that it
 * is rewritten to.
 */
#pragma once

#include "proxy/http/parse.h"
#include "tests/fuzz/fuzz.h"

static const struct http_limits fuzz_limits = {.max_head = 1024, .max_fields = 32};

/* The parts that define a message: a recipient that reads them differently has another message. */
static inline void fuzz_check_same_message(const struct http_head *a, const struct http_head *b)
{
    CHECK(a->status == b->status && a->method == b->method);
    CHECK(a->chunked == b->chunked && a->has_content_length == b->has_content_length);
    CHECK(a->content_length == b->content_length);
}

static inline void fuzz_check_same_head(const struct http_head *a, const struct http_head *b)
{
    fuzz_check_same_message(a, b);
    CHECK(span_equal(a->whole, b->whole) && span_equal(a->target, b->target));
    CHECK(span_equal(a->path, b->path) && span_equal(a->host, b->host));
    CHECK(span_equal(a->reason, b->reason) && a->minor == b->minor);
    CHECK(a->close == b->close && a->keep_alive == b->keep_alive && a->present == b->present);
    CHECK(a->n_fields == b->n_fields);
    for (unsigned i = 0; i < a->n_fields; i++) {
        CHECK(a->fields[i].id == b->fields[i].id);
        CHECK(span_equal(a->fields[i].line, b->fields[i].line));
        CHECK(span_equal(a->fields[i].value, b->fields[i].value));
    }
}
