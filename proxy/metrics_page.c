/*
 * Each metric family is a row of `families`, with its name, its help and the function that prints
 * it. So the page and docs/metrics.md always list the same families.
 */
#include "proxy/metrics_page.h"

#include "common/prometheus.h"
#include "proxy/stats_reading.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* These codes are always present, so that a rate() over them includes their first increment. */
static const unsigned app_codes[] = {101, 200, 201, 204, 301, 302, 304, 400, 401,
                                     403, 404, 422, 429, 500, 502, 503, 504};
static const unsigned weir_codes[] = {400, 405, 408, 413, 414, 417, 429,
                                      431, 501, 502, 503, 504, 505};
static const unsigned nobody_codes[] = {499};
static const struct {
    const unsigned *codes;
    size_t n;
} presets[SOURCES] = {
    [STATS_SOURCE_APP] = {app_codes, COUNT(app_codes)},
    [STATS_SOURCE_WEIR] = {weir_codes, COUNT(weir_codes)},
    [STATS_SOURCE_CLIENT_GONE] = {nobody_codes, COUNT(nobody_codes)},
};

static bool is_preset(size_t source, unsigned code)
{
    for (size_t i = 0; i < presets[source].n; i++) {
        if (presets[source].codes[i] == code)
            return true;
    }
    return false;
}

/* ---- the families ------------------------------------------------------------------------- */

struct family;
typedef void family_print_fn(const struct family *f, const struct stats_reading *r,
                             struct strbuf *out);

struct family {
    const char *name, *type, *labels, *help;
    family_print_fn *print;
    size_t from; /* its first cell, or its histogram, if its numbers are kept in shards */
};

static const struct prometheus_label client_side[] = {{"side", "client"}, {NULL, NULL}};
static const struct prometheus_label upstream_side[] = {{"side", "upstream"}, {NULL, NULL}};

static void print_build_info(const struct family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    (void)r;
    const struct prometheus_label labels[] = {
        {"version", WEIR_VERSION}, {"revision", WEIR_REVISION}, {NULL, NULL}};
    prometheus_count(out, f->name, labels, 1);
}

/* UINT32_MAX: no limit. */
static void print_limit(const char *name, const struct prometheus_label *labels, uint32_t limit,
                        struct strbuf *out)
{
    if (limit == UINT32_MAX)
        prometheus_infinity(out, name, labels);
    else
        prometheus_count(out, name, labels, limit);
}

static void print_concurrency_limit(const struct family *f, const struct stats_reading *r,
                                    struct strbuf *out)
{
    print_limit(f->name, NULL, r->now->limiter.limit, out);
}

static void print_queue_limit(const struct family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->limiter.queue_length);
}

static void print_queue_bytes(const struct family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->limiter.bytes);
}

static void print_queue_limit_bytes(const struct family *f, const struct stats_reading *r,
                                    struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->queue_max_bytes);
}

static void print_upgrades_limit(const struct family *f, const struct stats_reading *r,
                                 struct strbuf *out)
{
    print_limit(f->name, NULL, r->now->upgrades_max, out);
}

static void print_connections_limit(const struct family *f, const struct stats_reading *r,
                                    struct strbuf *out)
{
    print_limit(f->name, client_side, r->now->client_connections_max, out);
    print_limit(f->name, upstream_side, stats_upstream_limit(r->now), out);
}

static void print_buffered_limit(const struct family *f, const struct stats_reading *r,
                                 struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->buffers_budget);
}

static void print_queue_timeout(const struct family *f, const struct stats_reading *r,
                                struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, (uint64_t)r->now->queue_timeout);
}

static void print_in_flight(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->limiter.in_flight);
}

static void print_queue_depth(const struct family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    /* The limiter keeps the long-lived requests of each class as a class of their own. */
    for (unsigned k = 0; k < r->now->classes; k++) {
        const struct prometheus_label labels[] = {{"class", r->now->class_names[k]}, {NULL, NULL}};
        const uint32_t *depth = &r->now->limiter.class_depth[2 * k];
        prometheus_count(out, f->name, labels, (uint64_t)depth[0] + depth[1]);
    }
}

