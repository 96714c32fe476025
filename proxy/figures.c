/* See figures.h. */
#include "proxy/figures.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include <jansson.h>

/* ---- members -------------------------------------------------------------------------------- */

/* NULL: there is none at this path, such as "queue.depth". */
static const json_t *at(const json_t *json, const char *path)
{
    char key[32];

    while (json != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        CHECK(len < sizeof(key));
        memcpy(key, path, len);
        key[len] = '\0';
        json = json_object_get(json, key);
        path += len + (path[len] == '.');
    }
    return json;
}

/* Numbers that are not sensible are not known. */
static double number_of(const json_t *json)
{
    double n = json_is_number(json) ? json_number_value(json) : NAN;
    return n >= 0 && n < 1e15 ? n : NAN;
}

static void copy_text(const char *from, char *to, size_t room)
{
    size_t len = from == NULL ? 0 : strnlen(from, room - 1);

    if (len > 0)
        memcpy(to, from, len);
    to[len] = '\0';
}

static void copy_words(const char *from, char *to, size_t room)
{
    copy_text(from, to, room);
    for (char *c = to; *c != '\0'; c++)
        *c = *c == '_' ? ' ' : *c;
}

static void read_list(const json_t *json, struct figures_list *list)
{
    json_t *object = (json_t *)(uintptr_t)json;
    void *iter = json_object_iter(object); /* NULL, unless it is an object with members */

    for (; iter != NULL && list->n < FIGURES_LIST; iter = json_object_iter_next(object, iter)) {
        struct figures_item *item = &list->item[list->n];
        copy_words(json_object_iter_key(iter), item->name, sizeof(item->name));
        item->value = number_of(json_object_iter_value(iter));
        list->n += isnan(item->value) ? 0 : 1;
    }
}

struct member {
    const char *path;
    size_t offset; /* of a double */
};

static void read_members(const json_t *json, const struct member *members, size_t n, void *to)
{
    for (size_t i = 0; i < n; i++) {
        double value = number_of(at(json, members[i].path));
        memcpy((char *)to + members[i].offset, &value, sizeof(value));
    }
}

#define MEMBERS(table) (table), sizeof(table) / sizeof((table)[0])

/* ---- /status -------------------------------------------------------------------------------- */

#define IN_SPAN(path, member)                                                                      \
    {                                                                                              \
        path, offsetof(struct figures_span, member)                                                \
    }
static const struct member span_members[] = {
    IN_SPAN("seconds", seconds),
    IN_SPAN("requests_per_second", finished),
    IN_SPAN("refused_per_second", refused),
    IN_SPAN("client_gone_per_second", client_gone),
    IN_SPAN("errors_per_second", errors),
    IN_SPAN("in_flight_mean", in_flight_mean),
    IN_SPAN("in_flight_peak", in_flight_peak),
    IN_SPAN("queued_mean", queued_mean),
    IN_SPAN("queue_peak", queue_peak),
    IN_SPAN("saturated_ratio", saturated),
    IN_SPAN("wait_seconds.p50", wait[FIGURES_P50]),
    IN_SPAN("wait_seconds.p90", wait[FIGURES_P90]),
    IN_SPAN("wait_seconds.p99", wait[FIGURES_P99]),
    IN_SPAN("wait_seconds.max", wait[FIGURES_MAX]),
    IN_SPAN("app_seconds.p50", app[FIGURES_P50]),
    IN_SPAN("app_seconds.p90", app[FIGURES_P90]),
    IN_SPAN("app_seconds.p99", app[FIGURES_P99]),
    IN_SPAN("app_seconds.max", app[FIGURES_MAX]),
    IN_SPAN("loop_lag_seconds", loop_lag),
};

#define IN_FIGURES(path, member)                                                                   \
    {                                                                                              \
        path, offsetof(struct figures, member)                                                     \
    }
static const struct member members[] = {
    IN_FIGURES("started", started),
    IN_FIGURES("limit", limit),
    IN_FIGURES("in_flight", in_flight),
    IN_FIGURES("queue.depth", queued),
    IN_FIGURES("queue.limit", queue_limit),
    IN_FIGURES("queue.oldest_wait_seconds", oldest_wait),
    IN_FIGURES("queue.drain_seconds", queue_empty_in),
    IN_FIGURES("orphans", orphans),
    IN_FIGURES("upgrades", upgrades),
    IN_FIGURES("app.parallelism", parallelism),
    IN_FIGURES("app.hidden_queue", hidden_queue),
    IN_FIGURES("app.unread_requests", unread),
    IN_FIGURES("overload.seconds", overloaded),
    IN_FIGURES("bypass.in_flight", bypass_in_flight),
    IN_FIGURES("bypass.limit", bypass_limit),
};

