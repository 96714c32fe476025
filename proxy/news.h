/*
 * A line a second for each kind of news, since what goes wrong goes wrong for all at once: which
 * may be logged now, and how many of the kind were swallowed. One thread.
 */
#pragma once

#include <stdbool.h>

#include "common/check.h"
#include "common/clock.h"

#define NEWS_KINDS 16 /* the one that was quiet for longest makes room for a new one */
#define NEWS_MORE  64

/* Zero-initialised is empty. */
struct news {
    struct news_kind {
        const char *what;
        mono_us logged;
        unsigned swallowed;
    } kinds[NEWS_KINDS];
};

/*
 * Whether news of this kind may be logged now. `what` is static: its address is the kind. `more`
 * is for the end of the line: "" or "; 12 more like it were not logged".
 */
MUST_USE bool news_may_log(struct news *news, mono_us now, const char *what, char more[NEWS_MORE]);
