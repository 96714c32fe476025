/* See metrics_app.h. */
#include "proxy/metrics_app.h"

#include <inttypes.h>

#include "common/prometheus.h"
#include "proxy/app_condition.h"

const mono_us stats_check_bounds[STATS_CHECK_BOUNDS] = {
    1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000};

/* In hundredths: more digits would be noise. */
static uint64_t in_hundredths(double x)
{
    return x > 0 ? (uint64_t)(x * 100 + 0.5) : 0;
}

static void print_number(const struct metrics_family *f, double x, struct strbuf *out)
{
    prometheus_seconds(out, f->name, NULL, in_hundredths(x) * 10000);
}

void metrics_app_state(const struct metrics_family *f, const struct stats_reading *r,
                       struct strbuf *out)
{
    for (unsigned i = 0; i < VERDICTS; i++) {
        const struct prometheus_label labels[] = {{"state", app_verdict_names[i]}, {NULL, NULL}};
        prometheus_count(out, f->name, labels, r->now->app.verdict == i);
    }
}

void metrics_app_parallelism(const struct metrics_family *f, const struct stats_reading *r,
                             struct strbuf *out)
{
    if (r->now->app.estimate.valid)
        print_number(f, r->now->app.estimate.parallelism, out);
}

void metrics_app_hidden(const struct metrics_family *f, const struct stats_reading *r,
                        struct strbuf *out)
{
    if (r->now->app.estimate.hidden_valid)
        print_number(f, r->now->app.estimate.hidden, out);
}

void metrics_app_floor(const struct metrics_family *f, const struct stats_reading *r,
                       struct strbuf *out)
{
    if (r->now->app.estimate.hidden_valid)
        prometheus_seconds(out, f->name, NULL, (uint64_t)r->now->app.estimate.floor);
}

void metrics_app_unread(const struct metrics_family *f, const struct stats_reading *r,
                        struct strbuf *out)
{
    if (r->now->app.told)
        prometheus_count(out, f->name, NULL, r->now->app.unread);
}

void metrics_app_accept_queue(const struct metrics_family *f, const struct stats_reading *r,
                              struct strbuf *out)
{
    if (r->now->app.told)
        prometheus_count(out, f->name, NULL, r->now->app.accept_queue);
}

void metrics_app_own_accept_queue(const struct metrics_family *f, const struct stats_reading *r,
                                  struct strbuf *out)
{
    if (r->now->app.own_told)
        prometheus_count(out, f->name, NULL, r->now->app.own_accept_queue);
}

void metrics_app_checks(const struct metrics_family *f, const struct stats_reading *r,
                        struct strbuf *out)
{
    const struct stats_checks *c = &r->now->app.checks;

    if (c->on)
        prometheus_histogram(out, f->name, NULL, stats_check_bounds, c->bucket, STATS_CHECK_BOUNDS,
                             c->us, NULL);
}

void metrics_app_failed_checks(const struct metrics_family *f, const struct stats_reading *r,
                               struct strbuf *out)
{
    if (r->now->app.checks.on)
        prometheus_count(out, f->name, NULL, r->now->app.checks.failed);
}

/* ---- /status ------------------------------------------------------------------------------- */

static void add_number(struct strbuf *out, const char *key, bool known, uint64_t micro)
{
    strbuf_addf(out, ",\"%s\":", key);
    if (known)
        prometheus_add_seconds(out, micro);
    else
        strbuf_adds(out, "null");
}

void metrics_app_json(const struct stats_app *app, struct strbuf *out)
{
    const struct estimate_reading *e = &app->estimate;

    strbuf_addf(out, "{\"state\":\"%s\"", app_verdict_names[app->verdict]);
    add_number(out, "parallelism", e->valid, in_hundredths(e->parallelism) * 10000);
    add_number(out, "hidden_queue", e->hidden_valid, in_hundredths(e->hidden) * 10000);
    add_number(out, "floor_seconds", e->hidden_valid, (uint64_t)e->floor);
    add_number(out, "unread_requests", app->told, (uint64_t)app->unread * 1000000);
    add_number(out, "accept_queue", app->told, (uint64_t)app->accept_queue * 1000000);
    add_number(out, "stalled_seconds", true, app->stalled_us);
    strbuf_adds(out, "}");
}
