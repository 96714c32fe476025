/*
 * See history.h. Two rings: a summary of each second, and the buckets of the waits and of the times
 * in the app for the last HISTORY_RECENT seconds, from which quantiles of several seconds are
 * computed. A wait is counted in the statistics, so its second is the one in which a reading first
 * includes it.
 */
#include "proxy/history.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/prometheus.h"

#define INSIDE_FROM    50 /* us: the first bound of the times in the app */
#define INSIDE_MOST    (120 * INT64_C(1000000))
#define INSIDE_PERCENT 8
#define SECOND         INT64_C(1000000)

struct counts {
    uint32_t n[BUCKETS_MAX + 1];
};

struct history {
    wall_us started;
    int64_t end;     /* of the latest sample, in seconds since 1970 */
    mono_us read_at; /* the latest reading, and what it was */
    uint64_t cell[CELLS];
    struct limiter_snapshot limiter;
    const struct buckets *wait_buckets;
    struct buckets inside_buckets;
    struct history_summary next; /* what is known of the next sample: the times in the app */
    struct counts next_inside;
    unsigned n; /* samples */
    uint64_t appended;
    struct history_summary sample[HISTORY_SECONDS];
    struct counts waits[HISTORY_RECENT], inside[HISTORY_RECENT];
};

static const double quantiles[HISTORY_QUANTILES] = {
    [HISTORY_P50] = 0.5, [HISTORY_P90] = 0.9, [HISTORY_P99] = 0.99};

/* ---- a second begins ------------------------------------------------------------------------- */

static void clear(struct history_summary *s)
{
    *s = (struct history_summary){
        .wait = {-1, -1, -1},
        .wait_max = -1,
        .inside = {-1, -1, -1},
        .inside_min = -1,
        .inside_max = -1,
        .app = {.parallelism = -1, .hidden_queue = -1},
    };
}

static void remember(struct history *h, const struct history_input *in)
{
    h->read_at = in->now;
    memcpy(h->cell, in->reading->cell, sizeof(h->cell));
    h->limiter = in->reading->now->limiter;
    clear(&h->next);
    memset(&h->next_inside, 0, sizeof(h->next_inside));
}

struct history *history_new(const struct history_input *first)
{
    struct history *h = calloc(1, sizeof(*h));

    CHECK(h != NULL);
    h->started = first->wall;
    h->end = first->wall / SECOND;
    h->wait_buckets = &first->reading->buckets[H_QUEUE_WAIT];
    buckets_even(&h->inside_buckets, INSIDE_FROM, INSIDE_MOST, INSIDE_PERCENT);
    remember(h, first);
    return h;
}

void history_free(struct history *h)
{
    free(h);
}

void history_completed(struct history *h, mono_us inside, uint32_t n)
{
    struct history_summary *s = &h->next;

    if (inside < 0)
        inside = 0;
    s->completed += n;
    if (s->inside_min < 0 || inside < s->inside_min)
        s->inside_min = inside;
    if (inside > s->inside_max)
        s->inside_max = inside;
    h->next_inside.n[buckets_find(&h->inside_buckets, inside)] += n;
}

/* ---- a second ends --------------------------------------------------------------------------- */

static uint64_t since(const struct history *h, const struct stats_reading *r, size_t cell)
{
    return r->cell[cell] - h->cell[cell];
}

static uint64_t all_since(const struct history *h, const struct stats_reading *r, size_t cell,
                          size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += since(h, r, cell + i);
    return sum;
}

static void compare_limiter(struct history_summary *s, const struct limiter_snapshot *before,
                            const struct limiter_snapshot *l)
{
    double span = (double)s->span;

    s->in_flight = (double)(l->in_flight_us - before->in_flight_us) / span;
    s->queued = (double)(l->queued_us - before->queued_us) / span;
    s->saturated = (double)(l->saturated_us - before->saturated_us) / span;
    s->overload = (double)(l->overload_us - before->overload_us) / span;
    s->limit = l->limit;
    s->in_flight_peak = l->in_flight_peak;
    s->queue_peak = l->depth_peak;
}

static uint64_t errors_since(const struct history *h, const struct stats_reading *r)
{
    return all_since(h, r, stats_requests_cell(STATS_SOURCE_APP, 500), CODE_LAST - 500 + 1) +
           since(h, r, stats_requests_cell(STATS_SOURCE_WEIR, 502)) +
           since(h, r, stats_requests_cell(STATS_SOURCE_WEIR, 504));
}

