/* See load_header.h. */
#include "proxy/load_header.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/check.h"

static void add(struct load_header *h, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void add(struct load_header *h, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(h->text + h->len, sizeof(h->text) - h->len, fmt, args);
    va_end(args);
    CHECK(n >= 0 && (size_t)n < sizeof(h->text) - h->len);
    h->len += (size_t)n;
}

static void write_plain(struct load_header *h, const struct limiter_snapshot *s)
{
    add(h, "in_flight=%u, ", s->in_flight);
    if (s->limit != LIMITER_UNLIMITED)
        add(h, "limit=%u, ", s->limit);
    add(h, "queued=%u", s->depth);
}

static void measure(struct load_header *h, const struct limiter_snapshot *s, mono_us now)
{
    if (!h->measuring)
        load_init(&h->means, s, now);
    else if (load_measure(&h->means, s, now))
        h->known = true;
    h->measuring = true;
}

static void write_orca(struct load_header *h, const struct limiter_snapshot *s)
{
    add(h, "TEXT ");
    if (h->known && s->limit != LIMITER_UNLIMITED)
        add(h, "application_utilization=%.3f, ", h->means.used);
    if (h->known)
        add(h, "rps_fractional=%.1f, ", h->means.rate);
    add(h, "named_metrics.queue_depth=%u", s->depth);
}

static void write_anew(struct load_header *h, enum config_load kind, struct limiter *l, mono_us now)
{
    struct limiter_snapshot s;

    limiter_snapshot(l, now, &s);
    measure(h, &s, now);
    h->kind = kind;
    h->at = now;
    h->len = 0;
    if (kind == CONFIG_LOAD_PLAIN)
        write_plain(h, &s);
    else
        write_orca(h, &s);
    h->field.name = kind == CONFIG_LOAD_PLAIN ? SPAN("Weir-Load") : SPAN("endpoint-load-metrics");
    h->field.value = (struct span){h->text, h->len};
}

const struct span_pair *load_header_of(struct load_header *h, enum config_load kind,
                                       struct limiter *l, mono_us now)
{
    CHECK(kind != CONFIG_LOAD_OFF);
    if (h->kind != kind || now - h->at >= LOAD_HEADER_AGE_US)
        write_anew(h, kind, l, now);
    return &h->field;
}