static void print_oldest_wait(const struct family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, (uint64_t)r->now->limiter.oldest_wait);
}

static void print_drain(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, (uint64_t)r->now->limiter.drain);
}

static void print_overload(const struct family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->limiter.overload);
}

static void print_overloads(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    for (size_t i = 0; i < OVERLOAD_CAUSES; i++) {
        const struct prometheus_label labels[] = {{"cause", stats_cause_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->now->limiter.overloads[i]);
    }
}

static void print_overload_time(const struct family *f, const struct stats_reading *r,
                                struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, r->now->limiter.overload_us);
}

static void print_allowance(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, (uint64_t)r->now->limiter.allowance);
}

static void print_patience(const struct family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t i = 0; i < STATS_QUANTILES; i++) {
        const struct prometheus_label labels[] = {{"quantile", stats_quantiles[i].name},
                                                  {NULL, NULL}};
        prometheus_seconds(out, f->name, labels, (uint64_t)r->now->patience[i]);
    }
}

static void print_overtaken(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->limiter.overtaken);
}

static void print_wasted(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->limiter.wasted);
}

static void print_request_seconds(const struct family *f, const struct stats_reading *r,
                                  struct strbuf *out)
{
    const struct prometheus_label in_flight[] = {{"state", "in_flight"}, {NULL, NULL}};
    const struct prometheus_label queued[] = {{"state", "queued"}, {NULL, NULL}};
    prometheus_seconds(out, f->name, in_flight, r->now->limiter.in_flight_us);
    prometheus_seconds(out, f->name, queued, r->now->limiter.queued_us);
}

static void print_saturated(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, r->now->limiter.saturated_us);
}

static void print_one_histogram(const struct family *f, const struct stats_reading *r,
                                enum stats_histogram h, const struct prometheus_label *labels,
                                struct strbuf *out)
{
    const struct buckets *b = &r->buckets[h];
    const uint64_t *at = &r->cell[stats_cells_of(h)];

    prometheus_histogram(out, f->name, labels, b->bound, at + 1, b->n, at[0]);
}

static void print_histogram(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    print_one_histogram(f, r, (enum stats_histogram)f->from, NULL, out);
}

static void print_durations(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    for (size_t by = 0; by < SOURCES; by++) {
        const struct prometheus_label labels[] = {{"source", stats_source_names[by]}, {NULL, NULL}};
        print_one_histogram(f, r, (enum stats_histogram)(f->from + by), labels, out);
    }
}

static void print_waits(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    for (size_t o = 0; o < STATS_OUTCOMES; o++) {
        const struct prometheus_label labels[] = {{"outcome", stats_outcome_names[o]},
                                                  {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->cell[f->from + o]);
    }
}

static void print_waited(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    for (size_t o = 0; o < STATS_OUTCOMES; o++) {
        const struct prometheus_label labels[] = {{"outcome", stats_outcome_names[o]},
                                                  {NULL, NULL}};
        prometheus_seconds(out, f->name, labels, r->cell[f->from + o]);
    }
}

static void print_rejected(const struct family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t i = 0; i < STATS_REASONS; i++) {
        const struct prometheus_label labels[] = {{"reason", stats_reason_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->cell[f->from + i]);
    }
}

static void print_code(const struct family *f, const char *code, const char *source, uint64_t n,
                       struct strbuf *out)
{
    const struct prometheus_label labels[] = {{"code", code}, {"source", source}, {NULL, NULL}};
    prometheus_count(out, f->name, labels, n);
}

static void print_requests_of(const struct family *f, const struct stats_reading *r, size_t source,
                              struct strbuf *out)
{
    for (unsigned code = CODE_FIRST; code <= CODE_LAST; code++) {
        uint64_t n = r->cell[stats_requests_cell((enum stats_source)source, code)];
        char text[4] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                        (char)('0' + code % 10), '\0'};
        if (n > 0 || is_preset(source, code))
            print_code(f, text, stats_source_names[source], n, out);
    }
    uint64_t other = r->cell[stats_requests_cell((enum stats_source)source, 0)];
    if (other > 0)
        print_code(f, "other", stats_source_names[source], other, out);
}

