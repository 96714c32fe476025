/*
 * One timer, re-armed from the time it fired, not from the time it was due: a loop that was blocked
 * for a second gives one late tick, not fifty.
 */
#include "backend-demo/looplag.h"

#include <event2/event.h>

#define TICK_US 20000

struct looplag {
    struct event *timer;
    mono_us due;
    looplag_fn *fn;
    void *arg;
};

static void arm(struct looplag *ll, mono_us now)
{
    const struct timeval tick = {.tv_usec = TICK_US};
    ll->due = now + TICK_US;
    event_add(ll->timer, &tick);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct looplag *ll = arg;
    mono_us now = clock_mono();
    (void)fd, (void)what;

    ll->fn(now > ll->due ? now - ll->due : 0, ll->arg);
    arm(ll, now);
}

struct looplag *looplag_start(struct event_base *base, looplag_fn *fn, void *arg)
{
    struct looplag *ll = calloc(1, sizeof(*ll));
    CHECK(ll != NULL);
    ll->fn = fn;
    ll->arg = arg;
    ll->timer = evtimer_new(base, on_tick, ll);
    if (ll->timer == NULL) {
        free(ll);
        return NULL;
    }
    arm(ll, clock_mono());
    return ll;
}

void looplag_stop(struct looplag *ll)
{
    event_free(ll->timer);
    free(ll);
}