static void compare_counts(const struct history *h, struct history_summary *s,
                           const struct stats_reading *r)
{
    for (size_t by = 0; by < SOURCES; by++)
        s->finished[by] = all_since(h, r, C_REQUESTS + by * CODES, CODES);
    for (size_t i = 0; i < STATS_REASONS; i++) {
        s->rejected[i] = since(h, r, C_REJECTED + i);
        s->refused += s->rejected[i];
    }
    s->errors = errors_since(h, r);
    for (size_t i = 0; i < RECORD_PHASES; i++)
        s->phase_us[i] = since(h, r, C_PHASES + i);
    s->orphans = (uint32_t)stats_level(r, C_ORPHANS);
}

static void count_waits(const struct history *h, struct history_summary *s,
                        const struct stats_reading *r, struct counts *out)
{
    size_t first = stats_cells_of(H_QUEUE_WAIT) + 1;

    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i <= h->wait_buckets->n; i++) {
        out->n[i] = (uint32_t)since(h, r, first + i);
        s->waits += out->n[i];
    }
}

/*
 * The limiter knows the longest wait that has ended in this second, exactly. But a wait is counted
 * when the app has accepted the request's connection, perhaps in a later second: what does not lie
 * in the highest bucket of this second is not of this second.
 */
static mono_us longest_wait(const struct history *h, const struct counts *waits, mono_us peak)
{
    const struct buckets *b = h->wait_buckets;
    size_t i = b->n;

    while (i > 0 && waits->n[i] == 0)
        i--;
    mono_us above = i > 0 ? b->bound[i - 1] : -1;
    mono_us before = h->limiter.wait_peak;
    if (above < peak && peak <= b->bound[i])
        return peak;
    if (above < before && before <= b->bound[i])
        return before;
    return i < b->n ? b->bound[i] : above;
}

static void find_quantiles(const struct history *h, struct history_summary *s,
                           const struct counts *waits, const struct counts *inside)
{
    mono_us longest = s->wait_max < 0 ? INT64_MAX : s->wait_max;

    for (int q = 0; q < HISTORY_QUANTILES; q++) {
        s->wait[q] = buckets_quantile(h->wait_buckets, waits->n, quantiles[q], 0, longest);
        s->inside[q] = buckets_quantile(&h->inside_buckets, inside->n, quantiles[q], s->inside_min,
                                        s->inside_max);
    }
}

static void push(struct history *h, const struct history_summary *s, const struct counts *waits,
                 const struct counts *inside)
{
    h->sample[h->appended % HISTORY_SECONDS] = *s;
    h->waits[h->appended % HISTORY_RECENT] = *waits;
    h->inside[h->appended % HISTORY_RECENT] = *inside;
    h->appended++;
    h->n += h->n < HISTORY_SECONDS;
    h->end++;
}

/* All but the last of the seconds that `s` stands for: nothing is known to have ended in them. */
static void fill_gap(struct history *h, const struct history_summary *s, unsigned seconds)
{
    static const struct counts none;
    struct history_summary gap;

    clear(&gap);
    gap.seconds = 1;
    gap.span = s->span;
    gap.in_flight = s->in_flight;
    gap.queued = s->queued;
    gap.saturated = s->saturated;
    gap.overload = s->overload;
    gap.limit = s->limit;
    gap.in_flight_peak = s->in_flight_peak;
    gap.queue_peak = s->queue_peak;
    gap.orphans = s->orphans;
    gap.loop_lag = s->loop_lag;
    for (unsigned i = 1; i < seconds; i++)
        push(h, &gap, &none, &none);
}

static unsigned seconds_in(mono_us span)
{
    mono_us seconds = (span + SECOND / 2) / SECOND;

    return seconds < 1 ? 1 : seconds > HISTORY_SECONDS ? HISTORY_SECONDS : (unsigned)seconds;
}

