/*
 * A shard is an array of cells, each of which is a number.
 *
 * A cell has one writer. It adds by a relaxed load and a relaxed store, which are plain moves on
 * all relevant machines; a reader may see cells at slightly different times, but never a partly
 * written one. Gauges are cells, too: subtraction wraps around, and the sum across the shards is
 * correct even if a single shard is below zero (a connection may open on one loop and end on
 * another).
 */
#include "proxy/stats.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/measures.h"
#include "limiter/limiter.h"
#include "proxy/stats_reading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *const stats_outcome_names[STATS_OUTCOMES] = {
    [STATS_DISPATCHED] = "dispatched",   [STATS_TIMEOUT] = "timeout",
    [STATS_CLIENT_GONE] = "client_gone", [STATS_DRAINED] = "drained",
    [STATS_EVICTED] = "evicted",         [STATS_DRY_RUN] = "dry_run",
};
const char *const stats_reason_names[STATS_REASONS] = {
    [STATS_QUEUE_FULL] = "queue_full",
    [STATS_QUEUE_TIMEOUT] = "queue_timeout",
    [STATS_NOT_READY] = "not_ready",
    [STATS_DRAINING] = "draining",
    [STATS_BYTES] = "bytes",
    [STATS_UPGRADES] = "upgrades",
    [STATS_REFUSED_EVICTED] = "evicted",
    [STATS_DEADLINE] = "deadline",
};
const char *const stats_cause_names[OVERLOAD_CAUSES] = {
    [OVERLOAD_HOPELESS] = "hopeless",
    [OVERLOAD_CROWDED] = "crowded",
    [OVERLOAD_WASTE] = "waste",
};
const struct stats_quantile stats_quantiles[STATS_QUANTILES] = {
    {"0.1", 0.1}, {"0.5", 0.5}, {"0.9", 0.9}};
const char *const stats_source_names[SOURCES] = {[STATS_SOURCE_APP] = "app",
                                                 [STATS_SOURCE_WEIR] = "weir",
                                                 [STATS_SOURCE_CLIENT_GONE] = "client_gone"};
const char *const stats_agent_names[STATS_AGENT_REPLIES] = {
    [STATS_AGENT_UP] = "up", [STATS_AGENT_DRAIN] = "drain", [STATS_AGENT_DOWN] = "down"};
const char *const stats_upstream_names[STATS_REPLAYED + 1] = {[STATS_OPENED] = "opened",
                                                              [STATS_REUSED] = "reused",
                                                              [STATS_FAILED] = "failed",
                                                              [STATS_REPLAYED] = "replayed"};

struct stats_shard {
    _Alignas(128) _Atomic uint64_t cell[CELLS]; /* on its own pair of cache lines */
    const struct buckets *buckets;
    struct exemplars wait_exemplars; /* by bucket of H_QUEUE_WAIT */
};

struct stats {
    unsigned n;
    struct stats_shard *shards;
    struct buckets buckets[HISTOGRAMS];
};

/* ---- bounds -------------------------------------------------------------------------------- */

#define MS INT64_C(1000)
#define S  (1000 * MS)

static const mono_us durations[] = {5 * MS,   10 * MS,  25 * MS, 50 * MS,   100 * MS,
                                    250 * MS, 500 * MS, 1 * S,   2500 * MS, 5 * S,
                                    10 * S,   30 * S,   60 * S};
static const mono_us briefs[] = {0, 1 * MS, 10 * MS, 100 * MS, 1 * S, 10 * S};
static const mono_us lags[] = {100,     1 * MS,   5 * MS,   10 * MS, 25 * MS,
                               50 * MS, 100 * MS, 250 * MS, 1 * S,   5 * S};
static const mono_us times_before[] = {1 * MS,   5 * MS,   10 * MS,  25 * MS, 50 * MS,
                                       100 * MS, 250 * MS, 500 * MS, 1 * S,   2500 * MS,
                                       5 * S,    10 * S,   60 * S};
