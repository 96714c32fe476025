/*
 * Counters, gauges and histograms, and the registry that names them. Recording: any thread, one
 * relaxed atomic addition each, no lock. Registering: before the threads that record or read are
 * started, because it takes no lock either. prometheus_write() (common/prometheus.h) prints a
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

/* Durations; a bucket counts what is not above its bound. buckets[n_bounds] is all above the last.
 */
struct histogram {
    const mono_us *bounds;
    size_t n_bounds;
    _Atomic uint64_t buckets[HISTOGRAM_BOUNDS_MAX + 1];
    _Atomic uint64_t sum_us;
};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* One line, or one histogram: a family's member with its label's value, NULL without a label. */
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
    const char *name, *help, *label; /* label: NULL for none */
    enum metric_type type;
    struct metric *first, *last;
};

struct metrics; /* opaque: defined in metrics.c */

struct metrics *metrics_new(void); /* never NULL: without memory the process stops */
void metrics_free(struct metrics *m);

/*
 * Each call makes one more member of the family `name`; what is returned lives until metrics_free.
 * `label` and `value` name it within the family, both NULL where it is alone. Strings are kept, not
 * copied. A family's members agree in type and label, and no two have the same value (CHECKed).
 */
struct counter *metrics_counter(struct metrics *m, const char *name, const char *help,
                                const char *label, const char *value);
struct gauge *metrics_gauge(struct metrics *m, const char *name, const char *help,
                            const char *label, const char *value);

/* `bounds` rise, are kept, and are HISTOGRAM_BOUNDS_MAX at most. */
struct histogram *metrics_histogram(struct metrics *m, const char *name, const char *help,
                                    const char *label, const char *value, const mono_us *bounds,
                                    size_t n_bounds);

/* In the order of registration. */
const struct metric_family *metrics_families(const struct metrics *m);

/* The bucket that `us` belongs to; n_bounds when it is above all bounds. */
static inline size_t histogram_bucket(const mono_us *bounds, size_t n_bounds, mono_us us)
{
    size_t b = 0;
    while (b < n_bounds && us > bounds[b])
        b++;
    return b;
}

/* `us` is not negative. */
void histogram_observe(struct histogram *h, mono_us us);

static inline void counter_add(struct counter *c, uint64_t n)
{
    atomic_fetch_add_explicit(&c->n, n, memory_order_relaxed);
}

static inline void gauge_set(struct gauge *g, int64_t n)
{
    atomic_store_explicit(&g->n, n, memory_order_relaxed);
}

/* Returns the new value, so that a caller can feed a gauge of the highest. */
static inline int64_t gauge_add(struct gauge *g, int64_t change)
{
    return atomic_fetch_add_explicit(&g->n, change, memory_order_relaxed) + change;
}

/* Raises the gauge to `n` where it is lower. */
void gauge_raise(struct gauge *g, int64_t n);