void history_append(struct history *h, const struct history_input *in)
{
    struct history_summary s = h->next;
    struct counts waits;
    mono_us span = in->now > h->read_at ? in->now - h->read_at : 1;
    unsigned seconds = seconds_in(span);
    int64_t end = (in->wall + SECOND / 2) / SECOND;

    s.seconds = 1;
    s.span = span;
    compare_limiter(&s, &h->limiter, &in->reading->now->limiter);
    compare_counts(h, &s, in->reading);
    s.loop_lag = in->loop_lag;
    s.app = in->app;
    count_waits(h, &s, in->reading, &waits);
    if (s.waits > 0)
        s.wait_max = longest_wait(h, &waits, in->reading->now->limiter.wait_peak);
    find_quantiles(h, &s, &waits, &h->next_inside);
    s.span = span / seconds;
    fill_gap(h, &s, seconds);
    push(h, &s, &waits, &h->next_inside);
    if (h->end < end - 1 || h->end > end + 1)
        h->end = end; /* the clock was set */
    remember(h, in);
}

uint64_t history_samples(const struct history *h)
{
    return h->appended;
}

int64_t history_started(const struct history *h)
{
    return h->started / SECOND;
}

/* ---- several seconds together ---------------------------------------------------------------- */

/* 1: the latest. */
static const struct history_summary *back(const struct history *h, unsigned i)
{
    return &h->sample[(h->appended - i) % HISTORY_SECONDS];
}

static void add_means(struct history_summary *out, const struct history_summary *s)
{
    double span = (double)s->span;

    out->span += s->span;
    out->in_flight += s->in_flight * span;
    out->queued += s->queued * span;
    out->saturated += s->saturated * span;
    out->overload += s->overload * span;
}

static void divide_means(struct history_summary *out)
{
    double span = (double)out->span;

    out->in_flight /= span;
    out->queued /= span;
    out->saturated /= span;
    out->overload /= span;
}

#define RAISE(out, s, member)                                                                      \
    ((out)->member = (s)->member > (out)->member ? (s)->member : (out)->member)

static void add_peaks(struct history_summary *out, const struct history_summary *s)
{
    RAISE(out, s, in_flight_peak);
    RAISE(out, s, queue_peak);
    RAISE(out, s, wait_max);
    RAISE(out, s, inside_max);
    RAISE(out, s, loop_lag);
    if (s->inside_min >= 0 && (out->inside_min < 0 || s->inside_min < out->inside_min))
        out->inside_min = s->inside_min;
}

static void add_counts(struct history_summary *out, const struct history_summary *s)
{
    for (size_t i = 0; i < SOURCES; i++)
        out->finished[i] += s->finished[i];
    for (size_t i = 0; i < STATS_REASONS; i++)
        out->rejected[i] += s->rejected[i];
    for (size_t i = 0; i < RECORD_PHASES; i++)
        out->phase_us[i] += s->phase_us[i];
    out->refused += s->refused;
    out->errors += s->errors;
    out->waits += s->waits;
    out->completed += s->completed;
}

static void add_buckets(struct counts *out, const struct counts *c, const struct buckets *b)
{
    for (size_t i = 0; i <= b->n; i++)
        out->n[i] += c->n[i];
}

void history_summarize(const struct history *h, unsigned seconds, struct history_summary *out)
{
    struct counts waits = {0}, inside = {0};

    clear(out);
    out->seconds = seconds < HISTORY_RECENT ? seconds : HISTORY_RECENT;
    if (out->seconds > h->n)
        out->seconds = h->n;
    if (out->seconds == 0)
        return;
    for (unsigned i = 1; i <= out->seconds; i++) {
        const struct history_summary *s = back(h, i);
        add_means(out, s);
        add_peaks(out, s);
        add_counts(out, s);
        add_buckets(&waits, &h->waits[(h->appended - i) % HISTORY_RECENT], h->wait_buckets);
        add_buckets(&inside, &h->inside[(h->appended - i) % HISTORY_RECENT], &h->inside_buckets);
    }
    divide_means(out);
    out->limit = back(h, 1)->limit;
    out->orphans = back(h, 1)->orphans;
    out->app = back(h, 1)->app;
    find_quantiles(h, out, &waits, &inside);
}

