/* See status.h. */
#include "proxy/status.h"

#include <inttypes.h>

#include "common/prometheus.h"
#include "proxy/advice.h"
#include "proxy/metrics_app.h"
#include "proxy/stats_reading.h"

static void json_key(struct strbuf *out, const char *key)
{
    char last = out->at[out->len - 1];
    strbuf_addf(out, "%s\"%s\":", last == '{' ? "" : ",", key);
}

static void json_count(struct strbuf *out, const char *key, uint64_t n)
{
    json_key(out, key);
    strbuf_addf(out, "%" PRIu64, n);
}

/* JSON has no infinity: writes null. */
static void json_seconds(struct strbuf *out, const char *key, uint64_t us)
{
    json_key(out, key);
    if (us == (uint64_t)MONO_NEVER)
        strbuf_adds(out, "null");
    else
        prometheus_add_seconds(out, us);
}

static void json_bool(struct strbuf *out, const char *key, bool yes)
{
    json_key(out, key);
    strbuf_adds(out, yes ? "true" : "false");
}

static void json_open(struct strbuf *out, const char *key)
{
    json_key(out, key);
    strbuf_adds(out, "{");
}

static void json_close(struct strbuf *out)
{
    strbuf_adds(out, "}");
}

/* UINT32_MAX: no limit. */
static void json_limit(struct strbuf *out, uint32_t limit)
{
    if (limit == UINT32_MAX) {
        json_key(out, "limit");
        strbuf_adds(out, "\"unlimited\"");
    } else {
        json_count(out, "limit", limit);
    }
}

static void json_queue(const struct stats_reading *r, struct strbuf *out)
{
    const struct limiter_snapshot *l = &r->now->limiter;
    json_open(out, "queue");
    json_key(out, "order");
    strbuf_adds(out, r->now->fifo ? "\"fifo\"" : "\"adaptive\"");
    json_count(out, "depth", l->depth);
    json_count(out, "limit", l->queue_length);
    json_count(out, "bytes", l->bytes);
    json_count(out, "limit_bytes", r->now->queue_max_bytes);
    json_bool(out, "paused", l->paused != 0);
    json_seconds(out, "timeout_seconds", (uint64_t)r->now->queue_timeout);
    json_seconds(out, "oldest_wait_seconds", (uint64_t)l->oldest_wait);
    json_seconds(out, "drain_seconds", (uint64_t)l->drain);
    json_close(out);
}

static void json_overload(const struct stats_reading *r, struct strbuf *out)
{
    const struct limiter_snapshot *l = &r->now->limiter;

    json_open(out, "overload");
    json_bool(out, "active", l->overload);
    json_seconds(out, "seconds", l->overload_us);
    json_open(out, "begun");
    for (size_t i = 0; i < OVERLOAD_CAUSES; i++)
        json_count(out, stats_cause_names[i], l->overloads[i]);
    json_close(out);
    json_seconds(out, "allowance_seconds", (uint64_t)l->allowance);
    json_open(out, "patience_seconds");
    for (size_t i = 0; i < STATS_QUANTILES; i++)
        json_seconds(out, stats_quantiles[i].name, (uint64_t)r->now->patience[i]);
    json_close(out);
    json_count(out, "overtaken", l->overtaken);
    json_count(out, "evicted", l->evicted);
    json_count(out, "wasted", l->wasted);
    json_close(out);
}

static void json_bypass(const struct stats_reading *r, struct strbuf *out)
{
    json_open(out, "bypass");
    json_count(out, "in_flight", r->now->bypass.in_flight);
    json_count(out, "queued", r->now->bypass.queued);
    json_count(out, "limit", r->now->bypass.limit);
    json_close(out);
}

/* null: there is no agent port. The reply is that of the latest check. */
static void json_agent(const struct stats_reading *r, struct strbuf *out)
{
    const struct stats_agent *a = &r->now->agent;
    uint64_t checks = 0;

    if (!a->on) {
        json_key(out, "agent");
        strbuf_adds(out, "null");
        return;
    }
    for (int i = 0; i < STATS_AGENT_REPLIES; i++)
        checks += a->replies[i];
    json_open(out, "agent");
    json_key(out, "reply");
    strbuf_add_json(out, checks > 0 ? span_of(stats_agent_names[a->last]) : SPAN("none"));
    json_count(out, "weight_percent", a->weight);
    json_count(out, "checks", checks);
    json_close(out);
}

static void json_ends(const struct stats_reading *r, struct strbuf *out)
{
    json_open(out, "clients");
    json_count(out, "active", stats_level(r, stats_connections_cell(STATS_CLIENT, STATS_ACTIVE)));
    json_count(out, "idle", stats_level(r, stats_connections_cell(STATS_CLIENT, STATS_IDLE)));
    json_limit(out, r->now->client_connections_max);
    json_close(out);
    json_open(out, "upstream");
    json_bool(out, "ready", r->now->upstream_ready);
    json_key(out, "state");
    strbuf_add_json(out, span_of(r->now->upstream_state));
    json_seconds(out, "startup_seconds", (uint64_t)r->now->upstream_startup);
    json_count(out, "active", stats_level(r, stats_connections_cell(STATS_UPSTREAM, STATS_ACTIVE)));
    json_count(out, "idle", stats_level(r, stats_connections_cell(STATS_UPSTREAM, STATS_IDLE)));
    json_limit(out, stats_upstream_limit(r->now));
    json_close(out);
    json_count(out, "orphans", stats_level(r, C_ORPHANS));
    json_count(out, "upgrades", stats_level(r, C_UPGRADES));
    json_count(out, "buffered_bytes",
               stats_level(r, C_BUFFERED + STATS_REQUEST) +
                   stats_level(r, C_BUFFERED + STATS_RESPONSE));
    json_count(out, "buffered_limit_bytes", r->now->buffers_budget);
}