static void read_span(const json_t *json, struct figures_span *span)
{
    read_members(json, MEMBERS(span_members), span);
    read_list(at(json, "phase_seconds"), &span->phases);
}

static bool is_unlimited(const json_t *json)
{
    const char *text = json_string_value(json);
    return text != NULL && strcmp(text, "unlimited") == 0;
}

static void read_status(const json_t *json, struct figures *f)
{
    read_members(json, MEMBERS(members), f);
    if (is_unlimited(at(json, "limit")))
        f->limit = INFINITY;
    copy_text(json_string_value(at(json, "version")), f->version, sizeof(f->version));
    copy_words(json_string_value(at(json, "app.state")), f->state, sizeof(f->state));
    if (f->state[0] == '\0')
        copy_words(json_string_value(at(json, "upstream.state")), f->state, sizeof(f->state));
    copy_text(json_string_value(at(json, "advice")), f->advice, sizeof(f->advice));
    f->dry_run = json_is_false(at(json, "enforcing"));
    f->paused = json_is_true(at(json, "paused"));
    f->draining = json_is_true(at(json, "draining"));
    f->overload = json_is_true(at(json, "overload.active"));
    read_span(at(json, "last"), &f->last);
    read_span(at(json, "recent"), &f->recent);
    read_list(at(json, "totals.rejected"), &f->refused);
}

bool figures_read(struct figures *f, struct span text)
{
    json_t *json = json_loadb(text.at, text.len, 0, NULL);

    memset(f, 0, sizeof(*f));
    read_status(json, f);
    json_decref(json);
    return !isnan(f->in_flight);
}

/* ---- /history ------------------------------------------------------------------------------- */

#define CLOCK_SET 5 /* by at least so many seconds; less is rounding */

static void add_second(struct figures_history *h, const struct figures_second *second)
{
    if (h->n == FIGURES_SECONDS)
        memmove(h->at, h->at + 1, (FIGURES_SECONDS - 1) * sizeof(h->at[0]));
    else
        h->n++;
    h->at[h->n - 1] = *second;
}

/* Seconds that the response leaves out. */
static void add_gap(struct figures_history *h, int64_t seconds)
{
    const struct figures_second unknown = {.in_flight = NAN, .waiting = NAN, .refused = NAN};

    for (int64_t i = 0; i < seconds && i < FIGURES_SECONDS && h->end > 0; i++)
        add_second(h, &unknown);
}

static void add_columns(struct figures_history *h, const json_t *columns, int64_t end)
{
    const json_t *in_flight = at(columns, "in_flight_peak"), *waiting = at(columns, "queue_peak");
    const json_t *refused = at(columns, "rejected");
    int64_t n = (int64_t)json_array_size(in_flight), first = end - n + 1;

    add_gap(h, first - h->end - 1);
    for (int64_t i = n > FIGURES_SECONDS ? n - FIGURES_SECONDS : 0; i < n; i++) {
        const struct figures_second second = {
            .in_flight = number_of(json_array_get(in_flight, (size_t)i)),
            .waiting = number_of(json_array_get(waiting, (size_t)i)),
            .refused = number_of(json_array_get(refused, (size_t)i)),
        };
        if (first + i > h->end)
            add_second(h, &second);
    }
    h->end = end;
}

/* The clock was set back. */
static void forget(struct figures_history *h)
{
    h->n = 0;
    h->end = 0;
}

bool figures_add_history(struct figures_history *h, struct span text)
{
    json_t *json = json_loadb(text.at, text.len, 0, NULL);
    double end = number_of(at(json, "end")), started = number_of(at(json, "started"));
    const json_t *columns = at(json, "columns");
    bool ok = !isnan(end) && !isnan(started) && columns != NULL;

    if (ok && (int64_t)end < h->end - CLOCK_SET)
        forget(h);
    if (ok && (int64_t)end > h->end)
        add_columns(h, columns, (int64_t)end);
    h->started = ok ? started : h->started;
    h->refused.n = 0;
    read_list(at(json, "reasons"), &h->refused);
    json_decref(json);
    return ok;
}