static void print_requests(const struct family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t source = 0; source < SOURCES; source++)
        print_requests_of(f, r, source, out);
}

static void print_counter(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->cell[f->from]);
}

static void print_gauge(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, stats_level(r, f->from));
}

static void print_ready(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->upstream_ready);
}

static void print_paused(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, stats_paused(r));
}

static void print_startup(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, (uint64_t)r->now->upstream_startup);
}

static void print_enforcing(const struct family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->enforcing);
}

static void print_agent_checks(const struct family *f, const struct stats_reading *r,
                               struct strbuf *out)
{
    for (size_t i = 0; i < STATS_AGENT_REPLIES; i++) {
        const struct prometheus_label reply[] = {{"reply", stats_agent_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, reply, r->now->agent.replies[i]);
    }
}

static void print_agent_weight(const struct family *f, const struct stats_reading *r,
                               struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->agent.weight);
}

static void print_reloads(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    const struct prometheus_label applied[] = {{"result", "applied"}, {NULL, NULL}};
    const struct prometheus_label rejected[] = {{"result", "rejected"}, {NULL, NULL}};
    prometheus_count(out, f->name, applied, r->now->reloads_applied);
    prometheus_count(out, f->name, rejected, r->now->reloads_rejected);
}

static void print_upstream(const struct family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t i = 0; i < COUNT(stats_upstream_names); i++) {
        const struct prometheus_label labels[] = {{"result", stats_upstream_names[i]},
                                                  {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->cell[f->from + i]);
    }
}

static void print_connections(const struct family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    static const char *const sides[] = {"client", "upstream"};
    static const char *const states[] = {"active", "idle"};
    for (size_t i = 0; i < 4; i++) {
        const struct prometheus_label labels[] = {
            {"side", sides[i / 2]}, {"state", states[i % 2]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, stats_level(r, f->from + i));
    }
}

static void print_buffered(const struct family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    static const char *const kept[] = {[STATS_REQUEST] = "request", [STATS_RESPONSE] = "response"};
    for (size_t i = 0; i < COUNT(kept); i++) {
        const struct prometheus_label labels[] = {{"what", kept[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, stats_level(r, f->from + i));
    }
}

static void print_bypass_limit(const struct family *f, const struct stats_reading *r,
                               struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->bypass.limit);
}

static void print_bypass_in_flight(const struct family *f, const struct stats_reading *r,
                                   struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->now->bypass.in_flight);
}

static void print_bypass_requests(const struct family *f, const struct stats_reading *r,
                                  struct strbuf *out)
{
    for (size_t by = 0; by < SOURCES; by++) {
        const struct prometheus_label labels[] = {{"source", stats_source_names[by]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->now->bypass.requests[by]);
    }
}

static void print_time(const struct family *f, const struct stats_reading *r, struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, r->cell[f->from]);
}

static void print_accounting(const struct family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, stats_accounting_errors(r));
}

#define OUTCOME_LABELS "outcome=dispatched, timeout, client_gone, drained, evicted, dry_run"
#define CAUSE_LABELS   "cause=hopeless, crowded, waste"
#define REASON_LABELS                                                                              \
    "reason=queue_full, queue_timeout, not_ready, draining, bytes, upgrades, evicted, deadline"

