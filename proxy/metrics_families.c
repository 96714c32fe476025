/*
 * Each row of `families` names a family, its help and the function that prints it. A family whose
 * value is one member of struct stats_now needs no function of its own: NOW_U32(member) and the
 * like.
 */
#include "proxy/metrics_families.h"

#include "common/prometheus.h"
#include "proxy/metrics_app.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- one member of struct stats_now -------------------------------------------------------- */

static const void *member(const struct metrics_family *f, const struct stats_reading *r)
{
    return (const char *)r->now + f->from;
}

static void print_u32(const struct metrics_family *f, const struct stats_reading *r,
                      struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, *(const uint32_t *)member(f, r));
}

static void print_u64(const struct metrics_family *f, const struct stats_reading *r,
                      struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, *(const uint64_t *)member(f, r));
}

static void print_flag(const struct metrics_family *f, const struct stats_reading *r,
                       struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, *(const bool *)member(f, r));
}

static void print_member_time(const struct metrics_family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, (uint64_t) * (const mono_us *)member(f, r));
}

static void print_sum(const struct metrics_family *f, const struct stats_reading *r,
                      struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, *(const uint64_t *)member(f, r));
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

static void print_limit_member(const struct metrics_family *f, const struct stats_reading *r,
                               struct strbuf *out)
{
    print_limit(f->name, NULL, *(const uint32_t *)member(f, r), out);
}

/* The compiler rejects a member of another type. */
#define OFFSET(type, m)                                                                            \
    offsetof(struct stats_now, m) + 0 * sizeof(&((struct stats_now *)0)->m == (type *)0)
#define NOW_U32(m)   print_u32, OFFSET(uint32_t, m)
#define NOW_U64(m)   print_u64, OFFSET(uint64_t, m)
#define NOW_FLAG(m)  print_flag, OFFSET(bool, m)
#define NOW_LIMIT(m) print_limit_member, OFFSET(uint32_t, m) /* UINT32_MAX: +Inf */
#define NOW_TIME(m)  print_member_time, OFFSET(mono_us, m)   /* MONO_NEVER: +Inf */
#define NOW_SUM(m)   print_sum, OFFSET(uint64_t, m)          /* in us */

/* ---- others -------------------------------------------------------------------------------- */

/* These codes are always present, so that a rate() over them includes their first increment. */
static const unsigned app_codes[] = {101, 200, 201, 204, 301, 302, 304, 400, 401,
                                     403, 404, 422, 429, 500, 502, 503, 504};
static const unsigned weir_codes[] = {400, 405, 408, 413, 414, 417, 429,
                                      431, 501, 502, 503, 504, 505};
static const unsigned nobody_codes[] = {499};
const struct metrics_codes metrics_preset_codes[SOURCES] = {
    [STATS_SOURCE_APP] = {app_codes, COUNT(app_codes)},
    [STATS_SOURCE_WEIR] = {weir_codes, COUNT(weir_codes)},
    [STATS_SOURCE_CLIENT_GONE] = {nobody_codes, COUNT(nobody_codes)},
};

static bool is_preset(size_t source, unsigned code)
{
    for (size_t i = 0; i < metrics_preset_codes[source].n; i++) {
        if (metrics_preset_codes[source].codes[i] == code)
            return true;
    }
    return false;
}

static const struct prometheus_label client_side[] = {{"side", "client"}, {NULL, NULL}};
static const struct prometheus_label upstream_side[] = {{"side", "upstream"}, {NULL, NULL}};

static void print_build_info(const struct metrics_family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    (void)r;
    const struct prometheus_label labels[] = {
        {"version", WEIR_VERSION}, {"revision", WEIR_REVISION}, {NULL, NULL}};
    prometheus_count(out, f->name, labels, 1);
}

static void print_connections_limit(const struct metrics_family *f, const struct stats_reading *r,
                                    struct strbuf *out)
{
    print_limit(f->name, client_side, r->now->client_connections_max, out);
    print_limit(f->name, upstream_side, stats_upstream_limit(r->now), out);
}

static void print_queue_depth(const struct metrics_family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    /* The limiter keeps the long-lived requests of each class as a class of their own. */
    for (unsigned k = 0; k < r->now->classes; k++) {
        const struct prometheus_label labels[] = {{"class", r->now->class_names[k]}, {NULL, NULL}};
        const uint32_t *depth = &r->now->limiter.class_depth[2 * k];
        prometheus_count(out, f->name, labels, (uint64_t)depth[0] + depth[1]);
    }
}

