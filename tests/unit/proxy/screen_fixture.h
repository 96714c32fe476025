/* Figures of a running weir, and the measures of text for a terminal. */
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"
#include "proxy/figures.h"
#include "proxy/text_screen.h"

static const char busy_json[] =
    "{\"version\":\"0.1.0\",\"started\":1000000,\"limit\":80,\"in_flight\":80,\"enforcing\":true,"
    "\"paused\":false,\"draining\":false,"
    "\"queue\":{\"depth\":120,\"limit\":1000,\"oldest_wait_seconds\":1.84,\"drain_seconds\":2.4},"
    "\"overload\":{\"active\":false,\"seconds\":12.5},\"bypass\":{\"in_flight\":0,\"limit\":0},"
    "\"upstream\":{\"state\":\"ready\"},\"orphans\":2,\"upgrades\":0,"
    "\"app\":{\"state\":\"pool_full\",\"parallelism\":40,\"hidden_queue\":40,"
    "\"unread_requests\":null},"
    "\"advice\":\"The app works on 40 of the 80 requests inside it. Set concurrency to 40.\","
    "\"last\":{\"seconds\":1,\"requests_per_second\":41,\"refused_per_second\":3.5,"
    "\"client_gone_per_second\":0.25,\"errors_per_second\":0},"
    "\"recent\":{\"seconds\":60,\"requests_per_second\":39.8,\"refused_per_second\":1.2,"
    "\"client_gone_per_second\":0,\"errors_per_second\":0,\"in_flight_mean\":74.4,"
    "\"in_flight_peak\":80,\"queued_mean\":22.4,\"queue_peak\":200,\"saturated_ratio\":0.83,"
    "\"wait_seconds\":{\"p50\":1.021,\"p90\":2.304,\"p99\":2.91,\"max\":3.004},"
    "\"app_seconds\":{\"p50\":1.001,\"p90\":1.004,\"p99\":null},"
    "\"phase_seconds\":{\"head\":0.1,\"body_wait\":0,\"queue\":120.4,\"connect\":0.5,\"send\":0.02,"
    "\"first_byte\":88.1,\"transfer\":12,\"backpressure\":1.5,\"delivery\":3},"
    "\"loop_lag_seconds\":0.0012},"
    "\"totals\":{\"rejected\":{\"queue_full\":12,\"timeout\":345,\"draining\":0}}}";

static inline struct figures busy(void)
{
    struct figures f;
    assert_true(figures_read(&f, span_of(busy_json)));
    return f;
}

/* Nothing but its requests in flight. */
static inline struct figures unknown(void)
{
    struct figures f;
    assert_true(figures_read(&f, SPAN("{\"in_flight\":1}")));
    return f;
}

static inline struct text_screen screen(struct strbuf *out, unsigned columns, unsigned rows)
{
    return (struct text_screen){.out = out, .columns = columns, .rows = rows, .unicode = true};
}

/* The next character, or the escape sequence of a colour, which takes no column. */
static inline size_t next_cell(struct span text, unsigned *columns)
{
    if (*text.at == '\033') {
        size_t len = strcspn(text.at, "m") + 1;
        assert_int_equal(text.at[1], '[');
        assert_int_equal(strspn(text.at + 2, "0123456789;"), len - 3);
        return len;
    }
    size_t len = utf8_length(text);
    assert_true(len > 0 && (unsigned char)*text.at >= ' ' && *text.at != 0x7f);
    ++*columns;
    return len;
}

/* Checks that no line is wider than `columns`, and returns their number. */
static inline unsigned assert_fits(const char *text, unsigned columns)
{
    unsigned lines = 0;

    for (; *text != '\0'; lines++) {
        unsigned used = 0;
        size_t len = strcspn(text, "\n");
        assert_int_equal(text[len], '\n');
        for (size_t i = 0; i < len;)
            i += next_cell((struct span){text + i, len - i}, &used);
        if (used > columns)
            fail_msg("%u columns instead of %u: %.*s", used, columns, (int)len, text);
        text += len + 1;
    }
    return lines;
}

static inline void assert_has(const struct strbuf *text, const char *part)
{
    if (strstr(strbuf_cstr(text), part) == NULL)
        fail_msg("no \"%s\" in\n%s", part, strbuf_cstr(text));
}

static inline void assert_has_not(const struct strbuf *text, const char *part)
{
    if (strstr(strbuf_cstr(text), part) != NULL)
        fail_msg("\"%s\" in\n%s", part, strbuf_cstr(text));
}
