/* See overload_log.h. An overload that began and ended between two looks gets both lines; several
 * of them get one pair. */
#include "proxy/overload_log.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/log.h"
#include "proxy/stats_now.h"

struct text {
    char at[64];
};

static struct text time_text(mono_us us)
{
    struct text t;

    snprintf(t.at, sizeof(t.at), "%.3g s", (double)us / 1e6);
    return t;
}

static struct text patience_text(mono_us us)
{
    struct text t = {"how long clients wait is not known"};

    if (us != MONO_NEVER)
        snprintf(t.at, sizeof(t.at), "clients accept waits of up to %.3g s", (double)us / 1e6);
    return t;
}

static uint64_t begun_in(const struct limiter_snapshot *now)
{
    uint64_t n = 0;

    for (size_t i = 0; i < OVERLOAD_CAUSES; i++)
        n += now->overloads[i];
    return n;
}

static void log_begin(const struct limiter_snapshot *now)
{
    const struct limiter_overload_begin *e = &now->last;
    mono_us oldest = e->oldest < 0 ? 0 : e->oldest;

    log_warning("overload: begins (%s; %" PRIu32 " requests wait, about %s of work, the oldest for "
                "%s; %s; a request may wait %s before others pass it)",
                stats_cause_names[e->cause], e->depth, time_text(e->turnover).at,
                time_text(oldest).at, patience_text(e->patience).at, time_text(e->allowance).at);
}

static void log_end(const struct limiter_snapshot *from, const struct limiter_snapshot *now)
{
    log_info("overload: over after %s (%" PRIu64 " requests dispatched, %" PRIu64
             " of them in vain; %" PRIu64 " left by their clients in the queue, %" PRIu64
             " refused by the full queue, %" PRIu64 " evicted, %" PRIu64 " timed out)",
             time_text((mono_us)(now->overload_us - from->overload_us)).at,
             now->admitted - from->admitted, now->wasted - from->wasted,
             now->cancelled - from->cancelled,
             now->shed_full + now->shed_bytes - from->shed_full - from->shed_bytes,
             now->evicted - from->evicted, now->expired - from->expired);
}

void overload_log_look(struct overload_log *o, const struct limiter_snapshot *now)
{
    uint64_t begun = begun_in(now);

    if (begun > o->begun && !o->open) {
        log_begin(now);
        o->open = true;
    }
    if (o->open && !now->overload) {
        log_end(&o->before, now);
        o->open = false;
    }
    o->begun = begun;
    if (!o->open)
        o->before = *now;
}