static void print_overloads(const struct metrics_family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    for (size_t i = 0; i < OVERLOAD_CAUSES; i++) {
        const struct prometheus_label labels[] = {{"cause", stats_cause_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->now->limiter.overloads[i]);
    }
}

static void print_patience(const struct metrics_family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t i = 0; i < STATS_QUANTILES; i++) {
        const struct prometheus_label labels[] = {{"quantile", stats_quantiles[i].name},
                                                  {NULL, NULL}};
        prometheus_seconds(out, f->name, labels, (uint64_t)r->now->patience[i]);
    }
}

static void print_request_seconds(const struct metrics_family *f, const struct stats_reading *r,
                                  struct strbuf *out)
{
    const struct prometheus_label in_flight[] = {{"state", "in_flight"}, {NULL, NULL}};
    const struct prometheus_label queued[] = {{"state", "queued"}, {NULL, NULL}};
    prometheus_seconds(out, f->name, in_flight, r->now->limiter.in_flight_us);
    prometheus_seconds(out, f->name, queued, r->now->limiter.queued_us);
}

static void print_one_histogram(const struct metrics_family *f, const struct stats_reading *r,
                                enum stats_histogram h, const struct prometheus_label *labels,
                                struct strbuf *out)
{
    const struct buckets *b = &r->buckets[h];
    const uint64_t *at = &r->cell[stats_cells_of(h)];

    prometheus_histogram(out, f->name, labels, b->bound, at + 1, b->n, at[0], NULL);
}

static void print_histogram(const struct metrics_family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    print_one_histogram(f, r, (enum stats_histogram)f->from, NULL, out);
}

static void write_hex(const unsigned char *bytes, size_t n, char *to)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    *to = '\0';
}

static void print_queue_wait(const struct metrics_family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    const struct exemplar *x = r->wait_exemplars;
    const struct buckets *b = &r->buckets[H_QUEUE_WAIT];
    const uint64_t *at = &r->cell[stats_cells_of(H_QUEUE_WAIT)];
    struct prometheus_exemplar shown[EXEMPLARS_MAX];
    char trace[EXEMPLARS_MAX][2 * RECORD_TRACE + 1];

    for (size_t i = 0; x != NULL && i <= b->n; i++) {
        shown[i].label = (struct prometheus_label){x[i].at != 0 ? "trace_id" : NULL, trace[i]};
        shown[i].us = (uint64_t)x[i].value;
        shown[i].at = x[i].at;
        write_hex(x[i].trace, RECORD_TRACE, trace[i]);
    }
    prometheus_histogram(out, f->name, NULL, b->bound, at + 1, b->n, at[0],
                         x != NULL ? shown : NULL);
}

static void print_durations(const struct metrics_family *f, const struct stats_reading *r,
                            struct strbuf *out)
{
    for (size_t by = 0; by < SOURCES; by++) {
        const struct prometheus_label labels[] = {{"source", stats_source_names[by]}, {NULL, NULL}};
        print_one_histogram(f, r, (enum stats_histogram)(f->from + by), labels, out);
    }
}

