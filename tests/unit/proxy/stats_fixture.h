/* Statistics of two shards with a configuration like the default, and the page written from
 * them. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/metrics_page.h"
#include "proxy/stats.h"
#include "tests/unit/common/exposition.h"

static struct exposition page;

#define S INT64_C(1000000)

/* Like the default; cmocka's fixtures create the statistics from it. */
static const struct config config = {
    .upstream = {.connect_timeout = 2 * S,
                 .first_byte_timeout = 300 * S,
                 .idle_timeout = 300 * S,
                 .orphan_timeout = 1 * S},
    .queue = {.timeout = 10 * S},
    .client = {.head_timeout = 10 * S, .body_timeout = 30 * S, .send_timeout = 60 * S},
    .startup = {.timeout = 240 * S},
};

static inline struct stats_now quiet(void)
{
    return (struct stats_now){
        .limiter = {.limit = 80, .queue_length = 800},
        .patience = {MONO_NEVER, MONO_NEVER, MONO_NEVER},
        .classes = 1,
        .class_names = {"default"},
        .enforcing = true,
        .queue_timeout = 10000000,
        .queue_max_bytes = 1 << 26,
        .buffers_budget = 5000000000,
        .client_connections_max = 4096,
        .upgrades_max = 79,
        .upstream_ready = true,
        .upstream_state = "up",
        .upstream_startup = 250000,
    };
}

static inline void scrape(struct stats *s, const struct stats_now *now)
{
    struct strbuf out = {0};
    metrics_page_write(s, now, PROMETHEUS_TEXT, &out);
    if (!exposition_read(&page, strbuf_cstr(&out)))
        fail_msg("%s", page.wrong);
    strbuf_fini(&out);
}

static inline void expect(const char *series, const char *want)
{
    const char *got = exposition_value(&page, series);
    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("%s is %s, wanted %s", series, got == NULL ? "not there" : got, want);
}

/* A request that took `total`, all of it in one phase. */
static inline struct record record_of(enum stats_source by, unsigned status, mono_us total)
{
    struct record r;

    record_begin(&r, 1000);
    record_enter(&r, RECORD_DELIVERY, 1000);
    record_enter(&r, RECORD_ENDED, 1000 + total);
    r.source = (enum record_source)by;
    r.status = status;
    return r;
}

static inline void ends(struct stats_shard *sh, enum stats_source by, unsigned status)
{
    struct record r = record_of(by, status, 0);

    stats_reached(sh, &r, STATS_ENDED);
}

static inline int fresh(void **state)
{
    *state = stats_new(2, &config);
    return 0;
}

static inline int done(void **state)
{
    stats_free(*state);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, done)
