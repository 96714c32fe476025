/* See load.h. */
#include "proxy/load.h"

static void begin(struct load *ld, const struct limiter_snapshot *s, mono_us now)
{
    ld->since = now;
    ld->in_flight_us = s->in_flight_us;
    ld->queued_us = s->queued_us;
    ld->released = s->released;
}

void load_init(struct load *ld, const struct limiter_snapshot *s, mono_us now)
{
    *ld = (struct load){.used = 0};
    begin(ld, s, now);
}

/* Requests that wait are load too: of two instances whose slots are all held, the one with the
 * longer queue is to get less. */
static double share_of(const struct load *ld, const struct limiter_snapshot *s, mono_us window)
{
    uint64_t busy = s->in_flight_us - ld->in_flight_us + s->queued_us - ld->queued_us;

    if (s->limit == UINT32_MAX)
        return 0;
    return (double)busy / (double)window / (s->limit > 0 ? s->limit : 1);
}

bool load_measure(struct load *ld, const struct limiter_snapshot *s, mono_us now)
{
    mono_us window = now - ld->since;

    if (window < LOAD_WINDOW_US)
        return false;
    ld->used = share_of(ld, s, window);
    ld->rate = (double)(s->released - ld->released) * 1e6 / (double)window;
    begin(ld, s, now);
    return true;
}
