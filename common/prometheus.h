/*
 * Prometheus text format 0.0.4 and OpenMetrics 1.0: writes a registry, parts of other pages, and
 * the standard process_* metrics. The two formats differ in the first lines of a family, in
 * exemplars and in the end of the page; all other lines are the same. No state; any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"
#include "common/metrics.h"
#include "common/strbuf.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum prometheus_format { PROMETHEUS_TEXT, PROMETHEUS_OPENMETRICS };

struct prometheus_label {
    const char *name, *value;
};

/* HELP and TYPE, and UNIT if the format has it. `name` is that of the samples: a counter's ends
 * with _total in both formats. */
void prometheus_head(struct strbuf *out, enum prometheus_format format, const char *name,
                     const char *type, const char *help);

/* Ends the page, after which nothing may follow. */
void prometheus_end(struct strbuf *out, enum prometheus_format format);

/* Labels are an array terminated by {NULL, NULL}, or NULL for none. Values are escaped here. */
void prometheus_count(struct strbuf *out, const char *name, const struct prometheus_label *labels,
                      uint64_t value);
void prometheus_signed(struct strbuf *out, const char *name, const struct prometheus_label *labels,
                       int64_t value);

/* Microseconds as seconds, exactly: 1500000 becomes 1.5, MONO_NEVER +Inf. */
void prometheus_seconds(struct strbuf *out, const char *name, const struct prometheus_label *labels,
                        uint64_t us);
void prometheus_infinity(struct strbuf *out, const char *name,
                         const struct prometheus_label *labels);

/* One of the durations in a bucket, and the label that identifies it. */
struct prometheus_exemplar {
    struct prometheus_label label; /* name NULL: none */
    uint64_t us;
    wall_us at;
};

/* `counts`: n_bounds + 1 counts, not cumulative; `exemplars`, as many, or NULL, for OpenMetrics
 * only. Writes _bucket, _sum and _count. */
void prometheus_histogram(struct strbuf *out, const char *name,
                          const struct prometheus_label *labels, const mono_us *bounds,
                          const uint64_t *counts, size_t n_bounds, uint64_t sum_us,
                          const struct prometheus_exemplar *exemplars);

/* The number only, as short as possible: "0.0025". */
void prometheus_add_seconds(struct strbuf *out, uint64_t us);

void prometheus_write(const struct metrics *m, struct strbuf *out); /* text */

/* One of the process_* families, for documentation. */
struct prometheus_process_family {
    const char *name, *type, *help;
};

/* Reads /proc; values that cannot be read are left out. */
void prometheus_process(struct strbuf *out, enum prometheus_format format);
const struct prometheus_process_family *prometheus_process_families(size_t *n);
