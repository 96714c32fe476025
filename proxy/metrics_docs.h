/* docs/metrics.md: the table of metrics, their buckets, and questions with their queries. */
#pragma once

#include "common/strbuf.h"

void metrics_docs_write(struct strbuf *out);
