/*
 * For the tests of proxy/http: feeds a head to the parser whole, byte by byte, or split in two,
 * each time from a block of exactly its size and at another address, and describes the outcome in
 * one line.
 */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "proxy/http/body.h"
#include "proxy/http/head.h"
#include "proxy/http/parse.h"

#define FEED_TEXT 8192

static const struct http_limits feed_limits = {.max_head = 4096, .max_fields = 100};

/* The parser's result: zeroed first, so that it can be compared with memcmp. */
struct outcome {
    enum http_parse_status status;
    unsigned code; /* of the problem */
    char text[FEED_TEXT];
};

static inline void say(struct outcome *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static inline void say(struct outcome *o, const char *fmt, ...)
{
    size_t len = strlen(o->text);
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(o->text + len, sizeof o->text - len, fmt, args);
    va_end(args);
}

static inline void say_flags(struct outcome *o, const struct http_head *h)
{
    if (h->has_content_length)
        say(o, " length=%" PRIu64, h->content_length);
    say(o, "%s%s", h->chunked ? " chunked" : "", h->minor == 0 ? " 1.0" : "");
    say(o, "%s%s", h->close ? " close" : "", h->keep_alive ? " keep-alive" : "");
    say(o, "%s%s", h->has_upgrade ? " upgrade" : "", h->expect_continue ? " expect" : "");
    say(o, "%s", h->te_trailers ? " trailers" : "");
}

static inline void say_head(struct outcome *o, const struct http_head *h)
{
    if (h->status == 0)
        say(o, "%.*s %.*s %.*s", SPAN_PRINTF(h->method_text), SPAN_PRINTF(h->path),
            SPAN_PRINTF(h->host));
    else
        say(o, "%u %.*s", h->status, SPAN_PRINTF(h->reason));
    say_flags(o, h);
}

/* Everything else that must not depend on the split. */
static inline void say_fields(struct outcome *o, const struct http_head *h)
{
    say(o, "\n%zu %u %x %u", h->whole.len, h->n_fields, h->present, h->n_options);
    for (unsigned i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];
        say(o, "\n%d %td %zu %td %zu %td %zu", (int)f->id, f->line.at - h->whole.at, f->line.len,
            f->name.at - h->whole.at, f->name.len, f->value.at - h->whole.at, f->value.len);
    }
}

struct feed {
    bool response;
    const struct http_limits *limits;
    struct span request_id_name;
};

static inline enum http_parse_status feed_some(const struct feed *feed, struct http_parser *p,
                                               const char *bytes, size_t len, struct outcome *o)
{
    static struct http_head head;
    struct http_problem problem = {0, ""};
    char *block = malloc(len > 0 ? len : 1);
    assert_non_null(block);
    memcpy(block, bytes, len);
    memset(&head, 0x5a, sizeof head);
    o->status = feed->response ? http_parse_response(p, block, len, feed->limits, &head, &problem)
                               : http_parse_request(p, block, len, feed->limits,
                                                    feed->request_id_name, &head, &problem);
    if (o->status == HTTP_PARSE_BAD) {
        o->code = problem.status;
        say(o, "%s", problem.reason);
    } else if (o->status == HTTP_PARSE_DONE) {
        assert_true(head.whole.at >= block && head.whole.at + head.whole.len <= block + len);
        assert_int_equal(p->seen, 0);
        say_head(o, &head);
        say_fields(o, &head);
    }
    free(block);
    return o->status;
}

/* Feeds the bytes up to each of the cuts, and finally all, until the parser decides. */
static inline void feed_cut(const struct feed *feed, const char *bytes, size_t len,
                            const size_t *cuts, size_t n_cuts, struct outcome *o)
{
    struct http_parser p = {0};
    memset(o, 0, sizeof *o);
    for (size_t i = 0; i < n_cuts; i++) {
        if (feed_some(feed, &p, bytes, cuts[i], o) != HTTP_PARSE_MORE)
            return;
    }
    (void)feed_some(feed, &p, bytes, len, o);
}

static inline void feed_whole(const struct feed *feed, const char *bytes, size_t len,
                              struct outcome *o)
{
    feed_cut(feed, bytes, len, NULL, 0, o);
}

static inline void feed_bytewise(const struct feed *feed, const char *bytes, size_t len,
                                 struct outcome *o)
{
    struct http_parser p = {0};
    memset(o, 0, sizeof *o);
    for (size_t n = 0; n <= len; n++) {
        if (feed_some(feed, &p, bytes, n, o) != HTTP_PARSE_MORE)
            return;
    }
}

static inline bool outcome_equal(const struct outcome *a, const struct outcome *b)
{
    return a->status == b->status && a->code == b->code && strcmp(a->text, b->text) == 0;
}

/* ---- random tests ---- */

static uint64_t feed_random_state;

static inline uint64_t feed_random(void)
{
    uint64_t x = feed_random_state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return feed_random_state = x;
}

static inline size_t feed_below(size_t n)
{
    return (size_t)(feed_random() % n);
}

/* Seeds from WEIR_SEED, or, if that is unset or 0, from the clock; prints the seed, so that a
 * failure can be reproduced. */
static inline void feed_seed(void)
{
    const char *seed = getenv("WEIR_SEED");
    feed_random_state = seed != NULL ? strtoull(seed, NULL, 10) : 0;
    if (feed_random_state == 0)
        feed_random_state = (uint64_t)time(NULL);
    print_message("WEIR_SEED=%" PRIu64 "\n", feed_random_state);
    feed_random_state = feed_random_state * 2 + 1; /* never 0 */
}
