/*
 * Limits the log to one line per second for each kind of event, since failures usually affect many
 * requests at once, and counts the lines that were suppressed. One thread.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"

#define LOG_LIMIT_KINDS 16 /* a new kind replaces the one that was quiet longest */
#define LOG_LIMIT_MORE  64

/* Zero-initialised is empty. */
struct log_limit {
    struct log_limit_kind {
        const char *what;
        mono_us logged;
        unsigned suppressed;
    } kinds[LOG_LIMIT_KINDS];
};

/*
 * Whether an event of this kind may be logged now. `what` is a static string whose address
 * identifies the kind. `more` is for the end of the line: "" or "; 12 similar messages were not
 * logged".
 */
MUST_USE bool log_limit_allows(struct log_limit *limit, mono_us now, const char *what,
                               char more[LOG_LIMIT_MORE]);
