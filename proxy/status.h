/*
 * /status: the numbers of /metrics as one JSON object, for a person and for `weir status`. Any
 * thread.
 */
#pragma once

#include "common/strbuf.h"
#include "proxy/history.h"
#include "proxy/stats_now.h"

void status_write(const struct stats *s, const struct stats_now *now, const struct history *history,
                  struct strbuf *out);
