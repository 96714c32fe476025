/*
 * A line a second for each kind of news, since what goes wrong goes wrong for all at once: which
 * may be logged now, and how many of the kind were suppressed. One thread.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"

#define LOG_LIMIT_KINDS 16 /* the one that was quiet for longest makes room for a new one */
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
 * Whether news of this kind may be logged now. `what` is static: its address is the kind. `more`
 * is for the end of the line: "" or "; 12 more like it were not logged".
 */
MUST_USE bool log_limit_allows(struct log_limit *limit, mono_us now, const char *what,
                               char more[LOG_LIMIT_MORE]);