static void print_waits(const struct metrics_family *f, const struct stats_reading *r,
                        struct strbuf *out)
{
    for (size_t o = 0; o < STATS_OUTCOMES; o++) {
        const struct prometheus_label labels[] = {{"outcome", stats_outcome_names[o]},
                                                  {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->cell[f->from + o]);
    }
}

static void print_waited(const struct metrics_family *f, const struct stats_reading *r,
                         struct strbuf *out)
{
    for (size_t o = 0; o < STATS_OUTCOMES; o++) {
        const struct prometheus_label labels[] = {{"outcome", stats_outcome_names[o]},
                                                  {NULL, NULL}};
        prometheus_seconds(out, f->name, labels, r->cell[f->from + o]);
    }
}

static void print_lost_waits(const struct metrics_family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    for (size_t o = 0; o < LOST; o++) {
        const struct prometheus_label labels[] = {{"outcome", stats_outcome_names[LOST_FIRST + o]},
                                                  {NULL, NULL}};
        print_one_histogram(f, r, (enum stats_histogram)(f->from + o), labels, out);
    }
}

static void print_phases(const struct metrics_family *f, const struct stats_reading *r,
                         struct strbuf *out)
{
    for (size_t p = 0; p < RECORD_PHASES; p++) {
        const struct prometheus_label labels[] = {{"phase", record_phase_names[p]}, {NULL, NULL}};
        prometheus_seconds(out, f->name, labels, r->cell[f->from + p]);
    }
}

static void print_rejected(const struct metrics_family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t i = 0; i < STATS_REASONS; i++) {
        const struct prometheus_label labels[] = {{"reason", stats_reason_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->cell[f->from + i]);
    }
}

static void print_code(const struct metrics_family *f, const char *code, const char *source,
                       uint64_t n, struct strbuf *out)
{
    const struct prometheus_label labels[] = {{"code", code}, {"source", source}, {NULL, NULL}};
    prometheus_count(out, f->name, labels, n);
}

static void print_requests_of(const struct metrics_family *f, const struct stats_reading *r,
                              size_t source, struct strbuf *out)
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

static void print_requests(const struct metrics_family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t source = 0; source < SOURCES; source++)
        print_requests_of(f, r, source, out);
}

static void print_counter(const struct metrics_family *f, const struct stats_reading *r,
                          struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, r->cell[f->from]);
}

static void print_gauge(const struct metrics_family *f, const struct stats_reading *r,
                        struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, stats_level(r, f->from));
}

static void print_paused(const struct metrics_family *f, const struct stats_reading *r,
                         struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, stats_paused(r));
}