static const struct family families[] = {
    {"weir_build_info", "gauge", "version, revision",
     "Always 1; the labels show the running version.", print_build_info, 0},
    {"weir_requests_in_flight", "gauge", "",
     "Slots held: requests inside the app, including orphans.", print_in_flight, 0},
    {"weir_concurrency_limit", "gauge", "",
     "Maximum number of requests inside the app at once; +Inf if unlimited.",
     print_concurrency_limit, 0},
    {"weir_enforcing", "gauge", "",
     "1 if requests wait and are refused; 0 in a dry run (enforce is false), in which the metrics "
     "of "
     "slots, waits and refusals tell what would have been.",
     print_enforcing, 0},
    {"weir_queue_depth", "gauge", "class", "Requests waiting for a slot.", print_queue_depth, 0},
    {"weir_queue_limit", "gauge", "", "Maximum number of waiting requests.", print_queue_limit, 0},
    {"weir_queue_bytes", "gauge", "", "Memory used by waiting requests.", print_queue_bytes, 0},
    {"weir_queue_limit_bytes", "gauge", "",
     "Maximum memory used by waiting requests: queue.max_bytes.", print_queue_limit_bytes, 0},
    {"weir_queue_oldest_wait_seconds", "gauge", "",
     "Time that the first request in the queue has waited; 0 if the queue is empty.",
     print_oldest_wait, 0},
    {"weir_queue_timeout_seconds", "gauge", "", "Maximum time that a request waits.",
     print_queue_timeout, 0},
    {"weir_queue_drain_seconds", "gauge", "",
     "Estimated time to serve all requests now in the queue; the basis of Retry-After.",
     print_drain, 0},
    {"weir_queue_overload", "gauge", "",
     "1 during an overload of the queue, otherwise 0. An overload begins with lasting evidence "
     "that "
     "requests wait in vain, and ends when the queue is empty.",
     print_overload, 0},
    {"weir_queue_overload_total", "counter", CAUSE_LABELS,
     "Overloads of the queue, by the evidence with which they began. hopeless: the queue was full, "
     "or longer than a newcomer may wait; crowded: the first request had waited longer than "
     "clients do; waste: slots went to requests whose clients had left.",
     print_overloads, 0},
    {"weir_queue_overload_seconds_total", "counter", "",
     "Time during which the queue was overloaded.", print_overload_time, 0},
    {"weir_queue_allowance_seconds", "gauge", "",
     "Time that a request may wait in an overload before others pass it: half of the wait "
     "that clients are known to accept, or a quarter of the mean slot hold while that is unknown; "
     "+Inf "
     "before the first release of a slot.",
     print_allowance, 0},
    {"weir_client_patience_seconds", "summary", "quantile=0.1, 0.5, 0.9",
     "Time within which this share of the clients leaves if they are not served, estimated from "
     "those that left and those that were served before they would have; +Inf while unknown.",
     print_patience, 0},
    {"weir_queue_overtaken_total", "counter", "",
     "Requests that were granted a slot after one of their class that had arrived later; only in "
     "an overload.",
     print_overtaken, 0},
    {"weir_requests_wasted_total", "counter", "",
     "Requests that were granted a slot in vain: the client left before the response began, or the "
     "response came after the deadline that the client had declared.",
     print_wasted, 0},
    {"weir_request_seconds_total", "counter", "state=in_flight, queued",
     "Time integral of the requests in flight and of the requests queued; its rate() is the "
     "exact mean.",
     print_request_seconds, 0},
    {"weir_saturated_seconds_total", "counter", "", "Time during which no slot was free.",
     print_saturated, 0},
    {"weir_queue_wait_seconds", "histogram", "",
     "Blocking time: from the moment a request becomes eligible for a slot until the slot "
     "is granted or the request leaves the queue without one; le=\"0\" counts requests that did "
     "not wait.",
     print_histogram, H_QUEUE_WAIT},
    {"weir_queue_waits_total", "counter", OUTCOME_LABELS,
     "Finished waits for a slot, including those of zero length, by outcome.", print_waits,
     C_WAITS},
    {"weir_queue_waited_seconds_total", "counter", OUTCOME_LABELS,
     "Total duration of finished waits for a slot, by outcome.", print_waited, C_WAITED},
    {"weir_requests_rejected_total", "counter", REASON_LABELS,
     "Requests refused by weir because of load or state, by reason.", print_rejected, C_REJECTED},
    {"weir_requests_total", "counter", "code, source=app, weir, client_gone",
     "Finished requests, by status code and by the source of the response; 499 means that the "
     "client disconnected first.",
     print_requests, C_REQUESTS},
    {"weir_request_duration_seconds", "histogram", "source=app, weir, client_gone",
     "Time from the first byte of the request to the last byte of the response, or until "
     "the client disconnects, by the source of the response; excludes upgraded connections.",
     print_durations, H_DURATION},
    {"weir_request_body_wait_seconds", "histogram", "",
     "Time that requests with a body waited for it before they asked for a slot; 0 if the body "
     "arrived with the headers, or if enough slots were free.",
     print_histogram, H_BODY_WAIT},
    {"weir_upstream_connect_seconds", "histogram", "",
     "Time from the grant of the slot to a usable connection to the app; 0 if a connection was "
     "reused.",
     print_histogram, H_CONNECT},
    {"weir_upstream_first_byte_seconds", "histogram", "",
     "Time from sending the request to the first byte of the app's response.", print_histogram,
     H_FIRST_BYTE},
    {"weir_slot_hold_seconds", "histogram", "",
     "Time from the grant of a slot to its release, which is the time that a request was inside "
     "the app; excludes upgraded connections.",
     print_histogram, H_SLOT_HOLD},
    {"weir_requests_requeued_total", "counter", "",
     "Requests that went back to their place in the queue because the app was down (it refused "
     "their connection, or had closed the reused one that they were sent on), or because the "
     "deadline that their client had declared passed before they were sent.",
     print_counter, C_REQUEUED},
    {"weir_requeued_hold_seconds_total", "counter", "",
     "Time that requests held slots in which they were not sent; not part of "
     "weir_slot_hold_seconds.",
     print_time, C_REQUEUED_TIME},
    {"weir_response_delivery_seconds", "histogram", "",
     "Time from the last byte received from the app to the last byte sent to the client; no "
     "slot is held meanwhile.",
     print_histogram, H_DELIVERY},
    {"weir_client_backpressure_seconds_total", "counter", "",
     "Time during which slots were held because clients read slowly: buffers.response was full.",
     print_time, C_BACKPRESSURE},
    {"weir_upgrades_in_flight", "gauge", "", "Upgraded connections (WebSocket); each holds a slot.",
     print_gauge, C_UPGRADES},
    {"weir_upgrades_limit", "gauge", "",
     "Maximum number of upgraded connections; +Inf if unlimited.", print_upgrades_limit, 0},
    {"weir_upgrade_duration_seconds", "histogram", "",
     "Time that upgraded connections held their slots.", print_histogram, H_UPGRADE_DURATION},
    {"weir_orphans_in_flight", "gauge", "",
     "Requests inside the app whose client has disconnected; each still holds its slot.",
     print_gauge, C_ORPHANS},
    {"weir_requests_orphaned_total", "counter", "",
     "Requests whose client disconnected while they were inside the app.", print_counter,
     C_ORPHANED},
    {"weir_orphan_hold_seconds", "histogram", "",
     "Time that a slot remained held after the client had disconnected.", print_histogram,
     H_ORPHAN_HOLD},
    {"weir_paused", "gauge", "",
     "1 while an operator has paused weir (weir pause), otherwise 0; all requests but those to "
     "bypass.paths then wait in the queue.",
     print_paused, 0},
    {"weir_bypass_in_flight", "gauge", "",
     "Requests to bypass.paths inside the app. They hold no slot of weir_concurrency_limit, and no "
     "other metric of requests, slots or the queue includes them.",
     print_bypass_in_flight, 0},
    {"weir_bypass_limit", "gauge", "",
     "Maximum number of requests to bypass.paths inside the app at once; 0 without such paths.",
     print_bypass_limit, 0},
    {"weir_bypass_requests_total", "counter", "source=app, weir, client_gone",
     "Finished requests to bypass.paths, by the source of the response.", print_bypass_requests, 0},
    {"weir_upstream_ready", "gauge", "",
     "1 while the app is up; 0 until it has passed its startup probe, and while it refuses "
     "connections or fails its health checks.",
     print_ready, 0},
    {"weir_upstream_startup_seconds", "gauge", "",
     "Time that the app took to become ready; 0 until it is known.", print_startup, 0},
    {"weir_upstream_connections_total", "counter", "result=opened, reused, failed, replayed",
     "Connections to the app, by result; replayed: a reused connection was closed by the app "
     "and the request was sent again.",
     print_upstream, C_UPSTREAM},
    {"weir_connections", "gauge", "side=client, upstream; state=active, idle",
     "Open connections; idle ones carry no request.", print_connections, C_CONNECTIONS},
    {"weir_connections_limit", "gauge", "side=client, upstream",
     "Maximum number of connections; +Inf if unlimited.", print_connections_limit, 0},
    {"weir_connections_evicted_total", "counter", "",
     "Client connections closed to make room for new ones: those that had waited longest for "
     "their client's next byte.",
     print_counter, C_EVICTED},
    {"weir_buffered_bytes", "gauge", "what=request, response",
     "Bytes in buffers: those of requests that are incomplete, wait behind another, or are not "
     "yet read by the app, and those of responses that cannot be forwarded yet or are not yet read "
     "by the client.",
     print_buffered, C_BUFFERED},
    {"weir_buffered_limit_bytes", "gauge", "",
     "Maximum of weir_buffered_bytes for requests and responses together, at which weir stops "
     "reading ahead: buffers.budget.",
     print_buffered_limit, 0},
    {"weir_agent_checks_total", "counter", "reply=up, drain, down",
     "Checks of the balancers on the agent port (agent.listen), by reply.", print_agent_checks, 0},
    {"weir_agent_weight_percent", "gauge", "",
     "Weight in the latest reply on the agent port, from 1 to 100; 0 unless that reply was \"up\".",
     print_agent_weight, 0},
    {"weir_config_reloads_total", "counter", "result=applied, rejected",
     "Changes to the configuration while weir was running: reloads and commands. A rejected one "
     "had an error, which is in the log, and changed nothing.",
     print_reloads, 0},
    {"weir_accounting_error_total", "counter", "",
     "Inconsistencies in weir's accounting; any value but 0 indicates a bug in weir. Checked at "
     "each grant: more requests inside than the limit. Checked at each scrape: slots granted "
     "but neither held nor released, requests begun but neither finished nor present, and "
     "counts of orphans and upgrades that differ from those present (a scrape shows what the "
     "previous one found).",
     print_accounting, C_ACCOUNTING_ERRORS},
};

