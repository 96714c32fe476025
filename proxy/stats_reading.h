/*
 * Reading the statistics: the cells of a shard, and their sums across all shards. Shared by stats.c
 * and the pages, metrics_*.c and status.c; not included elsewhere. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "proxy/buckets.h"
#include "proxy/exemplars.h"
#include "proxy/stats_now.h"

enum { SOURCES = STATS_SOURCE_CLIENT_GONE + 1, CODE_FIRST = 100, CODE_LAST = 599 };
enum { CODE_OTHER = CODE_LAST - CODE_FIRST + 1, CODES };

/* The outcomes of waits that ended without a slot. */
enum { LOST_FIRST = STATS_TIMEOUT, LOST = STATS_EVICTED - LOST_FIRST + 1 };

enum cell {
    C_REQUESTS,
    C_REJECTED = C_REQUESTS + SOURCES * CODES,
    C_UPSTREAM = C_REJECTED + STATS_REASONS,
    C_CONNECTIONS = C_UPSTREAM + STATS_REPLAYED + 1,
    C_EVICTED = C_CONNECTIONS + 4,
    C_BUFFERED,
    C_BACKPRESSURE = C_BUFFERED + STATS_RESPONSE + 1,
    C_UPGRADES,
    C_ASIDE, /* inside, and waiting for its client or for an event: no work for the app */
    C_ORPHANS,
    C_ORPHANED,
    C_REQUEUED, /* requests, and the time in us that they held their slots */
    C_REQUEUED_TIME,
    C_ACCOUNTING_ERRORS,
    C_WAITS, /* that have ended, by outcome, and their time in us */
    C_WAITED = C_WAITS + STATS_OUTCOMES,
    C_PHASES = C_WAITED + STATS_OUTCOMES, /* of ended requests, in us; not of tunnels */
    C_HISTOGRAMS = C_PHASES + RECORD_PHASES,
};

enum stats_histogram { /* the busiest first */
                       H_QUEUE_WAIT,
                       H_DURATION, /* by source */
                       H_CONNECT = H_DURATION + SOURCES,
                       H_FIRST_BYTE,
                       H_SLOT_HOLD,
                       H_DELIVERY,
                       H_BODY_WAIT,
                       H_ORPHAN_HOLD,
                       H_UPGRADE_DURATION,
                       H_LOOP_LAG,
                       H_SEND,
                       H_BEFORE,
                       H_LOST_WAIT, /* by outcome, from LOST_FIRST */
                       HISTOGRAMS = H_LOST_WAIT + LOST,
};

/* The first cell of a histogram is its sum in us; its buckets follow. */
enum { FINE = 1 + BUCKETS_MAX + 1, COARSE = 24 };
enum { CELLS = C_HISTOGRAMS + FINE + (HISTOGRAMS - 1) * COARSE };

static inline size_t stats_cells_of(enum stats_histogram h)
{
    return h == H_QUEUE_WAIT ? C_HISTOGRAMS : C_HISTOGRAMS + FINE + ((size_t)h - 1) * COARSE;
}

/* Codes outside 100 to 599 are invalid (RFC 9110 section 15), but there was a response, so they are
 * counted. All of them share one series, so that an app has at most CODES series. */
static inline size_t stats_requests_cell(enum stats_source by, unsigned code)
{
    bool known = code >= CODE_FIRST && code <= CODE_LAST;
    return C_REQUESTS + (size_t)by * CODES + (known ? code - CODE_FIRST : (size_t)CODE_OTHER);
}

static inline size_t stats_connections_cell(enum stats_side side, enum stats_conn_state state)
{
    return C_CONNECTIONS + (size_t)side * 2 + (size_t)state;
}

extern const char *const stats_reason_names[STATS_REASONS];
extern const char *const stats_source_names[SOURCES];
extern const char *const stats_agent_names[STATS_AGENT_REPLIES];
extern const char *const stats_upstream_names[STATS_REPLAYED + 1];

struct stats_reading {
    const struct stats_now *now;
    const struct buckets *buckets;
    uint64_t cell[CELLS];                  /* summed across the shards */
    const struct exemplar *wait_exemplars; /* of H_QUEUE_WAIT, by bucket; NULL: not wanted */
};

void stats_read(const struct stats *s, const struct stats_now *now, struct stats_reading *r);

/* The latest of all shards for each bucket of H_QUEUE_WAIT: EXEMPLARS_MAX. */
void stats_exemplars(const struct stats *s, struct exemplar *out);

/* One cell of all shards, without a reading: a gauge, never negative. */
uint64_t stats_sum(const struct stats *s, size_t cell);

/* A gauge. Between reading two shards, something may have moved from one to the other: never
 * negative. */
uint64_t stats_level(const struct stats_reading *r, size_t cell);

bool stats_paused(const struct stats_reading *r); /* by an operator */

/* The most connections to the app; UINT32_MAX: no limit. */
static inline uint32_t stats_upstream_limit(const struct stats_now *now)
{
    if (!now->enforcing)
        return UINT32_MAX;
    uint32_t limit = now->limiter.limit, more = now->bypass.limit;
    return limit > UINT32_MAX - more ? UINT32_MAX : limit + more;
}

uint64_t stats_accounting_errors(const struct stats_reading *r);

/* The bounds of a histogram without those that follow the timeouts. Not for H_QUEUE_WAIT. */
const mono_us *stats_base_bounds(enum stats_histogram h, size_t *n);