void history_peaks(const struct history *h, uint32_t *in_flight, uint32_t *queue)
{
    *in_flight = *queue = 0;
    for (unsigned i = 1; i <= h->n && i <= HISTORY_RECENT; i++) {
        const struct history_summary *s = back(h, i);
        if (s->in_flight_peak > *in_flight)
            *in_flight = s->in_flight_peak;
        if (s->queue_peak > *queue)
            *queue = s->queue_peak;
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

enum kind { NUMBER32, NUMBER64, MEAN, TIME, FLAG, ESTIMATE, NAME, LIMIT };

/* The arrays of GET /history. */
static const struct column {
    const char *name;
    enum kind kind;
    size_t offset;
} columns[] = {
    {"in_flight", MEAN, offsetof(struct history_summary, in_flight)},
    {"in_flight_peak", NUMBER32, offsetof(struct history_summary, in_flight_peak)},
    {"queued", MEAN, offsetof(struct history_summary, queued)},
    {"queue_peak", NUMBER32, offsetof(struct history_summary, queue_peak)},
    {"limit", LIMIT, offsetof(struct history_summary, limit)},
    {"saturated", MEAN, offsetof(struct history_summary, saturated)},
    {"finished", NUMBER64, offsetof(struct history_summary, finished[STATS_SOURCE_APP])},
    {"rejected", NUMBER64, offsetof(struct history_summary, refused)},
    {"client_gone", NUMBER64, offsetof(struct history_summary, finished[STATS_SOURCE_CLIENT_GONE])},
    {"errors", NUMBER64, offsetof(struct history_summary, errors)},
    {"orphans", NUMBER32, offsetof(struct history_summary, orphans)},
    {"wait_p50", TIME, offsetof(struct history_summary, wait[HISTORY_P50])},
    {"wait_p90", TIME, offsetof(struct history_summary, wait[HISTORY_P90])},
    {"wait_p99", TIME, offsetof(struct history_summary, wait[HISTORY_P99])},
    {"wait_max", TIME, offsetof(struct history_summary, wait_max)},
    {"app_p50", TIME, offsetof(struct history_summary, inside[HISTORY_P50])},
    {"app_p90", TIME, offsetof(struct history_summary, inside[HISTORY_P90])},
    {"app_p99", TIME, offsetof(struct history_summary, inside[HISTORY_P99])},
    {"overload", FLAG, offsetof(struct history_summary, overload)},
    {"parallelism", ESTIMATE, offsetof(struct history_summary, app.parallelism)},
    {"hidden_queue", ESTIMATE, offsetof(struct history_summary, app.hidden_queue)},
    {"app_state", NAME, offsetof(struct history_summary, app.state)},
    {"loop_lag", TIME, offsetof(struct history_summary, loop_lag)},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void json_key(struct strbuf *out, const char *key)
{
    strbuf_addf(out, "%s\"%s\":", out->at[out->len - 1] == '{' ? "" : ",", key);
}

/* Negative: not known. */
static void json_time(struct strbuf *out, mono_us us)
{
    if (us < 0)
        strbuf_adds(out, "null");
    else
        prometheus_add_seconds(out, (uint64_t)us);
}

static void json_estimate(struct strbuf *out, double n)
{
    if (n < 0)
        strbuf_adds(out, "null");
    else
        strbuf_addf(out, "%.6g", n);
}

static void json_limit(struct strbuf *out, uint32_t limit)
{
    if (limit == UINT32_MAX)
        strbuf_adds(out, "null");
    else
        strbuf_addf(out, "%" PRIu32, limit);
}

static void json_name(struct strbuf *out, const char *name)
{
    if (name == NULL)
        strbuf_adds(out, "null");
    else
        strbuf_add_json(out, span_of(name));
}

static void json_value(struct strbuf *out, const struct history_summary *s, const struct column *c)
{
    const void *at = (const char *)s + c->offset;

    switch (c->kind) {
    case NUMBER32:
        strbuf_addf(out, "%" PRIu32, *(const uint32_t *)at);
        return;
    case NUMBER64:
        strbuf_addf(out, "%" PRIu64, *(const uint64_t *)at);
        return;
    case MEAN:
        strbuf_addf(out, "%.6g", *(const double *)at);
        return;
    case TIME:
        json_time(out, *(const mono_us *)at);
        return;
    case FLAG:
        strbuf_adds(out, *(const double *)at > 0 ? "1" : "0");
        return;
    case ESTIMATE:
        json_estimate(out, *(const double *)at);
        return;
    case NAME:
        json_name(out, *(const char *const *)at);
        return;
    case LIMIT:
        json_limit(out, *(const uint32_t *)at);
        return;
    }
}

static void json_column(struct strbuf *out, const struct history *h, unsigned n,
                        const struct column *c)
{
    json_key(out, c->name);
    strbuf_adds(out, "[");
    for (unsigned i = n; i > 0; i--) {
        json_value(out, back(h, i), c);
        strbuf_adds(out, i > 1 ? "," : "]");
    }
    if (n == 0)
        strbuf_adds(out, "]");
}

static void json_phases(struct strbuf *out, const struct history_summary *s)
{
    strbuf_adds(out, "{");
    for (size_t i = 0; i < RECORD_PHASES; i++) {
        json_key(out, record_phase_names[i]);
        prometheus_add_seconds(out, s->phase_us[i]);
    }
    strbuf_adds(out, "}");
}

static void json_reasons(struct strbuf *out, const struct history_summary *s)
{
    strbuf_adds(out, "{");
    for (size_t i = 0; i < STATS_REASONS; i++) {
        json_key(out, stats_reason_names[i]);
        strbuf_addf(out, "%" PRIu64, s->rejected[i]);
    }
    strbuf_adds(out, "}");
}

/* A time that is later than the latest sample is that of another clock: all are new. */
static unsigned samples_since(const struct history *h, int64_t since)
{
    if (since > h->end || since < h->end - h->n)
        return h->n;
    return (unsigned)(h->end - since);
}

void history_write(const struct history *h, int64_t since, struct strbuf *out)
{
    struct history_summary recent;

    history_summarize(h, HISTORY_RECENT, &recent);
    strbuf_addf(out, "{\"version\":\"" WEIR_VERSION "\",\"started\":%" PRId64, h->started / SECOND);
    strbuf_addf(out, ",\"interval_seconds\":1,\"end\":%" PRId64 ",\"limit\":", h->end);
    if (h->limiter.limit == UINT32_MAX)
        strbuf_adds(out, "\"unlimited\"");
    else
        strbuf_addf(out, "%" PRIu32, h->limiter.limit);
    strbuf_adds(out, ",\"columns\":{");
    for (size_t i = 0; i < COLUMNS; i++)
        json_column(out, h, samples_since(h, since), &columns[i]);
    strbuf_adds(out, "},\"phases\":");
    json_phases(out, &recent);
    json_key(out, "reasons");
    json_reasons(out, &recent);
    strbuf_adds(out, "}\n");
}

static void json_rate(struct strbuf *out, const char *key, uint64_t n,
                      const struct history_summary *s)
{
    json_key(out, key);
    strbuf_addf(out, "%.6g", s->span > 0 ? (double)n * (double)SECOND / (double)s->span : 0);
}

static void json_mean(struct strbuf *out, const char *key, double mean)
{
    json_key(out, key);
    strbuf_addf(out, "%.6g", mean);
}

static void json_quantiles(struct strbuf *out, const char *key, const mono_us *quantile)
{
    static const char *const names[HISTORY_QUANTILES] = {
        [HISTORY_P50] = "p50", [HISTORY_P90] = "p90", [HISTORY_P99] = "p99"};

    json_key(out, key);
    strbuf_adds(out, "{");
    for (int q = 0; q < HISTORY_QUANTILES; q++) {
        json_key(out, names[q]);
        json_time(out, quantile[q]);
    }
}

static void json_rates(struct strbuf *out, const struct history_summary *s)
{
    uint64_t all = 0;

    for (size_t i = 0; i < SOURCES; i++)
        all += s->finished[i];
    json_rate(out, "requests_per_second", all, s);
    json_rate(out, "refused_per_second", s->refused, s);
    json_rate(out, "client_gone_per_second", s->finished[STATS_SOURCE_CLIENT_GONE], s);
    json_rate(out, "errors_per_second", s->errors, s);
}

void history_write_summary(const struct history_summary *s, struct strbuf *out)
{
    strbuf_addf(out, "{\"seconds\":%u", s->seconds);
    json_rates(out, s);
    json_mean(out, "in_flight_mean", s->in_flight);
    strbuf_addf(out, ",\"in_flight_peak\":%" PRIu32, s->in_flight_peak);
    json_mean(out, "queued_mean", s->queued);
    strbuf_addf(out, ",\"queue_peak\":%" PRIu32, s->queue_peak);
    json_mean(out, "saturated_ratio", s->saturated);
    json_quantiles(out, "wait_seconds", s->wait);
    strbuf_adds(out, ",\"max\":");
    json_time(out, s->wait_max);
    strbuf_adds(out, "}");
    json_quantiles(out, "app_seconds", s->inside);
    strbuf_adds(out, "}");
    json_key(out, "phase_seconds");
    json_phases(out, s);
    strbuf_adds(out, ",\"loop_lag_seconds\":");
    prometheus_add_seconds(out, (uint64_t)s->loop_lag);
    strbuf_adds(out, "}");
}
