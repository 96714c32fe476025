/*
 * Counters, gauges and histograms, and the registry that names them. Recording: any thread, one
 * relaxed atomic addition each, no lock. Registering takes no lock either, so it must be finished
 * before threads that record or read are started. prometheus_write() (common/prometheus.h) prints a
 * registry.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "common/clock.h"

struct counter {
    _Atomic uint64_t n;
};

struct gauge {
    _Atomic int64_t n;
};

#define HISTOGRAM_BOUNDS_MAX 24

/* Durations. buckets[i] counts values up to bounds[i]; buckets[n_bounds] counts those above the
 * last bound. */
struct histogram {
    const mono_us *bounds;
    size_t n_bounds;
    _Atomic uint64_t buckets[HISTOGRAM_BOUNDS_MAX + 1];
    _Atomic uint64_t sum_us;
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One sample line, or one histogram: a member of a family with its label value, or NULL. */
struct metric {
    struct metric *next;
    const char *value;
    union {
        struct counter counter;
        struct gauge gauge;
        struct histogram histogram;
    };
};

struct metric_family {
    struct metric_family *next;
    const char *name, *help, *label; /* label: NULL if it has none */
    enum metric_type type;
    struct metric *first, *last;
};

struct metrics; /* opaque: defined in metrics.c */

struct metrics *metrics_new(void); /* never NULL: aborts when out of memory */
void metrics_free(struct metrics *m);

/*
 * Each call adds a member to the family `name`; the result is valid until metrics_free. `label` and
 * `value` identify it within the family, and are NULL if it is the only one. Strings are kept, not
 * copied. The members of a family must agree in type and label and have different values (CHECKed).
 */
struct counter *metrics_counter(struct metrics *m, const char *name, const char *help,
                                const char *label, const char *value);
struct gauge *metrics_gauge(struct metrics *m, const char *name, const char *help,
                            const char *label, const char *value);

/* `bounds` must be ascending, HISTOGRAM_BOUNDS_MAX at most, and stay valid. */
struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                    const char *label, const char *value, const mono_us *bounds,
                                    size_t n_bounds);

/* In the order of registration. */
const struct metric_family *metrics_families(const struct metrics *m);

/* The bucket for `us`; n_bounds when it is above all bounds. */
static inline size_t histogram_bucket(const mono_us *bounds, size_t n_bounds, mono_us us)
{
    size_t b = 0;
    while (b < n_bounds && us > bounds[b])
        b++;
    return b;
}

/* `us` must not be negative. */
void histogram_observe(struct histogram *h, mono_us us);

static inline void counter_add(struct counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->n, n, memory_order_relaxed);
}

static inline void gauge_set(struct gauge *g, int64_t n)
{
    atomic_store_explicit(&g->n, n, memory_order_relaxed);
}

/* Returns the new value, so that the caller can update a gauge of the maximum. */
static inline int64_t gauge_add(struct gauge *g, int64_t change)
{
    return atomic_fetch_add_explicit(&g->n, change, memory_order_relaxed) + change;
}

/* Sets the gauge to `n` if it is lower. */
void gauge_raise(struct gauge *g, int64_t n);