static const mono_us upgrades[] = {1 * S, 10 * S, 60 * S, 300 * S, 1800 * S, 3600 * S, 14400 * S};

const mono_us *stats_base_bounds(enum stats_histogram h, size_t *n)
{
    CHECK(h != H_QUEUE_WAIT);
    switch (h) {
    case H_CONNECT:
        *n = COUNT(briefs) - 1;
        return briefs;
    case H_DELIVERY:
    case H_BODY_WAIT:
    case H_ORPHAN_HOLD:
    case H_SEND:
    case H_LOST_WAIT:
        *n = COUNT(briefs);
        return briefs;
    case H_LOOP_LAG:
        *n = COUNT(lags);
        return lags;
    case H_BEFORE:
        *n = COUNT(times_before);
        return times_before;
    case H_UPGRADE_DURATION:
        *n = COUNT(upgrades);
        return upgrades;
    case H_QUEUE_WAIT:
    case H_DURATION:
    case H_FIRST_BYTE:
    case H_SLOT_HOLD:
    case HISTOGRAMS:
        break;
    }
    *n = COUNT(durations);
    return durations;
}

/* `timeouts` ends with 0. */
static void coarse_init(struct buckets *b, enum stats_histogram h, const mono_us *timeouts)
{
    size_t n;
    const mono_us *base = stats_base_bounds(h, &n);

    buckets_coarse(&b[h], base, n, timeouts);
    CHECK(1 + b[h].n + 1 <= COARSE);
}

#define UP_TO(...) ((const mono_us[]){__VA_ARGS__, 0})

/* Each histogram has bounds at the timeouts where its values accumulate. */
static void bounds_init(struct buckets *b, const struct config *cf)
{
    mono_us wait = cf->queue.timeout, startup = cf->startup.timeout;
    mono_us first_byte = cf->upstream.first_byte_timeout;

    buckets_fine(&b[H_QUEUE_WAIT], wait, wait > startup ? wait : startup);
    for (size_t by = 0; by < SOURCES; by++)
        coarse_init(b, (enum stats_histogram)(H_DURATION + by),
                    UP_TO(wait, first_byte, cf->client.head_timeout, cf->client.body_timeout));
    coarse_init(b, H_FIRST_BYTE, UP_TO(first_byte));
    coarse_init(b, H_SLOT_HOLD, UP_TO(first_byte));
    coarse_init(b, H_CONNECT, UP_TO(cf->upstream.connect_timeout));
    coarse_init(b, H_DELIVERY, UP_TO(cf->client.send_timeout));
    coarse_init(b, H_BODY_WAIT, UP_TO(cf->client.body_timeout));
    coarse_init(b, H_ORPHAN_HOLD,
                UP_TO(first_byte, cf->upstream.idle_timeout, cf->upstream.orphan_timeout));
    coarse_init(b, H_UPGRADE_DURATION, UP_TO(0));
    coarse_init(b, H_LOOP_LAG, UP_TO(0));
    coarse_init(b, H_SEND, UP_TO(cf->upstream.idle_timeout));
    coarse_init(b, H_BEFORE, UP_TO(0));
    for (size_t o = 0; o < LOST; o++)
        buckets_coarse(&b[H_LOST_WAIT + o], briefs, COUNT(briefs), UP_TO(wait, startup));
}

/* ---- recording ---------------------------------------------------------------------------- */

struct stats *stats_new(unsigned shards, const struct config *cf)
{
    CHECK(shards > 0);
    struct stats *s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->n = shards;
    bounds_init(s->buckets, cf);
    s->shards = aligned_alloc(_Alignof(struct stats_shard), shards * sizeof(struct stats_shard));
    CHECK(s->shards != NULL);
    for (unsigned i = 0; i < shards; i++) {
        s->shards[i].buckets = s->buckets;
        exemplars_init(&s->shards[i].wait_exemplars);
        for (size_t c = 0; c < CELLS; c++)
            atomic_init(&s->shards[i].cell[c], 0);
    }
    return s;
}