static void print_agent_checks(const struct metrics_family *f, const struct stats_reading *r,
                               struct strbuf *out)
{
    for (size_t i = 0; i < STATS_AGENT_REPLIES; i++) {
        const struct prometheus_label reply[] = {{"reply", stats_agent_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, reply, r->now->agent.replies[i]);
    }
}

static void print_lines(const struct metrics_family *f, const struct stats_reading *r,
                        struct strbuf *out)
{
    const struct prometheus_label written[] = {{"result", "written"}, {NULL, NULL}};
    const struct prometheus_label dropped[] = {{"result", "dropped"}, {NULL, NULL}};
    prometheus_count(out, f->name, written, r->now->lines_written);
    prometheus_count(out, f->name, dropped, r->now->lines_dropped);
}

static void print_reloads(const struct metrics_family *f, const struct stats_reading *r,
                          struct strbuf *out)
{
    const struct prometheus_label applied[] = {{"result", "applied"}, {NULL, NULL}};
    const struct prometheus_label rejected[] = {{"result", "rejected"}, {NULL, NULL}};
    prometheus_count(out, f->name, applied, r->now->reloads_applied);
    prometheus_count(out, f->name, rejected, r->now->reloads_rejected);
}

static void print_upstream(const struct metrics_family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    for (size_t i = 0; i < COUNT(stats_upstream_names); i++) {
        const struct prometheus_label labels[] = {{"result", stats_upstream_names[i]},
                                                  {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->cell[f->from + i]);
    }
}

static void print_connections(const struct metrics_family *f, const struct stats_reading *r,
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

static void print_buffered(const struct metrics_family *f, const struct stats_reading *r,
                           struct strbuf *out)
{
    static const char *const kept[] = {[STATS_REQUEST] = "request", [STATS_RESPONSE] = "response"};
    for (size_t i = 0; i < COUNT(kept); i++) {
        const struct prometheus_label labels[] = {{"what", kept[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, stats_level(r, f->from + i));
    }
}

static void print_bypass_requests(const struct metrics_family *f, const struct stats_reading *r,
                                  struct strbuf *out)
{
    for (size_t by = 0; by < SOURCES; by++) {
        const struct prometheus_label labels[] = {{"source", stats_source_names[by]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->now->bypass.requests[by]);
    }
}

static void print_time(const struct metrics_family *f, const struct stats_reading *r,
                       struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, r->cell[f->from]);
}

static void print_accounting(const struct metrics_family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    prometheus_count(out, f->name, NULL, stats_accounting_errors(r));
}

#define OUTCOME_LABELS "outcome=dispatched, timeout, client_gone, drained, evicted, dry_run"
#define PHASE_LABELS                                                                               \
    "phase=head, body_wait, queue, connect, send, first_byte, transfer, backpressure, delivery"
#define CAUSE_LABELS "cause=hopeless, crowded, waste"
#define REASON_LABELS                                                                              \
    "reason=queue_full, queue_timeout, not_ready, draining, bytes, upgrades, evicted, deadline"

/* ---- the table ----------------------------------------------------------------------------- */

static const struct metrics_family families[] = {
    {"weir_build_info", "gauge", "version, revision",
     "Always 1; the labels show the running version.", print_build_info, 0},
    {"weir_requests_in_flight", "gauge", "",
     "Slots held: requests inside the app, including orphans.", NOW_U32(limiter.in_flight)},
    {"weir_requests_in_flight_peak", "gauge", "",
     "Highest number of slots held at once in the last 60 s. It is exact, whenever the scrapes "
     "are.",
     NOW_U32(in_flight_peak)},
    {"weir_concurrency_limit", "gauge", "",
     "Maximum number of requests inside the app at once; +Inf if unlimited.",
     NOW_LIMIT(limiter.limit)},
    {"weir_enforcing", "gauge", "",
     "1 if requests wait and are refused; 0 in a dry run (enforce is false), in which the metrics "
     "of "
     "slots, waits and refusals tell what would have been.",
     NOW_FLAG(enforcing)},
    {"weir_queue_depth", "gauge", "class", "Requests waiting for a slot.", print_queue_depth, 0},
    {"weir_queue_depth_peak", "gauge", "",
     "Highest number of requests waiting for a slot at once in the last 60 s. It is exact, too.",
     NOW_U32(depth_peak)},
    {"weir_queue_limit", "gauge", "", "Maximum number of waiting requests.",
     NOW_U32(limiter.queue_length)},
    {"weir_queue_bytes", "gauge", "", "Memory used by waiting requests.", NOW_U64(limiter.bytes)},
    {"weir_queue_limit_bytes", "gauge", "",
     "Maximum memory used by waiting requests: queue.max_bytes.", NOW_U64(queue_max_bytes)},
    {"weir_queue_oldest_wait_seconds", "gauge", "",
     "Time that the first request in the queue has waited; 0 if the queue is empty.",
     NOW_TIME(limiter.oldest_wait)},
    {"weir_queue_timeout_seconds", "gauge", "", "Maximum time that a request waits.",
     NOW_TIME(queue_timeout)},
    {"weir_queue_drain_seconds", "gauge", "",
     "Estimated time to serve all requests now in the queue; the basis of Retry-After.",
     NOW_TIME(limiter.drain)},
    {"weir_queue_overload", "gauge", "",
     "1 during an overload of the queue, otherwise 0. An overload begins with lasting evidence "
     "that "
     "requests wait in vain, and ends when the queue is empty.",
     NOW_FLAG(limiter.overload)},
    {"weir_queue_overloads_total", "counter", CAUSE_LABELS,
     "Overloads of the queue, by the evidence with which they began. hopeless: the queue was full, "
     "or longer than a newcomer may wait; crowded: the first request had waited longer than "
     "clients do; waste: slots went to requests whose clients had left.",
     print_overloads, 0},
    {"weir_queue_overload_seconds_total", "counter", "",
     "Time during which the queue was overloaded.", NOW_SUM(limiter.overload_us)},
    {"weir_queue_allowance_seconds", "gauge", "",
     "Time that a request may wait in an overload before others pass it: half of the wait "
     "that clients are known to accept, or a quarter of the mean slot hold while that is unknown; "
     "+Inf "
     "before the first release of a slot.",
     NOW_TIME(limiter.allowance)},
    {"weir_client_patience_seconds", "summary", "quantile=0.1, 0.5, 0.9",
     "Time within which this share of the clients leaves if they are not served, estimated from "
     "those that left and those that were served before they would have; +Inf while unknown.",
     print_patience, 0},
    {"weir_queue_overtaken_total", "counter", "",
     "Requests that were granted a slot after one of their class that had arrived later; only in "
     "an overload.",
     NOW_U64(limiter.overtaken)},
    {"weir_requests_wasted_total", "counter", "",
     "Requests that were granted a slot in vain: the client left before the response began, or the "
     "response came after the deadline that the client had declared.",
     NOW_U64(limiter.wasted)},
    {"weir_request_seconds_total", "counter", "state=in_flight, queued",
     "Time integral of the requests in flight and of the requests queued; its rate() is the "
     "exact mean.",
     print_request_seconds, 0},
    {"weir_saturated_seconds_total", "counter", "", "Time during which no slot was free.",
     NOW_SUM(limiter.saturated_us)},
    {"weir_queue_wait_seconds", "histogram", "",
     "Blocking time: from the moment a request becomes eligible for a slot until the slot "
     "is granted or the request leaves the queue without one; le=\"0\" counts requests that did "
     "not wait.",
     print_queue_wait, 0},
    {"weir_queue_waits_total", "counter", OUTCOME_LABELS,
     "Finished waits for a slot, including those of zero length, by outcome.", print_waits,
     C_WAITS},
    {"weir_queue_waited_seconds_total", "counter", OUTCOME_LABELS,
     "Total duration of finished waits for a slot, by outcome.", print_waited, C_WAITED},
    {"weir_queue_lost_wait_seconds", "histogram", "outcome=timeout, client_gone, drained, evicted",
     "Waits that ended without a slot, by outcome; part of weir_queue_wait_seconds.",
     print_lost_waits, H_LOST_WAIT},
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
    {"weir_request_phase_seconds_total", "counter", PHASE_LABELS,
     "Time of finished requests by phase; the sum of all phases is exactly that of "
     "weir_request_duration_seconds. head: the client sends the headers; body_wait: weir waits for "
     "the body; queue: for a slot; connect: for a connection to the app; send: weir sends the "
     "request to the app; first_byte: the app has not begun its response; transfer: the app sends "
     "it; backpressure: the app cannot send it, since the client reads slowly; delivery: the "
     "client "
     "reads the rest, or a local reply. A slot is held from connect to backpressure.",
     print_phases, C_PHASES},
    {"weir_request_before_seconds", "histogram", "",
     "Time from the moment at which a proxy in front received a request to its first byte at weir, "
     "for those with X-Request-Start or X-Queue-Start from a trusted proxy; not part of "
     "weir_request_duration_seconds.",
     print_histogram, H_BEFORE},
    {"weir_request_body_wait_seconds", "histogram", "",
     "Time that requests with a body waited for it before they asked for a slot; 0 if the body "
     "arrived with the headers, or if enough slots were free.",
     print_histogram, H_BODY_WAIT},
    {"weir_upstream_connect_seconds", "histogram", "",
     "Time from the grant of the slot to a usable connection to the app; 0 if a connection was "
     "reused.",
     print_histogram, H_CONNECT},
    {"weir_upstream_send_seconds", "histogram", "",
     "Time from a usable connection to the app until the request was sent, or until the app began "
     "its response before that.",
     print_histogram, H_SEND},
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
     "Maximum number of upgraded connections; +Inf if unlimited.", NOW_LIMIT(upgrades_max)},
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
    {"weir_draining", "gauge", "",
     "1 from the beginning of a drain, its announcement included, until it is cancelled; otherwise "
     "0.",
     NOW_FLAG(draining)},
    {"weir_bypass_in_flight", "gauge", "",
     "Requests to bypass.paths inside the app. They hold no slot of weir_concurrency_limit, and no "
     "other metric of requests, slots or the queue includes them.",
     NOW_U32(bypass.in_flight)},
    {"weir_bypass_limit", "gauge", "",
     "Maximum number of requests to bypass.paths inside the app at once; 0 without such paths.",
     NOW_U32(bypass.limit)},
    {"weir_bypass_requests_total", "counter", "source=app, weir, client_gone",
     "Finished requests to bypass.paths, by the source of the response.", print_bypass_requests, 0},
    {"weir_upstream_ready", "gauge", "",
     "1 while the app is up; 0 until it has passed its startup probe, and while it refuses "
     "connections or fails its health checks.",
     NOW_FLAG(upstream_ready)},
    {"weir_upstream_startup_seconds", "gauge", "",
     "Time that the app took to become ready; 0 until it is known.", NOW_TIME(upstream_startup)},
    {"weir_upstream_state", "gauge", "state=ok, pool_full, loop_blocked, starting, down",
     "1 for the present condition of the app, otherwise 0. pool_full: requests wait inside it; "
     "loop_blocked: its event loop reads nothing, or it works on one request at a time. See "
     "docs/app.md for how these and the following metrics are inferred.",
     metrics_app_state, 0},
    {"weir_upstream_parallelism_estimate", "gauge", "",
     "Number of requests that the app works on at once; absent unless requests wait inside it "
     "and the number can be inferred.",
     metrics_app_parallelism, 0},
    {"weir_upstream_hidden_queue_estimate", "gauge", "",
     "Number of requests that wait inside the app; absent if it cannot be inferred.",
     metrics_app_hidden, 0},
    {"weir_upstream_service_floor_seconds", "gauge", "",
     "Time that the app takes for a request that does not wait inside it; absent unless "
     "weir_upstream_hidden_queue_estimate is present.",
     metrics_app_floor, 0},
    {"weir_upstream_unread_requests", "gauge", "",
     "Connections that the app has accepted and that have unread bytes, except bodies that it "
     "reads later; absent unless the kernel reports them.",
     metrics_app_unread, 0},
    {"weir_upstream_accept_queue_length", "gauge", "",
     "Connections that the app has not accepted yet; absent unless the kernel reports them.",
     metrics_app_accept_queue, 0},
    {"weir_upstream_stalled_seconds_total", "counter", "",
     "Time in which the app, with requests inside, read nothing and completed nothing for 0.4 s "
     "or more.",
     NOW_SUM(app.stalled_us)},
    {"weir_upstream_probe_seconds", "histogram", "",
     "Time of the checks of health.path, from the connect to the headers of the response; absent "
     "without that option.",
     metrics_app_checks, 0},
    {"weir_upstream_probe_failures_total", "counter", "",
     "Checks of health.path without a response, or with a status of 500 or above; absent without "
     "that option.",
     metrics_app_failed_checks, 0},
    {"weir_accept_queue_length", "gauge", "",
     "Client connections that weir has not accepted yet; absent unless the kernel reports them.",
     metrics_app_own_accept_queue, 0},
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
     NOW_U64(buffers_budget)},
    {"weir_agent_checks_total", "counter", "reply=up, drain, down",
     "Checks of the balancers on the agent port (agent.listen), by reply.", print_agent_checks, 0},
    {"weir_agent_weight_percent", "gauge", "",
     "Weight in the latest reply on the agent port, from 1 to 100; 0 unless that reply was \"up\".",
     NOW_U32(agent.weight)},
    {"weir_access_log_lines_total", "counter", "result=written, dropped",
     "Lines of the access log; dropped: its file or its reader did not accept them in time.",
     print_lines, 0},
    {"weir_config_reloads_total", "counter", "result=applied, rejected",
     "Changes to the configuration while weir was running: reloads and commands. A rejected one "
     "had an error, which is in the log, and changed nothing.",
     print_reloads, 0},
    {"weir_config_last_reload_successful", "gauge", "",
     "1 if the latest reading of the configuration succeeded, at the start, after SIGHUP or after "
     "a change to its file; 0 if it had an error, and the previous configuration is in force.",
     NOW_FLAG(reload_succeeded)},
    {"weir_config_last_reload_success_timestamp_seconds", "gauge", "",
     "Time at which the configuration was last read without an error, in seconds since 1970.",
     NOW_TIME(reload_success)},
    {"weir_event_loop_lag_seconds", "histogram", "",
     "Time from posting a task to an event loop until it runs, measured once a second in each loop "
     "while there are requests: how long an event may wait because the loop is busy or has no CPU.",
     print_histogram, H_LOOP_LAG},
    {"weir_accounting_error_total", "counter", "",
     "Inconsistencies in weir's accounting; any value but 0 indicates a bug in weir. Checked at "
     "each grant: more requests inside than the limit. Checked each second while there are "
     "requests, and at each scrape: slots granted but neither held nor released, requests begun "
     "but neither finished nor present, counts of orphans and upgrades that differ from those "
     "present (a scrape shows what the previous check found), and integrals of slots held and of "
     "waiters that are not the sums of all holds and waits. Checked at the end of each request: "
     "phases whose sum is not its time, or not the time that it held a slot.",
     print_accounting, C_ACCOUNTING_ERRORS},
};

const struct metrics_family *metrics_families_all(size_t *n)
{
    *n = COUNT(families);
    return families;
}