void metrics_page_write(const struct stats *s, const struct stats_now *now, struct strbuf *out)
{
    struct stats_reading r;

    stats_read(s, now, &r);
    for (size_t i = 0; i < COUNT(families); i++) {
        prometheus_head(out, families[i].name, families[i].type, families[i].help);
        families[i].print(&families[i], &r, out);
    }
    prometheus_process(out);
}

/* ---- docs/metrics.md ---------------------------------------------------------------------- */

static const char docs_top[] =
    "# Metrics\n"
    "\n"
    "This file is generated from the table in `proxy/metrics_page.c`; a test fails if it is\n"
    "stale.\n"
    "\n"
    "`GET /metrics` on the admin port returns the Prometheus text format 0.0.4. Times are in\n"
    "seconds, with microsecond resolution. Every series is present from the first scrape,\n"
    "with the value 0; only uncommon status codes appear with their first request. Each code\n"
    "from 100 to 599 has a series of its own, and all others, which an app may send, share\n"
    "`other`, so an app can create at most 501 series. No label contains a path, a method, a\n"
    "host or a client, so the number of series does not depend on the traffic: with the\n"
    "default timeouts there are about 410, of which `weir_queue_wait_seconds` has 156.\n"
    "\n"
    "| name | type | labels | meaning |\n"
    "|---|---|---|---|\n";

