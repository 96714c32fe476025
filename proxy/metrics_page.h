/* /metrics: all families (metrics_families.h) and their values. Any thread. */
#pragma once

#include "common/strbuf.h"
#include "proxy/stats_now.h"

/* The whole page in Prometheus text format 0.0.4. */
void metrics_page_write(const struct stats *s, const struct stats_now *now, struct strbuf *out);
