/*
 * The advice: one sentence with the most important finding and its figures, for /status and the
 * pages that show it. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "common/strbuf.h"
#include "proxy/app_condition.h"
#include "proxy/estimate.h"
#include "proxy/history.h"

struct advice_facts {
    enum app_verdict verdict;
    struct estimate_reading estimate;
    bool unread_told;
    uint32_t unread; /* connections to the app with unread bytes, accepted or not */
    bool draining, paused, enforcing, overload;
    uint32_t limit; /* UINT32_MAX: none */
    uint32_t in_flight, queued;
    const struct history_summary *recent; /* of up to a minute */
};

void advice_write(const struct advice_facts *facts, struct strbuf *out);