static const char docs_histograms[] =
    "\n"
    "## Buckets\n"
    "\n"
    "The error of a quantile computed by `histogram_quantile()` is at most the width of one\n"
    "bucket. `weir_queue_wait_seconds` is designed for quantiles. From a fiftieth of\n"
    "`queue.timeout` to just above it, adjacent bounds are at most 5% apart, so a quantile\n"
    "in that range has an error of at most 5%, whatever the distribution of the waits; one\n"
    "bound is 1% above the timeout, and requests that waited for the full timeout fall below\n"
    "it. Below that range the bounds are 10% apart, and below a ten-thousandth of the\n"
    "timeout 35%: for waits that are spread out, as they are with an app whose response\n"
    "times vary, a quantile there still has an error of at most 2%. The first two bounds are\n"
    "0, for requests that did not wait, and 1 ms. A few bounds above the timeout lead up to\n"
    "`startup.timeout`; only requests that wait for the app to start reach them.\n"
    "\n"
    "The bounds depend on `queue.timeout` at the start of weir: a sum by `le` over pods with\n"
    "different timeouts is wrong, and so is a sum during a rollout that changes the timeout. A\n"
    "reload keeps the bounds; if it raises the timeout, quantiles above the old one are coarse\n"
    "until weir is restarted.\n"
    "\n"
    "The other histograms are meant for means (`_sum` / `_count`) and for the share below a\n"
    "bound; both are exact. Their bounds are listed below, plus one bound 1% above each\n"
    "timeout that limits the measured time: with the defaults 10.1, 30.3 and 303 for the\n"
    "request duration. Quantiles of these histograms are only as precise as their bounds.\n"
    "\n"
    "| histogram | bounds in seconds |\n"
    "|---|---|\n";