void stats_free(struct stats *s)
{
    if (s == NULL)
        return;
    free(s->shards);
    free(s);
}

struct stats_shard *stats_shard_of(struct stats *s, unsigned i)
{
    CHECK(i < s->n);
    return &s->shards[i];
}

static inline void add(struct stats_shard *sh, size_t cell, uint64_t n)
{
    if (!MEASURES)
        return;
    uint64_t old = atomic_load_explicit(&sh->cell[cell], memory_order_relaxed);
    atomic_store_explicit(&sh->cell[cell], old + n, memory_order_relaxed);
}

static inline void observe(struct stats_shard *sh, enum stats_histogram h, mono_us us)
{
    if (!MEASURES)
        return;
    CHECK(us >= 0);
    if (us == 0) { /* as most waits are: no bound is below it, and the sum stays */
        add(sh, stats_cells_of(h) + 1, 1);
        return;
    }
    add(sh, stats_cells_of(h), (uint64_t)us);
    add(sh, stats_cells_of(h) + 1 + buckets_find(&sh->buckets[h], us), 1);
}

void stats_queue_wait(struct stats_shard *sh, enum stats_outcome outcome, mono_us us)
{
    size_t lost = (size_t)outcome - LOST_FIRST;

    CHECK(outcome < STATS_OUTCOMES);
    observe(sh, H_QUEUE_WAIT, us);
    add(sh, C_WAITS + (size_t)outcome, 1);
    add(sh, C_WAITED + (size_t)outcome, (uint64_t)us);
    if (lost < LOST)
        observe(sh, (enum stats_histogram)(H_LOST_WAIT + lost), us);
}

void stats_wait_exemplar(struct stats_shard *sh, const struct record *record, mono_us us)
{
    struct exemplar x = {.value = us, .at = clock_wall()};

    CHECK(us >= 0 && record->traced);
    memcpy(x.trace, record->trace, sizeof(x.trace));
    exemplars_put(&sh->wait_exemplars, buckets_find(&sh->buckets[H_QUEUE_WAIT], us), &x);
}

void stats_rejected(struct stats_shard *sh, enum stats_reason reason)
{
    CHECK(reason < STATS_REASONS);
    add(sh, C_REJECTED + (size_t)reason, 1);
}

/* The app may respond before it has received all of the request, and after the client has left;
 * while the client held up interim responses, it may have begun its final one. */
static void answered(struct stats_shard *sh, const struct record *r)
{
    mono_us wait = r->phase == RECORD_SEND ? r->spent[RECORD_SEND]
                                           : r->spent[RECORD_FIRST_BYTE] + r->spent[RECORD_ORPHAN];

    observe(sh, H_SEND, r->spent[RECORD_SEND]);
    observe(sh, H_FIRST_BYTE, wait + r->spent[RECORD_BACKPRESSURE]);
}

static void orphaned(struct stats_shard *sh)
{
    add(sh, C_ORPHANS, 1);
    add(sh, C_ORPHANED, 1);
}

static void orphan_ended(struct stats_shard *sh, const struct record *r)
{
    add(sh, C_ORPHANS, (uint64_t)-1);
    observe(sh, H_ORPHAN_HOLD, r->spent[RECORD_ORPHAN]);
}

static inline void add_phase(struct stats_shard *sh, const struct record *r, enum record_phase p)
{
    if (r->spent[p] != 0) /* most phases of most requests are empty */
        add(sh, C_PHASES + p, (uint64_t)r->spent[p]);
}

