/* /metrics: all families (metrics_families.h) and their values. Any thread. */
#pragma once

#include "common/prometheus.h"
#include "common/strbuf.h"
#include "proxy/stats_now.h"

/* The whole page. */
void metrics_page_write(const struct stats *s, const struct stats_now *now,
                        enum prometheus_format format, struct strbuf *out);