static const char docs_questions[] =
    "## Questions and their queries\n"
    "\n"
    "Each query selects one app and groups by pod, so that different apps in the same\n"
    "Prometheus are not mixed. `app=\"web\"` stands for the selector of your app, for instance\n"
    "`namespace=\"shop\", pod=~\"web-.+\"`. Outside Kubernetes the labels `namespace` and `pod`\n"
    "do not exist: group `by (job, instance)`. To see an app as a whole, leave `pod` out of\n"
    "`by (...)`.\n"
    "\n"
    "How long do requests block before they enter the app? This is the 99th percentile over\n"
    "all outcomes; use 0.5 for the median:\n"
    "\n"
    "```promql\n"
    "histogram_quantile(0.99, sum by (namespace, pod, le) (\n"
    "  rate(weir_queue_wait_seconds_bucket{app=\"web\"}[5m])))\n"
    "```\n"
    "\n"
    "What share of the requests did not wait at all?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_wait_seconds_bucket{le=\"0\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_wait_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long did the requests that entered the app wait, on average?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_waited_seconds_total{outcome=\"dispatched\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_waits_total{outcome=\"dispatched\", app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "What share of the app's responses took at most half a second in total? 0.5 is a\n"
    "bound, so the result is exact. Refusals, which take almost no time, have `source=\"weir\"`\n"
    "and are excluded:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (rate(\n"
    "  weir_request_duration_seconds_bucket{source=\"app\", le=\"0.5\", app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (rate(\n"
    "  weir_request_duration_seconds_count{source=\"app\", app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long is a request inside the app, on average?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_slot_hold_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_slot_hold_seconds_count{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How many requests are inside the app, and how many wait, on average? The result is exact\n"
    "at any scrape interval, whereas a gauge shows only the moment of the scrape.\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, state) (\n"
    "  rate(weir_request_seconds_total{app=\"web\"}[1m]))\n"
    "```\n"
    "\n"
    "For what share of the time was no slot free?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_saturated_seconds_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "What share of the requests is refused, and why?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, reason) (\n"
    "  rate(weir_requests_rejected_total{app=\"web\"}[5m]))\n"
    "/ on (namespace, pod) group_left ()\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_requests_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n";

static const char docs_overload[] =
    "For what share of the time was the queue overloaded?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_queue_overload_seconds_total{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "Which share of the slots is granted in vain? In an overload, `queue.order` keeps this low; a\n"
    "higher share than the share of clients that leave at random means that clients give up\n"
    "without closing their connection, or that the app itself is slower than they wait:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_requests_wasted_total{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_queue_waits_total{outcome=\"dispatched\", app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How long does the least patient tenth of the clients wait? +Inf means that too few have left\n"
    "to know:\n"
    "\n"
    "```promql\n"
    "min by (namespace, pod) (\n"
    "  weir_client_patience_seconds{quantile=\"0.1\", app=\"web\"})\n"
    "```\n"
    "\n"
    "How many replicas does the load require? The load is the number of requests inside and\n"
    "waiting; each replica is filled to 70% of its limit (Knative's rule). The result\n"
    "is for the app as a whole and therefore not grouped by pod. It is meaningless if\n"
    "`concurrency` is unlimited.\n"
    "\n"
    "```promql\n"
    "ceil(\n"
    "  sum by (namespace) (\n"
    "    rate(weir_request_seconds_total{app=\"web\"}[1m]))\n"
    "  / (0.7 * max by (namespace) (\n"
    "    weir_concurrency_limit{app=\"web\"})))\n"
    "```\n"
    "\n"
    "What share of the app's capacity is spent on clients that have disconnected?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  rate(weir_orphan_hold_seconds_sum{app=\"web\"}[5m]))\n"
    "/ sum by (namespace, pod) (\n"
    "  rate(weir_slot_hold_seconds_sum{app=\"web\"}[5m]))\n"
    "```\n"
    "\n"
    "How full are the buffers, and how close is the number of connections to its limit?\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (weir_buffered_bytes{app=\"web\"})\n"
    "/ sum by (namespace, pod) (weir_buffered_limit_bytes{app=\"web\"})\n"
    "```\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod, side) (weir_connections{app=\"web\"})\n"
    "/ sum by (namespace, pod, side) (weir_connections_limit{app=\"web\"})\n"
    "```\n"
    "\n"
    "Is weir's accounting consistent? The result must always be 0:\n"
    "\n"
    "```promql\n"
    "sum by (namespace, pod) (\n"
    "  increase(weir_accounting_error_total{app=\"web\"}[10m]))\n"
    "```\n";

static void docs_row(struct strbuf *out, const char *name, const char *type, const char *labels,
                     const char *help)
{
    strbuf_addf(out, "| `%s` | %s | %s | %s |\n", name, type, labels, help);
}

static void docs_bounds(struct strbuf *out, const char *name, enum stats_histogram h)
{
    size_t n;
    const mono_us *bounds = stats_base_bounds(h, &n);

    strbuf_addf(out, "| %s |", name);
    for (size_t i = 0; i < n; i++) {
        strbuf_adds(out, " ");
        prometheus_add_seconds(out, (uint64_t)bounds[i]);
    }
    strbuf_adds(out, " |\n");
}

static void docs_buckets(struct strbuf *out)
{
    strbuf_adds(out, docs_histograms);
    docs_bounds(out, "request duration, first byte, slot hold", H_DURATION);
    docs_bounds(out, "connect", H_CONNECT);
    docs_bounds(out, "body wait, delivery, orphan hold", H_BODY_WAIT);
    docs_bounds(out, "upgrade duration", H_UPGRADE_DURATION);
}

static void docs_codes(struct strbuf *out)
{
    strbuf_adds(out,
                "\nStatus codes for which `weir_requests_total` has a series from the start:\n\n");
    for (size_t s = 0; s < SOURCES; s++) {
        strbuf_addf(out, "- `source=\"%s\"`:", stats_source_names[s]);
        for (size_t i = 0; i < presets[s].n; i++)
            strbuf_addf(out, " %u", presets[s].codes[i]);
        strbuf_adds(out, "\n");
    }
    strbuf_adds(out, "\n");
}

void metrics_page_write_docs(struct strbuf *out)
{
    size_t n;
    const struct prometheus_process_family *p = prometheus_process_families(&n);
    strbuf_adds(out, docs_top);
    for (size_t i = 0; i < COUNT(families); i++)
        docs_row(out, families[i].name, families[i].type, families[i].labels, families[i].help);
    for (size_t i = 0; i < n; i++)
        docs_row(out, p[i].name, p[i].type, "", p[i].help);
    docs_buckets(out);
    docs_codes(out);
    strbuf_adds(out, docs_questions);
    strbuf_adds(out, docs_overload);
}
