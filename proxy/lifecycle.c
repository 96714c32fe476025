/* See lifecycle.h. Control thread only. */
#include "proxy/lifecycle.h"

#include <signal.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/log.h"

#define SIGNALS        3
#define LAST_SECOND_US 1000000

struct lifecycle {
    struct loop *loop;
    enum lifecycle_state state;
    mono_us drain_timeout;
    bool cut;
    const struct lifecycle_handler *handler;
    void *arg;
    struct loop_timer late, deadline;
    struct event *signals[SIGNALS];
};

static void cut(struct lifecycle *lc, const char *why)
{
    if (lc->cut)
        return;
    lc->cut = true;
    log_warning("%s: closing the remaining connections", why);
    lc->handler->on_cut(lc->arg);
}

static void drain(struct lifecycle *lc)
{
    lc->state = LIFECYCLE_DRAINING;
    log_info("draining: no new connections are accepted; waiting and running requests are served "
             "for up to %.1f s",
             (double)lc->drain_timeout / 1e6);
    mono_us now = loop_now(lc->loop), all = lc->drain_timeout;
    mono_us last = all > 2 * LAST_SECOND_US ? LAST_SECOND_US : all / 2;
    loop_timer_arm(lc->loop, &lc->late, now + all - last);
    loop_timer_arm(lc->loop, &lc->deadline, now + all);
    lc->handler->on_drain(lc->arg);
}

static void on_late(void *arg)
{
    struct lifecycle *lc = arg;
    lc->handler->on_late(lc->arg);
}

static void on_deadline(void *arg)
{
    cut(arg, "drain.timeout has expired");
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct lifecycle *lc = arg;

    (void)what;
    loop_tick(lc->loop);
    if (sig == SIGHUP) {
        log_warning("SIGHUP: this version does not reload; restart weir to change its "
                    "configuration");
        return;
    }
    if (lc->state == LIFECYCLE_DRAINING)
        cut(lc, "second signal received");
    else if (lc->state != LIFECYCLE_STOPPED)
        drain(lc);
}

struct lifecycle *lifecycle_new(struct loop *lp, mono_us drain_timeout,
                                const struct lifecycle_handler *handler, void *arg)
{
    static const int signals[SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    struct lifecycle *lc = calloc(1, sizeof(*lc));

    CHECK(lc != NULL);
    lc->loop = lp;
    lc->drain_timeout = drain_timeout;
    lc->handler = handler;
    lc->arg = arg;
    loop_timer_init(&lc->late, on_late, lc);
    loop_timer_init(&lc->deadline, on_deadline, lc);
    for (int i = 0; i < SIGNALS; i++) {
        lc->signals[i] = evsignal_new(loop_base(lp), signals[i], on_signal, lc);
        CHECK(lc->signals[i] != NULL && event_add(lc->signals[i], NULL) == 0);
    }
    return lc;
}

void lifecycle_free(struct lifecycle *lc)
{
    if (lc == NULL)
        return;
    for (int i = 0; i < SIGNALS; i++)
        event_free(lc->signals[i]);
    loop_timer_fini(&lc->late);
    loop_timer_fini(&lc->deadline);
    free(lc);
}

void lifecycle_ready(struct lifecycle *lc)
{
    if (lc->state == LIFECYCLE_STARTING)
        lc->state = LIFECYCLE_READY;
}

void lifecycle_stopped(struct lifecycle *lc)
{
    lc->state = LIFECYCLE_STOPPED;
    loop_stop(lc->loop);
}

enum lifecycle_state lifecycle_state(const struct lifecycle *lc)
{
    return lc->state;
}