static void add_phases(struct stats_shard *sh, const struct record *r)
{
    _Static_assert(RECORD_PHASES == 9, "one line for each");
    add_phase(sh, r, RECORD_HEAD);
    add_phase(sh, r, RECORD_BODY_WAIT);
    add_phase(sh, r, RECORD_QUEUE);
    add_phase(sh, r, RECORD_CONNECT);
    add_phase(sh, r, RECORD_SEND);
    add_phase(sh, r, RECORD_FIRST_BYTE);
    add_phase(sh, r, RECORD_TRANSFER);
    add_phase(sh, r, RECORD_BACKPRESSURE);
    add_phase(sh, r, RECORD_DELIVERY);
}

/* The times of a tunnel are not comparable with a request's. */
static void ended(struct stats_shard *sh, const struct record *r)
{
    add(sh, stats_requests_cell((enum stats_source)r->source, r->status), 1);
    if (r->upgraded) {
        add(sh, C_UPGRADES, (uint64_t)-1);
        return;
    }
    mono_us total = record_total(r);
    add_phases(sh, r);
    if (total != r->since - r->began - r->spent[RECORD_ORPHAN])
        stats_wrong(sh);
    observe(sh, (enum stats_histogram)(H_DURATION + r->source), total);
    if (r->before >= 0)
        observe(sh, H_BEFORE, r->before);
    if (r->orphaned)
        orphan_ended(sh, r);
    else if (r->complete)
        observe(sh, H_DELIVERY, r->spent[RECORD_DELIVERY]);
}

void stats_reached(struct stats_shard *sh, const struct record *r, enum stats_milestone milestone)
{
    switch (milestone) {
    case STATS_ASKED:
        observe(sh, H_BODY_WAIT, r->spent[RECORD_BODY_WAIT]);
        return;
    case STATS_ANSWERED:
        answered(sh, r);
        return;
    case STATS_UPGRADED:
        add(sh, C_UPGRADES, 1);
        return;
    case STATS_ORPHANED:
        orphaned(sh);
        return;
    case STATS_ENDED:
        ended(sh, r);
        return;
    }
}

void stats_connect(struct stats_shard *sh, mono_us us)
{
    observe(sh, H_CONNECT, us);
}

void stats_slot_hold(struct stats_shard *sh, const struct record *r, mono_us us)
{
    observe(sh, r->upgraded ? H_UPGRADE_DURATION : H_SLOT_HOLD, us);
}

void stats_requeued(struct stats_shard *sh, mono_us hold)
{
    CHECK(hold >= 0);
    add(sh, C_REQUEUED, 1);
    add(sh, C_REQUEUED_TIME, (uint64_t)hold);
}

void stats_connection(struct stats_shard *sh, enum stats_side side, enum stats_conn_state state,
                      int change)
{
    CHECK(side <= STATS_UPSTREAM && state <= STATS_IDLE);
    add(sh, stats_connections_cell(side, state), (uint64_t)(int64_t)change);
}

void stats_evicted(struct stats_shard *sh)
{
    add(sh, C_EVICTED, 1);
}

void stats_upstream(struct stats_shard *sh, enum stats_upstream_result result)
{
    CHECK(result <= STATS_REPLAYED);
    add(sh, C_UPSTREAM + (size_t)result, 1);
}

void stats_buffered(struct stats_shard *sh, enum stats_what what, int64_t change)
{
    CHECK(what <= STATS_RESPONSE);
    add(sh, C_BUFFERED + (size_t)what, (uint64_t)change);
}

void stats_backpressure(struct stats_shard *sh, mono_us us)
{
    CHECK(us >= 0);
    add(sh, C_BACKPRESSURE, (uint64_t)us);
}

void stats_wrong(struct stats_shard *sh)
{
    add(sh, C_ACCOUNTING_ERRORS, 1);
}

void stats_aside(struct stats_shard *sh, int change)
{
    add(sh, C_ASIDE, (uint64_t)(int64_t)change);
}

void stats_loop_lag(struct stats_shard *sh, mono_us us)
{
    observe(sh, H_LOOP_LAG, us > 0 ? us : 0);
}

