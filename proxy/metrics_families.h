/*
 * The table of all metrics of weir: name, type, labels, help, and the function that prints the
 * samples. /metrics and docs/metrics.md both go through it, so they always list the same families.
 * Any thread.
 */
#pragma once

#include <stddef.h>

#include "common/strbuf.h"
#include "proxy/stats_reading.h"

struct metrics_family;

/* Prints the samples, without HELP and TYPE. It may print none: the family is then left out. */
typedef void metrics_print_fn(const struct metrics_family *f, const struct stats_reading *r,
                              struct strbuf *out);

struct metrics_family {
    const char *name, *type, *labels, *help;
    metrics_print_fn *print;
    size_t from; /* for `print`: a cell, a histogram, or the offset of a member of stats_now */
};

const struct metrics_family *metrics_families_all(size_t *n);

/* The status codes for which weir_requests_total always has a series, by source, so that a rate()
 * over them includes their first increment. */
struct metrics_codes {
    const unsigned *codes;
    size_t n;
};
extern const struct metrics_codes metrics_preset_codes[SOURCES];
