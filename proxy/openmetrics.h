/*
 * Which format a scraper is sent: OpenMetrics if its Accept names that and does not prefer plain
 * text, otherwise the Prometheus text format (RFC 9110 section 12.5.1). Pure; any thread.
 */
#pragma once

#include "common/prometheus.h"
#include "common/span.h"

struct openmetrics_choice {
    enum prometheus_format format;
    const char *content_type;
};

/* `accept` is the value of Accept; empty if there is none. Malformed elements are ignored. */
struct openmetrics_choice openmetrics_choose(struct span accept);