/* ---- auditing ------------------------------------------------------------------------------ */

static uint64_t get(const struct stats_shard *sh, size_t cell)
{
    return atomic_load_explicit(&sh->cell[cell], memory_order_relaxed);
}

static uint64_t get_sum(const struct stats_shard *sh, size_t from, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += get(sh, from + i);
    return total;
}

static uint64_t observed(const struct stats_shard *sh, enum stats_histogram h)
{
    return get_sum(sh, stats_cells_of(h) + 1, sh->buckets[h].n + 1);
}

bool stats_audit(struct stats_shard *sh, const struct stats_present *p)
{
    uint64_t granted = get(sh, C_WAITS + STATS_DISPATCHED);
    uint64_t gone = get(sh, C_WAITS + STATS_CLIENT_GONE); /* a slot may have been granted already */
    uint64_t slots = observed(sh, H_SLOT_HOLD) + observed(sh, H_UPGRADE_DURATION) + p->holding;
    const bool right[] = {
        get_sum(sh, C_REQUESTS, SOURCES * CODES) + p->requests == p->begun,
        granted <= slots && slots <= granted + gone,
        get(sh, C_ORPHANS) == p->orphans,
        get(sh, C_ORPHANED) == observed(sh, H_ORPHAN_HOLD) + p->orphans,
        get(sh, C_UPGRADES) == p->upgrades,
    };
    uint64_t wrong = 0;

    for (size_t i = 0; i < COUNT(right); i++)
        wrong += !right[i];
    add(sh, C_ACCOUNTING_ERRORS, wrong);
    return wrong == 0;
}

/* ---- reading ------------------------------------------------------------------------------ */

void stats_read(const struct stats *s, const struct stats_now *now, struct stats_reading *r)
{
    r->now = now;
    r->buckets = s->buckets;
    r->wait_exemplars = NULL;
    for (size_t c = 0; c < CELLS; c++) {
        r->cell[c] = 0;
        for (unsigned i = 0; i < s->n; i++)
            r->cell[c] += atomic_load_explicit(&s->shards[i].cell[c], memory_order_relaxed);
    }
}

void stats_exemplars(const struct stats *s, struct exemplar *out)
{
    memset(out, 0, EXEMPLARS_MAX * sizeof(*out));
    for (unsigned i = 0; i < s->n; i++)
        exemplars_merge(&s->shards[i].wait_exemplars, out);
}

void stats_read_bypass(const struct stats *s, const struct limiter_snapshot *limiter,
                       struct stats_bypass *out)
{
    *out = (struct stats_bypass){.in_flight = limiter->in_flight,
                                 .queued = limiter->depth,
                                 .accounting_errors = limiter->accounting_errors};
    for (unsigned i = 0; i < s->n; i++) {
        for (size_t by = 0; by < SOURCES; by++)
            out->requests[by] += get_sum(&s->shards[i], C_REQUESTS + by * CODES, CODES);
        out->accounting_errors += get(&s->shards[i], C_ACCOUNTING_ERRORS);
    }
}

static uint64_t not_negative(uint64_t sum)
{
    return (int64_t)sum < 0 ? 0 : sum;
}

uint64_t stats_sum(const struct stats *s, size_t cell)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < s->n; i++)
        sum += get(&s->shards[i], cell);
    return not_negative(sum);
}

uint64_t stats_level(const struct stats_reading *r, size_t cell)
{
    return not_negative(r->cell[cell]);
}

bool stats_paused(const struct stats_reading *r)
{
    return (r->now->limiter.paused & LIMITER_PAUSE_OPERATOR) != 0;
}

uint64_t stats_accounting_errors(const struct stats_reading *r)
{
    return r->cell[C_ACCOUNTING_ERRORS] + r->now->limiter.accounting_errors +
           r->now->bypass.accounting_errors;
}