static uint64_t sum(const struct stats_reading *r, size_t from, size_t n)
{
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += r->cell[from + i];
    return total;
}

static void json_waits(const struct stats_reading *r, struct strbuf *out)
{
    json_open(out, "waits");
    json_count(out, "without_wait", r->cell[stats_cells_of(H_QUEUE_WAIT) + 1]);
    for (size_t o = 0; o < STATS_OUTCOMES; o++) {
        json_open(out, stats_outcome_names[o]);
        json_count(out, "count", r->cell[C_WAITS + o]);
        json_seconds(out, "seconds", r->cell[C_WAITED + o]);
        json_close(out);
    }
    json_close(out);
}

static void json_named(const struct stats_reading *r, struct strbuf *out, const char *key,
                       const char *const *names, size_t n, size_t cell)
{
    json_open(out, key);
    for (size_t i = 0; i < n; i++)
        json_count(out, names[i], r->cell[cell + i]);
    json_close(out);
}

static void json_totals(const struct stats_reading *r, struct strbuf *out)
{
    const struct limiter_snapshot *l = &r->now->limiter;
    json_open(out, "totals");
    json_open(out, "requests");
    for (size_t i = 0; i < SOURCES; i++)
        json_count(out, stats_source_names[i], sum(r, C_REQUESTS + i * CODES, CODES));
    json_close(out);
    json_named(r, out, "rejected", stats_reason_names, STATS_REASONS, C_REJECTED);
    json_waits(r, out);
    json_named(r, out, "upstream_connections", stats_upstream_names, STATS_REPLAYED + 1,
               C_UPSTREAM);
    json_count(out, "orphaned", r->cell[C_ORPHANED]);
    json_count(out, "requeued", r->cell[C_REQUEUED]);
    json_seconds(out, "in_flight_seconds", l->in_flight_us);
    json_seconds(out, "queued_seconds", l->queued_us);
    json_seconds(out, "saturated_seconds", l->saturated_us);
    json_open(out, "config_reloads");
    json_count(out, "applied", r->now->reloads_applied);
    json_count(out, "rejected", r->now->reloads_rejected);
    json_close(out);
    json_count(out, "accounting_errors", stats_accounting_errors(r));
    json_close(out);
}

static void json_seconds_past(const struct history *h, struct strbuf *out, const char *key,
                              unsigned seconds)
{
    struct history_summary s;

    history_summarize(h, seconds, &s);
    json_key(out, key);
    history_write_summary(&s, out);
}

static void json_advice(const struct stats_now *now, const struct history *history,
                        struct strbuf *out)
{
    struct history_summary recent;
    struct strbuf sentence = {0};
    const struct advice_facts facts = {
        .verdict = now->app.verdict,
        .estimate = now->app.estimate,
        .unread_told = now->app.told,
        .unread = now->app.unread + now->app.accept_queue,
        .draining = now->draining,
        .paused = (now->limiter.paused & LIMITER_PAUSE_OPERATOR) != 0,
        .enforcing = now->enforcing,
        .overload = now->limiter.overload,
        .limit = now->limiter.limit,
        .in_flight = now->limiter.in_flight,
        .queued = now->limiter.depth,
        .recent = &recent,
    };

    history_summarize(history, HISTORY_RECENT, &recent);
    advice_write(&facts, &sentence);
    json_key(out, "advice");
    strbuf_add_json(out, (struct span){strbuf_cstr(&sentence), sentence.len});
    strbuf_fini(&sentence);
}

static void json_app(const struct stats_now *now, const struct history *history, struct strbuf *out)
{
    json_key(out, "app");
    metrics_app_json(&now->app, out);
    json_advice(now, history, out);
}

void status_write(const struct stats *s, const struct stats_now *now, const struct history *history,
                  struct strbuf *out)
{
    struct stats_reading r;

    stats_read(s, now, &r);
    strbuf_adds(out, "{");
    json_key(out, "version");
    strbuf_add_json(out, SPAN(WEIR_VERSION));
    json_key(out, "revision");
    strbuf_add_json(out, SPAN(WEIR_REVISION));
    json_count(out, "started", (uint64_t)history_started(history));
    json_limit(out, now->limiter.limit);
    json_count(out, "in_flight", now->limiter.in_flight);
    json_bool(out, "enforcing", now->enforcing);
    json_bool(out, "paused", stats_paused(&r));
    json_bool(out, "draining", now->draining);
    json_queue(&r, out);
    json_overload(&r, out);
    json_bypass(&r, out);
    json_agent(&r, out);
    json_ends(&r, out);
    json_seconds_past(history, out, "recent", HISTORY_RECENT);
    json_seconds_past(history, out, "last", 1);
    json_app(now, history, out);
    json_totals(&r, out);
    strbuf_adds(out, "}\n");
}
