/*
 * All metrics of weir in one table, with name, type, labels and help: /metrics, and its
 * documentation. Any thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/stats_now.h"

/* The whole page in Prometheus text format 0.0.4. */
void metrics_page_write(const struct stats *s, const struct stats_now *now, struct strbuf *out);

/* docs/metrics.md. */
void metrics_page_write_docs(struct strbuf *out);
